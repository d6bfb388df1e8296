//! What is delivered is what was judged, also where the sender can still write to the frame.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use netns_core::MacAddress;
use netns_ebpf::attack::{FrameSocket, Party, SharedPages, cases};
use netns_ebpf::packet::{Facts, judge};
use netns_ebpf::{Monitor, MonitorOptions, Policy};

use crate::harness::{Network, privileged};

/// The kernel's version. From 6.5 on a socket takes the pages of a pipe themselves (`MSG_SPLICE_PAGES`).
fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn what_the_sender_writes_after_judging_is_not_delivered() {
    if !privileged("what_the_sender_writes_after_judging_is_not_delivered") {
        return;
    }
    let name = "what_the_sender_writes_after_judging_is_not_delivered";
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let port = network.add(Some(&monitor)).unwrap();
    network.add(None);
    network.introduce();
    let inside = |place: usize| &network.insides[place].namespace;
    let receiver = inside(1).enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let [us, them] = [1, 2].map(|number: u64| {
        let address = network.insides[number as usize - 1].address;
        Party::new(MacAddress::local(number), &[address.into()])
    });
    let policy = Policy::of_host(MacAddress(us.mac), &[us.v4.into()]).unwrap().enforced();
    // An honest frame, and the lie of the same length that becomes of it once it is on its way.
    let pairs: Vec<_> = cases(&us, &them)
        .into_iter()
        .filter(|case| case.frame.len() == case.near.len() && case.frame[..14] == case.near[..14])
        .collect();
    assert!(pairs.len() > 60, "{}", pairs.len());
    let pages = SharedPages::begin(inside(0), crate::harness::name("eth0")).unwrap();
    let deliver = |honest: &[u8], lie: &[u8]| {
        while receiver.receive(Duration::ZERO).unwrap().is_some() {}
        let frame = pages.frame(honest).unwrap();
        pages.send(&frame, honest.len()).unwrap();
        // The frame waits at the receiver by now.
        frame.write(lie);
        let mut heard = std::iter::from_fn(|| receiver.receive(Duration::from_millis(300)).unwrap());
        heard.find(|frame| frame == honest || frame == lie)
    };
    // Some headers the kernel has copied on the frame's way through the tunnel.
    let lies: Vec<_> =
        pairs.iter().filter(|case| deliver(&case.near, &case.frame).as_ref() == Some(&case.frame)).collect();
    if lies.is_empty() && release() < (6, 5) {
        // In one piece: other tests write too.
        let why = format!("SKIPPED: {name}: no page arrives here as it was sent, it takes Linux 6.5\n");
        let _ = std::io::stderr().write_all(why.as_bytes());
        return;
    }
    let reasons: BTreeSet<_> = lies.iter().map(|case| case.reason.name()).collect();
    let some = ["nd-link-layer", "nd-target", "dhcp-client", "icmp-error"];
    assert!(some.iter().all(|reason| reasons.contains(reason)), "where nothing is judged: {reasons:?}");
    monitor.set_policy(port, &policy).unwrap();
    for case in &lies {
        let arrived = deliver(&case.near, &case.frame);
        assert_eq!(arrived.as_ref(), Some(&case.near), "{}: {}", case.reason, case.what);
    }
    // The datagrams to the tunnel stay inside.
    assert_eq!(monitor.violations(port).iter().collect::<Vec<_>>(), []);

    // A thread that changes the frame all the while, from before it is judged until it has arrived.
    let case = &lies[0];
    let frame = pages.frame(&case.near).unwrap();
    let is_over = AtomicBool::new(false);
    let (mut honest, mut arrived) = (0, Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                frame.write(&case.frame);
                frame.write(&case.near);
            }
        });
        for _ in 0..2000 {
            pages.send(&frame, case.near.len()).unwrap();
            while let Some(heard) = receiver.receive(Duration::ZERO).unwrap() {
                // What the receiver answers is heard as well.
                if heard[6..12] != us.mac {
                    continue;
                }
                // Half of one frame and half of the other it may be as well.
                match judge(&heard[..], Facts::of(&heard), &policy.rules) {
                    Ok(()) => honest += 1,
                    Err(reason) => arrived.push((reason, heard)),
                }
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let seen = monitor.violations(port).total();
    assert!(honest > 0 && seen > 0, "both were judged: {honest} honest, {seen} seen");
    let first = arrived.first();
    assert_eq!(
        first,
        None,
        "{} of {seen} that were seen to be lies, as {}: {:02x?}",
        arrived.len(),
        case.what,
        case.near
    );
}
