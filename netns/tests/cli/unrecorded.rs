//! What a killed observer left behind, with its record torn or gone: it is reported with the commands that remove it.

use crate::barrier::{ENFORCE, lies, nft, two};
use crate::observe::programs;
use crate::watched::Watched;
use crate::{Done, done, xtask};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tests::{in_host, ip, ip_json, only, oracle, run, tc};

/// What a record is changed to; `None` deletes it.
type Spoil = fn(&str) -> Option<String>;

fn record() -> PathBuf {
    let records = fs::read_dir("/run").unwrap().map(|entry| entry.unwrap().path());
    let mut records =
        records.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("netns-observe-"));
    let record = records.next().expect("a record");
    assert_eq!(records.next(), None);
    record
}

/// Runs the reported commands, as a reader would.
fn obey(report: &Done) {
    for line in report
        .err
        .lines()
        .filter(|line| line.contains("is on no record: ") || line.contains("are on no record: "))
    {
        let commands = line.split_once("no record: ").unwrap().1;
        // Skips the test where nft is missing.
        drop(oracle("nft"));
        let _ = run(Command::new("sh").args(["-ec", commands]));
    }
}

fn killed() {
    let mut observe = Watched::start(ENFORCE);
    observe.line("counters", |line| line["type"] == "counters");
    observe.end("KILL");
    assert_eq!(lies(), 0);
}

fn learns() -> bool {
    only(&ip_json("-d link show br0"))["linkinfo"]["info_data"]["no_linklocal_learn"] != 1
}

#[test]
fn unrecorded_leftovers_are_reported_with_the_commands_that_remove_them() {
    in_host(|_| {
        two();
        // Torn in its first line, cut at the beginning, emptied, and removed.
        let ways: [Spoil; 4] = [
            |_| Some("netns-rec".to_owned()),
            |text| Some(text[..text.find("bridge").unwrap() + 9].to_owned()),
            |_| Some(String::new()),
            |_| None,
        ];
        for (number, spoil) in ways.iter().enumerate() {
            for command in ["observe br0 --cleanup", "observe --cleanup", "clean"] {
                killed();
                let path = record();
                match spoil(&fs::read_to_string(&path).unwrap()) {
                    Some(text) => fs::write(&path, text).unwrap(),
                    None => fs::remove_file(&path).unwrap(),
                }
                let report = done(&mut xtask(command));
                assert_eq!(report.code, Some(2), "{number} {command}: {}{}", report.out, report.err);
                assert!(!report.out.contains("nothing to remove"), "{number} {command}: {}", report.out);
                assert_eq!((programs("v1"), programs("v2")), (2, 2), "{number} {command}: it is left alone");
                assert_eq!(lies(), 0, "{number} {command}");
                obey(&report);
                assert_eq!((programs("v1"), programs("v2")), (0, 0), "{}", report.err);
                assert_eq!((nft("list ruleset"), learns()), (String::new(), true), "{}", report.err);
                assert!(!tc("qdisc show").contains("clsact"), "{}", report.err);
                let v1 = &only(&ip_json("-d link show v1"))["linkinfo"]["info_slave_data"];
                assert_eq!(v1["group_fwd_mask"], "0", "{}", report.err);
                assert_eq!(lies(), 10);
                // A record that cannot be read at all is in nobody's way.
                let _ = fs::remove_file(&path);
                let clean = done(&mut xtask(command));
                assert_eq!(
                    (clean.code, clean.out.as_str()),
                    (Some(0), "nothing to remove\n"),
                    "{}",
                    clean.err
                );
            }
        }
    });
}

/// One bridge with leftovers, beside one that is observed, one that belongs to a topology, and somebody else's filters.
#[test]
fn what_is_on_others_records_is_not_reported() {
    in_host(|_| {
        two();
        ip("link add br1 type bridge mcast_snooping 0");
        ip("netns add ns9");
        ip("link add v9 type veth peer name eth0 netns ns9");
        ip("link set v9 master br1 up");
        ip("link set br1 up");
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        for command in ["observe br1 --cleanup", "clean"] {
            let clean = done(&mut xtask(command));
            assert_eq!(
                (clean.code, clean.out.as_str(), clean.err.as_str()),
                (Some(0), "nothing to remove\n", "")
            );
        }
        // Its process has the programs open, and its record is there, torn or not.
        let path = record();
        let text = fs::read_to_string(&path).unwrap();
        observe.end("KILL");
        let clean = done(&mut xtask("clean"));
        assert_eq!((clean.code, clean.out.as_str()), (Some(0), "nothing to remove\n"), "{}", clean.err);
        fs::remove_file(&path).unwrap();
        let other = done(&mut xtask("observe br1 --cleanup"));
        assert_eq!((other.code, other.err.as_str()), (Some(0), ""), "it is of another bridge");
        fs::write(&path, text).unwrap();
        assert_eq!(done(&mut xtask("observe br0 --cleanup")).code, Some(0));
        assert_eq!((programs("v1"), nft("list ruleset")), (0, String::new()));
    });
}

/// Names that a shell or a terminal would take for something else.
#[test]
fn the_commands_are_safe_to_paste() {
    in_host(|_| {
        two();
        ip("link set v1 down");
        ip("link set v1 name a;$(b)\u{1b}[31m");
        ip("link set a;$(b)\u{1b}[31m up");
        killed();
        fs::remove_file(record()).unwrap();
        let report = done(&mut xtask("observe br0 --cleanup"));
        assert_eq!(report.code, Some(2), "{}", report.err);
        assert!(!report.err.contains('\u{1b}') && !report.err.contains("$("), "{}", report.err);
        obey(&report);
        assert!(!tc("qdisc show").contains("clsact"), "{}", report.err);
        assert_eq!(nft("list ruleset"), "");
    });
}
