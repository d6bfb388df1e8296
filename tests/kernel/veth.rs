//! Veth pairs: both ends here, the peer born elsewhere, created and then moved.

use crate::{index, mac_address, name};
use netns_core::link::{self, LinkChange};
use netns_core::veth::{self, Veth};
use netns_core::{Namespace, RouteSocket};
use std::os::fd::AsFd;
use std::process::Command;
use tests::{in_host, ip, ip_json, kernel_version, only, ping};

fn pair<'a>() -> Veth<'a> {
    Veth::new(name("v0"), name("v1"))
}

#[test]
fn a_pair_is_made_with_both_ends_here() {
    in_host(|host| {
        veth::create(&mut host.socket(), &pair()).unwrap();
        for (end, other) in [("v0", "v1"), ("v1", "v0")] {
            let shown = only(&ip_json(&format!("link show {end}")));
            assert_eq!(shown["linkinfo"]["info_kind"], "veth");
            assert_eq!(shown["link"], other);
            assert_eq!(shown["operstate"], "DOWN");
            assert_eq!((&shown["num_tx_queues"], &shown["num_rx_queues"]), (&1.into(), &1.into()));
        }
    });
}

#[test]
fn a_pair_is_made_and_then_one_end_is_moved() {
    in_host(|host| {
        let inside = Namespace::create("ns1").unwrap();
        let mut socket = host.socket();
        veth::create(&mut socket, &pair()).unwrap();
        let change = LinkChange { namespace: Some(inside.as_fd()), ..LinkChange::default() };
        link::set(&mut socket, name("v1"), &change).unwrap();
        assert_eq!(only(&ip_json("-n ns1 link show v1"))["linkinfo"]["info_kind"], "veth");
        let here: Vec<_> =
            link::list(&mut socket).unwrap().iter().map(|link| link.name.to_string()).collect();
        assert_eq!(here, ["lo", "v0"]);
        assert_carries_packets(&mut socket, &inside);
    });
}

#[test]
fn the_peer_is_born_in_its_namespace() {
    in_host(|host| {
        let inside = Namespace::create("ns1").unwrap();
        let mut socket = host.socket();
        veth::create(&mut socket, &Veth { peer_namespace: Some(inside.as_fd()), ..pair() }).unwrap();
        assert_eq!(only(&ip_json("-n ns1 link show v1"))["linkinfo"]["info_kind"], "veth");
        assert_eq!(link::get(&mut socket, name("v1")).unwrap_err().errno(), Some(libc::ENODEV));
        assert_carries_packets(&mut socket, &inside);
    });
}

#[test]
fn the_peer_is_born_in_a_processs_namespace() {
    in_host(|host| {
        let inside = Namespace::create("ns1").unwrap();
        let mut process = inside.spawn(Command::new("sleep").arg("60")).unwrap();
        let mut socket = host.socket();
        let made = veth::create(&mut socket, &Veth { peer_pid: Some(process.id()), ..pair() });
        process.kill().unwrap();
        process.wait().unwrap();
        made.unwrap();
        assert_carries_packets(&mut socket, &inside);
        let gone = Veth { peer_pid: Some(process.id()), ..Veth::new(name("w0"), name("w1")) };
        assert_eq!(veth::create(&mut socket, &gone).unwrap_err().errno(), Some(libc::ESRCH));
    });
}

/// Checked by `ip` and `ping` alone.
fn assert_carries_packets(socket: &mut RouteSocket, inside: &Namespace) {
    ip("addr add 10.1.1.1/24 dev v0");
    ip("link set v0 up");
    ip("-n ns1 addr add 10.1.1.2/24 dev v1");
    ip("-n ns1 link set v1 up");
    link::get(socket, name("v0")).unwrap();
    ping("-c 1", "10.1.1.2");
    assert!(inside.id().is_ok());
}

#[test]
fn indexes_macs_mtu_queues_group_bridge_and_up_are_set_by_the_one_request() {
    in_host(|host| {
        ip("netns add ns1");
        ip("link add br0 type bridge");
        let inside = Namespace::open("ns1").unwrap();
        let mut socket = host.socket();
        let bridge = index(&mut socket, "br0");
        let veth = Veth {
            index: Some(1001),
            peer_index: Some(2002),
            mac: Some(mac_address("02:00:00:00:00:0a")),
            peer_mac: Some(mac_address("02:00:00:00:00:0b")),
            mtu: Some(1400),
            queues: Some(2),
            bridge: Some(bridge),
            group: 5,
            up: true,
            peer_namespace: Some(inside.as_fd()),
            ..pair()
        };
        veth::create(&mut socket, &veth).unwrap();
        let near = only(&ip_json("link show v0"));
        let far = only(&ip_json("-n ns1 link show v1"));
        assert_eq!((&near["ifindex"], &far["ifindex"]), (&1001.into(), &2002.into()));
        assert_eq!(
            (&near["address"], &far["address"]),
            (&"02:00:00:00:00:0a".into(), &"02:00:00:00:00:0b".into())
        );
        for end in [&near, &far] {
            assert_eq!(end["mtu"], 1400);
            assert_eq!((&end["num_tx_queues"], &end["num_rx_queues"]), (&2.into(), &2.into()));
        }
        assert_eq!((&near["master"], &near["group"]), (&"br0".into(), &"5".into()));
        assert_eq!(far["group"], "default");
        let is_up = |link: &serde_json::Value| link["flags"].as_array().unwrap().contains(&"UP".into());
        assert!(is_up(&near) && !is_up(&far));
    });
}

#[test]
fn by_default_the_kernel_makes_a_queue_for_every_processor() {
    in_host(|host| {
        veth::create(&mut host.socket(), &Veth { queues: None, ..pair() }).unwrap();
        let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap();
        let possible: u32 = possible.trim().rsplit('-').next().unwrap().parse().unwrap();
        let expected = if kernel_version() >= (5, 15) { possible + 1 } else { 1 };
        assert_eq!(only(&ip_json("link show v0"))["num_tx_queues"], expected);
    });
}

#[test]
fn an_index_that_is_taken_is_refused() {
    in_host(|host| {
        let error = veth::create(&mut host.socket(), &Veth { index: Some(1), ..pair() }).unwrap_err();
        assert!(matches!(error.errno(), Some(libc::EEXIST | libc::EBUSY)), "{error}");
        host.assert_clean();
    });
}

#[test]
fn a_pair_whose_peers_name_is_taken_leaves_nothing() {
    in_host(|host| {
        let inside = Namespace::create("ns1").unwrap();
        ip("-n ns1 link add v1 type bridge");
        let veth = Veth { peer_namespace: Some(inside.as_fd()), ..pair() };
        let error = veth::create(&mut host.socket(), &veth).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EEXIST));
        assert_eq!(only(&ip_json("-n ns1 link show v1"))["linkinfo"]["info_kind"], "bridge");
        Namespace::delete("ns1").unwrap();
        host.assert_clean();
    });
}
