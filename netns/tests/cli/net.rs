//! `netns`, `link`, `addr`, `route`, `neigh`, `bridge` and `stats`, compared with `ip` and `bridge`.

use crate::{done, xtask};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use tests::{bridge_json, in_host, ip, ip_json, ipv4_words, only, oracle};

/// What a command prints as JSON.
fn ours(arguments: &str) -> Value {
    let run = done(&mut xtask(&format!("{arguments} --json")));
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{arguments}");
    serde_json::from_str(&run.out).expect("JSON")
}

fn fine(arguments: &str) {
    let run = done(&mut xtask(arguments));
    assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (Some(0), "", ""), "{arguments}");
}

fn refused(arguments: &str, code: i32, message: &str) {
    let run = done(&mut xtask(arguments));
    assert_eq!((run.code, run.err.lines().next()), (Some(code), Some(message)), "{arguments}");
}

/// Both lists have the same number of entries, in any order, and each of ours has the values of theirs for these keys.
fn same(ours: &Value, theirs: &Value, keys: &[&str]) {
    let pick = |list: &Value| {
        let entries = list.as_array().expect("a list").iter();
        let mut picked: Vec<Vec<String>> =
            entries.map(|entry| keys.iter().map(|key| format!("{key}={}", entry[key])).collect()).collect();
        picked.sort_unstable();
        picked
    };
    assert_eq!(pick(ours), pick(theirs));
}

/// A bridge with a port, whose other end is in `ns1`, made by our own commands.
fn bridged() {
    for command in [
        "netns add ns1",
        "link add br0 type bridge",
        "link add port type veth peer name eth0 netns ns1",
        "link set port up master br0",
        "link set br0 up",
        "link set eth0 up -n ns1",
        "addr add 10.1.1.254/24 dev br0",
        "addr add 10.1.1.1/24 dev eth0 -n ns1",
        "addr add fd00:1::1/64 dev eth0 -n ns1",
    ] {
        fine(command);
    }
}

#[test]
fn links_and_addresses() {
    in_host(|_| {
        bridged();
        let _ = tests::run(oracle("ping").args(["-c", "1", "-W", "5", "10.1.1.1"]));
        for netns in ["", "-n ns1"] {
            let theirs = ip_json(&format!("{netns} addr show"));
            let ours = ours(&format!("addr show {netns}"));
            let keys = [
                "ifindex",
                "ifname",
                "flags",
                "mtu",
                "operstate",
                "group",
                "master",
                "link_index",
                "link_netnsid",
                "address",
            ];
            same(&ours, &theirs, &keys);
            for (ours, theirs) in ours.as_array().unwrap().iter().zip(theirs.as_array().unwrap()) {
                same(&ours["addr_info"], &theirs["addr_info"], &["family", "local", "prefixlen"]);
            }
        }
        assert!(done(&mut xtask("addr -n ns1")).out.contains("eth0            10.1.1.1/24 "));
        fine("addr del 10.1.1.254/24 dev br0");
        assert!(!ip("addr show br0").contains("10.1.1.254"));
        refused(
            "addr del 10.1.1.254/24 dev br0",
            2,
            &("error: delete address 10.1.1.254/24 on interface 2: Cannot assign requested address (os error 99)"
                .to_owned()
                + &ipv4_words("ipv4: Address not found")),
        );

        // Before Linux 6.2 a link can only be renamed while it is down.
        fine("link set port down");
        fine("link set port mtu 1400 name plug address 02:00:00:00:00:09");
        let plug = only(&ip_json("link show plug"));
        assert_eq!((&plug["mtu"], &plug["address"]), (&1400.into(), &"02:00:00:00:00:09".into()));
        fine("link set plug nomaster");
        assert!(only(&ip_json("link show plug"))["master"].is_null());
        fine("netns add ns2");
        fine("link set plug netns ns2");
        assert_eq!(only(&ip_json("-n ns2 link show plug"))["ifname"], "plug");
        fine("link delete plug -n ns2");
        refused("link set", 1, "error: `link set`: the link is missing");
        refused("link add dev a", 1, "error: `link add`: `type KIND` is missing");
    });
}

#[test]
fn routes() {
    in_host(|_| {
        bridged();
        fine("route add default via 10.1.1.254 -n ns1");
        fine("route add 10.9.0.0/16 dev eth0 metric 7 -n ns1");
        fine("route add default via fd00:1::fe -n ns1");
        let keys = ["dst", "gateway", "dev", "metric"];
        same(&ours("route show -n ns1"), &ip_json("-n ns1 route show"), &keys);
        same(&ours("route -6 -n ns1"), &ip_json("-n ns1 -6 route show"), &keys);
        assert!(done(&mut xtask("route -n ns1")).out.starts_with("default via 10.1.1.254 dev eth0\n"));
        fine("route del default via 10.1.1.254 -n ns1");
        assert!(!ip("-n ns1 route").contains("default"));
        refused("route del default -n ns1", 2, "error: delete route default: No such process (os error 3)");
        refused("route add 10.0.0.0/8 via fd00::1", 1, "error: via \"fd00::1\": it is not an IPv4 address");
    });
}

