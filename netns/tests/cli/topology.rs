//! `up`, `diff`, `show` and `down` of the topologies in `examples/`: Debian's tools see what they make, an edit changes
//! only what it names, and nothing is left.

use crate::{Done, done, state_of_the_host, xtask};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{bridge_json, in_host, ip, ip_json, only, oracle};

pub(crate) const EXAMPLES: [&str; 5] = ["cable", "bridge", "bridge-host", "tenants", "two-bridges"];

/// A copy of an example in the host's own `/run`, to be edited.
pub(crate) fn example(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/{name}.toml"));
    let copy = PathBuf::from(format!("/run/{name}.toml"));
    std::fs::copy(source, &copy).expect("the example is there");
    copy
}

pub(crate) fn edit(file: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(file, text.replacen(from, to, 1)).unwrap();
}

pub(crate) fn topology(verb: &str, file: &Path) -> Done {
    done(&mut xtask(&format!("{verb} {}", file.display())))
}

/// A step that has to succeed; returns its output. Having nothing to do is no failure.
pub(crate) fn fine(verb: &str, file: &Path) -> String {
    let Done { code, out, err } = topology(verb, file);
    let nothing = [
        format!("{} is up: there is nothing to change\n", file.display()),
        format!("{} is not up: there is nothing to take down\n", file.display()),
    ];
    let idle = out.is_empty() && nothing.contains(&err);
    assert!(code == Some(0) && (err.is_empty() || idle), "{verb}: {code:?} {err}");
    out
}

fn pings(from: &str, to: &str) {
    let mut ping = oracle("ping");
    let mut words = vec!["-c", "1", "-W", "5", "-q", to];
    if from != "host" {
        let program = ping.get_program().to_owned();
        ping = oracle("ip");
        ping.args(["netns", "exec", from]).arg(program);
    }
    let _ = tests::run(ping.args(words.drain(..)));
}

#[test]
fn every_example_goes_up_twice_and_down_without_a_trace() {
    for name in EXAMPLES {
        in_host(|_| {
            let file = example(name);
            let before = state_of_the_host();
            let planned = topology("diff", &file);
            assert_eq!((planned.code, planned.err.as_str()), (Some(1), ""));
            assert_eq!(fine("up", &file), planned.out, "{name}: what `diff` lists is what `up` does");
            let up = state_of_the_host();
            assert_ne!(up, before);
            assert_eq!(fine("up", &file), "", "{name}");
            assert_eq!(fine("diff", &file), "", "{name}");
            assert_eq!(state_of_the_host(), up, "{name}");
            fine("down", &file);
            assert_eq!(state_of_the_host(), before, "{name}");
            assert_eq!(fine("down", &file), "", "{name}");
        });
    }
}

#[test]
fn the_cable() {
    in_host(|_| {
        let file = example("cable");
        fine("up", &file);
        pings("ns1", "10.0.0.2");
        pings("ns2", "fd00::1");
        let eth0 = || only(&ip_json("-n ns1 link show eth0"));
        assert_eq!(eth0()["linkinfo"]["info_kind"], "veth");
        // Before Linux 6.8 the kernel takes its own time for this.
        tests::eventually("it is up", || eth0()["operstate"] == "UP");
        assert_eq!(ip_json("link show").as_array().unwrap().len(), 1, "the host has no part in it");
        fine("down", &file);
    });
}

#[test]
fn the_bridge() {
    in_host(|_| {
        let file = example("bridge");
        fine("up", &file);
        pings("ns1", "10.1.1.2");
        pings("ns3", "fd00:1::1");
        assert_eq!(bridge_json("link show").as_array().unwrap().len(), 3);
        assert!(only(&ip_json("addr show br0"))["addr_info"].as_array().unwrap().is_empty());
        assert_eq!(ip("netns pids ns1"), "");
        assert_ne!(ip("netns pids ns3"), "", "its command runs");
        fine("down", &file);
    });
}

