//! Attaching by TCX links, and leaving no trace.

use netns_core::tc::{self, Direction};
use netns_core::{MacAddress, RouteSocket};
use netns_ebpf::layout::{NEAR_LINKS, PortCounters};
use netns_ebpf::packet::{Reason, Rules};
use netns_ebpf::{Ahead, Monitor, MonitorError, MonitorOptions, Policy, TcxAttachment};
use std::net::UdpSocket;

use crate::harness::{Network, privileged_since, seen, settled};

const PORTS: [u32; 2] = [101, 102];

fn has_tcx(test: &str) -> bool {
    privileged_since(test, (6, 6), "TCX links")
}

fn load() -> Monitor {
    Monitor::load(&MonitorOptions { tcx: true, ..MonitorOptions::default() }).unwrap()
}

/// A network with two ports that nobody watches.
fn unwatched() -> Network {
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    network.introduce();
    network
}

#[test]
fn tcx_links_count_exactly_and_leave_nothing() {
    if !has_tcx("tcx_links_count_exactly_and_leave_nothing") {
        return;
    }
    let (monitor, mut network) = (load(), unwatched());
    let ports = PORTS.map(|port| monitor.attach_tcx(&network.socket, port, None).unwrap());
    assert_eq!(ports.each_ref().map(TcxAttachment::ifindex), PORTS);
    assert!(matches!(
        monitor.attach_tcx(&network.socket, PORTS[0], None),
        Err(MonitorError::Assigned { ifindex: 101, .. })
    ));
    network.datagrams(0, 1, 10, 100);
    network.datagrams(1, 0, 20, 100);
    network.stream(0, 1, 1 << 20);
    for port in &ports {
        let kernel = settled(|| network.stats(port.ifindex()));
        let counters = monitor.counters(port.slot());
        assert_eq!([seen(counters.rx), seen(counters.tx)], kernel);
    }
    let pairs = monitor.pairs();
    assert!(pairs.iter().any(|pair| pair.from == Some(ports[0].slot()) && pair.to == ports[1].slot()));
    for direction in Direction::BOTH {
        assert_eq!(tc::list_filters(&mut network.socket, PORTS[0], direction).unwrap(), []);
    }

    let [first, second] = ports;
    let slot = first.slot();
    monitor.detach_tcx(first).unwrap();
    assert_eq!(monitor.ports(), [(second.slot(), PORTS[1])]);
    let (before, kernel) = (monitor.counters(slot), network.stats(PORTS[0]));
    network.datagrams(0, 1, 10, 100);
    assert_eq!(monitor.counters(slot), before, "nobody counts any more");
    assert_ne!(settled(|| network.stats(PORTS[0])), kernel);
    // Whoever goes without detaching takes the programs along.
    let slot = second.slot();
    drop(second);
    let before = monitor.counters(slot);
    network.datagrams(0, 1, 10, 100);
    assert_eq!(monitor.counters(slot), before);
    assert_eq!(monitor.unassigned(), PortCounters::default());
}

#[test]
fn tcx_links_enforce_and_other_peoples_filters_run_after_them() {
    if !has_tcx("tcx_links_enforce_and_other_peoples_filters_run_after_them") {
        return;
    }
    let (monitor, other, mut network) = (load(), load(), unwatched());
    let after = other.attach(&mut network.socket, PORTS[0]).unwrap();
    let rules = Rules::new(MacAddress::local(1).0).with_ipv4([10, 1, 1, 1].into(), 32).unwrap();
    let policy = Policy::new(rules).enforced();
    let port = monitor.attach_tcx(&network.socket, PORTS[0], Some(&policy)).unwrap();
    network.datagrams(0, 1, 10, 100);
    assert_eq!(monitor.violations(port.slot()).total(), 0);
    assert_eq!(settled(|| other.counters(after.slot())).rx.packets, 10);

    // The same namespace with an address that is not its.
    let namespace = &network.insides[0].namespace;
    let mut socket = RouteSocket::open_in(namespace).unwrap();
    let address = netns_core::address::Address::new(2, "10.1.1.77/32".parse().unwrap());
    netns_core::address::add(&mut socket, &address).unwrap();
    let sender = namespace.enter(|| UdpSocket::bind("10.1.1.77:0").unwrap()).unwrap();
    sender.send_to(b"spoofed", "10.1.1.2:7").unwrap();
    let violations = settled(|| monitor.violations(port.slot()));
    assert_eq!((violations.of(Reason::Ipv4SourceForeign), violations.dropped_rx.packets), (1, 1));
    assert_eq!(other.counters(after.slot()).rx.packets, 10, "what was dropped, filters do not see");
    monitor.detach_tcx(port).unwrap();
    other.detach(&mut network.socket, &after).unwrap();
}

