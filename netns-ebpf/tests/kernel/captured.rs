//! How much of a frame an event has: all of a short one, the beginning of a long one, and nothing else.

use netns_core::tc::Direction;
use netns_ebpf::layout::SNAPSHOT;
use netns_ebpf::packet::Rules;
use netns_ebpf::{Mode, Monitor, MonitorOptions, Policy};

use crate::harness::privileged;
use crate::load::is_too_old;

#[test]
fn an_event_has_the_beginning_of_the_frame_whatever_its_length() {
    const TEST: &str = "an_event_has_the_beginning_of_the_frame_whatever_its_length";
    if !privileged(TEST) || is_too_old(TEST) {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let rules = Rules::new([2, 0, 0, 0, 0, 1]);
    for mode in [Mode::Observe, Mode::Enforce] {
        monitor.set_unassigned_policy(Some(&Policy { mode, ..Policy::new(rules) })).unwrap();
        // Fewer than a port reports in a second.
        for length in [15, 16, 42, 60].into_iter().chain(SNAPSHOT - 15..=SNAPSHOT + 15).chain([1000, 1514]) {
            // From nobody's address, with a type that nobody uses.
            let mut frame: Vec<u8> = (0..length).map(|place| place as u8).collect();
            frame[12..14].copy_from_slice(&[0x88, 0xB5]);
            monitor.test_run(Direction::Ingress, &frame, 1).unwrap();
            let mut seen = Vec::new();
            monitor.events(|event| seen.push((event.length, event.dropped, event.frame.to_vec())));
            let expected = [(length as u32, mode == Mode::Enforce, frame[..length.min(SNAPSHOT)].to_vec())];
            assert_eq!(seen, expected, "{length}");
        }
    }
}
