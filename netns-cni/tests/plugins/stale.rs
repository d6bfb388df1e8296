//! What a kill leaves, and `GC`.

use crate::in_host;
use crate::runtime::{Answer, Runtime, output};
use crate::{ONE, TWO, assert_nothing, assert_only_the_bridge, containers, files, links, ours, reserved};
use serde_json::{Value, json};
use std::process::Command;
use tests::ip;

#[test]
fn gc_removes_exactly_what_is_not_listed() {
    in_host(|_| {
        containers(&["one", "two", "three"]);
        let runtime = ours("1.1.0");
        let (first, _) = (runtime.add(ONE).fine(), runtime.add(TWO).fine());
        let third = crate::Attachment { container: "three", netns: "/run/netns/three", ..ONE };
        runtime.add(third).fine();
        let mut other = ours("1.1.0");
        other.list["name"] = json!("net2");
        let fourth = crate::Attachment { interface: "eth1", ..TWO };
        other.list["plugins"][0]["ipam"]["ranges"] =
            json!([[{"subnet": "10.88.1.128/25", "gateway": "10.88.1.1"}]]);
        other.list["plugins"][0]["isGateway"] = json!(false);
        other.list["plugins"][0]["ipam"]["routes"] = json!([]);
        let elsewhere = other.add(fourth).fine();
        ip("netns delete three");
        runtime.gc(&[ONE]).fine();
        assert_eq!(files("/run/netns-cni/networks/net1"), ["one:eth0.bridge"]);
        assert_eq!(reserved(), ["10.88.1.2", "fd00:88::2"]);
        runtime.check(ONE, &first).fine();
        other.check(fourth, &elsewhere).fine();
        assert_eq!(links().len(), 3, "the bridge, and two ports");
        runtime.gc(&[]).fine();
        // The other network's port is on the bridge.
        other.check(fourth, &elsewhere).fine();
        other.gc(&[]).fine();
        assert_nothing();
        runtime.gc(&[]).fine();
    });
}

#[test]
fn gc_without_a_list_removes_nothing() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = ours("1.1.0");
        let result = runtime.add(ONE).fine();
        let mut command = runtime.plugins.command("bridge", [("CNI_COMMAND", "GC")]);
        let mut config = runtime.list["plugins"][0].clone();
        config["name"] = json!("net1");
        config["cniVersion"] = json!("1.1.0");
        let answer = crate::runtime::answer(&mut command, config.to_string().as_bytes());
        assert_eq!(answer.failure().0, 7);
        // By the name that drafts gave the key, which libcni writes too.
        config["cni.dev/attachments"] = json!([{"containerID": "one", "ifname": "eth0"}]);
        let mut command = runtime.plugins.command("bridge", [("CNI_COMMAND", "GC")]);
        crate::runtime::answer(&mut command, config.to_string().as_bytes()).fine();
        runtime.check(ONE, &result).fine();
    });
}

/// A system call: its name, and the how manieth of that name it is.
type Call = (String, u32);

/// Those of them that change something; each of these is met in every run.
const CHANGES: [&str; 8] = ["sendto", "write", "link", "linkat", "unlink", "rename", "mkdir", "ftruncate"];
/// Of the others every nth, which differs from run to run.
const STEP: usize = 17;

/// The command under `strace`.
pub(crate) fn straced(options: &[&str], command: &Command) -> Command {
    let mut strace = tests::oracle("strace");
    strace.args(["-f", "-qq"]).args(options).arg(command.get_program()).env_clear();
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    strace
}

fn strace(options: &[&str], command: &Command, input: &[u8]) -> Option<i32> {
    output(&mut straced(options, command), input).status.code()
}

/// `GC` of nothing by a network's first plugin.
pub(crate) fn collecting(runtime: &Runtime) -> (Command, Vec<u8>) {
    let command = runtime.plugins.command("bridge", [("CNI_COMMAND", "GC")]);
    let mut config = runtime.list["plugins"][0].clone();
    config["name"] = runtime.list["name"].clone();
    config["cniVersion"] = json!("1.1.0");
    config["cni.dev/valid-attachments"] = json!([]);
    (command, config.to_string().into_bytes())
}

/// What `strace` writes of a command that is run to its end.
pub(crate) fn trace(command: &Command, input: &[u8]) -> String {
    assert_eq!(strace(&["-o", "/run/trace"], command, input), Some(0));
    std::fs::read_to_string("/run/trace").expect("a trace")
}

