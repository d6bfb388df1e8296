//! Addresses that are announced to neighbours.

use crate::name;
use netns_core::announce::{Announcement, announce, announce_link};
use netns_core::{Namespace, RouteSocket, link, sysctl};
use std::time::Duration;
use tests::{eventually, in_host, ip};

const WRONG: &str = "02:00:00:00:00:99";
const ADDRESSES: [&str; 2] = ["10.1.1.2", "fd00:1::2"];

/// A host that believes a wrong MAC address for a namespace's addresses until they are announced.
fn announced(by: impl FnOnce(&Namespace, &mut RouteSocket) + Send) {
    in_host(|_| {
        let inside = Namespace::create("inside").unwrap();
        ip("link add br0 type bridge");
        ip("link set br0 up");
        ip("address add 10.1.1.1/24 dev br0");
        ip("address add fd00:1::1/64 dev br0 nodad");
        ip("link add port master br0 up type veth peer name eth0 netns inside");
        for line in [
            "link set eth0 up",
            "address add 10.1.1.2/24 dev eth0",
            "address add fd00:1::2/64 dev eth0 nodad",
        ] {
            ip(&format!("-n inside {line}"));
        }
        let mut socket = RouteSocket::open_in(&inside).unwrap();
        let mac = link::get(&mut socket, name("eth0")).unwrap().mac.unwrap();
        link::wait_up(&mut RouteSocket::open().unwrap(), name("port"), Duration::from_secs(10)).unwrap();
        for address in ADDRESSES {
            ip(&format!("neighbour replace {address} lladdr {WRONG} dev br0 nud reachable"));
        }
        by(&inside, &mut socket);
        for address in ADDRESSES {
            eventually(&format!("{address} is known by {mac}"), || {
                ip(&format!("neighbour show {address} dev br0")).contains(&mac.to_string())
            });
        }
        for setting in ["net/ipv4/conf/eth0/arp_notify", "net/ipv6/conf/eth0/ndisc_notify"] {
            assert_eq!(sysctl::get(&inside, setting).unwrap(), "0", "{setting}");
        }
    });
}

#[test]
fn neighbours_learn_an_address_that_is_announced() {
    announced(|inside, socket| {
        let link = link::get(socket, name("eth0")).unwrap();
        let (index, mac) = (link.index, link.mac.unwrap());
        let all = ADDRESSES.map(|address| Announcement {
            index,
            mac,
            address: address.parse().unwrap(),
            router: false,
        });
        announce(inside, &all).unwrap();
    });
}

#[test]
fn neighbours_learn_the_addresses_of_a_link_that_the_kernel_announces() {
    announced(|_, socket| {
        let mac = link::get(socket, name("eth0")).unwrap().mac.unwrap();
        announce_link(socket, name("eth0"), mac).unwrap();
    });
}