#[test]
fn what_is_put_before_ours_is_found() {
    if !has_tcx("what_is_put_before_ours_is_found") {
        return;
    }
    let (monitor, other, mut network) = (load(), load(), unwatched());
    let port = monitor.attach_tcx(&network.socket, PORTS[0], None).unwrap();
    let ahead = |network: &Network| monitor.ahead_of_tcx(&network.socket, &port).unwrap();
    assert_eq!(ahead(&network), Some(Vec::new()));
    // The last one is the first, at both hooks.
    let before = other.attach_tcx(&network.socket, PORTS[0], None).unwrap();
    let found = ahead(&network).unwrap();
    assert!(matches!(
        found[..],
        [Ahead::Tcx { direction: Direction::Ingress, .. }, Ahead::Tcx { direction: Direction::Egress, .. }]
    ));
    assert_eq!(other.ahead_of_tcx(&network.socket, &before).unwrap(), Some(Vec::new()));

    // All of them are before filters; those of the same monitor are no others'.
    let third = Monitor::load(&MonitorOptions::default()).unwrap();
    let filters = third.attach(&mut network.socket, PORTS[0]).unwrap();
    assert_eq!(third.ahead(&mut network.socket, PORTS[0]).unwrap().unwrap().len(), 4);
    assert_eq!(third.ahead(&mut network.socket, PORTS[1]).unwrap(), None, "it is not attached there");
    other.detach_tcx(before).unwrap();
    assert_eq!(ahead(&network), Some(Vec::new()));
    assert_eq!(third.ahead(&mut network.socket, PORTS[0]).unwrap().unwrap().len(), 2);
    third.detach(&mut network.socket, &filters).unwrap();
    netns_core::link::delete(&mut network.socket, PORTS[0]).unwrap();
    let gone = monitor.ahead_of_tcx(&network.socket, &port).unwrap_err();
    assert_eq!(gone.errno(), Some(libc::ENODEV));
    monitor.detach_tcx(port).unwrap();
}

#[test]
fn two_ports_with_the_same_place_are_told_apart() {
    if !has_tcx("two_ports_with_the_same_place_are_told_apart") {
        return;
    }
    let (monitor, network) = (load(), unwatched());
    let squatter = monitor.assign(PORTS[0] + NEAR_LINKS).unwrap();
    let port = monitor.attach_tcx(&network.socket, PORTS[0], None).unwrap();
    network.datagrams(0, 1, 10, 100);
    let count = || [port.slot(), squatter].map(|slot| settled(|| monitor.counters(slot)).rx.packets);
    assert_eq!(count(), [10, 0], "found in the hash map");
    monitor.release(squatter).unwrap();
    network.datagrams(0, 1, 10, 100);
    assert_eq!(count(), [20, 0]);
    // The place is free, and now taken by another; the port that has none stays where it is.
    let squatter = monitor.assign(PORTS[0] + 2 * NEAR_LINKS).unwrap();
    network.datagrams(0, 1, 10, 100);
    assert_eq!([port.slot(), squatter].map(|slot| settled(|| monitor.counters(slot)).rx.packets), [30, 0]);
    monitor.detach_tcx(port).unwrap();
    assert_eq!(monitor.slot(PORTS[0]), None);
}

#[test]
fn what_cannot_be_attached_to_leaves_no_slot() {
    if !has_tcx("what_cannot_be_attached_to_leaves_no_slot") {
        return;
    }
    let network = unwatched();
    let error = load_and_attach(&network, true);
    assert!(error.contains("interface 4711") && error.contains("No such device"), "{error}");
    let error = load_and_attach(&network, false);
    assert!(error.contains("MonitorOptions::tcx"), "{error}");
}

/// Tries to attach to a link that does not exist; what is said.
fn load_and_attach(network: &Network, tcx: bool) -> String {
    let monitor = Monitor::load(&MonitorOptions { tcx, ..MonitorOptions::default() }).unwrap();
    let error = monitor.attach_tcx(&network.socket, 4711, None).unwrap_err();
    assert_eq!(monitor.ports(), []);
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}
