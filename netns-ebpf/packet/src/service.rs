//! What a port may send to the host, and the services that it can be let to.

use core::fmt;
use core::str::FromStr;

use super::protocol;

/// Services of the host that a port can be let to.
pub const SERVICES: usize = 8;

/// What a port may send to the host itself, to whichever of its addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostAccess {
    /// Everything that it may send at all.
    #[default]
    Everything,
    /// Nothing, not even the question who has the host's address. What it sends to other ports, it may send; whether the
    /// host forwards for it is a question of its own ([`Rules::without_forwarding`](crate::Rules::without_forwarding)).
    Nothing,
    /// What hosts of one link need to find each other: ARP, neighbour discovery, and a DHCP client's messages.
    Neighbours,
    /// That, what goes to the services that are named, and what belongs to a connection that a socket of the host has:
    /// answers to the host, so that it reaches the port as before. Of ICMP, answers and errors.
    Services,
}

/// A service of the host: a port of TCP or UDP, all of TCP or UDP, or ICMP.
///
/// ```
/// use netns_packet::Service;
///
/// let dns: Service = "udp/53".parse()?;
/// assert_eq!(dns, Service::udp(53));
/// assert_eq!(["tcp".parse::<Service>()?, "icmp".parse()?].map(|service| service.to_string()), ["tcp", "icmp"]);
/// # Ok::<(), netns_packet::NoService>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Service(u32);

impl Service {
    /// The protocol's bits.
    pub(super) const PROTOCOL: u32 = 0xFFFF_0000;
    /// An unused place: protocol 0 is no service's.
    pub(super) const NONE: Self = Self(0);
    /// Echo requests and all else of ICMP and ICMPv6 that a port may send.
    pub const ICMP: Self = Self::new(protocol::ICMP, 0);

    /// What listens to this port of TCP; 0 stands for every port.
    #[must_use]
    pub const fn tcp(port: u16) -> Self {
        Self::new(protocol::TCP, port)
    }

    /// What listens to this port of UDP; 0 stands for every port.
    #[must_use]
    pub const fn udp(port: u16) -> Self {
        Self::new(protocol::UDP, port)
    }

    pub(super) const fn new(protocol: u8, port: u16) -> Self {
        Self((protocol as u32) << 16 | port as u32)
    }

    const fn protocol(self) -> u8 {
        (self.0 >> 16) as u8
    }

    const fn port(self) -> u16 {
        self.0 as u16
    }

    /// As it lies in memory.
    #[must_use]
    pub const fn to_word(self) -> u32 {
        self.0
    }

    /// What lies in memory as this.
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        Self(word)
    }
}

/// A text that names no [`Service`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoService;

impl fmt::Display for NoService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "no service of a host; expected one such as \"tcp/22\", \"udp/53\", \"tcp\", \"udp\" or \"icmp\"",
        )
    }
}

impl core::error::Error for NoService {}

impl FromStr for Service {
    type Err = NoService;

    fn from_str(text: &str) -> Result<Self, NoService> {
        match text.split_once('/') {
            None => match text {
                "icmp" => Ok(Self::ICMP),
                "tcp" => Ok(Self::tcp(0)),
                "udp" => Ok(Self::udp(0)),
                _ => Err(NoService),
            },
            Some((protocol, port)) => {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| *port != 0 && is_number).ok_or(NoService)?;
                match protocol {
                    "tcp" => Ok(Self::tcp(port)),
                    "udp" => Ok(Self::udp(port)),
                    _ => Err(NoService),
                }
            }
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.protocol() {
            protocol::TCP => "tcp",
            protocol::UDP => "udp",
            _ => "icmp",
        };
        if self.port() == 0 { f.write_str(name) } else { write!(f, "{name}/{}", self.port()) }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({self})")
    }
}
