//! Where namespaces may send to, by a topology's file or by `run --egress`.

use crate::host_policy::with_policies;
use crate::topology::{edit, fine, topology};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use netns_core::Namespace;
use serde_json::json;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;
use tests::{eventually, in_host, ip, until};

/// How long an expected packet may take, and how long to wait for one that must not arrive.
const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

pub(crate) const INTERNET: [&str; 2] = ["203.0.113.9", "2001:db8::9"];
pub(crate) const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];

/// The outside world, which here is the host itself.
pub(crate) fn world() {
    ip("link set lo up");
    for address in INTERNET.iter().chain(&METADATA) {
        ip(&format!("addr add {address} dev lo"));
    }
}

pub(crate) fn hears(from: &str, address: &str) -> bool {
    sends(from, address, 99, LONG)
}

pub(crate) fn misses(from: &str, address: &str) -> bool {
    !sends(from, address, 99, SHORT)
}

fn sends(from: &str, address: &str, port: u16, limit: Duration) -> bool {
    let address = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
    // A program that another test starts holds the previous listener for a moment, until it is executed.
    let listener = until("the address is free", || UdpSocket::bind(address).ok());
    listener.set_read_timeout(Some(limit)).unwrap();
    let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let sender = Namespace::open(from).unwrap().enter(|| UdpSocket::bind(any).unwrap()).unwrap();
    let _ = sender.send_to(b"hello", address);
    listener.recv(&mut [0; 16]).is_ok()
}

const LAB: &str = r#"
[egress.web]
rules = ["deny 203.0.113.0/24 udp/53"]
[egress.closed]
others = "deny"
[bridge.br0]
addresses = ["10.1.1.254/24", "fd11::ffff/64"]
egress = "web"
[namespace.ns1]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24", "fd11::1/64"] }
routes = [{ to = "default", via = "10.1.1.254" }, { to = "default", via = "fd11::ffff" }]
[namespace.ns2]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24", "fd11::2/64"], policy = { mode = "enforce", egress = "closed" } }
routes = [{ to = "default", via = "10.1.1.254" }, { to = "default", via = "fd11::ffff" }]
"#;

#[test]
fn a_topology_limits_where_its_namespaces_send() {
    in_host(|_| {
        world();
        let file = PathBuf::from("/run/lab.toml");
        fs::write(&file, LAB).unwrap();
        let before = state_of_the_host();
        let up = fine("up", &file);
        assert!(up.contains("policy enforce 10.1.1.1 fd11::1 egress web\n"), "{up}");
        assert!(up.contains("policy enforce 10.1.1.2 fd11::2 egress closed\n"), "{up}");
        assert_eq!(fine("diff", &file), "");
        assert!(fine("show", &file).contains("enforce 10.1.1.1 fd11::1 egress web"));
        for address in INTERNET {
            assert!(hears("ns1", address) && misses("ns2", address), "{address}");
        }
        assert!(!sends("ns1", INTERNET[0], 53, SHORT) && sends("ns1", INTERNET[1], 53, LONG));
        for address in METADATA {
            assert!(misses("ns1", address) && misses("ns2", address), "{address}");
        }
        // Both reach the host on the bridge.
        for address in ["10.1.1.254", "fd11::ffff"] {
            assert!(hears("ns1", address) && hears("ns2", address), "{address}");
        }
        assert!(fine("show", &file).contains("egress"), "what was refused is counted");

        // An edit changes what it names and nothing else.
        edit(&file, "others = \"deny\"", "without = [\"metadata\", \"link-local\", \"private\"]");
        let changed = "~ host/ns2-eth0: policy enforce 10.1.1.2 fd11::2 egress closed\n";
        assert_eq!(topology("diff", &file).out, changed);
        assert_eq!(fine("up", &file), changed);
        for address in INTERNET.iter().chain(&METADATA) {
            assert!(hears("ns2", address), "{address}");
        }
        assert!(misses("ns1", METADATA[0]));
        assert_eq!(fine("diff", &file), "");
        // Without the bridge's policy, the first has none at all.
        edit(&file, "egress = \"web\"\n", "");
        assert_eq!(fine("up", &file), "~ host/ns1-eth0: group_fwd_mask 0x0\n- host/ns1-eth0: policy\n");
        assert!(hears("ns1", METADATA[0]) && hears("ns1", METADATA[1]));
        assert_eq!(fine("diff", &file), "");
        let _ = fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn programs_without_egress_policies_are_replaced() {
    in_host(|_| {
        world();
        let file = PathBuf::from("/run/lab.toml");
        fs::write(&file, LAB.replace("egress = \"web\"\n", "").replace(", egress = \"closed\"", "")).unwrap();
        fine("up", &file);
        assert!(hears("ns2", METADATA[0]));
        edit(
            &file,
            "policy = { mode = \"enforce\" }",
            "policy = { mode = \"enforce\", egress = \"closed\" }",
        );
        let up = fine("up", &file);
        assert_eq!(up, "~ host/ns2-eth0: policy enforce 10.1.1.2 fd11::2 egress closed\n");
        assert!(misses("ns2", METADATA[0]) && misses("ns2", INTERNET[0]) && hears("ns2", "10.1.1.254"));
        assert_eq!(fine("diff", &file), "");
        let _ = fine("down", &file);
    });
}

#[test]
fn errors_about_destinations_have_line_and_column() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        for (from, to, message) in [
            ("\"deny 203", "\"drop 203", "3:10: no rule for destinations, such as"),
            (
                "rules = [",
                "without = [\"intranet\"]\nrules = [",
                "3:12: no list of destinations; expected one of",
            ),
            (
                "others = \"deny\"",
                "others = \"drop\"",
                "5:10: others are not \"drop\"; expected \"allow\" or \"deny\"",
            ),
            (
                "egress = \"web\"",
                "egress = \"wob\"",
                "8:10: there is no [egress.wob]; expected the name of one",
            ),
            (
                "udp/53\"]",
                "tcp/1\", \"deny 203.0.113.0/24 tcp/2\", \"deny 203.0.113.0/24 tcp/3\", \"deny 203.0.113.0/24 tcp/4\"]",
                "8:10: it says more than four things of 203.0.113.0/24, those of wider networks included",
            ),
        ] {
            fs::write(&file, LAB).unwrap();
            edit(&file, from, to);
            let refused = topology("diff", &file);
            assert_eq!(refused.code, Some(1), "{}", refused.err);
            assert!(refused.err.starts_with(&format!("error: /run/lab.toml:{message}")), "{}", refused.err);
        }
    });
}

