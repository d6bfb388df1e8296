//! What a port may send: addresses and permissions, in the layout that the program reads.

use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};

use crate::Reason;
use crate::service::{HostAccess, SERVICES, Service};

/// Networks of a family that a port can have.
pub const NETS: usize = 4;
/// EtherTypes that a port can have beside IPv4, ARP and IPv6.
pub const ETHER_TYPES: usize = 4;

/// Permissions: what a port may send beside what every port may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Permissions(u16);

impl Permissions {
    /// Nothing special.
    pub const NONE: Self = Self(0);
    /// Frames with VLAN tags, at most two.
    pub const VLAN: Self = Self(1);
    /// What a router says: advertisements and redirects of ICMP and ICMPv6, and errors about packets of others that it
    /// could not forward ([`Self::ICMP_ERRORS`] is for these alone).
    pub const ROUTER: Self = Self(1 << 1);
    /// A DHCP and DHCPv6 server's messages, and what a relay passes between servers and clients.
    pub const DHCP_SERVER: Self = Self(1 << 2);
    /// A DHCP client's messages from 0.0.0.0.
    pub const DHCP_CLIENT: Self = Self(1 << 3);
    /// Packets from `::` in detection of duplicate addresses, router solicitations and multicast reports.
    pub const UNSPECIFIED: Self = Self(1 << 4);
    /// What a multicast router says: queries and everything else of IGMP and MLD that is no report, multicast router
    /// discovery, and PIM. A snooping bridge sends all multicast to a port that such messages come from.
    pub const MULTICAST_ROUTER: Self = Self(1 << 5);
    /// ICMP and ICMPv6 errors about packets that were not sent to the port's addresses, as a gateway sends them that
    /// translates addresses, or a load balancer.
    pub const ICMP_ERRORS: Self = Self(1 << 6);
    /// DHCP and DHCPv6 clients' messages on behalf of others: with other hardware addresses and leases than the
    /// port's, and passed on to a server by a relay.
    pub const DHCP_RELAY: Self = Self(1 << 7);

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These, but not those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are among these.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is among these.
    #[must_use]
    pub const fn has_any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// A MAC address as a number: its first byte is the highest of six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Mac(pub u64);

impl Mac {
    /// The number of an address.
    #[inline(always)]
    #[must_use]
    pub const fn new([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self((u16::from_be_bytes([a, b]) as u64) << 32 | u32::from_be_bytes([c, d, e, f]) as u64)
    }
}

/// A network as it is compared with what lies in a frame: both in network byte order. An address is its if it is the
/// same in the bits of the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Net4 {
    address: u32,
    mask: u32,
}

/// As [`Net4`], in two halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
struct Net6 {
    address: [u64; 2],
    mask: [u64; 2],
}

impl Net4 {
    /// An unused place has the unspecified address alone, which is nobody's: [`Rules::has_ipv4`] never looks for it.
    /// (Version 0.1.0 wrote the broadcast address here, and so let it pass as a port's own.)
    const UNUSED: Self = Self { address: 0, mask: u32::MAX };
}

impl Net6 {
    /// As [`Net4::UNUSED`].
    const UNUSED: Self = Self { address: [0; 2], mask: [u64::MAX; 2] };
}

/// What a port may send. Plain data of a fixed size: user space writes it into the map, the program reads it there.
///
/// ```
/// use core::net::Ipv4Addr;
/// use netns_packet::{Permissions, Rules};
///
/// let rules = Rules::new([2, 0, 0, 0, 0, 1])
///     .with_ipv4(Ipv4Addr::new(10, 1, 1, 1), 32)?
///     .permitting(Permissions::DHCP_CLIENT);
/// assert_eq!(rules.mac(), [2, 0, 0, 0, 0, 1]);
/// # Ok::<(), netns_packet::RulesFull>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Rules {
    mac: Mac,
    permissions: Permissions,
    /// Unused places are 0, which is no EtherType.
    ether_types: [u16; ETHER_TYPES],
    /// What may be sent to the host, and whether it is not to pass anything on: 0 for no restriction.
    host: u16,
    /// Zero.
    reserved: [u16; 2],
    v4: [Net4; NETS],
    v6: [Net6; NETS],
    services: [Service; SERVICES],
}

/// The bits of [`Rules::host`] that say what may be sent to the host itself.
const ACCESS: u16 = 3;
/// The bit that says that the host is not to pass anything on.
const NO_FORWARDING: u16 = 1 << 2;

