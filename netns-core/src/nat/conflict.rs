//! Whether somebody has a port already.

use super::key::{self, PortMap};
use super::publication::PortProtocol;
use super::{NatPorts, PREFIX, Publication, table_of};
use crate::error::{Cause, Operation, SystemCall};
use crate::nftables::{Family, element, table};
use crate::sys;
use crate::{Error, Result, RouteSocket, address};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

/// Refuses a publication whose address is none of the host's, or of whose ports one is published or listened at.
pub(super) fn check(ports: &mut NatPorts, publication: &Publication) -> Result<()> {
    let taken = |why: String| {
        Err(Error::new(Operation::PublishPort, publication.to_string(), Cause::Exists(why.into())))
    };
    if let Some(address) = publication.address.filter(|address| !address.is_loopback())
        && !addresses(ports)?.contains(&address)
    {
        let why = format!("the host has no address {address}");
        return Err(Error::invalid(Operation::PublishPort, publication.to_string(), why));
    }
    let tables = table::list(&mut ports.socket, Family::Inet)?;
    for table in tables.iter().filter(|table| table.name.starts_with(PREFIX)) {
        if let Some(why) = published_in(ports, &table.name, publication)? {
            return taken(why);
        }
    }
    match listened_at(ports, publication)? {
        Some(port) => taken(format!("a process of the host has port {port}")),
        None => Ok(()),
    }
}

/// The host's addresses.
pub(super) fn addresses(ports: &NatPorts) -> Result<Vec<IpAddr>> {
    let mut socket = RouteSocket::open_in(&ports.namespace)?;
    let addresses = address::list(&mut socket)?;
    Ok(addresses.into_iter().map(|address| address.net.address()).collect())
}

/// Why a publication cannot be beside what is published in a table.
fn published_in(ports: &mut NatPorts, table: &str, publication: &Publication) -> Result<Option<String>> {
    let ours = table == ports.name;
    for one in publication.each() {
        let mut same = vec![one];
        if !ours && one.address.is_some() {
            // Which of two networks' tables is asked first, nobody can say.
            same.push(Publication { address: None, ..one });
        }
        for one in same {
            let map = PortMap::of(&one);
            let element = element::get(&mut ports.socket, table_of(table), map.name, &key::key(&one))?;
            if let Some(other) = element.and_then(|element| map.read(&element)) {
                return Ok(Some(format!("{} is published by {:?}", other.publication, other.owner)));
            }
        }
    }
    if ours || publication.address.is_some() {
        return Ok(None);
    }
    let addressed =
        super::key::MAPS.into_iter().find(|map| map.addressed && map.v4 == publication.to.is_ipv4());
    let Some(map) = addressed else { return Ok(None) };
    let elements = match element::list(&mut ports.socket, table_of(table), map.name) {
        // It went meanwhile.
        Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(None),
        other => other?,
    };
    let is_one = |other: &Publication| {
        other.protocol == publication.protocol
            && (publication.port..=publication.port + (publication.count - 1)).contains(&other.port)
    };
    let mut others = elements.iter().filter_map(|element| map.read(element));
    let other = others.find(|other| is_one(&other.publication));
    Ok(other.map(|other| format!("{} is published by {:?}", other.publication, other.owner)))
}

/// A port that a socket of the host listens at, or is bound to. It would get nothing any more.
fn listened_at(ports: &NatPorts, publication: &Publication) -> Result<Option<u16>> {
    let kind = match publication.protocol {
        PortProtocol::Tcp => libc::SOCK_STREAM,
        PortProtocol::Udp => libc::SOCK_DGRAM,
        // What such sockets are bound to is not asked: many kernels have none.
        PortProtocol::Sctp => return Ok(None),
    };
    let address = publication.address.unwrap_or_else(|| {
        let v4 = publication.to.is_ipv4();
        if v4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
    });
    let looked = ports.namespace.enter(|| {
        publication.each().find_map(|one| match bind(kind, SocketAddr::new(address, one.port)) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Some(Ok(one.port)),
            // An address that is still tentative, a family that the kernel has not.
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => None,
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => None,
            Err(error) => Some(Err(error)),
            Ok(()) => None,
        })
    })?;
    looked.transpose().map_err(Error::system(
        Operation::PublishPort,
        publication.to_string(),
        SystemCall::Bind,
    ))
}

/// Binds a socket for an instant, without listening.
fn bind(kind: libc::c_int, address: SocketAddr) -> io::Result<()> {
    let domain = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let socket = sys::socket::socket(domain, kind, 0)?;
    if kind == libc::SOCK_STREAM {
        // Connections that are over do not matter; of one that listens, the kernel says so all the same.
        sys::socket::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &1_i32)?;
    }
    if address.is_ipv6() {
        sys::socket::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1_i32)?;
    }
    sys::socket::bind_ip(socket.as_fd(), address)
}
