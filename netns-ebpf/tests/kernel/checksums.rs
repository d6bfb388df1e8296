//! Nothing is written over what was judged: checksums that the sender leaves to a later hop, at places of its choice.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use netns_core::tap::{Tap, TapOptions};
use netns_core::{MacAddress, bridge, link};
use netns_ebpf::attack::{ChecksumCase, FrameSocket, Party, checksum_cases};
use netns_ebpf::packet::Reason;
use netns_ebpf::{Mode, Monitor, MonitorOptions, Policy, Slot};

use crate::harness::{Network, name, privileged};

/// A TAP on the bridge without offload: the kernel writes what was left when it hands a frame over.
fn tap(network: &mut Network, options: &TapOptions) -> Tap {
    let tap = Tap::create_in(&network.host, options).unwrap();
    let index = link::get(&mut network.socket, options.name).unwrap().index;
    bridge::attach(&mut network.socket, index, network.bridge).unwrap();
    link::set_up(&mut network.socket, index).unwrap();
    // Its state is "unknown", which a bridge takes for up.
    tap
}

/// The next frame that a program reads from the TAP.
fn read(tap: &Tap, limit: Duration) -> Option<Vec<u8>> {
    let fd = tap.as_fd().as_raw_fd();
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the pointer is to one `pollfd`, which outlives the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, i32::try_from(limit.as_millis()).unwrap()) };
    assert!(ready >= 0, "{}", io::Error::last_os_error());
    let mut frame = vec![0_u8; 65_536];
    if ready == 0 {
        return None;
    }
    // SAFETY: pointer and length are those of `frame`, which outlives the call.
    let length = unsafe { libc::read(fd, frame.as_mut_ptr().cast(), frame.len()) };
    frame.truncate(usize::try_from(length).unwrap());
    Some(frame)
}

/// Sends a case's frame; whether it arrives, as it is with the checksum written. `None` if the sender's kernel refuses it.
fn arrives(sender: &FrameSocket, tap: &Tap, case: &ChecksumCase) -> Option<bool> {
    let written = case.checksum.write(&case.frame);
    match sender.send_unsummed(&case.frame, case.checksum) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput && !case.is_taken => return None,
        sent => sent.unwrap(),
    }
    let deadline = Instant::now() + Duration::from_millis(if case.is_honest { 5000 } else { 50 });
    while let Some(frame) = read(tap, deadline.saturating_duration_since(Instant::now())) {
        if frame == written {
            return Some(true);
        }
        assert_ne!(frame, case.frame, "{}: nobody wrote it", case.what);
    }
    Some(false)
}

fn seen(monitor: &Monitor, port: Slot) -> u64 {
    let violations = monitor.violations(port);
    assert_eq!(violations.total(), violations.of(Reason::ChecksumPlace), "{violations:?}");
    violations.total()
}

#[test]
fn no_checksum_is_written_over_what_was_judged() {
    if !privileged("no_checksum_is_written_over_what_was_judged") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let port = network.add(Some(&monitor)).unwrap();
    let tap = tap(&mut network, &TapOptions::new(name("tap0")));
    let mac = MacAddress::local(1);
    let us = Party::new(mac, &[network.insides[0].address.into()]);
    let them = Party::new(MacAddress::local(2), &["10.1.1.2".parse().unwrap()]);
    let sender = network.insides[0].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let mut cases = checksum_cases(&us, &them);
    // An attack that does not work proves nothing.
    cases.retain(|case| {
        let arrived = arrives(&sender, &tap, case);
        assert_ne!(arrived, Some(false), "unguarded: {}", case.what);
        arrived.is_some()
    });
    assert!(cases.iter().filter(|case| !case.is_honest).count() > 10);
    let rules = Policy::of_host(mac, &[us.v4.into(), us.v6.into()]).unwrap();
    for mode in [Mode::Observe, Mode::Enforce] {
        monitor.set_policy(port, &Policy { mode, ..rules }).unwrap();
        for case in &cases {
            let before = seen(&monitor, port);
            let arrived = arrives(&sender, &tap, case).unwrap();
            assert_eq!(arrived, mode == Mode::Observe || case.is_honest, "{mode:?}: {}", case.what);
            assert_eq!(seen(&monitor, port) - before, u64::from(!case.is_honest), "{mode:?}: {}", case.what);
        }
    }
}
