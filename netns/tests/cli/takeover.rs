//! An observer takes over from a killed one and is itself killed while it does: what was enforced is enforced at every
//! moment.

use crate::barrier::{lies, nft, two};
use crate::observe::{plug_in, programs};
use crate::watched::Watched;
use crate::{done, xtask};
use netns_core::Namespace;
use netns_ebpf::attack::Around;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use tests::{in_host, ip, ip_json, only, oracle};

const ENFORCE: &str = "observe br0 --policy /run/ports.toml --enforce --unmatched pass --json --interval 0.1";

/// Starts to observe, and is killed before this call, or once it observes. Returns whether the call came first.
fn is_killed_at(call: &str, number: u32) -> bool {
    let netns = xtask(ENFORCE);
    let inject = format!("inject={call}:signal=KILL:when={number}");
    let mut strace = oracle("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
    strace.arg(netns.get_program()).args(netns.get_args());
    let mut child = strace.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    if !line.is_empty() {
        // Beside the traced process, strace has no other child.
        let children = format!("/proc/{0}/task/{0}/children", child.id());
        let process = std::fs::read_to_string(children).unwrap_or_default();
        // It may already have been killed at that call.
        let kill = format!("kill -KILL {}", process.trim());
        let _ = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status();
    }
    child.wait().unwrap();
    line.is_empty()
}

fn killed_observer() {
    let mut observe = Watched::start(ENFORCE);
    observe.line("counters", |line| line["type"] == "counters");
    observe.end("KILL");
}

/// The system calls at which it can be killed: requests to the kernel, and what it writes down.
const CALLS: [&str; 4] = ["sendto", "sendmsg", "write", "rename"];

/// Kills it at each call; `attack` returns how many frames arrive that must not.
fn kill_at_each_call(attack: impl Fn() -> usize) {
    assert!(attack() > 0, "nobody enforces yet");
    killed_observer();
    assert_eq!(attack(), 0);
    let mut kills = 0;
    for call in CALLS {
        let mut number = 1;
        while is_killed_at(call, number) {
            let arrived = attack();
            assert_eq!(arrived, 0, "killed at its {number}. {call}: of ten forged frames {arrived} arrived");
            (number, kills) = (number + 1, kills + 1);
        }
        assert_eq!(attack(), 0);
    }
    assert!(kills >= 30, "{kills}");
    // What was changed meanwhile is still on record.
    let cleaned = done(&mut xtask("observe br0 --cleanup"));
    assert_eq!((cleaned.code, cleaned.err.as_str()), (Some(0), ""));
    assert_eq!((programs("v1"), programs("v2"), nft("list ruleset")), (0, 0, String::new()));
    assert!(!tests::tc("qdisc show").contains("clsact"));
    assert!(attack() > 0, "nobody enforces any more");
}

#[test]
fn wherever_it_is_killed_forged_frames_do_not_arrive() {
    in_host(|_| {
        two();
        kill_at_each_call(lies);
    });
}

#[test]
fn to_look_at_a_bridge_ends_what_a_killed_one_enforced_and_says_so() {
    in_host(|_| {
        two();
        killed_observer();
        let look = || done(&mut xtask("observe br0 --once --json"));
        let (first, second) = (look(), look());
        assert_eq!((first.code, second.code), (Some(0), Some(0)), "{}{}", first.err, second.err);
        assert!(first.err.contains("enforced a policy on br0; this one does not"), "{}", first.err);
        assert!(!second.err.contains("enforced a policy"), "{}", second.err);
        assert!(lies() > 0, "nobody enforces any more");
    });
}

/// Through a device that takes the frames past the hook, so that only the barrier stops them.
#[test]
fn wherever_it_is_killed_frames_do_not_get_past_the_hook() {
    in_host(|_| {
        two();
        let way = Around::begin(&Namespace::open("ns1").unwrap(), "eth0".parse().unwrap()).unwrap();
        kill_at_each_call(lies);
        way.end().unwrap();
    });
}

/// With other rules, for groups and for the host, and for ports that came and went meanwhile.
#[test]
fn the_next_observers_rules_hold_and_nothing_is_left_of_the_first() {
    in_host(|_| {
        two();
        killed_observer();
        plug_in(3);
        let address =
            |number: u8| only(&ip_json(&format!("-n ns{number} link show eth0")))["address"].to_string();
        let entry = |number: u8, group: &str| {
            let mac = address(number);
            format!(
                "[port.v{number}]\nmac = {mac}\naddresses = [\"10.1.1.{number}\"]\ngroup = \"{group}\"\nhost = \"neighbours\"\n"
            )
        };
        let policy = "apart = [[\"red\", \"blue\"]]\n".to_owned()
            + &entry(1, "red")
            + &entry(2, "blue")
            + &entry(3, "red");
        std::fs::write("/run/ports.toml", policy).unwrap();
        let ping = |from: u8, to: &str| {
            let ping = ["netns", "exec", &format!("ns{from}"), "ping", "-c1", "-W1", to];
            oracle("ip").args(ping).output().unwrap().status.success()
        };
        for _ in 0..2 {
            let mut observe = Watched::start(ENFORCE);
            observe.line("counters", |line| line["type"] == "counters");
            tests::eventually("ports of a group reach each other", || ping(1, "10.1.1.3"));
            assert!(!ping(1, "10.1.1.2") && !ping(2, "10.1.1.3") && !ping(1, "10.1.1.254"));
            assert_eq!(lies(), 0);
            for port in ["v1", "v2", "v3"] {
                assert_eq!(programs(port), 2, "one at each hook");
            }
            let barriers = nft("list tables").lines().count();
            assert_eq!(barriers, 1, "{}", nft("list tables"));
            // The second time it takes over the bridge and the ports, one of which is gone.
            observe.end("KILL");
        }
        ip("link set v3 nomaster");
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        assert_eq!(programs("v3"), 0);
        let ended = observe.end("INT");
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        assert_eq!(nft("list ruleset"), "");
        assert!(!tests::tc("qdisc show").contains("clsact"));
        tests::eventually("nobody enforces any more", || ping(1, "10.1.1.2") && ping(1, "10.1.1.254"));
    });
}
