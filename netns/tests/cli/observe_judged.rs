//! What ports of an observed bridge may not send, as users see it: groups that are kept apart, and violations in lines,
//! in the live view and in metrics.

use crate::metrics::{PORT, metrics};
use crate::observe::{answered, make_bridge, plug_in, policy_file, programs};
use crate::topology_policy::pings;
use crate::watched::{Watched, signal};
use crate::xtask;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use tests::{Terminal, eventually, in_host, ip, ip_json, only, until};

/// Namespaces on a bridge, and a policy file: the first two are in groups that are kept apart, the third is in none.
fn three_in_groups() {
    make_bridge();
    let namespaces = [(1, "group = \"red\""), (2, "group = \"blue\""), (3, "")].map(|(number, group)| {
        plug_in(number);
        let mac = only(&ip_json(&format!("-n ns{number} link show eth0")))["address"].to_string();
        format!("[namespace.ns{number}]\nmac = {mac}\naddresses = [\"10.1.1.{number}\"]\n{group}\n")
    });
    let text = format!("apart = [[\"red\", \"blue\"]]\n{}", namespaces.concat());
    std::fs::write("/run/ports.toml", text).unwrap();
}

/// How much arrived in a namespace, by the kernel's counters.
fn arrived(namespace: &str) -> Value {
    only(&ip_json(&format!("-n {namespace} -s link show eth0")))["stats64"]["rx"]["packets"].clone()
}

