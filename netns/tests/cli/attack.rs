//! `netns run --attack`: frames that no honest host sends, how they are counted, and what becomes of them.

use crate::topology_egress::{INTERNET, METADATA, hears, misses, world};
use crate::watched::Watched;
use crate::{Done, done, state_of_the_host, xtask};
use netns_ebpf::packet::Reason;
use serde_json::Value;
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use tests::{in_host, only, oracle, run};

/// The reasons that a frame from one namespace of a run to another can have; each is sent once.
pub(crate) fn judged() -> impl Iterator<Item = &'static Reason> {
    Reason::ALL.iter().filter(|&&reason| reason.is_of_frame() || reason == Reason::Group)
}

/// Runs the attack and checks what holds in either mode: each reason counted as often as sent, nothing left, exit code
/// 0.
fn attacked(mode: &str) -> Done {
    let before = state_of_the_host();
    let attack = done(&mut xtask(&format!("run --attack {mode} --duration 0.5 --json")));
    assert_eq!((attack.code, attack.err.as_str()), (Some(0), ""), "{}", attack.out);
    assert_eq!(state_of_the_host(), before);

    let lines = attack.lines("attack");
    let reasons: HashSet<&str> = lines.iter().map(|line| line["reason"].as_str().unwrap()).collect();
    let all: HashSet<&str> = judged().map(|reason| reason.name()).collect();
    assert_eq!((lines.len(), &reasons), (all.len(), &all), "one of each");
    for line in &lines {
        assert!(line["seen"] == line["sent"] && line["ok"] == true, "{line}");
    }
    let summary = only(&Value::Array(attack.lines("summary")));
    assert_eq!((&summary["attack_ok"], &summary["exact"]), (&true.into(), &true.into()));
    let mut violations = summary["violations"].as_object().unwrap().clone();
    // Ten frames for each way around that is counted, where the kernel supports it.
    let ways = attack.lines("way");
    let begin = |what: &str| ways.iter().filter(|way| way["way"].as_str().unwrap().starts_with(what)).count();
    let counted = violations.remove("unjudged").map_or(0, |counted| counted.as_u64().unwrap());
    // The one over a trunk is counted in a network of its own.
    let here = begin("ifb") - begin("ifb, a forged sender, over a trunk");
    assert_eq!(counted, here as u64 * 10, "{}", attack.out);
    let sent = |reason: &str| {
        let of_ways = if reason == "checksum-place" { begin("a checksum") * 10 } else { 0 };
        of_ways + lines.iter().filter(|line| line["reason"] == reason).count()
    };
    assert_eq!(violations.len(), all.len());
    for (reason, seen) in &violations {
        assert_eq!(seen.as_u64(), Some(sent(reason) as u64), "{reason}");
    }
    attack
}

