//! What passed ports by where it came from or went to.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{MapData, MapError};
use netns_core::{IpNet, RouteSocket, address};

use super::mapped::MappedArray;
use super::{Monitor, MonitorError, Slot};
use crate::layout::{self, Passed, ScopeCounters};
use crate::packet::Scope;

/// The prefixes of scopes: an IPv6 address in the order of the network, and a scope's number.
type Prefixes = LpmTrie<MapData, [u32; 4], u32>;

/// What scopes are counted with.
pub(super) struct Scopes {
    pub(super) prefixes: Mutex<Prefixes>,
    /// One line per slot and CPU.
    pub(super) counters: MappedArray,
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scopes").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Scopes {
    pub(super) fn sum(&self, lines: std::ops::Range<usize>) -> ScopeCounters {
        const WORDS: usize = size_of::<ScopeCounters>() / size_of::<u64>();
        let mut sum = [0_u64; WORDS];
        for line in lines {
            for (sum, word) in sum.iter_mut().zip(self.counters.read::<WORDS>(line)) {
                *sum = sum.wrapping_add(word);
            }
        }
        let mut words = sum.chunks_exact(2).map(|pair| Passed { packets: pair[0], bytes: pair[1] });
        let mut way = || std::array::from_fn(|_| words.next().unwrap_or_default());
        ScopeCounters { passed: [way(), way()], reserved: [0; 4] }
    }
}

fn key(net: IpNet) -> Key<[u32; 4]> {
    let (address, prefix) = match net.address() {
        IpAddr::V4(address) => (address.to_ipv6_mapped(), 96 + u32::from(net.prefix())),
        IpAddr::V6(address) => (address, net.prefix().into()),
    };
    let octets = address.octets();
    let word = |number: usize| std::array::from_fn(|byte| octets[number * 4 + byte]);
    Key::new(prefix, std::array::from_fn(|number| u32::from_ne_bytes(word(number))))
}

fn net_of(key: &Key<[u32; 4]>) -> Option<IpNet> {
    let mut octets = [0; 16];
    for (bytes, word) in octets.chunks_exact_mut(4).zip(key.data()) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    let (address, prefix) = (Ipv6Addr::from(octets), key.prefix_len());
    let (address, prefix) = match address.to_ipv4_mapped() {
        Some(address) => (IpAddr::V4(address), prefix.checked_sub(96)?),
        None => (IpAddr::V6(address), prefix),
    };
    IpNet::new(address, u8::try_from(prefix).ok()?).ok()
}

fn failed(what: &str, net: IpNet, error: MapError) -> MonitorError {
    MonitorError::Load { operation: format!("{what} the scope of {net}"), source: error.into() }
}

/// What a namespace's addresses say of scopes: each of them is the host's, and the networks that the link of this index has
/// addresses of are those of sandboxes.
///
/// # Errors
/// If the kernel does not say.
pub fn scopes_of(socket: &mut RouteSocket, bridge: u32) -> netns_core::Result<Vec<(IpNet, Scope)>> {
    let addresses = address::list(socket)?;
    let own = addresses.iter().map(|address| (IpNet::single(address.net.address()), Scope::Host));
    let networks = addresses.iter().filter(|address| address.index == bridge);
    let networks = networks.map(|address| (address.net.network(), Scope::Sandboxes));
    Ok(own.chain(networks).collect())
}

impl Monitor {
    /// Says of which scope the addresses of a network are: [`Scope::Host`] of the host's own, [`Scope::Sandboxes`] of those on
    /// its bridges; [`Scope::Private`] or [`Scope::Internet`] of networks that are something else than their addresses say. Of
    /// several that an address is in the longest counts. It holds from the next frame on; one system call.
    ///
    /// What no network was said of is private or of the internet, by its address. What does not leave the link is of
    /// [`Scope::Link`] in any case.
    ///
    /// # Errors
    /// [`MonitorError::Unscoped`] if the programs were loaded without
    /// [`MonitorOptions::scopes`](super::MonitorOptions::scopes); [`MonitorError::Load`] if there is no more room, after
    /// [`MAX_SCOPES`](layout::MAX_SCOPES).
    pub fn set_scope(&self, net: IpNet, scope: Scope) -> Result<(), MonitorError> {
        let mut prefixes = self.prefixes()?.lock().unwrap_or_else(PoisonError::into_inner);
        prefixes.insert(&key(net), scope as u32, 0).map_err(|error| failed("set", net, error))
    }

    /// Takes back what was said of exactly this network. Of one of which nothing was said it is no error.
    ///
    /// # Errors
    /// As [`Self::set_scope`].
    pub fn clear_scope(&self, net: IpNet) -> Result<(), MonitorError> {
        let mut prefixes = self.prefixes()?.lock().unwrap_or_else(PoisonError::into_inner);
        match prefixes.remove(&key(net)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {
                Ok(())
            }
            Err(error) => Err(failed("clear", net, error)),
        }
    }

    /// What was said of networks, in no order.
    ///
    /// # Errors
    /// As [`Self::set_scope`].
    pub fn scopes(&self) -> Result<Vec<(IpNet, Scope)>, MonitorError> {
        let prefixes = self.prefixes()?.lock().unwrap_or_else(PoisonError::into_inner);
        let mut scopes = Vec::new();
        for entry in prefixes.iter() {
            let (key, number) = entry.map_err(|error| MonitorError::Load {
                operation: format!("read {}", layout::SCOPES),
                source: error.into(),
            })?;
            scopes.extend(net_of(&key).zip(Scope::ALL.get(number as usize).copied()));
        }
        Ok(scopes)
    }

    /// What passed a port since it was assigned, by where it went and where it came from: exactly what its counters have, but
    /// for what was dropped after it was counted in `rx`.
    ///
    /// Loads from memory, three cache lines per CPU, and no system call. `None` if scopes are not counted. It can be read
    /// until the slot is given out again, as [`Self::counters`] can.
    ///
    /// # Panics
    /// If the slot is not one of this monitor's.
    #[must_use]
    pub fn scope_counters(&self, slot: Slot) -> Option<ScopeCounters> {
        self.scopes.as_ref().map(|scopes| scopes.sum(self.lines(slot)))
    }

    fn prefixes(&self) -> Result<&Mutex<Prefixes>, MonitorError> {
        self.scopes.as_ref().map(|scopes| &scopes.prefixes).ok_or(MonitorError::Unscoped)
    }
}
