//! Rules that change again and again while frames are judged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use netns_core::MacAddress;
use netns_core::tc::Direction;
use netns_ebpf::attack::{Party, cases};
use netns_ebpf::packet::Reason;
use netns_ebpf::{Monitor, MonitorOptions, Policy};

use crate::harness::privileged;

const ROUNDS: u32 = 100;
const FRAMES: u32 = 10_000;

/// A neighbour solicitation by which the sender's address is that of another MAC address than it comes from, after as many
/// extension headers as there may be: between the looks at the two there is time for others.
fn solicitation(from: &Party, to: &Party) -> Vec<u8> {
    const EXTENSIONS: usize = 6;
    const ETHERNET: usize = 14;
    const IPV6: usize = 40;
    let case =
        cases(from, to).into_iter().find(|case| case.reason == Reason::NdLinkLayer && case.what == "source");
    let mut frame = case.unwrap().frame;
    let (next, length) = (ETHERNET + 6, ETHERNET + 4);
    let (icmp, destination) = (frame[next], 60);
    frame[next] = destination;
    let payload = u16::from_be_bytes([frame[length], frame[length + 1]]) + 8 * EXTENSIONS as u16;
    frame[length..length + 2].copy_from_slice(&payload.to_be_bytes());
    let header = |next| [next, 0, 1, 4, 0, 0, 0, 0];
    let headers = [vec![header(destination); EXTENSIONS - 1], vec![header(icmp)]].concat().concat();
    frame.splice(ETHERNET + IPV6..ETHERNET + IPV6, headers);
    // What the message names is the other policy's.
    let at = frame.len() - 6;
    frame[at..].copy_from_slice(&to.mac);
    frame
}

#[test]
fn no_frame_is_judged_by_parts_of_two_policies() {
    if !privileged("no_frame_is_judged_by_parts_of_two_policies") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let (from, to) = (Party::numbered(1), Party::numbered(2));
    // By each of these it is a violation. It would not be one by the first one's MAC address and the last one's, each where the
    // other is not looked at.
    let frame = solicitation(&from, &to);
    let policies = [from, Party::numbered(9), to]
        .map(|party| Policy::of_host(MacAddress(party.mac), &[from.v6.into()]).unwrap());
    monitor.set_unassigned_policy(Some(&policies[0])).unwrap();
    let are_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut next = policies.iter().cycle().skip(1);
            while !are_done.load(Ordering::Relaxed) {
                monitor.set_unassigned_policy(next.next()).unwrap();
            }
        });
        let ran: Result<(), _> =
            (0..ROUNDS).try_for_each(|_| monitor.test_run(Direction::Ingress, &frame, FRAMES).map(drop));
        are_done.store(true, Ordering::Relaxed);
        ran.unwrap();
    });
    assert_eq!(monitor.unassigned_violations().total(), u64::from(ROUNDS * FRAMES));
}