#[test]
fn a_policy_file_limits_where_an_existing_bridges_ports_send() {
    in_host(|_| {
        world();
        with_policies("egress = \"web\"", "", "[egress.web]\nrules = [\"allow 10.1.1.0/24\"]");
        for namespace in ["ns1", "ns2"] {
            ip(&format!("-n {namespace} route add default via 10.1.1.254"));
        }
        let before = state_of_the_host();
        assert!(hears("ns1", METADATA[0]));
        let mut observe =
            Watched::start("observe br0 --policy /run/ports.toml --enforce --json --interval 0.1");
        observe.line("counters", |line| line["type"] == "counters");
        assert!(misses("ns1", METADATA[0]) && hears("ns1", INTERNET[0]) && hears("ns1", "10.1.1.254"));
        assert!(hears("ns2", METADATA[0]), "of the second it says nothing");
        let violation = observe.line("a violation", |line| line["type"] == "violation");
        assert_eq!(
            (&violation["port"], &violation["reason"], &violation["dropped"]),
            (&json!("v1"), &json!("egress"), &json!(true))
        );
        // A killed observer leaves it, as it leaves everything that is enforced.
        let _ = observe.end("KILL");
        assert!(misses("ns1", METADATA[0]) && hears("ns1", INTERNET[0]));
        let cleanup = done(&mut xtask("observe --cleanup"));
        assert_eq!(cleanup.code, Some(0), "{}", cleanup.err);
        eventually("nothing is refused", || sends("ns1", METADATA[0], 99, SHORT));
        assert_eq!(state_of_the_host(), before);
        // What it names has to exist.
        edit(&PathBuf::from("/run/ports.toml"), "egress = \"web\"", "egress = \"wob\"");
        let refused = done(&mut xtask("observe br0 --once --policy /run/ports.toml"));
        assert_eq!(refused.code, Some(1));
        assert!(
            refused.err.contains("there is no [egress.wob]; expected the name of one"),
            "{}",
            refused.err
        );
    });
}

#[test]
fn a_run_drops_what_its_egress_policy_refuses() {
    in_host(|_| {
        world();
        fs::write("/run/egress.toml", "rules = [\"allow 169.254.169.254 udp/98\"]\n").unwrap();
        let before = state_of_the_host();
        let mut run = Watched::start("run --egress /run/egress.toml --enforce --json --interval 0.1");
        run.line("counters", |line| line["type"] == "counters");
        eventually("the first namespace is routed", || sends("ns1", INTERNET[0], 99, SHORT));
        assert!(misses("ns1", METADATA[0]) && sends("ns1", METADATA[0], 98, LONG));
        let violation = run.line("a violation", |line| line["type"] == "violation");
        assert_eq!(
            (&violation["reason"], &violation["dropped"]),
            (&json!("egress"), &json!(true)),
            "{violation}"
        );
        assert_eq!(run.end("INT").code, Some(0));
        assert_eq!(state_of_the_host(), before);
        let refused = done(&mut xtask("run --topology pair --egress /run/egress.toml"));
        assert_eq!(refused.code, Some(1), "{}", refused.err);
        fs::write("/run/egress.toml", "rules = [\"allow 169.254.169.254/33\"]\n").unwrap();
        let refused = done(&mut xtask("run --egress /run/egress.toml"));
        assert_eq!(refused.code, Some(1));
        assert!(
            refused.err.starts_with("error: /run/egress.toml:1:10: no rule for destinations"),
            "{}",
            refused.err
        );
    });
}
