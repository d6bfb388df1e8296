//! `egress` and `limit`: where a guarded container may send to, and how much.

use crate::guard::held;
use crate::runtime::{Plugins, Runtime};
use crate::{ONE, TWO, assert_nothing, assert_only_the_bridge, containers, in_host, network, reaches};
use netns_core::{IfName, Namespace, RouteSocket, link};
use netns_ebpf::packet::Reason;
use netns_ebpf::{Limits, Slot};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::Duration;
use tests::ip;

/// Of the internet, of a private network, and of a cloud's credentials: each an address of the host's.
const WORLD: &str = "198.51.100.1";
const PRIVATE: &str = "192.168.7.1";
const METADATA: &str = "169.254.169.254";

fn with(keys: &Value) -> Runtime {
    let mut list = network("1.1.0");
    let plugin = list["plugins"][0].as_object_mut().unwrap();
    plugin.insert("guard".to_owned(), json!("enforce"));
    plugin.extend(keys.as_object().unwrap().clone());
    Runtime::new(Plugins::ours(), list)
}

/// A host with these addresses, and containers.
fn in_world(names: &[&str], test: impl FnOnce() + Send) {
    in_host(|_| {
        containers(names);
        for address in [WORLD, PRIVATE, METADATA] {
            ip(&format!("addr add {address}/32 dev lo"));
        }
        test();
        assert_nothing();
    });
}

/// Whether datagrams of a namespace arrive at an address of the host's.
fn arrives(namespace: &str, address: &str) -> bool {
    let to = format!("{address}:7000");
    let receiver = UdpSocket::bind(&to).expect("a socket");
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let inside = Namespace::open(namespace).unwrap();
    let sender = inside.enter(|| UdpSocket::bind("0.0.0.0:0")).expect("inside").expect("a socket");
    for _ in 0..3 {
        sender.send_to(b"hello", &to).expect("it is sent");
    }
    receiver.recv(&mut [0; 16]).is_ok()
}

/// Of a port: what arrives of the world, of the private network, and of the credentials.
fn reached(namespace: &str) -> [bool; 3] {
    [WORLD, PRIVATE, METADATA].map(|address| arrives(namespace, address))
}

fn slot(result: &Value) -> Slot {
    let name = result["interfaces"][1]["name"].as_str().expect("a port");
    let index = link::get(&mut RouteSocket::open().unwrap(), IfName::new(name).unwrap()).unwrap().index;
    held("cni0").expect("a program").slot(index).expect("a slot")
}

fn refused(slot: Slot) -> u64 {
    let violations = held("cni0").expect("a program").violations(slot).unwrap();
    violations.packets[usize::from(Reason::Egress.code())]
}

/// A policy is the network's: the next container's `ADD` replaces it for all, and other networks of the bridge keep theirs.
#[test]
fn a_network_has_a_policy() {
    in_world(&["one", "two", "three"], || {
        let first = with(&json!({"egress": {}}));
        let result = first.add(ONE).fine();
        assert_eq!(reached("one"), [true, false, false]);
        assert!(refused(slot(&result)) >= 6);
        reaches(Some("one"), "10.88.1.1");
        reaches(Some("one"), "fd00:88::1");
        first.check(ONE, &result).fine();
        first.status().fine();

        let mut other =
            with(&json!({"egress": {"others": "deny", "rules": [format!("allow {METADATA} udp/7000")]}}));
        other.list["name"] = json!("net2");
        other.list["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.88.2.0/24"}]]);
        other.list["plugins"][0]["ipam"]["routes"] = json!([{"dst": "0.0.0.0/0"}]);
        // A bridge has one IPv4 address, unless there is no gateway to give it another one.
        other.list["plugins"][0]["isGateway"] = json!(false);
        other.list["plugins"][0]["ipam"]["ranges"][0][0]["gateway"] = json!("10.88.2.9");
        ip("addr add 10.88.2.9/24 dev cni0");
        let three = crate::Attachment { container: "three", netns: "/run/netns/three", interface: "eth0" };
        let third = other.add(three).fine();
        assert_eq!(reached("three"), [false, false, true]);

        let path = "/run/egress.json";
        let policy = json!({"without": ["private"], "rules": [format!("deny {WORLD} udp/7000")]});
        std::fs::write(path, policy.to_string()).unwrap();
        let second = with(&json!({ "egress": path }));
        let (code, text) = second.check(ONE, &result).failure();
        assert_eq!((code, text.contains("the egress policy of the port")), (102, true), "{text}");
        assert_eq!(reached("one"), [true, false, false], "nobody replaced it yet");
        let two = second.add(TWO).fine();
        for name in ["one", "two"] {
            assert_eq!(reached(name), [false, true, false], "{name}");
        }
        reaches(Some("two"), "10.88.1.2");
        assert_eq!(reached("three"), [false, false, true]);
        second.check(ONE, &result).fine();
        other.check(three, &third).fine();

        let mut monitor = held("cni0").expect("a program");
        let [of_one, of_two, of_three] =
            [&result, &two, &third].map(|result| monitor.egress_of(slot(result)).unwrap().expect("a policy"));
        assert_eq!(of_one, of_two);
        assert_ne!(of_one, of_three);
        monitor.set_egress(slot(&result), None).unwrap();
        let (code, text) = second.check(ONE, &result).failure();
        assert_eq!((code, text.contains("the egress policy of the port")), (102, true), "{text}");
        assert_eq!(reached("one"), [true, true, true]);
        // A slot that is given out again has no policy, and the next container its own.
        first.del(ONE, &result).fine();
        let again = second.add(ONE).fine();
        assert_eq!(reached("one"), [false, true, false]);
        second.del(ONE, &again).fine();
        second.del(TWO, &two).fine();
        other.del(three, &third).fine();
        assert_eq!(monitor.ports(), []);
        ip("addr delete 10.88.2.9/24 dev cni0");
        other.gc(&[]).fine();
        second.gc(&[]).fine();
    });
}

