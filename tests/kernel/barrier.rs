//! A barrier after ports: frames without a stamp are dropped before the bridge takes note of them.
//!
//! There is no program on the ports here, so no frame is stamped. That stamped frames pass, and that nobody inside gets
//! a stamp, the tests of netns-ebpf show.

use super::nftables::{needs_nftables, nft};
use netns_core::barrier::{self, Barrier, BarrierPorts};
use netns_core::bridge::{self, BridgeOptions};
use netns_core::nftables::NftSocket;
use netns_core::{Namespace, RouteSocket};
use netns_ebpf::attack::FrameSocket;
use std::path::Path;
use tests::{Host, bridge_json, eventually, in_host, oracle, run, without_capabilities};

const STAMP: u32 = 0x6e65_7430;

/// Whether one ping from a namespace to another's address, with an ARP request first, is answered.
fn reaches(from: &str, to: &str) -> bool {
    let _ = run(oracle("ip").args(["-n", from, "neigh", "flush", "all"]));
    let mut ping = oracle("ip");
    ping.args(["netns", "exec", from, "ping", "-c1", "-W1", to]);
    ping.output().unwrap().status.success()
}

/// Whether the bridge has learnt an address at a port.
fn has_learnt(mac: &str) -> bool {
    let entries = bridge_json("fdb show br br0");
    let is_it = |entry: &serde_json::Value| entry["mac"] == mac && entry["state"] != "permanent";
    entries.as_array().unwrap().iter().any(is_it)
}

fn build() {
    for command in
        ["link add br0 type bridge ageing_time 30000", "addr add 10.1.1.254/24 dev br0", "link set br0 up"]
    {
        tests::ip(command);
    }
    for number in 1..=3 {
        for command in [
            format!("netns add ns{number}"),
            format!(
                "link add p{number} index {} type veth peer name eth0 address 02:00:00:00:00:0{number} netns ns{number}",
                100 + number
            ),
            format!("link set p{number} master br0 up"),
            format!("-n ns{number} addr add 10.1.1.{number}/24 dev eth0"),
            format!("-n ns{number} link set eth0 up"),
        ] {
            tests::ip(&command);
        }
    }
    for number in 1..=3 {
        eventually("a port forwards", || {
            tests::ip_json(&format!("link show p{number}"))[0]["operstate"] == "UP"
        });
    }
}

#[test]
fn what_no_program_saw_is_dropped_before_the_bridge_learns() {
    in_host(|host| {
        needs_nftables();
        build();
        let mut wall = Barrier::create(host.namespace(), "test", BarrierPorts::Listed, STAMP).unwrap();
        assert!(reaches("ns1", "10.1.1.2"), "no port is listed yet");
        assert!(wall.unjudged().unwrap().is_empty());
        wall.add(&[101]).unwrap();
        // Only here: the namespace's IPv6 sends whenever it likes.
        tests::ip("link set p1 type bridge_slave fdb_flush");
        assert!(!has_learnt("02:00:00:00:00:01"));

        for to in ["10.1.1.2", "10.1.1.254"] {
            assert!(!reaches("ns1", to), "{to}");
        }
        assert!(!has_learnt("02:00:00:00:00:01"), "the bridge has learnt from a frame that was dropped");
        assert!(reaches("ns3", "10.1.1.2"), "other ports are left alone");
        let dropped = wall.unjudged().unwrap();
        assert!(matches!(dropped[..], [one] if one.port == 101 && one.packets >= 2), "{dropped:?}");
        assert!(wall.unjudged().unwrap().is_empty(), "it was reported before");

        wall.remove(101).unwrap();
        assert!(reaches("ns1", "10.1.1.2"));
        wall.delete().unwrap();
        assert_eq!(nft("list ruleset"), "");
    });
}

