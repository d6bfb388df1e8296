//! What was decided of frames, by destination: each frame in one line, once, however many senders there are.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};

use netns_ebpf::attack::{FrameSocket, Party, egress_cases};
use netns_ebpf::layout::Decision;
use netns_ebpf::packet::{EgressPacket, Facts, HostAccess, Reason};
use netns_ebpf::{
    DestinationVerdict, EgressRules, Limits, Lost, Mode, Monitor, MonitorOptions, Policy, PortRate, Slot,
};

use crate::harness::{HOST, Network, privileged, settled};
use crate::host::World;

const UDP: u8 = 17;
const TCP: u8 = 6;

fn options(verdicts: u32) -> MonitorOptions {
    MonitorOptions { slots: 16, egress: 1, limits: true, verdicts, ..MonitorOptions::default() }
}

/// Asserts that a port's lines and what was lost add up to what it sent, when that has come to rest.
fn exact(monitor: &Monitor, slot: Slot) -> Vec<DestinationVerdict> {
    let rx = settled(|| monitor.counters(slot)).rx;
    let (verdicts, lost) = (monitor.verdicts_of(slot), monitor.lost_verdicts_of(slot).unwrap());
    let at_port = || verdicts.iter().filter(|verdict| !verdict.decision.is_later());
    let sum = |of: fn(&DestinationVerdict) -> u64| at_port().map(of).sum::<u64>();
    let counted = (sum(|verdict| verdict.packets) + lost.packets, sum(|verdict| verdict.bytes) + lost.bytes);
    assert_eq!(counted, (rx.packets, rx.bytes), "{slot}: {verdicts:?} {lost:?}");
    verdicts
}

/// The line of a destination; panics if there are two.
fn line(
    verdicts: &[DestinationVerdict],
    to: Option<(IpAddr, u8)>,
    port: Option<u16>,
    decision: Decision,
) -> Option<DestinationVerdict> {
    let mut lines =
        verdicts.iter().filter(|line| (line.to, line.port, line.decision) == (to, port, decision));
    let line = lines.next().copied();
    assert_eq!(lines.next(), None);
    line
}

#[test]
fn every_frame_is_in_one_line() {
    if !privileged("every_frame_is_in_one_line") {
        return;
    }
    let monitor = Monitor::load(&options(1000)).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..3).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    // ARP first: nobody knows anybody.
    network.datagrams(0, 1, 1, 100);
    network.introduce();
    network.stream(0, 1, 5_000_000);
    network.datagrams(0, 1, 49, 100);
    network.datagrams_from_host(2, 30, 10);
    network.broadcasts(5);
    let limits = Limits { outgoing: PortRate::bits(8_000).with_burst(1_000), ..Limits::default() };
    monitor.set_limits(slots[2], &limits).unwrap();
    network.broadcasts_from(2, 100);
    // Both write the line of one destination, each from a processor of its own.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| network.broadcasts_from(1, 2_000));
        }
    });

    let of: Vec<_> = slots.iter().map(|&slot| exact(&monitor, slot)).collect();
    let second = IpAddr::from(network.insides[1].address);
    let datagrams = line(&of[0], Some((second, UDP)), Some(7), Decision::Passed).unwrap();
    assert_eq!((datagrams.packets, datagrams.bytes), (50, 50 * 142));
    assert!(datagrams.first <= datagrams.last && datagrams.last.as_secs() > 0);
    let stream = line(&of[0], Some((second, TCP)), Some(7), Decision::Passed).unwrap();
    assert!(stream.bytes > 5_000_000);
    assert!(line(&of[0], None, None, Decision::Passed).unwrap().packets >= 1, "who has the address");
    let everybody = IpAddr::from([10, 1, 1, 255]);
    let broadcasts = line(&of[1], Some((everybody, UDP)), Some(9), Decision::Passed).unwrap();
    assert_eq!(broadcasts.packets, 4_005);
    let limited = line(&of[2], Some((everybody, UDP)), Some(9), Decision::OverRate).unwrap();
    assert_eq!(limited.packets, monitor.over_limits(slots[2]).limited_rx.packets);
    assert!(limited.packets > 0);
    // All ports at once are each by itself.
    let all = monitor.verdicts();
    assert_eq!(all.len(), of.iter().map(Vec::len).sum::<usize>());
    let busiest = DestinationVerdict::busiest(all, 1);
    assert_eq!(busiest, [stream]);
}