const _: () = {
    assert!(size_of::<Rules>() == 216 && align_of::<Rules>() == 8);
    assert!(core::mem::offset_of!(Rules, permissions) == 8);
    assert!(core::mem::offset_of!(Rules, ether_types) == 10);
    assert!(core::mem::offset_of!(Rules, host) == 18);
    assert!(core::mem::offset_of!(Rules, v4) == 24);
    assert!(core::mem::offset_of!(Rules, v6) == 56);
    assert!(core::mem::offset_of!(Rules, services) == 184);
};

/// The rules have no room for one more network, EtherType or service: they have [`NETS`] of each family, [`ETHER_TYPES`],
/// and [`SERVICES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RulesFull;

impl fmt::Display for RulesFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a port has at most {NETS} networks of each family, {ETHER_TYPES} EtherTypes of its own, and {SERVICES} \
             services of the host"
        )
    }
}

impl core::error::Error for RulesFull {}

impl Rules {
    /// A port with this MAC address and the link-local address that is made of it, which may send IPv4, ARP and IPv6, and
    /// test its addresses.
    ///
    /// The link-local address is the port's because every stack takes one when its interface comes up, and reports its
    /// groups and asks for routers from there; [`Self::without_ipv6`] takes it away. A stack that does not make it of the
    /// MAC address (`addrgenmode stable_secret` or `random`, NetworkManager's `stable-privacy`, Windows) needs it among
    /// its networks, or all of `fe80::/64`, with which it can pretend to be any host of the link.
    #[must_use]
    pub const fn new(mac: [u8; 6]) -> Self {
        let link_local = Net6 { address: halves(link_local(mac)), mask: [u64::MAX; 2] };
        Self {
            mac: Mac::new(mac),
            permissions: Permissions::UNSPECIFIED,
            ether_types: [0; ETHER_TYPES],
            host: 0,
            reserved: [0; 2],
            v4: [Net4::UNUSED; NETS],
            // The last of the places, since most packets come from others.
            v6: [Net6::UNUSED, Net6::UNUSED, Net6::UNUSED, link_local],
            services: [Service::NONE; SERVICES],
        }
    }

    /// A port that may send nothing: every frame has the reason [`Reason::Closed`], whatever is added to these rules.
    #[must_use]
    pub const fn closed() -> Self {
        // No address has more than 48 bits, so no frame's source is this one.
        Self { mac: Mac(u64::MAX), ..Self::new([0; 6]).without_ipv6() }
    }