/// The system calls of a command that is run to its end.
fn calls(command: &Command, input: &[u8]) -> Vec<Call> {
    let trace = trace(command, input);
    let mut counts = std::collections::BTreeMap::new();
    // A write of a setting may be begun again any number of times, until nobody else changes links.
    let lines = trace.lines().filter(|line| !line.contains("ERESTARTNOINTR"));
    let names = lines.filter_map(|line| {
        let (_, call) = line.split_once(' ')?;
        let (name, _) = call.trim_start().split_once('(')?;
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_').then_some(name)
    });
    let all: Vec<Call> = names
        .map(|name| {
            let count = counts.entry(name.to_owned()).or_insert(0);
            *count += 1;
            (name.to_owned(), *count)
        })
        .collect();
    assert!(all.len() > 50, "{all:?}");
    let start = std::process::id() as usize % STEP;
    let is_met =
        |(position, (name, _)): &(usize, Call)| CHANGES.contains(&name.as_str()) || position % STEP == start;
    all.into_iter().enumerate().filter(is_met).map(|(_, call)| call).collect()
}

/// Runs a command that is killed as it makes this call; whether it came to that: how many there are of some differs from
/// run to run by a few.
fn kill_at((name, number): &Call, command: &Command, input: &[u8]) -> bool {
    let inject = format!("inject={name}:signal=KILL:when={number}");
    strace(&["-o", "/dev/null", "-e", "trace=all", "-e", &inject], command, input) != Some(0)
}

/// Whether the next one is to clean up after the call at this position: half of them in each run of the tests.
fn is_collected(position: usize) -> bool {
    (position + std::process::id() as usize).is_multiple_of(2)
}

#[test]
fn a_kill_in_add_leaves_nothing_that_del_or_gc_does_not_find() {
    in_host(|_| {
        containers(&["one"]);
        let mut runtime = ours("1.1.0");
        runtime.list["plugins"][0]["macspoofchk"] = json!(true);
        runtime.list["plugins"][0]["ipMasq"] = json!(true);
        runtime.list["plugins"][0]["type"] = json!("netns-cni");
        runtime.list["plugins"][0]["firewall"] = json!({"ingressPolicy": "isolated"});
        runtime.list["plugins"][0]["capabilities"] = json!({"portMappings": true});
        runtime.capabilities =
            json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
        let (command, input) = runtime.prepare_first("ADD", ONE, &Value::Null);
        // Not the first one, which makes folders that stay.
        runtime.add(ONE).fine();
        runtime.gc(&[]).fine();
        let calls = calls(&command, &input);
        runtime.gc(&[]).fine();
        let mut killed = 0;
        for (position, call) in calls.iter().enumerate() {
            killed += usize::from(kill_at(call, &command, &input));
            let is_collected = is_collected(position);
            let cleaned: Answer = if is_collected { runtime.gc(&[]) } else { runtime.del(ONE, &Value::Null) };
            assert_eq!((cleaned.code, &cleaned.out), (Some(0), &Value::Null), "{call:?}: {cleaned:?}");
            assert!(!files("/run/cni-data/net1").contains(&".netns-cni.new".to_owned()), "{call:?}");
            let rules = tests::run(tests::oracle("nft").args(["list", "ruleset"]));
            assert!(!rules.contains("net1/"), "{call:?}: {rules}");
            assert_eq!(ip("-n one link show type veth"), "", "{call:?}");
            if !is_collected {
                assert_eq!(reserved(), Vec::<String>::new(), "{call:?}");
                assert_eq!(files("/run/netns-cni/networks"), Vec::<String>::new(), "{call:?}");
                assert!(links().iter().all(|link| link == "cni0"), "{call:?}: {:?}", links());
                runtime.gc(&[]).fine();
            }
            assert_nothing();
        }
        assert!(2 * killed > calls.len(), "{killed} kills of {}", calls.len());
    });
}

