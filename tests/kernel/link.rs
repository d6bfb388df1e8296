//! Links: described, brought up, changed, moved and deleted.

use crate::{index, mac_address, name};
use netns_core::bridge::PortState;
use netns_core::link::{self, AddrGenMode, LinkChange, LinkMode, LinkType, OperationalState};
use netns_core::{Namespace, RouteSocket};
use serde_json::Value;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;
use tests::{Bridged, eventually, in_host, ip, ip_json, only, ping, until};

fn shown(link: &str) -> Value {
    only(&ip_json(&format!("-s link show dev {link}")))
}

#[test]
fn a_link_is_described_as_ip_describes_it() {
    in_host(|host| {
        ip("link add br0 type bridge");
        ip(
            "link add v0 address 02:00:00:00:00:07 mtu 1400 txqueuelen 50 numtxqueues 3 numrxqueues 2 group 9 \
            type veth peer name v1",
        );
        ip("link set v0 master br0 addrgenmode none");
        let mut socket = host.socket();
        let ours = link::get(&mut socket, name("v0")).unwrap();
        let theirs = shown("v0");
        assert_eq!(theirs["ifindex"], ours.index);
        assert_eq!(theirs["address"], ours.mac.unwrap().to_string());
        assert_eq!(theirs["mtu"], ours.mtu);
        assert_eq!(theirs["linkinfo"]["info_kind"], ours.kind.clone().unwrap());
        assert_eq!(theirs["group"], ours.group.to_string());
        assert_eq!(theirs["num_tx_queues"], ours.tx_queues);
        assert_eq!(theirs["num_rx_queues"], ours.rx_queues);
        assert_eq!((ours.mtu, ours.group, ours.tx_queues, ours.rx_queues), (1400, 9, 3, 2));
        assert_eq!(ours.master, Some(index(&mut socket, "br0")));
        assert_eq!(ours.peer, Some(index(&mut socket, "v1")));
        assert_eq!((ours.peer_namespace_id, ours.is_up(), ours.state), (None, false, OperationalState::Down));
        assert!(ours.port.is_some());
        assert_eq!(theirs["link_type"], ours.link_type.to_string());
        assert_eq!(theirs["broadcast"], ours.broadcast.unwrap().to_string());
        assert_eq!(theirs["linkmode"], ours.mode.to_string());
        assert_eq!(theirs["qdisc"], ours.qdisc.clone().unwrap());
        assert_eq!(theirs["txqlen"], ours.tx_queue_length);
        assert_eq!((ours.link_type, ours.mode), (LinkType::ETHER, LinkMode::DEFAULT));
        assert_eq!(
            (&theirs["inet6_addr_gen_mode"], ours.addrgenmode),
            (&"none".into(), Some(AddrGenMode::None))
        );
        assert_eq!((ours.qdisc.as_deref(), ours.tx_queue_length), (Some("noop"), 50));
        let port = ours.port.unwrap();
        assert_eq!((port.state, port.priority, port.cost), (Some(PortState::DISABLED), Some(32), Some(2)));
        assert_eq!(link::get(&mut socket, ours.index).unwrap(), ours, "by index");

        let lo = link::get(&mut socket, 1).unwrap();
        assert!(lo.is_up());
        assert_eq!((lo.name, lo.kind, lo.master, lo.peer, lo.port), (name("lo"), None, None, None, None));
        assert_eq!(lo.link_type, LinkType::LOOPBACK);
    });
}

#[test]
fn the_list_has_what_ip_lists() {
    in_host(|host| {
        ip("link add br0 type bridge");
        ip("link add v0 type veth peer name v1");
        let ours = link::list(&mut host.socket()).unwrap();
        let ours: Vec<_> =
            ours.iter().map(|link| (link.index.into(), link.name.as_str().to_owned())).collect();
        let theirs = ip_json("link show");
        let entry = |link: &Value| Some((link["ifindex"].as_u64()?, link["ifname"].as_str()?.to_owned()));
        let theirs: Vec<_> = theirs.as_array().unwrap().iter().filter_map(entry).collect();
        assert_eq!(ours, theirs);
    });
}

