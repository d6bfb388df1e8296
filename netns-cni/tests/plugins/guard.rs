//! `guard`: what a container may not send, from its first frame on.

use crate::runtime::{Plugins, Runtime};
use crate::{ONE, TWO, assert_nothing, assert_only_the_bridge, containers, in_host, network, reaches};
use netns_core::{IfName, Namespace, RouteSocket, link};
use netns_ebpf::packet::Reason;
use netns_ebpf::{HeldMonitor, are_loaded};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tests::{ip, oracle, run, tc};

fn guarded(mode: &str) -> Runtime {
    let mut list = network("1.1.0");
    list["plugins"][0]["guard"] = json!(mode);
    Runtime::new(Plugins::ours(), list)
}

/// What a bridge holds.
pub(crate) fn held(bridge: &str) -> Option<HeldMonitor> {
    let mut socket = RouteSocket::open().unwrap();
    let index = link::get(&mut socket, IfName::new(bridge).unwrap()).expect("the bridge").index;
    HeldMonitor::open(&mut socket, index, "netns-cni").expect("what it holds")
}

fn program_ids() -> [u32; 2] {
    held("cni0").expect("a program").program_ids()
}

/// The programs go some time after the last filter.
fn assert_not_loaded(programs: [u32; 2]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while are_loaded(programs) {
        assert!(Instant::now() < deadline, "the programs {programs:?} are still loaded");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Five datagrams in another's name; whether the host got one.
fn lies_arrive(namespace: &str) -> bool {
    let inside = Namespace::open(namespace).unwrap();
    ip(&format!("-n {namespace} addr add 10.88.1.77/24 dev eth0"));
    let listener = std::net::UdpSocket::bind("10.88.1.1:7777").expect("a socket");
    listener.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    inside
        .enter(|| {
            let liar = std::net::UdpSocket::bind("10.88.1.77:0").expect("a socket");
            for _ in 0..5 {
                liar.send_to(b"a lie", "10.88.1.1:7777").expect("it is sent");
            }
        })
        .expect("inside");
    ip(&format!("-n {namespace} addr delete 10.88.1.77/24 dev eth0"));
    let mut buffer = [0; 16];
    listener.recv(&mut buffer).is_ok()
}

fn port_index(result: &Value) -> u32 {
    let name = result["interfaces"][1]["name"].as_str().expect("a port");
    link::get(&mut RouteSocket::open().unwrap(), IfName::new(name).unwrap()).expect("a port").index
}

/// Honest traffic passes either way; a lie passes where it is only observed. Both are counted.
#[test]
fn lies_are_counted_and_dropped() {
    for mode in ["observe", "enforce"] {
        in_host(|_| {
            containers(&["one", "two"]);
            let runtime = guarded(mode);
            let results = [ONE, TWO].map(|one| runtime.add(one).fine());
            crate::all_forward();
            for address in ["10.88.1.1", "10.88.1.3", "fd00:88::1", "fd00:88::3"] {
                reaches(Some("one"), address);
            }
            reaches(None, "10.88.1.2");
            for (one, result) in [ONE, TWO].into_iter().zip(&results) {
                runtime.check(one, result).fine();
            }
            let monitor = held("cni0").expect("a program");
            let slot = monitor.slot(port_index(&results[0])).expect("a slot");
            assert_eq!(monitor.violations(slot).unwrap().total(), 0, "{mode}");
            assert!(monitor.counters(slot).unwrap().rx.packets >= 4, "{mode}");
            assert_eq!(lies_arrive("one"), mode == "observe", "{mode}");
            let violations = monitor.violations(slot).unwrap();
            assert!(violations.packets[usize::from(Reason::Ipv4SourceForeign.code())] >= 5, "{violations:?}");
            assert_eq!(violations.dropped_rx.packets > 0, mode == "enforce", "{mode}: {violations:?}");
            for (one, result) in [ONE, TWO].into_iter().zip(&results) {
                runtime.del(one, result).fine();
            }
            assert_eq!(monitor.ports(), []);
            assert_only_the_bridge();
            runtime.gc(&[]).fine();
            assert_nothing();
        });
    }
}

/// An interface of its own in a user namespace is enough to send what no program at a port sees.
#[test]
fn nobody_gets_past_the_program() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = guarded("enforce");
        let result = runtime.add(ONE).fine();
        reaches(Some("one"), "10.88.1.1");
        for command in ["link add i0 type ifb", "link set i0 up"] {
            ip(&format!("-n one {command}"));
        }
        let past = "table netdev way {\n\tchain egress {\n\t\ttype filter hook egress device eth0 priority 0; fwd to i0\n\t}\n}\n";
        std::fs::write("/run/way.nft", past).unwrap();
        Namespace::open("one").unwrap().enter(|| run(oracle("nft").args(["-f", "/run/way.nft"]))).unwrap();
        assert!(!lies_arrive("one"));
        let rules = run(oracle("nft").args(["list", "chain", "bridge", "netns-cni", "barrier"]));
        assert!(rules.contains("counter packets") && !rules.contains("counter packets 0"), "{rules}");
        let (code, text) = {
            let _ = run(oracle("nft").args(["flush", "set", "bridge", "netns-cni", "barred"]));
            runtime.check(ONE, &result).failure()
        };
        assert_eq!((code, text.contains("the barrier of the link")), (102, true), "{text}");
        // It is the barrier that kept it out.
        assert!(lies_arrive("one"));
        runtime.del(ONE, &result).fine();
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}

/// The program is loaded by the first container, and is there with none.
#[test]
fn the_bridge_holds_the_program() {
    in_host(|_| {
        containers(&["one", "two"]);
        let runtime = guarded("observe");
        let first = runtime.add(ONE).fine();
        let programs = program_ids();
        runtime.del(ONE, &first).fine();
        assert_eq!(program_ids(), programs);
        assert!(are_loaded(programs), "held with no container");
        let second = runtime.add(TWO).fine();
        assert_eq!(program_ids(), programs);
        // A network on a bridge of its own has a program of its own.
        let mut other = guarded("enforce");
        other.list["name"] = json!("net2");
        other.list["plugins"][0]["bridge"] = json!("cni1");
        other.list["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.88.2.0/24"}]]);
        other.list["plugins"][0]["ipam"]["routes"] = json!([]);
        let third = other.add(ONE).fine();
        runtime.gc(&[]).fine();
        assert_not_loaded(programs);
        other.check(ONE, &third).fine();
        let of_other = held("cni1").expect("a program").program_ids();
        other.gc(&[]).fine();
        assert_not_loaded(of_other);
        runtime.del(TWO, &second).fine();
        assert_nothing();
    });
}

