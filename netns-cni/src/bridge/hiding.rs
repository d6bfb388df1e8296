//! `ipMasq` and `macspoofchk`: a container's entries in the packet filter.

use super::config::{self, BridgeConfig};
use super::guard;
use crate::attachment_result::AttachmentResult;
use crate::failure::{CniFailure, Outcome};
use crate::filters::{
    ALLOWED, CHECKED, ElementOwner, FilterSearch, FilterTable, HIDDEN, NEAR, NamedSet, SetEntry, StaleOwners,
    note_elements,
};
use crate::request::PluginRequest;
use netns_core::MacAddress;
use netns_core::record::RecordFile;
use std::collections::BTreeSet;

const INET: [NamedSet; 4] = [HIDDEN.v4, HIDDEN.v6, NEAR.v4, NEAR.v6];
const BRIDGE: [NamedSet; 2] = [CHECKED, ALLOWED];

/// Gives the container's packets the host's address, except on its own network.
pub(super) fn hide(
    request: &PluginRequest,
    record: &mut RecordFile,
    bridge: u32,
    result: &AttachmentResult,
) -> Outcome<()> {
    let entries = hidden(bridge, result);
    note_elements(record, FilterTable::Inet, &entries)?;
    FilterTable::Inet.add(&ElementOwner::of(request), &request.network, &entries)
}

fn hidden(bridge: u32, result: &AttachmentResult) -> Vec<SetEntry> {
    let addresses = result.ips.iter().map(|ip| ip.address.address());
    addresses
        .flat_map(|address| [SetEntry::address(HIDDEN, address), SetEntry::near(address, bridge)])
        .collect()
}

/// Drops frames at the container's port that are not from its own MAC address.
pub(super) fn check_source(
    request: &PluginRequest,
    record: &mut RecordFile,
    port: u32,
    mac: MacAddress,
) -> Outcome<()> {
    let entries = checked(port, mac);
    note_elements(record, FilterTable::Bridge, &entries)?;
    FilterTable::Bridge.add(&ElementOwner::of(request), &request.network, &entries)
}

fn checked(port: u32, mac: MacAddress) -> [SetEntry; 2] {
    [SetEntry::source(port, mac), SetEntry::link(CHECKED, port)]
}

/// The description of what is missing.
pub(super) fn missing(
    request: &PluginRequest,
    config: &BridgeConfig,
    (bridge, port): (u32, u32),
    mac: Option<MacAddress>,
    result: &AttachmentResult,
) -> Outcome<Option<String>> {
    let owner = ElementOwner::of(request);
    if config.masquerade
        && let Some(words) = FilterTable::Inet.missing(&owner, &hidden(bridge, result))?
    {
        return Ok(Some(format!("masquerading of {words}")));
    }
    if config.spoof_check
        && let Some(mac) = mac
        && let Some(words) = FilterTable::Bridge.missing(&owner, &checked(port, mac))?
    {
        return Ok(Some(format!("the check of {words}")));
    }
    Ok(None)
}

/// Where the container's entries are, if the configuration asks for any.
pub(super) fn searches(request: &PluginRequest) -> Outcome<Vec<FilterSearch>> {
    let keys = request.keys();
    let mut searches = Vec::new();
    if keys.boolean("ipMasq")? {
        searches.push(FilterSearch::Sets(FilterTable::Inet, &INET));
    }
    if keys.boolean("macspoofchk")? {
        searches.push(FilterSearch::Sets(FilterTable::Bridge, &BRIDGE));
    }
    if config::guard(request)?.is_some() {
        searches.push(FilterSearch::Sets(FilterTable::Bridge, &guard::SETS));
    }
    Ok(searches)
}

/// Removes the entries of the network's containers that are not listed.
pub(super) fn collect(network: &str, valid: &BTreeSet<(String, String)>) -> Outcome<()> {
    let stale = StaleOwners::new(network, valid);
    let is_stale = |comment: &str| stale.has(comment);
    let mut failures = Vec::new();
    for (table, sets) in
        [(FilterTable::Inet, &INET[..]), (FilterTable::Bridge, &BRIDGE), (FilterTable::Bridge, &guard::SETS)]
    {
        failures.extend(table.remove(sets, is_stale).err());
        failures.extend(table.tidy().err());
    }
    CniFailure::all(failures)
}
