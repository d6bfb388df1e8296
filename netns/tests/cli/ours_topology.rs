//! What topologies leave when they are killed or refused, and on a full disk: all of it is found again.

use crate::barrier::nft;
use crate::ours::run_traced;
use crate::topology::{edit, example, fine, topology};
use crate::topology_policy::{filters, pings};
use crate::{done, state_of_the_host, xtask};
use netns_core::{Namespace, RouteSocket};
use netns_ebpf::are_loaded;
use serde_json::json;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tests::{eventually, in_host, ip, tc, tc_json};

const LAB: &str = r#"
[bridge.br0]
[namespace.a]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24"], policy = "enforce" }
[namespace.b]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24"], policy = "enforce" }
"#;

fn lab() -> PathBuf {
    let file = PathBuf::from("/run/lab.toml");
    fs::write(&file, LAB).unwrap();
    file
}

/// The ids of the programs on a port.
fn programs(port: &str) -> HashSet<u64> {
    let hooks = ["ingress", "egress"].map(|hook| tc_json(&format!("filter show dev {port} {hook}")));
    let filters = hooks.iter().filter_map(|hook| hook.as_array()).flatten();
    filters.filter_map(|filter| filter["options"]["prog"]["id"].as_u64()).collect()
}

fn ingress_program(port: &str) -> u32 {
    let filters = tc_json(&format!("filter show dev {port} ingress"));
    let mut filters = filters.as_array().into_iter().flatten();
    let id = filters.find_map(|filter| filter["options"]["prog"]["id"].as_u64());
    id.expect("a filter on the port").try_into().expect("an id of 32 bits")
}