/// As a guard that observes: it is counted, and passes.
#[test]
fn what_is_observed_passes() {
    in_world(&["one"], || {
        let runtime = with(&json!({"guard": "observe", "egress": {}}));
        let result = runtime.add(ONE).fine();
        assert_eq!(reached("one"), [true; 3]);
        assert!(refused(slot(&result)) >= 6);
        runtime.check(ONE, &result).fine();
        runtime.del(ONE, &result).fine();
        runtime.gc(&[]).fine();
    });
}

/// A program without policies is not exchanged below containers that it counts.
#[test]
fn a_program_without_policies_says_so() {
    in_world(&["one", "two"], || {
        let bare = with(&json!({}));
        let result = bare.add(ONE).fine();
        let with_egress = with(&json!({"egress": {}}));
        let (code, text) = with_egress.add(TWO).failure();
        assert_eq!((code, text.contains("was loaded for containers without it")), (50, true), "{text}");
        bare.check(ONE, &result).fine();
        bare.del(ONE, &result).fine();
        let second = with_egress.add(TWO).fine();
        assert_eq!(reached("two"), [true, false, false]);
        // One that has no policy goes everywhere, on the same program.
        let result = bare.add(ONE).fine();
        assert_eq!(reached("one"), [true; 3]);
        bare.del(ONE, &result).fine();
        with_egress.del(TWO, &second).fine();
        with_egress.gc(&[]).fine();
    });
}

/// More configurations than there are places: those of containers that are gone are used again.
#[test]
fn places_are_given_out_again() {
    in_host(|_| {
        containers(&["one", "two"]);
        let of = |number: u32| {
            let mut runtime = with(&json!({"egress": {"rules": [format!("deny 203.0.113.{number}")]}}));
            runtime.list["name"] = json!(format!("net{number}"));
            runtime
        };
        let two = of(0).add(TWO).fine();
        let place = |result: &Value| held("cni0").unwrap().egress_of(slot(result)).unwrap().unwrap().0.get();
        assert_eq!(place(&two), 1);
        let mut places = Vec::new();
        for number in 1..67 {
            let result = of(number).add(ONE).fine();
            places.push(place(&result));
            of(number).del(ONE, &result).fine();
        }
        let mut expected: Vec<u16> = (2..65).collect();
        expected.extend([2, 2, 2]);
        assert_eq!(places, expected);
        of(0).check(TWO, &two).fine();
        of(0).del(TWO, &two).fine();
        of(0).gc(&[]).fine();
        for number in 1..67 {
            let _ = std::fs::remove_dir_all(format!("{}/net{number}", crate::DATA));
        }
        assert_nothing();
    });
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_made() {
    in_host(|_| {
        containers(&["one"]);
        for (keys, code, words) in [
            (json!({"egress": {"others": "maybe"}}), 6, "egress.others"),
            (json!({"egress": {"without": ["privat"]}}), 7, "egress.without[0]"),
            (json!({"egress": {"rules": ["allow all"]}}), 7, "egress.rules[0]"),
            (json!({"egress": {"rule": []}}), 7, "egress.rule"),
            (
                json!({"egress": {"rules": (1..6).map(|port| format!("deny any tcp/{port}")).collect::<Vec<_>>()}}),
                7,
                "more than four",
            ),
            (json!({"egress": "policy.json"}), 7, "begins with /"),
            (json!({"egress": "/run/no-such-file"}), 5, "/run/no-such-file"),
            (json!({"egress": true}), 6, "egress"),
            (json!({"limit": "fast"}), 7, "limit"),
            (json!({"limit": "1mbit", "guard": null}), 7, "limit takes guard"),
            (json!({"egress": {}, "guard": null}), 7, "egress takes guard"),
        ] {
            let (found, text) = with(&keys).add(ONE).failure();
            assert_eq!((found, text.contains(words)), (code, true), "{keys}: {text}");
        }
        assert_nothing();
    });
}

/// `limit` is `tc`'s words for what `bandwidth` says in numbers; only one of them at a port.
#[test]
fn a_limit_holds() {
    in_host(|host| {
        containers(&["one"]);
        let mut runtime = with(&json!({"limit": "out=8kbit,burst=10kb"}));
        let result = runtime.add(ONE).fine();
        let one = Namespace::open("one").unwrap();
        for (from, to, address, expected) in
            [(&one, host.namespace(), "10.88.1.1", 5..40), (host.namespace(), &one, "10.88.1.2", 90..101)]
        {
            let arrived = crate::bandwidth::arrive(from, to, address);
            assert!(expected.contains(&arrived), "to {address}: {arrived} of 100");
        }
        runtime.check(ONE, &result).fine();
        held("cni0").unwrap().set_limits(slot(&result), &Limits::NONE).unwrap();
        let (code, text) = runtime.check(ONE, &result).failure();
        assert_eq!((code, text.contains("the limit of the port")), (102, true), "{text}");
        runtime.del(ONE, &result).fine();
        let bandwidth = json!({"type": "bandwidth", "ingressRate": 8000, "ingressBurst": 8000});
        runtime.list["plugins"].as_array_mut().unwrap().push(bandwidth);
        let (code, text) = runtime.add(ONE).failure();
        assert_eq!((code, text.contains("by the key limit")), (7, true), "{text}");
        runtime.del(ONE, &Value::Null).fine();
        assert_only_the_bridge();
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}
