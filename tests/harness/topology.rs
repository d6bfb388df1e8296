//! Networks that many tests start with.

use crate::{Host, until};
use netns_core::address::{self, Address};
use netns_core::bridge::{self, Bridge, BridgeOptions};
use netns_core::link::OperationalState;
use netns_core::veth::{self, Veth};
use netns_core::{IfName, IpNet, MacAddress, Namespace, RouteSocket, link};
use std::os::fd::AsFd;

/// The MAC address of the `number`th interface.
#[must_use]
pub const fn mac(number: u8) -> MacAddress {
    MacAddress::local(number as u64)
}

/// A bridge `br0` with 10.1.1.254/24 and `fd00:1::254/64`, and namespaces on it.
#[derive(Debug)]
pub struct Bridged {
    /// The bridge's index.
    pub bridge: u32,
    /// What is on it.
    pub insides: Vec<Inside>,
}

/// The `number`th anonymous namespace, from 1: its `eth0` has the address 10.1.1.NUMBER, `fd00:1::NUMBER` and the
/// MAC address `mac(NUMBER)`, its port is `portNUMBER`.
#[derive(Debug)]
pub struct Inside {
    /// The namespace.
    pub namespace: Namespace,
    /// The index of its port on the host.
    pub port: u32,
    /// The index of its `eth0`.
    pub eth0: u32,
}

impl Inside {
    /// A new socket in it.
    ///
    /// # Panics
    /// If the kernel gives none.
    #[must_use]
    pub fn socket(&self) -> RouteSocket {
        RouteSocket::open_in(&self.namespace).unwrap()
    }
}

impl Bridged {
    /// Makes a bridge with `count` namespaces on it, ready for packets.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn new(host: &Host, count: u8) -> Self {
        let mut socket = host.socket();
        let name = IfName::new("br0").unwrap();
        let bridge = Bridge {
            up: true,
            // Snooping sends queries in its own time; without it counters are at rest when nobody sends.
            options: BridgeOptions { mcast_snooping: Some(false), ..BridgeOptions::NONE },
            ..Bridge::new(name, MacAddress::local(254))
        };
        bridge::create(&mut socket, &bridge).unwrap();
        let bridge = link::get(&mut socket, name).unwrap().index;
        let insides = (1..=count).map(|number| inside(&mut socket, bridge, number)).collect();
        if count > 0 {
            // The bridge gets its carrier from its first port.
            when_up(&mut socket, name);
        }
        give_addresses(&mut socket, bridge, 254);
        Self { bridge, insides }
    }
}

fn inside(host: &mut RouteSocket, bridge: u32, number: u8) -> Inside {
    let namespace = Namespace::anonymous().unwrap();
    let (port, eth0) = (IfName::new(&format!("port{number}")).unwrap(), IfName::new("eth0").unwrap());
    let veth = Veth {
        bridge: Some(bridge),
        up: true,
        peer_mac: Some(mac(number)),
        peer_namespace: Some(namespace.as_fd()),
        ..Veth::new(port, eth0)
    };
    veth::create(host, &veth).unwrap();
    let mut socket = RouteSocket::open_in(&namespace).unwrap();
    link::set_up(&mut socket, 1).unwrap();
    link::set_up(&mut socket, eth0).unwrap();
    let eth0 = when_up(&mut socket, eth0);
    give_addresses(&mut socket, eth0, number);
    let port = when_up(host, port);
    Inside { namespace, port, eth0 }
}

/// The index of a link, once it carries packets. From Linux 6.8 on, asking for it is enough; older kernels take their
/// own time, and drop what is sent before.
fn when_up(socket: &mut RouteSocket, name: IfName) -> u32 {
    until("a link that is up", || {
        let link = link::get(socket, name).unwrap();
        (link.state == OperationalState::Up).then_some(link.index)
    })
}

/// IPv6 has no decimal notation; `fd00:1::254` only looks like it.
fn give_addresses(socket: &mut RouteSocket, index: u32, number: u8) {
    for net in [format!("10.1.1.{number}/24"), format!("fd00:1::{number}/64")] {
        let net: IpNet = net.parse().unwrap();
        address::add(socket, &Address::new(index, net)).unwrap();
    }
}