/// The reasons whose frames arrived.
fn reached(attack: &Done) -> HashSet<String> {
    let lines = attack.lines("attack");
    let reached = lines.iter().filter(|line| line["reached"] == true);
    reached.map(|line| line["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn nothing_of_an_attack_arrives_where_it_is_enforced() {
    in_host(|_| assert_eq!(reached(&attacked("--enforce")), HashSet::new()));
}

#[test]
fn every_way_around_works_without_the_guard_and_not_with_it() {
    in_host(|_| {
        tests::needs_kernel((5, 16), "nftables at egress");
        let attack = attacked("--enforce");
        let ways = attack.lines("way");
        assert_eq!(ways.len(), 10, "{}", attack.out);
        for way in &ways {
            if !way["left_out"].is_null() {
                assert!(tests::kernel_version() < (6, 5), "{way}");
                continue;
            }
            assert!(way["unguarded"].as_u64() > Some(0) && way["guarded"] == 0, "{way}");
            let counted = if way["way"] == "a page written to once it is sent" { 0 } else { 10 };
            assert_eq!(way["counted"], counted, "{way}");
        }
        assert_eq!(run(oracle("nft").args(["list", "ruleset"])), "");
    });
}

/// Questions for neighbours and the like, which the kernel of the attacker's namespace sends whenever it wants to, neither go
/// around nor are counted as if they had.
#[test]
fn what_the_kernel_sends_during_an_attack_is_counted_as_what_it_is() {
    in_host(|_| {
        tests::needs_kernel((5, 16), "nftables at egress");
        let mut attack = Watched::start("run --attack --enforce --duration 3 --json");
        // The last of the frames: any other that arrives before is one that the two groups may not exchange, too.
        attack.line("group", |line| line["type"] == "attack" && line["reason"] == "group");
        let addresses = tests::ip_json("-n ns2 -4 addr show eth0");
        let peer = addresses[0]["addr_info"][0]["local"].as_str().unwrap().to_owned();
        let over = AtomicBool::new(false);
        let ways: Vec<Value> = std::thread::scope(|scope| {
            scope.spawn(|| {
                // It ends if the test fails, too.
                for _ in (0..200).take_while(|_| !over.load(Ordering::Relaxed)) {
                    let _ = tests::ip("-n ns1 neigh flush dev eth0");
                    let ping = ["netns", "exec", "ns1", "ping", "-c1", "-W1", &peer];
                    let _ = oracle("ip").args(ping).output();
                }
            });
            let ways = (0..10).map(|_| attack.line("way", |line| line["type"] == "way")).collect();
            over.store(true, Ordering::Relaxed);
            ways
        });
        for way in ways.iter().filter(|way| way["way"].as_str().unwrap().starts_with("ifb, ")) {
            assert!(way["guarded"] == 0 && way["counted"] == 10, "{way}");
        }
        let summary = attack.line("summary", |line| line["type"] == "summary");
        assert_eq!((&summary["attack_ok"], &summary["exact"]), (&true.into(), &true.into()), "{summary}");
        let end = attack.end("none");
        assert_eq!((end.code, end.err.as_str()), (Some(0), ""), "{}", end.out);
    });
}

/// With everything else that a run can have switched on; all of it is as before once the attack is over.
#[test]
fn nothing_of_an_attack_arrives_with_everything_on() {
    in_host(|_| {
        tests::needs_kernel((5, 16), "nftables at egress");
        world();
        std::fs::write("/run/egress.toml", "rules = [\"deny 203.0.113.0/24 udp/53\"]\n").unwrap();
        let before = state_of_the_host();
        let mut attack = Watched::start(
            "run --attack --enforce --masquerade --subnet6 fd11::/64 --egress /run/egress.toml \
             --limit in=10gbit,out=10gbit,quota=100gb --scopes --verdicts --json --interval 0.1",
        );
        let mut lines = Vec::new();
        attack.line("counters", |line| {
            lines.push(line.clone());
            line["type"] == "counters"
        });
        let of = |kind: &'static str| lines.iter().filter(move |line| line["type"] == kind);
        assert_eq!(of("attack").count(), judged().count());
        for line in of("attack") {
            assert!(line["seen"] == line["sent"] && line["ok"] == true && line["reached"] == false, "{line}");
        }
        assert_eq!(of("way").count(), 10);
        for way in of("way").filter(|way| way["left_out"].is_null()) {
            let is_stopped = way["unguarded"].as_u64() > Some(0) && way["guarded"] == 0;
            assert!(is_stopped && way["counted"] == 10, "{way}");
        }
        // The program copies the headers of what it counts by destination, so the attack on a shared page is not tried.
        assert_eq!(of("way").filter(|way| !way["left_out"].is_null()).count(), 1);
        // Attacker and victim have their egress policies again, and honest traffic passes.
        for namespace in ["ns1", "ns2"] {
            assert!(hears(namespace, INTERNET[0]) && misses(namespace, METADATA[0]), "{namespace}");
        }
        let end = attack.end("INT");
        assert_eq!((end.code, end.err.as_str()), (Some(0), ""), "{}", end.out);
        let summary = only(&Value::Array(end.lines("summary")));
        assert_eq!((&summary["attack_ok"], &summary["exact"]), (&true.into(), &true.into()));
        assert_eq!(summary["violations"]["egress"], 2);
        assert_eq!(state_of_the_host(), before);
        assert_eq!(run(oracle("nft").args(["list", "ruleset"])), "");
    });
}

#[test]
fn everything_of_an_attack_arrives_where_it_is_observed() {
    in_host(|_| {
        // Where the bridge hands packets to netfilter, netfilter refuses some of them itself; so it is off in this
        // host. A kernel without br_netfilter has no such settings.
        for family in ["iptables", "ip6tables"] {
            let _ = std::fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}"), "0");
        }
        // The bridge always refuses such a source.
        let all = judged().filter(|&&reason| reason != Reason::SourceMacInvalid);
        let expected: HashSet<_> = all.map(|reason| reason.name().to_owned()).collect();
        assert_eq!(reached(&attacked("--observe")), expected);
    });
}

#[test]
fn the_attack_is_a_table_for_readers() {
    in_host(|_| {
        let attack = done(&mut xtask("run --attack --enforce --duration 0.5"));
        assert_eq!((attack.code, attack.err.as_str()), (Some(0), ""), "{}", attack.out);
        for reason in judged() {
            let row = [reason.name(), "1", "1", "no"];
            let is_row = |line: &str| line.split_whitespace().eq(row);
            assert!(attack.out.lines().any(is_row), "{reason} is in the table:\n{}", attack.out);
        }
        assert!(!attack.out.contains("WRONG"), "{}", attack.out);
    });
}

#[test]
fn offending_frames_are_written_down_for_tcpdump() {
    in_host(|_| {
        let file = PathBuf::from("/run/attack.pcapng");
        let attack = format!("run --attack --enforce --duration 0.5 --json --pcap {}", file.display());
        let attack = done(&mut xtask(&attack));
        assert_eq!(attack.code, Some(0), "{}{}", attack.out, attack.err);
        let violations = attack.lines("violation");
        let read = run(oracle("tcpdump").args(["-nne", "-t", "-r"]).arg(&file));
        // A line that is not indented begins a frame.
        let frames: Vec<&str> = read.lines().filter(|line| !line.starts_with(char::is_whitespace)).collect();
        assert_eq!(frames.len(), violations.len(), "{read}");
        let of_ways = attack
            .lines("way")
            .into_iter()
            .filter(|way| way["way"].as_str().unwrap().starts_with("a checksum"));
        assert_eq!(violations.len(), judged().count() + of_ways.count() * 10, "each frame was reported");
        for part in ["802.1Q", "neighbor solicitation", "BOOTP/DHCP", "Flags [none]"] {
            assert!(read.contains(part), "{part}:\n{read}");
        }
        let bytes = std::fs::read(&file).unwrap();
        for reason in judged() {
            let comment = format!("{reason}, from ns1 by veth-ns1");
            let has = bytes.windows(comment.len()).any(|window| window == comment.as_bytes());
            assert!(has, "{reason} is in a comment");
        }
        std::fs::remove_file(&file).unwrap();
    });
}

/// Where the program cannot see where a checksum will be written, nothing is reported as enforced.
#[test]
fn without_the_kernels_types_nothing_is_enforced() {
    in_host(|_| {
        let _ = run(oracle("busybox").args(["mount", "-t", "tmpfs", "none", "/sys/kernel/btf"]));
        let before = state_of_the_host();
        let enforce = done(&mut xtask("run --enforce --duration 0.5 --json"));
        let why = "enforce a policy: /sys/kernel/btf/vmlinux, the kernel's types (CONFIG_DEBUG_INFO_BTF), cannot be read";
        assert_eq!(enforce.code, Some(2), "{}", enforce.out);
        assert!(enforce.err.contains(why), "{}", enforce.err);
        let observe = done(&mut xtask("run --observe --duration 0.5 --json"));
        assert_eq!((observe.code, observe.err.as_str()), (Some(0), ""), "{}", observe.out);
        assert_eq!(state_of_the_host(), before);
    });
}
