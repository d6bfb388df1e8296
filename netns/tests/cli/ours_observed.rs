//! Nothing of anybody else's is touched, and nothing of ours is lost: `observe` and its cleanup beside other bridges,
//! by any of a bridge's names, killed and refused at any request.

use crate::late_ports::without_bridge_names;
use crate::observe::programs;
use crate::ours::run_traced;
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use std::fs;
use std::process::Output;
use tests::{eventually, in_host, ip, tc};

/// A bridge of this name with one port of this name.
fn make_bridge(bridge: &str, port: &str) {
    ip(&format!("link add {bridge} type bridge mcast_snooping 0"));
    ip(&format!("link add {port} type veth peer name {port}x"));
    ip(&format!("link set {port} master {bridge}"));
}

fn killed_observer(arguments: &str) {
    let mut observe = Watched::start(&format!("observe {arguments} --json --interval 0.1"));
    observe.line("counters", |line| line["type"] == "counters");
    observe.end("KILL");
}

#[test]
fn cleanup_of_a_bridge_touches_no_other_bridge() {
    in_host(|_| {
        make_bridge("br0", "v1");
        make_bridge("my-br0", "v2");
        ip("netns add lab");
        ip("-n lab link add br0 type bridge");
        ip("-n lab link add v3 master br0 type veth peer name v3x");
        killed_observer("my-br0");
        killed_observer("br0 -n lab");
        assert_eq!(done(&mut xtask("observe br0 --cleanup")).out, "nothing to remove\n");
        assert_eq!([programs("v1"), programs("v2")], [0, 2]);
        assert!(ip("netns exec lab tc filter show dev v3 ingress").contains("netns-ebpf"));
        let cleanup = done(&mut xtask("observe br0 --cleanup -n lab"));
        assert_eq!(cleanup.out, "removed the filters from v3, a port of br0\n", "{}", cleanup.err);
        assert_eq!(programs("v2"), 2);
        let cleanup = done(&mut xtask("observe my-br0 --cleanup"));
        assert_eq!(cleanup.out, "removed the filters from v2, a port of my-br0\n", "{}", cleanup.err);
        assert_eq!(done(&mut xtask("observe --cleanup")).out, "nothing to remove\n");
    });
}

#[test]
fn a_policy_file_may_use_any_name_of_a_port_and_missing_ports_are_reported() {
    in_host(|_| {
        make_bridge("br0", "v1");
        ip("link property add dev v1 altname a-name-that-is-longer-than-others");
        let policy =
            |port: &str| format!("[port.{port}]\nmac = '02:00:00:00:00:01'\naddresses = ['10.1.1.1']\n");
        let text = policy("a-name-that-is-longer-than-others") + &policy("v7");
        fs::write("/run/policy.toml", text).unwrap();
        let once = "observe br0 --once --interval 0.1 --json --policy /run/policy.toml --enforce";
        assert_eq!(done(&mut xtask(once)).code, Some(1), "one is not there");
        let observed = done(&mut xtask(&format!("{once} --unmatched close")));
        assert_eq!(observed.code, Some(0), "{}", observed.err);
        let warning = "warning: [port.v7] of the policy file: br0 has no such port now\n";
        assert_eq!(without_bridge_names(&observed.err), warning);
        let counters = &observed.lines("counters")[0];
        assert_eq!(counters["ports"][0]["violations"], serde_json::json!({}), "it is judged: {counters}");
    });
}

#[test]
fn a_bridge_is_the_same_bridge_by_any_name() {
    let metrics = || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect("127.0.0.1:9753").unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    in_host(|_| {
        make_bridge("br0", "v1");
        let long = "an-alternative-name-that-is-longer-than-others";
        ip("link property add dev br0 altname lan0");
        ip(&format!("link property add dev br0 altname {long}"));
        let mut observe = Watched::start(&format!("observe {long} --json --interval 0.1 --metrics 9753"));
        let begun = observe.line("it begins", |line| line["type"] == "observe");
        assert_eq!(begun["bridge"], "br0");
        observe.line("counters", |line| line["type"] == "counters");
        for name in ["br0", "lan0", long] {
            let refused = done(&mut xtask(&format!("observe {name} --once")));
            assert_eq!(refused.code, Some(1), "{name}: {}", refused.err);
            assert!(refused.err.contains("this bridge is being observed already"), "{}", refused.err);
        }
        ip("link set br0 down");
        ip("link set br0 name renamed");
        eventually("the metrics have the new name", || metrics().contains("network=\"renamed\""));
        assert!(!metrics().contains("network=\"br0\""), "{}", metrics());
        let refused = done(&mut xtask("observe renamed --once"));
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        observe.end("KILL");
        assert_eq!(programs("v1"), 2);
        // By now another bridge has the old name.
        make_bridge("br0", "v2");
        assert_eq!(done(&mut xtask("observe br0 --cleanup")).out, "nothing to remove\n");
        let cleanup = done(&mut xtask("observe lan0 --cleanup"));
        assert_eq!(cleanup.out, "removed the filters from v1, a port of br0\n", "{}", cleanup.err);
        assert_eq!(programs("v1"), 0);

        // A bridge that is gone is known by its last name.
        killed_observer("renamed");
        ip("link del renamed");
        assert_eq!(programs("v1"), 2);
        assert_eq!(done(&mut xtask("observe renamed --cleanup")).code, Some(0));
        assert_eq!(programs("v1"), 0);
    });
}