/// A bridge, a qdisc and a filter of somebody else's are afterwards as they were.
#[test]
fn what_others_have_on_the_bridge_stays() {
    for with_qdisc in [false, true] {
        in_host(|_| {
            containers(&["one"]);
            ip("link add cni0 type bridge");
            ip("link set cni0 up");
            if with_qdisc {
                tc("qdisc add dev cni0 clsact");
                let arguments =
                    ["filter", "add", "dev", "cni0", "ingress", "bpf", "bytecode", "1,6 0 0 4294967295"];
                let _ = run(oracle("tc").args(arguments));
            }
            let state = || {
                let filters = tc("filter show dev cni0 ingress");
                (tc("qdisc show dev cni0"), filters)
            };
            let before = state();
            let runtime = guarded("enforce");
            runtime.add(ONE).fine();
            let programs = program_ids();
            // The namespace goes first, and its port with it: DEL knows nothing but the record.
            ip("netns delete one");
            runtime.gc(&[]).fine();
            assert_eq!(state(), before);
            assert_not_loaded(programs);
            ip("link delete cni0");
            assert_nothing();
        });
    }
}

/// What is done to a port, of which it is given the name.
type Damage = fn(&str);

#[test]
fn check_sees_what_was_taken_off() {
    let damages: [(&str, Damage); 3] = [
        ("the program at the port", |port| drop(tc(&format!("filter delete dev {port} ingress")))),
        ("the program at the port", |port| drop(tc(&format!("qdisc delete dev {port} clsact")))),
        ("the program that cni0 holds", |_| drop(tc("qdisc delete dev cni0 clsact"))),
    ];
    for (words, damage) in damages {
        in_host(|_| {
            containers(&["one"]);
            let runtime = guarded("enforce");
            let result = runtime.add(ONE).fine();
            runtime.check(ONE, &result).fine();
            damage(result["interfaces"][1]["name"].as_str().unwrap());
            let (code, text) = runtime.check(ONE, &result).failure();
            assert_eq!((code, text.contains(words)), (102, true), "{text}");
            runtime.del(ONE, &result).fine();
            runtime.gc(&[]).fine();
            assert_nothing();
        });
    }
}