#[test]
fn every_destination_is_the_one_that_is_judged() {
    if !privileged("every_destination_is_the_one_that_is_judged") {
        return;
    }
    let monitor = Monitor::load(&options(1000)).unwrap();
    let mut network = Network::new();
    let slot = network.add(Some(&monitor)).unwrap();
    let own = ["allow 10.1.1.0/24", "allow fd00::/64"].map(|rule| rule.parse().unwrap());
    let policy = monitor.add_egress(&EgressRules::new().with_all(own)).unwrap();
    let socket = network.insides[0].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let mut expected: HashMap<_, u64> = exact(&monitor, slot)
        .into_iter()
        .map(|verdict| ((verdict.to, verdict.port, verdict.decision), verdict.packets))
        .collect();
    for (mode, decision) in [
        (Mode::Enforce, Decision::Dropped(Reason::Egress)),
        (Mode::Observe, Decision::Reported(Reason::Egress)),
    ] {
        monitor.set_egress(slot, Some((policy, mode))).unwrap();
        for case in egress_cases(&Party::numbered(1), &Party::numbered(2)) {
            let packet = EgressPacket::read(&case.frame[..], Facts::of(&case.frame));
            let to = packet.map(|packet| (address(packet.destination), packet.protocol));
            let decision = if case.is_allowed { Decision::Passed } else { decision };
            let key = (to, packet.and_then(|packet| packet.port()), decision);
            *expected.entry(key).or_default() += 3;
            for _ in 0..3 {
                socket.send(&case.frame).unwrap();
            }
        }
        // The policy is not changed before the frames are judged.
        exact(&monitor, slot);
    }
    let verdicts = exact(&monitor, slot);
    for verdict in &verdicts {
        let key = (verdict.to, verdict.port, verdict.decision);
        assert_eq!(expected.remove(&key), Some(verdict.packets), "{verdict:?}");
    }
    assert!(expected.is_empty(), "{expected:?}");
    let refused = |decision: Decision| {
        verdicts
            .iter()
            .filter(|verdict| verdict.decision == decision)
            .map(|verdict| verdict.packets)
            .sum::<u64>()
    };
    let dropped = refused(Decision::Dropped(Reason::Egress));
    let found = monitor.violations(slot);
    assert_eq!(found.of(Reason::Egress), dropped + refused(Decision::Reported(Reason::Egress)));
    assert_eq!(found.dropped_rx.packets, dropped);
}

fn address(words: [u32; 4]) -> IpAddr {
    let octets: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
    IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(octets).unwrap())).to_canonical()
}

#[test]
fn what_is_refused_after_the_port_is_a_line_more() {
    if !privileged("what_is_refused_after_the_port_is_a_line_more") {
        return;
    }
    let mut world = World::with(&options(1000));
    let policy = World::policy(1);
    let rules = policy.rules.with_host(HostAccess::Neighbours);
    world.monitor.set_policy(world.slots[0], &Policy { rules, group: 1, ..policy }).unwrap();
    world.monitor.set_policy(world.slots[1], &World::policy(2)).unwrap();
    let host = world.monitor.attach_host(&mut world.network.socket, 2).unwrap();
    let (host_address, neighbour) = (IpAddr::from(HOST), IpAddr::from([10, 1, 1, 2]));
    let own_host = world.network.host.try_clone().unwrap();
    assert!(world.misses(&own_host, host_address, 99));
    assert!(world.hears(world.inside(1), neighbour, 99));
    world.monitor.set_group_pair(1, 0, false).unwrap();
    assert!(world.misses(world.inside(1), neighbour, 99));

    let verdicts = exact(&world.monitor, world.slots[0]);
    let of = |to, port, decision| {
        line(&verdicts, Some((to, UDP)), Some(port), decision).map_or(0, |line| line.packets)
    };
    assert_eq!(
        [Decision::Passed, Decision::Dropped(Reason::Host)].map(|decision| of(host_address, 99, decision)),
        [1, 1]
    );
    assert_eq!(
        [Decision::Passed, Decision::Dropped(Reason::Group)].map(|decision| of(neighbour, 99, decision)),
        [2, 1]
    );
    // The bridge, at which the host receives, sent nothing.
    assert!(world.monitor.verdicts().iter().all(|verdict| world.slots.contains(&verdict.from)));
    drop(host);
}