#[test]
fn the_bridge_with_the_host() {
    in_host(|_| {
        let file = example("bridge-host");
        fine("up", &file);
        for (from, to) in [("ns1", "10.1.1.254"), ("host", "10.1.1.1"), ("ns1", "10.1.1.2")] {
            pings(from, to);
        }
        let ports = bridge_json("link show");
        let isolated = |name: &str| {
            let port = ports.as_array().unwrap().iter().find(|port| port["ifname"] == name).unwrap();
            port["isolated"].clone()
        };
        assert_eq!((isolated("ns1-eth0"), isolated("ns2-eth0")), (false.into(), true.into()));
        let link = |name: &str| only(&ip_json(&format!("link show {name}")));
        assert_eq!((&link("ns2-eth0")["mtu"], &link("br0")["mtu"]), (&1400.into(), &1400.into()));
        let forward = || std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
        assert_eq!(forward(), "1\n");
        fine("down", &file);
        assert_eq!(forward(), "0\n");
    });
}

#[test]
fn twenty_namespaces_on_two_bridges_with_a_router_between() {
    in_host(|_| {
        let file = example("two-bridges");
        fine("up", &file);
        assert_eq!(ip("netns list").lines().count(), 21);
        for (from, to) in [("west1", "10.2.0.10"), ("east3", "10.1.0.7"), ("west10", "10.1.0.1")] {
            pings(from, to);
        }
        // At once: no link-local address is still tentative.
        pings("west5", "fd00:2::5");
        let traced = tests::run(oracle("ip").args(["-n", "west1", "route", "get", "10.2.0.1"]));
        assert!(traced.contains("via 10.1.0.254"), "{traced}");
        fine("down", &file);
    });
}

#[test]
fn after_an_edit_only_what_differs_is_changed() {
    in_host(|_| {
        let file = example("bridge-host");
        fine("up", &file);
        let index = |link: &str| only(&ip_json(link))["ifindex"].clone();
        let before = [index("link show ns1-eth0"), index("-n ns1 link show eth0"), index("link show br0")];

        edit(&file, "10.1.1.2/24", "10.1.1.22/24");
        edit(&file, "mtu = 1400", "mtu = 1300");
        edit(&file, "isolated = true", "hairpin = true");
        edit(&file, "[namespace.ns1]", "[namespace.ns3]\n[namespace.ns1]");
        let expected = "\
            - ns2/eth0: address 10.1.1.2/24\n\
            + namespace ns3\n\
            ~ host/br0: mtu 1400 -> 1300\n\
            ~ host/ns2-eth0: mtu 1400 -> 1300\n\
            ~ host/ns2-eth0: hairpin on isolated off\n\
            ~ ns2/eth0: mtu 1400 -> 1300\n\
            + ns2/eth0: address 10.1.1.22/24\n";
        let planned = topology("diff", &file);
        assert_eq!((planned.code, planned.out.as_str()), (Some(1), expected));
        let changed = fine("up", &file);
        // With its last address the kernel removed the namespace's route, which comes back in a second round.
        assert_eq!(changed, format!("{expected}+ ns2: route default via 10.1.1.254\n"));
        assert_eq!(fine("diff", &file), "");
        let after = [index("link show ns1-eth0"), index("-n ns1 link show eth0"), index("link show br0")];
        assert_eq!(before, after, "what is the same was not touched");
        pings("host", "10.1.1.22");
        pings("ns2", "10.1.1.254");

        edit(&file, "[namespace.ns3]\n", "");
        edit(&file, "sysctl.\"net.ipv4.ip_forward\" = 1", "");
        assert_eq!(fine("up", &file), "~ host: net/ipv4/ip_forward 1 -> 0\n- namespace ns3\n");
        fine("down", &file);
    });
}

#[test]
fn drift_is_put_right_and_what_somebody_added_stays() {
    in_host(|_| {
        let file = example("bridge");
        fine("up", &file);
        ip("link set ns1-eth0 nomaster");
        ip("-n ns2 link set eth0 down");
        ip("-n ns3 addr del 10.1.1.3/24 dev eth0");
        ip("netns del ns3");
        ip("-n ns1 addr add 192.0.2.1/32 dev eth0");
        assert_eq!(topology("diff", &file).code, Some(1));
        fine("up", &file);
        pings("ns1", "10.1.1.3");
        pings("ns2", "10.1.1.1");
        assert!(ip("-n ns1 addr show eth0").contains("192.0.2.1/32"));
        fine("down", &file);
    });
}

