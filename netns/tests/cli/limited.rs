//! How much may pass a port: `run --limit`, `limit` in topologies and in policy files.

use crate::metrics::{PORT, metrics};
use crate::observe::{make_bridge, plug_in, policy_file};
use crate::topology::{edit, fine, topology};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use serde_json::Value;
use std::path::{Path, PathBuf};
use tests::{eventually, in_host, ip, oracle};

/// Sends pings as fast as possible, 1,442 bytes a frame, whether they are answered or not.
fn flood(from: &str, to: &str) {
    let ping = oracle("ping").get_program().to_owned();
    let mut command = oracle("ip");
    command.args(["netns", "exec", from]).arg(ping);
    command.args(["-f", "-c", "200", "-s", "1400", "-W", "1", "-q", to]).output().unwrap();
}

#[test]
fn a_run_with_limits_is_counted_exactly_and_prints_them() {
    in_host(|_| {
        let before = state_of_the_host();
        let run = done(&mut xtask("run --limit in=1gbit,out=100mbit,quota=1gb --duration 1 --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let last = run.lines("counters").pop().unwrap();
        for port in last["ports"].as_array().unwrap() {
            assert_eq!(port["limits"], "in=1gbit,out=100mbit,burst=3125000b,quota=1gb", "{port}");
            let over = &port["over_limits"];
            assert_eq!(over["limited_rx_packets"], 0);
            let used =
                ["quota_out_bytes", "quota_in_bytes", "quota_bytes"].map(|key| over[key].as_u64().unwrap());
            assert!(used[0] > 0 && used[1] > 0 && used[2] == used[0] + used[1], "{over}");
            assert_eq!(over["quota_remaining_bytes"], (1_u64 << 30) - used[2], "{over}");
            assert_eq!(over["quota_in_remaining_bytes"], Value::Null, "it has no such quota");
        }
        // Nothing of it passes, neither pings nor their answers, and the program's counters still equal the kernel's.
        let run = done(&mut xtask("run --limit quota=1 --duration 0.3 --json"));
        assert_eq!(run.code, Some(1), "pings are lost: {}", run.err);
        let summary = run.lines("summary").pop().unwrap();
        assert_eq!((&summary["pings_ok"], &summary["exact"]), (&0.into(), &true.into()));
        let last = run.lines("counters").pop().unwrap();
        assert!(last["ports"][0]["over_limits"]["over_quota_rx_packets"].as_u64() > Some(0), "{last}");
        let text = done(&mut xtask("run --limit quota=1 --duration 0.3")).out;
        assert!(text.contains("over its limit, quota=1b"), "{text}");
        assert!(text.contains("       1  bytes left of its quota, total\n"), "{text}");

        let wrong = done(&mut xtask("run --limit 100"));
        assert_eq!(wrong.code, Some(1));
        assert!(
            wrong.err.contains("\"100\" is no limit; expected a rate such as \"100mbit\""),
            "{}",
            wrong.err
        );
        assert_eq!(state_of_the_host(), before);
    });
}

/// The sum of a port's scopes.
fn sum(port: &Value, way: &str) -> [u64; 2] {
    let of = |what: &str| {
        let scopes = port["scopes"].as_object().unwrap();
        scopes.values().map(|scope| scope[format!("{way}_{what}")].as_u64().unwrap()).sum()
    };
    [of("packets"), of("bytes")]
}

#[test]
fn scopes_of_a_run_add_up_to_what_passed() {
    in_host(|_| {
        let run = done(&mut xtask("run --scopes --duration 1 --json --subnet6 fd00::/64"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let last = run.lines("counters").pop().unwrap();
        for port in last["ports"].as_array().unwrap() {
            for (way, counted) in [("out", "rx"), ("in", "tx")] {
                let [packets, bytes] = sum(port, way);
                let kernel =
                    ["packets", "bytes"].map(|what| port[format!("{counted}_{what}")].as_u64().unwrap());
                // The two are read one after the other, while traffic flows.
                assert!(packets.abs_diff(kernel[0]) < 20 && bytes.abs_diff(kernel[1]) < 60_000, "{port}");
            }
            let scopes = &port["scopes"];
            assert!(scopes["host"]["in_packets"].as_u64() > Some(0), "{scopes}");
            assert!(scopes["sandboxes"]["out_bytes"].as_u64() > Some(100), "{scopes}");
            assert_eq!(scopes["internet"]["out_packets"], 0, "{scopes}");
        }
        let text = done(&mut xtask("run --scopes --once"));
        assert!(text.out.contains("  host ") && text.out.contains("  sandboxes "), "{}", text.out);
    });
}

#[test]
fn scopes_of_an_observed_bridge_are_in_its_metrics() {
    in_host(|_| {
        make_bridge();
        ip("addr add 10.1.1.254/24 dev br0");
        plug_in(1);
        plug_in(2);
        let mut observe =
            Watched::start(&format!("observe br0 --scopes --json --interval 0.1 --metrics {PORT}"));
        observe.port("v1", |port| port["scopes"].is_object());
        flood("ns1", "10.1.1.2");
        let port =
            observe.port("v1", |port| port["scopes"]["sandboxes"]["out_packets"].as_u64() >= Some(200));
        assert_eq!(port["scopes"]["private"]["out_packets"], 0, "{port}");
        flood("ns1", "10.1.1.254");
        observe.port("v1", |port| port["scopes"]["host"]["in_packets"].as_u64() >= Some(200));
        let name = "netns_port_receive_scope_packets_total{namespace=\"ns1\",network=\"br0\",port=\"v1\",scope=\"host\"} ";
        eventually("the metric", || {
            let metrics = metrics();
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.is_some_and(|packets| packets.parse::<f64>().unwrap() >= 200.0)
        });
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

fn lab() -> PathBuf {
    let file = PathBuf::from("/run/lab.toml");
    let text = r#"
        [bridge.br0]
        [namespace.a]
        interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24"] }
        [namespace.b]
        interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24"], policy = "enforce" }
        [namespace.c]
        interface.eth0 = { bridge = "br0", addresses = ["10.1.1.3/24"], policy = "observe" }
    "#;
    std::fs::write(&file, text).unwrap();
    file
}

/// How much of a port's traffic was over its limits, by this key.
fn over(file: &Path, port: &str, key: &str) -> Option<u64> {
    let shown: Value = serde_json::from_str(&fine("show --json", file)).unwrap();
    let limited = shown["limited"].as_array().unwrap();
    limited.iter().find(|found| found["port"] == port)?["over_limits"][key].as_u64()
}

#[test]
fn limits_of_a_topology_come_and_go_while_it_is_up() {
    in_host(|_| {
        let file = lab();
        let before = state_of_the_host();
        fine("up", &file);
        assert_eq!(over(&file, "b-eth0", "limited_tx_packets"), None);

        // The programs in place know no limits, so others replace them.
        edit(&file, "policy = \"enforce\"", "policy = \"enforce\", limit = \"in=1mbit,burst=10kb\"");
        let planned = topology("diff", &file).out;
        assert_eq!(planned, "~ host/b-eth0: policy enforce 10.1.1.2 limit in=1mbit,burst=10kb\n");
        let changed = fine("up", &file);
        assert!(changed.starts_with(&planned), "{changed}");
        assert_eq!(topology("diff", &file).out, "");
        flood("a", "10.1.1.2");
        flood("b", "10.1.1.3");
        assert!(over(&file, "b-eth0", "limited_tx_packets") > Some(0));
        assert_eq!(over(&file, "b-eth0", "limited_rx_packets"), Some(0), "out of b is as before");
        assert!(fine("show", &file).contains(" over its limit\n"));

        // A limit alone, without a policy: what the interface sends is observed.
        edit(&file, "[\"10.1.1.1/24\"]", "[\"10.1.1.1/24\"], limit = \"out=2mbit,quota=100kb\"");
        let changed = fine("up", &file);
        assert_eq!(changed, "+ host/a-eth0: policy observe 10.1.1.1 limit out=2mbit,quota=100kb\n");
        flood("a", "10.1.1.3");
        assert!(over(&file, "a-eth0", "over_quota_rx_packets") > Some(0));
        let used = over(&file, "a-eth0", "quota_bytes").unwrap();
        assert!(used <= 100 << 10 && used + 1442 > 100 << 10, "{used}");
        let left = (100 << 10) - used;
        assert_eq!(over(&file, "a-eth0", "quota_remaining_bytes"), Some(left));
        let shown = fine("show", &file);
        assert!(shown.contains(&format!("host/a-eth0: {left} bytes left of its quota\n")), "{shown}");

        // Other limits, and then none: the programs stay.
        edit(&file, "in=1mbit,burst=10kb", "in=1gbit");
        assert_eq!(fine("up", &file), "~ host/b-eth0: policy enforce 10.1.1.2 limit in=1gbit\n");
        edit(&file, ", limit = \"in=1gbit\"", "");
        assert_eq!(fine("up", &file), "~ host/b-eth0: policy enforce 10.1.1.2\n");
        assert_eq!(over(&file, "b-eth0", "limited_tx_packets"), None);
        assert_eq!(topology("diff", &file).out, "");
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_malformed_limit_in_a_topology_has_line_and_column() {
    in_host(|_| {
        let file = lab();
        for (limit, expected) in [
            ("limit = \"fast\"", "lab.toml:6:101: \"fast\" is no limit; expected a rate"),
            ("limit = 100", "expected a string"),
        ] {
            edit(&file, "policy = \"enforce\"", &format!("policy = \"enforce\", {limit}"));
            let wrong = topology("diff", &file);
            assert_eq!(wrong.code, Some(1));
            assert!(wrong.err.contains(expected), "{}", wrong.err);
            lab();
        }
        let both = "policy = { limit = \"1mbit\" }, limit = \"1mbit\"";
        edit(&file, "policy = \"enforce\"", both);
        assert!(topology("diff", &file).err.contains("the interface has a limit already"));
    });
}

#[test]
fn an_observed_bridge_has_the_limits_in_its_policy_file() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        plug_in(2);
        let text = policy_file("10.1.1.1") + "limit = \"out=1mbit,burst=10kb,quota-in=1mb\"\n";
        std::fs::write("/run/ports.toml", text).unwrap();
        let arguments =
            format!("observe br0 --policy /run/ports.toml --json --interval 0.1 --metrics {PORT}");
        let mut observe = Watched::start(&arguments);
        observe.port("v1", |port| port["limits"] == "out=1mbit,burst=10kb,quota-in=1mb");
        flood("ns1", "10.1.1.2");
        let over = observe.port("v1", |port| port["over_limits"]["limited_rx_packets"].as_u64() > Some(0));
        assert_eq!(over["over_limits"]["limited_tx_packets"], 0, "{over}");
        assert_eq!(observe.port("v2", |_| true)["limits"], Value::Null);
        let name = "netns_port_receive_limited_packets_total{namespace=\"ns1\",network=\"br0\",port=\"v1\"} ";
        eventually("the metric", || {
            let metrics = metrics();
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.is_some_and(|packets| packets.parse::<f64>().unwrap() > 0.0)
        });
        assert!(!metrics().contains("limited_packets_total{namespace=\"ns2\""));
        // What is left of the only quota that it has.
        let left = over["over_limits"]["quota_in_remaining_bytes"].as_u64().unwrap();
        assert!(left < 1 << 20, "{over}");
        let metrics = metrics();
        let lines = metrics.lines().filter(|line| line.starts_with("netns_port_quota_remaining_bytes{"));
        let lines: Vec<&str> = lines.collect();
        let name =
            "netns_port_quota_remaining_bytes{namespace=\"ns1\",network=\"br0\",port=\"v1\",quota=\"in\"} ";
        let [line] = lines[..] else { panic!("{lines:?}") };
        let now: f64 = line.strip_prefix(name).unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "less than a million")]
        let left = left as f64;
        assert!(now > 0.0 && now <= left, "{now} of {left}");
        assert_eq!(observe.end("INT").code, Some(0));
    });
}
