//! `netns observe`: bridges that others made, ports that come and go, and no trace.

use crate::watched::{Watched, signal};
use crate::{done, state_of_the_host, xtask};
use netns_core::tc::{Direction, Filter};
use netns_core::{IfName, link};
use serde_json::Value;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::{
    Host, Verdict, bridge_json, eventually, in_host, ip, ip_json, load_program, only, oracle, tc, tc_json,
    until, without_ipv6,
};

/// A bridge and a namespace on it, all made by `ip`; the port is down and on no bridge yet.
fn plug(number: u8) {
    ip(&format!("netns add ns{number}"));
    ip(&format!("link add v{number} type veth peer name eth0 netns ns{number}"));
    without_ipv6(&format!("ns{number}"));
    ip(&format!("-n ns{number} addr add 10.1.1.{number}/24 dev eth0"));
    ip(&format!("-n ns{number} link set eth0 up"));
}

pub(crate) fn ping(from: u8, to: u8) {
    let inside = ["netns", "exec", &format!("ns{from}"), "ping", "-q", "-c3", "-i0.05", "-W2"];
    let _ = tests::run(oracle("ip").args(inside).arg(format!("10.1.1.{to}")));
}

pub(crate) fn make_bridge() {
    ip("link add br0 type bridge mcast_snooping 0");
    std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
    ip("link set br0 up");
}

/// A port that is up, on a bridge that is up; the kernel takes its own time for both.
pub(crate) fn plug_in(number: u8) {
    plug(number);
    ip(&format!("link set v{number} master br0 up"));
    for link in ["br0".to_owned(), format!("v{number}")] {
        eventually(&format!("{link} is up"), || {
            ip_json(&format!("link show {link}"))[0]["operstate"] == "UP"
        });
    }
}

/// What an observer adds, whichever links exist meanwhile.
fn qdiscs_and_run() -> (bool, String) {
    let run = tests::run(Command::new("ls").args(["-A", "/run"]));
    (tc("qdisc show").contains("clsact"), run)
}

#[test]
fn ports_that_come_and_go_are_counted_exactly_and_leave_no_trace() {
    in_host(|_| {
        make_bridge();
        plug(1);
        plug(2);
        let before = qdiscs_and_run();
        let mut observe = Watched::start("observe br0 --json --interval 0.1");
        observe.line("the beginning", |line| line["type"] == "observe");
        for number in [1, 2] {
            ip(&format!("link set v{number} master br0"));
            let port = format!("v{number}");
            observe.line("it came", |line| line["event"] == "came" && line["port"] == *port);
            let known = observe.line("it is known", |line| line["event"] == "known" && line["port"] == *port);
            assert_eq!(known["namespace"], format!("ns{number}"));
            ip(&format!("link set v{number} up"));
        }
        // Both were counted before they were up: from the first frame.
        ping(1, 2);
        for number in [1, 2] {
            let link = only(&ip_json(&format!("-s link show v{number}")));
            let stats = &link["stats64"];
            let port = observe.port(&format!("v{number}"), |port| {
                port["rx_packets"] == stats["rx"]["packets"] && port["tx_packets"] == stats["tx"]["packets"]
            });
            assert_eq!(port["rx_bytes"], stats["rx"]["bytes"]);
            assert_eq!(port["tx_bytes"], stats["tx"]["bytes"]);
            assert!(port["rx_packets"].as_u64().unwrap() >= 3);
        }

        // One is off the bridge, the other is deleted.
        ip("link set v1 nomaster");
        observe.line("it left", |line| line["event"] == "left" && line["port"] == "v1");
        assert!(!tc("qdisc show dev v1").contains("clsact"));
        ip("link del v2");
        observe.line("it left", |line| line["event"] == "left" && line["port"] == "v2");
        let counters = observe.line("no ports", |line| line["type"] == "counters");
        assert_eq!(counters["ports"], Value::Array(Vec::new()));
        let end = observe.end("INT");
        assert_eq!((end.code, end.err.as_str()), (Some(0), ""));
        assert_eq!(qdiscs_and_run(), before);
    });
}

