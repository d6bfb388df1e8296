//! Who sent how much to whom.

use netns_ebpf::layout::PortCounters;
use netns_ebpf::{Lost, Monitor, MonitorOptions, Pair, Slot};

use std::net::UdpSocket;

use crate::harness::{HOST, Network, privileged, settled};

/// Ethernet, IPv4 and UDP headers.
const HEADERS: u64 = 14 + 20 + 8;

fn pair(monitor: &Monitor, from: Option<Slot>, to: Slot) -> (u64, u64) {
    let pairs = monitor.pairs();
    let mut matching = pairs.iter().filter(|pair| pair.from == from && pair.to == to);
    let counted = matching.next().map_or((0, 0), |pair| (pair.packets, pair.bytes));
    assert_eq!(matching.next(), None, "a pair is there once");
    counted
}

/// How many frames are in pairs.
fn in_pairs(monitor: &Monitor) -> u64 {
    monitor.pairs().iter().map(|pair| pair.packets).sum()
}

/// How many left through these ports.
fn sent(monitor: &Monitor, slots: &[Slot]) -> u64 {
    slots.iter().map(|&slot| monitor.counters(slot).tx.packets).sum()
}

#[test]
fn pairs_are_exact() {
    if !privileged("pairs_are_exact") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..3).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();

    network.datagrams(0, 1, 10, 100);
    network.datagrams(1, 0, 3, 50);
    network.datagrams_from_host(2, 5, 1000);
    // Until the bridge knows the receiver it sends to everybody; count what comes after.
    let before = settled(|| monitor.pairs().len());
    assert!(before >= 3);
    let first = |from: Option<Slot>, to| pair(&monitor, from, to);
    let (a, b, c) = (slots[0], slots[1], slots[2]);
    let old = [first(Some(a), b), first(Some(b), a), first(None, c)];
    network.datagrams(0, 1, 100, 100);
    network.datagrams(1, 0, 30, 50);
    network.datagrams_from_host(2, 50, 1000);
    let new = [first(Some(a), b), first(Some(b), a), first(None, c)];
    for ((old, new), (packets, payload)) in old.into_iter().zip(new).zip([(100, 100), (30, 50), (50, 1000)]) {
        assert_eq!((new.0 - old.0, new.1 - old.1), (packets, packets * (HEADERS + payload)));
    }

    // Each frame that left through a port is in one pair.
    for &slot in &slots {
        let to_port = monitor.counters(slot).tx;
        let pairs = monitor.pairs();
        let sum =
            |count: fn(&Pair) -> u64| pairs.iter().filter(|pair| pair.to == slot).map(count).sum::<u64>();
        assert_eq!((sum(|pair| pair.packets), sum(|pair| pair.bytes)), (to_port.packets, to_port.bytes));
    }
    assert_eq!(monitor.lost_pairs(), Lost::default());
}

#[test]
fn pairs_without_room_are_counted_as_lost() {
    if !privileged("pairs_without_room_are_counted_as_lost") {
        return;
    }
    // The smallest table has 64 lines; ten ports that all hear a broadcast of each other make 90 pairs.
    let monitor = Monitor::load(&MonitorOptions { pairs: 1, ..MonitorOptions::default() }).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..10).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    network.broadcasts(10);
    let lost = settled(|| monitor.lost_pairs());
    assert!((32..=64).contains(&monitor.pairs().len()));
    assert!(lost.packets >= 26 * 10, "{lost:?}");
    assert_eq!(in_pairs(&monitor) + lost.packets, sent(&monitor, &slots));
}

