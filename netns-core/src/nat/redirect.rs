//! Ports of anywhere that lead to the host itself: to a proxy.

use super::publication::PortProtocol;
use crate::error::Operation;
use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// What sandboxes send to a port, of whatever address, goes to a port of the host instead: to a proxy that listens there at all
/// addresses, or at the host's on the bridge.
///
/// `SO_ORIGINAL_DST` of a connection that the proxy accepts is where the sandbox sent it to; of IPv6 it is
/// `IP6T_SO_ORIGINAL_DST`, of the same number, at `SOL_IPV6`. For a sandbox that connects to the proxy itself that is the
/// proxy's own address. What the host sends is not redirected, so the proxy reaches the port.
///
/// ```
/// use netns_core::nat::Redirect;
///
/// let redirect: Redirect = "443:8443".parse()?;
/// assert_eq!((redirect.port, redirect.to), (443, 8443));
/// assert_eq!(redirect.to_string(), "443:8443/tcp");
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Redirect {
    /// The protocol.
    pub protocol: PortProtocol,
    /// The port that the sandboxes send to.
    pub port: u16,
    /// The port of the host.
    pub to: u16,
}

impl Redirect {
    /// Of TCP.
    #[must_use]
    pub const fn tcp(port: u16, to: u16) -> Self {
        Self { protocol: PortProtocol::Tcp, port, to }
    }

    /// Of UDP.
    #[must_use]
    pub const fn udp(port: u16, to: u16) -> Self {
        Self { protocol: PortProtocol::Udp, port, to }
    }

    /// Whether both are of the same port.
    #[must_use]
    pub fn is_of_port_of(&self, other: &Self) -> bool {
        (self.protocol, self.port) == (other.protocol, other.port)
    }
}

/// `443:8443/tcp`, as [`FromStr`] reads it.
impl fmt::Display for Redirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.port, self.to, self.protocol)
    }
}

/// `PORT:PORT[/tcp|/udp|/sctp]`: the sandboxes' and the host's, of TCP if nothing else is said.
impl FromStr for Redirect {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            let (port, to) = ports.split_once(':')?;
            let number = |text: &str| text.parse().ok().filter(|&port: &u16| port > 0);
            Some(Self { protocol: protocol.parse().ok()?, port: number(port)?, to: number(to)? })
        };
        read().ok_or_else(|| {
            let why = "expected \"PORT:PORT[/tcp|/udp|/sctp]\", such as \"443:8443\"";
            Error::invalid(Operation::MakeNat, format!("{text:?}"), why)
        })
    }
}
