//! What a kill leaves, and `GC`.

use crate::runtime::{Answer, output};
use crate::{ONE, TWO, assert_nothing, assert_only_the_bridge, containers, files, links, ours, reserved};
use serde_json::{Value, json};
use std::process::Command;
use tests::{in_host, ip};

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

/// A program of `strace` that kills ours at its `number`th system call; whether it came so far.
fn killed_at(number: u32, mut command: Command, input: &[u8]) -> bool {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject=all:signal=KILL:when={number}")]);
    strace.arg(command.get_program());
    strace.env_clear();
    for (name, value) in command.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    let _ = &mut command;
    let output = output(&mut strace, input);
    output.status.code() != Some(0)
}

/// Every nth, so that all are met in a few runs of the tests, and each run takes seconds.
const STEP: u32 = 7;

#[test]
fn a_kill_in_add_leaves_nothing_that_del_or_gc_does_not_find() {
    let start = 1 + std::process::id() % STEP;
    for collected in [false, true] {
        in_host(|_| {
            containers(&["one"]);
            let mut runtime = ours("1.1.0");
            runtime.list["plugins"][0]["macspoofchk"] = json!(true);
            let mut number = start;
            loop {
                let (command, input) = runtime.prepare_first("ADD", ONE, &Value::Null);
                let was_killed = killed_at(number, command, &input);
                let cleaned: Answer =
                    if collected { runtime.gc(&[]) } else { runtime.del(ONE, &Value::Null) };
                assert_eq!((cleaned.code, &cleaned.out), (Some(0), &Value::Null), "at {number}: {cleaned:?}");
                assert_eq!(reserved(), Vec::<String>::new(), "at {number}");
                assert_eq!(files("/run/netns-cni/networks"), Vec::<String>::new(), "at {number}");
                assert!(!files("/run/cni-data/net1").contains(&".netns-cni.new".to_owned()), "at {number}");
                let tables = tests::run(tests::oracle("nft").args(["list", "tables"]));
                assert_eq!(tables, "", "at {number}");
                if collected {
                    assert_nothing();
                } else {
                    assert!(links().iter().all(|link| link == "cni0"), "at {number}: {:?}", links());
                }
                if !was_killed {
                    break;
                }
                number += STEP;
            }
            assert!(number > 100, "only {number} system calls");
        });
    }
}

#[test]
fn a_kill_in_del_leaves_nothing_that_del_or_gc_does_not_find() {
    let start = 1 + std::process::id() % STEP;
    for collected in [false, true] {
        in_host(|_| {
            containers(&["one"]);
            let runtime = ours("1.1.0");
            let mut number = start;
            loop {
                let result = runtime.add(ONE).fine();
                let (command, input) = runtime.prepare_first("DEL", ONE, &result);
                let was_killed = killed_at(number, command, &input);
                if collected {
                    runtime.gc(&[]).fine();
                    assert_nothing();
                } else {
                    runtime.del(ONE, &result).fine();
                    assert_only_the_bridge();
                }
                if !was_killed {
                    break;
                }
                number += STEP;
            }
            assert!(number > 50, "only {number} system calls");
        });
    }
}
