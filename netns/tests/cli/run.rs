//! `netns run`: what it makes, what it prints, and that nothing is left.

use crate::ours::run_traced;
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use serde_json::{Value, json};
use std::collections::HashSet;
use tests::{bridge_json, in_host, ip, ip_json, only, oracle, tc, tc_json, without_capabilities};

#[test]
fn three_namespaces_reach_each_other_and_the_host_are_counted_exactly_and_nothing_is_left() {
    in_host(|_| {
        let before = state_of_the_host();
        let run = done(&mut xtask("run --namespaces 3 --duration 3 --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        assert_eq!(state_of_the_host(), before);

        let setup = only(&Value::Array(run.lines("setup")));
        assert_eq!(setup["namespaces"], json!(["ns1", "ns2", "ns3"]));
        assert_eq!(setup["bridge"], "br0");
        let steps = setup["steps"].as_array().unwrap();
        let sum: u64 = steps.iter().map(|step| step["micros"].as_u64().unwrap()).sum();
        let total = setup["micros"].as_u64().unwrap();
        assert!(total >= sum && total < sum + 100, "{total} is not the sum of the steps, {sum}");

        let pings = run.lines("ping");
        let ends: HashSet<(&str, &str)> =
            pings.iter().map(|ping| (ping["from"].as_str().unwrap(), ping["to"].as_str().unwrap())).collect();
        assert_eq!((pings.len(), ends.len()), (12, 12));
        assert!(pings.iter().all(|ping| ping["ok"] == true && ping["rtt_us"].is_u64()));

        let counters = run.lines("counters");
        assert_eq!(counters.len(), 3);
        for (line, second) in counters.iter().zip(1_u32..) {
            let t = line["t"].as_f64().unwrap();
            assert!((t - f64::from(second)).abs() < 0.5, "{t}");
        }
        assert_counters_are_consistent(counters.last().unwrap());

        let summary = only(&Value::Array(run.lines("summary")));
        assert_eq!(summary["pings"], 12);
        assert_eq!(summary["pings_ok"], 12);
        assert_eq!(summary["exact"], true);
        assert_eq!(summary["leftovers"], json!([]));
    });
}

/// What was sent to a namespace is the sum of its pairs, and something passed in every direction.
fn assert_counters_are_consistent(line: &Value) {
    let pairs = line["pairs"].as_array().unwrap();
    for port in line["ports"].as_array().unwrap() {
        let to = pairs.iter().filter(|pair| pair["to"] == port["namespace"]);
        let sum: u64 = to.map(|pair| pair["packets"].as_u64().unwrap()).sum();
        let sent = port["tx_packets"].as_u64().unwrap();
        // The two are read one after the other, while traffic flows.
        assert!(sum.abs_diff(sent) < 20, "{port}: the pairs add up to {sum}");
        assert!(port["rx_packets"].as_u64().unwrap() > 20, "{port}");
    }
    for (from, to) in [("ns1", "ns2"), ("ns2", "ns3"), ("ns3", "ns1"), ("host", "ns1")] {
        assert!(pairs.iter().any(|pair| pair["from"] == from && pair["to"] == to), "{from} -> {to}: {line}");
    }
}

#[test]
fn debians_tools_see_what_is_kept_and_clean_removes_it() {
    in_host(|_| {
        let before = state_of_the_host();
        let run = done(&mut xtask("run --keep --duration 1 --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let last = run.lines("counters").pop().unwrap();

        let _ = tests::run(oracle("ip").args(["netns", "exec", "ns1", "ping", "-c1", "-W1", "10.1.1.2"]));
        let _ = tests::run(oracle("ip").args(["netns", "exec", "ns2", "ping", "-c1", "-W1", "10.1.1.254"]));
        assert_eq!(ip("netns exec ns1 ip route show default").trim(), "default via 10.1.1.254 dev eth0");
        let links = bridge_json("link show");
        let ports: Vec<&str> =
            links.as_array().unwrap().iter().filter_map(|link| link["ifname"].as_str()).collect();
        assert_eq!(ports, ["veth-ns1", "veth-ns2"]);
        assert_eq!(only(&ip_json("link show br0"))["linkinfo"]["info_data"]["stp_state"], 0);
        for port in ports {
            let filters = tc_json(&format!("filter show dev {port} ingress"));
            let bpf = filters
                .as_array()
                .unwrap()
                .iter()
                .filter(|filter| filter["options"]["direct-action"] == true);
            assert_eq!(bpf.count(), 1, "{filters}");
        }
        // Only its last line can have been overtaken since.
        for port in last["ports"].as_array().unwrap() {
            let name = port["port"].as_str().unwrap();
            let link = only(&ip_json(&format!("-s link show {name}")));
            assert_eq!(link["ifindex"], port["ifindex"]);
            for (ours, way, what) in [
                ("rx_packets", "rx", "packets"),
                ("rx_bytes", "rx", "bytes"),
                ("tx_packets", "tx", "packets"),
                ("tx_bytes", "tx", "bytes"),
            ] {
                let (ours, theirs) =
                    (port[ours].as_u64().unwrap(), link["stats64"][way][what].as_u64().unwrap());
                assert!(ours <= theirs && theirs < ours + ours / 2 + 1000, "{name}: {ours}, {theirs}");
            }
        }
        assert!(tc("qdisc show").contains("clsact"));

        assert_eq!(
            done(&mut xtask("clean")).out,
            "removed veth-ns1\nremoved veth-ns2\nremoved br0\nremoved ns1\nremoved ns2\n"
        );
        assert_eq!(state_of_the_host(), before);
        assert_eq!(done(&mut xtask("clean")).out, "nothing to remove\n");
    });
}

#[test]
fn a_cable_joins_two_namespaces_without_a_bridge_or_a_host() {
    in_host(|_| {
        let before = state_of_the_host();
        let run = done(&mut xtask("run --topology pair --duration 1 --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        assert_eq!(run.lines("setup")[0]["bridge"], Value::Null);
        let summary = &run.lines("summary")[0];
        assert_eq!((&summary["pings"], &summary["pings_ok"]), (&json!(2), &json!(2)));
        assert_eq!(summary["exact"], true);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_cable_needs_no_more_addresses_than_it_has_ends() {
    in_host(|_| {
        for (subnet, subnet6) in [("10.9.0.0/30", "fd00::/126"), ("10.9.0.0/31", "fd00::/127")] {
            let run =
                format!("run --topology pair --subnet {subnet} --subnet6 {subnet6} --duration 0.5 --json");
            let run = done(&mut xtask(&run));
            assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
            let summary = &run.lines("summary")[0];
            assert_eq!((&summary["pings_ok"], &summary["exact"]), (&json!(4), &json!(true)));
        }
    });
}

/// A new IPv6 address announces itself at once: on a cable with one end up the program would count what the kernel
/// drops. Delaying the kernel's answers gives it time to.
#[test]
fn ipv6s_own_packets_are_counted_exactly_however_slow_the_build() {
    in_host(|_| {
        for (arguments, pings) in [("--topology pair", 4), ("--namespaces 3", 24)] {
            let before = state_of_the_host();
            let mut slowly = oracle("strace");
            slowly.args(["-f", "-o", "/dev/null", "-e", "trace=recvmsg"]);
            slowly.args(["-e", "inject=recvmsg:delay_exit=200000:when=1..80"]);
            let run = xtask(&format!("run {arguments} --subnet6 fd00:1::/64 --duration 0.5 --json"));
            let run = done(slowly.arg(run.get_program()).args(run.get_args()));
            assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{arguments}: {}", run.out);
            let summary = &run.lines("summary")[0];
            assert_eq!((&summary["pings_ok"], &summary["exact"]), (&json!(pings), &json!(true)));
            assert_eq!(state_of_the_host(), before);
        }
    });
}

#[test]
fn ipv6_works_beside_ipv4() {
    in_host(|_| {
        let run = done(&mut xtask("run --subnet6 fd00:1::/64 --duration 1 --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
        let pings = run.lines("ping");
        let v6 = pings.iter().filter(|ping| ping["address"].as_str().unwrap().starts_with("fd00:1::"));
        assert_eq!((pings.len(), v6.count()), (12, 6));
        assert!(pings.iter().all(|ping| ping["ok"] == true));
    });
}

#[test]
fn isolated_never_touches_the_host() {
    in_host(|_| {
        let before = state_of_the_host();
        let mut run = Watched::start("run --isolated --duration 2 --json --interval 0.5");
        run.line("it runs", |line| line["type"] == "counters");
        assert_eq!(state_of_the_host(), before);
        let run = run.end("none");
        assert_eq!(run.code, Some(0));
        assert_eq!(run.lines("summary")[0]["exact"], true);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn two_hundred_namespaces_in_a_16_bit_subnet() {
    in_host(|_| {
        let before = state_of_the_host();
        let run = done(&mut xtask("run --namespaces 200 --subnet 10.1.0.0/16 --duration 2 --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let summary = &run.lines("summary")[0];
        assert_eq!((&summary["pings"], &summary["pings_ok"]), (&json!(600), &json!(600)));
        assert_eq!(summary["exact"], true);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn without_json_tables_are_printed() {
    in_host(|_| {
        let run = done(&mut xtask("run --duration 1"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        for text in [
            "ms  bridge br0",
            "ms  ns1 on veth-ns1",
            "us  ping ns1 -> ns2 (10.1.1.2)",
            "6 of 6 pings answered",
            "from the namespace",
            "from ns1 ",
            "counters  exact: equal to the kernel's on all 2 ports, both ways",
            "left      nothing",
        ] {
            assert!(run.out.contains(text), "{text:?} is not in\n{}", run.out);
        }
        assert!(!run.out.contains('\u{1b}'), "colours in a pipe");
    });
}

#[test]
fn without_root_it_runs_in_a_user_namespace_and_says_so() {
    in_host(|_| {
        let before = state_of_the_host();
        let run = without_capabilities(|| {
            done(&mut xtask("run --namespaces 3 --subnet6 fd00:1::/64 --duration 1 --json"))
        });
        assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
        assert_eq!(
            run.err,
            "not root: in a user namespace and a host network of its own, with the kernel's port statistics in place of \
             the program's counters\n"
        );
        let summary = &run.lines("summary")[0];
        assert_eq!((&summary["pings"], &summary["pings_ok"]), (&json!(24), &json!(24)));
        assert_eq!(summary["exact"], Value::Null);
        let counters = &run.lines("counters")[0];
        assert!(
            counters["ports"].as_array().unwrap().iter().all(|port| port["rx_packets"].as_u64() > Some(20))
        );
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_terminal_shows_the_progress_of_many_namespaces() {
    in_host(|_| {
        let netns = env!("CARGO_BIN_EXE_netns");
        let terminal = |options: &str| {
            let mut script = std::process::Command::new("script");
            let run = format!("{netns} run --namespaces 60 --duration 0.2 {options}");
            tests::run(script.args(["-qec", &run, "/dev/null"]))
        };
        let shown = terminal("--plain");
        for text in ["of 60 namespaces", "of 180 pings", "taking everything down"] {
            assert!(shown.contains(text), "{text:?} is not in\n{shown}");
        }
        assert!(shown.contains("... and 4"), "{shown}");
        let all = terminal("--plain --verbose");
        assert!(all.contains("ms  ns60 on veth-ns60") && !all.contains("of 60 namespaces"), "{all}");
        let run = done(&mut xtask("run --namespaces 60 --duration 0.2"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "not into a pipe");
    });
}

/// The signal comes before the first namespace, between namespaces, and when all are made.
#[test]
fn a_signal_during_the_build_ends_a_run_cleanly() {
    in_host(|_| {
        let before = state_of_the_host();
        for when in [1, 2, 3, 7] {
            let signal = format!("-e trace=unshare -e inject=unshare:signal=INT:when={when}");
            let (run, _) = run_traced(&signal, "run --namespaces 5 --duration 0.2 --json");
            let err = String::from_utf8_lossy(&run.stderr).into_owned();
            assert_eq!((run.status.code(), err.as_str()), (Some(0), ""), "{when}");
            let summary = String::from_utf8_lossy(&run.stdout).lines().last().unwrap().to_owned();
            let summary: Value = serde_json::from_str(&summary).unwrap();
            assert_eq!((&summary["exact"], &summary["changed"]), (&json!(true), &json!([])), "{when}");
            assert_eq!(state_of_the_host(), before, "{when}");
        }
    });
}

/// Every refusal is reported, the rest goes, and `clean` removes what is left.
#[test]
fn what_cannot_be_taken_down_is_reported_and_cleaned_up_later() {
    in_host(|_| {
        let before = state_of_the_host();
        let refuse = "-e trace=umount2 -e inject=umount2:error=EBUSY:when=1+";
        let (run, _) = run_traced(refuse, "run --duration 0.2 --json");
        let err = String::from_utf8_lossy(&run.stderr).into_owned();
        assert_eq!(run.status.code(), Some(2), "{err}");
        for what in ["ns1: ", "ns2: ", "what could not be removed is on record: `netns clean` removes it\n"] {
            assert!(err.contains(what), "{err}");
        }
        let links = ip("-o link show");
        assert!(!links.contains("br0") && !links.contains("veth-ns"), "{links}");
        let clean = done(&mut xtask("clean"));
        assert_eq!(
            (clean.code, clean.out.as_str()),
            (Some(0), "removed ns1\nremoved ns2\n"),
            "{}",
            clean.err
        );
        assert_eq!(state_of_the_host(), before);
    });
}
