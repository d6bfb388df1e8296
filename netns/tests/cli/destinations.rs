//! Verdicts by destination: `run` and `observe` with `--verdicts`, and topologies.

use crate::metrics::{PORT, metrics};
use crate::observe::{answered, make_bridge, plug_in, policy_file};
use crate::topology::{edit, fine, topology};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tests::{eventually, in_host, ip, oracle};

/// The entry of a port's lines that satisfies the condition.
fn find<'a>(line: &'a Value, port: &str, is_it: impl Fn(&Value) -> bool) -> Option<&'a Value> {
    line["verdicts"].as_array()?.iter().find(|verdict| verdict["port"] == port && is_it(verdict))
}

#[test]
fn destinations_of_a_run_add_up_to_what_was_sent() {
    in_host(|_| {
        let run = done(&mut xtask("run --verdicts=all --duration 1 --json --subnet6 fd00::/64"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let last = run.lines("counters").pop().unwrap();
        assert_eq!(last["verdicts_left_out"], 0);
        for port in last["ports"].as_array().unwrap() {
            let name = port["port"].as_str().unwrap();
            let of_port = || last["verdicts"].as_array().unwrap().iter().filter(|line| line["port"] == name);
            let packets: u64 = of_port().map(|line| line["packets"].as_u64().unwrap()).sum();
            let sent = port["rx_packets"].as_u64().unwrap();
            // The two are read one after the other, while traffic flows.
            assert!(sent > 0 && packets.abs_diff(sent) < 20, "{packets} {port}");
            assert_eq!(port["lost_verdicts"]["packets"], 0);
            assert!(of_port().all(|line| line["verdict"] == "passed" && line["reason"].is_null()));
        }
        let ping = |line: &Value| line["service"] == "icmp/8" && line["destination"] == "10.1.1.254";
        let all = &last["verdicts"];
        assert!(all.as_array().unwrap().iter().any(ping), "{all}");

        let text = done(&mut xtask("run --verdicts --once"));
        assert!(text.out.contains("  passed ") && text.out.contains(" icmp/8\n"), "{}", text.out);
        let text = done(&mut xtask("run --verdicts=1 --once --namespaces 4"));
        assert!(text.out.contains(" destinations with less traffic\n"), "{}", text.out);
        let wrong = done(&mut xtask("run --verdicts=some"));
        assert_eq!(wrong.code, Some(1), "{}", wrong.err);
        let without = done(&mut xtask("run --once --json")).lines("counters").pop().unwrap();
        assert!(without.get("verdicts").is_none() && without["ports"][0].get("lost_verdicts").is_none());
    });
}

#[test]
fn frames_refused_to_an_observed_port_are_listed_by_destination() {
    in_host(|_| {
        make_bridge();
        ip("addr add 10.1.1.254/24 dev br0");
        plug_in(1);
        plug_in(2);
        let rules = "[egress.web]\nrules = [\"allow 10.1.1.254\"]\n";
        let port = policy_file("10.1.1.1") + "egress = \"web\"\nmode = \"enforce\"\n";
        std::fs::write("/run/ports.toml", format!("{rules}{port}")).unwrap();
        let mut observe = Watched::start(&format!(
            "observe br0 --policy /run/ports.toml --unmatched pass --verdicts=50 --json --interval 0.1 --metrics {PORT}"
        ));
        observe.line("counters", |line| line["verdicts"].is_array());
        assert!(answered("10.1.1.254") && !answered("10.1.1.2"));
        let is_dropped = |verdict: &Value| verdict["verdict"] == "dropped" && verdict["reason"] == "egress";
        let line = observe.line("a refusal", |line| find(line, "v1", is_dropped).is_some());
        let refused = find(&line, "v1", is_dropped).unwrap();
        assert_eq!([&refused["destination"], &refused["service"]], ["10.1.1.2", "icmp/8"], "{refused}");
        assert_eq!([&refused["protocol"], &refused["destination_port"], &refused["packets"]], [1, 8, 1]);
        assert_eq!(refused["namespace"], "ns1");
        assert!(refused["first_ns"].as_u64() > Some(0) && refused["first_ns"] == refused["last_ns"]);
        let is_passed = |verdict: &Value| {
            verdict["verdict"] == "passed"
                && verdict["destination"] == "10.1.1.254"
                && verdict["service"] == "icmp/8"
        };
        assert_eq!(find(&line, "v1", is_passed).unwrap()["packets"], 1);

        let labels = "destination=\"10.1.1.2\",namespace=\"ns1\",network=\"br0\",port=\"v1\",reason=\"egress\",\
                      service=\"icmp/8\",verdict=\"dropped\"} 1";
        eventually("the metric", || metrics().contains(&format!("netns_port_verdicts_total{{{labels}\n")));
        assert!(metrics().contains("netns_verdicts_left_out{network=\"br0\"} 0\n"), "{}", metrics());
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

/// A topology's verdicts, as they are shown for a port.
fn of_port(file: &Path, port: &str) -> Vec<Value> {
    let shown: Value = serde_json::from_str(&fine("show --json", file)).unwrap();
    let verdicts = shown["verdicts"].as_array().unwrap();
    verdicts.iter().filter(|verdict| verdict["port"] == port).cloned().collect()
}

#[test]
fn a_topology_shows_where_its_interfaces_sent() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        let text = r#"
            [egress.closed]
            others = "deny"
            [bridge.br0]
            addresses = ["10.1.1.254/24"]
            [namespace.a]
            interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24"] }
            [namespace.b]
            interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24"], policy = { mode = "enforce", egress = "closed" } }
            routes = [{ to = "default", via = "10.1.1.254" }]
        "#;
        std::fs::write(&file, text).unwrap();
        let before = state_of_the_host();
        fine("up", &file);
        assert!(of_port(&file, "b-eth0").is_empty());

        // The programs in place do not count it, so others replace them.
        edit(&file, "[bridge.br0]", "[bridge.br0]\nverdicts = true");
        let planned = topology("diff", &file).out;
        assert!(planned.contains("+ host/a-eth0: policy observe 10.1.1.1 verdicts\n"), "{planned}");
        assert!(planned.contains("~ host/b-eth0: policy enforce 10.1.1.2 egress closed"), "{planned}");
        fine("up", &file);
        assert_eq!(topology("diff", &file).out, "");
        for (from, to) in [("a", "10.1.1.2"), ("b", "10.1.1.1"), ("b", "203.0.113.1")] {
            let ping = oracle("ping").get_program().to_owned();
            let mut command = oracle("ip");
            command
                .args(["netns", "exec", from])
                .arg(ping)
                .args(["-c", "1", "-W", "0.2", to])
                .output()
                .unwrap();
        }
        let is = |port: &str, to: &str, verdict: &str, reason: Option<&str>| {
            let all = of_port(&file, port);
            let found = all.iter().find(|line| line["destination"] == to && line["verdict"] == verdict);
            let found = found.unwrap_or_else(|| panic!("{to} {verdict} is not in {all:?}"));
            assert_eq!((&found["place"], &found["protocol"]), (&"host".into(), &1.into()), "{found}");
            assert_eq!(found["reason"].as_str(), reason, "{found}");
            assert!(found["packets"].as_u64() > Some(0) && found["bytes"].as_u64() >= Some(98), "{found}");
        };
        is("a-eth0", "10.1.1.2", "passed", None);
        is("b-eth0", "10.1.1.1", "passed", None);
        is("b-eth0", "203.0.113.1", "dropped", Some("egress"));
        let shown = fine("show", &file);
        assert!(shown.contains("  dropped    egress   203.0.113.1 icmp/8\n"), "{shown}");

        // Nobody asks any more; but the programs keep the ability.
        edit(&file, "verdicts = true", "");
        fine("up", &file);
        assert_eq!(topology("diff", &file).out, "");
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}