#[test]
fn neighbours() {
    in_host(|_| {
        bridged();
        fine("neigh add 10.1.1.9 lladdr 02:00:00:00:00:09 dev br0");
        let _ = tests::run(oracle("ping").args(["-c", "1", "-W", "5", "10.1.1.1"]));
        same(&ours("neigh"), &ip_json("neigh show"), &["dst", "dev", "lladdr", "state"]);
        assert!(
            done(&mut xtask("neigh show dev br0"))
                .out
                .contains("10.1.1.9 lladdr 02:00:00:00:00:09 PERMANENT\n")
        );
        fine("neigh del 10.1.1.9 dev br0");
        assert!(!ip("neigh").contains("10.1.1.9"));
    });
}

#[test]
fn ports_and_forwarding_entries() {
    in_host(|_| {
        bridged();
        fine("bridge link set dev port isolated on learning off");
        let keys = [
            "ifindex",
            "ifname",
            "mtu",
            "master",
            "hairpin",
            "isolated",
            "learning",
            "flood",
            "mcast_flood",
            "bcast_flood",
            "neigh_suppress",
        ];
        same(&ours("bridge link"), &bridge_json("link show"), &keys);
        assert!(done(&mut xtask("bridge link show dev port")).out.contains(" learning off "));

        fine("bridge fdb add 02:00:00:00:00:05 dev port master static");
        let keys = ["mac", "ifname", "state"];
        same(&ours("bridge fdb show br br0"), &bridge_json("fdb show br br0"), &keys);
        fine("bridge fdb del 02:00:00:00:00:05 dev port master");
        assert!(!tests::bridge("fdb").contains("02:00:00:00:00:05"));
        refused(
            "bridge link set dev port isolated maybe",
            1,
            "error: bridge_slave: isolated is \"maybe\"; expected on or off",
        );
    });
}

/// What `ip` and `netns` print about the kind of a link and about its port, without what only `ip` prints.
fn info(link: &str) -> [Value; 2] {
    let theirs = only(&ip_json(&format!("link show {link}")))["linkinfo"].clone();
    let ours = ours(&format!("link show {link}"))[0]["linkinfo"].clone();
    [ours, theirs]
}

#[test]
fn links_of_each_kind_by_ips_words() {
    in_host(|_| {
        bridged();
        fine("link add v0 type veth peer name v1");
        for (add, link, keys) in [
            ("link add m0 link v0 type macvlan mode vepa", "m0", &["mode", "bcqueuelen"][..]),
            (
                "link add link port name x0 type vxlan id 5 dev port remote 10.0.0.2 dstport 4789 nolearning",
                "x0",
                &["id", "remote", "link", "port", "learning", "ttl", "ageing"],
            ),
            (
                "link add x1 type vxlan id 6 group ff05::1 dev port dstport 4789",
                "x1",
                &["id", "group6", "link", "port", "learning"],
            ),
            (
                "link add br1 type bridge stp_state 1 ageing_time 1200 mcast_snooping 0 group_fwd_mask 0x4000",
                "br1",
                &[
                    "stp_state",
                    "ageing_time",
                    "mcast_snooping",
                    "group_fwd_mask",
                    "priority",
                    "mcast_query_intvl",
                ],
            ),
        ] {
            fine(add);
            let [ours, theirs] = info(link);
            assert_eq!(ours["info_kind"], theirs["info_kind"], "{add}");
            for key in keys {
                assert!(!theirs["info_data"][key].is_null(), "{key} of {theirs}");
                assert_eq!(ours["info_data"][key], theirs["info_data"][key], "{key} after {add}");
            }
        }
        fine("link set m0 type macvlan mode private");
        fine("link set br1 type bridge ageing_time 700");
        assert_eq!(info("m0")[1]["info_data"]["mode"], "private");
        assert_eq!(info("br1")[1]["info_data"]["ageing_time"], 700);

        fine("link set port type bridge_slave isolated on cost 7 mcast_router 2");
        let [ours, theirs] = info("port");
        for key in ["isolated", "cost", "multicast_router", "state", "hairpin"] {
            assert_eq!(ours["info_slave_data"][key], theirs["info_slave_data"][key], "{key}");
        }
        let text = done(&mut xtask("link show port -d")).out;
        assert!(
            text.contains("    bridge_slave state forwarding priority 32 cost 7 ")
                && text.contains(" isolated on"),
            "{text}"
        );
        let text = done(&mut xtask("-d link show x0")).out;
        assert!(
            text.contains("    vxlan id 5 remote 10.0.0.2 dev port ") && text.contains(" learning off"),
            "{text}"
        );

        let usage = |command: &str, words: &str| {
            let run = done(&mut xtask(command));
            assert!(run.code == Some(1) && run.err.starts_with(words), "{command}: {}", run.err);
        };
        usage(
            "link add m1 link v0 type macvlan mode upside",
            "error: macvlan: mode is \"upside\"; expected one of private,",
        );
        usage("link add d0 type dummy id 5", "error: dummy: there is no option \"id\"");
        usage("link add x2 type nothing at all", "error: `type nothing`: \"at\" is too much");
        usage(
            "link add a type veth peer name w",
            "error: `link add`: \"peer\" is one too many; \"a\" is short for \"address\" here (for a name, write `dev a`)",
        );
    });
}

