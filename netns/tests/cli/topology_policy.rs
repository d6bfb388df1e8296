//! What an interface of a topology may send: judged from its first frame, while it is up, without any process.

use crate::topology::{edit, fine, topology};
use crate::{done, state_of_the_host, xtask};
use serde_json::Value;
use std::path::PathBuf;
use tests::{in_host, ip, oracle, tc, tc_json};

const LAB: &str = r#"
[bridge.br0]
[namespace.good]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24", "fd00:1::1/64"], policy = "enforce" }
[namespace.bad]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24"], policy = "observe" }
[namespace.free]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.3/24"] }
"#;

fn lab() -> PathBuf {
    let file = PathBuf::from("/run/lab.toml");
    std::fs::write(&file, LAB).unwrap();
    file
}

/// Whether a ping is answered.
pub(crate) fn pings(from: &str, arguments: &str) -> bool {
    let ping = oracle("ping").get_program().to_owned();
    let mut command = oracle("ip");
    command.args(["netns", "exec", from]).arg(ping).args(["-c", "1", "-W", "1", "-q"]);
    command.args(arguments.split_whitespace()).output().unwrap().status.success()
}

/// How many of our filters are on a port.
pub(crate) fn filters(port: &str) -> usize {
    let hooks = ["ingress", "egress"].map(|hook| tc_json(&format!("filter show dev {port} {hook}")));
    let filters = hooks.iter().filter_map(Value::as_array).flatten();
    filters.filter(|filter| filter["options"]["bpf_name"] == "netns-ebpf").count()
}

pub(crate) fn violations(file: &std::path::Path, port: &str) -> Value {
    let shown: Value = serde_json::from_str(&fine("show --json", file)).unwrap();
    let ports = shown["violations"].as_array().unwrap();
    ports.iter().find(|found| found["port"] == port).cloned().unwrap_or_default()
}

#[test]
fn a_policy_holds_while_the_topology_is_up() {
    in_host(|_| {
        let file = lab();
        let before = state_of_the_host();
        let planned = topology("diff", &file).out;
        assert!(
            planned.contains(
                "+ cable good/eth0 - host/good-eth0 (on br0) policy enforce 10.1.1.1 fd00:1::1\n\
                 + cable bad/eth0 - host/bad-eth0 (on br0) policy observe 10.1.1.2\n\
                 + cable free/eth0 - host/free-eth0 (on br0)\n"
            ),
            "{planned}"
        );
        assert!(fine("show --svg", &file).contains(">enforce</text>"));
        assert!(fine("show --dot", &file).contains("good-eth0\\nenforce"));
        assert_eq!(fine("up", &file), planned);
        let up = state_of_the_host();
        assert_eq!([filters("good-eth0"), filters("bad-eth0"), filters("free-eth0")], [2, 2, 0]);

        // Honest frames pass, including IPv6 and its link-local address.
        for (from, to) in [("good", "10.1.1.3"), ("bad", "10.1.1.1"), ("free", "10.1.1.2")] {
            assert!(pings(from, to), "{from} -> {to}");
        }
        ip("-n free addr add fd00:1::3/64 dev eth0 nodad");
        tests::eventually("IPv6 passes", || pings("free", "fd00:1::1") && pings("good", "fd00:1::3"));
        assert_eq!(fine("show", &file).lines().filter(|line| line.contains("-foreign")).count(), 0);
        assert!(
            fine("show", &file).contains("good/eth0 10.1.1.1/24 fd00:1::1/64 by good-eth0, policy enforce")
        );
        assert!(fine("show", &file).contains("by free-eth0, no policy\n"));

        // From an address that is not theirs: dropped at one port, passed at the other, counted at both.
        for namespace in ["good", "bad", "free"] {
            ip(&format!("-n {namespace} addr add 10.1.1.77/32 dev eth0"));
        }
        ip("-n free route add 10.1.1.77/32 dev eth0 metric 1");
        assert!(!pings("good", "-I 10.1.1.77 10.1.1.3"));
        pings("bad", "-I 10.1.1.77 10.1.1.3");
        let good = violations(&file, "good-eth0");
        assert!(good["dropped"].as_u64() >= Some(1), "{good}");
        let bad = violations(&file, "bad-eth0");
        assert_eq!(bad["dropped"], 0);
        let found = bad["violations"].as_object().unwrap();
        assert!(
            found.contains_key("ipv4-source-foreign") || found.contains_key("arp-sender-address"),
            "{bad}"
        );
        assert_eq!(violations(&file, "free-eth0"), Value::Null);
        assert!(fine("show", &file).lines().any(|line| line.starts_with("host/bad-eth0: ")));

        // What was added by hand is left alone; a second `up` changes nothing, not even the counters.
        assert_eq!(fine("up", &file), "");
        assert_eq!(state_of_the_host(), up);
        assert_eq!(violations(&file, "bad-eth0"), bad);
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_policy_is_edited_put_right_and_removed() {
    in_host(|_| {
        let file = lab();
        fine("up", &file);
        // One port gets another mode, one gets other addresses, a third is judged from now on.
        edit(&file, "policy = \"observe\"", "policy = { mode = \"enforce\", permit = [\"router\"] }");
        edit(&file, "\"10.1.1.3/24\"]", "\"10.1.1.3/24\"], policy = { networks = [\"10.0.0.0/8\"] }");
        // What has to meet the barrier is forwarded.
        let expected = "~ host/bad-eth0: group_fwd_mask 0x4001\n\
            ~ host/bad-eth0: policy enforce 10.1.1.2 router\n\
            + host/free-eth0: policy observe 10.1.1.3 10.0.0.0/8\n";
        assert_eq!(topology("diff", &file).out, expected);
        assert_eq!(fine("up", &file), expected);
        assert_eq!([filters("good-eth0"), filters("bad-eth0"), filters("free-eth0")], [2, 2, 2]);
        assert_eq!(fine("diff", &file), "");
        ip("-n bad addr add 10.1.1.77/32 dev eth0");
        assert!(!pings("bad", "-I 10.1.1.77 10.1.1.3"));
        assert!(violations(&file, "bad-eth0")["dropped"].as_u64() >= Some(1));

        // The address of an interface is what it may send from.
        edit(&file, "10.1.1.2/24", "10.1.1.22/24");
        assert_eq!(
            fine("up", &file),
            "- bad/eth0: address 10.1.1.2/24\n~ host/bad-eth0: policy enforce 10.1.1.22 router\n\
             + bad/eth0: address 10.1.1.22/24\n"
        );
        assert!(pings("bad", "10.1.1.1"));

        // Somebody removes one filter, or all of them; they come back.
        tc("filter del dev bad-eth0 ingress");
        tc("qdisc del dev good-eth0 clsact");
        let expected = "+ host/good-eth0: policy enforce 10.1.1.1 fd00:1::1\n\
            + host/bad-eth0: policy enforce 10.1.1.22 router\n";
        assert_eq!(fine("up", &file), expected);
        assert_eq!([filters("good-eth0"), filters("bad-eth0"), filters("free-eth0")], [2, 2, 2]);
        assert!(!pings("bad", "-I 10.1.1.77 10.1.1.3"));

        // Without the policy nothing of it is left, and the cable stays.
        let index = |port: &str| ip(&format!("-o link show {port}")).split(':').next().map(str::to_owned);
        let before = index("bad-eth0");
        edit(&file, ", policy = { mode = \"enforce\", permit = [\"router\"] }", "");
        assert_eq!(fine("up", &file), "~ host/bad-eth0: group_fwd_mask 0x0\n- host/bad-eth0: policy\n");
        assert!(!tc("qdisc show dev bad-eth0").contains("clsact"));
        assert_eq!(index("bad-eth0"), before);
        fine("down", &file);
    });
}

#[test]
fn a_policy_in_a_namespace_and_after_a_kill() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        std::fs::write(
            &file,
            "[namespace.sw]\n[bridge.br0]\nnamespace = 'sw'\n[namespace.a]\n\
             interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24'], policy = 'enforce' }\n\
             [namespace.b]\ninterface.eth0 = { bridge = 'br0', addresses = ['10.1.1.2/24'] }\n",
        )
        .unwrap();
        let before = state_of_the_host();
        for delay in [5, 15, 30, 45, 60] {
            let mut child = xtask("up --quiet /run/lab.toml").spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(delay));
            child.kill().unwrap();
            child.wait().unwrap();
            fine("up", &file);
            assert_eq!(fine("diff", &file), "");
            assert!(pings("a", "10.1.1.2"));
            ip("-n a addr add 10.1.1.77/32 dev eth0");
            assert!(!pings("a", "-I 10.1.1.77 10.1.1.2"));
            assert!(violations(&file, "a-eth0")["dropped"].as_u64() >= Some(1), "after {delay} ms");
            fine("down", &file);
            assert_eq!(state_of_the_host(), before, "after {delay} ms");
        }
    });
}

