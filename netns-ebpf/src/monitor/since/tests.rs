use std::time::Instant;

use netns_core::IfName;

use super::*;
use crate::layout::Violations;
use crate::monitor::{Behind, PortIdentity};
use crate::packet::Reason;

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn traffic(packets: u64) -> Traffic {
    Traffic { packets, bytes: packets * 100, segments: packets }
}

/// As many violations of one reason, all dropped.
fn violations(packets: u64) -> Violations {
    let mut violations = Violations::default();
    violations.packets[usize::from(Reason::Ipv4Land.code())] = packets;
    violations.dropped_rx.packets = packets;
    violations
}

fn reading(taken: Instant, ports: &[(u16, u64)]) -> Reading {
    let port = |&(number, packets): &(u16, u64)| {
        let info = PortIdentity {
            ifindex: u32::from(number) + 10,
            slot: slot(number),
            name: IfName::new(&format!("p{number}")).unwrap(),
            mac: None,
            behind: Behind::Nothing,
        };
        let counters =
            PortCounters { rx: traffic(packets), tx: traffic(2 * packets), ..PortCounters::default() };
        PortReading {
            info: Arc::new(info),
            counters,
            violations: Some(violations(packets / 2)),
            lost: Lost::default(),
            limits: None,
            scopes: None,
            lost_verdicts: None,
        }
    };
    Reading { taken, ..Reading::of_kernel(ports.iter().map(port).collect()) }
}

#[test]
fn rates_are_of_the_time_between_and_by_port_not_by_place() {
    let start = Instant::now();
    let before = reading(start, &[(1, 10), (2, 20)]);
    let after = reading(start + Duration::from_millis(500), &[(3, 5), (2, 30)]);
    let rates = after.rates(&before);
    assert_eq!(rates[0].rx, Rate { packets: 10, bits: 8000 }, "one that came counts from nothing");
    assert_eq!(rates[1].rx, Rate { packets: 20, bits: 16_000 });
    assert_eq!(rates[1].tx, Rate { packets: 40, bits: 32_000 });
    assert_eq!((rates[0].violations, rates[1].violations), (4, 10));
}

#[test]
fn a_slot_that_counts_anew_is_not_a_huge_rate() {
    let start = Instant::now();
    let before = reading(start, &[(1, 10)]);
    let after = reading(start + Duration::from_secs(1), &[(1, 4)]);
    assert_eq!(after.since(&before)[0].counters.rx, traffic(4));
    assert_eq!(after.since(&before)[0].violations, Some(violations(2)), "nor are its violations");
    assert_eq!(reading(start, &[(1, 4)]).rates(&before)[0].rx.packets, 4_000_000, "no division by zero");
}

#[test]
fn violations_differ_and_add_up_by_reason() {
    let start = Instant::now();
    let before = reading(start, &[(1, 10), (2, 20)]);
    let after = reading(start + Duration::from_secs(1), &[(1, 16), (2, 20)]);
    let differences: Vec<_> = after.since(&before).into_iter().map(|port| port.violations).collect();
    assert_eq!(differences, [Some(violations(3)), Some(violations(0))]);
    assert_eq!(after.violations(), Some(violations(18)));
    assert_eq!(reading(start, &[]).violations(), None);
    let port = |reading: PortReading| CountedPort {
        slot: reading.info.slot,
        ifindex: reading.info.ifindex,
        counters: reading.counters,
        violations: reading.violations.unwrap(),
    };
    let snapshot = Snapshot { ports: after.ports.into_iter().map(port).collect(), ..Snapshot::default() };
    assert_eq!(snapshot.violations(), violations(18));
}

#[test]
fn snapshots_differ_by_what_passed() {
    let pair = |from, packets| Pair { from, to: slot(1), packets, bytes: packets * 100 };
    let port = |packets| CountedPort {
        slot: slot(1),
        ifindex: 7,
        counters: PortCounters { rx: traffic(packets), ..PortCounters::default() },
        violations: violations(packets),
    };
    let lost = |packets| Lost { packets, bytes: 0 };
    let before = Snapshot { ports: vec![port(3)], pairs: vec![pair(None, 2)], lost: lost(1) };
    let after =
        Snapshot { ports: vec![port(5)], pairs: vec![pair(None, 6), pair(Some(slot(2)), 1)], lost: lost(1) };
    let expected =
        Snapshot { ports: vec![port(2)], pairs: vec![pair(None, 4), pair(Some(slot(2)), 1)], lost: lost(0) };
    assert_eq!(after.since(&before), expected);
}