/// Twelve at once: one program, and a slot for each.
#[test]
fn slots_are_given_once() {
    in_host(|_| {
        let names: Vec<String> = (0..12).map(|number| format!("c{number}")).collect();
        containers(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let runtime = &guarded("enforce");
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(move || {
                    let netns = format!("/run/netns/{name}");
                    let one = crate::Attachment { container: name, netns: &netns, interface: "eth0" };
                    let mut answer = runtime.add(one);
                    // Emulated, the first one may load the program for longer than the others wait.
                    for _ in 0..5 {
                        if answer.out["code"] != 11 {
                            break;
                        }
                        answer = runtime.add(one);
                    }
                    answer.fine();
                });
            }
        });
        let ports = held("cni0").expect("a program").ports();
        assert_eq!(ports.len(), 12, "{ports:?}");
        let indexes: std::collections::BTreeSet<u32> = ports.iter().map(|(_, port)| *port).collect();
        assert_eq!(indexes.len(), 12, "{ports:?}");
        reaches(Some("c0"), "10.88.1.1");
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}

#[test]
fn keys_that_cannot_be_honoured_are_named() {
    in_host(|_| {
        containers(&["one"]);
        let (code, text) = guarded("strict").add(ONE).failure();
        assert_eq!((code, text.contains("\"guard\" with the value \"strict\"")), (2, true), "{text}");
        let mut bare = guarded("enforce");
        bare.list["plugins"][0].as_object_mut().unwrap().remove("ipam");
        let (code, text) = bare.add(ONE).failure();
        assert_eq!((code, text.contains("no ipam")), (7, true), "{text}");
        // More addresses than rules have room for.
        let mut many = guarded("enforce");
        let ranges: Vec<Value> =
            (1..6).map(|third| json!([{"subnet": format!("10.88.{third}.0/24")}])).collect();
        many.list["plugins"][0]["ipam"]["ranges"] = ranges.into();
        many.list["plugins"][0]["ipam"]["routes"] = json!([]);
        let (code, text) = many.add(ONE).failure();
        assert_eq!((code, text.contains("at most 4 networks")), (7, true), "{text}");
        assert_only_the_bridge();
        assert_eq!(held("cni0").expect("a program").ports(), []);
        many.gc(&[]).fine();
        assert_nothing();
    });
}

/// A port that is on no bridge for a while carries the programs all the same, so it keeps its slot.
#[test]
fn a_port_that_was_moved_is_judged_when_it_is_back() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = guarded("enforce");
        let result = runtime.add(ONE).fine();
        let (name, index) = (result["interfaces"][1]["name"].as_str().unwrap(), port_index(&result));
        ip(&format!("link set {name} nomaster"));
        runtime.gc(&[ONE]).fine();
        assert!(held("cni0").expect("a program").slot(index).is_some());
        ip(&format!("link set {name} master cni0"));
        reaches(Some("one"), "10.88.1.1");
        assert!(!lies_arrive("one"));
        runtime.check(ONE, &result).fine();
        // One that is gone has none.
        ip(&format!("link delete {name}"));
        runtime.gc(&[ONE]).fine();
        assert_eq!(held("cni0").expect("a program").ports(), []);
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}
