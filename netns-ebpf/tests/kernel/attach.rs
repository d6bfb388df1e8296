//! Attaching to ports that exist, and leaving no trace.

use netns_core::tc::{self, Direction, Filter};
use netns_ebpf::{Monitor, MonitorError, MonitorOptions};

use crate::harness::{Network, privileged, seen, settled};
use crate::log::{keep, logged};

const PORT: u32 = 101;

/// A monitor, and a network with two ports that nobody watches.
fn unwatched() -> (Monitor, Network) {
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    (monitor, network)
}

/// What is on a port: its qdiscs' kinds, and the filters of both hooks.
fn state(network: &mut Network, port: u32) -> impl PartialEq + std::fmt::Debug + use<> {
    let mut qdiscs: Vec<_> =
        tc::list_qdiscs(&mut network.socket, port).unwrap().into_iter().map(|qdisc| qdisc.kind).collect();
    qdiscs.sort();
    (qdiscs, Direction::BOTH.map(|direction| tc::list_filters(&mut network.socket, port, direction).unwrap()))
}

#[test]
fn a_port_is_watched_and_left_as_it_was() {
    if !privileged("a_port_is_watched_and_left_as_it_was") {
        return;
    }
    let (monitor, mut network) = unwatched();
    network.introduce();
    network.datagrams(0, 1, 5, 100);
    let before = state(&mut network, PORT);
    let kernel_before = settled(|| network.stats(PORT));

    let attachment = monitor.attach(&mut network.socket, PORT).unwrap();
    assert_eq!((attachment.ifindex(), monitor.ports()), (PORT, vec![(attachment.slot(), PORT)]));
    assert_ne!(state(&mut network, PORT), before);
    network.datagrams(0, 1, 10, 100);
    network.datagrams(1, 0, 20, 100);
    let kernel = settled(|| network.stats(PORT));
    let counters = monitor.counters(attachment.slot());
    let since = |n: usize| (kernel[n].0 - kernel_before[n].0, kernel[n].1 - kernel_before[n].1);
    assert_eq!([seen(counters.rx), seen(counters.tx)], [since(0), since(1)]);

    monitor.detach(&mut network.socket, &attachment).unwrap();
    assert_eq!(state(&mut network, PORT), before);
    assert_eq!(monitor.ports(), []);
    assert!(matches!(
        monitor.detach(&mut network.socket, &attachment),
        Err(MonitorError::NotAssigned { .. })
    ));
}

#[test]
fn what_others_made_stays() {
    if !privileged("what_others_made_stays") {
        return;
    }
    keep();
    let (monitor, mut network) = unwatched();
    let other = Monitor::load(&MonitorOptions::default()).unwrap();
    let slot = other.assign(PORT).unwrap();
    tc::add_clsact(&mut network.socket, PORT).unwrap();
    for filter in other.filters(PORT, slot) {
        tc::add_filter(&mut network.socket, &filter).unwrap();
        tc::add_filter(&mut network.socket, &Filter { priority: 3, ..filter }).unwrap();
    }
    let before = state(&mut network, PORT);

    let attachment = monitor.attach(&mut network.socket, PORT).unwrap();
    for direction in Direction::BOTH {
        let filters = tc::list_filters(&mut network.socket, PORT, direction).unwrap();
        let priorities: Vec<_> = filters.iter().map(|filter| filter.priority).collect();
        assert_eq!(priorities, [1, 2, 3], "ours takes the lowest that is free");
    }
    let warning =
        logged(&format!("interface {PORT}, Ingress: 1 other filter(s) run before ours, at priority 2"));
    assert!(!warning.is_empty());

    // Both see every frame: ours has nothing to say about them, nor has the other.
    network.introduce();
    network.datagrams(0, 1, 10, 100);
    assert!(monitor.counters(attachment.slot()).rx.packets >= 10);
    assert!(other.counters(slot).rx.packets >= 20, "each frame by two filters");

    monitor.detach(&mut network.socket, &attachment).unwrap();
    assert_eq!(state(&mut network, PORT), before);
}

#[test]
fn a_filter_put_into_our_qdisc_keeps_it() {
    if !privileged("a_filter_put_into_our_qdisc_keeps_it") {
        return;
    }
    let (monitor, mut network) = unwatched();
    let other = Monitor::load(&MonitorOptions::default()).unwrap();
    let attachment = monitor.attach(&mut network.socket, PORT).unwrap();
    let slot = other.assign(PORT).unwrap();
    let [filter, _] = other.filters(PORT, slot);
    tc::add_filter(&mut network.socket, &Filter { priority: 9, ..filter }).unwrap();

    monitor.detach(&mut network.socket, &attachment).unwrap();
    let filters = tc::list_filters(&mut network.socket, PORT, Direction::Ingress).unwrap();
    assert_eq!(filters.iter().map(|filter| filter.priority).collect::<Vec<_>>(), [9]);
    assert_eq!(tc::list_filters(&mut network.socket, PORT, Direction::Egress).unwrap(), []);
}

#[test]
fn a_filter_in_the_place_of_ours_is_not_taken_for_it() {
    if !privileged("a_filter_in_the_place_of_ours_is_not_taken_for_it") {
        return;
    }
    let (monitor, mut network) = unwatched();
    let other = Monitor::load(&MonitorOptions::default()).unwrap();
    let attachment = monitor.attach(&mut network.socket, PORT).unwrap();
    let slot = other.assign(PORT).unwrap();
    for filter in other.filters(PORT, slot) {
        tc::delete_filter(&mut network.socket, PORT, filter.direction, filter.priority, filter.handle)
            .unwrap();
        tc::add_filter(&mut network.socket, &filter).unwrap();
    }
    let before = state(&mut network, PORT);
    monitor.detach(&mut network.socket, &attachment).unwrap();
    assert_eq!(state(&mut network, PORT), before);
}

#[test]
fn a_port_that_is_gone_is_detached() {
    if !privileged("a_port_that_is_gone_is_detached") {
        return;
    }
    let (monitor, mut network) = unwatched();
    let attachment = monitor.attach(&mut network.socket, PORT).unwrap();
    netns_core::link::delete(&mut network.socket, PORT).unwrap();
    monitor.detach(&mut network.socket, &attachment).unwrap();
    assert_eq!(monitor.ports(), []);
}

#[test]
fn a_qdisc_that_somebody_deleted_is_not_missed() {
    if !privileged("a_qdisc_that_somebody_deleted_is_not_missed") {
        return;
    }
    let (monitor, mut network) = unwatched();
    let attachment = monitor.attach(&mut network.socket, PORT).unwrap();
    tc::delete_clsact(&mut network.socket, PORT).unwrap();
    monitor.detach(&mut network.socket, &attachment).unwrap();
    assert_eq!(monitor.ports(), []);
}

#[test]
fn a_failed_attach_leaves_nothing() {
    if !privileged("a_failed_attach_leaves_nothing") {
        return;
    }
    let (monitor, mut network) = unwatched();
    let error = monitor.attach(&mut network.socket, 999).unwrap_err();
    assert!(error.to_string().starts_with("attach to the port with ifindex 999: "), "{error}");
    assert_eq!(monitor.ports(), []);
}
