//! What a record names of the packet filter is all that `DEL` asks for; what it does not name is searched for.

use crate::runtime::Runtime;
use crate::stale::trace;
use crate::{Attachment, ONE, TWO, assert_nothing, assert_only_the_bridge, containers, in_host, ours};
use serde_json::{Value, json};
use std::fs;
use tests::oracle;

/// All that one call does in the packet filter, for a container that publishes this port.
fn everything(port: u16) -> Runtime {
    let mut runtime = ours("1.1.0");
    let plugin = &mut runtime.list["plugins"][0];
    plugin["type"] = json!("netns-cni");
    plugin["ipMasq"] = json!(true);
    plugin["macspoofchk"] = json!(true);
    plugin["firewall"] = json!({"ingressPolicy": "isolated"});
    plugin["capabilities"] = json!({"portMappings": true, "bandwidth": true});
    runtime.capabilities = json!({
        "portMappings": [{"hostPort": port, "containerPort": 80, "protocol": "tcp"}],
        "bandwidth": {"ingressRate": 1_000_000, "ingressBurst": 1_000_000},
    });
    runtime
}

/// How many requests and answers `DEL` takes, and how many bytes these have.
fn asked(runtime: &Runtime, attachment: Attachment<'_>) -> [usize; 3] {
    let (command, input) = runtime.prepare_first("DEL", attachment, &Value::Null);
    let trace = trace(&command, &input);
    let calls = |call: &'static str| trace.lines().filter(move |line| line.contains(call));
    let length = |line: &str| line.rsplit_once(" = ")?.1.trim().parse::<usize>().ok();
    let bytes = calls("recvmsg(").filter_map(length).sum();
    [calls("sendto(").count(), calls("recvmsg(").count(), bytes]
}

fn rules() -> String {
    tests::run(oracle("nft").args(["list", "ruleset"]))
}

#[test]
fn del_asks_as_much_beside_many_containers_as_beside_one() {
    in_host(|_| {
        let names: Vec<String> = (0..12).map(|number| format!("more{number}")).collect();
        containers(&["one", "two"]);
        containers(&names.iter().map(String::as_str).collect::<Vec<_>>());
        everything(7000).add(TWO).fine();
        let runtime = everything(8080);
        runtime.add(ONE).fine();
        let beside_one = asked(&runtime, ONE);
        for (number, name) in (7001..).zip(&names) {
            let netns = format!("/run/netns/{name}");
            everything(number).add(Attachment { container: name, netns: &netns, interface: "eth0" }).fine();
        }
        runtime.add(ONE).fine();
        assert!(rules().contains("net1/one/"));
        assert_eq!(asked(&runtime, ONE), beside_one);
        assert!(!rules().contains("net1/one/"), "{}", rules());
    });
}

/// Of an earlier version, and of one that was killed before it had the rules' numbers.
#[test]
fn what_is_on_no_record_is_searched_for() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = everything(8080);
        let record = "/run/netns-cni/networks/net1/one:eth0.bridge";
        for unknown in [&["filters", "element", "rule", "opening", "opened"][..], &["rule", "opened"]] {
            runtime.add(ONE).fine();
            let text = fs::read_to_string(record).expect("a record");
            let is_known = |line: &&str| !unknown.contains(&line.split(' ').next().unwrap_or_default());
            let lines: Vec<&str> = text.lines().filter(is_known).collect();
            assert!(lines.len() < text.lines().count(), "{text}");
            fs::write(record, lines.join("\n") + "\n").expect("it is written");
            runtime.del(ONE, &Value::Null).fine();
            assert!(!rules().contains("net1/one/"), "{unknown:?}: {}", rules());
            assert_only_the_bridge();
        }
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}

/// An element or a rule that is somebody else's by now is left.
#[test]
fn what_is_anothers_by_now_is_left() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = everything(8080);
        let result = runtime.add(ONE).fine();
        let nft = |command: &str| tests::run(oracle("nft").args(command.split(' ')));
        nft("delete element inet netns-cni hidden4 { 10.88.1.2 }");
        nft("add element inet netns-cni hidden4 { 10.88.1.2 comment \"another\" }");
        runtime.del(ONE, &result).fine();
        let left = rules();
        assert!(left.contains("comment \"another\"") && !left.contains("net1/one/"), "{left}");
        nft("delete element inet netns-cni hidden4 { 10.88.1.2 }");
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}

/// Plugins of a chain have records of their own, which go with what they name.
#[test]
fn each_plugin_of_a_chain_has_a_record() {
    in_host(|_| {
        containers(&["one"]);
        let mut runtime = ours("1.1.0");
        let list = runtime.list["plugins"].as_array_mut().expect("plugins");
        list.push(json!({"type": "portmap", "capabilities": {"portMappings": true}}));
        list.push(json!({"type": "firewall", "ingressPolicy": "same-bridge"}));
        runtime.capabilities = everything(8080).capabilities;
        let files = || crate::files("/run/netns-cni/networks/net1");
        let all = ["one:eth0.bridge", "one:eth0.firewall", "one:eth0.portmap"];
        let result = runtime.add(ONE).fine();
        assert_eq!(files(), all);
        runtime.check(ONE, &result).fine();
        runtime.del(ONE, &result).fine();
        assert_only_the_bridge();
        runtime.add(ONE).fine();
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}
