//! Rates and quotas in the kernel: what passes is what may, however many send at once.

use std::cell::Cell;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netns_core::tc::Direction;
use netns_ebpf::layout::{QuotaKind, Traffic};
use netns_ebpf::{Limits, Monitor, MonitorError, MonitorOptions, OverLimits, PortRate, Quota, Slot};

use crate::harness::{Network, privileged, seen, settled};

fn load() -> Monitor {
    Monitor::load(&MonitorOptions { slots: 16, limits: true, ..MonitorOptions::default() }).unwrap()
}

/// A datagram in a frame, as [`Monitor::test_run`] takes it.
fn frame(length: usize) -> Vec<u8> {
    let mut frame = vec![0; length];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    frame
}

/// What passed of frames without a slot, from their namespace.
fn passed(monitor: &Monitor) -> (u64, u64) {
    let Traffic { packets, bytes, .. } = monitor.unassigned().rx;
    let over = monitor.unassigned_over_limits();
    let dropped = [over.limited_rx, over.over_quota_rx];
    dropped.iter().fold((packets, bytes), |(packets, bytes), dropped| {
        (packets - dropped.packets, bytes - dropped.bytes)
    })
}

/// By the program's own clock: from when a bucket is empty until it is empty again, what passes is what the rate makes of the
/// time.
#[test]
fn a_rate_is_exact() {
    const LENGTH: usize = 3000;
    if !privileged("a_rate_is_exact") {
        return;
    }
    let monitor = load();
    for rate in [1_000_000, 100_000_000, 1_000_000_000_u64] {
        // What passes in four seconds: so long a busy machine would have to stand still for the bucket to be full again.
        let burst = rate / 8 * 4;
        let before = passed(&monitor);
        let limits = Limits { outgoing: PortRate::bits(rate).with_burst(burst), ..Limits::default() };
        monitor.set_unassigned_limits(&limits).unwrap();
        let start = Instant::now();
        // Empties it, and says when at the earliest, when at the latest, and what had passed by then.
        let empty = || {
            loop {
                let began = start.elapsed();
                let run = monitor.test_run(Direction::Ingress, &frame(LENGTH), 100).unwrap();
                let ended = start.elapsed();
                if run.dropped {
                    return (began, ended, passed(&monitor).1 - before.1);
                }
                assert!(ended < Duration::from_mins(3), "{rate}: nothing is dropped");
            }
        };
        let first = empty();
        let mut then = empty();
        while then.1 < first.1 + Duration::from_millis(300) {
            then = empty();
        }
        let made = |time: Duration| (u128::from(rate / 8) * time.as_nanos() / 1_000_000_000) as u64;
        assert!(then.2 <= burst + made(then.1), "{rate}: {then:?}");
        // What it lacks when it is empty is a frame at most.
        let (bytes, lacking) = (then.2 - first.2, LENGTH as u64);
        assert!(bytes <= made(then.1.saturating_sub(first.0)) + lacking, "{rate}: {first:?} {then:?}");
        // A byte's cost is rounded up, by a part in 25,000 here at most.
        let fewest = made(then.0.saturating_sub(first.1));
        assert!(bytes + lacking >= fewest - fewest / 25_000, "{rate}: {first:?} {then:?}");
    }
}

#[test]
fn packets_are_limited_too_and_the_rest_waits_for_nothing() {
    if !privileged("packets_are_limited_too_and_the_rest_waits_for_nothing") {
        return;
    }
    let monitor = load();
    let run = |repeat| monitor.test_run(Direction::Ingress, &frame(60), repeat).unwrap();
    let limits = |packets, burst| {
        let rate = PortRate { packet_burst: Some(burst), ..PortRate::packets(packets) };
        Limits { outgoing: rate, ..Limits::default() }
    };
    // One an hour, so that none passes for the time.
    let hourly = Limits { outgoing: PortRate::bits(8).with_burst(600), ..Limits::default() };
    monitor.set_unassigned_limits(&hourly).unwrap();
    run(100);
    let (packets, _) = passed(&monitor);
    assert!((6..=10).contains(&packets), "{packets}: as many as 600 bytes are");
    let over = monitor.unassigned_over_limits();
    assert_eq!(over.limited_rx.packets + packets, 100);
    assert_eq!(over.limited_rx.bytes, over.limited_rx.packets * 60);
    assert_eq!((over.limited_tx.packets, over.over_quota_rx.packets), (0, 0));
    assert_eq!(over.packets(), over.limited_rx.packets);

    // New limits begin anew.
    monitor.set_unassigned_limits(&limits(1, 20)).unwrap();
    let start = Instant::now();
    run(100);
    let more = passed(&monitor).0 - packets;
    assert!((10..=20 + start.elapsed().as_secs()).contains(&more), "{more} of 20 at once");
    // The same limits go on.
    monitor.set_unassigned_limits(&limits(1, 20)).unwrap();
    run(100);
    let more = passed(&monitor).0 - packets;
    assert!((10..=20 + start.elapsed().as_secs()).contains(&more), "{more} of 20 at once");
    // The other way is not limited, and neither is anything without limits.
    assert!(!monitor.test_run(Direction::Egress, &frame(60), 1000).unwrap().dropped);
    monitor.set_unassigned_limits(&Limits::default()).unwrap();
    assert!(!run(1000).dropped);
}

