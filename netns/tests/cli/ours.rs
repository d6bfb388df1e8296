//! Nothing of anybody else's is touched, and nothing of ours is lost: `run` and `clean` beside strangers, killed and
//! refused at the worst moments.

use crate::watched::Watched;
use crate::{done, finished, state_of_the_host, xtask};
use netns_core::IfName;
use netns_core::link::{self, LinkChange};
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tests::{eventually, in_host, ip, ip_json, only, oracle, until};

/// `netns ARGUMENTS` under `strace OPTIONS`; strace's own output goes to `/run/trace`, which is removed.
fn traced(options: &str, arguments: &str) -> Command {
    let mut command = oracle("strace");
    command.args(["-f", "-qq", "-o", "/run/trace"]).args(options.split_whitespace());
    command.arg(env!("CARGO_BIN_EXE_netns")).args(arguments.split_whitespace()).stdin(Stdio::null());
    command
}

fn trace() -> String {
    let trace = fs::read_to_string("/run/trace").unwrap();
    fs::remove_file("/run/trace").unwrap();
    trace
}

pub(crate) fn run_traced(options: &str, arguments: &str) -> (Output, String) {
    let output = traced(options, arguments).output().unwrap();
    (output, trace())
}

#[test]
fn a_run_deletes_nothing_that_it_did_not_make() {
    in_host(|host| {
        // Before the run, in the last link group that there is.
        ip("link add before type bridge");
        let set_group = |name: &str, group: u32| {
            let change = LinkChange { group: Some(group), ..LinkChange::NONE };
            link::set(&mut host.socket(), IfName::new(name).unwrap(), &change).unwrap();
        };
        set_group("before", u32::MAX);
        let mut run = Watched::start("run --json --interval 0.2");
        run.line("counters", |line| line["type"] == "counters");
        // Meanwhile, in the group that the run's links are in, with consecutive numbers, as people choose them.
        ip("link add meanwhile type bridge");
        ip("link set meanwhile group 1");
        ip("link add joined type bridge");
        let bridge = link::get(&mut host.socket(), IfName::new("br0").unwrap()).unwrap();
        set_group("joined", bridge.group);
        // These take the place of what the run made.
        ip("netns del ns1");
        ip("netns add ns1");
        ip("link del veth-ns2");
        ip("link add veth-ns2 type veth peer name other");
        ip("link set br0 down");
        ip("link set br0 name lan0");
        let end = run.end("INT");
        let mut links: Vec<String> = ip_json("link show")
            .as_array()
            .unwrap()
            .iter()
            .map(|link| link["ifname"].as_str().unwrap().to_owned())
            .collect();
        links.sort();
        assert_eq!(links, ["before", "joined", "lo", "meanwhile", "other", "veth-ns2"]);
        for line in end.err.lines() {
            assert!(line.starts_with("left alone: ") || line.contains("veth-ns2"), "{line}");
        }
        assert!(end.err.contains("left alone: ns1 is another namespace by now\n"), "{}", end.err);
        assert!(end.err.contains("left alone: veth-ns2 (index "), "{}", end.err);
        assert_eq!(ip("netns list"), "ns1\n");
        assert_eq!(done(&mut xtask("clean")).out, "nothing to remove\n");
    });
}

#[test]
fn clean_deletes_nothing_that_the_run_did_not_make() {
    in_host(|_| {
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        assert_eq!(done(&mut xtask("run --keep --duration 1 --json")).code, Some(0));
        ip("netns del ns1");
        eventually("its cable is gone", || !ip("link show").contains("veth-ns1"));
        ip("netns add ns1");
        ip("link del veth-ns2");
        ip("link add veth-ns2 type veth peer name other");
        // Somebody switches forwarding off, and on again for one interface alone.
        fs::write("/proc/sys/net/ipv4/ip_forward", "0").unwrap();
        fs::write("/proc/sys/net/ipv4/conf/other/forwarding", "1").unwrap();
        let clean = done(&mut xtask("clean"));
        assert_eq!((clean.code, clean.out.as_str()), (Some(0), "removed br0\nremoved ns2\n"));
        assert!(clean.err.contains("left alone: ns1 is another namespace by now\n"), "{}", clean.err);
        assert!(clean.err.contains("is not the veth-ns2 that was made"), "{}", clean.err);
        assert_eq!(ip("netns list"), "ns1\n");
        let _ = only(&ip_json("link show veth-ns2"));
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/conf/other/forwarding").unwrap(), "1\n");
    });
}

