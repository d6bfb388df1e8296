//! Which MAC address the neighbours on a bridge may know an address by.
//!
//! A neighbour that has learnt an address keeps sending to the MAC address that it knows, so a new holder with another one has to
//! be announced, and that frame goes to every port. It is not needed if no other MAC address can be known, which is what the file
//! here says: for an address, by a hash, the MAC address that it was last given with, by a hash, too. Addresses that share a place
//! are announced more often than they need to be. A container's MAC address follows from its first address, unless the
//! configuration names one, so the next holder of the address has it again.
//!
//! It is only known of a bridge that the plugin made: one that was there before may have ports to others' machines.

use super::config;
use crate::attachment_result::AttachmentResult;
use crate::attachments;
use crate::hash::hash;
use crate::request::PluginRequest;
use netns_core::link::Link;
use netns_core::{IfName, MacAddress};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

/// How many addresses it has places for.
const PLACES: u64 = 1 << 16;
/// The bytes of a place, and of the bridge's MAC address at the beginning.
const WORD: u64 = 8;
/// What a place holds that no address was given yet.
const FRESH: u64 = 0;
/// What a place holds whose address may be known by any MAC address.
const ANY: u64 = 1;

/// The file of one bridge.
#[derive(Debug)]
pub(super) struct KnownNeighbours(File);

/// Whether a new holder of an address has to be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acquaintance {
    /// Nobody knows the address by another MAC address.
    None,
    /// Somebody may.
    Possible,
}

fn path(bridge: &str) -> PathBuf {
    attachments::path_of_bridge(bridge).with_extension("neighbours")
}

/// The MAC address of containers whose first address is this.
pub(super) fn mac_of(address: IpAddr) -> MacAddress {
    match address {
        // No two IPv4 addresses have the same.
        IpAddr::V4(address) => MacAddress::local(4 << 32 | u64::from(address.to_bits())),
        IpAddr::V6(address) => MacAddress::local(hash(address.octets())),
    }
}

impl KnownNeighbours {
    /// Begins the file of a bridge that was just made.
    pub(super) fn begin(bridge: IfName, mac: MacAddress) -> io::Result<()> {
        // One of an earlier bridge is of no use.
        remove(bridge.as_str())?;
        let file = options().create_new(true).open(path(bridge.as_str()))?;
        file.write_all_at(&word_of(mac).to_ne_bytes(), 0)
    }

    /// The file of a bridge; `None` if the plugin did not make it, or made it with another MAC address.
    pub(super) fn of(bridge: &Link) -> Option<Self> {
        let known = Self(options().open(path(bridge.name.as_str())).ok()?);
        let of_bridge = known.read(0).ok()?;
        bridge.mac.is_some_and(|mac| word_of(mac) == of_bridge).then_some(known)
    }

    /// Says that this address is about to be given with this MAC address.
    pub(super) fn give(&self, address: IpAddr, mac: MacAddress) -> Acquaintance {
        let (place, tag) = (place(address), tag(address, mac));
        let known = match self.read(place) {
            Ok(FRESH) => self.write(place, tag).is_ok(),
            Ok(known) => known == tag,
            Err(_) => false,
        };
        if known {
            return Acquaintance::None;
        }
        // A plugin that is killed before the announcement has not made it.
        let _ = self.write(place, ANY);
        Acquaintance::Possible
    }

    /// Says that an address was announced with this MAC address. Without it the next holder is announced, too.
    pub(super) fn announced(&self, address: IpAddr, mac: MacAddress) {
        let _ = self.write(place(address), tag(address, mac));
    }

    fn read(&self, at: u64) -> io::Result<u64> {
        let mut bytes = [0; WORD as usize];
        match self.0.read_exact_at(&mut bytes, at) {
            // It is as long as the last place that was written.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(FRESH),
            other => other.map(|()| u64::from_ne_bytes(bytes)),
        }
    }

    /// A place is in one page, so nobody reads half of it.
    fn write(&self, at: u64, word: u64) -> io::Result<()> {
        self.0.write_all_at(&word.to_ne_bytes(), at)
    }
}

/// Says of addresses that are taken from a container that anybody may know them by another MAC address than the plugin gave: one
/// whose last result, which plugins after this one may have changed, has another MAC address, or that has none.
pub(super) fn forget(request: &PluginRequest, addresses: &[IpAddr]) {
    let Ok(bridge) = config::bridge(request) else { return };
    let Ok(file) = options().open(path(bridge.as_str())) else { return };
    let known = KnownNeighbours(file);
    let last = last_mac(request);
    for &address in addresses {
        let tag = last.map(|mac| tag(address, mac));
        if tag.is_none() || known.read(place(address)).ok() != tag {
            let _ = known.write(place(address), ANY);
        }
    }
}

/// The MAC address that the container's interface has in the last result.
fn last_mac(request: &PluginRequest) -> Option<MacAddress> {
    let result = AttachmentResult::read("prevResult", request.previous()?).ok()?;
    let is_its = |name: &str, sandbox: &str| name == request.invocation.interface && !sandbox.is_empty();
    let mut interfaces = result.interfaces.iter();
    interfaces.find(|interface| is_its(&interface.name, &interface.sandbox))?.mac.parse().ok()
}

/// Removes the file of a bridge that is removed.
pub(super) fn remove(bridge: &str) -> io::Result<()> {
    match fs::remove_file(path(bridge)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn word_of(MacAddress(mac): MacAddress) -> u64 {
    mac.into_iter().fold(0, |word, byte| word << 8 | u64::from(byte))
}

/// Where an address's place is.
fn place(address: IpAddr) -> u64 {
    let hash = hash(octets(address));
    WORD + (hash ^ hash >> 32) % PLACES * WORD
}

/// What a place holds whose address is known by this MAC address.
fn tag(address: IpAddr, MacAddress(mac): MacAddress) -> u64 {
    hash(octets(address).into_iter().chain(mac)).max(ANY + 1)
}

#[cfg(test)]
mod tests;