#[test]
fn limits_are_read_again_and_asked_for_at_loading() {
    if !privileged("limits_are_read_again_and_asked_for_at_loading") {
        return;
    }
    let monitor = load();
    let slot = monitor.assign(7).unwrap();
    assert_eq!(monitor.limits(slot), Limits::default());
    let limits: Limits = "in=1gbit,out=100mbit,out=10kpps,quota-in=5gb".parse().unwrap();
    monitor.set_limits(slot, &limits).unwrap();
    assert_eq!(monitor.limits(slot), limits.chosen());
    monitor.set_quota(slot, Quota { total: Some(7), ..Quota::default() }).unwrap();
    assert_eq!(monitor.limits(slot), Limits { quota: Quota::default(), ..limits.chosen() }.with_total(7));
    monitor.release(slot).unwrap();
    assert!(matches!(monitor.set_limits(slot, &limits), Err(MonitorError::NotAssigned { .. })));
    let mut next = monitor.assign(7).unwrap();
    while next != slot {
        monitor.release(next).unwrap();
        next = monitor.assign(7).unwrap();
    }
    assert_eq!(monitor.limits(slot), Limits::default(), "the next port's");
    assert_eq!(monitor.over_limits(slot), OverLimits::default());
    assert!(monitor.has_limits() && monitor.quota_fd().is_some());

    let without = Monitor::load(&MonitorOptions { slots: 4, ..MonitorOptions::default() }).unwrap();
    let slot = without.assign(7).unwrap();
    let error = without.set_limits(slot, &limits).unwrap_err();
    assert!(error.to_string().contains("MonitorOptions::limits"), "{error}");
    assert_eq!((without.limits(slot), without.over_limits(slot)), Default::default());
    assert!(!without.has_limits() && without.quota_fd().is_none() && without.quota_events(|_| {}) == 0);
}

/// Sends datagrams until it is asked to stop.
fn flood(network: &Network, from: usize, to: usize, length: usize, stop: &AtomicBool) {
    let socket = network.insides[from].namespace.enter(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap()).unwrap();
    let datagram = vec![0; length];
    while !stop.load(Ordering::Relaxed) {
        // What has no room anywhere is lost, as on any wire.
        let _ = socket.send_to(&datagram, (network.insides[to].address, 9));
    }
}