#[test]
fn commands_start_once_and_end_with_everything_they_started() {
    in_host(|_| {
        let file = PathBuf::from("/run/run.toml");
        let commands = "run = ['sleep 1000 & sleep 1000', 'echo once >>/run/once']";
        std::fs::write(&file, format!("[namespace.ns1]\n{commands}\n")).unwrap();
        std::fs::create_dir_all("/run/etc").unwrap();
        fine("up", &file);
        tests::eventually("both run", || std::path::Path::new("/run/once").exists());
        // Two, their shell, and its waiting child.
        tests::eventually("one has ended", || ip("netns pids ns1").lines().count() == 4);
        let pids = ip("netns pids ns1");
        fine("up", &file);
        assert_eq!(std::fs::read_to_string("/run/once").unwrap(), "once\n");
        assert_eq!(ip("netns pids ns1"), pids);
        // A process that somebody else started there is left alone.
        let mut other = oracle("ip").args(["netns", "exec", "ns1", "sleep", "1000"]).spawn().unwrap();
        edit(&file, commands, "");
        assert_eq!(fine("up", &file), "- ns1: run sleep 1000 & sleep 1000\n");
        assert_eq!(ip("netns pids ns1").trim(), other.id().to_string());
        fine("down", &file);
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    });
}

#[test]
fn commands_of_another_hosts_file_of_the_same_name_are_left_alone() {
    in_host(|_| {
        // Each has its own /run, as containers have, and both see all processes.
        let file = PathBuf::from("/run/run.toml");
        let text = "[namespace.ns1]\nrun = ['sleep 1000']\n";
        std::fs::write(&file, text).unwrap();
        fine("up", &file);
        let pids = ip("netns pids ns1");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                in_host(|_| {
                    std::fs::write("/run/run.toml", text).unwrap();
                    let file = PathBuf::from("/run/run.toml");
                    assert!(fine("up", &file).contains("+ ns1: run sleep 1000\n"));
                    fine("down", &file);
                });
            });
            other.join().unwrap();
        });
        assert_eq!(ip("netns pids ns1"), pids, "it runs on");
        assert_eq!(fine("diff", &file), "");
        fine("down", &file);
    });
}

