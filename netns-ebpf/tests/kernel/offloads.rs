//! What the program counts where offloads were switched, and what the kernel counts there.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use netns_core::link::LinkChange;
use netns_core::wire::{Batch, IfInfoMsg};
use netns_core::{MacAddress, Namespace, RouteSocket, link, sysctl};
use netns_ebpf::attack::FrameSocket;
use netns_ebpf::{CountedApart, CounterComparison, Monitor, MonitorOptions, Policy};

use crate::harness::{Network, privileged, privileged_since};

/// Commands of [ethtool], each with a value of 0 or 1.
///
/// [ethtool]: https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/ethtool.h
const TX_CHECKSUMS: u32 = 0x17;
const TSO: u32 = 0x1F;
const GSO: u32 = 0x24;
const GRO: u32 = 0x2C;

/// Attributes of <https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/if_link.h>.
const IFLA_XDP: u16 = 0x2B;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_FLAGS: u16 = 3;
const IFLA_GSO_IPV4_MAX_SIZE: u16 = 0x3F;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;

/// Switches an offload of a link.
fn switch(namespace: &Namespace, link: &str, command: u32, on: bool) {
    #[repr(C)]
    struct Value {
        command: u32,
        data: u32,
    }
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        value: *mut Value,
        rest: [u64; 2],
    }
    let mut value = Value { command, data: on.into() };
    let mut name = [0; 16];
    name[..link.len()].copy_from_slice(link.as_bytes());
    let mut request = Request { name, value: &raw mut value, rest: [0; 2] };
    let socket = RouteSocket::open_in(namespace).unwrap();
    // SAFETY: an `ifreq` with a pointer to an `ethtool_value`; both outlive the call.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), 0x8946, &raw mut request) };
    assert_eq!(done, 0, "{link}: {}", io::Error::last_os_error());
}

/// A program of XDP that lets everything pass.
fn pass() -> OwnedFd {
    #[repr(C)]
    struct Attr {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        rest: [u64; 3],
    }
    // `r0 = XDP_PASS; exit`
    let instructions: [u64; 2] = [0x0000_0002_0000_00B7, 0x95];
    let attr = Attr {
        kind: 6,
        count: 2,
        instructions: instructions.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        rest: [0; 3],
    };
    // SAFETY: the beginning of a `bpf_attr`, whose pointers outlive the call.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, 5_u64, &raw const attr, size_of::<Attr>()) };
    assert!(fd >= 0, "{}", io::Error::last_os_error());
    // SAFETY: it is a new descriptor.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// Puts a program on a link as native XDP.
fn attach_xdp(socket: &mut RouteSocket, link: u32, program: &OwnedFd) {
    let mut batch = Batch::new();
    let header = IfInfoMsg { index: link, ..IfInfoMsg::default() };
    batch.message(libc::RTM_SETLINK, 0, &header, |attributes| {
        attributes.nest(IFLA_XDP | libc::NLA_F_NESTED as u16, |xdp| {
            xdp.value(IFLA_XDP_FD, program.as_raw_fd());
            xdp.value(IFLA_XDP_FLAGS, XDP_FLAGS_DRV_MODE);
        });
    });
    socket.execute(&mut batch).unwrap();
}

/// What is switched, and what passes then from the first namespace to the second.
type Switching<'a> = (&'a str, &'a dyn Fn(&mut Network), &'a dyn Fn(&Network), &'a [(usize, CountedApart)]);

/// Frames with a VLAN tag in their bytes.
fn tagged(network: &Network) {
    let socket = network.insides[0].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let mut frame = [0_u8; 64];
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    frame[12..18].copy_from_slice(&[0x81, 0, 0, 5, 8, 0]);
    for _ in 0..10 {
        socket.send(&frame).unwrap();
    }
}

/// Frames that end within a tag, or one byte after it.
fn truncated(network: &Network) {
    let socket = network.insides[0].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let mut frame = [0_u8; 20];
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    for ether_type in [[0x81, 0], [0x88, 0xA8]] {
        frame[12..14].copy_from_slice(&ether_type);
        for length in 14..=17 {
            socket.send(&frame[..length]).unwrap();
        }
    }
    // Whether one of these is read depends on the kernel's version; it has a tag if it is.
    socket.send(&frame[..19]).unwrap();
}

/// Frames of ordinary length, to the second one.
fn ordinary(network: &Network) {
    let socket = network.insides[0].namespace.enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let mut frame = [0_u8; 900];
    frame[..12].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1]);
    for _ in 0..20 {
        socket.send(&frame).unwrap();
    }
}

/// Has the second one take short frames alone, as its root may.
fn shorten(network: &mut Network) {
    let mut inside = RouteSocket::open_in(&network.insides[1].namespace).unwrap();
    link::set(&mut inside, 2, &LinkChange { mtu: Some(100), ..LinkChange::NONE }).unwrap();
}

/// Has a link make trains as long as there can be (BIG TCP), and its namespace have as much on the way.
fn make_long_trains(namespace: &Namespace) {
    let mut batch = Batch::new();
    let header = IfInfoMsg { index: 2, ..IfInfoMsg::default() };
    batch.message(libc::RTM_SETLINK, 0, &header, |attributes| {
        attributes.value(IFLA_GSO_IPV4_MAX_SIZE, 500_000_u32);
    });
    RouteSocket::open_in(namespace).unwrap().execute(&mut batch).unwrap();
    sysctl::set(namespace, "net.ipv4.tcp_wmem", "4096 4000000 8000000").unwrap();
}

fn put_xdp(network: &Network, place: usize) {
    attach_xdp(&mut RouteSocket::open_in(&network.insides[place].namespace).unwrap(), 2, &pass());
}

