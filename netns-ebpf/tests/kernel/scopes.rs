//! What passes, by where it comes from and goes to: all of it, each frame once.

use netns_core::IpNet;
use netns_ebpf::layout::{Passed, PortCounters, ScopeCounters};
use netns_ebpf::packet::Scope;
use netns_ebpf::{Limits, Monitor, MonitorError, MonitorOptions, RateLimit, Slot, scopes_of};

use crate::harness::{Network, privileged, settled};

fn load() -> Monitor {
    let options = MonitorOptions { slots: 16, limits: true, scopes: true, ..MonitorOptions::default() };
    Monitor::load(&options).unwrap()
}

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn sum(way: [Passed; Scope::COUNT]) -> (u64, u64) {
    way.iter().fold((0, 0), |(packets, bytes), passed| (packets + passed.packets, bytes + passed.bytes))
}

/// What a port's counters say that its scopes have to add up to.
fn totals(monitor: &Monitor, slot: Slot, counters: PortCounters) -> [(u64, u64); 2] {
    let (over, violations) = (monitor.over_limits(slot), monitor.violations(slot));
    let dropped = [violations.dropped_rx, over.limited_rx, over.over_quota_rx];
    let packets = dropped.iter().map(|dropped| dropped.packets).sum::<u64>();
    let bytes = dropped.iter().map(|dropped| dropped.bytes).sum::<u64>();
    [(counters.rx.packets - packets, counters.rx.bytes - bytes), (counters.tx.packets, counters.tx.bytes)]
}

#[test]
fn every_frame_is_of_one_scope() {
    if !privileged("every_frame_is_of_one_scope") {
        return;
    }
    let monitor = load();
    let mut network = Network::new();
    let slots: Vec<_> = (0..3).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    for (net, scope) in scopes_of(&mut network.socket, network.bridge).unwrap() {
        monitor.set_scope(net, scope).unwrap();
    }
    let mut said = monitor.scopes().unwrap();
    said.sort();
    assert_eq!(said, [(net("10.1.1.0/24"), Scope::Sandboxes), (net("10.1.1.254/32"), Scope::Host)]);

    // ARP first: nobody knows anybody.
    network.datagrams(0, 1, 1, 100);
    network.introduce();
    network.stream(0, 1, 5_000_000);
    network.datagrams(1, 2, 50, 1000);
    network.datagrams_from_host(2, 30, 10);
    // Some of it too much.
    let limits = Limits { outgoing: RateLimit::bits(8_000).with_burst(1_000), ..Limits::default() };
    monitor.set_limits(slots[2], &limits).unwrap();
    network.broadcasts_from(2, 100);
    settled(|| slots.iter().map(|&slot| monitor.counters(slot)).collect::<Vec<_>>());

    for &slot in &slots {
        let scopes = monitor.scope_counters(slot).unwrap();
        let [outgoing, incoming] = totals(&monitor, slot, monitor.counters(slot));
        assert_eq!(
            (sum(scopes.passed[0]), sum(scopes.passed[1])),
            (outgoing, incoming),
            "{slot}: {scopes:?}"
        );
        for scope in [Scope::Private, Scope::Internet] {
            assert_eq!((scopes.to(scope), scopes.from(scope)), Default::default(), "{slot}");
        }
    }
    let of = |place: usize| monitor.scope_counters(slots[place]).unwrap();
    assert!(monitor.over_limits(slots[2]).limited_rx.packets > 0, "some were dropped, and are in no scope");
    assert!(of(0).to(Scope::Link).packets >= 1, "the question who has the address: {:?}", of(0));
    assert!(of(0).to(Scope::Sandboxes).bytes > 5_000_000 && of(1).from(Scope::Sandboxes).bytes > 5_000_000);
    assert_eq!(of(2).from(Scope::Host), Passed { packets: 30, bytes: 30 * 52 });
    assert_eq!(of(0).to(Scope::Host), Passed::default());
    // To the subnet's broadcast address, which is one of the subnet.
    assert!(of(2).to(Scope::Sandboxes).packets > 0);

    // Another network's, and the internet's, by what is said of addresses and what is not.
    monitor.clear_scope(net("10.1.1.0/24")).unwrap();
    monitor.clear_scope(net("10.9.0.0/16")).unwrap();
    network.datagrams(0, 1, 5, 100);
    monitor.set_scope(net("10.1.1.0/30"), Scope::Internet).unwrap();
    network.datagrams(0, 1, 7, 100);
    settled(|| monitor.counters(slots[1]));
    assert_eq!(of(1).from(Scope::Private).packets, 5);
    assert_eq!(of(1).from(Scope::Internet), Passed { packets: 7, bytes: 7 * 142 });

    // It can be read when the sandbox is gone, and until the slot is another's.
    let last = of(1);
    monitor.release(slots[1]).unwrap();
    assert_eq!(monitor.scope_counters(slots[1]), Some(last));
    let next = loop {
        let next = monitor.assign(999).unwrap();
        if next == slots[1] {
            break next;
        }
        monitor.release(next).unwrap();
    };
    assert_eq!(monitor.scope_counters(next), Some(ScopeCounters::default()));
}

#[test]
fn scopes_are_asked_for_at_loading_and_known_to_who_opens_the_programs_again() {
    if !privileged("scopes_are_asked_for_at_loading_and_known_to_who_opens_the_programs_again") {
        return;
    }
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    network.introduce();
    let without = Monitor::load(&MonitorOptions { slots: 4, ..MonitorOptions::default() }).unwrap();
    let slot = without.assign(7).unwrap();
    assert_eq!(without.scope_counters(slot), None);
    let error = without.set_scope(net("10.0.0.0/8"), Scope::Host).unwrap_err();
    assert!(matches!(error, MonitorError::Unscoped), "{error}");

    let monitor = load();
    let attachment = monitor.attach(&mut network.socket, 101).unwrap();
    let scopes = [
        (net("10.1.1.2/32"), Scope::Host),
        (net("fd00::/8"), Scope::Sandboxes),
        (net("::/0"), Scope::Private),
    ];
    for (net, scope) in scopes {
        monitor.set_scope(net, scope).unwrap();
    }
    let programs = monitor.program_ids();
    drop(monitor);
    let monitor = Monitor::reopen(programs).unwrap();
    let mut said = monitor.scopes().unwrap();
    said.sort_by_key(|(_, scope)| *scope);
    assert_eq!(said, [scopes[0], scopes[1], scopes[2]]);
    network.datagrams(0, 1, 3, 100);
    settled(|| monitor.counters(attachment.slot()));
    let counted = monitor.scope_counters(attachment.slot()).unwrap();
    assert_eq!(counted.to(Scope::Host), Passed { packets: 3, bytes: 3 * 142 });
    monitor.detach(&mut network.socket, &attachment).unwrap();
}