#[test]
fn down_cleans_up_after_a_kill_at_any_moment() {
    in_host(|_| {
        let file = example("two-bridges");
        let before = state_of_the_host();
        for delay in [2, 6, 10, 15, 20, 30, 45] {
            let mut child = xtask(&format!("up --quiet {}", file.display())).spawn().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(delay));
            child.kill().unwrap();
            child.wait().unwrap();
            fine("down", &file);
            assert_eq!(state_of_the_host(), before, "after {delay} ms");
        }
        // And `up` goes on from where it was killed.
        let mut child = xtask(&format!("up --quiet {}", file.display())).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(15));
        child.kill().unwrap();
        child.wait().unwrap();
        fine("up", &file);
        pings("west1", "10.2.0.1");
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_name_without_its_namespace_gets_one() {
    in_host(|_| {
        let file = example("two-bridges");
        let before = state_of_the_host();
        fine("up", &file);
        // As if killed between creating the name and binding the namespace to it.
        let lose = || tests::run(Command::new("umount").args(["-n", "/run/netns/west4"]));
        assert_eq!(lose(), "");
        assert!(std::fs::exists("/run/netns/west4").unwrap());
        fine("up", &file);
        assert_eq!(fine("diff", &file), "");
        pings("west4", "10.2.0.1");
        assert_eq!(lose(), "");
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn show_reports_the_state_and_draws() {
    in_host(|_| {
        let file = example("two-bridges");
        assert!(fine("show", &file).starts_with("/run/two-bridges.toml: not up\nbridge host/west\n"));
        fine("up", &file);
        assert!(fine("show", &file).starts_with("/run/two-bridges.toml: up\n"));
        ip("link set west1-eth0 down");
        assert!(fine("show", &file).starts_with("/run/two-bridges.toml: up, and differs in 1: see `diff`\n"));
        fine("down", &file);

        let svg = fine("show --svg", &file);
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        for name in ["router", "west10", "east10", "10.2.0.254/24"] {
            assert!(svg.contains(name), "{name}");
        }
        let json: Value = serde_json::from_str(&fine("show --json", &file)).unwrap();
        assert_eq!((json["cables"].as_array().unwrap().len(), &json["up"]), (22, &false.into()));
    });
}

/// Links with one end: made, changed by making them anew, and taken down with the links that they are on.
#[test]
fn links_of_other_kinds_and_options_of_ports_and_bridges() {
    in_host(|_| {
        let file = PathBuf::from("/run/links.toml");
        std::fs::write(
            &file,
            "[bridge.br0]
            addresses = ['10.1.1.254/24']
            options = { priority = 7, mcast_query_interval = 9000 }
            [namespace.ns1]
            interface.eth0 = { bridge = 'br0', port = { cost = 9, fastleave = true } }
            interface.x1 = { type = 'macvlan', link = 'x0' }
            interface.x0 = { type = 'vxlan', link = 'eth0', options = { id = 5, remote = '10.1.1.2', dstport = 4789 } }
            interface.m0 = { type = 'macvlan', link = 'eth0', options = { mode = 'bridge' }, addresses = ['10.1.1.1/24'] }
            routes = [{ to = 'default', via = '10.1.1.254' }]",
        )
        .unwrap();
        let before = state_of_the_host();
        let planned = topology("diff", &file);
        assert_eq!((planned.code, planned.err.as_str()), (Some(1), ""));
        assert_eq!(fine("up", &file), planned.out);
        let lines = "+ vxlan ns1/x0 on eth0 id 5 remote 10.1.1.2 dstport 4789\n+ macvlan ns1/m0 on eth0 mode bridge\n\
                     + macvlan ns1/x1 on x0\n";
        assert!(planned.out.contains(lines), "what is on another link comes after it: {}", planned.out);
        assert_eq!((fine("up", &file), fine("diff", &file)), (String::new(), String::new()));
        let inside = |link: &str| only(&ip_json(&format!("-n ns1 link show {link}")));
        assert_eq!(inside("m0")["linkinfo"]["info_data"]["mode"], "bridge");
        assert_eq!(inside("x0")["linkinfo"]["info_data"]["remote"], "10.1.1.2");
        assert_eq!(
            (&inside("x1")["link"], &inside("x0")["linkinfo"]["info_data"]["link"]),
            (&"x0".into(), &"eth0".into())
        );
        let port = only(&ip_json("link show ns1-eth0"));
        let port = &port["linkinfo"]["info_slave_data"];
        assert_eq!((&port["cost"], &port["fastleave"]), (&9.into(), &true.into()));
        let bridge = only(&ip_json("link show br0"));
        let bridge = &bridge["linkinfo"]["info_data"];
        assert_eq!((&bridge["priority"], &bridge["mcast_query_intvl"]), (&7.into(), &9000.into()));
        pings("ns1", "10.1.1.254");

        edit(&file, "mode = 'bridge'", "mode = 'vepa'");
        edit(&file, "cost = 9, ", "");
        edit(&file, "priority = 7", "priority = 8");
        let planned = topology("diff", &file).out;
        assert_eq!(
            planned,
            "- link ns1/m0\n~ host/br0: priority 8\n+ macvlan ns1/m0 on eth0 mode vepa\n+ ns1/m0: address 10.1.1.1/24\n"
        );
        fine("up", &file);
        assert_eq!(inside("m0")["linkinfo"]["info_data"]["mode"], "vepa");
        assert_eq!(fine("diff", &file), "");
        pings("ns1", "10.1.1.254");
        let shown = fine("show", &file);
        assert!(shown.contains("macvlan ns1/m0 10.1.1.1/24 on eth0"), "{shown}");

        // Somebody else's link that is in the way is left alone.
        edit(&file, "interface.x1 =", "interface.x2 =");
        ip("-n ns1 link add x2 type bridge");
        let refused = topology("up", &file);
        assert!(refused.code == Some(1) && refused.err.contains("link ns1/x2 exists"), "{}", refused.err);
        ip("-n ns1 link delete x2");
        fine("up", &file);
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}
