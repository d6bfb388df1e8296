//! Announcing addresses to neighbours: `arping -A`, and an unsolicited neighbour advertisement.
//!
//! A neighbour that has learnt an address keeps sending to the MAC address that it knows, for half a minute and more,
//! and bridges keep sending where they saw that MAC address last. An announcement replaces what both have learnt.
//!
//! [`announce`] sends the frames itself. [`announce_link`] has the kernel send them, which is the faster way: closing a packet
//! socket waits for a grace period of RCU, 8 ms and more (`packet_release` in
//! <https://github.com/torvalds/linux/blob/v6.12/net/packet/af_packet.c>).
#![forbid(unsafe_code)]

use crate::error::{ErrorKind, Operation, SystemCall};
use crate::link::{self, LinkChange};
use crate::sys::packet::send_frame;
use crate::sys::retry;
use crate::sys::socket::socket;
use crate::{Error, IfName, MacAddress, Namespace, Result, RouteSocket, sysctl};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;

/// An address of a link, to be announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcement {
    /// The link's index.
    pub index: u32,
    /// The link's MAC address.
    pub mac: MacAddress,
    /// The address.
    pub address: IpAddr,
    /// Whether the link forwards IPv6. Neighbours stop using as a router what says that it is none.
    pub router: bool,
}

/// Announces addresses from inside `namespace`, once each. Needs `CAP_NET_RAW` over it.
///
/// A link has to be up, and where it is a port of a bridge, or its other end is, that has to forward already: nobody
/// notices an announcement that is lost.
///
/// # Errors
/// `EPERM` without the capability; `ENETDOWN` if a link is down, `ENXIO` if there is none.
///
/// ```
/// use netns_core::announce::{Announcement, announce};
/// use netns_core::{MacAddress, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let namespace = Namespace::anonymous()?;
/// link::set_up(&mut RouteSocket::open_in(&namespace)?, 1)?;
/// let address = "10.0.0.1".parse().unwrap();
/// let mac = MacAddress::default();
/// announce(&namespace, &[Announcement { index: 1, mac, address, router: false }])?;
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn announce(namespace: &Namespace, announcements: &[Announcement]) -> Result<()> {
    let Some(first) = announcements.first() else { return Ok(()) };
    let failed = |of: &Announcement, call| Error::system(Operation::Announce, of.address.to_string(), call);
    // Of no protocol: it hears nothing.
    let socket = namespace
        .enter(|| socket(libc::AF_PACKET, libc::SOCK_RAW, 0))?
        .map_err(failed(first, SystemCall::Socket))?;
    for announcement in announcements {
        let frame = match announcement.address {
            IpAddr::V4(address) => arp(announcement.mac, address).to_vec(),
            IpAddr::V6(address) => advertisement(announcement.mac, address, announcement.router).to_vec(),
        };
        retry(|| send_frame(socket.as_fd(), announcement.index, &frame))
            .map_err(failed(announcement, SystemCall::Send))?;
    }
    Ok(())
}

/// Has the kernel announce all addresses of a link, but for IPv6 addresses that are still tentative. `socket` is of the link's
/// namespace, `mac` the address that the link has.
///
/// The settings `arp_notify` and `ndisc_notify` of the link are on meanwhile, and then what they were before; the kernel announces
/// when it is given the MAC address anew (`NETDEV_CHANGEADDR` in `inetdev_event`,
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/devinet.c>, and in `ndisc_netdev_event`,
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv6/ndisc.c>). It forgets the link's neighbours by that. What is said of
/// the link and of bridges at [`announce`] holds here too.
///
/// # Errors
/// `EROFS` where settings cannot be written; `EBUSY` if the link's driver takes no MAC address while it is up, which a veth does.
///
/// ```
/// use netns_core::announce::announce_link;
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let namespace = Namespace::anonymous()?;
/// let mut socket = RouteSocket::open_in(&namespace)?;
/// let name = IfName::new("eth0")?;
/// veth::create(&mut socket, &Veth { up: true, ..Veth::new(name, IfName::new("port")?) })?;
/// let mac = link::get(&mut socket, name)?.mac.unwrap_or_default();
/// announce_link(&mut socket, name, mac)?;
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn announce_link(socket: &mut RouteSocket, link: IfName, mac: MacAddress) -> Result<()> {
    let namespace = socket.namespace()?;
    let mut changed = Vec::new();
    let mut done = Ok(());
    for setting in [format!("net/ipv4/conf/{link}/arp_notify"), format!("net/ipv6/conf/{link}/ndisc_notify")]
    {
        match sysctl::get(&namespace, &setting) {
            Ok(value) if value == "1" => {}
            // A kernel without IPv6 has no addresses of it.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Ok(before) => match sysctl::set(&namespace, &setting, "1") {
                Ok(()) => changed.push((setting, before)),
                Err(error) => done = done.and(Err(error)),
            },
            Err(error) => done = done.and(Err(error)),
        }
    }
    let done =
        done.and_then(|()| link::set(socket, link, &LinkChange { mac: Some(mac), ..LinkChange::NONE }));
    changed.iter().fold(done, |done, (setting, before)| done.and(sysctl::set(&namespace, setting, before)))
}

const BROADCAST: [u8; 6] = [0xff; 6];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];

/// An ARP announcement, <https://datatracker.ietf.org/doc/html/rfc5227#section-3>: a request for one's own address.
/// Linux takes it over what it knows, however fresh that is: `arp_is_garp` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/arp.c>.
fn arp(MacAddress(mac): MacAddress, address: Ipv4Addr) -> [u8; 42] {
    let mut frame = [0; 42];
    frame[..6].copy_from_slice(&BROADCAST);
    frame[6..12].copy_from_slice(&mac);
    // Ethernet and IPv4, addresses of 6 and 4 bytes, a request.
    frame[12..22].copy_from_slice(&[0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&address.octets());
    frame[38..].copy_from_slice(&address.octets());
    frame
}

/// An unsolicited neighbour advertisement, <https://datatracker.ietf.org/doc/html/rfc4861#section-7.2.6>.
fn advertisement(MacAddress(mac): MacAddress, address: Ipv6Addr, router: bool) -> [u8; 86] {
    let mut frame = [0; 86];
    frame[..6].copy_from_slice(&ALL_NODES_MAC);
    frame[6..12].copy_from_slice(&mac);
    // IPv6 without a class or a label, 32 bytes of ICMPv6, as far as it could go: receivers check that.
    frame[12..22].copy_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255]);
    frame[22..38].copy_from_slice(&address.octets());
    frame[38..54].copy_from_slice(&ALL_NODES.octets());
    // A neighbour advertisement that overrides, with the link-layer address of its target.
    frame[54] = 136;
    frame[58] = if router { 0xa0 } else { 0x20 };
    frame[62..78].copy_from_slice(&address.octets());
    frame[78..80].copy_from_slice(&[2, 1]);
    frame[80..].copy_from_slice(&mac);
    let sum = checksum(&frame[22..]);
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The checksum of what follows the first 8 bytes of an IPv6 header without options: addresses and `ICMPv6`, of 32 bytes.
fn checksum(addresses_and_message: &[u8]) -> u16 {
    let words =
        addresses_and_message.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum = words.sum::<u32>() + 32 + 58;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
