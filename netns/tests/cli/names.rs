//! Names of ports: renamed, `host`, or too long for the space.

use crate::metrics::{PORT, metrics};
use crate::observe::make_bridge;
use crate::watched::Watched;
use crate::{done, xtask};
use std::collections::BTreeSet;
use tests::{Terminal, in_host, ip, oracle, until, without_ipv6};

/// A port of br0, with a namespace behind it.
fn plug(port: &str, namespace: &str, number: u8) {
    ip(&format!("netns add {namespace}"));
    ip(&format!("link add {port} type veth peer name eth0 netns {namespace}"));
    without_ipv6(namespace);
    ip(&format!("-n {namespace} addr add 10.1.1.{number}/24 dev eth0"));
    ip(&format!("-n {namespace} link set eth0 up"));
    ip(&format!("link set {port} master br0 up"));
}

#[test]
fn a_rename_is_reported_as_a_rename() {
    in_host(|_| {
        make_bridge();
        plug("v1", "ns1", 1);
        let mut observe = Watched::start("observe br0 --json --interval 0.1");
        observe.port("v1", |port| port["namespace"] == "ns1");
        // Before Linux 6.2 only a link that is down can be renamed.
        ip("link set v1 down");
        ip("link set v1 name w1");
        let renamed = observe.line("renamed", |line| line["event"] == "renamed");
        assert_eq!((&renamed["port"], &renamed["before"]), (&"w1".into(), &"v1".into()), "{renamed}");
        assert_eq!(renamed["namespace"], "ns1");
        ip("link del br0");
        observe.line("gone", |line| line["type"] == "bridge" && line["event"] == "gone");
        assert_eq!(observe.end("none").code, Some(0));
    });
}

#[test]
fn a_port_named_host_is_not_the_host() {
    in_host(|_| {
        make_bridge();
        plug("host", "ns1", 1);
        plug("v2", "ns2", 2);
        ip("addr add 10.1.1.254/24 dev br0");
        let arguments = format!("observe br0 --json --interval 0.1 --metrics {PORT} --metrics-pairs 10");
        let observe = Watched::start(&arguments);
        let text = until("both have sent to v2", || {
            // From the host, and from the port with that name.
            for inside in ["", "netns exec ns1 "] {
                let words = format!("{inside}ping -q -c1 -W1 10.1.1.2");
                let mut command = oracle(if inside.is_empty() { "ping" } else { "ip" });
                let words = if inside.is_empty() { words.strip_prefix("ping ").unwrap() } else { &words };
                let _ = command.args(words.split(' ')).output();
            }
            let text = metrics();
            let has = |from: &str| {
                text.contains(&format!("netns_pair_bytes_total{{from=\"{from}\",network=\"br0\",to=\"v2\"}}"))
            };
            (has("host") && has("host/port")).then_some(text)
        });
        let series: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("netns_pair_bytes_total{"))
            .filter_map(|line| line.rsplit_once(' ').map(|(series, _)| series))
            .collect();
        assert_eq!(series.iter().collect::<BTreeSet<_>>().len(), series.len(), "{text}");
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

/// Names that begin alike.
const LONG: [&str; 2] = ["customer-of-the-team-1", "customer-of-the-team-2"];

#[test]
fn a_line_fits_80_columns_and_shows_where_names_differ() {
    in_host(|_| {
        make_bridge();
        plug("vethaaaaaaaaaa1", LONG[0], 1);
        plug("vethaaaaaaaaaa2", LONG[1], 2);
        ip("addr add 10.1.1.254/24 dev br0");
        let once = done(&mut xtask("observe br0 --once --plain --interval 0.3"));
        assert_eq!((once.code, once.err.as_str()), (Some(0), ""));
        let table = once.out.split_once("\n\n").unwrap().1;
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        let of = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
        // One in the table of ports, and one in the heads of pairs, if there are any.
        for (port, end) in [("vethaaaaaaaaaa1", '1'), ("vethaaaaaaaaaa2", '2')] {
            assert!(of(port).ends_with(end), "{table}");
        }
    });
}

#[test]
fn names_stay_readable_at_40_columns() {
    in_host(|_| {
        make_bridge();
        plug("vethaaaaaaaaaa1", "frontend", 1);
        plug("vethaaaaaaaaaa2", "database", 2);
        let terminal = Terminal::open();
        terminal.resize(40, 16);
        let netns = env!("CARGO_BIN_EXE_netns");
        let command = format!("clear; {netns} observe br0 --interval 0.1; echo ended with $?");
        terminal.press(&[&command, "Enter"]);
        let screen = terminal.shows("all names in full", |screen| {
            ["vethaaaaaaaaaa1 frontend", "vethaaaaaaaaaa2 database", "bit/s"]
                .iter()
                .all(|text| screen.contains(text))
        });
        assert!(screen.lines().all(|line| line.chars().count() <= 40), "{screen}");
        // With space, the other numbers are back.
        terminal.resize(100, 16);
        terminal.shows("all numbers", |screen| screen.contains("bytes") && screen.contains("viol"));
        terminal.press(&["q"]);
        terminal.shows("the end", |screen| screen.contains("ended with 0"));
    });
}