    /// Whether these are the rules of [`Self::closed`].
    #[inline(always)]
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.mac.0 == u64::MAX
    }

    /// The reason that a frame has, by these rules, in which this one was found.
    #[inline(always)]
    #[must_use]
    pub const fn reason(&self, found: Reason) -> Reason {
        if self.is_closed() { Reason::Closed } else { found }
    }

    /// The same without any IPv6: no address, and nothing from `::`. What was given by [`Self::with_ipv6`] goes too.
    #[must_use]
    pub const fn without_ipv6(mut self) -> Self {
        self.v6 = [Net6::UNUSED; NETS];
        self.permissions = self.permissions.without(Permissions::UNSPECIFIED);
        self
    }

    /// With an IPv4 network: every address that has the first `prefix` bits of this one. 32 is the address alone, 0
    /// any address, as a gateway's port needs.
    ///
    /// # Errors
    /// If there are [`NETS`] already.
    pub fn with_ipv4(mut self, address: Ipv4Addr, prefix: u8) -> Result<Self, RulesFull> {
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0).to_be();
        let address = u32::from_ne_bytes(address.octets()) & mask;
        let place = self.v4.iter_mut().find(|net| **net == Net4::UNUSED).ok_or(RulesFull)?;
        *place = Net4 { address, mask };
        Ok(self)
    }

    /// With an IPv6 network, as [`Self::with_ipv4`].
    ///
    /// # Errors
    /// If there are [`NETS`] already, of which the link-local address is one.
    pub fn with_ipv6(mut self, address: Ipv6Addr, prefix: u8) -> Result<Self, RulesFull> {
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
        let mask = halves(mask.to_be_bytes());
        let octets = halves(address.octets());
        let place = self.v6.iter_mut().find(|net| **net == Net6::UNUSED).ok_or(RulesFull)?;
        *place = Net6 { address: [octets[0] & mask[0], octets[1] & mask[1]], mask };
        Ok(self)
    }

    /// With the link-local address that is made of the MAC address. [`Self::new`] has given it already, unless
    /// [`Self::without_ipv6`] took it away.
    ///
    /// # Errors
    /// If there are [`NETS`] IPv6 networks already, and it is in none of them.
    pub fn with_link_local(self) -> Result<Self, RulesFull> {
        if self.has_ipv6(halves(link_local(self.mac()))) {
            return Ok(self);
        }
        self.with_ipv6(self.link_local(), 128)
    }

    /// The link-local address that is made of the MAC address (RFC 4291, appendix A), as Linux does where
    /// `addr_gen_mode` is 0.
    #[must_use]
    pub fn link_local(&self) -> Ipv6Addr {
        Ipv6Addr::from(link_local(self.mac()))
    }

    /// With one more EtherType.
    ///
    /// # Errors
    /// If there are [`ETHER_TYPES`] already.
    pub fn with_ether_type(mut self, ether_type: u16) -> Result<Self, RulesFull> {
        *self.ether_types.iter_mut().find(|place| **place == 0).ok_or(RulesFull)? = ether_type;
        Ok(self)
    }

    /// With this much of the host within reach; by default everything is.
    ///
    /// It holds where the program is on the bridge itself too, since that is where the host receives.
    #[must_use]
    pub const fn with_host(mut self, access: HostAccess) -> Self {
        let access = match access {
            HostAccess::Everything => 0,
            HostAccess::Nothing => 1,
            HostAccess::Neighbours => 2,
            HostAccess::Services => ACCESS,
        };
        self.host = self.host & !ACCESS | access;
        self
    }

    /// With one more service of the host within reach, and nothing of it that is not [`HostAccess::Services`].
    ///
    /// # Errors
    /// If there are [`SERVICES`] already.
    pub fn with_service(mut self, service: Service) -> Result<Self, RulesFull> {
        *self.services.iter_mut().find(|place| **place == Service::NONE).ok_or(RulesFull)? = service;
        Ok(self.with_host(HostAccess::Services))
    }

    /// With nothing that the host would pass on, by its routes, to somebody else: to another bridge, to the internet. By
    /// default it may be. As [`Self::with_host`], it holds where the program is on the bridge too.
    ///
    /// What the host passes on although it goes to one of its own addresses (a published port, DNAT) is not meant.
    #[must_use]
    pub const fn without_forwarding(mut self) -> Self {
        self.host |= NO_FORWARDING;
        self
    }

    /// What may be sent to the host itself.
    #[inline(always)]
    #[must_use]
    pub const fn host_access(&self) -> HostAccess {
        match self.host & ACCESS {
            0 => HostAccess::Everything,
            1 => HostAccess::Nothing,
            2 => HostAccess::Neighbours,
            _ => HostAccess::Services,
        }
    }

    /// The services of the host that are within reach, where [`HostAccess::Services`] are.
    #[cfg(not(target_arch = "bpf"))]
    pub fn host_services(&self) -> impl Iterator<Item = Service> {
        self.services.into_iter().filter(|service| *service != Service::NONE)
    }

    /// Whether the host may pass on what the port sends.
    #[inline(always)]
    #[must_use]
    pub const fn forwards(&self) -> bool {
        self.host & NO_FORWARDING == 0
    }

    /// Whether the host is not wholly within reach, or is not to pass everything on.
    #[inline(always)]
    #[must_use]
    pub const fn restricts_host(&self) -> bool {
        self.host != 0
    }

    #[inline(always)]
    pub(super) const fn services(&self) -> &[Service; SERVICES] {
        &self.services
    }

    /// With these permissions too.
    #[must_use]
    pub const fn permitting(mut self, permissions: Permissions) -> Self {
        self.permissions = self.permissions.with(permissions);
        self
    }

    /// With these permissions and no others.
    #[must_use]
    pub const fn permitting_only(mut self, permissions: Permissions) -> Self {
        self.permissions = permissions;
        self
    }

    /// The port's MAC address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.mac.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// The words that it is made of, as they lie in memory.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn to_words(&self) -> [u64; size_of::<Self>() / size_of::<u64>()] {
        let [t0, t1, t2, t3] = self.ether_types;
        let [r0, r1] = self.reserved;
        let mut words = [0; size_of::<Self>() / size_of::<u64>()];
        words[0] = self.mac.0;
        words[1] = word([self.permissions.0, t0, t1, t2].map(u16::to_ne_bytes));
        words[2] = word([t3, self.host, r0, r1].map(u16::to_ne_bytes));
        for (place, net) in words[3..].iter_mut().zip(&self.v4) {
            *place = word([net.address, net.mask].map(u32::to_ne_bytes));
        }
        for (places, net) in words[3 + NETS..].chunks_exact_mut(4).zip(&self.v6) {
            places[..2].copy_from_slice(&net.address);
            places[2..].copy_from_slice(&net.mask);
        }
        let services = self.services.map(|service| service.to_word().to_ne_bytes());
        for (place, pair) in words[3 + NETS + NETS * 4..].iter_mut().zip(services.as_chunks().0) {
            let [one, other] = *pair;
            *place = word([one, other]);
        }
        words
    }

    /// The rules that lie in memory as these words: what [`Self::to_words`] gave.
    #[cfg(not(target_arch = "bpf"))]
    #[must_use]
    pub fn from_words(words: [u64; size_of::<Self>() / size_of::<u64>()]) -> Self {
        let bytes = words.map(u64::to_ne_bytes);
        let half = |word: usize, at: usize| {
            let [a, b] = [bytes[word][at], bytes[word][at + 1]];
            u16::from_ne_bytes([a, b])
        };
        let net4 = |place: usize| {
            let [a, b, c, d, e, f, g, h] = bytes[3 + place];
            Net4 { address: u32::from_ne_bytes([a, b, c, d]), mask: u32::from_ne_bytes([e, f, g, h]) }
        };
        let net6 = |place: usize| {
            let at = 3 + NETS + place * 4;
            Net6 { address: [words[at], words[at + 1]], mask: [words[at + 2], words[at + 3]] }
        };
        let service = |place: usize| {
            let [a, b, c, d, e, f, g, h] = bytes[3 + NETS + NETS * 4 + place / 2];
            let half = if place.is_multiple_of(2) { [a, b, c, d] } else { [e, f, g, h] };
            Service::from_word(u32::from_ne_bytes(half))
        };
        Self {
            mac: Mac(words[0]),
            permissions: Permissions(half(1, 0)),
            ether_types: [half(1, 2), half(1, 4), half(1, 6), half(2, 0)],
            host: half(2, 2),
            reserved: [0; 2],
            v4: core::array::from_fn(net4),
            v6: core::array::from_fn(net6),
            services: core::array::from_fn(service),
        }
    }

    #[inline(always)]
    pub(super) const fn permits(&self, permission: Permissions) -> bool {
        self.permissions.contains(permission)
    }

    #[inline(always)]
    pub(super) const fn mac_number(&self) -> Mac {
        self.mac
    }

    #[inline(always)]
    pub(super) const fn is_mac(&self, mac: Mac) -> bool {
        self.mac.0 == mac.0
    }

    #[inline(always)]
    pub(super) fn has_ether_type(&self, ether_type: u16) -> bool {
        ether_type != 0 && self.ether_types.contains(&ether_type)
    }

    #[inline(always)]
    pub(super) const fn permits_any(&self, permissions: Permissions) -> bool {
        self.permissions.has_any(permissions)
    }

    /// An address as it lies in memory. The unspecified one is nobody's, whatever the networks.
    #[inline(always)]
    pub(super) fn has_ipv4(&self, address: u32) -> bool {
        address != 0 && self.v4.iter().any(|net| (address ^ net.address) & net.mask == 0)
    }

    /// Whether the first of the networks has an address, as it lies in memory, which is not the unspecified one.
    #[inline(always)]
    pub(super) const fn is_first_ipv4(&self, address: u32) -> bool {
        let [first, ..] = &self.v4;
        (address ^ first.address) & first.mask == 0
    }

    /// An address as it lies in memory, in two halves; as [`Self::has_ipv4`].
    #[inline(always)]
    pub(super) fn has_ipv6(&self, [high, low]: [u64; 2]) -> bool {
        let is_in = |net: &Net6| {
            ((high ^ net.address[0]) & net.mask[0]) | ((low ^ net.address[1]) & net.mask[1]) == 0
        };
        (high | low) != 0 && self.v6.iter().any(is_in)
    }
}

/// The link-local address that is made of a MAC address.
const fn link_local([a, b, c, d, e, f]: [u8; 6]) -> [u8; 16] {
    [0xFE, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xFF, 0xFE, d, e, f]
}

/// Numbers that lie in a word one after the other, as that word.
#[cfg(not(target_arch = "bpf"))]
fn word<const N: usize, const M: usize>(numbers: [[u8; N]; M]) -> u64 {
    u64::from_ne_bytes(core::array::from_fn(|at| numbers[at / N][at % N]))
}

/// Sixteen bytes as two words, as they lie in memory.
#[inline(always)]
const fn halves(bytes: [u8; 16]) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    [u64::from_ne_bytes([a, b, c, d, e, f, g, h]), u64::from_ne_bytes([i, j, k, l, m, n, o, p])]
}
