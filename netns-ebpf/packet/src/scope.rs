//! Where a frame comes from, or goes to: which of a few kinds of places, by the IP address of the far end.

use super::ethernet::{self, IPV4, IPV6};
use super::layout::Way;
use super::{Bytes, ipv4};

/// A kind of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    /// The host: what user space has said is one of its addresses.
    Host = 0,
    /// Sandboxes: what user space has said is theirs.
    Sandboxes = 1,
    /// Other private addresses (RFC 1918, RFC 4193), those of carriers (RFC 6598) among them.
    Private = 2,
    /// All others.
    Internet = 3,
    /// What does not leave the link: frames that are not IP, as ARP; groups and broadcasts; link-local addresses, and
    /// those that are nobody's.
    Link = 4,
}

impl Scope {
    /// How many there are.
    pub const COUNT: usize = 5;
    /// All, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Host, Self::Sandboxes, Self::Private, Self::Internet, Self::Link];

    /// Its name in output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Sandboxes => "sandboxes",
            Self::Private => "private",
            Self::Internet => "internet",
            Self::Link => "link",
        }
    }

    /// That of an address, as an [`Address`](far_end) is, as far as the address alone says: where [`Self::Link`] is the
    /// answer nobody can say otherwise.
    #[inline(always)]
    #[must_use]
    pub fn of_address(address: [u32; 4]) -> Self {
        let [a, b, c, low] = address;
        if [a, b] == [0; 2] && c == MAPPED {
            return of_ipv4(low);
        }
        let [high, next, ..] = a.to_ne_bytes();
        match (high, next) {
            (0xFF, _) | (0xFE, 0x80..=0xBF) => Self::Link,
            (0xFC | 0xFD, _) | (0xFE, 0xC0..) => Self::Private,
            (0, 0) if [a, b, c] == [0; 3] && u32::from_be(low) <= 1 => Self::Link,
            // NAT64 (RFC 6052): a translator sends it on to the address that is in it.
            (0, 0x64) if [a, b, c] == [NAT64, 0, 0] => of_ipv4(low),
            _ => Self::Internet,
        }
    }
}

/// `::ffff:0:0/96`, the third word.
const MAPPED: u32 = 0xFFFF_u32.to_be();
/// `64:ff9b::/96`, the first word.
const NAT64: u32 = 0x0064_FF9B_u32.to_be();

#[inline(always)]
fn of_ipv4(address: u32) -> Scope {
    let [a, b, ..] = address.to_ne_bytes();
    match (a, b) {
        (169, 254) => Scope::Link,
        _ if ipv4::is_nobodys(address) => Scope::Link,
        (10, _) | (172, 16..=31) | (192, 168) | (100, 64..=127) => Scope::Private,
        _ => Scope::Internet,
    }
}

/// The address at the far end of a frame that passes a port this way: where it goes to, from the port's namespace, or where it
/// comes from, as words in the order of the network, an IPv4 address as the IPv6 address that it is mapped to. `None` of what
/// is not IP.
#[inline(always)]
pub fn far_end<B: Bytes + ?Sized>(frame: &B, has_tag: bool, way: Way) -> Option<[u32; 4]> {
    let (ether_type, at) = ethernet::payload_of(frame, has_tag)?;
    let is_in = matches!(way, Way::In);
    match ether_type {
        IPV4 => {
            let [_, _, _, source, destination] = frame.words::<5, 20>(at)?;
            Some([0, 0, MAPPED, if is_in { source } else { destination }])
        }
        IPV6 => {
            let [_, _, s0, s1, s2, s3, d0, d1, d2, d3] = frame.words::<10, 40>(at)?;
            Some(if is_in { [s0, s1, s2, s3] } else { [d0, d1, d2, d3] })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
