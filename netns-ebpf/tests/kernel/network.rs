//! A monitor on the ports of a network: on the first bridge and on further ones, which are in other namespaces.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::ping::{Ping, ping};
use netns_core::{Cause, Namespace, RouteSocket, link};
use netns_ebpf::{Monitor, MonitorOptions, Slot};

use crate::harness::{name, privileged, seen, settled};

const LONG: Duration = Duration::from_secs(20);
/// Ethernet, IPv4 and UDP headers.
const HEADERS: u64 = 14 + 20 + 8;

/// Runs a test in a namespace of its own with a network, two sandboxes a bridge, and a monitor.
fn with_network(test: &str, slots: u16, patience: Duration, body: impl FnOnce(&Network, &Monitor)) {
    if !privileged(test) {
        return;
    }
    let monitor = Arc::new(Monitor::load(&MonitorOptions { slots, ..MonitorOptions::default() }).unwrap());
    let host = Namespace::anonymous().unwrap();
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/24".parse().unwrap()),
        subnet_v6: Some("fd99::/64".parse().unwrap()),
        per_bridge: 2,
        patience,
        program: Some(monitor.clone()),
        ..NetworkOptions::new(name("sb"))
    };
    host.enter(|| body(&Network::create(&options).unwrap(), &monitor)).unwrap();
}

fn slot(sandbox: &Sandbox) -> Slot {
    sandbox.slot().and_then(Slot::new).unwrap()
}

fn address(sandbox: &Sandbox) -> IpAddr {
    sandbox.address_v4().unwrap().address()
}

/// Lets one sandbox send datagrams to another.
fn datagrams(from: &Sandbox, to: &Sandbox, count: usize, payload: usize) {
    let receiver = SocketAddr::from((address(to), 9));
    let _listener = to.enter(|| UdpSocket::bind(receiver)).unwrap().unwrap();
    let socket = from.enter(|| UdpSocket::bind(("0.0.0.0", 0))).unwrap().unwrap();
    for _ in 0..count {
        socket.send_to(&vec![0; payload], receiver).unwrap();
    }
}

/// What the kernel counted on a sandbox's port: received and sent.
fn stats(sandbox: &Sandbox) -> [(u64, u64); 2] {
    let mut socket = RouteSocket::open_in(sandbox.port_namespace().unwrap()).unwrap();
    let stats = link::stats(&mut socket, sandbox.port().index).unwrap();
    [(stats.rx_packets, stats.rx_bytes), (stats.tx_packets, stats.tx_bytes)]
}

#[test]
fn the_counters_of_every_port_are_the_kernels() {
    with_network("the_counters_of_every_port_are_the_kernels", 64, LONG, |network, monitor| {
        let sandboxes: Vec<_> = (0..6).map(|_| network.create_sandbox().unwrap()).collect();
        for from in &sandboxes {
            for to in &sandboxes {
                assert!(ping(from.namespace().unwrap(), &Ping::new(address(to))).unwrap().all_received());
            }
        }
        datagrams(&sandboxes[0], &sandboxes[5], 100, 1000);
        // Both move while somebody still has something to say.
        let all = || {
            let of = |sandbox| (monitor.counters(slot(sandbox)), stats(sandbox));
            sandboxes.iter().map(of).collect::<Vec<_>>()
        };
        for ((counted, kernel), sandbox) in settled(all).into_iter().zip(&sandboxes) {
            assert!(counted.rx.packets >= 10 && counted.tx.packets >= 10, "{counted:?}");
            assert_eq!([seen(counted.rx), seen(counted.tx)], kernel, "{}", sandbox.port().name);
        }
    });
}

#[test]
fn slots_come_back_with_the_ports() {
    with_network("slots_come_back_with_the_ports", 64, LONG, |network, monitor| {
        let sandboxes: Vec<_> = (0..6).map(|_| network.create_sandbox().unwrap()).collect();
        let ports: Vec<_> = sandboxes.iter().map(|sandbox| (slot(sandbox), sandbox.port().index)).collect();
        assert_eq!(monitor.ports(), ports);
        drop(sandboxes);
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(monitor.ports(), []);
    });
}

#[test]
fn too_few_slots_are_named_and_waited_for() {
    with_network("too_few_slots_are_named", 2, Duration::ZERO, |network, _| {
        let [_one, _two] = [(); 2].map(|()| network.create_sandbox().unwrap());
        let error = network.create_sandbox().unwrap_err();
        assert!(matches!(error.cause(), Cause::Exhausted(_)));
        assert_eq!(
            error.to_string(),
            "assign a slot to port sbp2: all 2 slots are in use; MonitorOptions::slots raises it, the kernel's limit is \
             65535"
        );
        assert_eq!((network.sandboxes(), network.reclaiming().unwrap()), (2, 0));
    });
    with_network("too_few_slots_are_waited_for", 2, LONG, |network, _| {
        let _kept = network.create_sandbox().unwrap();
        for _ in 0..5 {
            network.create_sandbox().unwrap();
        }
    });
}

#[test]
fn pairs_are_exact_on_a_bridge_and_have_no_sender_across() {
    with_network("pairs_are_exact_on_a_bridge", 64, LONG, |network, monitor| {
        let [one, two, three] = [(); 3].map(|()| network.create_sandbox().unwrap());
        assert_eq!((one.bridge() == two.bridge(), one.bridge() == three.bridge()), (true, false));
        let pair = |from: Option<&Sandbox>, to: &Sandbox| {
            let from = from.map(slot);
            let pairs = monitor.pairs().unwrap();
            let found = pairs.iter().find(|pair| pair.from == from && pair.to == slot(to));
            found.map_or((0, 0), |pair| (pair.packets, pair.bytes))
        };
        // The first one asks for the other's address, which the responder answers in its place.
        for to in [&two, &three] {
            datagrams(&one, to, 1, 100);
        }
        let counted = || [pair(Some(&one), &two), pair(None, &three)];
        let before = settled(counted);
        datagrams(&one, &two, 50, 100);
        datagrams(&one, &three, 70, 200);
        let after = settled(counted);
        let more = [0, 1].map(|pair| (after[pair].0 - before[pair].0, after[pair].1 - before[pair].1));
        assert_eq!(more, [(50, 50 * (HEADERS + 100)), (70, 70 * (HEADERS + 200))]);
        assert_eq!(pair(Some(&one), &three), (0, 0));
    });
}