#[test]
fn a_kill_in_del_leaves_nothing_that_del_or_gc_does_not_find() {
    in_host(|_| {
        containers(&["one"]);
        let mut runtime = ours("1.1.0");
        runtime.list["plugins"][0]["ipMasq"] = json!(true);
        runtime.list["plugins"][0]["type"] = json!("netns-cni");
        runtime.list["plugins"][0]["firewall"] = json!({"ingressPolicy": "isolated"});
        runtime.list["plugins"][0]["guard"] = json!("enforce");
        let result = runtime.add(ONE).fine();
        let (command, input) = runtime.prepare_first("DEL", ONE, &result);
        let calls = calls(&command, &input);
        let mut killed = 0;
        for (position, call) in calls.iter().enumerate() {
            let result = runtime.add(ONE).fine();
            killed += usize::from(kill_at(call, &command, &input));
            if is_collected(position) {
                runtime.gc(&[]).fine();
                assert_nothing();
            } else {
                runtime.del(ONE, &result).fine();
                assert_only_the_bridge();
                assert_eq!(crate::guard::held("cni0").expect("a program").ports(), [], "{call:?}");
            }
        }
        assert!(2 * killed > calls.len(), "{killed} kills of {}", calls.len());
    });
}

/// Not even a `GC` of nothing that is killed leaves what the next one does not find.
#[test]
fn a_kill_in_gc_leaves_nothing_that_gc_does_not_find() {
    in_host(|_| {
        containers(&["one", "two"]);
        let runtime = ours("1.1.0");
        let attach = || [ONE, TWO].map(|one| runtime.add(one).fine());
        // Not the first one, which finds a namespace that never forwarded.
        attach();
        runtime.gc(&[]).fine();
        attach();
        let (command, input) = collecting(&runtime);
        let calls = calls(&command, &input);
        let mut killed = 0;
        for call in &calls {
            attach();
            killed += usize::from(kill_at(call, &command, &input));
            runtime.gc(&[]).fine();
            assert_nothing();
        }
        assert!(2 * killed > calls.len(), "{killed} kills of {}", calls.len());
    });
}

/// The program's part: slots of ports, and the loading of it by the first container.
#[test]
fn a_kill_while_a_port_is_guarded_leaves_no_slot() {
    in_host(|_| {
        containers(&["one", "two"]);
        let mut runtime = ours("1.1.0");
        runtime.list["plugins"][0]["guard"] = json!("enforce");
        // Half of the runs of this test without a guard, where the port has the program for its limits alone.
        if std::process::id().is_multiple_of(2) {
            runtime.list["plugins"][0]["guard"] = Value::Null;
        }
        runtime.list["plugins"][0]["type"] = json!("netns-cni");
        runtime.list["plugins"][0]["ingressRate"] = json!(1_000_000);
        runtime.list["plugins"][0]["ingressBurst"] = json!(1_000_000);
        let (command, input) = runtime.prepare_first("ADD", ONE, &Value::Null);
        runtime.add(ONE).fine();
        runtime.gc(&[]).fine();
        // With the loading.
        let of_first = calls(&command, &input);
        runtime.gc(&[]).fine();
        for call in of_first.iter().step_by(24) {
            kill_at(call, &command, &input);
            let _ = runtime.del(ONE, &Value::Null);
            runtime.gc(&[]).fine();
            assert_nothing();
        }
        // With the program loaded.
        runtime.add(TWO).fine();
        let calls = calls(&command, &input);
        runtime.del(ONE, &Value::Null).fine();
        let mut killed = 0;
        for (position, call) in calls.iter().enumerate() {
            killed += usize::from(kill_at(call, &command, &input));
            if is_collected(position) {
                runtime.gc(&[TWO]).fine();
            } else {
                runtime.del(ONE, &Value::Null).fine();
            }
            let ports = crate::guard::held("cni0").expect("a program").ports();
            assert_eq!(ports.len(), 1, "{call:?}: {ports:?}");
            assert_eq!(links().len(), 2, "{call:?}: {:?}", links());
        }
        assert!(2 * killed > calls.len(), "{killed} kills of {}", calls.len());
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}

/// A bridge that a `GC` could not look at is not taken for gone: its record stays for the next one.
#[test]
fn gc_forgets_no_bridge_that_is_there() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = ours("1.1.0");
        runtime.add(ONE).fine();
        let (command, input) = collecting(&runtime);
        let requests = trace(&command, &input).lines().filter(|line| line.contains("sendto(")).count();
        for number in 1..=requests {
            runtime.add(ONE).fine();
            let inject = format!("inject=sendto:error=ENOBUFS:when={number}");
            strace(&["-o", "/dev/null", "-e", "trace=all", "-e", &inject], &command, &input);
            assert_eq!(
                links().contains(&"cni0".to_owned()),
                !files("/run/netns-cni/bridges").is_empty(),
                "{number}"
            );
            runtime.gc(&[]).fine();
            assert_nothing();
        }
    });
}
