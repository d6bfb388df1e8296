//! Hosts as they are: with Docker's rules, a VPN's routes, other people's filters; containers with read-only settings;
//! root of a user namespace.

use crate::{Done, done, finished, state_of_the_host, xtask};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;
use tests::{eventually, in_host, ip, oracle, run, skip, tc};

/// Runs a command and checks that it leaves the host as it was.
fn unchanged(command: &mut Command) -> Done {
    let before = state_of_the_host();
    let run = done(command);
    assert_eq!(state_of_the_host(), before, "{}", run.err);
    run
}

fn summary(run: &Done) -> Value {
    run.lines("summary").pop().unwrap_or_else(|| panic!("no summary: {}{}", run.out, run.err))
}

#[test]
fn with_read_only_settings_a_run_warns_and_goes_on() {
    in_host(|host| {
        host.make_settings_read_only();
        for arguments in ["run", "run --isolated", "run --subnet6 fd00:1::/64", "run --topology pair"] {
            let run = unchanged(&mut xtask(&format!("{arguments} --duration 0.5 --json")));
            assert_eq!(run.code, Some(0), "{arguments}: {}{}", run.out, run.err);
            let warning = "warning: ip_forward stays off; the host routes nothing for them: write sysctl \
                           net/ipv4/ip_forward=1: Read-only file system (os error 30)\n";
            // A pair of namespaces with a cable needs nothing of the host.
            assert_eq!(run.err, if arguments.contains("pair") { "" } else { warning }, "{arguments}");
            let summary = summary(&run);
            assert_eq!((&summary["pings"], &summary["exact"]), (&summary["pings_ok"], &json!(true)));
        }
        // What was kept is removed, and no setting has to be put back.
        assert_eq!(done(&mut xtask("run --keep --duration 0.2 --json")).code, Some(0));
        let clean = done(&mut xtask("clean"));
        assert_eq!((clean.code, clean.err.as_str()), (Some(0), ""));
        host.assert_clean();
    });
}

/// Has the host's rules judge bridged frames; skips the test where that is not possible.
fn judge_bridged_frames() {
    // A module, on Debian's kernels.
    let _ = Command::new("modprobe").arg("br_netfilter").output();
    for (setting, package) in [("iptables", "iptables"), ("ip6tables", "ip6tables")] {
        if fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{setting}"), "1").is_err() {
            skip(&format!("no br_netfilter for {package} (CONFIG_BRIDGE_NETFILTER)"));
        }
    }
}

/// The rest of a test whose host drops forwarded packets.
fn run_behind_a_policy_of_drop() {
    let run = unchanged(&mut xtask("run --duration 0.5 --json"));
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let summary = summary(&run);
    // Between the host and a namespace nothing is forwarded.
    assert_eq!((&summary["pings"], &summary["pings_ok"]), (&json!(6), &json!(4)));
    assert_eq!((&summary["exact"], &summary["leftovers"]), (&json!(true), &json!([])));
    assert_eq!(summary["traffic_failed"], json!(["TCP ns1 -> ns2: connection timed out"]));
    let hint =
        "net.bridge.bridge-nf-call-iptables is 1, so the host's chain FORWARD judges what passes over br0;";
    assert!(summary["hint"].as_str().unwrap().starts_with(hint), "{summary}");
    assert!(run.err.starts_with(&format!("hint: {hint}")), "{}", run.err);

    let run = unchanged(&mut xtask("run --duration 0.5"));
    assert_eq!(run.code, Some(1));
    for line in
        ["\npings     4 of 6 answered\n", "\ntraffic   NOT started: TCP ns1 -> ns2: connection timed out\n"]
    {
        assert!(run.out.contains(line), "{}", run.out);
    }
    // In a host of its own the policy does not apply.
    let run = unchanged(&mut xtask("run --isolated --duration 0.5 --json"));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
    // As the hint says.
    fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0").unwrap();
    let run = unchanged(&mut xtask("run --duration 0.5 --json"));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
}

