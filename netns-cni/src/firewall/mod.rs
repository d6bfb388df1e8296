//! `firewall`: lets a container's packets past other programs' chains that drop what the host forwards, and keeps networks
//! apart, after a plugin that gave the container an address.

mod config;
mod foreign;
mod isolation;
mod opening;

use crate::attachment_result::AttachmentResult;
use crate::attachments;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::{FilterRemoval, FilterSearch, StaleOwners};
use crate::request::PluginRequest;
use config::FirewallConfig;
use netns_core::record::RecordFile;
use std::net::IpAddr;

/// The name of the records here, of containers whose bridge is another plugin's affair.
pub(crate) const PLUGIN: &str = "firewall";
/// Where a container's rules and elements are.
pub(crate) const SEARCHES: [FilterSearch; 3] =
    [opening::SEARCH, isolation::SEARCHES[0], isolation::SEARCHES[1]];

/// Where the keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigPlace {
    /// In a configuration of `firewall`'s own.
    Own,
    /// In the key `firewall` of another plugin's; nothing is done without it.
    Inside,
}

fn previous(request: &PluginRequest) -> Outcome<AttachmentResult> {
    let previous = request.previous().ok_or_else(|| {
        let why = "firewall comes after other plugins: the key \"prevResult\" is missing";
        CniFailure::new(FailureCode::InvalidConfig, why)
    })?;
    AttachmentResult::read("prevResult", previous)
}

fn addresses(result: &AttachmentResult) -> Vec<IpAddr> {
    result.ips.iter().map(|ip| ip.address.address()).collect()
}

/// Lets the container's packets past; what that takes in the packet filter is on `record`.
pub(crate) fn add(request: &PluginRequest, place: ConfigPlace, record: &mut RecordFile) -> Outcome<()> {
    let Some(config) = FirewallConfig::read(request, place)? else { return Ok(()) };
    config.refuse_firewalld()?;
    let result = previous(request)?;
    let addresses = addresses(&result);
    if addresses.is_empty() {
        return Ok(());
    }
    // Rules that keep networks apart come before rules that open them.
    isolation::add(request, record, config.policy, &result)?;
    opening::open(request, record, &config, &addresses)
}

pub(crate) fn del(request: &PluginRequest) -> Outcome<()> {
    let record = attachments::find(request, PLUGIN)?;
    let mut removal = FilterRemoval::of(request);
    removal.add(record.as_ref().map(RecordFile::lines), &SEARCHES);
    removal.commit()?;
    attachments::remove(request, record)
}

pub(crate) fn check(request: &PluginRequest, place: ConfigPlace) -> Outcome<()> {
    let Some(config) = FirewallConfig::read(request, place)? else { return Ok(()) };
    let result = previous(request)?;
    let missing = match opening::missing(request, &config, &addresses(&result))? {
        None => isolation::missing(request, config.policy, &result)?,
        missing => missing,
    };
    match missing {
        None => Ok(()),
        Some(words) => Err(CniFailure::new(FailureCode::Damaged, format!("{words} is missing"))),
    }
}

/// `GC`: removes what belongs to no attachment; if there are none, also what attachments share.
pub(crate) fn collect(request: &PluginRequest) -> Outcome<()> {
    let valid = request.valid_attachments()?;
    let stale = StaleOwners::new(&request.network, &valid);
    let is_stale = |comment: &str| stale.has(comment);
    let removed = CniFailure::all(
        [opening::close(is_stale).err(), isolation::remove(is_stale).err()].into_iter().flatten().collect(),
    );
    let failures = [
        removed.and_then(|()| attachments::remove_stale(request, PLUGIN, &valid)).err(),
        opening::tidy().err(),
        isolation::tidy().err(),
    ];
    CniFailure::all(failures.into_iter().flatten().collect())
}

pub(crate) fn status(request: &PluginRequest, place: ConfigPlace) -> Outcome<()> {
    let Some(config) = FirewallConfig::read(request, place)? else { return Ok(()) };
    crate::unavailable_without_privilege()?;
    crate::filters::unavailable_without_filters()?;
    config.refuse_firewalld()
}
