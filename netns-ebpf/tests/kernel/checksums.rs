//! Nothing is written over what was judged: checksums that the sender leaves to a later hop, at places of its choice.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use netns_core::address::{self, Address};
use netns_core::link::{LinkKind, NewLink, VxlanOptions};
use netns_core::tap::{Tap, TapOptions};
use netns_core::{MacAddress, RouteSocket, bridge, link};
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

/// Sends a case's frame; whether it arrives, as it is with the checksum written.
fn arrives(sender: &FrameSocket, tap: &FrameSocket, case: &ChecksumCase) -> bool {
    let written = case.checksum.write(&case.frame);
    sender.send_unsummed(&case.frame, case.checksum).unwrap();
    let deadline = Instant::now() + Duration::from_millis(if case.is_honest { 5000 } else { 50 });
    while let Some(frame) = tap.receive(deadline.saturating_duration_since(Instant::now())).unwrap() {
        if frame == written {
            return true;
        }
        assert_ne!(frame, case.frame, "{}: nobody wrote it", case.what);
    }
    false
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
    let tap = FrameSocket::of_tap(&tap).unwrap();
    let mac = MacAddress::local(1);
    let us = Party::new(mac, &[network.insides[0].address.into()]);
    let them = Party::new(MacAddress::local(2), &["10.1.1.2".parse().unwrap()]);
    let sender = network.insides[0].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let cases = checksum_cases(&us, &them);
    // An attack that does not work proves nothing.
    for case in &cases {
        assert!(arrives(&sender, &tap, case), "unguarded: {}", case.what);
    }
    let rules = Policy::of_host(mac, &[us.v4.into(), us.v6.into()]).unwrap();
    for mode in [Mode::Observe, Mode::Enforce] {
        monitor.set_policy(port, &Policy { mode, ..rules }).unwrap();
        for case in &cases {
            let before = seen(&monitor, port);
            let arrived = arrives(&sender, &tap, case);
            assert_eq!(arrived, mode == Mode::Observe || case.is_honest, "{mode:?}: {}", case.what);
            assert_eq!(seen(&monitor, port) - before, u64::from(!case.is_honest), "{mode:?}: {}", case.what);
        }
    }
}

/// A guest that leaves its checksums to the host, as virtual machines do: what it sends arrives, and nothing is found wrong.
#[test]
fn a_guest_that_leaves_its_checksums_is_honest() {
    if !privileged("a_guest_that_leaves_its_checksums_is_honest") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    network.add(None);
    let guest = tap(&mut network, &TapOptions { vnet_hdr: true, ..TapOptions::new(name("tap0")) });
    let index = link::get(&mut network.socket, guest.name()).unwrap().index;
    let attachment = monitor.attach(&mut network.socket, index).unwrap();
    let mac = MacAddress::local(7);
    let us = Party::new(mac, &["10.1.1.7".parse().unwrap(), "fd00::7".parse().unwrap()]);
    let them = Party::new(MacAddress::local(1), &[network.insides[0].address.into()]);
    let policy = Policy::of_host(mac, &[us.v4.into(), us.v6.into()]).unwrap().enforced();
    monitor.set_policy(attachment.slot(), &policy).unwrap();
    let receiver = network.insides[0].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let (written, mut honest) = (FrameSocket::of_tap(&guest).unwrap(), 0);
    for case in checksum_cases(&us, &them) {
        let bytes = [&case.checksum.header()[..], &case.frame].concat();
        written.send(&bytes).unwrap();
        let limit = Duration::from_millis(if case.is_honest { 5000 } else { 50 });
        let deadline = Instant::now() + limit;
        let mut heard = std::iter::from_fn(|| {
            receiver.receive(deadline.saturating_duration_since(Instant::now())).unwrap()
        });
        // From a TAP to a veth nobody writes it.
        assert_eq!(heard.any(|frame| frame == case.frame), case.is_honest, "{}", case.what);
        honest += u64::from(case.is_honest);
    }
    let violations = monitor.violations(attachment.slot());
    assert_eq!(violations.total(), violations.of(Reason::ChecksumPlace), "{violations:?}");
    assert_eq!(violations.total(), checksum_cases(&us, &them).len() as u64 - honest);
    monitor.detach(&mut network.socket, &attachment).unwrap();
}

/// Streams and datagrams through tunnels, whose checksums are left deep inside, arrive as nobody enforces anything.
#[test]
fn tunnels_are_honest() {
    if !privileged("tunnels_are_honest") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..2).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    for (number, &slot) in (1..).zip(&slots) {
        let address = network.insides[usize::try_from(number - 1).unwrap()].address;
        let policy = Policy::of_host(MacAddress::local(number), &[address.into()]).unwrap().enforced();
        monitor.set_policy(slot, &policy).unwrap();
    }
    for (own, far) in [(1_u8, 2_u8), (2, 1)] {
        let inside = &network.insides[usize::from(own) - 1].namespace;
        let mut socket = RouteSocket::open_in(inside).unwrap();
        let vxlan = VxlanOptions {
            id: Some(7),
            local: Some(Ipv4Addr::from([10, 1, 1, own])),
            group: Some(Ipv4Addr::from([10, 1, 1, far])),
            dev: Some(2),
            dstport: Some(4789),
            ..VxlanOptions::default()
        };
        link::create(&mut socket, &NewLink::new(name("vx0"), LinkKind::Vxlan(vxlan))).unwrap();
        let index = link::get(&mut socket, name("vx0")).unwrap().index;
        address::add(&mut socket, &Address::new(index, format!("10.9.9.{own}/24").parse().unwrap())).unwrap();
        link::set_up(&mut socket, index).unwrap();
    }
    let listener = network.insides[1].namespace.enter(|| TcpListener::bind("10.9.9.2:7").unwrap()).unwrap();
    let mut sender =
        network.insides[0].namespace.enter(|| TcpStream::connect("10.9.9.2:7").unwrap()).unwrap();
    let mut receiver = listener.accept().unwrap().0;
    let reader = std::thread::spawn(move || io::copy(&mut receiver, &mut io::sink()).unwrap());
    sender.write_all(&vec![0; 3_000_000]).unwrap();
    drop(sender);
    assert_eq!(reader.join().unwrap(), 3_000_000);
    for &slot in &slots {
        assert_eq!(monitor.violations(slot).iter().collect::<Vec<_>>(), []);
    }
    let counters = monitor.counters(slots[0]);
    assert!(counters.rx.segments > 2 * counters.rx.packets, "checksums were left: {counters:?}");
}