#[test]
fn missed_readings_are_skipped_and_do_not_delay_its_end() {
    in_host(|_| {
        make_bridge();
        plug(1);
        let mut observe = Watched::start("observe br0 --json --interval 0.01");
        let before = observe.line("counters", |line| line["type"] == "counters");
        signal(&observe.child, "STOP");
        std::thread::sleep(std::time::Duration::from_secs(3));
        // Both are there when it goes on, some three hundred readings late.
        ip("link set v1 master br0");
        signal(&observe.child, "CONT");
        observe.line("it came", |line| line["event"] == "came" && line["port"] == "v1");
        let end = observe.end("INT");
        assert_eq!((end.code, end.err.as_str()), (Some(0), ""));
        let late = |line: &&Value| line["t"].as_f64().unwrap() > before["t"].as_f64().unwrap() + 2.9;
        let late = end.lines("counters").iter().filter(late).count();
        assert!(late < 100, "{late} readings");
        assert_eq!(programs("v1"), 0);
    });
}

#[test]
fn other_programs_filters_stay_as_they_are() {
    in_host(|host| {
        make_bridge();
        plug_in(1);
        plug_in(2);
        tc("qdisc add dev v1 clsact");
        put_filter(host, "v1", Direction::Ingress);
        let before = (state_of_the_host(), tc("filter show dev v1 ingress"));
        let mut observe = Watched::start("observe br0 --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        assert_eq!(programs("v1"), 2);
        assert_eq!(programs("v2"), 2);
        ping(1, 2);
        observe.port("v1", |port| port["rx_packets"].as_u64() >= Some(3));
        let end = observe.end("TERM");
        assert_eq!((end.code, end.err.as_str()), (Some(0), ""));
        assert_eq!((state_of_the_host(), tc("filter show dev v1 ingress")), before);
    });
}

/// Somebody else's filter, after ours.
fn put_filter(host: &Host, port: &str, direction: Direction) {
    let program = load_program(Verdict::Continue).unwrap();
    let mut socket = host.socket();
    let index = link::get(&mut socket, IfName::new(port).unwrap()).unwrap().index;
    let program = program.as_fd();
    let filter = Filter { index, direction, priority: 7, handle: 1, program, name: "somebody", class_id: 0 };
    netns_core::tc::add_filter(&mut socket, &filter).unwrap();
}

/// How many of our filters are on a port.
pub(crate) fn programs(port: &str) -> usize {
    let hooks = ["ingress", "egress"].map(|hook| tc_json(&format!("filter show dev {port} {hook}")));
    let filters = hooks.iter().filter_map(Value::as_array).flatten();
    filters.filter(|filter| filter["options"]["bpf_name"] == "netns-ebpf").count()
}

#[test]
fn after_sigkill_cleanup_removes_exactly_what_is_left() {
    in_host(|host| {
        make_bridge();
        for number in [1, 2, 3] {
            plug_in(number);
        }
        tc("qdisc add dev v1 clsact");
        put_filter(host, "v1", Direction::Ingress);
        let before = (state_of_the_host(), tc("filter show dev v1 ingress"));
        let mut observe = Watched::start("observe br0 --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        let refused = done(&mut xtask("observe br0 --once"));
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        // What belongs to a living observer is no leftover.
        let nothing = done(&mut xtask("observe --cleanup"));
        assert_eq!((nothing.code, nothing.out.as_str()), (Some(0), "nothing to remove\n"), "{}", nothing.err);
        assert!(
            nothing.err.starts_with("left alone: ") && nothing.err.contains("observed already"),
            "{}",
            nothing.err
        );
        let refused = done(&mut xtask("observe br0 --cleanup"));
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        observe.end("KILL");
        assert_eq!([programs("v1"), programs("v2"), programs("v3")], [2, 2, 2]);
        // Somebody uses the qdisc that we made.
        put_filter(host, "v3", Direction::Egress);

        let cleanup = done(&mut xtask("observe --cleanup"));
        assert_eq!((cleanup.code, cleanup.err.as_str()), (Some(0), ""));
        assert_eq!(cleanup.out.lines().count(), 3, "{}", cleanup.out);
        assert_eq!([programs("v1"), programs("v2"), programs("v3")], [0, 0, 0]);
        assert!(tc("filter show dev v3 egress").contains("somebody"));
        tc("qdisc del dev v3 clsact");
        assert_eq!((state_of_the_host(), tc("filter show dev v1 ingress")), before);
        assert_eq!(done(&mut xtask("observe --cleanup")).out, "nothing to remove\n");
    });
}

#[test]
fn observing_again_removes_what_a_killed_observer_left() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        let before = state_of_the_host();
        let mut observe = Watched::start("observe br0 --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        observe.end("KILL");
        let again = done(&mut xtask("observe br0 --once --json --interval 0.1"));
        assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
        assert_eq!(again.lines("counters").len(), 1);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_bridge_in_a_named_namespace_and_a_process_behind_a_port() {
    in_host(|_| {
        ip("netns add lab");
        ip("-n lab link add br0 type bridge");
        ip("-n lab link set br0 up");
        let mut sleeper =
            oracle("ip").args(["netns", "exec", "lab", "unshare", "-n", "sleep", "60"]).spawn().unwrap();
        let process = sleeper.id();
        until("the process is in a namespace of its own", || {
            let its = std::fs::read_link(format!("/proc/{process}/ns/net")).ok()?;
            let comm = std::fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
            let ours = std::fs::read_link("/proc/thread-self/ns/net").ok()?;
            (its != ours && comm == "sleep\n").then_some(())
        });
        ip(&format!("-n lab link add v1 type veth peer name eth0 netns {process}"));
        ip("-n lab link set v1 master br0");
        let mut observe = Watched::start("observe br0 -n lab --json --interval 0.1");
        let port = observe.port("v1", |port| port["namespace"] != "");
        assert_eq!(port["namespace"], format!("sleep/{process}"));
        ip("-n lab link del br0");
        let end = observe.end("none");
        assert_eq!(end.code, Some(0));
        assert!(end.err.contains("the bridge is gone"), "{}", end.err);
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert_eq!(done(&mut xtask("observe --cleanup")).out, "nothing to remove\n");
    });
}

#[test]
fn a_bridge_of_the_cni_plugin() {
    in_host(|_| {
        const PLUGINS: &str = "/usr/lib/cni";
        if !Path::new(PLUGINS).join("bridge").exists() {
            tests::skip("the CNI bridge plugin missing; run: apt-get install containernetworking-plugins");
        }
        let cni = |command: &str, name: &str| {
            let config = r#"{"cniVersion":"1.0.0","name":"lab","type":"bridge","bridge":"cni0",
                "ipam":{"type":"host-local","subnet":"10.9.0.0/24","dataDir":"/run/cni"}}"#;
            let mut plugin = Command::new(Path::new(PLUGINS).join("bridge"));
            plugin.env("CNI_COMMAND", command).env("CNI_CONTAINERID", name).env("CNI_IFNAME", "eth0");
            plugin.env("CNI_NETNS", format!("/var/run/netns/{name}")).env("CNI_PATH", PLUGINS);
            let mut plugin = plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            std::io::Write::write_all(&mut plugin.stdin.take().unwrap(), config.as_bytes()).unwrap();
            let output = plugin.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            String::from_utf8(output.stdout).unwrap()
        };
        ip("netns add first");
        ip("netns add second");
        cni("ADD", "first");
        let mut observe = Watched::start("observe cni0 --json --interval 0.1");
        observe.line("known", |line| line["event"] == "known" && line["namespace"] == "first");
        let result: Value = serde_json::from_str(&cni("ADD", "second")).unwrap();
        let address = result["ips"][0]["address"].as_str().unwrap().split('/').next().unwrap().to_owned();
        let known = observe.line("known", |line| line["event"] == "known" && line["namespace"] == "second");
        let port = known["port"].as_str().unwrap().to_owned();
        assert!(bridge_json("link show").to_string().contains(&port));
        let _ = tests::run(
            oracle("ip").args(["netns", "exec", "first", "ping", "-q", "-c3", "-i0.05", "-W2"]).arg(address),
        );
        let counted = observe.port(&port, |counted| counted["rx_packets"].as_u64() >= Some(3));
        assert_eq!(counted["namespace"], "second");
        let pair = observe.line("the pair", |line| {
            let pairs = line["pairs"].as_array().into_iter().flatten();
            let mut pairs = pairs.filter(|pair| pair["from"] == "first" && pair["to"] == "second");
            pairs.any(|pair| pair["packets"].as_u64() >= Some(3))
        });
        assert_eq!(pair["type"], "counters");
        cni("DEL", "second");
        observe.line("left", |line| line["event"] == "left" && line["port"] == *port);
        assert_eq!(observe.end("INT").code, Some(0));
        assert!(!tc("qdisc show").contains("clsact"));
        cni("DEL", "first");
    });
}

#[test]
fn a_link_that_is_no_bridge_is_refused() {
    in_host(|_| {
        ip("link add v1 type veth peer name v2");
        for (code, arguments, why) in [
            (1, "observe v1 --once", "error: v1 is not a bridge; it is a veth\n"),
            (2, "observe br9 --once", "error: get link br9: No such device"),
            (2, "observe br0 -n nowhere --once", "error: open namespace"),
        ] {
            let refused = done(&mut xtask(arguments));
            assert!(refused.err.starts_with(why), "{}", refused.err);
            assert_eq!(refused.code, Some(code), "{arguments}");
        }
        assert_eq!(done(&mut xtask("observe")).code, Some(1));
    });
}

#[test]
fn without_json_tables_are_printed() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        let once = done(&mut xtask("observe br0 --once --interval 0.2"));
        assert_eq!((once.code, once.err.as_str()), (Some(0), ""));
        for text in ["br0: 1 port", "from the namespace", "v1 "] {
            assert!(once.out.contains(text), "{text:?} is not in\n{}", once.out);
        }
    });
}

