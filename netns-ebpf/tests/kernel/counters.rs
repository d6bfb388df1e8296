//! What the program counts is what the kernel counts.

use netns_core::link;
use netns_ebpf::layout::PortCounters;
use netns_ebpf::{CounterComparison, Monitor, MonitorOptions, Slot};

use crate::harness::{Network, privileged, seen, settled};

#[test]
fn counters_equal_the_kernels_statistics() {
    if !privileged("counters_equal_the_kernels_statistics") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..3).map(|_| network.add(Some(&monitor)).unwrap()).collect();

    network.introduce();
    network.stream(0, 1, 20_000_000);
    network.stream(2, 0, 3_000_000);
    network.datagrams(1, 2, 100, 1000);
    network.datagrams_from_host(2, 100, 10);

    for (slot, port) in slots.iter().copied().zip([101, 102, 103]) {
        let kernel = settled(|| network.stats(port));
        let counters = monitor.counters(slot);
        assert_eq!([seen(counters.rx), seen(counters.tx)], kernel, "port {port}");
    }
    let sender = monitor.counters(slots[0]);
    assert!(sender.rx.bytes > 20_000_000, "the stream went through the port: {sender:?}");
    assert!(
        sender.rx.segments > 2 * sender.rx.packets,
        "most of it in trains, whose segments count one by one: {sender:?}"
    );
    assert!(sender.rx.bytes / sender.rx.segments < 1514, "and none is longer than a frame: {sender:?}");
    assert_eq!(monitor.unassigned(), PortCounters::default());

    let snapshot = monitor.snapshot();
    assert_eq!(snapshot.ports.iter().map(|port| port.ifindex).collect::<Vec<_>>(), [101, 102, 103]);
    assert_eq!(snapshot.ports[0].counters, sender);
    assert_eq!(snapshot.pairs.len(), monitor.pairs().len());
}

#[test]
fn a_port_in_two_directions_on_many_cpus_is_exact() {
    if !privileged("a_port_in_two_directions_on_many_cpus_is_exact") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..2).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    std::thread::scope(|scope| {
        for (from, to) in [(0, 1), (1, 0)] {
            scope.spawn({
                let network = &network;
                move || network.stream(from, to, 50_000_000)
            });
        }
    });
    for (slot, port) in slots.into_iter().zip([101, 102]) {
        let kernel = settled(|| network.stats(port));
        let counters = monitor.counters(slot);
        assert_eq!([seen(counters.rx), seen(counters.tx)], kernel, "port {port}");
    }
}

#[test]
fn the_monitor_itself_finds_its_counters_equal_to_the_kernels_or_not() {
    if !privileged("the_monitor_itself_finds_its_counters_equal_to_the_kernels_or_not") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..2).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    network.stream(0, 1, 20_000_000);
    let mut compare = |slots: &[Slot]| {
        let kernel = || [101_u32, 102].iter().map(|&port| link::stats(&mut network.socket, port)).collect();
        monitor.compare(slots, kernel).unwrap()
    };
    assert_eq!(compare(&slots), CounterComparison::Exact, "the end of the stream is waited for");

    // A port that is given a slot anew counts from zero, and the kernel does not.
    monitor.release(slots[1]).unwrap();
    let anew = monitor.assign(102).unwrap();
    let CounterComparison::Different(differences) = compare(&[slots[0], anew]) else {
        panic!("they are different")
    };
    assert!(differences.iter().all(|difference| difference.port == anew), "{differences:?}");
    assert!(differences.iter().all(|difference| difference.program == 0 && difference.kernel > 0));
    assert_eq!(differences.len(), 4, "{differences:?}");
}
