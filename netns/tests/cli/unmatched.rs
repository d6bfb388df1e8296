//! A port for which a policy file has no entry is never silently open: it is an error, closed, or reported.

use crate::late_ports::without_bridge_names;
use crate::observe::{make_bridge, plug_in};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use netns_core::{IfName, Namespace, RouteSocket, link};
use netns_ebpf::attack::FrameSocket;
use serde_json::{Value, json};
use std::time::Duration;
use tests::{in_host, ip, ip_json, only};

const ENFORCE: &str = "observe br0 --policy /run/ports.toml --enforce --json --interval 0.1";

/// A bridge with namespaces on it, and a policy for the first.
fn with_namespaces(numbers: &[u8]) {
    make_bridge();
    for &number in numbers {
        plug_in(number);
    }
    let mac = only(&ip_json("-n ns1 link show eth0"))["address"].to_string();
    write(&format!("[namespace.ns1]\nmac = {mac}\naddresses = [\"10.1.1.1\"]\n"));
}

fn write(policy: &str) {
    std::fs::write("/run/ports.toml", policy).unwrap();
}

/// An Ethernet socket on `eth0` of a namespace, and its MAC address.
fn eth0(namespace: &str) -> (FrameSocket, [u8; 6]) {
    let namespace = Namespace::open(namespace).unwrap();
    let eth0 = link::get(&mut RouteSocket::open_in(&namespace).unwrap(), "eth0".parse::<IfName>().unwrap());
    let eth0 = eth0.unwrap();
    let socket = namespace.enter(|| FrameSocket::open(eth0.index)).unwrap().unwrap();
    (socket, eth0.mac.unwrap().0)
}

/// Sends five frames from one's own address to the other; returns how many arrive.
fn arrive(from: &str, to: &str) -> usize {
    let ((sender, source), (receiver, destination)) = (eth0(from), eth0(to));
    let mut frame = [0; 60];
    frame[..6].copy_from_slice(&destination);
    frame[6..12].copy_from_slice(&source);
    frame[12..14].copy_from_slice(&[0x88, 0xB5]);
    (0..5).for_each(|_| sender.send(&frame).unwrap());
    let mut arrived = 0;
    while let Some(heard) = receiver.receive(Duration::from_millis(100)).unwrap() {
        arrived += usize::from(heard == frame);
    }
    arrived
}

/// The event of this kind about a port.
fn event(observe: &mut Watched, event: &str, port: &str) -> Value {
    observe.line(event, |line| line["type"] == "port" && line["event"] == event && line["port"] == port)
}

