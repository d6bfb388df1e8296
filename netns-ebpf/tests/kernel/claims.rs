//! What honest stacks say when nobody asks them, and what a multicast router's messages do to a bridge.

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};

use netns_core::bridge::{self, Bridge};
use netns_core::veth::{self, Veth};
use netns_core::{MacAddress, Namespace, RouteSocket, link};
use netns_ebpf::attack::{FrameSocket, Party, cases};
use netns_ebpf::packet::{Reason, Rules};
use netns_ebpf::{Mode, Monitor, MonitorOptions, Policy, Slot};

use crate::harness::{installed, name, privileged};

const BRIDGE: u32 = 2;
const PORT: u32 = 100;
const ETH0: u32 = 2;

/// A bridge that snoops, as they do by default, and a namespace whose port is judged from its first frame on.
struct World {
    host: Namespace,
    inside: Namespace,
    socket: RouteSocket,
    slot: Slot,
}

const US: Party = Party::numbered(1);

impl World {
    fn new(monitor: &Monitor, policy: &Policy) -> Self {
        let (host, inside) = (Namespace::anonymous().unwrap(), Namespace::anonymous().unwrap());
        let mut socket = RouteSocket::open_in(&host).unwrap();
        let bridge =
            Bridge { index: Some(BRIDGE), up: true, ..Bridge::new(name("br0"), MacAddress::local(254)) };
        bridge::create(&mut socket, &bridge).unwrap();
        let veth = Veth {
            index: Some(PORT),
            peer_index: Some(ETH0),
            peer_mac: Some(MacAddress(US.mac)),
            bridge: Some(BRIDGE),
            peer_namespace: Some(inside.as_fd()),
            ..Veth::new(name("port1"), name("eth0"))
        };
        veth::create(&mut socket, &veth).unwrap();
        let slot = monitor.attach_with(&mut socket, PORT, Some(policy)).unwrap().slot();
        Self { host, inside, socket, slot }
    }

    /// Brings both ends of the cable up. What the port hears from the first frame on, the socket does.
    fn set_up(&mut self) -> FrameSocket {
        link::set_up(&mut self.socket, PORT).unwrap();
        // A socket on a link that is down has an error to report first.
        let port = self.host.enter(|| FrameSocket::open(PORT).unwrap()).unwrap();
        link::set_up(&mut RouteSocket::open_in(&self.inside).unwrap(), ETH0).unwrap();
        link::get(&mut self.socket, PORT).unwrap();
        port
    }
}

#[test]
fn an_interface_comes_up_under_a_policy_with_an_ipv4_address_alone() {
    if !privileged("an_interface_comes_up_under_a_policy_with_an_ipv4_address_alone") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let rules = Rules::new(US.mac).with_ipv4(US.v4, 32).unwrap();
    let mut world = World::new(&monitor, &Policy::new(rules).enforced());
    let port = world.set_up();
    let (mut heard, started) = (BTreeSet::new(), Instant::now());
    while heard.len() < 3 && started.elapsed() < Duration::from_mins(1) {
        let frame = port.receive(Duration::from_millis(100)).unwrap();
        let Some(frame) = frame.filter(|frame| frame[6..12] == US.mac && frame[12..14] == [0x86, 0xDD])
        else {
            continue;
        };
        // The message comes after a router alert, or at once.
        heard.insert(if frame[20] == 0 { frame[62] } else { frame[54] });
    }
    // A test of the address, a router solicitation, and reports of groups.
    assert!([133, 135, 143].iter().all(|kind| heard.contains(kind)), "{heard:?}");
    let violations = monitor.violations(world.slot);
    assert_eq!(violations.iter().collect::<Vec<_>>(), []);
    assert!(monitor.counters(world.slot).rx.packets >= 3);
}

#[test]
fn a_multicast_routers_messages_are_for_its_port() {
    let test = "a_multicast_routers_messages_are_for_its_port";
    if !privileged(test) || !installed(test, &["/sbin/bridge"], "iproute2") {
        return;
    }
    let rules = Rules::new(US.mac).with_ipv4(US.v4, 32).unwrap();
    for (mode, is_router) in [(Mode::Enforce, false), (Mode::Observe, true)] {
        let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
        let mut world = World::new(&monitor, &Policy { mode, ..Policy::new(rules) });
        let _ = world.set_up();
        let socket = world.inside.enter(|| FrameSocket::open(ETH0).unwrap()).unwrap();
        let is_ours = |what: &str| what == "IGMP query" || what == "PIM hello";
        let queries = cases(&US, &Party::numbered(2)).into_iter();
        let queries = queries.filter(|case| case.reason == Reason::MulticastRouter && is_ours(case.what));
        let mut sent = 0;
        for case in queries {
            // To the group's own MAC address, where the bridge listens.
            let [.., a, b, c] = [case.frame[30], case.frame[31], case.frame[32], case.frame[33]];
            let frame = [&[1, 0, 0x5E, a & 0x7F, b, c][..], &case.frame[6..]].concat();
            socket.send(&frame).unwrap();
            sent += 1;
        }
        let started = Instant::now();
        while monitor.violations(world.slot).of(Reason::MulticastRouter) < sent {
            assert!(started.elapsed() < Duration::from_mins(1), "they are judged");
            std::thread::sleep(Duration::from_millis(10));
        }
        let show = || Command::new("bridge").args(["-d", "mdb", "show"]).output().unwrap();
        let shown = String::from_utf8(world.host.enter(show).unwrap().stdout).unwrap();
        assert_eq!(shown.contains("router ports on br0: port1"), is_router, "{mode:?}: {shown}");
    }
}