/// Like a Docker host of old, and some today.
#[test]
fn where_iptables_drops_forwarded_packets_a_run_names_the_setting() {
    in_host(|_| {
        judge_bridged_frames();
        if !oracle("iptables-legacy").args(["-P", "FORWARD", "DROP"]).output().unwrap().status.success() {
            skip("no legacy iptables (CONFIG_IP_NF_FILTER)");
        }
        run_behind_a_policy_of_drop();
    });
}

#[test]
fn where_nftables_drops_forwarded_packets_a_run_names_the_setting() {
    in_host(|_| {
        judge_bridged_frames();
        if !oracle("iptables-nft").args(["-P", "FORWARD", "DROP"]).output().unwrap().status.success() {
            skip("no nftables (CONFIG_NF_TABLES)");
        }
        run_behind_a_policy_of_drop();
    });
}

/// Unless pings are lost, the setting is not mentioned: it is on by default.
#[test]
fn a_chain_that_accepts_is_no_obstacle() {
    in_host(|_| {
        judge_bridged_frames();
        let run = unchanged(&mut xtask("run --subnet6 fd00:1::/64 --duration 0.5 --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
        assert_eq!(summary(&run)["hint"], Value::Null);
    });
}

#[test]
fn a_vpns_two_halves_count_as_default_routes() {
    in_host(|_| {
        ip("link add vpn0 type veth peer name vpn1");
        for end in ["vpn0", "vpn1"] {
            // A link-local address would change from tentative to valid meanwhile.
            ip(&format!("link set {end} addrgenmode none"));
            ip(&format!("link set {end} up"));
        }
        tests::eventually("both have a carrier", || !ip("link show").contains("NO-CARRIER"));
        for half in ["0.0.0.0/1", "128.0.0.0/1"] {
            ip(&format!("route add {half} dev vpn0"));
        }
        for half in ["::/1", "8000::/1"] {
            ip(&format!("-6 route add {half} dev vpn0"));
        }
        let run = unchanged(&mut xtask("run --subnet6 fd00:1::/64 --duration 0.5 --json"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{}", run.out);
        let file = "/run/lab.toml";
        fs::write(file, "[bridge.br0]\naddresses = [\"10.1.1.254/24\", \"fd00:1::fe/64\"]\n").unwrap();
        let up = done(&mut xtask(&format!("up {file}")));
        assert_eq!((up.code, up.err.as_str()), (Some(0), ""));
        assert_eq!(done(&mut xtask(&format!("down {file}"))).code, Some(0));
    });
}

#[test]
fn other_peoples_hooks_on_their_bridges_stay() {
    in_host(|_| {
        ip("link add docker0 type bridge");
        ip("addr add 172.17.0.1/16 dev docker0");
        ip("link add veth1 type veth peer name peer1");
        ip("link set veth1 master docker0");
        for link in ["docker0", "veth1", "peer1"] {
            ip(&format!("link set {link} addrgenmode none"));
            ip(&format!("link set {link} up"));
            tc(&format!("qdisc add dev {link} clsact"));
            let add = ["filter", "add", "dev", link, "ingress", "bpf", "bytecode", "1,6 0 0 4294967295"];
            let _ = run(oracle("tc").args(add).args(["classid", "1:1"]));
        }
        let filters =
            || ["docker0", "veth1", "peer1"].map(|link| tc(&format!("filter show dev {link} ingress")));
        let before = filters();
        let done = unchanged(&mut xtask("run --duration 0.5 --json"));
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{}", done.out);
        assert_eq!(filters(), before);
    });
}

#[test]
fn root_of_a_user_namespace_in_the_hosts_network_is_refused_by_that_name() {
    in_host(|_| {
        let inside = |arguments: &str| {
            let mut command = oracle("unshare");
            command.args(["--user", "--map-root-user"]).arg(env!("CARGO_BIN_EXE_netns"));
            command.args(arguments.split_whitespace());
            command
        };
        if !oracle("unshare").args(["--user", "--map-root-user", "true"]).status().unwrap().success() {
            skip("this machine has no user namespaces");
        }
        let why = "; this network namespace belongs to another user namespace, where the capabilities of this one do \
                   not count: run it as root there, or in a network namespace of its own (unshare --net)\n";
        fs::write("/run/lab.toml", "[namespace.ns1]\n[bridge.br0]\n").unwrap();
        for (arguments, message) in [
            ("run --keep", "--keep takes CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN"),
            ("observe --cleanup", "this takes CAP_NET_ADMIN, CAP_SYS_ADMIN"),
            ("up /run/lab.toml", "this takes CAP_NET_ADMIN, CAP_SYS_ADMIN"),
            ("netns add ns1", "this takes CAP_SYS_ADMIN"),
        ] {
            let run = unchanged(&mut inside(arguments));
            assert_eq!((run.code, run.out.as_str()), (Some(1), ""), "{arguments}: {}", run.err);
            assert_eq!(run.err, format!("error: {message}{why}"), "{arguments}");
        }
        // It makes a user and a network namespace of its own, as it does for an ordinary user.
        let done = unchanged(&mut inside("run --duration 0.5 --json"));
        assert_eq!(done.code, Some(0), "{}{}", done.out, done.err);
        assert!(
            done.err.starts_with("not root: in a user namespace and a host network of its own"),
            "{}",
            done.err
        );
        // In a network namespace of its own it is root.
        let mut command = oracle("unshare");
        command.args(["--user", "--map-root-user", "--net"]).arg(env!("CARGO_BIN_EXE_netns"));
        let list = run(command.args(["netns", "list"]));
        assert_eq!(list, "");
    });
}

/// As systemd-networkd does with a file that matches every link.
#[test]
fn what_a_network_manager_takes_away_from_a_run_is_reported() {
    in_host(|_| {
        let mut command = xtask("run --duration 4 --subnet6 fd00:1::/64 --json");
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("it is watched", || {
            ip("-o link show").contains("veth-ns2") && !ip("netns list").is_empty()
        });
        // The pings are over within the first second.
        std::thread::sleep(Duration::from_secs(2));
        ip("link set veth-ns2 nomaster");
        ip("addr del 10.1.1.254/24 dev br0");
        let done = finished(child.wait_with_output().unwrap());
        assert_eq!(done.code, Some(1), "{}{}", done.out, done.err);
        let summary = summary(&done);
        assert_eq!(summary["changed"], json!(["veth-ns2 is not on br0 any more", "br0 has lost 10.1.1.254"]));
        assert_eq!((&summary["exact"], &summary["leftovers"]), (&json!(true), &json!([])));
    });
}

/// The kernel gives a link with so small an MTU no IPv6, and refuses every request about it, as with `ipv6.disable=1`.
#[test]
fn a_topology_of_links_too_small_for_ipv6_comes_up() {
    in_host(|host| {
        let text = "[bridge.br0]\naddresses = [\"10.1.1.254/24\"]\nmtu = 1000\n[namespace.ns1]\n\
                    interface.eth0 = { bridge = \"br0\", addresses = [\"10.1.1.1/24\"], mtu = 1000 }\n";
        fs::write("/run/lab.toml", text).unwrap();
        let up = done(&mut xtask("up /run/lab.toml"));
        assert_eq!((up.code, up.err.as_str()), (Some(0), ""));
        let diff = done(&mut xtask("diff /run/lab.toml"));
        assert_eq!((diff.code, diff.out.as_str()), (Some(0), ""));
        tests::ping("-c1 -W1", "10.1.1.1");
        assert_eq!(done(&mut xtask("down /run/lab.toml")).code, Some(0));
        host.assert_clean();
    });
}