#[test]
fn the_ports_of_a_bridge_are_listed_and_no_others() {
    in_host(|host| {
        for command in [
            "link add br0 type bridge",
            "link add br1 type bridge",
            "link add p1 type veth peer name q1",
            "link add p2 type veth peer name q2",
            "link set p1 master br0",
            "link set q2 master br0",
            "link set p2 master br1",
        ] {
            ip(command);
        }
        let mut socket = host.socket();
        let bridge = index(&mut socket, "br0");
        let ports = link::list_ports(&mut socket, bridge).unwrap();
        let names: Vec<_> = ports.iter().map(|link| link.name.as_str()).collect();
        assert_eq!(names, ["p1", "q2"]);
        let lo = link::list_ports(&mut socket, 1).unwrap();
        assert!(lo.is_empty());
    });
}

#[test]
fn links_are_brought_up_and_down_inside_and_outside() {
    in_host(|host| {
        Namespace::create("ns1").unwrap();
        ip("link add v0 type veth peer name v1 netns ns1");
        let mut outside = host.socket();
        let mut inside = RouteSocket::open_in(&Namespace::open("ns1").unwrap()).unwrap();
        link::set_up(&mut outside, name("v0")).unwrap();
        link::set_up(&mut inside, name("v1")).unwrap();
        // Before Linux 6.8 the kernel takes its own time to reach these states.
        eventually("v0 is up", || shown("v0")["operstate"] == "UP");
        eventually("v1 is up", || only(&ip_json("-n ns1 link show v1"))["operstate"] == "UP");
        let v0 = link::get(&mut outside, name("v0")).unwrap();
        assert_eq!((v0.is_up(), v0.state), (true, OperationalState::Up));

        link::set(&mut outside, name("v0"), &LinkChange { up: Some(false), ..LinkChange::default() })
            .unwrap();
        assert_eq!(shown("v0")["operstate"], "DOWN");
        eventually("v1 is down", || only(&ip_json("-n ns1 link show v1"))["operstate"] == "DOWN");
        assert_eq!(link::get(&mut inside, name("v1")).unwrap().state, OperationalState::Down);
    });
}

#[test]
fn a_link_whose_other_end_here_is_down_says_so() {
    in_host(|host| {
        ip("link add v0 up type veth peer name v1");
        eventually("v0 says so", || shown("v0")["operstate"] == "LOWERLAYERDOWN");
        let v0 = link::get(&mut host.socket(), name("v0")).unwrap();
        assert_eq!((v0.is_up(), v0.state), (true, OperationalState::LowerLayerDown));
    });
}

#[test]
fn name_mac_mtu_and_group_are_changed_and_the_rest_stays() {
    in_host(|host| {
        ip("link add v0 mtu 1400 type veth peer name v1");
        let mut socket = host.socket();
        let before = link::get(&mut socket, name("v0")).unwrap();
        let index = before.index;
        let change = LinkChange { mac: Some(mac_address("02:00:00:00:12:34")), ..LinkChange::default() };
        link::set(&mut socket, name("v0"), &change).unwrap();
        let after = shown("v0");
        assert_eq!((&after["address"], &after["mtu"]), (&"02:00:00:00:12:34".into(), &1400.into()));

        link::set(&mut socket, index, &LinkChange { mtu: Some(9000), ..LinkChange::default() }).unwrap();
        link::set(&mut socket, index, &LinkChange { group: Some(42), ..LinkChange::default() }).unwrap();
        link::set(&mut socket, index, &LinkChange { name: Some(name("new")), ..LinkChange::default() })
            .unwrap();
        let after = shown("new");
        assert_eq!(after["ifindex"], index);
        assert_eq!((&after["mtu"], &after["group"]), (&9000.into(), &"42".into()));
        assert_eq!(after["address"], "02:00:00:00:12:34");
        assert_eq!(after["operstate"], "DOWN");
    });
}

#[test]
fn a_link_made_here_is_moved_into_a_namespace() {
    in_host(|host| {
        ip("netns add ns1");
        ip("link add v0 type veth peer name v1");
        let mut socket = host.socket();
        let inside = Namespace::open("ns1").unwrap();
        let change = LinkChange { namespace: Some(inside.as_fd()), ..LinkChange::default() };
        link::set(&mut socket, name("v1"), &change).unwrap();
        assert_eq!(link::get(&mut socket, name("v1")).unwrap_err().errno(), Some(libc::ENODEV));
        let moved = only(&ip_json("-n ns1 link show v1"));
        assert_eq!(moved["linkinfo"]["info_kind"], "veth");
        // The end that stayed knows the other end's namespace by an id.
        let v0 = link::get(&mut socket, name("v0")).unwrap();
        assert_eq!(shown("v0")["link_netnsid"], v0.peer_namespace_id.unwrap());
        assert_eq!(moved["ifindex"], v0.peer.unwrap());
    });
}