#[test]
fn with_enforce_an_unmatched_port_or_entry_is_an_error_that_names_it() {
    in_host(|_| {
        with_namespaces(&[1, 2]);
        let mac = only(&ip_json("-n ns1 link show eth0"))["address"].to_string();
        let entry = |name: &str| format!("[{name}]\nmac = {mac}\naddresses = [\"10.1.1.1\"]\n");
        let before = state_of_the_host();
        let once = ENFORCE.replace("--interval", "--once --interval");
        // A port that has no entry, an entry that has no port, and both.
        let (ns1, gone, v7) = (entry("namespace.ns1"), entry("namespace.gone"), entry("port.v7"));
        let v2 = entry("port.v2");
        let [no_port, no_namespace, no_entry] = [
            "[port.v7] of the policy file: br0 has no such port now",
            "[namespace.gone] of the policy file: it is behind no port of br0 now",
            "v2 (ns2): the policy file has no entry for it",
        ];
        for (file, expected) in [
            (ns1.clone(), vec![no_entry]),
            (ns1.clone() + &v2 + &v7, vec![no_port]),
            (ns1.clone() + &v2 + &gone, vec![no_namespace]),
            (ns1.clone() + &gone + &v7, vec![no_port, no_namespace, no_entry]),
        ] {
            write(&file);
            let refused = done(&mut xtask(&once));
            assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{file}: {}", refused.err);
            assert!(expected.iter().all(|text| refused.err.contains(text)), "{file}: {}", refused.err);
            assert!(refused.err.contains("--unmatched"), "{}", refused.err);
        }
        write(&(ns1 + &v2));
        let fine = done(&mut xtask(&once));
        assert_eq!((fine.code, without_bridge_names(&fine.err).as_str()), (Some(0), ""));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_port_without_an_entry_is_closed_or_reported_as_asked() {
    in_host(|_| {
        with_namespaces(&[1, 2]);
        let mut observe = Watched::start(&format!("{ENFORCE} --unmatched close"));
        let closed = event(&mut observe, "closed", "v2");
        assert!(closed["why"].as_str().unwrap().contains("no entry for it"), "{closed}");
        observe.line("counters", |line| line["type"] == "counters");
        assert_eq!(arrive("ns2", "ns1"), 0);
        let port = observe.port("v2", |port| port["violations"]["closed"].as_u64() >= Some(5));
        assert_eq!(
            (&port["dropped"], port["violations"].as_object().unwrap().len()),
            (&json!(5), 1),
            "{port}"
        );
        assert_eq!(observe.end("INT").code, Some(0));

        for arguments in [format!("{ENFORCE} --unmatched pass"), ENFORCE.replace("--enforce ", "")] {
            let mut observe = Watched::start(&arguments);
            event(&mut observe, "unjudged", "v2");
            observe.line("counters", |line| line["type"] == "counters");
            assert_eq!(arrive("ns2", "ns1"), 5, "{arguments}");
            let end = observe.end("INT");
            assert_eq!(end.code, Some(0));
            assert!(end.err.contains("v2 (ns2) is not judged: the policy file has no entry"), "{}", end.err);
        }
    });
}

#[test]
fn a_port_that_joins_later_without_an_entry_is_closed() {
    in_host(|_| {
        with_namespaces(&[1]);
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        plug_in(2);
        event(&mut observe, "closed", "v2");
        assert_eq!(arrive("ns2", "ns1"), 0);
        observe.port("v2", |port| port["violations"]["closed"] == 5);
        // A second interface in the namespace that has an entry, as somebody inside could add one.
        ip("link add v3 type veth peer name eth1 netns ns1");
        ip("link set v3 master br0 up");
        event(&mut observe, "closed", "v3");
        let end = observe.end("INT");
        assert_eq!(end.code, Some(0), "{}", end.err);
        assert!(end.err.contains("v2 (ns2) is closed, and what it sends is dropped:"), "{}", end.err);
    });
}

#[test]
fn moving_the_interface_gets_nobody_another_policy_or_none() {
    in_host(|_| {
        with_namespaces(&[1, 2]);
        ip("netns add elsewhere");
        let v2 = only(&ip_json("-n ns2 link show eth0"))["address"].to_string();
        let ns1 = std::fs::read_to_string("/run/ports.toml").unwrap();
        // Of the policies, one is for the namespace that the interface is moved to.
        let other = "[namespace.elsewhere]\nmac = \"02:00:00:00:00:09\"\nmode = \"observe\"\n";
        write(&format!("{ns1}[port.v2]\nmac = {v2}\n{other}"));
        let mut observe = Watched::start(&format!("{ENFORCE} --unmatched pass"));
        observe.line("counters", |line| line["type"] == "counters");
        ip("-n ns1 link set eth0 netns elsewhere");
        let closed = event(&mut observe, "closed", "v1");
        assert!(
            closed["why"].as_str().unwrap().contains("before that, behind it was namespace ns1"),
            "{closed}"
        );
        ip("-n elsewhere link set eth0 up");
        assert_eq!(arrive("elsewhere", "ns2"), 0);
        observe.port("v1", |port| port["violations"]["closed"].as_u64() >= Some(5));
        // Nor by moving it back: what was done to it meanwhile is unknown.
        ip("-n elsewhere link set eth0 netns ns1");
        ip("-n ns1 link set eth0 up");
        observe.line("counters", |line| line["type"] == "counters");
        assert_eq!(arrive("ns1", "ns2"), 0);
        assert_eq!(observe.end("INT").code, Some(0));

        // Nor by moving it before it is first looked at: the namespace that it is now in has no name.
        let sleeper = Watched::start("netns exec elsewhere unshare -n sleep 600");
        let process = sleeper.child.id();
        tests::eventually("it sleeps in its own", || {
            std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap() == "sleep\n"
        });
        ip(&format!("-n ns1 link set eth0 netns {process}"));
        write(&format!("{ns1}[port.v2]\nmac = {v2}\n"));
        let refused = done(&mut xtask(&ENFORCE.replace("--interval", "--once --interval")));
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        let expected = ["[namespace.ns1] of the policy file: it is behind no port of br0 now", "v1 (sleep/"];
        assert!(expected.iter().all(|text| refused.err.contains(text)), "{}", refused.err);
    });
}

#[test]
fn a_start_that_is_refused_leaves_what_a_killed_observer_enforces() {
    in_host(|_| {
        with_namespaces(&[1, 2]);
        let v2 = only(&ip_json("-n ns2 link show eth0"))["address"].to_string();
        let ns1 = std::fs::read_to_string("/run/ports.toml").unwrap();
        write(&format!("{ns1}[port.v2]\nmac = {v2}\n"));
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        let _ = observe.end("KILL");
        assert_eq!(arrive("ns1", "ns2"), 0);
        plug_in(3);
        let refused = done(&mut xtask(&ENFORCE.replace("--interval", "--once --interval")));
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        assert!(refused.err.contains("not every port of br0 can be judged: v3"), "{}", refused.err);
        assert_eq!(arrive("ns1", "ns2"), 0, "it is still enforced");
        assert_eq!(done(&mut xtask("observe br0 --cleanup")).code, Some(0));
        assert_eq!(arrive("ns1", "ns2"), 5);
    });
}

#[test]
fn moving_the_interface_away_and_back_does_not_end_the_count() {
    in_host(|_| {
        with_namespaces(&[1, 2]);
        ip("netns add elsewhere");
        let mut observe = Watched::start(&ENFORCE.replace("--enforce ", ""));
        observe.line("counters", |line| line["type"] == "counters");
        ip("-n ns1 link set eth0 netns elsewhere");
        event(&mut observe, "unjudged", "v1");
        ip("-n elsewhere link set eth0 netns ns1");
        ip("-n ns1 link set eth0 up");
        tests::eventually("it forwards again", || {
            only(&ip_json("-d link show v1"))["linkinfo"]["info_slave_data"]["state"] == "forwarding"
        });
        let counted = |port: &Value| port["rx_packets"].as_u64().unwrap();
        let before = counted(&observe.port("v1", |_| true));
        assert_eq!(arrive("ns1", "ns2"), 5, "nothing is enforced");
        observe.port("v1", |port| counted(port) >= before + 5);
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

#[test]
fn a_cable_made_on_the_host_is_matched_by_where_its_end_is_moved() {
    in_host(|_| {
        make_bridge();
        let mac = "02:00:00:00:00:01";
        write(&format!("[namespace.ns1]\nmac = \"{mac}\"\naddresses = [\"10.1.1.1\"]\n"));
        let mut observe = Watched::start(&format!("{ENFORCE} --unmatched close"));
        observe.line("counters", |line| line["type"] == "counters");
        // As Docker does it: both ends on the host, one joins the bridge, then the other is moved inside.
        ip("netns add ns1");
        ip(&format!("link add v1 type veth peer name inner address {mac}"));
        ip("link set v1 master br0 up");
        event(&mut observe, "closed", "v1");
        ip("link set inner netns ns1 name eth0");
        ip("-n ns1 link set eth0 up");
        let known = event(&mut observe, "known", "v1");
        assert_eq!(known["namespace"], "ns1");
        plug_in(2);
        let ((sender, _), (receiver, _)) = (eth0("ns1"), eth0("ns2"));
        let mut frame = [0; 60];
        frame[..12].copy_from_slice(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 0, 0, 0, 0, 1]);
        // A gratuitous ARP for its own address.
        frame[12..42].copy_from_slice(&[
            8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 1, 1, 1, 0, 0, 0, 0, 0, 0, 10, 1, 1, 1,
        ]);
        tests::eventually("what it may send arrives", || {
            sender.send(&frame).unwrap();
            std::iter::from_fn(|| receiver.receive(Duration::from_millis(50)).unwrap())
                .any(|heard| heard == frame)
        });
        assert_eq!(observe.end("INT").code, Some(0));
    });
}
