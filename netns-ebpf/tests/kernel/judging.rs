//! Judging the ports of a bridge that is observed: by what was learnt, and by what is given.

use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::Duration;

use netns_core::link::LinkChange;
use netns_core::{MacAddress, RouteSocket, address, link};
use netns_ebpf::packet::{Reason, Rules};
use netns_ebpf::{Behind, Judging, Monitor, MonitorOptions, Observer, Policy, PortChange, Slot};

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
        assert!(start.elapsed() < Duration::from_mins(1), "it is learnt");
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

#[test]
fn what_is_given_for_a_namespace_holds_when_its_port_comes_and_what_is_given_for_a_name_ends_with_it() {
    if !privileged(
        "what_is_given_for_a_namespace_holds_when_its_port_comes_and_what_is_given_for_a_name_ends_with_it",
    ) {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let policy = Policy::new(Rules::new(MacAddress::local(1).0)).enforced();
    let is_given = |port: &netns_ebpf::PortIdentity| {
        port.name.as_str() == "port1" || matches!(port.behind, Behind::Process { .. })
    };
    let given = Judging::Given(Box::new(move |port| is_given(port).then_some(policy)));
    let host = network.host.try_clone().unwrap();
    let mut observer = Observer::start_judging(&monitor, &host, name("br0"), (), given).unwrap();

    // Nobody can be found behind the first: looking for him again is put off, which the second must not have to wait for.
    network.add(None);
    observer.changes(Duration::ZERO).unwrap();
    let slot = |port| monitor.slot(port).unwrap();
    assert_eq!(monitor.policy(slot(PORT)), Some(policy), "by its name");
    network.add(None);
    // It ends when its input does: with this test, whatever becomes of it.
    let mut inhabitant =
        network.insides[1].namespace.spawn(Command::new("cat").stdin(Stdio::piped())).unwrap();
    // On a slow machine a round may be over before it is the port's turn.
    let has_come = |_: &usize| {
        observer.changes(Duration::ZERO).unwrap();
        monitor.slot(OTHER).is_some()
    };
    assert!((0..100).find(has_come).is_some());
    assert_eq!(monitor.policy(slot(OTHER)), Some(policy), "by who is behind it");

    let mut socket = RouteSocket::open_in(&host).unwrap();
    // Down for it: before Linux 6.2 a link that is up has the name that it has.
    let down = LinkChange { up: Some(false), ..LinkChange::default() };
    link::set(&mut socket, PORT, &down).unwrap();
    let renamed = name("renamed");
    link::set(&mut socket, PORT, &LinkChange { name: Some(renamed), ..LinkChange::default() }).unwrap();
    let changes = observer.changes(Duration::ZERO).unwrap();
    assert!(changes.iter().any(|change| matches!(change, PortChange::Closed(port) if port.ifindex == PORT)));
    assert_eq!(
        monitor.policy(slot(PORT)),
        Some(Policy::closed()),
        "it has another name now, and is not set free by it"
    );
    assert_eq!(monitor.policy(slot(OTHER)), Some(policy));
    observer.stop().unwrap();
    drop(inhabitant.stdin.take());
    assert!(inhabitant.wait().unwrap().success());
}

#[test]
fn a_port_that_cannot_be_judged_is_closed_by_the_barrier_while_it_is_on_the_bridge() {
    const TEST: &str = "a_port_that_cannot_be_judged_is_closed_by_the_barrier_while_it_is_on_the_bridge";
    if !privileged(TEST) || !netns_core::barrier::is_supported().unwrap() {
        return;
    }
    // Room for one port alone.
    let monitor =
        Monitor::load(&MonitorOptions { slots: 1, barrier: true, ..MonitorOptions::default() }).unwrap();
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    network.introduce();
    let host = network.host.try_clone().unwrap();
    let policy = |number: u8| {
        let rules = Rules::new(MacAddress::local(number.into()).0).with_ipv4([10, 1, 1, number].into(), 32);
        Policy::new(rules.unwrap()).enforced()
    };
    let given =
        Judging::Given(Box::new(move |port| Some(policy(if port.name.as_str() == "port1" { 1 } else { 2 }))));
    let mut observer = Observer::start_judging(&monitor, &host, name("br0"), (), given).unwrap();
    let changes = observer.changes(Duration::ZERO).unwrap();
    let is_refused = |change: &PortChange| matches!(change, PortChange::Refused { name, enforced: true, closed: true, .. } if name.as_str() == "port2");
    assert!(changes.iter().any(is_refused), "{changes:?}");
    let listener = host.enter(|| UdpSocket::bind("10.1.1.254:7").unwrap()).unwrap();
    listener.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let says = |from: usize| {
        let namespace = &network.insides[from].namespace;
        let sender = namespace.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap()).unwrap();
        sender.send_to(b"hello", "10.1.1.254:7").unwrap();
        listener.recv(&mut [0; 16]).is_ok()
    };
    assert_eq!([says(0), says(1)], [true, false]);

    // It leaves, and is as it was before; when it comes again, there is still no room.
    let mut socket = RouteSocket::open_in(&host).unwrap();
    let mut join = |bridge| {
        link::set(&mut socket, OTHER, &LinkChange { master: Some(bridge), ..LinkChange::default() }).unwrap();
        observer.changes(Duration::ZERO).unwrap();
    };
    join(0);
    join(network.bridge);
    assert!(!says(1));
    observer.stop().unwrap();
    assert!(says(1), "nobody enforces any more");
}