#[test]
fn what_a_sender_takes_of_the_table_is_bounded_and_lost_for_it_alone() {
    if !privileged("what_a_sender_takes_of_the_table_is_bounded_and_lost_for_it_alone") {
        return;
    }
    // 64 lines, and ten of twelve ports that want 11 each.
    let monitor = Monitor::load(&MonitorOptions { pairs: 32, ..MonitorOptions::default() }).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..12).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    // The bridge is to know where these two are, and nobody else is to hear of it.
    for quiet in [10, 11] {
        let bind = || UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        let socket = network.insides[quiet].namespace.enter(bind).unwrap();
        socket.send_to(b"hello", (HOST, 9)).unwrap();
    }
    (0..10).for_each(|from| network.broadcasts_from(from, 3));
    let lost = settled(|| monitor.lost_pairs());
    assert!(lost.packets >= 3 * (110 - 64), "{lost:?}");

    // The others have their share of it, which is (64 - 32) / 13.
    network.datagrams(10, 11, 5, 100);
    network.datagrams(11, 10, 7, 100);
    let (quiet, other) = (slots[10], slots[11]);
    settled(|| sent(&monitor, &slots));
    assert_eq!(pair(&monitor, Some(quiet), other), (5, 5 * (HEADERS + 100)));
    assert_eq!(pair(&monitor, Some(other), quiet), (7, 7 * (HEADERS + 100)));

    // What was lost was lost for those who sent it.
    let of = |from: Option<Slot>| monitor.lost_pairs_of(from);
    assert_eq!([of(Some(quiet)), of(Some(other))], [Lost::default(); 2]);
    // By the end of the flood there was nothing but its share for it: two lines of eleven.
    assert_eq!(of(Some(slots[9])).packets, 3 * 9);
    let senders = slots.iter().copied().map(Some).chain([None]);
    let sum = senders.map(of).fold(Lost::default(), |sum, lost| Lost {
        packets: sum.packets + lost.packets,
        bytes: sum.bytes + lost.bytes,
    });
    assert_eq!(sum, settled(|| monitor.lost_pairs()));
    assert_eq!(in_pairs(&monitor) + sum.packets, sent(&monitor, &slots));

    // Lines of ports that went are everybody's again.
    for slot in &slots[..8] {
        monitor.release(*slot).unwrap();
    }
    let _ = monitor.pairs();
    let before = of(Some(slots[9]));
    network.broadcasts_from(9, 3);
    settled(|| sent(&monitor, &slots[8..]));
    for &to in slots[8..].iter().filter(|&&to| to != slots[9]) {
        assert!(pair(&monitor, Some(slots[9]), to).0 >= 3, "{to}");
    }
    // Of the ports that went nobody makes pairs out of what they still hear.
    assert!(of(Some(slots[9])).packets <= before.packets + 3 * 8);
}

#[test]
fn pairs_of_a_table_that_is_as_full_as_it_was_asked_for_are_exact() {
    if !privileged("pairs_of_a_table_that_is_as_full_as_it_was_asked_for_are_exact") {
        return;
    }
    // 20 pairs of ports, and up to 5 of the host, in 64 lines: many are not where they are looked for first.
    let monitor = Monitor::load(&MonitorOptions { pairs: 32, ..MonitorOptions::default() }).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..5).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    network.broadcasts(1);
    let of_ports = || -> Vec<u64> {
        let ways = slots.iter().flat_map(|&from| slots.iter().map(move |&to| (from, to)));
        ways.filter(|(from, to)| from != to).map(|(from, to)| pair(&monitor, Some(from), to).0).collect()
    };
    let before = settled(of_ports);
    network.broadcasts(100);
    let after = settled(of_ports);
    assert!(before.iter().zip(&after).all(|(before, after)| after - before >= 100), "{before:?} {after:?}");
    assert_eq!(monitor.lost_pairs(), Lost::default());
    assert_eq!(in_pairs(&monitor), sent(&monitor, &slots));
}

#[test]
fn pairs_can_be_switched_off() {
    if !privileged("pairs_can_be_switched_off") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions { pairs: 0, ..MonitorOptions::default() }).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..2).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    network.datagrams(0, 1, 20, 100);
    assert!(monitor.counters(slots[1]).tx.packets >= 20);
    assert_eq!(monitor.pairs(), []);
    assert_eq!(monitor.lost_pairs(), Lost::default());
}

#[test]
fn pairs_of_a_released_slot_are_gone() {
    if !privileged("pairs_of_a_released_slot_are_gone") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions { slots: 2, ..MonitorOptions::default() }).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..2).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    network.datagrams(0, 1, 20, 100);
    assert!(pair(&monitor, Some(slots[0]), slots[1]).0 >= 20);

    netns_core::link::delete(&mut network.socket, 101_u32).unwrap();
    monitor.release(slots[0]).unwrap();
    assert!(monitor.counters(slots[0]).rx.packets >= 20, "its own counters can still be read");
    assert!(monitor.pairs().iter().all(|pair| pair.from.is_none()));

    let again = monitor.assign(4711).unwrap();
    assert_eq!(again, slots[0], "there is no other");
    assert_eq!(monitor.counters(again), PortCounters::default(), "and it begins at zero");
    assert_eq!(pair(&monitor, Some(again), slots[1]), (0, 0));
}

#[test]
fn many_pairs_come_whole() {
    if !privileged("many_pairs_come_whole") {
        return;
    }
    // 24 ports that all heard a broadcast of each other make 24 * 23 pairs, and the host's.
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let count = 24;
    for _ in 0..count {
        network.add(Some(&monitor)).unwrap();
    }
    network.introduce();
    network.broadcasts(1);
    let pairs = settled(|| monitor.pairs().into_iter().filter(|pair| pair.from.is_some()).count());
    assert_eq!(pairs, count * (count - 1));
}
