//! Connections of UDP that go on as they began, although what is published has changed.

use super::publication::PortProtocol;
use super::{NatPorts, Publication, conflict};
use crate::nftables::Family;
use crate::nftables::conntrack::{self, TrackedConnection};
use crate::{ErrorKind, Result};

/// After something was published: anyone who sends to the port already would go on being answered by the host.
pub(super) fn forget_unpublished(ports: &mut NatPorts, publication: &Publication) -> Result<()> {
    if publication.protocol != PortProtocol::Udp {
        return Ok(());
    }
    let addresses = match publication.address {
        Some(address) => vec![address],
        None => conflict::addresses(ports)?,
    };
    let published = publication.port..=publication.port + (publication.count - 1);
    forget(ports, publication, |connection| {
        let destination = connection.original[1];
        published.contains(&destination.port()) && addresses.contains(&destination.ip())
    })
}

/// After something was withdrawn: anyone who sends to the port would go on reaching the sandbox, or the next one that has its
/// address.
pub(super) fn forget_withdrawn(ports: &mut NatPorts, publication: &Publication) -> Result<()> {
    if publication.protocol != PortProtocol::Udp {
        return Ok(());
    }
    let (port, to) = (publication.port, publication.to);
    forget(ports, publication, |connection| {
        connection.original[1].port() == port && connection.reply[0] == to
    })
}

fn forget(
    ports: &mut NatPorts,
    publication: &Publication,
    stale: impl Fn(&TrackedConnection) -> bool,
) -> Result<()> {
    let family = if publication.to.is_ipv4() { Family::Ip } else { Family::Ip6 };
    let udp = PortProtocol::Udp.number();
    let found = conntrack::list(&mut ports.socket, family, |connection| {
        connection.protocol == udp && stale(connection)
    });
    let found = match found {
        // Without conntrack over netlink (CONFIG_NF_CT_NETLINK) they end some minutes after their last packet.
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Invalid) => return Ok(()),
        other => other?,
    };
    found.iter().try_for_each(|connection| conntrack::forget(&mut ports.socket, connection))
}
