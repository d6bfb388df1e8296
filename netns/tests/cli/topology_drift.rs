//! What somebody, or a kill, changed in a topology: it is noticed, and put right or named.

use crate::ours::run_traced;
use crate::topology::{edit, example, fine, topology};
use crate::{done, state_of_the_host, xtask};
use netns_core::{IfName, link};
use std::fs;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tests::{Verdict, attach_tcx, in_host, ip, ip_json, kernel_version, load_program, only, oracle, tc};

fn lab(text: &str) -> PathBuf {
    let file = PathBuf::from("/run/lab.toml");
    fs::write(&file, text).unwrap();
    file
}

fn mac(of: &str) -> String {
    only(&ip_json(of))["address"].as_str().unwrap().to_owned()
}

#[test]
fn an_interface_with_a_mac_that_was_deleted_is_made_again() {
    in_host(|_| {
        let file = lab("[bridge.br0]\nmac = '02:00:00:00:00:99'\n[namespace.l1]\n\
            interface.eth0 = { bridge = 'br0', mac = '02:00:00:00:00:01', addresses = ['10.1.1.1/24'] }\n");
        let before = state_of_the_host();
        fine("up", &file);
        for _ in 0..2 {
            ip("-n l1 link del eth0");
            assert_eq!(
                fine("up", &file),
                "+ cable l1/eth0 - host/l1-eth0 (on br0)\n+ l1/eth0: address 10.1.1.1/24\n"
            );
            assert_eq!(fine("diff", &file), "");
            assert_eq!(mac("-n l1 link show eth0"), "02:00:00:00:00:01");
        }
        // An edit that makes the interface anew under another name, and the bridge too.
        edit(&file, "interface.eth0", "interface.net0");
        let changed = fine("up", &file);
        assert_eq!(changed.matches("+ cable").count(), 1, "{changed}");
        ip("link del br0");
        fine("up", &file);
        let record = fs::read_dir("/run/netns-topology").unwrap().next().unwrap().unwrap().path();
        let record = fs::read_to_string(record).unwrap();
        let entries = |kind: &str| record.lines().filter(|line| line.starts_with(kind)).count();
        assert_eq!((entries("bridge "), entries("cable ")), (1, 1), "one entry an interface: {record}");
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_mac_address_that_was_changed_by_hand_is_put_back() {
    in_host(|_| {
        let file = example("bridge");
        let before = state_of_the_host();
        fine("up", &file);
        let (bridge, inside) = (mac("link show br0"), mac("-n ns1 link show eth0"));
        let index = only(&ip_json("link show br0"))["ifindex"].clone();
        let by_hand = || {
            ip("link set br0 address 02:00:00:00:00:07");
            ip("-n ns1 link set eth0 address 02:00:00:00:00:08");
        };
        by_hand();
        let expected = format!(
            "~ ns1/eth0: mac 02:00:00:00:00:08 -> {inside}\n~ host/br0: mac 02:00:00:00:00:07 -> {bridge}\n"
        );
        assert_eq!(topology("diff", &file).out, expected);
        assert_eq!(fine("up", &file), expected);
        assert_eq!([mac("link show br0"), mac("-n ns1 link show eth0")], [bridge, inside]);
        assert_eq!(only(&ip_json("link show br0"))["ifindex"], index, "it was not made anew");
        assert_eq!(fine("diff", &file), "");
        assert!(is_reached("ns3", "10.1.1.1"), "and its neighbours know");
        by_hand();
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn what_was_renamed_by_hand_is_renamed_back_and_taken_down() {
    in_host(|_| {
        let file = example("bridge-host");
        let before = state_of_the_host();
        fine("up", &file);
        let rename = |place: &str, from: &str, to: &str| {
            ip(&format!("{place} link set {from} down"));
            ip(&format!("{place} link set {from} name {to}"));
            ip(&format!("{place} link set {to} up"));
        };
        let index = only(&ip_json("link show br0"))["ifindex"].clone();
        rename("", "br0", "lan0");
        rename("", "ns1-eth0", "uplink");
        rename("-n ns2", "eth0", "wan0");
        let planned = topology("diff", &file).out;
        for line in [
            "~ host/br0: name lan0 -> br0",
            "~ host/ns1-eth0: name uplink -> ns1-eth0",
            "~ ns2/eth0: name wan0 -> eth0",
        ] {
            assert!(planned.lines().any(|planned| planned == line), "{planned}");
        }
        fine("up", &file);
        assert_eq!(only(&ip_json("link show br0"))["ifindex"], index, "it was not made anew");
        assert_eq!(fine("diff", &file), "");
        for (from, to) in [("ns1", "10.1.1.2"), ("ns2", "10.1.1.254")] {
            assert!(is_reached(from, to), "{from} -> {to}");
        }
        rename("", "br0", "lan0");
        rename("", "ns1-eth0", "uplink");
        // A new link of somebody else's with our link's old name.
        ip("link add br0 type bridge");
        let refused = topology("up", &file);
        let theirs =
            "link host/br0 exists and was not made by this topology, whose own is called lan0 by now";
        assert!(refused.code == Some(1) && refused.err.contains(theirs), "{}", refused.err);
        fine("down", &file);
        assert_eq!(only(&ip_json("link show br0"))["operstate"], "DOWN");
        ip("link del br0");
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_file_that_was_moved_is_the_same_topology() {
    in_host(|_| {
        let (file, moved) = (example("bridge"), PathBuf::from("/run/moved.toml"));
        let before = state_of_the_host();
        fine("up", &file);
        let pids = ip("netns pids ns3");
        assert_ne!(pids, "", "its command runs");
        fs::rename(&file, &moved).unwrap();
        assert_eq!(fine("diff", &moved), "");
        assert!(fine("show", &moved).contains(": running\n"));
        fine("logs", &moved);
        assert!(
            done(&mut xtask("labs")).out.starts_with("/run/bridge.toml: up"),
            "nothing has changed it yet"
        );
        assert_eq!(fine("up", &moved), "");
        assert_eq!(done(&mut xtask("labs")).out, "/run/moved.toml: up, 3 namespaces, 1 bridge\n");
        fine("logs", &moved);
        // From now on it is known by that path, whatever the file says.
        edit(&moved, "[namespace.ns1]", "[namespace.ns4]\n[namespace.ns1]");
        assert_eq!(fine("up", &moved), "+ namespace ns4\n");
        assert_eq!(ip("netns pids ns3"), pids, "its command was not started again");
        fs::rename(&moved, &file).unwrap();
        assert!(fine("down", &file).contains("- ns3: run"));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn an_error_names_the_file_that_has_the_record() {
    in_host(|_| {
        let file = example("bridge");
        fine("up", &file);
        fs::rename(&file, "/run/moved.toml").unwrap();
        // A file that says something else is another topology.
        edit(Path::new("/run/moved.toml"), "[namespace.ns1]", "[namespace.ns4]\n[namespace.ns1]");
        let refused = topology("up", Path::new("/run/moved.toml"));
        assert_eq!(refused.code, Some(1));
        let whose = "and is of the topology /run/bridge.toml, which is up: take that down (`netns down \
                     /run/bridge.toml`), or choose another name";
        for thing in ["error: namespace ns1", "link host/br0"] {
            assert!(refused.err.contains(&format!("{thing} exists {whose}\n")), "{}", refused.err);
        }
        // The suggested command helps.
        assert_eq!(done(&mut xtask("down /run/bridge.toml")).code, Some(0));
        fine("up", Path::new("/run/moved.toml"));
        fine("down", Path::new("/run/moved.toml"));
    });
}

#[test]
fn after_a_kill_at_any_request_no_link_has_an_address_the_kernel_made() {
    in_host(|_| {
        let file = lab("[bridge.br0]\n[namespace.a]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24'] }\n");
        let inet6 = || ip("-o -6 addr show") + &ip("-n a -o -6 addr show dev eth0");
        fine("up", &file);
        let expected = inet6();
        assert!(!expected.contains("fe80::"), "{expected}");
        fine("down", &file);
        let (_, trace) = run_traced("-e trace=sendto", "up --quiet /run/lab.toml");
        fine("down", &file);
        let requests = trace.lines().filter(|line| line.contains(" sendto(")).count();
        assert!(requests > 10, "{trace}");
        for number in 1..=requests {
            let kill = format!("-e trace=sendto -e inject=sendto:signal=KILL:when={number}");
            run_traced(&kill, "up --quiet /run/lab.toml");
            fine("up", &file);
            // The kernel makes its own as soon as a link is up.
            assert_eq!(inet6(), expected, "killed at request {number} of {requests}");
            assert_eq!(fine("diff", &file), "");
            fine("down", &file);
        }
    });
}

/// Found by `cargo xtask faults`: what could not be read for want of a descriptor was taken for missing, and stayed
/// when the rest was undone.
#[test]
fn a_namespace_that_cannot_be_opened_is_not_taken_for_missing() {
    in_host(|_| {
        let file = lab("[bridge.br0]\n[namespace.a]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24'] }\n");
        fine("up", &file);
        fine("down", &file);
        let before = state_of_the_host();
        let mut refused = 0;
        // On a busy machine other processes come and go, whose files are opened too: then another call is refused.
        for _ in 0..50 {
            let (_, trace) = run_traced("-e trace=openat", "up --quiet /run/lab.toml");
            fine("down", &file);
            let opens = (1..).zip(trace.lines().filter(|line| line.contains(" openat(")));
            let of_name: Vec<u32> =
                opens.filter(|(_, line)| line.contains("/netns/a\"")).map(|(number, _)| number).collect();
            assert!(!of_name.is_empty(), "{trace}");
            for number in of_name {
                let refuse = format!("-e trace=openat -e inject=openat:error=EMFILE:when={number}");
                let (output, trace) = run_traced(&refuse, "up --quiet /run/lab.toml");
                let err = String::from_utf8_lossy(&output.stderr);
                if !trace.lines().any(|line| line.contains("/netns/a\"") && line.contains("(INJECTED)")) {
                    fine("down", &file);
                    continue;
                }
                refused += 1;
                assert_eq!(output.status.code(), Some(2), "{number}: {err}");
                assert!(err.contains("Too many open files"), "{number}: {err}");
                assert_eq!(state_of_the_host(), before, "{number}: {err}");
            }
            if refused > 0 {
                break;
            }
        }
        assert_ne!(refused, 0);
    });
}

#[test]
fn addresses_that_the_kernel_made_are_a_difference() {
    in_host(|_| {
        let file = lab("[bridge.br0]\n[namespace.a]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24'] }\n");
        fine("up", &file);
        ip("link set br0 addrgenmode eui64");
        ip("link set br0 down");
        ip("link set br0 up");
        let has_one = || ip("-o -6 addr show dev br0").contains("fe80::");
        tests::eventually("the kernel makes one", has_one);
        let differs = topology("diff", &file);
        assert!(differs.out.contains("~ host/br0: addrgenmode eui64 -> none\n"), "{}", differs.out);
        fine("up", &file);
        assert!(!has_one());
        assert_eq!(fine("diff", &file), "");
        fine("down", &file);
    });
}

/// Whether an address is reached at once: unless it is announced, the kernel takes seconds to ask for the MAC address
/// anew.
fn is_reached(from: &str, to: &str) -> bool {
    let mut ping = oracle("ip");
    ping.args(["netns", "exec", from]).arg(oracle("ping").get_program());
    ping.args(["-c", "1", "-W", "1", "-q", to]).stdout(Stdio::null()).status().unwrap().success()
}

#[test]
fn a_router_that_is_made_anew_forwards_when_up_returns() {
    in_host(|_| {
        let file = example("two-bridges");
        let before = state_of_the_host();
        fine("up", &file);
        // Both know the way, and so whom they would send to.
        let across = |to: &[&str]| to.iter().all(|to| is_reached("west5", to));
        assert!(across(&["10.2.0.5", "fd00:2::5"]));
        ip("netns del router");
        ip("netns del east6");
        fine("up", &file);
        assert!(is_reached("west5", "fd00:2::5"), "over the new router, the first time that it is tried");
        assert!(across(&["fd00:2::6", "10.2.0.5", "10.2.0.6"]));
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn what_is_made_anew_is_reachable_when_up_returns() {
    in_host(|_| {
        let file = lab("[bridge.br0]\n[namespace.a]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24', 'fd00::1/64'] }\n[namespace.b]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.2/24', 'fd00::2/64'] }\n[namespace.c]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.3/24'] }\n");
        fine("up", &file);
        let both = ["10.1.1.2", "fd00::2"];
        let all_reached = |what: &str| {
            for to in both {
                assert!(is_reached("a", to), "{to}, {what}");
            }
        };
        all_reached("at first");
        let before = mac("-n b link show eth0");
        ip("netns del b");
        fine("up", &file);
        assert_eq!(mac("-n b link show eth0"), before, "the same interface has the same MAC address");
        all_reached("its namespace was deleted");

        edit(
            &file,
            "eth0 = { bridge = 'br0', addresses = ['10.1.1.2/24'",
            "net0 = { bridge = 'br0', addresses = ['10.1.1.2/24'",
        );
        fine("up", &file);
        assert_ne!(mac("-n b link show net0"), before);
        all_reached("renamed");

        // An address moves from one namespace to the other.
        let text = fs::read_to_string(&file).unwrap().replace("'10.1.1.2/24', 'fd00::2/64'", "'10.1.1.4/24'");
        fs::write(&file, text.replace("'10.1.1.3/24'", "'10.1.1.2/24', 'fd00::2/64'")).unwrap();
        fine("up", &file);
        all_reached("moved to another");
        assert!(ip("-n a neigh show 10.1.1.2").contains(&mac("-n c link show eth0")));
        fine("down", &file);
    });
}

#[test]
fn an_interface_has_the_same_mac_address_whenever_it_is_up() {
    in_host(|_| {
        let file = example("bridge-host");
        let all = || ["link show br0", "link show ns1-eth0", "-n ns1 link show eth0"].map(mac);
        fine("up", &file);
        let before = all();
        fine("down", &file);
        fine("up", &file);
        assert_eq!(all(), before);
        fine("down", &file);
        // The same text in another file is another topology.
        let other = PathBuf::from("/run/other.toml");
        fs::copy(&file, &other).unwrap();
        fine("up", &other);
        assert!(all().iter().all(|mac| !before.contains(mac)), "{before:?}");
        fine("down", &other);
    });
}

#[test]
fn a_mac_address_that_the_file_gives_to_another_link_is_not_kept() {
    in_host(|_| {
        let file = lab(
            "[bridge.br0]\n[namespace.a]\ninterface.eth0 = { bridge = 'br0', mac = '02:00:00:00:00:01' }\n\
            [namespace.b]\ninterface.eth0 = { bridge = 'br0' }\n",
        );
        fine("up", &file);
        ip("netns del a");
        edit(&file, ", mac = '02:00:00:00:00:01'", "");
        edit(
            &file,
            "[namespace.b]\ninterface.eth0 = { bridge = 'br0'",
            "[namespace.b]\ninterface.eth0 = { bridge = 'br0', mac = '02:00:00:00:00:01'",
        );
        fine("up", &file);
        assert_eq!(mac("-n b link show eth0"), "02:00:00:00:00:01");
        assert_ne!(mac("-n a link show eth0"), "02:00:00:00:00:01");
        assert_eq!(fine("diff", &file), "");
        fine("down", &file);
    });
}

#[test]
fn a_setting_taken_out_of_the_file_gets_its_old_value() {
    in_host(|_| {
        let settings = "'net.ipv4.ip_forward' = 1, 'net.ipv4.conf.default.rp_filter' = 2, \
            'net.ipv4.conf.eth0.rp_filter' = 1, 'net.ipv4.conf.eth0.arp_notify' = 1, \
            'net.ipv4.neigh.eth0.gc_stale_time' = 7";
        let file = lab(&format!(
            "[bridge.br0]\n[namespace.a]\ninterface.eth0 = {{ bridge = 'br0' }}\n\
            sysctl = {{ {settings} }}\n[namespace.b]\n"
        ));
        let get = |key: &str| {
            let mut cat = oracle("ip");
            tests::run(cat.args(["netns", "exec", "a", "cat", &format!("/proc/sys/net/ipv4/{key}")]))
                .trim()
                .to_owned()
        };
        let keys = ["ip_forward", "conf/eth0/rp_filter", "conf/eth0/arp_notify", "neigh/eth0/gc_stale_time"];
        fine("up", &file);
        assert_eq!(keys.map(get), ["1", "1", "1", "7"]);
        edit(&file, settings, "'net.ipv4.conf.default.rp_filter' = 2");
        let changed = fine("up", &file);
        assert_eq!(changed.lines().count(), 4, "{changed}");
        // An interface is made with the value that `default` has.
        assert_eq!(keys.map(get), ["0", "2", "0", "60"]);
        assert_eq!(fine("diff", &file), "");
        fine("down", &file);
    });
}

#[test]
fn a_filter_ahead_of_an_enforced_policy_is_a_difference() {
    in_host(|host| {
        let file = lab("[bridge.br0]\n[namespace.a]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24'], policy = 'enforce' }\n");
        fine("up", &file);
        // Of filters with equal priority the latest runs first; this one accepts everything.
        let mut add = oracle("tc");
        add.args("filter add dev a-eth0 ingress pref 1 handle 2 protocol all bpf da bytecode".split(' '));
        assert_eq!(tests::run(add.arg("1,6 0 0 0,")), "");
        let message = "host/a-eth0: the ingress filter \"pref 1 handle 0x2 bpf\", which this topology did not make, runs \
                       before the filter that enforces the policy of a/eth0, and may hide frames from it: remove it";
        for verb in ["diff", "up"] {
            let refused = topology(verb, &file);
            assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""), "{verb}");
            assert_eq!(refused.err, format!("error: {message}\n"), "{verb}");
        }
        assert!(fine("show", &file).starts_with(&format!("/run/lab.toml: up, and differs: {message}\n")));
        tc("filter del dev a-eth0 ingress pref 1 handle 2 bpf");
        assert_eq!(fine("diff", &file), "");
        if kernel_version() >= (6, 6) {
            // TCX programs run before all filters.
            let program = load_program(Verdict::Pass).unwrap();
            let index = link::get(&mut host.socket(), IfName::new("a-eth0").unwrap()).unwrap().index;
            let attached = attach_tcx(program.as_fd(), index).unwrap();
            for verb in ["diff", "up"] {
                let refused = topology(verb, &file);
                assert_eq!(refused.code, Some(1), "{verb}");
                let message = "error: host/a-eth0: the ingress TCX program with the id ";
                assert!(refused.err.starts_with(message), "{verb}: {}", refused.err);
            }
            assert!(
                fine("show", &file).contains("/run/lab.toml: up, and differs: host/a-eth0: the ingress TCX")
            );
            drop(attached);
            assert_eq!(fine("diff", &file), "");
        }
        // A filter after ours is nobody's business.
        let mut add = oracle("tc");
        add.args("filter add dev a-eth0 ingress pref 2 handle 1 protocol all bpf da bytecode".split(' '));
        assert_eq!(tests::run(add.arg("1,6 0 0 0,")), "");
        assert_eq!(fine("diff", &file), "");
        fine("down", &file);
    });
}