#[test]
fn clean_finds_what_was_renamed() {
    in_host(|_| {
        let before = state_of_the_host();
        assert_eq!(done(&mut xtask("run --keep --duration 1 --json")).code, Some(0));
        for (link, name) in [("veth-ns1", "uplink"), ("br0", "lan0")] {
            ip(&format!("link set {link} down"));
            ip(&format!("link set {link} name {name}"));
        }
        let clean = done(&mut xtask("clean"));
        assert_eq!((clean.code, clean.err.as_str()), (Some(0), ""));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_run_that_is_killed_at_any_step_of_its_record_can_be_cleaned_up() {
    in_host(|_| {
        let before = state_of_the_host();
        // The calls by which this version's record and that of 0.1.0 change their files. A call that is not made this
        // often kills nothing, and then there is nothing to clean.
        let steps = [
            "ftruncate:1",
            "ftruncate:2",
            "fsync:1",
            "rename:1",
            "unlink:1",
            "flock:1",
            "flock:2",
            "mount:2",
        ];
        for step in steps {
            let (call, nth) = step.split_once(':').unwrap();
            let options = format!("-e trace={call} -e inject={call}:signal=KILL:when={nth}");
            run_traced(&options, "run --duration 0.2 --json --namespaces 3");
            let clean = done(&mut xtask("clean"));
            assert_eq!((clean.code, clean.err.as_str()), (Some(0), ""), "{step}");
            assert_eq!(state_of_the_host(), before, "{step}");
        }
    });
}

#[test]
fn a_namespace_whose_port_cannot_be_guarded_is_not_lost() {
    in_host(|_| {
        let before = state_of_the_host();
        let (output, trace) = run_traced("-e trace=bpf", "run --duration 0.2 --json");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        // The first map entry after the last program was loaded belongs to the first port.
        let calls: Vec<&str> = trace.lines().filter(|line| line.contains("bpf(BPF_")).collect();
        let last_load = calls.iter().rposition(|call| call.contains("BPF_PROG_LOAD")).unwrap();
        let update = calls[last_load..].iter().position(|call| call.contains("BPF_MAP_UPDATE_ELEM")).unwrap();
        for when in [last_load + update + 1, last_load + update + 2] {
            let options = format!("-e trace=bpf -e inject=bpf:error=ENOMEM:when={when}");
            let (output, _) = run_traced(&options, "run --duration 0.2 --json");
            let err = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{err}");
            assert!(err.contains("Cannot allocate memory"), "{err}");
            assert_eq!(state_of_the_host(), before);
        }
    });
}

#[test]
fn a_record_that_clean_removed_before_it_was_locked_is_written_anew() {
    in_host(|_| {
        let before = state_of_the_host();
        let slow = "-e trace=flock -e inject=flock:delay_enter=1500000:when=1";
        let run = traced(slow, "run --keep --duration 0.5 --json").stdout(Stdio::piped()).spawn().unwrap();
        until("the record is there", || {
            let there = |name: &str| Path::new("/run").join(name).exists();
            (there("netns-xtask.record") || there("netns-xtask.json")).then_some(())
        });
        let _ = done(&mut xtask("clean"));
        let run = finished(run.wait_with_output().unwrap());
        assert_eq!(run.code, Some(0), "{}", run.err);
        let _ = trace();
        let clean = done(&mut xtask("clean"));
        assert!(
            clean.out.contains("removed ns1\n"),
            "it went on without a record: {}{}",
            clean.out,
            clean.err
        );
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn on_a_full_disk_a_run_is_refused_and_can_be_cleaned_up() {
    in_host(|_| {
        let _ = tests::run(Command::new("mount").args(["-o", "remount,size=256k", "/run"]));
        let before = state_of_the_host();
        let fill = || {
            let mut zeros = Command::new("dd");
            let _ = zeros.args(["if=/dev/zero", "of=/run/full", "bs=4k"]).stderr(Stdio::null()).status();
        };
        fill();
        let run = done(&mut xtask("run --duration 0.2 --json"));
        assert_eq!(run.code, Some(2), "{}", run.err);
        assert!(run.err.contains("No space left on device"), "{}", run.err);
        fs::remove_file("/run/full").unwrap();
        assert_eq!(state_of_the_host(), before);

        assert_eq!(done(&mut xtask("run --keep --duration 0.2 --json")).code, Some(0));
        fill();
        let clean = done(&mut xtask("clean"));
        assert_eq!((clean.code, clean.err.as_str()), (Some(0), ""));
        fs::remove_file("/run/full").unwrap();
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn what_0_1_0_kept_can_be_cleaned_up_but_not_what_took_its_place() {
    in_host(|_| {
        // As 0.1.0 made it: see `Plan::new` and `State` there.
        ip("link add br0 address 02:11:22:33:00:00 type bridge");
        for number in 1..=3 {
            ip(&format!("netns add ns{number}"));
            ip(&format!(
                "link add veth-ns{number} type veth peer name eth0 address 02:11:22:33:00:0{number} netns ns{number}"
            ));
            ip(&format!("link set veth-ns{number} master br0"));
        }
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        let record = r#"{"namespaces":["ns1","ns2","ns3"],"ports":["veth-ns1","veth-ns2","veth-ns3"],
            "bridge":["br0","02:11:22:33:00:00"],"folder":[false,false],"forwarding":[]}"#;
        // The end of a longer text that was there before.
        fs::write("/run/netns-xtask.json", format!("{record}}}")).unwrap();
        ip("netns del ns2");
        ip("netns add ns2");
        eventually("its cable is gone", || !ip("link show").contains("veth-ns2"));
        ip("link add veth-ns2 type veth peer name other");

        let refused = done(&mut xtask("run --bridge br1"));
        assert_eq!(refused.code, Some(1));
        assert!(refused.err.contains("`netns clean`"), "{}", refused.err);
        let clean = done(&mut xtask("clean"));
        let removed = "removed veth-ns1\nremoved veth-ns3\nremoved br0\nremoved ns1\nremoved ns3\n";
        assert_eq!((clean.code, clean.out.as_str()), (Some(0), removed), "{}", clean.err);
        assert_eq!(clean.err.lines().count(), 2, "{}", clean.err);
        assert_eq!(ip("netns list"), "ns2\n");
        let _ = only(&ip_json("link show veth-ns2"));
        assert_eq!(fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), "0\n");
        assert_eq!(done(&mut xtask("clean")).out, "nothing to remove\n");
    });
}

#[test]
fn a_record_of_another_version_is_refused_with_a_clear_message() {
    in_host(|_| {
        let record = "netns-record 2 run -\nwhatever\n";
        fs::write("/run/netns-xtask.record", record).unwrap();
        for arguments in ["clean", "run --duration 0.2"] {
            let refused = done(&mut xtask(arguments));
            assert_eq!(refused.code, Some(1), "{arguments}");
            assert!(refused.err.contains("its format is version 2"), "{}", refused.err);
        }
        assert_eq!(fs::read_to_string("/run/netns-xtask.record").unwrap(), record);
        assert_eq!(ip("netns list"), "");
    });
}

#[test]
fn a_name_without_a_namespace_is_in_nobodys_way() {
    in_host(|_| {
        ip("netns add there");
        let _ = tests::run(Command::new("mkfifo").arg("/run/netns/fifo"));
        ip("link add br0 type bridge");
        ip("link add v1 master br0 type veth peer name eth0 netns there");
        for arguments in
            ["netns list", "netns pids fifo", "netns exec fifo true", "observe br0 --once --interval 0.1"]
        {
            let mut child = xtask(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let patience = Duration::from_secs(10);
            let started = std::time::Instant::now();
            while child.try_wait().unwrap().is_none() {
                if started.elapsed() > patience {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    panic!("{arguments} hangs");
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let end = finished(child.wait_with_output().unwrap());
            match arguments.split_once(' ').map(|(_, rest)| rest) {
                Some("list") => assert_eq!(end.out, "fifo\nthere (id: 0)\n"),
                Some("br0 --once --interval 0.1") => assert_eq!(end.code, Some(0), "{}", end.err),
                _ => assert!(end.err.ends_with("this is not a network namespace\n"), "{}", end.err),
            }
        }
    });
}
