//! What an egress policy allows for a while.

use std::collections::HashMap;
use std::net::IpAddr;

use aya::maps::MapError;

use super::trie::{self, EgressTrie};
use crate::layout::{EGRESS_RANGES, EgressEntry, EgressRange};
use crate::packet::EgressPrefix;

/// `BPF_NOEXIST`: insert, and refuse to replace.
const NO_EXIST: u64 = 1;

/// Addresses that a policy allows for a while.
pub(super) type TemporaryAddresses = HashMap<IpAddr, AllowedUntil>;

/// Until when an address is allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct AllowedUntil {
    /// In nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) until: u64,
    /// Whether the policy says something of this very address besides.
    has_rule: bool,
}

/// Allows what goes to an address until then. Afterwards it is as it was, without anybody having to take the entry out.
pub(super) fn allow(
    trie: &mut EgressTrie,
    temporary: &mut TemporaryAddresses,
    (address, until): (IpAddr, u64),
    no_tunnels: bool,
) -> Result<(), MapError> {
    let flags = EgressRange::ALLOW | EgressRange::TEMPORARY;
    let flags = if no_tunnels { flags | EgressRange::NO_TUNNELS } else { flags };
    let key = trie::key(EgressPrefix::of(address).judged().key());
    let mut ranges = [EgressRange::NONE; EGRESS_RANGES];
    let own = [EgressRange::new(0, flags, None)].into_iter();
    for (place, range) in ranges.iter_mut().zip(own.chain(lasting(trie, address)?)) {
        *place = range;
    }
    let words = EgressEntry { until, ranges }.to_words();
    let has_rule = match trie.insert(&key, words, NO_EXIST) {
        Ok(()) => false,
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::EEXIST) => {
            trie.insert(&key, words, 0)?;
            temporary.get(&address).is_none_or(|known| known.has_rule)
        }
        Err(error) => return Err(error),
    };
    temporary.insert(address, AllowedUntil { until, has_rule });
    Ok(())
}

/// What lasts of what the policy says of an address: the entry of the smallest network that has it, in which those of wider ones
/// are.
fn lasting(trie: &EgressTrie, address: IpAddr) -> Result<impl Iterator<Item = EgressRange>, MapError> {
    let entry = match trie.get(&trie::key(EgressPrefix::of(address).judged().key()), 0) {
        Ok(words) => EgressEntry::from_words(words),
        Err(MapError::KeyNotFound) => EgressEntry::default(),
        Err(error) => return Err(error),
    };
    Ok(entry.ranges.into_iter().filter(|range| !range.has(EgressRange::TEMPORARY)))
}

/// Takes out what is over.
pub(super) fn sweep(
    trie: &mut EgressTrie,
    temporary: &mut TemporaryAddresses,
    now: u64,
) -> Result<(), MapError> {
    let over: Vec<_> = temporary.iter().filter(|(_, known)| known.until <= now).collect();
    let over: Vec<_> = over.into_iter().map(|(address, known)| (*address, known.has_rule)).collect();
    for (address, has_rule) in over {
        let key = trie::key(EgressPrefix::of(address).judged().key());
        if has_rule {
            let mut entry = EgressEntry::default();
            for (place, range) in entry.ranges.iter_mut().zip(lasting(trie, address)?) {
                *place = range;
            }
            trie.insert(&key, entry.to_words(), 0)?;
        } else {
            trie.remove(&key)?;
        }
        temporary.remove(&address);
    }
    Ok(())
}