#[test]
fn taps_by_ips_words() {
    in_host(|_| {
        tests::needs_tun();
        fine("netns add ns1");
        fine("tuntap add dev t0 mode tap user 1 group 2 vnet_hdr multi_queue");
        fine("tuntap add dev t1 mode tun pi -n ns1");
        let [ours, theirs] = info("t0");
        for key in ["type", "pi", "vnet_hdr", "multi_queue", "persist", "numqueues"] {
            assert!(
                !theirs["info_data"][key].is_null() && ours["info_data"][key] == theirs["info_data"][key],
                "{key}"
            );
        }
        assert_eq!(done(&mut xtask("tuntap")).out.split_whitespace().next(), Some("t0:"));
        let [inside] = [only(&ip_json("-n ns1 link show t1"))];
        assert_eq!(
            (&inside["linkinfo"]["info_data"]["type"], &inside["linkinfo"]["info_data"]["pi"]),
            (&"tun".into(), &true.into())
        );
        assert!(only(&ours_of("tuntap show", "ns1"))["persist"] == true);
        fine("link add dev a type veth peer name b");
        refused("tuntap del dev a mode tap", 1, "error: a is not a TAP");
        refused(
            "tuntap add dev t0 mode tap",
            2,
            "error: create tap t0: ioctl(TUNSETIFF): Device or resource busy (os error 16)",
        );
        refused(
            "link add t2 type tun",
            2,
            "error: create tun t2: Operation not supported (os error 95): tun/tap creation via rtnetlink is not supported.",
        );
        fine("tuntap del dev t0 mode tap");
        assert!(!ip("link").contains("t0:"));
    });
}

fn ours_of(command: &str, netns: &str) -> Value {
    ours(&format!("{command} -n {netns}"))
}

#[test]
fn stats_match_ip() {
    in_host(|_| {
        bridged();
        let _ = tests::run(oracle("ping").args(["-c", "3", "-i", "0.1", "-W", "5", "10.1.1.1"]));
        // IPv6 sends by itself, so ours is read between two equal readings of theirs.
        let (ours, theirs) = tests::until("nothing is sent", || {
            let theirs = only(&ip_json("-s link show port"));
            let ours = only(&ours("stats port"));
            (theirs == only(&ip_json("-s link show port"))).then_some((ours, theirs))
        });
        for way in ["rx", "tx"] {
            for key in ["bytes", "packets", "errors", "dropped"] {
                assert_eq!(ours["stats64"][way][key], theirs["stats64"][way][key], "{way} {key}");
            }
        }
        assert!(done(&mut xtask("stats")).out.starts_with("                 rx bytes   packets dropped"));
    });
}

#[test]
fn netns_exec_shows_the_namespaces_own_sys_and_files() {
    in_host(|_| {
        // The folder of a namespace's files, and a file in /etc that one of them replaces, mounted in this host only.
        let _ = tests::run(Command::new("mount").args(["-t", "tmpfs", "none", "/etc"]));
        std::fs::create_dir_all("/etc/netns/ns1").unwrap();
        std::fs::write("/etc/resolv.conf", "outer\n").unwrap();
        std::fs::write("/etc/netns/ns1/resolv.conf", "inner\n").unwrap();
        std::fs::write("/etc/netns/ns1/nowhere", "").unwrap();
        bridged();
        for program in ["cat /etc/resolv.conf", "ls /sys/class/net"] {
            let run = done(&mut xtask(&format!("netns exec ns1 {program}")));
            let theirs = ip(&format!("netns exec ns1 {program}"));
            assert_eq!((run.code, run.out), (Some(0), theirs), "{program}");
            assert_eq!(
                run.err,
                "warning: bind /etc/netns/ns1/nowhere on /etc/nowhere: mount: No such file or directory (os error 2)\n"
            );
        }
        let bare = done(&mut xtask("netns exec --no-mounts ns1 cat /etc/resolv.conf"));
        assert_eq!((bare.out.as_str(), bare.err.as_str()), ("outer\n", ""));
        assert_eq!(std::fs::read_to_string("/etc/resolv.conf").unwrap(), "outer\n");
    });
}

#[test]
fn netns_pids_match_ip() {
    in_host(|_| {
        ip("netns add ns1");
        assert_eq!(ours("netns pids ns1"), Value::Array(Vec::new()));
        let mut child = xtask("netns exec ns1 sleep 1000").stdout(Stdio::null()).spawn().unwrap();
        tests::eventually("it is inside", || !ip("netns pids ns1").is_empty());
        assert_eq!(done(&mut xtask("netns pids ns1")).out, ip("netns pids ns1"));
        assert_eq!(ours("netns pids ns1"), Value::Array(vec![child.id().into()]));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!Path::new("/run/netns/ns2").exists());
        refused(
            "netns pids ns2",
            2,
            "error: open namespace /var/run/netns/ns2: No such file or directory (os error 2)",
        );
    });
}