fn records() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/run/netns-topology") else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The number of the last such call that a command makes.
fn last(call: &str, is_it: impl Fn(&str) -> bool, arguments: &str) -> usize {
    let (output, trace) = run_traced(&format!("-e trace={call}"), arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let calls: Vec<&str> = trace.lines().filter(|line| line.contains(&format!(" {call}("))).collect();
    calls.iter().rposition(|call| is_it(call)).unwrap() + 1
}

#[test]
fn a_filter_of_a_killed_up_does_not_go_on_judging() {
    in_host(|_| {
        let file = lab();
        let before = state_of_the_host();
        // Killed before the second port, which comes with its filters; and the first one has lost a filter, and with it
        // a program.
        let number = last("sendto", |call| call.contains("RTM_NEWTFILTER"), "up --quiet /run/lab.toml");
        fine("down", &file);
        let kill = format!("-e trace=sendto -e inject=sendto:signal=KILL:when={number}");
        run_traced(&kill, "up --quiet /run/lab.toml");
        assert_eq!(filters("a-eth0"), 2);
        tc("filter del dev a-eth0 egress");
        assert_eq!(filters("a-eth0"), 1);
        edit(&file, "10.1.1.1/24", "10.1.1.11/24");
        fine("up", &file);
        assert_eq!([filters("a-eth0"), filters("b-eth0")], [2, 2]);
        assert_eq!(programs("a-eth0"), programs("b-eth0"));
        assert_eq!(fine("diff", &file), "");
        assert!(pings("b", "10.1.1.11"), "by the rules that hold now");
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn the_barrier_stays_while_ports_get_other_programs() {
    in_host(|_| {
        let file = lab();
        let before = state_of_the_host();
        let plain = "addresses = [\"10.1.1.1/24\"], policy = \"enforce\"";
        let limited = "addresses = [\"10.1.1.1/24\"], policy = \"enforce\", limit = \"out=1gbit\"";
        fine("up", &file);
        let first = programs("b-eth0");
        edit(&file, plain, limited);
        let takes_off = |call: &str| call.contains("RTM_DELTFILTER");
        let (output, trace) = run_traced("-e trace=sendto", "up --quiet /run/lab.toml");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let number = trace.lines().filter(|line| line.contains(" sendto(")).position(takes_off).unwrap() + 1;
        fine("down", &file);

        // Killed before the first port is taken from the programs that know no limits.
        edit(&file, limited, plain);
        fine("up", &file);
        edit(&file, plain, limited);
        let kill = format!("-e trace=sendto -e inject=sendto:signal=KILL:when={number}");
        run_traced(&kill, "up --quiet /run/lab.toml");
        assert_eq!([filters("a-eth0"), filters("b-eth0")], [2, 2]);
        assert_ne!(programs("b-eth0"), first);
        let rules = nft("list ruleset");
        assert!(rules.contains("\"a-eth0\"") && rules.contains("\"b-eth0\""), "{rules}");
        assert!(pings("a", "10.1.1.2"), "what is judged passes");

        fine("up", &file);
        assert_eq!(programs("a-eth0"), programs("b-eth0"));
        assert_eq!(fine("diff", &file), "");
        assert!(pings("a", "10.1.1.2"));
        // Of programs that nobody holds any more, the mark is not known. The ports have none, and stay closed until they have.
        for port in ["a-eth0", "b-eth0"] {
            tc(&format!("qdisc del dev {port} clsact"));
        }
        assert!(!pings("a", "10.1.1.2"));
        fine("up", &file);
        assert_eq!(fine("diff", &file), "");
        assert!(pings("a", "10.1.1.2"));
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn filters_that_lost_their_counterparts_are_taken_off() {
    in_host(|_| {
        let file = lab();
        let before = state_of_the_host();
        fine("up", &file);
        let first = programs("a-eth0");
        let judging = ingress_program("a-eth0");
        for port in ["a-eth0", "b-eth0"] {
            tc(&format!("filter del dev {port} ingress"));
        }
        // The kernel frees a program some time after its last filter; until then `up` may use it again.
        eventually("the program to go with its filters", || !are_loaded([judging; 2]));
        fine("up", &file);
        assert_eq!([filters("a-eth0"), filters("b-eth0")], [2, 2]);
        assert!(programs("a-eth0").is_disjoint(&first));
        // If recorded programs have lost some of their filters, an edit that removes the policies removes the others
        // too.
        for port in ["a-eth0", "b-eth0"] {
            tc(&format!("filter del dev {port} egress"));
        }
        assert!(topology("diff", &file).out.contains("policy enforce"));
        edit(&file, ", policy = \"enforce\" }", " }");
        fs::write(&file, fs::read_to_string(&file).unwrap().replace(", policy = \"enforce\"", "")).unwrap();
        fine("up", &file);
        assert_eq!([filters("a-eth0"), filters("b-eth0")], [0, 0]);
        assert!(!tc("qdisc show").contains("clsact"));
        assert_eq!(fine("diff", &file), "");
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn taking_down_needs_no_space() {
    in_host(|_| {
        let _ = tests::run(Command::new("mount").args(["-o", "remount,size=256k", "/run"]));
        let file = lab();
        let before = state_of_the_host();
        let no_space = || {
            let mut zeros = Command::new("dd");
            let _ = zeros.args(["if=/dev/zero", "of=/run/full", "bs=4k"]).stderr(Stdio::null()).status();
        };
        no_space();
        let up = topology("up", &file);
        assert_eq!(up.code, Some(2), "{}", up.err);
        assert!(up.err.contains("No space left on device"), "{}", up.err);
        fs::remove_file("/run/full").unwrap();
        assert_eq!(state_of_the_host(), before);

        fs::write(&file, LAB.replace("policy = \"enforce\"", "policy = { group = \"red\" }")).unwrap();
        fine("up", &file);
        no_space();
        fine("down", &file);
        fs::remove_file("/run/full").unwrap();
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn what_cannot_be_recorded_is_undone_and_the_exit_code_says_so() {
    in_host(|_| {
        let file = lab();
        let before = state_of_the_host();
        let renames = last("rename", |_| true, "up --quiet /run/lab.toml");
        fine("down", &file);
        for number in 1..=renames {
            for error in ["ENOSPC", "EIO"] {
                let refuse = format!("-e trace=rename -e inject=rename:error={error}:when={number}");
                let (output, _) = run_traced(&refuse, "up --quiet /run/lab.toml");
                let err = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(2), "{number} {error}: {err}");
                assert_eq!(state_of_the_host(), before, "{number} {error}: {err}");
            }
        }
        // After a failed edit, what was up before is up again; the folder holds only its record.
        fine("up", &file);
        edit(&file, "10.1.1.2/24", "10.1.1.3/24");
        let renames = last("rename", |_| true, "up --quiet /run/lab.toml");
        edit(&file, "10.1.1.3/24", "10.1.1.2/24");
        fine("up", &file);
        edit(&file, "10.1.1.2/24", "10.1.1.3/24");
        let refuse = format!("-e trace=rename -e inject=rename:error=ENOSPC:when={renames}");
        let (output, _) = run_traced(&refuse, "up --quiet /run/lab.toml");
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(ip("-n b -o addr show eth0").contains("10.1.1.2/24"));
        assert_eq!(records().len(), 1, "{:?}", records());
        fine("up", &file);
        assert!(ip("-n b -o addr show eth0").contains("10.1.1.3/24"));
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn an_up_that_is_killed_at_any_step_of_its_record_can_be_taken_down() {
    in_host(|_| {
        let file = lab();
        let before = state_of_the_host();
        for call in ["rename", "fsync", "flock", "unlink"] {
            for number in 1..=3 {
                let kill = format!("-e trace={call} -e inject={call}:signal=KILL:when={number}");
                run_traced(&kill, "up --quiet /run/lab.toml");
                fine("down", &file);
                assert_eq!(state_of_the_host(), before, "{call} {number}");
            }
        }
    });
}

#[test]
fn what_0_1_0_brought_up_is_changed_and_taken_down() {
    in_host(|_| {
        let file = example("bridge");
        let before = state_of_the_host();
        fine("up", &file);
        // The same, as 0.1.0 recorded it.
        let record = records().into_iter().next().unwrap();
        let stem = record.strip_suffix(".record").unwrap();
        let cookie = |name: &str| {
            RouteSocket::open_in(&Namespace::open(name).unwrap()).unwrap().namespace_cookie().unwrap()
        };
        let mac = |place: &str, name: &str| {
            let found = if place == "host" {
                ip(&format!("-o link show {name}"))
            } else {
                ip(&format!("-n {place} -o link show {name}"))
            };
            let mut words = found.split_whitespace().skip_while(|word| *word != "link/ether");
            words.nth(1).unwrap().to_owned()
        };
        let link = |place: &str, name: &str| json!({ "place": place, "name": name, "mac": mac(place, name) });
        let cable = |name: &str| json!([link("host", &format!("{name}-eth0")), link(name, "eth0")]);
        let names: Vec<String> = Namespace::list().unwrap();
        let old = json!({
            "file": file.canonicalize().unwrap(), "applied": fs::read_to_string(&file).unwrap(),
            "folder": [false, false],
            "namespaces": names.iter().map(|name| (name.clone(), cookie(name))).collect::<std::collections::BTreeMap<_, _>>(),
            "bridges": [link("host", "br0")], "cables": names.iter().map(|name| cable(name)).collect::<Vec<_>>(),
            "addresses": [], "routes": [], "sysctls": [], "commands": [],
        });
        fs::write(format!("/run/netns-topology/{stem}.json"), old.to_string()).unwrap();
        fs::remove_file(format!("/run/netns-topology/{record}")).unwrap();
        assert_eq!(fine("diff", &file), "");
        edit(&file, "10.1.1.2/24", "10.1.1.33/24");
        fine("up", &file);
        let old_one = |name: &String| Path::new(name).extension().is_some_and(|end| end == "json");
        assert!(records().contains(&record) && !records().iter().any(old_one), "{:?}", records());

        fs::write(format!("/run/netns-topology/{stem}.json"), old.to_string()).unwrap();
        fs::remove_file(format!("/run/netns-topology/{record}")).unwrap();
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_record_of_another_version_is_refused_and_stays() {
    in_host(|_| {
        let file = lab();
        fine("up", &file);
        let path = Path::new("/run/netns-topology").join(&records()[0]);
        let text = fs::read_to_string(&path).unwrap();
        let later = text.replacen("netns-record 1", "netns-record 2", 1);
        fs::write(&path, &later).unwrap();
        for verb in ["up", "down", "diff"] {
            let refused = done(&mut xtask(&format!("{verb} /run/lab.toml")));
            assert_eq!(refused.code, Some(1), "{verb}");
            assert!(refused.err.contains("its format is version 2"), "{}", refused.err);
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), later);
        fs::write(&path, text).unwrap();
        fine("down", &file);
    });
}

#[test]
fn what_others_put_in_place_of_ours_is_left_alone_and_reported() {
    in_host(|_| {
        let file = lab();
        fine("up", &file);
        ip("netns del a");
        eventually("its cable is gone", || !ip("link show").contains("a-eth0"));
        ip("netns add a");
        ip("link del b-eth0");
        ip("link add b-eth0 type veth peer name other");
        let down = topology("down", &file);
        assert_eq!(down.code, Some(0), "{}", down.err);
        let lines: Vec<&str> = down.err.lines().collect();
        assert_eq!(lines.len(), 2, "{}", down.err);
        assert_eq!(lines[0], "left alone: a is another namespace by now");
        assert!(lines[1].starts_with("left alone: b-eth0 (index "), "{}", down.err);
        assert!(lines[1].contains(" is not the b-eth0 that was made "), "{}", down.err);
        assert_eq!(ip("netns list"), "a\n");
        assert_eq!(records(), [""; 0]);
        let _ = ip("link show b-eth0");
    });
}

/// Every refusal of the kernel is reported, and the rest goes all the same.
#[test]
fn after_a_refusal_the_rest_is_still_taken_down() {
    in_host(|_| {
        let file = lab();
        let before = state_of_the_host();
        fine("up", &file);
        // The names of both namespaces stay, each tried twice.
        let refuse = "-e trace=umount2 -e inject=umount2:error=EBUSY:when=1..4";
        let (down, _) = run_traced(refuse, "down --quiet /run/lab.toml");
        let err = String::from_utf8_lossy(&down.stderr).into_owned();
        assert_eq!(down.status.code(), Some(2), "{err}");
        assert_eq!(err.matches("Device or resource busy").count(), 2, "{err}");
        assert!(err.contains("on record yet: `netns down` goes on"), "{err}");
        assert_eq!(Namespace::list().unwrap(), ["a", "b"]);
        let links = ip("-o link show");
        assert!(!links.contains("br0") && !links.contains("-eth0"), "{links}");
        fine("down", &file);
        assert_eq!(state_of_the_host(), before);
    });
}