#[test]
fn deleting_one_end_of_a_pair_deletes_both() {
    in_host(|host| {
        ip("netns add ns1");
        ip("link add v0 type veth peer name v1 netns ns1");
        let mut socket = host.socket();
        link::delete(&mut socket, name("v0")).unwrap();
        assert_eq!(ip_json("-n ns1 link show").as_array().unwrap().len(), 1);
        let error = link::delete(&mut socket, name("v0")).unwrap_err();
        assert_eq!(error.to_string(), "delete link v0: No such device (os error 19)");
        ip("link add br0 type bridge");
        let bridge = index(&mut socket, "br0");
        link::delete(&mut socket, bridge).unwrap();
        ip("netns delete ns1");
        host.assert_clean();
    });
}

#[test]
fn deleting_a_group_deletes_its_links_and_no_others() {
    in_host(|host| {
        for number in 0..5 {
            ip(&format!("link add a{number} group 7 type veth peer name b{number}"));
        }
        ip("link add other group 8 type bridge");
        ip("link add none type bridge");
        let mut socket = host.socket();
        link::delete_group(&mut socket, 7).unwrap();
        let left: Vec<_> =
            link::list(&mut socket).unwrap().iter().map(|link| link.name.to_string()).collect();
        assert_eq!(left, ["lo", "other", "none"]);
        assert_eq!(link::delete_group(&mut socket, 7).unwrap_err().errno(), Some(libc::ENODEV));
        let refused = link::delete_group(&mut socket, 0).unwrap_err();
        assert!(refused.is_invalid_input());
        assert_eq!(link::list(&mut socket).unwrap().len(), 3);
    });
}

#[test]
fn the_counters_equal_ips() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let pinging = || ping("-c 3 -i 0.01 -s 700", "10.1.1.2");
        bridged.insides[0].namespace.enter(pinging).unwrap();

        let mut socket = host.socket();
        let port = bridged.insides[0].port;
        // Nothing else sends, except perhaps the kernel's own chatter; what is compared is a moment without it.
        let (ours, theirs) = until("the counters are at rest", || {
            let before = link::stats(&mut socket, port).unwrap();
            let theirs = shown("port1")["stats64"].clone();
            (before == link::stats(&mut socket, port).unwrap()).then_some((before, theirs))
        });
        assert_eq!(theirs["rx"]["packets"], ours.rx_packets);
        assert_eq!(theirs["rx"]["bytes"], ours.rx_bytes);
        assert_eq!(theirs["tx"]["packets"], ours.tx_packets);
        assert_eq!(theirs["tx"]["bytes"], ours.tx_bytes);
        assert_eq!(theirs["rx"]["multicast"], ours.multicast);
        assert_eq!(theirs["tx"]["dropped"], ours.tx_dropped);
        // Three requests and three replies of 700 bytes of data, with headers of ICMP, IP and Ethernet.
        assert!(
            ours.rx_bytes >= 3 * (700 + 8 + 20 + 14) && ours.tx_bytes >= 3 * (700 + 8 + 20 + 14),
            "{ours:?}"
        );
        assert!(ours.rx_packets >= 3 && ours.tx_packets >= 3, "{ours:?}");
    });
}

#[test]
fn a_link_is_waited_for_until_it_carries_packets() {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        let limit = Duration::from_secs(20);
        let mut socket = host.socket();
        let error = link::wait_up(&mut socket, name("v0"), Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.to_string(), "wait for link v0: not within 1ms");
        let error = link::wait_up(&mut socket, name("v9"), limit).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENODEV));
        ip("link set v0 up");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                link::wait_up(&mut RouteSocket::open_in(host.namespace()).unwrap(), name("v0"), limit)
            });
            thread::sleep(Duration::from_millis(50));
            ip("link set v1 up");
            assert_eq!(waiting.join().unwrap().unwrap().state, OperationalState::Up);
        });
        assert_eq!(only(&ip_json("link show v0"))["operstate"], "UP");
    });
}
