//! What a policy says of destinations, one rule a line, and the lists of what nobody should reach by accident.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use crate::layout::{EGRESS_BITS, EgressKey, EgressRange};
use crate::protocol;

/// A network of destinations. IPv4 is a part of IPv6, as mapped addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EgressPrefix {
    /// The address as a number, with zeros after the network's bits.
    address: u128,
    bits: u8,
}

/// How many bits the addresses that IPv4 is mapped to have in common.
const MAPPED_BITS: u8 = 96;
/// The first of them.
const MAPPED: u128 = 0xFFFF << 32;

impl EgressPrefix {
    /// Every address.
    pub const ANY: Self = Self { address: 0, bits: 0 };

    /// Every IPv4 address that has the first `bits` bits of this one; 32 is the address alone.
    #[must_use]
    pub const fn v4(address: Ipv4Addr, bits: u8) -> Self {
        let bits = if bits < 32 { bits } else { 32 };
        Self::new(address.to_ipv6_mapped(), MAPPED_BITS + bits)
    }

    /// Every IPv6 address that has the first `bits` bits of this one; 128 is the address alone. With 0, that is every address.
    #[must_use]
    pub const fn new(address: Ipv6Addr, bits: u8) -> Self {
        let bits = if bits < 128 { bits } else { 128 };
        let mask = if bits == 0 { 0 } else { u128::MAX << (128 - bits) };
        Self { address: address.to_bits() & mask, bits }
    }

    /// An address alone.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::v4(address, 32),
            IpAddr::V6(address) => Self::new(address, 128),
        }
    }

    /// Whether it has all addresses of another.
    #[must_use]
    pub const fn contains(&self, other: &Self) -> bool {
        self.bits <= other.bits
            && Self::new(Ipv6Addr::from_bits(other.address), self.bits).address == self.address
    }

    /// Whether all of its addresses are IPv4's.
    #[must_use]
    pub const fn is_v4(&self) -> bool {
        Self { address: MAPPED, bits: MAPPED_BITS }.contains(self)
    }

    /// The wider network with so many bits, which has all of this one's addresses.
    #[must_use]
    pub const fn shortened(&self, bits: u8) -> Self {
        let bits = if bits < self.bits { bits } else { self.bits };
        Self::new(Ipv6Addr::from_bits(self.address), bits)
    }

    /// What is judged in its place: of an address that a translator makes an IPv4 address of, that one.
    #[must_use]
    pub const fn judged(&self) -> Self {
        const TRANSLATED: u128 = 0x0064_FF9B << 96;
        let is_translated = self.bits >= MAPPED_BITS && self.address >> 32 == TRANSLATED >> 32;
        if is_translated {
            Self { address: MAPPED | self.address & 0xFFFF_FFFF, bits: self.bits }
        } else {
            *self
        }
    }

    /// The address alone that lies in memory as these words.
    #[must_use]
    pub fn from_words(address: [u32; 4]) -> Self {
        Self::from_key(EgressKey { bits: EGRESS_BITS, address })
    }

    /// As the trie has it.
    #[must_use]
    pub fn key(&self) -> EgressKey {
        let mut address = [0; 4];
        for (word, bytes) in address.iter_mut().zip(self.address.to_be_bytes().as_chunks().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        EgressKey { bits: self.bits.into(), address }
    }

    /// The network of a key of the trie.
    #[must_use]
    pub fn from_key(key: EgressKey) -> Self {
        let mut bytes = [0; 16];
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip(key.address) {
            *place = word.to_ne_bytes();
        }
        Self::new(Ipv6Addr::from(bytes), u8::try_from(key.bits.min(EGRESS_BITS)).unwrap_or(0))
    }
}

impl fmt::Display for EgressPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.address);
        match address.to_ipv4_mapped() {
            _ if *self == Self::ANY => f.write_str("any"),
            Some(v4) if self.is_v4() => write!(f, "{v4}/{}", self.bits - MAPPED_BITS),
            _ => write!(f, "{address}/{}", self.bits),
        }
    }
}

impl FromStr for EgressPrefix {
    type Err = NoEgressRule;

    /// `10.0.0.0/8`, `10.1.1.1`, `fd00::/8`, `any`.
    fn from_str(text: &str) -> Result<Self, NoEgressRule> {
        if text == "any" {
            return Ok(Self::ANY);
        }
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(number(bits).ok_or(NoEgressRule("no prefix length"))?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoEgressRule("no address"))?;
        let prefix = match (address, bits) {
            (IpAddr::V4(_), Some(33..)) | (_, Some(129..)) => {
                return Err(NoEgressRule("the prefix is too long"));
            }
            (IpAddr::V4(address), bits) => Self::v4(address, bits.unwrap_or(32)),
            (IpAddr::V6(address), bits) => Self::new(address, bits.unwrap_or(128)),
        };
        let host = match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        if prefix.address != host.to_bits() {
            return Err(NoEgressRule("the address has bits beyond its prefix"));
        }
        // Somebody who means IPv6 alone would be surprised.
        if !prefix.is_v4() && prefix.contains(&Self { address: MAPPED, bits: MAPPED_BITS }) {
            return Err(NoEgressRule(
                "all of IPv4 is in that prefix: \"any\" is every address, 2000::/3 the IPv6 internet",
            ));
        }
        Ok(prefix)
    }
}

