//! Published ports in words: `8080:ns1:80`.

use netns_core::nat::{PortProtocol, Publication};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// Ports of the host that lead to a namespace, as files and command lines have them:
/// `[ADDRESS:]PORT[-PORT]:NAMESPACE:PORT[/tcp|/udp|/sctp]`.
///
/// ```
/// use netns_topology::PublishedPorts;
///
/// let ports: PublishedPorts = "192.0.2.1:8000-8010:ns1:80/udp".parse()?;
/// assert_eq!((ports.namespace(), ports.count), ("ns1", 11));
/// let both = "8080:ns1:80".parse::<PublishedPorts>()?;
/// let inside = ["10.1.1.1".parse().unwrap(), "fd11::1".parse().unwrap()];
/// assert_eq!(both.publications(&inside)?.len(), 2);
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPorts {
    /// An address of the host; `None` for all that it has.
    pub address: Option<IpAddr>,
    /// The first port of the host.
    pub first: u16,
    /// How many there are.
    pub count: u16,
    namespace: String,
    /// The namespace's port for the first; the others follow.
    pub to: u16,
    /// The protocol.
    pub protocol: PortProtocol,
}

const EXPECTED: &str =
    "expected \"[ADDRESS:]PORT[-PORT]:NAMESPACE:PORT[/tcp|/udp|/sctp]\", such as \"8080:ns1:80\"";

impl FromStr for PublishedPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let nonsense = || format!("{text:?} is not a published port; {EXPECTED}");
        let read = || {
            let (rest, protocol) = match text.split_once('/') {
                Some((rest, protocol)) => (rest, protocol.parse().ok()?),
                None => (text, PortProtocol::Tcp),
            };
            let (rest, to) = rest.rsplit_once(':')?;
            let (rest, namespace) = rest.rsplit_once(':')?;
            let (address, ports) = match rest.rsplit_once(':') {
                Some((address, ports)) => {
                    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
                    (Some(bare.unwrap_or(address).parse().ok()?), ports)
                }
                None => (None, rest),
            };
            let number = |text: &str| text.parse::<u16>().ok().filter(|&port| port > 0);
            let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
            let (first, last, to) = (number(first)?, number(last)?, number(to)?);
            let count = last.checked_sub(first)?.checked_add(1)?;
            Some(Self { address, first, count, namespace: namespace.to_owned(), to, protocol })
        };
        read().ok_or_else(nonsense)
    }
}

impl PublishedPorts {
    /// The namespace that they lead to.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The same, for a namespace with these addresses. At all addresses of the host, that is one for each family that the
    /// namespace has.
    ///
    /// # Errors
    /// A sentence that says why it makes no sense.
    pub fn publications(&self, inside: &[IpAddr]) -> Result<Vec<Publication>, String> {
        let Self { address, first, count, namespace, to, protocol } = self;
        let mut found = Vec::new();
        for is_ipv4 in [true, false] {
            let wanted = address.is_none_or(|address| address.is_ipv4() == is_ipv4);
            let inner = inside.iter().find(|inner| inner.is_ipv4() == is_ipv4).filter(|_| wanted);
            let Some(inner) = inner else { continue };
            let (address, count) = (*address, *count);
            let to = SocketAddr::new(*inner, *to);
            let publication = Publication { address, count, ..Publication::new(*protocol, *first, to) };
            publication.check().map_err(|error| error.to_string())?;
            found.push(publication);
        }
        if found.is_empty() {
            return Err(format!(
                "{namespace} has no address of this family there; expected a namespace that has"
            ));
        }
        Ok(found)
    }
}