/// Processors' receive queues are all namespaces', and other tests fill them.
fn without_dropped(found: CounterComparison) -> CounterComparison {
    let CounterComparison::Apart(mut apart) = found else { return found };
    apart.retain(|(_, why)| *why != CountedApart::Dropped);
    if apart.is_empty() { CounterComparison::Exact } else { CounterComparison::Apart(apart) }
}

/// Whatever is switched: the counters are the kernel's, or it is known why they are not, and by how much.
#[test]
fn counters_are_exact_whatever_is_switched() {
    use CountedApart::{Cut, Dropped, Headless, Joined, Tagged, Truncated};
    if !privileged("counters_are_exact_whatever_is_switched") {
        return;
    }
    let stream = |network: &Network| network.stream(0, 1, 3_000_000);
    let host = |network: &Network, link: &str, command, on| switch(&network.host, link, command, on);
    let inside = |network: &Network, place: usize, command| {
        switch(&network.insides[place].namespace, "eth0", command, false);
    };
    let trials: [Switching<'_>; 16] = [
        ("nothing", &|_| {}, &stream, &[]),
        ("tso of the sender", &|network| inside(network, 0, TSO), &stream, &[]),
        ("gso of the sender", &|network| inside(network, 0, GSO), &stream, &[]),
        ("checksums of the sender", &|network| inside(network, 0, TX_CHECKSUMS), &stream, &[]),
        (
            "gro of the receiver",
            &|network| switch(&network.insides[1].namespace, "eth0", GRO, true),
            &stream,
            &[],
        ),
        ("tso of the port", &|network| host(network, "port2", TSO, false), &stream, &[(1, Cut)]),
        (
            "checksums of the port",
            &|network| host(network, "port2", TX_CHECKSUMS, false),
            &stream,
            &[(1, Cut)],
        ),
        ("tso of the sender's port", &|network| host(network, "port1", TSO, false), &stream, &[]),
        (
            "gro of the sender's port",
            &|network| {
                inside(network, 0, TSO);
                host(network, "port1", GRO, true);
            },
            &stream,
            &[(0, Joined), (0, Headless)],
        ),
        ("XDP inside the receiver", &|network| put_xdp(network, 1), &stream, &[(1, Cut), (1, Headless)]),
        ("XDP inside the sender", &|network| put_xdp(network, 0), &stream, &[(0, Headless)]),
        ("a tag in the bytes", &|_| {}, &tagged, &[(0, Tagged)]),
        ("frames that end within a tag", &|_| {}, &truncated, &[(0, Truncated)]),
        ("an MTU of 100 of the receiver", &shorten, &ordinary, &[(1, Dropped)]),
        (
            "a tag in the bytes, to a port without tso",
            &|network| host(network, "port2", TSO, false),
            &|network| {
                tagged(network);
                network.stream(0, 1, 3_000_000);
            },
            &[(0, Tagged), (1, Cut)],
        ),
        (
            "datagrams, to a port without tso",
            &|network| host(network, "port2", TSO, false),
            &|network| network.datagrams(0, 1, 20, 900),
            &[],
        ),
    ];
    for (what, change, traffic, expected) in trials {
        let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
        let mut network = Network::new();
        let slots: Vec<_> = (0..2).map(|_| network.add(Some(&monitor)).unwrap()).collect();
        network.introduce();
        change(&mut network);
        traffic(&network);
        let kernel = || [101_u32, 102].iter().map(|&port| link::stats(&mut network.socket, port)).collect();
        let expected: Vec<_> = expected.iter().map(|&(place, why)| (slots[place], why)).collect();
        let is_dropping = expected.iter().any(|(_, why)| *why == Dropped);
        let found = monitor.compare(&slots, kernel).unwrap();
        let found = if is_dropping { found } else { without_dropped(found) };
        let wanted = match &expected[..] {
            [] => CounterComparison::Exact,
            _ => CounterComparison::Apart(expected),
        };
        assert_eq!(found, wanted, "{what}");
    }
}

/// A neighbour that makes longer trains than the port takes: its frames are honest, and so are the counters.
#[test]
fn counters_are_known_to_be_apart_where_long_trains_are_cut() {
    let test = "counters_are_known_to_be_apart_where_long_trains_are_cut";
    if !privileged_since(test, (6, 3), "gso_ipv4_max_size") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let slots: Vec<_> = (0..2).map(|_| network.add(Some(&monitor)).unwrap()).collect();
    network.introduce();
    let [sender, receiver] = &network.insides[..] else { panic!("two") };
    let policy = Policy::of_host(MacAddress::local(1), &[sender.address.into()]).unwrap();
    monitor.set_policy(slots[0], &policy.enforced()).unwrap();
    make_long_trains(&sender.namespace);
    sysctl::set(&receiver.namespace, "net.ipv4.tcp_rmem", "4096 4000000 8000000").unwrap();
    let mut found = CounterComparison::Exact;
    // How long trains get depends on how fast the receiver is.
    for _ in 0..20 {
        network.stream(0, 1, 50_000_000);
        let socket = &mut network.socket;
        let kernel = || [101_u32, 102].iter().map(|&port| link::stats(socket, port)).collect();
        found = monitor.compare(&slots, kernel).unwrap();
        if without_dropped(found.clone()) != CounterComparison::Exact {
            break;
        }
    }
    let found = without_dropped(found);
    assert_eq!(found, CounterComparison::Apart(vec![(slots[1], CountedApart::CutInPart)]));
    assert_eq!(monitor.violations(slots[0]).total(), 0);
}
