use std::sync::Arc;

use netns_core::IfName;

use super::*;
use crate::layout::PortCounters;
use crate::monitor::Behind;

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn pair(from: u16, to: u16, bytes: u64) -> Pair {
    Pair { from: Slot::new(from), to: slot(to), packets: 1, bytes }
}

/// A reading of ports `p1` and so on, in the order of `ports`, of which those with an even number have a namespace.
fn reading(ports: &[u16], pairs: &[Pair]) -> Reading {
    let port = |&number: &u16| {
        let behind = if number % 2 == 0 { Behind::Named(format!("ns{number}")) } else { Behind::Nothing };
        let info = PortIdentity {
            ifindex: u32::from(number) + 10,
            slot: slot(number),
            name: IfName::new(&format!("p{number}")).unwrap(),
            mac: None,
            behind,
        };
        PortReading {
            info: Arc::new(info),
            counters: PortCounters::default(),
            violations: None,
            lost: crate::Lost::default(),
            limits: None,
            scopes: None,
            lost_verdicts: None,
        }
    };
    let ports = ports.iter().map(port).collect();
    Reading { pairs: pairs.to_vec(), ..Reading::of_kernel(ports) }
}

#[test]
fn ends_are_called_by_namespace_then_port_then_slot() {
    let reading = reading(&[2, 1], &[]);
    let ends = reading.ends();
    let called = |end| (ends.title(end), ends.name(end));
    let pair = |title: &str, name: &str| (title.to_owned(), name.to_owned());
    assert_eq!(called(None), pair("host", "host"));
    assert_eq!(called(Some(slot(2))), pair("ns2", "p2"));
    assert_eq!(called(Some(slot(1))), pair("p1", "p1"), "nobody is known behind it");
    assert_eq!(called(Some(slot(9))), pair("slot 9", "slot 9"), "it is not in the reading");
    assert_eq!(ends.port(slot(1)), Some(&reading.ports[1]));
    assert_eq!(ends.port(slot(9)), None);
}

#[test]
fn pairs_are_sorted_as_the_ports_are() {
    let pairs = [pair(1, 2, 0), pair(2, 1, 0), pair(0, 1, 0), pair(1, 1, 0), pair(0, 2, 0)];
    let sorted = [pair(0, 2, 0), pair(0, 1, 0), pair(2, 1, 0), pair(1, 2, 0), pair(1, 1, 0)];
    assert_eq!(reading(&[2, 1], &pairs).ends().sorted_pairs(), sorted);
}

#[test]
fn the_busiest_pairs_are_in_front_and_equal_ones_keep_their_places() {
    let pairs = [pair(1, 2, 7), pair(3, 1, 9), pair(2, 1, 7), pair(0, 1, 7), pair(1, 3, 1)];
    let busiest = [pair(3, 1, 9), pair(0, 1, 7), pair(1, 2, 7), pair(2, 1, 7), pair(1, 3, 1)];
    for most in 0..=busiest.len() {
        assert_eq!(Pair::busiest(pairs, most), busiest[..most]);
        assert_eq!(Pair::busiest(pairs.into_iter().rev(), most), busiest[..most]);
    }
    assert_eq!(Pair::busiest(pairs, usize::MAX), busiest);
    let of_three = pairs.into_iter().filter(|pair| pair.has_end(slot(3)));
    assert_eq!(Pair::busiest(of_three, 8), [pair(3, 1, 9), pair(1, 3, 1)], "as sender and as receiver");
}

#[test]
fn the_pairs_of_a_cable_are_what_its_ports_received() {
    let mut reading = reading(&[1, 2], &[]);
    reading.ports[0].counters.rx = Traffic { packets: 3, bytes: 300, segments: 9 };
    reading.ports[1].counters.rx = Traffic { packets: 5, bytes: 500, segments: 5 };
    let pair = |from, to, packets, bytes| Pair { packets, ..pair(from, to, bytes) };
    assert_eq!(
        Pair::of_cable([&reading.ports[0], &reading.ports[1]]),
        [pair(1, 2, 3, 300), pair(2, 1, 5, 500)]
    );
}