/// A decimal number without a sign.
fn number<T: FromStr>(text: &str) -> Option<T> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// A line of a policy: what is sent to a network is allowed or refused, all of it or that of a protocol and its ports.
///
/// ```
/// use netns_packet::EgressRule;
///
/// let rule: EgressRule = "allow 203.0.113.0/24 tcp/443".parse()?;
/// assert_eq!(rule.to_string(), "allow 203.0.113.0/24 tcp/443");
/// for rule in ["deny any tcp/25", "allow 192.0.2.1/32 udp/5000-5999", "allow fd00::/8 icmp", "allow fd00::/8 protocol/47"] {
///     assert_eq!(rule.parse::<EgressRule>()?.to_string(), rule);
/// }
/// # Ok::<(), netns_packet::NoEgressRule>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EgressRule {
    prefix: EgressPrefix,
    range: EgressRange,
}

impl EgressRule {
    /// All that is sent to a network is allowed. Tunnels are not where [`EgressList::Tunnels`] is refused.
    #[must_use]
    pub const fn allow(prefix: EgressPrefix) -> Self {
        Self { prefix, range: EgressRange::new(0, EgressRange::ALLOW, None) }
    }

    /// All that is sent to a network is refused.
    #[must_use]
    pub const fn deny(prefix: EgressPrefix) -> Self {
        Self { prefix, range: EgressRange::REFUSE }
    }

    /// Only what is of the protocol with this number and, of TCP, UDP and SCTP, to a port between these two, of ICMP and ICMPv6
    /// with a type between these two.
    #[must_use]
    pub const fn only(self, protocol: u8, ports: Option<[u16; 2]>) -> Self {
        let flags = if self.is_allowed() { EgressRange::ALLOW } else { 0 };
        Self { range: EgressRange::new(protocol, flags, ports), ..self }
    }

    /// The network.
    #[must_use]
    pub const fn prefix(&self) -> EgressPrefix {
        self.prefix
    }

    /// Whether what it describes is allowed.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        self.range.has(EgressRange::ALLOW)
    }

    /// What it describes, as the trie has it.
    #[must_use]
    pub const fn range(&self, refuses_tunnels: bool) -> EgressRange {
        let is_all = self.range.protocol() == 0;
        if is_all && self.is_allowed() && refuses_tunnels {
            self.range.with(EgressRange::NO_TUNNELS)
        } else {
            self.range
        }
    }
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", if self.is_allowed() { "allow" } else { "deny" }, self.prefix)?;
        let (word, protocol) = (self.range.to_word(), self.range.protocol());
        match protocol {
            0 => return Ok(()),
            protocol::TCP => f.write_str(" tcp")?,
            protocol::UDP => f.write_str(" udp")?,
            protocol::SCTP => f.write_str(" sctp")?,
            protocol::ICMP | protocol::ICMPV6 if (protocol == protocol::ICMP) == self.prefix.is_v4() => {
                f.write_str(" icmp")?;
            }
            other => return write!(f, " protocol/{other}"),
        }
        match ((word >> 16) as u16, (word >> 32) as u16) {
            _ if !self.range.has(EgressRange::PORTS) => Ok(()),
            (from, to) if from == to => write!(f, "/{from}"),
            (from, to) => write!(f, "/{from}-{to}"),
        }
    }
}

impl FromStr for EgressRule {
    type Err = NoEgressRule;

