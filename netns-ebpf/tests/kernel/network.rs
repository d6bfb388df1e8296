//! A monitor on the ports of a network: on the first bridge and on further ones, which are in other namespaces.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::ping::{Ping, ping};
use netns_core::route::{self, Route};
use netns_core::{Cause, MacAddress, Namespace, RouteSocket, link, sysctl};
use netns_ebpf::packet::{Reason, Rules};
use netns_ebpf::{Monitor, MonitorOptions, Policy, Slot};

use crate::harness::{name, privileged, seen, settled};

const LONG: Duration = Duration::from_mins(1);
/// The host's address.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
/// Ethernet, IPv4 and UDP headers.
const HEADERS: u64 = 14 + 20 + 8;

/// Runs a test in a namespace of its own with a network, two sandboxes a bridge, and a monitor. The host has no IPv6, in
/// which it would say something to all of them now and then, also to a port whose other end is not yet up.
fn with_network(test: &str, slots: u16, patience: Duration, body: impl FnOnce(&Network, &Monitor)) {
    if !privileged(test) {
        return;
    }
    let monitor = Arc::new(Monitor::load(&MonitorOptions { slots, ..MonitorOptions::default() }).unwrap());
    let host = Namespace::anonymous().unwrap();
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/24".parse().unwrap()),
        per_bridge: 2,
        patience,
        program: Some(monitor.clone()),
        ..NetworkOptions::new(name("sb"))
    };
    for name in ["all", "default"] {
        sysctl::set(&host, &format!("net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
    }
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
    let listener = to.enter(|| UdpSocket::bind(receiver)).unwrap().unwrap();
    let socket = from.enter(|| UdpSocket::bind(("0.0.0.0", 0))).unwrap().unwrap();
    for _ in 0..count {
        socket.send_to(&vec![0; payload], receiver).unwrap();
    }
    hear(&listener, count);
}

/// Listens until all have come, or no more come: what comes later is answered by ICMP, and for that somebody asks who
/// has an address, and the host answers.
fn hear(listener: &UdpSocket, count: usize) {
    listener.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    (0..count).find(|_| listener.recv(&mut [0; 2048]).is_err());
}

/// The same from the host.
fn datagrams_from_host(to: &Sandbox, count: usize, payload: usize) {
    let receiver = SocketAddr::from((address(to), 9));
    let listener = to.enter(|| UdpSocket::bind(receiver)).unwrap().unwrap();
    let socket = UdpSocket::bind((HOST, 0)).unwrap();
    for _ in 0..count {
        socket.send_to(&vec![0; payload], receiver).unwrap();
    }
    hear(&listener, count);
}

/// What was counted for a pair: packets and bytes.
fn pair(monitor: &Monitor, from: Option<&Sandbox>, to: &Sandbox) -> (u64, u64) {
    let from = from.map(slot);
    let pairs = monitor.pairs();
    let found = pairs.iter().find(|pair| pair.from == from && pair.to == slot(to));
    found.map_or((0, 0), |pair| (pair.packets, pair.bytes))
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
fn pairs_are_exact_on_a_bridge_and_across() {
    with_network("pairs_are_exact_on_a_bridge_and_across", 64, LONG, |network, monitor| {
        // Two on the first bridge, two on the second, one on the third.
        let [one, two, three, four, five] = [(); 5].map(|()| network.create_sandbox().unwrap());
        assert_eq!(one.bridge() == two.bridge(), three.bridge() == four.bridge());
        assert!(one.bridge() != three.bridge() && three.bridge() != five.bridge());
        // On a bridge, down, up, over two trunks; and beside them, what others say to the same receivers.
        let ways = [(&one, &two, 10), (&one, &three, 20), (&three, &two, 30), (&four, &five, 40)];
        let ways = ways.into_iter().chain([(&three, &four, 50), (&two, &five, 60), (&five, &one, 70)]);
        let ways: Vec<_> = ways.collect();
        // The first one asks for the other's address, which the responder answers in its place.
        for (from, to, _) in &ways {
            datagrams(from, to, 1, 100);
        }
        datagrams_from_host(&three, 1, 100);
        let counted = || {
            let pairs = ways.iter().map(|(from, to, _)| pair(monitor, Some(from), to));
            pairs.chain([pair(monitor, None, &three)]).collect::<Vec<_>>()
        };
        let before = settled(counted);
        for (from, to, count) in &ways {
            datagrams(from, to, *count, 100);
        }
        datagrams_from_host(&three, 80, 100);
        let after = settled(counted);
        let more = after.iter().zip(&before).map(|(after, before)| (after.0 - before.0, after.1 - before.1));
        let sent = ways.iter().map(|(_, _, count)| *count).chain([80]);
        let expected = sent.map(|count| (count as u64, count as u64 * (HEADERS + 100)));
        assert_eq!(more.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
        assert_eq!(pair(monitor, Some(&one), &five), (0, 0), "who never spoke");
    });
}

#[test]
fn what_the_host_forwards_is_the_hosts_on_every_bridge() {
    let test = "what_the_host_forwards_is_the_hosts_on_every_bridge";
    with_network(test, 64, LONG, |network, monitor| {
        let [one, two, three] = [(); 3].map(|()| network.create_sandbox().unwrap());
        let host = Namespace::current().unwrap();
        sysctl::set(&host, "net.ipv4.ip_forward", "1").unwrap();
        // Nor does it inform the sender of the shorter way.
        for name in ["all", "sb"] {
            sysctl::set(&host, &format!("net/ipv4/conf/{name}/send_redirects"), "0").unwrap();
        }
        // By way of the host: no neighbours of the own subnet, so the frames arrive with the sender's slot on them.
        for to in [&two, &three] {
            let route = Route::new(format!("{}/32", address(to)).parse().unwrap(), Some(HOST.into()), None);
            route::add(&mut RouteSocket::open_in(one.namespace().unwrap()).unwrap(), &route).unwrap();
            datagrams(&one, to, 1, 100);
            let pairs = || [pair(monitor, None, to), pair(monitor, Some(&one), to)];
            let before = settled(pairs);
            datagrams(&one, to, 25, 100);
            let after = settled(pairs);
            let bytes = 25 * (HEADERS + 100);
            assert_eq!(after, [(before[0].0 + 25, before[0].1 + bytes), before[1]]);
        }
    });
}

#[test]
fn groups_are_kept_apart_across_bridges() {
    with_network("groups_are_kept_apart_across_bridges", 64, LONG, |network, monitor| {
        let [one, two, three] = [(); 3].map(|()| network.create_sandbox().unwrap());
        for (sandbox, group) in [(&one, 1), (&two, 2), (&three, 2)] {
            let MacAddress(mac) = sandbox.mac();
            let rules = Rules::new(mac).with_ipv4([0; 4].into(), 0).unwrap();
            let rules = rules.with_ipv6([0_u16; 8].into(), 0).unwrap();
            let policy = Policy { group, ..Policy::new(rules).enforced() };
            monitor.set_policy(slot(sandbox), &policy).unwrap();
        }
        let reaches = |from: &Sandbox, to: &Sandbox| {
            ping(from.namespace().unwrap(), &Ping::new(address(to))).is_ok_and(|ping| ping.all_received())
        };
        assert!(reaches(&one, &three) && reaches(&three, &one));
        monitor.set_group_pair(1, 2, false).unwrap();
        assert!(!reaches(&one, &three) && !reaches(&one, &two), "on neither bridge");
        assert!(reaches(&two, &three) && reaches(&three, &two), "the others still do");
        let host = ping(&Namespace::current().unwrap(), &Ping::new(address(&three))).unwrap();
        assert!(host.all_received(), "the host is in no group");
        let violations = monitor.violations(slot(&one));
        assert_eq!(violations.iter().map(|(reason, _)| reason).collect::<Vec<_>>(), [Reason::Group]);
        assert!(monitor.violations(slot(&three)).dropped_tx.packets > 0);
        monitor.set_group_pair(1, 2, true).unwrap();
        assert!(reaches(&one, &three));
    });
}
