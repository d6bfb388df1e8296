//! `ingressPolicy`: rules of the plugin's own tables that keep networks, or containers, apart.

use super::config::IngressPolicy;
use crate::attachment_result::AttachmentResult;
use crate::container;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::{
    APART, ElementOwner, FilterSearch, FilterTable, KEPT, NamedSet, PARTED, SAME, SetEntry, WALLED,
    note_elements,
};
use crate::request::PluginRequest;
use netns_core::link::Link;
use netns_core::record::RecordFile;
use netns_core::{IfName, RouteSocket};

const INET: [NamedSet; 2] = [WALLED.v4, WALLED.v6];
const BRIDGE: [NamedSet; 1] = [APART];
/// Where a container's elements are.
pub(super) const SEARCHES: [FilterSearch; 2] =
    [FilterSearch::Sets(FilterTable::Inet, &INET), FilterSearch::Sets(FilterTable::Bridge, &BRIDGE)];

/// The network's link, which is the first of the result as with the reference, and the container's port on it.
struct NetworkLinks {
    network: Link,
    port: Option<u32>,
}

impl NetworkLinks {
    fn find(result: &AttachmentResult) -> Outcome<Self> {
        let on_host = || result.interfaces.iter().filter(|interface| interface.sandbox.is_empty());
        let mut socket = RouteSocket::open()?;
        let mut find = |name: &str| match IfName::new(name) {
            Ok(name) => container::find_link(&mut socket, name),
            Err(_) => Ok(None),
        };
        let first = on_host().next().filter(|first| result.interfaces.first() == Some(*first));
        let network = match first {
            Some(first) => find(&first.name)?,
            None => None,
        };
        let Some(network) = network else {
            let why = "ingressPolicy takes a plugin before it that makes a bridge: the first interface of prevResult is \
                       no link of the host";
            return Err(CniFailure::new(FailureCode::InvalidConfig, why));
        };
        let mut port = None;
        for interface in on_host().skip(1) {
            let found = find(&interface.name)?;
            port = port.or(found.filter(|link| link.master == Some(network.index)).map(|link| link.index));
        }
        Ok(Self { network, port })
    }

    /// What the container has in the table of IP packets, what all containers of the link share there, and what the
    /// container has in the table of frames.
    fn entries(&self, policy: IngressPolicy, result: &AttachmentResult) -> [Vec<SetEntry>; 3] {
        let link = self.network.index;
        let walled = result.ips.iter().map(|ip| SetEntry::walled(ip.address.address(), link)).collect();
        let mut common = vec![SetEntry::link(KEPT, link), SetEntry::pair(SAME, link)];
        let mut apart = Vec::new();
        if policy == IngressPolicy::Isolated {
            common.push(SetEntry::pair(PARTED, link));
            apart.extend(self.port.map(|port| SetEntry::link(APART, port)));
        }
        [walled, common, apart]
    }
}

pub(super) fn add(
    request: &PluginRequest,
    record: &mut RecordFile,
    policy: IngressPolicy,
    result: &AttachmentResult,
) -> Outcome<()> {
    if policy == IngressPolicy::Open {
        return Ok(());
    }
    let [walled, common, apart] = NetworkLinks::find(result)?.entries(policy, result);
    let owner = ElementOwner::of(request);
    note_elements(record, FilterTable::Inet, &walled)?;
    note_elements(record, FilterTable::Bridge, &apart)?;
    if !apart.is_empty() {
        FilterTable::Bridge.add(&owner, &request.network, &apart)?;
    }
    FilterTable::Inet.add_with(&owner, &request.network, &walled, &common)
}

/// The words of the first that is missing.
pub(super) fn missing(
    request: &PluginRequest,
    policy: IngressPolicy,
    result: &AttachmentResult,
) -> Outcome<Option<String>> {
    if policy == IngressPolicy::Open {
        return Ok(None);
    }
    let [walled, common, apart] = NetworkLinks::find(result)?.entries(policy, result);
    let owner = ElementOwner::of(request);
    let missing = match FilterTable::Inet.missing(&owner, &walled)? {
        None => FilterTable::Inet.missing_common(&common)?,
        missing => missing,
    };
    let missing = match missing {
        None => FilterTable::Bridge.missing(&owner, &apart)?,
        missing => missing,
    };
    Ok(missing.map(|words| format!("the ingressPolicy of {words}")))
}

pub(super) fn remove(is_meant: impl Fn(&str) -> bool) -> Outcome<()> {
    let inet = FilterTable::Inet.remove(&INET, &is_meant);
    let bridge = FilterTable::Bridge.remove(&BRIDGE, is_meant);
    CniFailure::all([inet, bridge].into_iter().filter_map(Result::err).collect())
}

pub(super) fn tidy() -> Outcome<()> {
    let failures = [
        FilterTable::Inet.remove_unused(&[KEPT, PARTED, SAME], &INET).err(),
        FilterTable::Inet.tidy().err(),
        FilterTable::Bridge.tidy().err(),
    ];
    CniFailure::all(failures.into_iter().flatten().collect())
}