#[test]
fn a_window_covers_all_its_ports_and_no_others() {
    in_host(|host| {
        needs_nftables();
        build();
        let wall =
            Barrier::create(host.namespace(), "test", BarrierPorts::Indexes(102..=103), STAMP).unwrap();
        assert!(!reaches("ns2", "10.1.1.1") && !reaches("ns3", "10.1.1.254"));
        let _ = run(oracle("ip").args(["link", "set", "p2", "down"]));
        assert!(reaches("ns1", "10.1.1.254"));
        // With a stamp of 0, which unstamped frames have, all pass: the comparison is the right way round.
        wall.delete().unwrap();
        let wall = Barrier::create(host.namespace(), "test", BarrierPorts::Indexes(0..=u32::MAX), 0).unwrap();
        assert!(reaches("ns3", "10.1.1.254"));
        wall.delete().unwrap();
    });
}

/// Ports that have joined a bridge and that nobody has looked at yet.
#[test]
#[ignore = "needs CONFIG_NFT_BRIDGE_META, as distributions' kernels have: cargo xtask vm-test --full"]
fn new_ports_of_one_bridge_are_closed_until_they_are_known() {
    in_host(|host| {
        tests::needs_option("CONFIG_NFT_BRIDGE_META", "nftables' rules for bridges by name", || {
            barrier::knows_bridges().unwrap()
        });
        build();
        let name = |name: &str| super::name(name);
        let mut wall = Barrier::create(host.namespace(), "test", BarrierPorts::ListedAndNew, STAMP).unwrap();
        assert!(reaches("ns1", "10.1.1.2"), "no bridge is named yet");
        wall.pass(&[102]).unwrap();
        wall.add(&[103]).unwrap();
        wall.close_new(name("br0")).unwrap();
        assert_eq!(wall.closed_bridge(), Some(name("br0")));
        assert!(!reaches("ns1", "10.1.1.254") && !reaches("ns3", "10.1.1.254"));
        assert!(reaches("ns2", "10.1.1.254"));
        // What a new port sent is no violation; what the listed one sent is.
        let dropped = wall.unjudged().unwrap();
        assert!(matches!(dropped[..], [one] if one.port == 103), "{dropped:?}");
        // Another process finds all of it.
        let found = Barrier::open(host.namespace(), "test", STAMP).unwrap().unwrap();
        assert_eq!(found.ports(), &BarrierPorts::ListedAndNew);
        assert_eq!(found.closed_bridge(), Some(name("br0")));
        assert!(found.is_open(102) && found.is_behind(103) && !found.is_open(101) && !found.is_behind(101));
        assert_eq!(found.known_ports().collect::<Vec<_>>(), [102, 103]);

        wall.pass(&[103, 101]).unwrap();
        assert!(reaches("ns1", "10.1.1.3"));
        wall.add(&[101]).unwrap();
        assert!(!reaches("ns1", "10.1.1.3"));
        wall.pass(&[101]).unwrap();
        wall.remove(103).unwrap();
        assert!(!reaches("ns3", "10.1.1.1"), "it is new again");
        assert!(wall.is_whole().unwrap());
        for loss in [
            "flush set bridge test bridges",
            "add element bridge test open { \"p3\" }",
            "flush chain bridge test input",
            "flush ruleset",
        ] {
            let _ = nft(loss);
            assert!(!wall.is_whole().unwrap(), "{loss}");
            wall.restore().unwrap();
            assert!(wall.is_whole().unwrap(), "{loss}");
            assert!(reaches("ns1", "10.1.1.2") && !reaches("ns3", "10.1.1.2"), "{loss}");
        }
        // With another name it is another bridge; the known ports are as they were.
        wall.close_new(name("br1")).unwrap();
        assert!(reaches("ns3", "10.1.1.1"));
        wall.delete().unwrap();
        assert_eq!(nft("list ruleset"), "");
    });
}

/// A frame to an address that bridges keep for themselves, from a made-up address.
fn reserved(last: u8) -> [u8; 60] {
    let mut frame = [0; 60];
    frame[..12].copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, last, 2, 0, 0, 0, 0x66, last]);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    frame
}