    fn from_str(text: &str) -> Result<Self, NoEgressRule> {
        let mut words = text.split_ascii_whitespace();
        let make: fn(EgressPrefix) -> Self = match words.next() {
            Some("allow") => Self::allow,
            Some("deny") => Self::deny,
            _ => return Err(NoEgressRule("it begins with neither \"allow\" nor \"deny\"")),
        };
        let prefix: EgressPrefix = words.next().ok_or(NoEgressRule("no network"))?.parse()?;
        let rule = make(prefix);
        let Some(service) = words.next() else { return Ok(rule) };
        if words.next().is_some() {
            return Err(NoEgressRule("one network and one service a rule"));
        }
        let (name, ports) = match service.split_once('/') {
            Some((name, ports)) => (name, Some(ports)),
            None => (service, None),
        };
        let protocol = match name {
            "tcp" => protocol::TCP,
            "udp" => protocol::UDP,
            "sctp" => protocol::SCTP,
            "icmp" if prefix.is_v4() => protocol::ICMP,
            "icmp" if prefix == EgressPrefix::ANY => {
                return Err(NoEgressRule(
                    "ICMP is another protocol in IPv4 and in IPv6: protocol/1, protocol/58",
                ));
            }
            "icmp" => protocol::ICMPV6,
            "protocol" => {
                let number = ports.and_then(number).filter(|number| *number != 0);
                return Ok(rule.only(number.ok_or(NoEgressRule("no number of a protocol"))?, None));
            }
            _ => return Err(NoEgressRule("no service: tcp, udp, sctp, icmp, or protocol/47 (any number)")),
        };
        let Some(ports) = ports else { return Ok(rule.only(protocol, None)) };
        let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
        match (number(from), number(to)) {
            (Some(from), Some(to)) if from <= to => Ok(rule.only(protocol, Some([from, to]))),
            _ => Err(NoEgressRule("no port and no range of ports")),
        }
    }
}

/// A text that is no [`EgressRule`], and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEgressRule(&'static str);

impl fmt::Display for NoEgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no rule for destinations, such as \"allow 203.0.113.0/24 tcp/443\": {}", self.0)
    }
}

impl core::error::Error for NoEgressRule {}

/// Destinations that a policy refuses unless it says otherwise, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum EgressList {
    /// Services that say to a machine of a cloud who it is, with its credentials: 169.254.169.254 (AWS, Google, Azure and
    /// others), 169.254.170.2 and 169.254.170.23 (ECS, EKS), 168.63.129.16 (Azure), 100.100.100.200 (Alibaba),
    /// `fd00:ec2::254` and `fd00:ec2::23` (AWS), `fd20:ce::254` (Google).
    Metadata,
    /// The host itself: 127.0.0.0/8, 0.0.0.0/8, which Linux takes for it, and `::/96` with `::1`.
    Loopback,
    /// 169.254.0.0/16, `fe80::/10` but for neighbour discovery, and `fec0::/10`.
    LinkLocal,
    /// 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 (RFC 1918) and `fc00::/7` (RFC 4193).
    Private,
    /// 100.64.0.0/10, which providers use between themselves and their customers (RFC 6598).
    Shared,
    /// Groups that routers pass on: 224.0.0.0/4 but for 224.0.0.0/24, and `ff00::/8` but for `ff01::/16` and `ff02::/16`.
    Multicast,
    /// What carries packets to elsewhere: 6to4 (`2002::/16`, 192.88.99.0/24), Teredo (`2001::/32`), and whatever allows all
    /// protocols allows all but IP in IP, IPv6 in IP and GRE.
    Tunnels,
    /// `64:ff9b:1::/48`, of which only its translator knows where in it the IPv4 address is. (What goes to `64:ff9b::/96` is
    /// judged by the IPv4 address in it, whatever the policy.)
    Nat64,
    /// What is no destination in the internet, so that somebody near may have it: 240.0.0.0/4 but for 255.255.255.255,
    /// 192.0.0.0/24, 198.18.0.0/15 (RFC 6890), `::ffff:0:0:0/96` (RFC 2765, IPv4 as some translators write it), `2001:2::/48`,
    /// and what is not in `2000::/3`, `fc00::/7`, `fe80::/9`, `ff00::/8` and `::/8`, since no IPv6 unicast address is
    /// (<https://www.iana.org/assignments/ipv6-address-space>). Networks for documentation are not in it.
    Reserved,
}

const fn deny4(address: [u8; 4], bits: u8) -> EgressRule {
    let [a, b, c, d] = address;
    EgressRule::deny(EgressPrefix::v4(Ipv4Addr::new(a, b, c, d), bits))
}

const fn deny6(address: [u16; 8], bits: u8) -> EgressRule {
    EgressRule::deny(prefix6(address, bits))
}

const fn prefix6([a, b, c, d, e, f, g, h]: [u16; 8], bits: u8) -> EgressPrefix {
    EgressPrefix::new(Ipv6Addr::new(a, b, c, d, e, f, g, h), bits)
}

/// What hosts of one link say to each other, and routers never pass on: it goes no further, whatever a policy says of the
/// networks around it. Messages of neighbour discovery are ICMPv6's from 133 to 137.
pub(super) const LINK: [EgressRule; 5] = [
    EgressRule::allow(EgressPrefix::v4(Ipv4Addr::new(224, 0, 0, 0), 24)),
    EgressRule::allow(EgressPrefix::v4(Ipv4Addr::BROADCAST, 32)),
    EgressRule::allow(prefix6([0xFF01, 0, 0, 0, 0, 0, 0, 0], 16)),
    EgressRule::allow(prefix6([0xFF02, 0, 0, 0, 0, 0, 0, 0], 16)),
    EgressRule::allow(prefix6([0xFE80, 0, 0, 0, 0, 0, 0, 0], 10)).only(protocol::ICMPV6, Some([133, 137])),
];

