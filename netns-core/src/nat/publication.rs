//! Ports of the host that are published.

use crate::error::Operation;
use crate::{Error, Result};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum PortProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl PortProtocol {
    const ALL: [Self; 3] = [Self::Tcp, Self::Udp, Self::Sctp];

    /// `IPPROTO_*`.
    #[must_use]
    pub const fn number(self) -> u8 {
        (match self {
            Self::Tcp => libc::IPPROTO_TCP,
            Self::Udp => libc::IPPROTO_UDP,
            Self::Sctp => libc::IPPROTO_SCTP,
        }) as u8
    }

    pub(super) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.number() == number)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl fmt::Display for PortProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for PortProtocol {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|protocol| protocol.name() == text);
        found.ok_or_else(|| {
            Error::invalid(Operation::PublishPort, format!("{text:?}"), "the protocol is tcp, udp or sctp")
        })
    }
}

/// A port of the host, or several one after the other, and where packets to them go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Publication {
    /// An address of the host; `None` for all that it has, of the family of `to`.
    ///
    /// A port that is published at an address and at all goes where the first of both says.
    pub address: Option<IpAddr>,
    /// The first port.
    pub port: u16,
    /// How many ports there are.
    pub count: u16,
    /// The protocol.
    pub protocol: PortProtocol,
    /// The sandbox's address, and its port for the first of the host's; the others follow.
    pub to: SocketAddr,
}

impl Publication {
    /// One port, at all addresses of the host.
    #[must_use]
    pub const fn new(protocol: PortProtocol, port: u16, to: SocketAddr) -> Self {
        Self { address: None, port, count: 1, protocol, to }
    }

    /// Each of its ports by itself; of one that [`Self::check`] refuses, those that there are.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (0..self.count).map(move |number| Self {
            port: self.port.saturating_add(number),
            count: 1,
            to: SocketAddr::new(self.to.ip(), self.to.port().saturating_add(number)),
            ..self
        })
    }

    /// Whether it makes sense by itself.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn check(&self) -> Result<()> {
        let refused = |why: &'static str| Err(Error::invalid(Operation::PublishPort, self.to_string(), why));
        let ends = |first: u16| first.checked_add(self.count.saturating_sub(1));
        if self.count == 0 || self.port == 0 || self.to.port() == 0 {
            return refused("a port is a number from 1 to 65535");
        }
        if ends(self.port).is_none() || ends(self.to.port()).is_none() {
            return refused("the range goes past port 65535");
        }
        match self.address {
            Some(address) if address.is_ipv4() != self.to.is_ipv4() => {
                refused("the host's address and the sandbox's are of different families")
            }
            Some(IpAddr::V6(address)) if address.is_loopback() => refused(
                "the kernel lets no packet to or from [::1] leave the host: publish another address of the host",
            ),
            Some(address) if address.is_unspecified() => {
                refused("all addresses of the host are meant by leaving the address out")
            }
            _ => Ok(()),
        }
    }
}

/// `tcp 192.0.2.1:8080 -> 10.99.0.2:80`, with `*` for all addresses of the host.
impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.protocol)?;
        match self.address {
            Some(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port)?,
            Some(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port)?,
            None => write!(f, "*:{}", self.port)?,
        }
        if self.count > 1 {
            write!(f, "-{}", u32::from(self.port) + u32::from(self.count) - 1)?;
        }
        write!(f, " -> {}", self.to)
    }
}

/// A port that is published, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Published {
    /// The port, by itself.
    pub publication: Publication,
    /// Whose it is: what [`super::Nat::publish`] was called with.
    pub owner: String,
}
