//! The plain commands, compared with `ip`.

use crate::watched::Watched;
use crate::{done, xtask};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use tests::{in_host, ip, ip_json, only};

#[test]
fn netns_add_list_and_delete_match_ip() {
    in_host(|host| {
        assert_eq!(done(&mut xtask("netns add b a")).code, Some(0));
        ip("netns add c");
        assert_eq!(done(&mut xtask("netns list")).out, "a\nb\nc\n");
        let listed: Value = serde_json::from_str(&done(&mut xtask("netns list --json")).out).unwrap();
        assert_eq!(listed, json!([{ "name": "a" }, { "name": "b" }, { "name": "c" }]));

        let again = done(&mut xtask("netns add a"));
        assert_eq!(
            (again.code, again.err.as_str()),
            (Some(2), "error: create namespace a: open: File exists (os error 17)\n")
        );
        assert_eq!(done(&mut xtask("netns delete a b c")).code, Some(0));
        let gone = done(&mut xtask("netns delete a"));
        assert_eq!(gone.code, Some(2));
        assert!(gone.err.contains("No such file or directory"), "{}", gone.err);
        assert_eq!(done(&mut xtask("netns add a/b")).code, Some(1));
        host.assert_clean();
    });
}

#[test]
fn netns_exec_becomes_the_command() {
    in_host(|_| {
        ip("netns add ns1");
        let links = done(&mut xtask("netns exec ns1 ip -br link"));
        assert_eq!((links.code, links.out.lines().count()), (Some(0), 1), "{}", links.out);
        let mut exit = xtask("netns exec ns1 sh -c");
        assert_eq!(done(exit.arg("exit 42")).code, Some(42));
        assert_eq!(done(&mut xtask("netns exec ns1 no-such-command")).code, Some(127));
        assert_eq!(done(&mut xtask("netns exec nowhere true")).code, Some(2));
    });
}