impl EgressList {
    /// Every list.
    pub const ALL: [Self; 9] = [
        Self::Metadata,
        Self::Loopback,
        Self::LinkLocal,
        Self::Private,
        Self::Shared,
        Self::Multicast,
        Self::Tunnels,
        Self::Nat64,
        Self::Reserved,
    ];

    /// What it refuses.
    #[must_use]
    pub const fn rules(self) -> &'static [EgressRule] {
        match self {
            Self::Metadata => {
                const {
                    &[
                        deny4([169, 254, 169, 254], 32),
                        deny4([169, 254, 170, 2], 32),
                        deny4([169, 254, 170, 23], 32),
                        deny4([168, 63, 129, 16], 32),
                        deny4([100, 100, 100, 200], 32),
                        deny6([0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x254], 128),
                        deny6([0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x23], 128),
                        deny6([0xFD20, 0xCE, 0, 0, 0, 0, 0, 0x254], 128),
                    ]
                }
            }
            Self::Loopback => const { &[deny4([127, 0, 0, 0], 8), deny4([0; 4], 8), deny6([0; 8], 96)] },
            Self::LinkLocal => {
                const {
                    &[
                        deny4([169, 254, 0, 0], 16),
                        deny6([0xFE80, 0, 0, 0, 0, 0, 0, 0], 10),
                        deny6([0xFEC0, 0, 0, 0, 0, 0, 0, 0], 10),
                    ]
                }
            }
            Self::Private => {
                const {
                    &[
                        deny4([10, 0, 0, 0], 8),
                        deny4([172, 16, 0, 0], 12),
                        deny4([192, 168, 0, 0], 16),
                        deny6([0xFC00, 0, 0, 0, 0, 0, 0, 0], 7),
                    ]
                }
            }
            Self::Shared => const { &[deny4([100, 64, 0, 0], 10)] },
            Self::Multicast => const { &[deny4([224, 0, 0, 0], 4), deny6([0xFF00, 0, 0, 0, 0, 0, 0, 0], 8)] },
            Self::Tunnels => {
                const {
                    &[
                        deny4([192, 88, 99, 0], 24),
                        deny6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
                        deny6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
                    ]
                }
            }
            Self::Nat64 => const { &[deny6([0x64, 0xFF9B, 1, 0, 0, 0, 0, 0], 48)] },
            Self::Reserved => {
                const {
                    &[
                        deny4([240, 0, 0, 0], 4),
                        deny4([192, 0, 0, 0], 24),
                        deny4([198, 18, 0, 0], 15),
                        deny6([0, 0, 0, 0, 0xFFFF, 0, 0, 0], 96),
                        deny6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48),
                        deny6([0x100, 0, 0, 0, 0, 0, 0, 0], 8),
                        deny6([0x200, 0, 0, 0, 0, 0, 0, 0], 7),
                        deny6([0x400, 0, 0, 0, 0, 0, 0, 0], 6),
                        deny6([0x800, 0, 0, 0, 0, 0, 0, 0], 5),
                        deny6([0x1000, 0, 0, 0, 0, 0, 0, 0], 4),
                        deny6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2),
                        deny6([0x8000, 0, 0, 0, 0, 0, 0, 0], 2),
                        deny6([0xC000, 0, 0, 0, 0, 0, 0, 0], 3),
                        deny6([0xE000, 0, 0, 0, 0, 0, 0, 0], 4),
                        deny6([0xF000, 0, 0, 0, 0, 0, 0, 0], 5),
                        deny6([0xF800, 0, 0, 0, 0, 0, 0, 0], 6),
                        deny6([0xFE00, 0, 0, 0, 0, 0, 0, 0], 9),
                    ]
                }
            }
        }
    }

    /// What is never refused by a list or by the verdict for everything else, because it goes no further than the link.
    #[must_use]
    pub const fn link() -> &'static [EgressRule] {
        &LINK
    }

    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
            Self::Shared => "shared",
            Self::Multicast => "multicast",
            Self::Tunnels => "tunnels",
            Self::Nat64 => "nat64",
            Self::Reserved => "reserved",
        }
    }
}

impl fmt::Display for EgressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EgressList {
    type Err = NoEgressList;

    fn from_str(text: &str) -> Result<Self, NoEgressList> {
        Self::ALL.into_iter().find(|list| list.name() == text).ok_or(NoEgressList)
    }
}

/// A text that names no [`EgressList`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoEgressList;

impl fmt::Display for NoEgressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no list of destinations; expected one of")?;
        EgressList::ALL.into_iter().try_for_each(|list| write!(f, " \"{list}\""))
    }
}

impl core::error::Error for NoEgressList {}