/// A file with a policy for the port `v1`, by its MAC address.
pub(crate) fn policy_file(address: &str) -> String {
    let mac = only(&ip_json("-n ns1 link show eth0"))["address"].as_str().unwrap().to_owned();
    format!("[port.v1]\nmac = \"{mac}\"\naddresses = [\"{address}\"]\n")
}

/// Whether a ping from the first namespace to the second is answered.
pub(crate) fn answered(arguments: &str) -> bool {
    let ping = oracle("ping").get_program().to_owned();
    let mut command = oracle("ip");
    command.args(["netns", "exec", "ns1"]).arg(ping).args(["-c1", "-W1", "-q"]);
    command.args(arguments.split_whitespace()).output().unwrap().status.success()
}

#[test]
fn what_is_enforced_stays_enforced_after_sigkill_until_cleanup() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        plug_in(2);
        ip("-n ns1 addr add 10.1.1.77/32 dev eth0");
        ip("-n ns2 route add 10.1.1.77/32 dev eth0");
        let before = state_of_the_host();
        let own = ip("-n ns1 -4 -o addr show eth0");
        let own = own.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned();
        let far = ip("-n ns2 -4 -o addr show eth0");
        let far = far.split_whitespace().nth(3).unwrap().split('/').next().unwrap().to_owned();
        let foreign = format!("-I 10.1.1.77 {far}");
        assert!(answered(&far) && answered(&foreign));

        std::fs::write("/run/ports.toml", policy_file(&own)).unwrap();
        let mut observe = Watched::start(
            "observe br0 --policy /run/ports.toml --enforce --unmatched pass --json --interval 0.1",
        );
        observe.line("counters", |line| line["type"] == "counters");
        assert!(answered(&far), "what it may send");
        assert!(!answered(&foreign), "what it may not");
        observe.end("KILL");
        assert!(answered(&far) && !answered(&foreign), "who ends the observer has won nothing");
        assert_eq!(done(&mut xtask("observe --cleanup")).code, Some(0));
        assert!(answered(&foreign));
        std::fs::remove_file("/run/ports.toml").unwrap();
        assert_eq!(state_of_the_host(), before);

        // By default nothing is dropped, and an orderly end leaves nothing.
        let mut observe = Watched::start("observe br0 --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        assert!(answered(&foreign));
        assert_eq!(observe.end("INT").code, Some(0));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn what_an_observed_port_may_not_send_is_reported_counted_and_captured() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        plug_in(2);
        ip("-n ns1 addr add 10.1.1.77/32 dev eth0");
        ip("-n ns2 route add 10.1.1.77/32 dev eth0");
        let before = state_of_the_host();
        // By the namespace's name, which is found before the port is judged.
        std::fs::write("/run/ports.toml", policy_file("10.1.1.1").replace("port.v1", "namespace.ns1"))
            .unwrap();
        let mut observe = Watched::start(
            "observe br0 --policy /run/ports.toml --json --interval 0.1 --pcap /run/frames.pcapng",
        );
        let port = observe.port("v1", |_| true);
        assert_eq!(port["violations"], serde_json::json!({}), "{port}");
        assert!(answered("10.1.1.2"), "what it may send");
        assert!(answered("-I 10.1.1.77 10.1.1.2"), "what it may not send is reported, and passes");
        let reported = observe.line("a violation", |line| line["type"] == "violation");
        for (key, value) in [("port", "v1"), ("namespace", "ns1"), ("reason", "ipv4-source-foreign")] {
            assert_eq!(reported[key], value, "{reported}");
        }
        assert_eq!(reported["dropped"], false);
        observe.port("v1", |port| port["violations"]["ipv4-source-foreign"].as_u64() >= Some(1));
        let other = observe.port("v2", |_| true);
        assert_eq!(other["violations"], serde_json::json!({}), "counted and not judged");
        assert_eq!(observe.end("INT").code, Some(0));
        let frames = tests::run(oracle("tcpdump").args(["-nr", "/run/frames.pcapng"]));
        assert!(frames.contains("10.1.1.77 > 10.1.1.2"), "{frames}");
        std::fs::remove_file("/run/ports.toml").unwrap();
        std::fs::remove_file("/run/frames.pcapng").unwrap();
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn errors_in_a_policy_file_have_line_and_column() {
    in_host(|_| {
        make_bridge();
        for (text, message) in [
            ("[port.v1]\n", "1:1: missing field `mac`"),
            ("[port.v1]\nmac = '02'\n", "2:7: \"02\" is not a MAC address; expected"),
            ("[port.v1]\nmac = '02:00:00:00:00:01'\ngroup = 64\n", "3:9: there is no group 64; expected one"),
            (
                "apart = [['red', 'bleu']]\n[port.v1]\nmac = '02:00:00:00:00:01'\ngroup = 'blue'\n",
                "1:11: no port is in a group \"red\"; expected one of: blue",
            ),
            (
                "apart = [['bleu', 0]]\n[port.v1]\nmac = '02:00:00:00:00:01'\ngroup = 'blue'\n",
                "1:11: no port is in a group \"bleu\"; did you mean \"blue\"?",
            ),
            (
                "[namespace.a]\nmac = '02:00:00:00:00:01'\naddresses = ['10.1.1.1/24']\n",
                "3:14: \"10.1.1.1/24\" is not an address; expected one such as \"10.1.1.1\"",
            ),
        ] {
            std::fs::write("/run/ports.toml", text).unwrap();
            let refused = done(&mut xtask("observe br0 --once --policy /run/ports.toml"));
            assert_eq!(refused.code, Some(1));
            let start = format!("error: /run/ports.toml:{message}");
            assert!(refused.err.starts_with(&start), "{}", refused.err);
        }
        assert_eq!(done(&mut xtask("observe br0 --once --enforce")).code, Some(1), "only with a policy");
    });
}

#[test]
fn a_port_that_the_kernel_counts_differently_is_reported() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        plug_in(2);
        let _ = tests::run(oracle("ethtool").args(["-K", "v1", "tso", "off"]));
        let _ = tests::run(oracle("ethtool").args(["-K", "v2", "gro", "on"]));
        let mut observe = Watched::start("observe br0 --json --interval 0.1");
        for (port, what) in [("v1", "cut into segments"), ("v2", "before it is joined")] {
            let line = observe.line("what is counted otherwise", |line| line["event"] == "counted-apart");
            assert_eq!(line["port"], port, "{line}");
            assert!(line["why"].as_str().unwrap().contains(what), "{line}");
        }
        let ended = observe.end("INT");
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
        let once = done(&mut xtask("observe br0 --once --interval 0.1"));
        assert!(once.out.contains("v1: the kernel counts what goes to"), "{}", once.out);
    });
}