#[test]
fn groups_in_an_enforced_policy_file_are_kept_apart() {
    in_host(|_| {
        three_in_groups();
        let mut observe =
            Watched::start("observe br0 --policy /run/ports.toml --enforce --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        // Neither receives anything of the other, not even the question who has an address. Nobody else has sent a
        // frame yet.
        for (from, to, port) in [("ns1", 2, "v1"), ("ns2", 1, "v2")] {
            let far = format!("ns{to}");
            let before = arrived(&far);
            assert!(!pings(from, &format!("10.1.1.{to}")));
            assert_eq!(arrived(&far), before, "{from} -> {to}");
            let reported =
                observe.line("a violation", |line| line["type"] == "violation" && line["port"] == port);
            assert_eq!(
                (&reported["reason"], &reported["dropped"]),
                (&json!("group"), &json!(true)),
                "{reported}"
            );
            let counted = observe.port(port, |port| port["violations"]["group"].as_u64() >= Some(1));
            assert_eq!(counted["violations"].as_object().unwrap().len(), 1, "{counted}");
            // It was dropped on its way to the other port.
            observe.port(&format!("v{to}"), |port| port["dropped"].as_u64() >= Some(1));
        }
        // Both reach the third, which reaches both.
        for (from, to) in [("ns1", 3), ("ns2", 3), ("ns3", 1), ("ns3", 2)] {
            assert!(pings(from, &format!("10.1.1.{to}")), "{from} -> {to}");
        }
        let third = observe.port("v3", |_| true);
        assert_eq!(third["violations"], json!({}));
        assert_eq!(observe.end("INT").code, Some(0));
        // Once it has ended, and ns1 has given up on its failed entry.
        eventually("they reach each other", || pings("ns1", "10.1.1.2"));
    });
}

#[test]
fn groups_in_an_observed_policy_file_are_counted_and_pass() {
    in_host(|_| {
        three_in_groups();
        let mut observe = Watched::start("observe br0 --policy /run/ports.toml --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        let before = arrived("ns2");
        assert!(pings("ns1", "10.1.1.2") && pings("ns1", "10.1.1.3"));
        assert!(arrived("ns2").as_u64() > before.as_u64());
        // The question and the answer.
        for port in ["v1", "v2"] {
            let reported =
                observe.line("a violation", |line| line["type"] == "violation" && line["port"] == port);
            assert_eq!(
                (&reported["reason"], &reported["dropped"]),
                (&json!("group"), &json!(false)),
                "{reported}"
            );
        }
        for port in ["v1", "v2"] {
            observe.port(port, |port| port["violations"]["group"].as_u64() >= Some(1));
        }
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

/// Two namespaces; the first has an address that the file does not give it.
fn one_with_a_foreign_address() {
    make_bridge();
    plug_in(1);
    plug_in(2);
    ip("-n ns1 addr add 10.1.1.77/32 dev eth0");
    ip("-n ns2 route add 10.1.1.77/32 dev eth0");
    std::fs::write("/run/ports.toml", policy_file("10.1.1.1")).unwrap();
}

/// Sends a packet from that address as soon as the port is judged. It passes, since the file does not enforce.
fn spoof() {
    eventually("the port is judged", || programs("v1") == 2);
    assert!(answered("10.1.1.2") && answered("-I 10.1.1.77 10.1.1.2"));
}

#[test]
fn violations_are_reported_and_counted_in_lines() {
    in_host(|_| {
        one_with_a_foreign_address();
        let mut observe = xtask("observe br0 --plain --policy /run/ports.toml --interval 0.1");
        let mut observe = observe.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(observe.stdout.take().unwrap());
        spoof();
        let mut line_with = |words: &[&str]| {
            let mut line = String::new();
            while !line.split_whitespace().eq(words.iter().copied()) {
                line.clear();
                assert_ne!(out.read_line(&mut line).unwrap(), 0, "it ended before {words:?}");
            }
        };
        line_with(&["v1", "ipv4-source-foreign:", "98", "bytes,", "passed"]);
        line_with(&["v1", "1", "ipv4-source-foreign"]);
        signal(&observe, "INT");
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert!(!rest.lines().any(|line| line.starts_with("v2") && line.contains("foreign")), "{rest}");
        assert_eq!(observe.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn violations_are_in_the_live_view() {
    in_host(|_| {
        one_with_a_foreign_address();
        let terminal = Terminal::open();
        let program = env!("CARGO_BIN_EXE_netns");
        let command = format!("clear; {program} observe br0 --policy /run/ports.toml --interval 0.1");
        terminal.press(&[&format!("{command}; echo ended with $?"), "Enter"]);
        terminal.shows("both ports", |screen| screen.contains(" br0  2 ports ") && screen.contains("\nv2 "));
        assert!(!terminal.screen().contains(" violations\n"));
        spoof();
        let of = |screen: &str, port: &str| {
            let row = screen.lines().find(|line| line.starts_with(port)).unwrap_or_default().to_owned();
            row.split_whitespace().nth(8).map(str::to_owned)
        };
        terminal.shows("they are counted", |screen| {
            screen.lines().next().is_some_and(|title| title.ends_with(" violations"))
                && of(screen, "v1 ").is_some_and(|count| count.parse::<u64>().is_ok_and(|count| count >= 1))
        });
        terminal.press(&["v"]);
        let screen = terminal.shows("the latest", |screen| screen.contains("ipv4-source-foreign"));
        let reported = screen.lines().find(|line| line.contains("ipv4-source-foreign")).unwrap();
        assert!(reported.contains(" ns1 ") && reported.contains(" 98  passed "), "{reported}");
        terminal.press(&["9", "Enter"]);
        for text in [
            " v1 ─",
            "may send  what the policy file says; the rest is counted and passes",
            "\n          ipv4-source-foreign ",
        ] {
            terminal.shows(text, |screen| screen.contains(text));
        }
        terminal.press(&["q"]);
        terminal.shows("the end", |screen| screen.contains("ended with 0"));
        terminal.assert_given_back();
    });
}

#[test]
fn violations_are_in_the_metrics() {
    in_host(|_| {
        one_with_a_foreign_address();
        let arguments = "observe br0 --policy /run/ports.toml --json --interval 0.1 --metrics";
        let mut observe = Watched::start(&format!("{arguments} {PORT}"));
        observe.line("counters", |line| line["type"] == "counters");
        let is_violation = |line: &&str| line.starts_with("netns_violations_total{");
        assert_eq!(metrics().lines().filter(is_violation).count(), 0, "none of what never was");
        spoof();
        // Compared once both report the same moment: neighbours have their own questions now and then.
        until("the same in both", || {
            let port = observe.port("v1", |port| port["violations"]["ipv4-source-foreign"].is_u64());
            let text = metrics();
            let of = |(reason, packets): (&String, &Value)| {
                let labels = format!("namespace=\"ns1\",network=\"br0\",port=\"v1\",reason=\"{reason}\"");
                format!("netns_violations_total{{{labels}}} {packets}")
            };
            let expected: BTreeSet<String> = port["violations"].as_object().unwrap().iter().map(of).collect();
            let reported: BTreeSet<String> = text.lines().filter(is_violation).map(str::to_owned).collect();
            (reported == expected).then_some(())
        });
        assert_eq!(observe.end("INT").code, Some(0));
    });
}