/// Sends an empty datagram to so many ports of an address that nobody has.
fn scan(network: &Network, from: usize, ports: std::ops::Range<u16>) {
    let inside = &network.insides[from];
    let socket = inside.namespace.enter(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap()).unwrap();
    socket.set_broadcast(true).unwrap();
    for port in ports {
        socket.send_to(b"", ("10.1.1.255", port)).unwrap();
    }
}

#[test]
fn one_that_scans_does_not_take_the_room_of_others() {
    if !privileged("one_that_scans_does_not_take_the_room_of_others") {
        return;
    }
    // 512 lines, of which 256 are first come, first served; three ports and the host share the others.
    let monitor = Monitor::load(&options(256)).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..3).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    scan(&network, 0, 1000..3000);
    let scanned = exact(&monitor, slots[0]);
    assert!((250..=256).contains(&scanned.len()), "{}", scanned.len());
    let lost = monitor.lost_verdicts_of(slots[0]).unwrap();
    assert_eq!(
        lost.packets,
        monitor.counters(slots[0]).rx.packets - scanned.iter().map(|line| line.packets).sum::<u64>()
    );
    assert!(lost.packets >= 2000 - 256);

    // What has a line is counted in it, and the others have their share, which is 64 lines each.
    scan(&network, 0, 1000..1010);
    let again = exact(&monitor, slots[0]);
    let everybody = Some((IpAddr::from([10, 1, 1, 255]), UDP));
    assert_eq!(line(&again, everybody, Some(1000), Decision::Passed).unwrap().packets, 2);
    scan(&network, 1, 1000..1060);
    assert!(exact(&monitor, slots[1]).len() >= 60);
    assert_eq!(monitor.lost_verdicts_of(slots[1]), Some(Lost::default()));
    scan(&network, 2, 1000..3000);
    assert!((60..=64).contains(&exact(&monitor, slots[2]).len()));
    exact(&monitor, slots[1]);
    exact(&monitor, slots[0]);

    // Its lines are others' when it is gone and they are needed; until then they can be read.
    monitor.release(slots[1]).unwrap();
    assert!(exact(&monitor, slots[1]).len() >= 60);
    assert!(monitor.verdicts().iter().all(|verdict| verdict.from != slots[1]));
    monitor.release(slots[0]).unwrap();
    assert_eq!(monitor.verdicts_of(slots[0]), []);
    scan(&network, 2, 1000..3000);
    assert!(exact(&monitor, slots[2]).len() > 150, "there is room again");
}

#[test]
fn lines_go_with_their_slot_and_stay_with_the_programs() {
    if !privileged("lines_go_with_their_slot_and_stay_with_the_programs") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions { slots: 2, ..options(1000) }).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..2).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    network.datagrams(0, 1, 20, 100);
    let sent = exact(&monitor, slots[0]);
    assert_eq!(sent.iter().map(|line| line.packets).sum::<u64>(), 20);

    let programs = monitor.program_ids();
    drop(monitor);
    let monitor = Monitor::reopen(programs).unwrap();
    assert_eq!(exact(&monitor, slots[0]), sent);

    netns_core::link::delete(&mut network.socket, 101_u32).unwrap();
    monitor.release(slots[0]).unwrap();
    assert_eq!(monitor.verdicts_of(slots[0]), sent);
    let again = monitor.assign(4711).unwrap();
    assert_eq!(again, slots[0], "there is no other");
    assert_eq!(monitor.verdicts_of(again), []);
    assert_eq!(monitor.lost_verdicts_of(again), Some(Lost::default()));

    let without = Monitor::load(&MonitorOptions { slots: 2, ..MonitorOptions::default() }).unwrap();
    let slot = without.assign(7).unwrap();
    assert_eq!((without.verdicts(), without.verdicts_of(slot)), (vec![], vec![]));
    assert_eq!(without.lost_verdicts_of(slot), None);
}
