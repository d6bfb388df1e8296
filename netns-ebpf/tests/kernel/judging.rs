//! Judging the ports of a bridge that is observed: by what was learnt, and by what is given.

use std::net::UdpSocket;
use std::time::Duration;

use netns_core::{MacAddress, RouteSocket, address, link};
use netns_ebpf::packet::{Reason, Rules};
use netns_ebpf::{Judging, Monitor, MonitorOptions, Observer, Policy, Slot};

use crate::harness::{Network, name, privileged, settled};

const PORT: u32 = 101;
const OTHER: u32 = 102;

/// Sends a datagram to the host from an address that was given to the namespace beside its own.
fn spoof(network: &Network, from: usize) {
    let namespace = &network.insides[from].namespace;
    let mut socket = RouteSocket::open_in(namespace).unwrap();
    let eth0 = link::get(&mut socket, name("eth0")).unwrap().index;
    // The second one is there already.
    let _ = address::add(&mut socket, &address::Address::new(eth0, "10.1.1.77/32".parse().unwrap()));
    let sender = namespace.enter(|| UdpSocket::bind("10.1.1.77:0").unwrap()).unwrap();
    sender.send_to(b"spoofed", "10.1.1.254:7").unwrap();
}

#[test]
fn what_is_learnt_is_observed_once_an_address_is_known() {
    if !privileged("what_is_learnt_is_observed_once_an_address_is_known") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    let host = network.host.try_clone().unwrap();
    let mut observer = Observer::start_judging(&monitor, &host, name("br0"), (), Judging::Learnt).unwrap();
    let slot = |port| monitor.slot(port).unwrap();
    observer.changes(Duration::ZERO).unwrap();
    assert_eq!(monitor.policy(slot(PORT)), None, "nobody knows it yet");

    // The host asks who it is, the bridge sees its answer.
    network.datagrams_from_host(0, 1, 10);
    let start = std::time::Instant::now();
    while monitor.policy(slot(PORT)).is_none() {
        observer.changes(Duration::from_millis(50)).unwrap();
        assert!(start.elapsed() < Duration::from_secs(20), "it is learnt");
    }
    assert_eq!(monitor.policy(slot(OTHER)), None, "it said nothing to the host");
    network.datagrams(0, 1, 5, 100);
    network.datagrams(1, 0, 5, 100);
    settled(|| network.stats(PORT));
    let violations = |slot: Slot| monitor.violations(slot);
    assert_eq!([violations(slot(PORT)).total(), violations(slot(OTHER)).total()], [0, 0], "all honest");

    spoof(&network, 0);
    let found = settled(|| violations(slot(PORT)));
    assert!(found.of(Reason::Ipv4SourceForeign) >= 1 && found.dropped_rx.packets == 0, "{found:?}");
    observer.stop().unwrap();
}

#[test]
fn what_is_given_is_enforced_from_the_first_frame() {
    if !privileged("what_is_given_is_enforced_from_the_first_frame") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    network.introduce();
    let rules = Rules::new(MacAddress::local(1).0).with_ipv4([10, 1, 1, 1].into(), 32).unwrap();
    let policy = Policy::new(rules).enforced();
    let given = Judging::Given(Box::new(move |port| (port.name.as_str() == "port1").then_some(policy)));
    let host = network.host.try_clone().unwrap();
    let observer = Observer::start_judging(&monitor, &host, name("br0"), (), given).unwrap();
    let slot = |port| monitor.slot(port).unwrap();
    assert_eq!((monitor.policy(slot(PORT)), monitor.policy(slot(OTHER))), (Some(policy), None));
    network.datagrams(0, 1, 5, 100);
    assert_eq!(monitor.violations(slot(PORT)).total(), 0);
    spoof(&network, 0);
    spoof(&network, 1);
    let found = settled(|| monitor.violations(slot(PORT)));
    assert!(found.dropped_rx.packets >= 1, "{found:?}");
    assert_eq!(monitor.violations(slot(OTHER)).total(), 0, "counted and not judged");
    observer.stop().unwrap();
}