/// Frames that the bridge takes for itself never reach prerouting.
#[test]
fn frames_to_reserved_addresses_do_not_pass_the_barrier() {
    in_host(|host| {
        needs_nftables();
        build();
        let inside = Namespace::open("ns1").unwrap();
        let eth0 = super::index(&mut RouteSocket::open_in(&inside).unwrap(), "eth0");
        let socket = inside.enter(|| FrameSocket::open(eth0)).unwrap().unwrap();
        let mut wall = Barrier::create(host.namespace(), "test", BarrierPorts::Listed, STAMP).unwrap();
        // With STP off, 0 is forwarded; 2, 3 and 0xd are for the bridge.
        for last in [0, 2, 3, 0xd] {
            let mac = format!("02:00:00:00:66:{last:02x}");
            wall.add(&[101]).unwrap();
            let _ = wall.unjudged().unwrap();
            socket.send(&reserved(last)).unwrap();
            eventually("the frame is counted", || !wall.unjudged().unwrap().is_empty());
            assert!(!has_learnt(&mac), "{last}");
            wall.remove(101).unwrap();
            eventually("it is learnt from without the barrier", || {
                socket.send(&reserved(last)).unwrap();
                has_learnt(&mac)
            });
        }
        wall.delete().unwrap();
    });
}

/// LLDP, and STP's own frames where STP is on, pass no nftables chain: what the bridge would learn from them has to be
/// switched off at the bridge.
#[test]
fn the_bridge_learns_nothing_from_frames_no_chain_sees() {
    in_host(|host| {
        needs_nftables();
        tests::needs_kernel((5, 0), "no_linklocal_learn");
        build();
        let inside = Namespace::open("ns1").unwrap();
        let eth0 = super::index(&mut RouteSocket::open_in(&inside).unwrap(), "eth0");
        let socket = inside.enter(|| FrameSocket::open(eth0)).unwrap().unwrap();
        let mut host_socket = host.socket();
        let is_deaf = |host_socket: &mut RouteSocket| {
            let link = netns_core::link::get(host_socket, super::name("br0")).unwrap();
            link.bridge().unwrap().no_linklocal_learn
        };
        assert_eq!(is_deaf(&mut host_socket), Some(false));
        let deaf = BridgeOptions { no_linklocal_learn: Some(true), ..BridgeOptions::default() };
        bridge::set(&mut host_socket, super::name("br0"), &deaf).unwrap();
        assert_eq!(is_deaf(&mut host_socket), Some(true));
        let _ = run(oracle("ip").args([
            "link",
            "set",
            "br0",
            "type",
            "bridge",
            "stp_state",
            "1",
            "forward_delay",
            "200",
        ]));
        let send = || [0, 0xe].iter().for_each(|&last| socket.send(&reserved(last)).unwrap());
        send();
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!has_learnt("02:00:00:00:66:00") && !has_learnt("02:00:00:00:66:0e"));
        let learning = BridgeOptions { no_linklocal_learn: Some(false), ..BridgeOptions::default() };
        bridge::set(&mut host_socket, super::name("br0"), &learning).unwrap();
        for mac in ["02:00:00:00:66:00", "02:00:00:00:66:0e"] {
            eventually("it is learnt from otherwise", || {
                send();
                has_learnt(mac)
            });
        }
    });
}

#[test]
fn a_removed_barrier_is_noticed_and_made_again() {
    in_host(|host| {
        needs_nftables();
        build();
        let mut wall = Barrier::create(host.namespace(), "test", BarrierPorts::Listed, STAMP).unwrap();
        wall.add(&[101, 102]).unwrap();
        assert!(wall.is_whole().unwrap());
        let _ = nft("add table ip theirs");
        assert!(wall.is_whole().unwrap(), "what others make is no loss");
        for loss in [
            "flush ruleset",
            "flush chain bridge test prerouting",
            "delete element bridge test ports { \"p2\" }",
        ] {
            let _ = nft(loss);
            assert!(!wall.is_whole().unwrap(), "{loss}");
            wall.restore().unwrap();
            assert!(wall.is_whole().unwrap(), "{loss}");
            assert!(!reaches("ns2", "10.1.1.3"), "{loss}");
        }
        wall.delete().unwrap();
    });
}

