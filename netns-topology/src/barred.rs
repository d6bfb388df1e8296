//! What an observer's barrier has changed of ports.

use crate::error::Result;
use netns_core::Namespace;
use netns_core::barrier::{self, Barrier, FORWARDED};
use netns_core::link::Link;
use std::collections::BTreeSet;

/// Lets ports that the barrier of an observer is behind look as they did before it came: it has made them forward BPDUs and
/// LLDP, so that those meet its rules, and takes that back by itself. The topology has no barrier there, and wants none.
pub(crate) fn overlook(namespace: &Namespace, links: &mut [Link]) -> Result<()> {
    let forwarded = |link: &Link| link.port.and_then(|port| port.group_fwd_mask).unwrap_or(0) & FORWARDED;
    if links.iter().all(|link| forwarded(link) != FORWARDED) {
        return Ok(());
    }
    let mut barred = BTreeSet::new();
    for name in barrier::names(namespace)? {
        // It may be gone by now.
        if let Some(barrier) = Barrier::open(namespace, &name, 0)? {
            barred.extend(barrier.known_ports());
        }
    }
    for link in links.iter_mut().filter(|link| forwarded(link) == FORWARDED && barred.contains(&link.index)) {
        if let Some(mask) = link.port.as_mut().and_then(|port| port.group_fwd_mask.as_mut()) {
            *mask &= !FORWARDED;
        }
    }
    Ok(())
}
