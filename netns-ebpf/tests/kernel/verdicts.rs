//! The kernel judges as the host does: the same frames, run through the program by `BPF_PROG_TEST_RUN`.

use netns_core::tc::Direction;
use netns_ebpf::attack::{Case, Party};
use netns_ebpf::layout::Violations;
use netns_ebpf::packet::{Facts, Permissions, Reason, Rules, judge};
use netns_ebpf::{Mode, Monitor, MonitorError, MonitorOptions, Policy};

use crate::harness::privileged;

const FROM: Party = Party::numbered(1);
const TO: Party = Party::numbered(2);

fn rules() -> Rules {
    let rules = Rules::new(FROM.mac).with_ipv4(FROM.v4, 32).unwrap();
    rules.with_ipv6(FROM.v6, 128).unwrap().with_link_local().unwrap()
}

/// The cases that can be run. The kernel makes no frame for a test that says it is IP and has no header of it
/// ([`bpf_prog_test_run_skb`]); of ARP it makes one, so frames that are too short are tested too.
///
/// [`bpf_prog_test_run_skb`]: https://github.com/torvalds/linux/blob/v6.18/net/bpf/test_run.c
fn cases() -> Vec<Case> {
    let mut cases = netns_ebpf::attack::cases(&FROM, &TO);
    cases.retain(|case| case.reason != Reason::FrameShort || case.frame[12..14] == [8, 6]);
    cases
}

/// What a run added to the violations.
fn added(before: &Violations, after: &Violations) -> Vec<(Reason, u64)> {
    let added = |reason| after.of(reason) - before.of(reason);
    Reason::ALL.iter().map(|&reason| (reason, added(reason))).filter(|(_, packets)| *packets > 0).collect()
}

#[test]
fn the_kernels_verdict_is_the_hosts() {
    if !privileged("the_kernels_verdict_is_the_hosts") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let each = [
        Permissions::VLAN,
        Permissions::ROUTER,
        Permissions::DHCP_SERVER,
        Permissions::MULTICAST_ROUTER,
        Permissions::ICMP_ERRORS,
        Permissions::DHCP_RELAY,
    ];
    let everything = each.into_iter().fold(rules(), Rules::permitting);
    let frames: Vec<_> = cases().into_iter().flat_map(|case| [case.frame, case.near]).collect();
    let few = [rules(), everything, rules().permitting_only(Permissions::NONE), rules().without_ipv6()];
    for rules in few.into_iter().chain(each.map(|permission| rules().permitting(permission))) {
        for mode in [Mode::Observe, Mode::Enforce] {
            monitor.set_unassigned_policy(Some(&Policy { mode, ..Policy::new(rules) })).unwrap();
            for frame in &frames {
                let expected = judge(&frame[..], Facts::of(frame), &rules).err();
                let before = monitor.unassigned_violations();
                let run = monitor.test_run(Direction::Ingress, frame, 1).unwrap();
                let after = monitor.unassigned_violations();
                let seen = added(&before, &after);
                assert_eq!(seen, Vec::from_iter(expected.map(|reason| (reason, 1))), "{frame:02x?}");
                let dropped = expected.is_some() && mode == Mode::Enforce;
                assert_eq!(run.dropped, dropped, "{frame:02x?}");
                let packets = after.dropped_rx.packets - before.dropped_rx.packets;
                assert_eq!(packets, u64::from(dropped));
            }
        }
    }
    let violations = monitor.unassigned_violations();
    assert_eq!(violations.reported + violations.suppressed + violations.lost, violations.total());
}

#[test]
fn spoilt_frames_are_judged_alike() {
    if !privileged("spoilt_frames_are_judged_alike") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    monitor.set_unassigned_policy(Some(&Policy::new(rules()).enforced())).unwrap();
    let frames: Vec<_> = cases().into_iter().map(|case| case.near).collect();
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % limit as u64) as usize
    };
    for _ in 0..20_000 {
        let mut frame = frames[next(frames.len())].clone();
        for _ in 0..next(4) {
            let at = next(frame.len());
            frame[at] = next(256) as u8;
        }
        let expected = judge(&frame[..], Facts::of(&frame), &rules()).err();
        let before = monitor.unassigned_violations();
        let run = monitor.test_run(Direction::Ingress, &frame, 1).unwrap();
        let seen = added(&before, &monitor.unassigned_violations());
        assert_eq!(seen, Vec::from_iter(expected.map(|reason| (reason, 1))), "{frame:02x?}");
        assert_eq!(run.dropped, expected.is_some());
    }
}

#[test]
fn a_port_without_a_policy_is_not_judged() {
    if !privileged("a_port_without_a_policy_is_not_judged") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let frame = &cases()[0].frame;
    assert!(!monitor.test_run(Direction::Ingress, frame, 1).unwrap().dropped);
    assert_eq!(monitor.unassigned_violations().total(), 0);
    let slot = monitor.assign(7).unwrap();
    assert!(matches!(monitor.set_mode(slot, Mode::Enforce), Err(MonitorError::NoPolicy { .. })));
    monitor.set_policy(slot, &Policy::new(rules())).unwrap();
    assert_eq!(monitor.mode(slot), Some(Mode::Observe));
    monitor.set_mode(slot, Mode::Enforce).unwrap();
    assert_eq!(monitor.mode(slot), Some(Mode::Enforce));
    monitor.clear_policy(slot).unwrap();
    assert_eq!(monitor.mode(slot), None);
    assert!(matches!(monitor.set_mode(slot, Mode::Enforce), Err(MonitorError::NoPolicy { .. })));
    let outside = Policy { group: 64, ..Policy::new(rules()) };
    assert!(matches!(monitor.set_policy(slot, &outside), Err(MonitorError::NoGroup { group: 64 })));
}

#[test]
fn events_tell_what_happened_and_are_limited() {
    if !privileged("events_tell_what_happened_and_are_limited") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    monitor.set_unassigned_policy(Some(&Policy::new(rules()).enforced())).unwrap();
    let cases = cases();
    for case in &cases[..20] {
        monitor.test_run(Direction::Ingress, &case.frame, 1).unwrap();
    }
    let mut reported = Vec::new();
    let count = monitor
        .events(|event| reported.push((event.reason, event.length, event.dropped, event.frame.to_vec())));
    assert_eq!(count, 20);
    for (case, (reason, length, dropped, frame)) in cases.iter().zip(reported) {
        assert_eq!((reason, length as usize, dropped), (case.reason, case.frame.len(), true));
        assert_eq!(frame, case.frame[..case.frame.len().min(128)]);
    }
    monitor.test_run(Direction::Ingress, &cases[0].frame, 5000).unwrap();
    let count = monitor.events(|_| ()) as u64;
    let violations = monitor.unassigned_violations();
    assert_eq!(violations.total(), 5020);
    assert_eq!(violations.reported, 20 + count);
    assert!(violations.suppressed > 4000, "{violations:?}");
    assert_eq!(violations.reported + violations.suppressed + violations.lost, 5020);
}