/// Docker, firewalld and iptables-nft have tables of their own in the same namespace.
#[test]
fn what_others_made_stays_as_it_was() {
    in_host(|host| {
        needs_nftables();
        build();
        for others in [
            "add table ip nat; add chain ip nat DOCKER; add chain ip nat PREROUTING { type nat hook prerouting priority -100; }; add rule ip nat PREROUTING fib daddr type local counter jump DOCKER",
            "add table inet firewalld; add chain inet firewalld filter_INPUT { type filter hook input priority 10; }; add rule inet firewalld filter_INPUT ct state { established, related } accept",
            "add table bridge filter; add set bridge filter ports { type iface_index; }; add chain bridge filter prerouting { type filter hook prerouting priority -300; }; add rule bridge filter prerouting iif @ports counter",
            "add table bridge unjudged; add chain bridge unjudged prerouting",
        ] {
            let _ = nft(others);
        }
        if Path::new("/usr/sbin/iptables-nft").exists() {
            let _ = run(oracle("iptables-nft").args(["-A", "FORWARD", "-s", "192.0.2.1", "-j", "DROP"]));
        }
        // A handle shows whether something was made anew.
        let shown = || run(oracle("nft").args(["-a", "-s", "list", "ruleset"]));
        let before = shown();
        let name = barrier::unused_name();
        assert_ne!(name, barrier::unused_name());
        let mut wall = Barrier::create(host.namespace(), &name, BarrierPorts::Listed, STAMP).unwrap();
        wall.add(&[101]).unwrap();
        wall.restore().unwrap();
        wall.delete().unwrap();
        assert_eq!(shown(), before);
        assert!(!barrier::remove(host.namespace(), &name).unwrap(), "it is gone");
        assert_eq!(shown(), before);
        // A barrier with a taken name is refused, and nothing of it is left.
        let error = Barrier::create(host.namespace(), "filter", BarrierPorts::Listed, STAMP).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EEXIST));
        assert_eq!(shown(), before);
    });
}

#[test]
fn a_killed_processs_barrier_is_removed_by_its_name() {
    in_host(|host: &Host| {
        needs_nftables();
        let wall = Barrier::create(host.namespace(), "test", BarrierPorts::Listed, STAMP).unwrap();
        // As a kill would.
        drop(wall);
        assert!(nft("list ruleset").contains("table bridge test"));
        assert!(barrier::remove(host.namespace(), "test").unwrap());
        assert_eq!(nft("list ruleset"), "");
    });
}

/// In between, the ports that were not listed yet would send what no program saw.
#[test]
fn a_barrier_that_somebody_changed_is_whole_after_one_step() {
    in_host(|host| {
        needs_nftables();
        let mut wall = Barrier::create(host.namespace(), "test", BarrierPorts::Listed, STAMP).unwrap();
        let ports: Vec<u32> = (1000..1350).collect();
        wall.add(&ports).unwrap();
        nft("flush set bridge test ports");
        assert!(!wall.is_whole().unwrap());
        let mut socket = NftSocket::open_in(host.namespace()).unwrap();
        let before = socket.generation().unwrap();
        wall.restore().unwrap();
        assert_eq!(socket.generation().unwrap(), before + 1, "steps are counted by the kernel");
        assert!(wall.is_whole().unwrap());
        assert!(wall.known_ports().eq(ports));
    });
}

#[test]
fn a_port_that_the_kernel_did_not_take_out_stays_known() {
    in_host(|host| {
        needs_nftables();
        let mut wall = Barrier::create(host.namespace(), "test", BarrierPorts::Listed, STAMP).unwrap();
        wall.add(&[101]).unwrap();
        let refused = without_capabilities(|| wall.remove(101)).unwrap_err();
        assert_eq!(refused.errno(), Some(libc::EPERM));
        assert!(wall.is_behind(101));
        wall.remove(101).unwrap();
        let left = nft("list set bridge test ports");
        assert!(!wall.is_behind(101) && !left.contains("elements"), "{left}");
    });
}