#[test]
fn an_observer_that_is_killed_or_refused_at_any_request_leaves_nothing_after_cleanup() {
    in_host(|_| {
        make_bridge("br0", "v1");
        make_bridge("br1", "v2");
        tc("qdisc add dev v2 clsact");
        ip("link set v2 master br0");
        let before = state_of_the_host();
        let observe = "observe br0 --once --interval 0.1 --json";
        let (output, trace) = run_traced("-e trace=sendto", observe);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(state_of_the_host(), before);
        let requests = trace.lines().filter(|line| line.contains("sendto(")).count();
        let changes: Vec<usize> = (1..)
            .zip(trace.lines().filter(|line| line.contains("sendto(")))
            .filter(|(_, line)| ["NEWQDISC", "DELQDISC", "TFILTER"].iter().any(|kind| line.contains(kind)))
            .filter(|(_, line)| !line.contains("GETTFILTER"))
            .map(|(number, _)| number)
            .collect();
        assert!(changes.len() >= 10 && requests > 10, "{trace}");
        for number in changes {
            for what in ["signal=KILL", "error=ENOMEM"] {
                let options = format!("-e trace=sendto -e inject=sendto:{what}:when={number}");
                let (output, _) = run_traced(&options, observe);
                let cleanup = done(&mut xtask("observe --cleanup"));
                assert_eq!(cleanup.code, Some(0), "{number} {what}: {}", cleanup.err);
                let err = String::from_utf8_lossy(&output.stderr);
                assert_eq!(state_of_the_host(), before, "{number} {what}: {err}");
            }
        }
    });
}

/// How often the answer to one request is sought. Notices of the kernel are received by the same call, and how many of those
/// come before it differs from run to run, the more so on a busy machine.
const ATTEMPTS: u32 = 40;

/// The number of the answer to a request of this kind among all that is received, if one was sent.
fn number_of_answer(trace: &str, wanted: (&str, &str)) -> Option<usize> {
    let is_wanted = |line: &str| line.contains("sendto(") && kind(line) == Some(wanted);
    let request = trace.lines().position(is_wanted)?;
    Some(trace.lines().take(request).filter(|line| line.contains("recvmsg(")).count() + 1)
}

/// Runs `observe` until the answer to a request of this kind is lost, each time by what the run before received.
fn run_without_answer(observe: &str, trace: &str, wanted: (&str, &str)) -> Output {
    let mut answer = number_of_answer(trace, wanted).unwrap();
    for _ in 0..ATTEMPTS {
        let options = format!("-e trace=sendto,recvmsg -e inject=recvmsg:error=ENOBUFS:when={answer}");
        let (output, trace) = run_traced(&options, observe);
        if request_before_the_fault(&trace).and_then(kind) == Some(wanted) {
            return output;
        }
        // The one before it was lost, perhaps, and this one never sent.
        let next = number_of_answer(&trace, wanted).filter(|next| *next != answer);
        answer = next.unwrap_or(answer + 1);
        assert_eq!(done(&mut xtask("observe --cleanup")).code, Some(0), "{wanted:?}");
    }
    panic!("no answer to {wanted:?} was lost in {ATTEMPTS} attempts");
}

/// The last request of the socket whose answer was lost.
fn request_before_the_fault(trace: &str) -> Option<&str> {
    let lines: Vec<&str> = trace.lines().collect();
    let lost = lines.iter().position(|line| line.contains("(INJECTED)"))?;
    let socket = lines[lost].split_once("recvmsg(")?.1.split(',').next()?;
    let sent = format!("sendto({socket},");
    lines[..lost].iter().rev().find(|line| line.contains(&sent)).copied()
}

/// The kind of a request and the link that it is about.
fn kind(request: &str) -> Option<(&str, &str)> {
    let kind = request.split_once("nlmsg_type=")?.1.split(',').next()?;
    Some((kind, request.split_once("tcm_parent=")?.1.split(',').next()?))
}

#[test]
fn an_enforcement_that_is_not_there_is_an_error() {
    in_host(|_| {
        make_bridge("br0", "v1");
        let before = state_of_the_host();
        let policy = "[port.v1]\nmac = '02:00:00:00:00:01'\naddresses = ['10.1.1.1']\n";
        fs::write("/run/policy.toml", policy).unwrap();
        let observe = "observe br0 --once --interval 0.1 --json --policy /run/policy.toml --enforce";
        let (output, trace) = run_traced("-e trace=sendto,recvmsg", observe);
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        // The answer to a request that changes something is lost, but the kernel carried it out.
        let is_change = |call: &&str| {
            call.contains("sendto(")
                && ["RTM_NEWQDISC", "RTM_DELQDISC", "RTM_NEWTFILTER", "RTM_DELTFILTER"]
                    .iter()
                    .any(|kind| call.contains(kind))
        };
        let mut changes = 0;
        for call in trace.lines().filter(is_change) {
            let output = run_without_answer(observe, &trace, kind(call).unwrap());
            let err = String::from_utf8_lossy(&output.stderr);
            // What undoes is tried again, and then there is nothing to undo.
            let code = if call.contains("RTM_NEW") { 2 } else { 0 };
            assert_eq!(output.status.code(), Some(code), "{call}: {err}");
            if call.contains("RTM_NEW") {
                assert!(err.contains("what the policy says was not enforced on v1"), "{call}: {err}");
                assert_eq!(programs("v1"), 0, "{call}");
                assert!(!tc("qdisc show dev v1").contains("clsact"), "{call}");
            }
            assert_eq!(done(&mut xtask("observe --cleanup")).code, Some(0), "{call}");
            changes += 1;
        }
        assert_eq!(changes, 6, "{trace}");
        fs::remove_file("/run/policy.toml").unwrap();
        assert_eq!(state_of_the_host(), before);
    });
}