#[test]
fn netns_monitor_reports_what_ip_does() {
    in_host(|_| {
        let mut child = xtask("netns monitor").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        tests::eventually("the folder is watched", || std::path::Path::new("/run/netns").exists());
        std::thread::sleep(std::time::Duration::from_millis(200));
        ip("netns add ns1");
        ip("netns delete ns1");
        assert_eq!(lines.next().unwrap().unwrap(), "add ns1");
        assert_eq!(lines.next().unwrap().unwrap(), "delete ns1");
        tests::signal("INT", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn link_show_says_what_ip_says() {
    in_host(|_| {
        ip("netns add ns1");
        ip("link add br0 type bridge");
        ip("link add port type veth peer name eth0 netns ns1");
        ip("link set port master br0 up");
        for netns in ["", " --netns ns1"] {
            let ours: Value =
                serde_json::from_str(&done(&mut xtask(&format!("link show --json{netns}"))).out).unwrap();
            let theirs = ip_json(if netns.is_empty() { "-s link show" } else { "-n ns1 -s link show" });
            let (ours, theirs) = (ours.as_array().unwrap(), theirs.as_array().unwrap());
            assert_eq!(ours.len(), theirs.len());
            for (ours, theirs) in ours.iter().zip(theirs) {
                let keys = [
                    "ifindex",
                    "ifname",
                    "flags",
                    "group",
                    "mtu",
                    "operstate",
                    "address",
                    "master",
                    "link_index",
                    "link_netnsid",
                    "num_tx_queues",
                    "num_rx_queues",
                ];
                // Only `ip -details` reports queues.
                for key in keys.into_iter().filter(|key| !theirs[key].is_null() || !key.starts_with("num_")) {
                    assert_eq!(ours[key], theirs[key], "{key} of {ours}\n{theirs}");
                }
                assert_eq!(ours["linkinfo"]["info_kind"], theirs["linkinfo"]["info_kind"]);
                for way in ["rx", "tx"] {
                    assert_eq!(ours["stats64"][way]["packets"], theirs["stats64"][way]["packets"]);
                    assert_eq!(ours["stats64"][way]["bytes"], theirs["stats64"][way]["bytes"]);
                }
            }
        }
        assert!(
            done(&mut xtask("link show port"))
                .out
                .contains("port@if2: <NO-CARRIER,BROADCAST,MULTICAST,UP> mtu 1500")
        );

        assert_eq!(done(&mut xtask("link delete eth0 --netns ns1")).code, Some(0));
        let gone = done(&mut xtask("link delete port"));
        assert_eq!(
            (gone.code, gone.err.as_str()),
            (Some(2), "error: get link port: No such device (os error 19)\n")
        );
        assert_eq!(only(&ip_json("link show br0"))["ifname"], "br0");
    });
}

#[test]
fn ping_says_whether_everything_was_answered() {
    in_host(|_| {
        ip("netns add ns1");
        ip("link add port type veth peer name eth0 netns ns1");
        ip("addr add 10.5.0.1/24 dev port");
        ip("link set port up");
        ip("-n ns1 addr add 10.5.0.2/24 dev eth0");
        ip("-n ns1 link set eth0 up");
        let answered = done(&mut xtask("ping ns1 10.5.0.1 --count 2 --interval 0.1 --timeout 20 --json"));
        assert_eq!(answered.code, Some(0), "{}", answered.err);
        let answered: Value = serde_json::from_str(&answered.out).unwrap();
        assert_eq!((&answered["sent"], &answered["received"]), (&json!(2), &json!(2)));
        assert!(answered["rtt_us"].as_array().unwrap().iter().all(Value::is_u64));

        for line in ["ping -n ns1 10.5.0.1 -c1 -W20", "-n ns1 ping 10.5.0.1 -c1 -W20"] {
            let answered = done(&mut xtask(line));
            assert_eq!(answered.code, Some(0), "{line}: {}", answered.err);
        }
        assert_eq!(done(&mut xtask("-n ns1 sysctl net.ipv4.ip_forward")).out, "net.ipv4.ip_forward = 0\n");
        let twice = done(&mut xtask("ping -n ns1 ns1 10.5.0.1"));
        assert_eq!(twice.code, Some(1), "{}", twice.err);

        let silent = done(&mut xtask("ping ns1 10.5.0.9 --count 1 --timeout 0.2"));
        assert_eq!(silent.code, Some(1));
        assert!(silent.out.contains("1 sent, 0 received"), "{}", silent.out);
        let nowhere = done(&mut xtask("ping ns1 10.6.0.1 --count 1"));
        assert_eq!(nowhere.code, Some(2));
        assert!(nowhere.err.contains("Network is unreachable"), "{}", nowhere.err);
    });
}

/// What a terminal would obey: this turns the text that follows red, and rings the bell.
const ODD: &str = "a\x1b[31m\x07";

#[test]
fn names_that_a_terminal_would_obey_are_escaped() {
    in_host(|_| {
        for line in [
            &format!("link add name br{ODD} type bridge")[..],
            &format!("link add name {ODD} type veth peer name b{ODD}"),
            &format!("link set dev {ODD} up master br{ODD}"),
            &format!("link set dev b{ODD} up alias {ODD}"),
            &format!("addr add 10.1.1.1/24 dev b{ODD}"),
            &format!("route add 10.2.0.0/16 dev b{ODD}"),
            &format!("neigh add 10.1.1.2 lladdr 02:00:00:00:00:02 dev b{ODD}"),
            &format!("netns add {ODD}"),
        ] {
            ip(line);
        }
        for line in [
            "link",
            "-br link",
            "-o link",
            "-d link",
            "addr",
            "-br addr",
            "-o addr",
            "route",
            "neigh",
            "bridge link",
            "bridge fdb",
            "stats",
            "netns",
        ] {
            let shown = done(&mut xtask(line));
            assert_eq!(shown.code, Some(0), "{line}: {}", shown.err);
            let is_plain = |letter: char| !letter.is_control() || letter == '\n' || letter == '\t';
            assert!(
                shown.out.chars().all(is_plain) && shown.out.contains(r"\x1b[31m\x07"),
                "{line}: {:?}",
                shown.out
            );
        }
        let listed: Value = serde_json::from_str(&done(&mut xtask("-j netns")).out).unwrap();
        assert_eq!(listed[0]["name"], ODD);
        let gone = done(&mut xtask(&format!("link del no{ODD}")));
        assert_eq!(gone.err, "error: get link noa\\x1b[31m\\x07: No such device (os error 19)\n");
    });
}

/// To the kernel a name is bytes: a link whose name is not UTF-8 exists, and what it sends is counted and judged.
#[test]
fn a_link_whose_name_is_not_utf8_is_a_link() {
    in_host(|_| {
        let odd = std::ffi::OsStr::from_bytes(b"v\xff\x1b0");
        ip("link add br0 type bridge");
        ip("link set br0 up");
        ip("link add v0 type veth peer name inside");
        assert_eq!(tests::run(tests::oracle("ip").args(["link", "set", "v0", "name"]).arg(odd)), "");
        ip("netns add ns1");
        ip("link set inside netns ns1");
        assert_eq!(
            tests::run(tests::oracle("ip").args(["link", "set"]).arg(odd).args(["master", "br0", "up"])),
            ""
        );
        ip("-n ns1 link set inside up");
        for line in ["link", "-br link", "-o addr", "bridge link", "stats"] {
            let shown = done(&mut xtask(line));
            assert!(shown.code == Some(0) && shown.out.contains(r"v\xff\x1b0"), "{line}: {:?}", shown.out);
        }
        std::fs::write(
            "/run/policy.toml",
            "[namespace.ns1]\nmac = '02:00:00:00:00:09'\naddresses = ['10.1.1.7']\n",
        )
        .unwrap();
        let mut observe =
            Watched::start("observe br0 --json --interval 0.1 --policy /run/policy.toml --enforce");
        let came = observe.line("port", |line| line["event"] == "came" || line["event"] == "known");
        assert_eq!(came["port"], "v\\xff\u{1b}0");
        ip("-n ns1 addr add 10.1.1.7/24 dev inside");
        let mut ping = tests::oracle("ip");
        ping.args("netns exec ns1 ping -c 1 -W 1 10.1.1.8".split(' ')).output().unwrap();
        observe.line("counters", |line| line["ports"][0]["dropped"].as_u64() > Some(0));
        observe.end("KILL");
        let clean = done(&mut xtask("observe br0 --cleanup"));
        assert_eq!((clean.code, clean.err.as_str()), (Some(0), ""), "{}", clean.out);
        let left = tests::oracle("tc").args(["qdisc", "show"]).output().unwrap().stdout;
        assert!(!String::from_utf8_lossy(&left).contains("clsact"));
    });
}

#[test]
fn each_of_several_names_is_tried() {
    in_host(|_| {
        ip("netns add b");
        let made = done(&mut xtask("netns add a b c d/e f"));
        let said = "error: create namespace b: open: File exists (os error 17)\n";
        assert!(made.code == Some(2) && made.err.starts_with(said), "{:?} {}", made.code, made.err);
        assert_eq!(done(&mut xtask("netns")).out, "a\nb\nc\nf\n");
        let gone = done(&mut xtask("netns delete f nowhere a b"));
        assert_eq!((gone.code, gone.err.lines().count()), (Some(2), 1), "{}", gone.err);
        assert_eq!(done(&mut xtask("netns")).out, "c\n");
        ip("netns delete c");
    });
}

/// That a link or a namespace does not exist is the kernel's answer, whichever command gets it.
#[test]
fn what_does_not_exist_has_the_same_exit_code_in_every_command() {
    in_host(|_| {
        let no_link = "error: get link nowhere: No such device (os error 19)\n";
        let no_namespace =
            "error: open namespace /var/run/netns/nowhere: No such file or directory (os error 2)\n";
        for (said, commands) in [
            (
                no_link,
                [
                    "link show dev nowhere",
                    "link set dev nowhere up",
                    "link del dev nowhere",
                    "addr show dev nowhere",
                    "addr add 10.0.0.1/24 dev nowhere",
                    "route add 10.0.0.0/24 dev nowhere",
                    "route show dev nowhere",
                    "neigh show dev nowhere",
                    "bridge link set dev nowhere learning off",
                    "bridge fdb show dev nowhere",
                    "tuntap del dev nowhere mode tap",
                    "stats nowhere",
                    "observe nowhere --duration 1",
                ]
                .as_slice(),
            ),
            (
                no_namespace,
                &[
                    "-n nowhere link",
                    "-n nowhere addr",
                    "-n nowhere route",
                    "netns exec nowhere true",
                    "netns pids nowhere",
                    "netns set nowhere 5",
                    "sysctl -n nowhere net.ipv4.ip_forward",
                    "ping nowhere 127.0.0.1",
                    "observe -n nowhere br0 --duration 1",
                    "observe -n nowhere br0 --cleanup",
                ],
            ),
        ] {
            for command in commands {
                let done = done(&mut xtask(command));
                assert_eq!(
                    (done.code, done.err.as_str(), done.out.as_str()),
                    (Some(2), said, ""),
                    "{command}"
                );
            }
        }
    });
}

#[test]
fn output_that_cannot_be_written_undoes_nothing() {
    in_host(|host| {
        let file = crate::topology::example("bridge");
        let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let up = done(xtask(&format!("up {}", file.display())).stdout(full()));
        assert_eq!(
            (up.code, up.err.as_str()),
            (
                Some(2),
                "error: write output: No space left on device (os error 28); the changes that it would list are made\n"
            )
        );
        assert!(done(&mut xtask("labs")).out.contains(": up, "));
        // A reader that has seen enough is no error.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let down = done(xtask(&format!("down {}", file.display())).stdout(writer));
        assert_eq!((down.code, down.err.as_str()), (Some(0), ""));
        assert_eq!(done(&mut xtask("labs")).out, "");
        let list = done(xtask("link").stdout(full()));
        assert_eq!(
            (list.code, list.err.as_str()),
            (Some(2), "error: write output: No space left on device (os error 28)\n")
        );
        host.assert_clean();
    });
}

#[test]
fn an_endless_command_ends_with_its_reader() {
    in_host(|_| {
        ip("netns add ns1");
        ip("-n ns1 link set lo up");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ping = done(xtask("ping ns1 127.0.0.1 --count 9").stdout(writer));
        assert_eq!((ping.code, ping.err.as_str()), (Some(141), ""));
    });
}
