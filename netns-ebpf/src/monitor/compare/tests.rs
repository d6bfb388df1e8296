use std::cell::Cell;
use std::convert::Infallible;

use super::*;

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

/// The kernel's counters of a port that received this many frames.
fn stats(packets: u64) -> LinkStats {
    LinkStats { rx_packets: packets, rx_bytes: packets * 60, ..LinkStats::default() }
}

/// Compares one port's counters with what the kernel gives time after time; how often was waited, too.
fn compare_with(program: u64, mut kernel: impl FnMut(u32) -> u64) -> (CounterComparison, u32) {
    let (asked, waited) = (Cell::new(0), Cell::new(0));
    let kernel = || -> Result<_, Infallible> {
        asked.set(asked.get() + 1);
        Ok(vec![stats(kernel(asked.get()))])
    };
    let program = |_| kernel_counters(&stats(program));
    let Ok(outcome) = compare(&[slot(1)], program, kernel, || waited.set(waited.get() + 1));
    (outcome, waited.get())
}

fn off_by_one() -> CounterComparison {
    CounterComparison::Different(vec![
        Difference { port: slot(1), counter: Counter::RxPackets, program: 4, kernel: 5 },
        Difference { port: slot(1), counter: Counter::RxBytes, program: 240, kernel: 300 },
    ])
}

#[test]
fn equal_counters_are_exact_at_once() {
    assert_eq!(compare_with(5, |_| 5), (CounterComparison::Exact, 0));
}

#[test]
fn a_frame_on_its_way_is_waited_for() {
    // Not quiet the first time, not equal the second.
    assert_eq!(
        compare_with(5, |time| [3, 4, 4, 4].get(time as usize - 1).copied().unwrap_or(5)),
        (CounterComparison::Exact, 2)
    );
}

#[test]
fn what_stays_different_is_reported() {
    assert_eq!(compare_with(4, |_| 5), (off_by_one(), ATTEMPTS));
    let busy_later = |time: u32| if time <= 2 { 5 } else { 5 + u64::from(time) };
    assert_eq!(compare_with(4, busy_later).0, off_by_one(), "as it was when it was quiet");
}

#[test]
fn ports_that_are_never_quiet_are_not_compared() {
    assert_eq!(compare_with(5, u64::from).0, CounterComparison::Busy);
}

#[test]
fn each_counter_is_compared() {
    let program = PortCounters {
        rx: Traffic { packets: 1, bytes: 2, segments: 9 },
        tx: Traffic { packets: 3, bytes: 4, segments: 9 },
        ..PortCounters::default()
    };
    let mut kernel = LinkStats { rx_packets: 1, rx_bytes: 2, tx_packets: 3, tx_bytes: 4, ..stats(0) };
    assert_eq!(differences(slot(1), &program, &kernel), [], "segments are the program's alone");
    kernel.tx_bytes = 5;
    kernel.tx_packets = 4;
    let reported: Vec<String> =
        differences(slot(1), &program, &kernel).iter().map(ToString::to_string).collect();
    assert_eq!(
        reported,
        [
            "sent packets: the program counted 3, the kernel 4",
            "sent bytes: the program counted 4, the kernel 5"
        ]
    );
}

#[test]
fn what_the_kernel_refuses_is_returned() {
    let refused = || Err::<Vec<LinkStats>, _>("refused");
    assert_eq!(compare(&[], |_| PortCounters::default(), refused, || ()), Err("refused"));
}

/// Ten trains of five segments each way, of 6,000 bytes, whose segments would have 54 bytes of headers more each; two of
/// what was received had tags.
fn trains() -> PortCounters {
    let traffic = Traffic { packets: 10, bytes: 60_000, segments: 50 };
    PortCounters { rx: traffic, tx: traffic, cut: 40 * 54, tagged: 2 }
}

/// What the kernel counted, received and sent.
fn counted([(rx_packets, rx_bytes), (tx_packets, tx_bytes)]: [(u64, u64); 2]) -> LinkStats {
    LinkStats { rx_packets, rx_bytes, tx_packets, tx_bytes, ..LinkStats::default() }
}

#[test]
fn what_the_link_dropped_is_known_as_such() {
    let same = (10, 60_000);
    for (sent, tx_dropped, expected) in [
        ((8, 48_000), 2, Some(vec![CountedApart::Dropped])),
        // Others were dropped that the program never saw.
        ((8, 48_000), 5, Some(vec![CountedApart::Dropped])),
        ((8, 48_000), 1, None),
        // Frames without a header there are not, nor such as were not counted.
        ((8, 59_999), 2, None),
        ((11, 60_000), 2, None),
    ] {
        let kernel = LinkStats { tx_dropped, ..counted([same, sent]) };
        let expected = expected.map(BTreeSet::from_iter);
        assert_eq!(explained(&trains(), &kernel), expected, "{sent:?}, {tx_dropped} dropped");
    }
}

#[test]
fn what_is_counted_at_another_place_is_known_as_such() {
    use CountedApart::{Cut, CutInPart, Headless, Joined, Tagged, Truncated};
    let same = (10, 60_000);
    for (kernel, expected) in [
        ([same, same], vec![]),
        ([same, (50, 62_160)], vec![Cut]),
        ([same, (10, 59_860)], vec![Headless]),
        ([same, (50, 61_460)], vec![Cut, Headless]),
        ([(10, 60_004), same], vec![Tagged]),
        ([(10, 60_008), (50, 62_160)], vec![Cut, Tagged]),
        ([(10, 59_864), same], vec![Headless, Tagged]),
        ([(50, 61_460), same], vec![Joined, Headless]),
        // One train of five segments.
        ([same, (14, 60_216)], vec![CutInPart]),
        ([(12, 60_028), same], vec![Truncated]),
        ([(12, 60_038), same], vec![Truncated]),
        ([(12, 60_039), same], vec![Tagged, Truncated]),
        ([(12, 60_046), same], vec![Tagged, Truncated]),
        ([(12, 59_870), same], vec![Headless, Truncated]),
    ] {
        let found = explained(&trains(), &counted(kernel));
        assert_eq!(found.map(Vec::from_iter), Some(expected), "{kernel:?}");
    }
    for kernel in [
        [same, (50, 62_161)],
        [same, (49, 62_160)],
        [same, (50, 60_000)],
        [same, (10, 62_160)],
        [same, (10, 59_859)],
        [(10, 60_012), same],
        [(10, 60_002), same],
        [(10, 59_999), same],
        [(50, 59_000), same],
        [(11, 60_004), same],
        [(11, 60_013), same],
        [(11, 60_028), same],
        [(9, 59_986), same],
        [same, (14, 60_167)],
        [same, (14, 62_160)],
        [same, (9, 59_000)],
    ] {
        assert_eq!(explained(&trains(), &counted(kernel)), None, "{kernel:?}");
    }
    let kernel = || -> Result<_, Infallible> { Ok(vec![counted([same, (50, 62_160)])]) };
    let Ok(found) = compare(&[slot(1)], |_| trains(), kernel, || ());
    assert_eq!(found, CounterComparison::Apart(vec![(slot(1), Cut)]));
}