#[test]
fn errors_in_a_policy_have_line_and_column() {
    in_host(|_| {
        for (policy, message) in [
            ("'drop'", "3:45: there is no mode \"drop\"; expected \"observe\" or \"enforce\""),
            ("7", "3:45: invalid type: integer `7`, expected \"observe\", \"enforce\" or a table"),
            (
                "{ mod = 'enforce' }",
                "3:47: unknown field `mod`, expected one of `mode`, `group`, `networks`, `permit`, \
                                     `ether_types`, `ipv6`, `host`, `forward`, `egress`, `limit`",
            ),
            (
                "{ permit = ['rooter'] }",
                "3:57: there is no permission \"rooter\"; expected one of: vlan, router, \
                                         dhcp-server, dhcp-client, dhcp-relay, icmp-errors, multicast-router",
            ),
            (
                "{ networks = ['fd00::/64'], ipv6 = false }",
                "3:80: it may send from fd00::/64; expected no IPv6 address and no IPv6 network",
            ),
            (
                "{ networks = ['10.0.0.1/8'] }",
                "3:59: 10.0.0.1/8 is an address in a network; expected 10.0.0.0/8",
            ),
            ("{ ether_types = [46] }", "3:62: 0x002e is a length; expected an EtherType of 0x0600 or more"),
            (
                "{ networks = ['10.1.0.0/16', '10.2.0.0/16', '10.3.0.0/16', '10.4.0.0/16', '10.5.0.0/16'] }",
                "3:45: a port has at most 4 networks of each family, 4 EtherTypes of its own, and 8 services of the \
                 host; expected fewer",
            ),
        ] {
            let text = format!(
                "[bridge.br0]\n[namespace.a]\ninterface.eth0 = {{ bridge = 'br0', policy = {policy} }}\n"
            );
            std::fs::write("/run/lab.toml", text).unwrap();
            let run = done(&mut xtask("up /run/lab.toml"));
            let first = run.err.lines().next().unwrap_or_default();
            assert_eq!((run.code, first), (Some(1), &*format!("error: /run/lab.toml:{message}")));
        }
        let peers = "[namespace.a]\ninterface.x = { peer = 'a/y', policy = 'enforce' }\ninterface.y = { peer = 'a/x' }\n";
        std::fs::write("/run/lab.toml", peers).unwrap();
        let run = done(&mut xtask("show /run/lab.toml"));
        assert!(
            run.err.contains(":2:40: a policy is judged at the port of a bridge; expected `bridge`"),
            "{}",
            run.err
        );
    });
}