/// Floods a namespace from others until something is so.
fn floods(network: &Network, from: &[usize], to: usize, length: usize, is_so: impl Fn() -> bool) {
    let (stop, start) = (AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        for &from in from {
            let stop = &stop;
            scope.spawn(move || flood(network, from, to, length, stop));
        }
        while !is_so() && start.elapsed() < Duration::from_mins(1) {
            thread::sleep(Duration::from_millis(10));
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(is_so(), "not within a minute");
}

fn network(monitor: &Monitor, members: usize) -> (Network, Vec<Slot>) {
    let mut network = Network::new();
    let slots = (0..members).map(|_| network.add(Some(monitor)).unwrap()).collect();
    network.introduce();
    (network, slots)
}

/// Real floods, by two senders at once, at the receiver's port and at a sender's own: never more than may pass, and every
/// frame is counted once.
#[test]
fn two_floods_do_not_pass_more_than_the_rate() {
    if !privileged("two_floods_do_not_pass_more_than_the_rate") {
        return;
    }
    let monitor = load();
    let (mut network, slots) = network(&monitor, 3);
    for (rate, length) in [(1_000_000_u64, 1400), (5_000_000, 100), (50_000_000, 20_000)] {
        let of = |rate: u64| PortRate::bits(rate).with_burst(rate / 200);
        let (incoming, outgoing) = (of(rate), of(rate / 2));
        let burst = |rate: PortRate| Limits::both(rate).chosen().incoming.burst.unwrap();
        let before: Vec<_> =
            slots.iter().map(|&slot| (monitor.counters(slot), monitor.over_limits(slot))).collect();
        let start = Instant::now();
        monitor.set_limits(slots[0], &Limits { incoming, ..Limits::default() }).unwrap();
        monitor.set_limits(slots[1], &Limits { outgoing, ..Limits::default() }).unwrap();
        // Some are too many, at the receiver's port and at a sender's own.
        let dropped = |place: usize| {
            let since = monitor.over_limits(slots[place]).since(&before[place].1);
            (since.limited_rx, since.limited_tx)
        };
        floods(&network, &[1, 2], 0, length, || {
            dropped(0).1.packets > 100 && dropped(1).0.packets > 100 && start.elapsed().as_millis() > 200
        });
        settled(|| slots.iter().map(|&slot| monitor.counters(slot)).collect::<Vec<_>>());
        let time = start.elapsed();
        let most = |rate: u64, burst: u64| {
            u128::from(burst) + u128::from(rate / 8) * time.as_nanos() / 1_000_000_000
        };

        let passed = monitor.counters(slots[0]).tx.bytes - before[0].0.tx.bytes;
        assert!(u128::from(passed) <= most(rate, burst(incoming)), "{rate}: {passed} in {time:?}");

        let passed = monitor.counters(slots[1]).rx.bytes - before[1].0.rx.bytes - dropped(1).0.bytes;
        assert!(u128::from(passed) <= most(rate / 2, burst(outgoing)), "{rate}: {passed} in {time:?}");
    }
    // What the docs say is the sum of what: of senders and the receiver.
    let ports: Vec<_> =
        slots.iter().map(|&slot| (monitor.counters(slot), monitor.over_limits(slot))).collect();
    let sent: u64 =
        ports[1..].iter().map(|(counters, over)| counters.rx.packets - over.limited_rx.packets).sum();
    assert_eq!(sent, ports[0].0.tx.packets + ports[0].1.limited_tx.packets, "{ports:?}");
    let kernel = settled(|| network.stats(101));
    assert_eq!(seen(ports[0].0.tx), kernel[1], "what was too much is in neither");
    let kernel = settled(|| network.stats(102));
    assert_eq!(seen(ports[1].0.rx), kernel[0], "and what was sent is in both");
}

/// Two senders at once do not get a byte more through, and the descriptor wakes.
#[test]
fn a_quota_is_never_exceeded() {
    if !privileged("a_quota_is_never_exceeded") {
        return;
    }
    let monitor = load();
    let (network, slots) = network(&monitor, 3);
    let to = slots[0];
    let readable = || {
        let fd = monitor.quota_fd().unwrap();
        let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one structure, which outlives the call.
        unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
    };
    assert!(!readable());
    let quota = 1_000_000;
    monitor
        .set_limits(
            to,
            &Limits { quota: Quota { incoming: Some(quota), ..Quota::default() }, ..Limits::default() },
        )
        .unwrap();
    let before = monitor.counters(to).tx;
    let is_over = |count: u64| monitor.over_limits(to).over_quota_tx.packets >= count;
    floods(&network, &[1, 2], 0, 1000, || is_over(50));
    settled(|| monitor.over_limits(to));
    let passed = |before: Traffic| monitor.counters(to).tx.bytes - before.bytes;
    let used = monitor.over_limits(to).used;
    assert_eq!(used.incoming, passed(before), "what passed is what it had");
    assert!(used.incoming <= quota && used.incoming + 1042 > quota, "and no other frame had room: {used:?}");
    let over = monitor.over_limits(to).over_quota_tx;
    assert!(over.packets > 0 && over.bytes == over.packets * 1042, "{over:?}");
    assert!(readable(), "somebody who waits for it wakes");
    let mut reported = Vec::new();
    assert_eq!(monitor.quota_events(|event| reported.push((event.slot, event.quota))), 1);
    assert_eq!(reported, [(Some(to), QuotaKind::In)]);
    assert!(!readable(), "once");

    // Raised, it goes on where it was; begun anew, from nothing.
    monitor.set_quota(to, Quota { incoming: Some(2 * quota), ..Quota::default() }).unwrap();
    floods(&network, &[1, 2], 0, 1000, || is_over(over.packets + 50));
    settled(|| monitor.over_limits(to));
    let used = monitor.over_limits(to).used;
    assert_eq!(used.incoming, passed(before));
    assert!(used.incoming <= 2 * quota && used.incoming + 1042 > 2 * quota, "{used:?}");
    assert_eq!(monitor.quota_events(|_| {}), 1, "it is reported again");
    assert_eq!(monitor.reset_quota(to).unwrap(), used);
    assert_eq!(monitor.over_limits(to).used, Quota::default());

    // Both ways together: the sender's own frames, and its neighbours'.
    let slot = slots[1];
    monitor.set_limits(slot, &Limits::default().with_total(500_000)).unwrap();
    floods(&network, &[1, 2], 1, 1000, || monitor.over_limits(slot).used.incoming > 10_000);
    floods(&network, &[1], 0, 1000, || monitor.over_limits(slot).over_quota_rx.packets > 0);
    settled(|| monitor.over_limits(slot));
    let used = monitor.over_limits(slot).used;
    assert_eq!(used.total, used.incoming + used.outgoing);
    assert!(used.total <= 500_000 && used.total + 1042 > 500_000, "{used:?}");
}

/// A frame that its port's own quota refuses has been added to the total before, and is taken off it again.
#[test]
fn quotas_that_are_begun_anew_while_frames_are_refused_have_had_nothing() {
    const FEW: u64 = 1 << 20;
    if !privileged("quotas_that_are_begun_anew_while_frames_are_refused_have_had_nothing") {
        return;
    }
    let monitor = load();
    let (network, slots) = network(&monitor, 3);
    let to = slots[0];
    // No frame is so small.
    let quota = Quota { incoming: Some(50), total: Some(1 << 40), ..Quota::default() };
    monitor.set_limits(to, &Limits { quota, ..Limits::default() }).unwrap();
    let (rounds, most) = (Cell::new(0), Cell::new(0));
    floods(&network, &[1, 2], 0, 1000, || {
        for _ in 0..2000 {
            let used = monitor.reset_quota(to).unwrap();
            most.set(most.get().max(used.total).max(used.incoming));
        }
        rounds.set(rounds.get() + 1);
        rounds.get() > 100 && monitor.over_limits(to).over_quota_tx.packets > 5_000
    });
    settled(|| monitor.over_limits(to));
    let used = monitor.over_limits(to).used;
    assert!(most.get() < FEW && used.total < FEW, "{most:?} {used:?}");
}

/// One datagram, which the kernel cuts into segments of so many bytes only when it leaves the machine.
fn send_train(network: &Network, from: usize, to: usize, length: usize, segment: libc::c_int) {
    let socket = network.insides[from].namespace.enter(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap()).unwrap();
    // SAFETY: the option's value is an integer, which outlives the call.
    let set = unsafe {
        let (value, size) = ((&raw const segment).cast(), size_of_val(&segment) as libc::socklen_t);
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, value, size)
    };
    assert_eq!(set, 0);
    socket.send_to(&vec![0; length], (network.insides[to].address, 9)).unwrap();
}

/// Fifty times as much would go over a wire as the train has bytes.
#[test]
fn trains_of_tiny_segments_count_with_a_header_for_each() {
    if !privileged("trains_of_tiny_segments_count_with_a_header_for_each") {
        return;
    }
    let monitor = load();
    let (network, slots) = network(&monitor, 2);
    let quota = Quota { outgoing: Some(1_000_000), ..Quota::default() };
    monitor.set_limits(slots[1], &Limits { quota, ..Limits::default() }).unwrap();
    // How many segments there are is worked out from the frame's length, since the kernel's count may be the sender's word.
    for (length, segment, headers) in [(48, 1, 48 + 42 - 1), (9600, 600, 0), (100, 100, 0)] {
        let before = monitor.counters(slots[1]).rx;
        monitor.reset_quota(slots[1]).unwrap();
        send_train(&network, 1, 0, length, segment);
        let sent = length as u64 + 42;
        let start = Instant::now();
        while monitor.counters(slots[1]).rx.bytes < before.bytes + sent {
            assert!(start.elapsed() < Duration::from_mins(1), "it is not counted");
            thread::sleep(Duration::from_millis(1));
        }
        let used = monitor.reset_quota(slots[1]).unwrap().outgoing;
        assert_eq!(monitor.counters(slots[1]).rx.bytes, before.bytes + sent, "it is a train");
        assert_eq!(used, sent + headers * 54, "{length} bytes in segments of {segment}");
    }
}

/// As by the one that loaded them.
#[test]
fn limits_are_set_by_a_process_that_opens_the_programs_again() {
    if !privileged("limits_are_set_by_a_process_that_opens_the_programs_again") {
        return;
    }
    let mut network = Network::new();
    for _ in 0..2 {
        network.add(None);
    }
    network.introduce();
    let monitor = load();
    let attachment = monitor.attach(&mut network.socket, 101).unwrap();
    let slot = attachment.slot();
    let limits: Limits = "in=1mbit,quota=1mb".parse().unwrap();
    monitor.set_limits(slot, &limits).unwrap();
    let programs = monitor.program_ids();
    drop(monitor);

    let monitor = Monitor::reopen(programs).unwrap();
    assert_eq!(monitor.limits(slot), limits.chosen());
    monitor.set_limits(slot, &limits.with_total(10_000)).unwrap();
    floods(&network, &[1], 0, 1000, || monitor.over_limits(slot).over_quota_tx.packets > 0);
    settled(|| monitor.over_limits(slot));
    let over = monitor.over_limits(slot);
    assert!(over.used.total <= 10_000 && over.over_quota_tx.packets > 0, "{over:?}");
    let mut reported = 0;
    monitor.quota_events(|event| reported += usize::from(event.slot == Some(slot)));
    assert_eq!(reported, 1);
    monitor.detach(&mut network.socket, &attachment).unwrap();
}

/// What it costs a frame, in nanoseconds of program time: nothing where the programs were loaded without it.
#[test]
#[ignore = "it measures, and prints what"]
fn what_limits_and_scopes_cost() {
    if !privileged("what_limits_and_scopes_cost") {
        return;
    }
    let options = |limits, scopes| MonitorOptions { slots: 16, limits, scopes, ..MonitorOptions::default() };
    let load = |limits, scopes| Monitor::load(&options(limits, scopes)).unwrap();
    let [without, unlimited, limited, quota, scoped] =
        [load(false, false), load(true, false), load(true, false), load(true, false), load(false, true)];
    let by_destination = Monitor::load(&MonitorOptions { verdicts: 1024, ..options(false, false) }).unwrap();
    limited.set_unassigned_limits(&Limits::both(PortRate::bits(1_000_000_000_000))).unwrap();
    quota.set_unassigned_limits(&Limits::NONE.with_total(u64::MAX / 2)).unwrap();
    for net in ["10.1.1.0/24", "10.1.1.254/32", "192.168.1.0/24", "fd00::/64"] {
        scoped.set_scope(net.parse().unwrap(), netns_ebpf::packet::TrafficScope::Sandboxes).unwrap();
    }
    let mut frame = frame(1400);
    frame[14] = 0x45;
    frame[30..34].copy_from_slice(&[10, 1, 1, 7]);
    let kinds = [
        ("without", &without),
        ("with limits, of which the port has none", &unlimited),
        ("a rate", &limited),
        ("a quota", &quota),
        ("scopes, four prefixes", &scoped),
        ("verdicts, one destination", &by_destination),
    ];
    let mut rounds = kinds.map(|_| Vec::new());
    for _ in 0..15 {
        for ((_, monitor), round) in kinds.iter().zip(&mut rounds) {
            let run = monitor.test_run(Direction::Ingress, &frame, 200_000).unwrap();
            assert!(!run.dropped);
            round.push(run.duration.as_nanos());
        }
    }
    for ((kind, _), round) in kinds.iter().zip(&mut rounds) {
        round.sort_unstable();
        eprintln!("{kind}: {} ns (least {})", round[round.len() / 2], round[0]);
    }
}
