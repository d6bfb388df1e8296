//! Ctrl-C, kill, a reader that goes away, a kernel that refuses in the middle: everything is taken down.

use crate::watched::{Watched, signal};
use crate::{Done, done, finished, state_of_the_host, xtask};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use tests::{eventually, in_host, ip};

/// Starts a run and waits until it watches.
fn watching(arguments: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child =
        xtask(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("netns starts");
    let mut out = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("counters") {
        line.clear();
        assert_ne!(out.read_line(&mut line).expect("a line"), 0, "it ended");
    }
    (child, out)
}

#[test]
fn sigint_and_sigterm_end_a_run_cleanly() {
    in_host(|_| {
        let before = state_of_the_host();
        for name in ["INT", "TERM"] {
            let (child, mut out) = watching("run --json --interval 0.2");
            assert!(ip("netns list").contains("ns1"));
            signal(&child, name);
            let mut rest = String::new();
            out.read_to_string(&mut rest).unwrap();
            let run = Done { out: rest, ..finished(child.wait_with_output().unwrap()) };
            assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "SIG{name}");
            let summary = run.out.lines().last().unwrap();
            let summary: Value = serde_json::from_str(summary).unwrap();
            assert_eq!((&summary["exact"], &summary["leftovers"]), (&true.into(), &Value::Array(Vec::new())));
            assert_eq!(state_of_the_host(), before, "SIG{name}");
        }
    });
}

#[test]
fn a_ping_that_waits_ends_when_it_is_asked_to() {
    in_host(|_| {
        ip("link set lo up");
        ip("link add v1 type veth peer name v2");
        ip("link set v1 up");
        ip("link set v2 up");
        ip("addr add 10.1.1.1/24 dev v1");
        // Nobody has the second address; and the first is asked again after an hour.
        for arguments in ["10.1.1.2 -W 3600 -c 1", "10.1.1.1 -i 3600 -c 2"] {
            let child =
                xtask(&format!("ping {arguments}")).stdout(Stdio::piped()).spawn().expect("netns starts");
            // One line is the heading.
            let is_open =
                || std::fs::read_to_string("/proc/thread-self/net/raw").unwrap().lines().count() > 1;
            eventually("it sends", is_open);
            signal(&child, "INT");
            let ping = finished(child.wait_with_output().unwrap());
            assert!(ping.out.contains("1 sent, "), "{}", ping.out);
            assert_eq!(ping.code, Some(i32::from(!ping.out.contains("1 received"))));
        }
    });
}

#[test]
fn a_run_accepts_the_longest_duration() {
    in_host(|_| {
        let before = state_of_the_host();
        let (child, _out) = watching("run --json --interval 0.2 --duration 1e19");
        signal(&child, "INT");
        let run = finished(child.wait_with_output().unwrap());
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let run = done(&mut xtask("run --json --interval 1e19 --duration 0.2"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
        let run = done(&mut xtask("run --json --duration 1e20"));
        assert_eq!((run.code, run.out.as_str()), (Some(1), ""));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn an_observer_accepts_the_longest_interval() {
    in_host(|_| {
        // A bridge without an address of its own takes that of a port.
        ip("link add lan address 02:00:00:00:00:77 type bridge");
        let before = state_of_the_host();
        // The time ends before a reading is due; the last one is printed then.
        let observe = done(&mut xtask("observe lan --json --interval 1e19 --duration 0.2"));
        assert_eq!((observe.code, observe.err.as_str()), (Some(0), ""));
        assert_eq!(observe.lines("counters").len(), 1, "{}", observe.out);
        let mut observe = Watched::start("observe lan --json --interval 1e19 --duration 60");
        observe.line("it is observed", |line| line["type"] == "observe");
        // A new port is noticed all the same.
        ip("link add v1 master lan type veth peer name v2");
        observe.line("its port", |line| line["event"] == "came" && line["port"] == "v1");
        ip("link delete v1");
        let observe = observe.end("INT");
        assert_eq!((observe.code, observe.err.as_str()), (Some(0), ""));
        let refused = done(&mut xtask("observe lan --json --interval 1e20"));
        assert_eq!((refused.code, refused.out.as_str()), (Some(1), ""));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn every_fatal_signal_ends_run_and_observe_cleanly() {
    in_host(|_| {
        ip("link add lan type bridge");
        ip("link add v1 master lan type veth peer name v2");
        let before = state_of_the_host();
        let commands = ["run --json --interval 0.1", "observe lan --json --interval 0.1"];
        // Each command gets one of the two signals; both handle them by the same few lines.
        let signals = [
            "QUIT", "HUP", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "IO", "XCPU", "XFSZ", "PWR", "STKFLT",
            "34", "64",
        ];
        for (name, arguments) in signals.iter().zip(commands.iter().cycle()) {
            let (child, mut out) = watching(arguments);
            signal(&child, name);
            let _ = out.read_to_string(&mut String::new()).unwrap();
            let end = finished(child.wait_with_output().unwrap());
            assert_eq!((end.code, end.err.as_str()), (Some(0), ""), "SIG{name}: {arguments}");
            assert_eq!(state_of_the_host(), before, "SIG{name}: {arguments}");
        }
    });
}

#[test]
fn a_reader_that_goes_away_ends_a_run() {
    in_host(|_| {
        let before = state_of_the_host();
        let (mut child, out) = watching("run --json --interval 0.2");
        drop(out);
        assert_eq!(child.wait().unwrap().code(), Some(141));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn after_sigkill_one_command_cleans_up() {
    in_host(|_| {
        let before = state_of_the_host();
        let (mut child, _out) = watching("run --json --interval 0.2");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_ne!(state_of_the_host(), before);
        let run = done(&mut xtask("run --bridge br1"));
        assert_eq!(run.code, Some(1));
        assert!(run.err.contains("`netns clean`"), "{}", run.err);

        assert_eq!(done(&mut xtask("clean")).code, Some(0));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn clean_refuses_during_a_run() {
    in_host(|_| {
        let (mut child, _out) = watching("run --json --interval 0.2");
        let clean = done(&mut xtask("clean"));
        assert_eq!((clean.code, clean.err.as_str()), (Some(1), "error: another `netns run` is going on\n"));
        assert!(ip("netns list").contains("ns1"));
        signal(&child, "INT");
        child.wait().unwrap();
    });
}

#[test]
fn a_refusal_in_the_middle_is_reported_and_everything_before_it_undone() {
    in_host(|_| {
        let before = state_of_the_host();
        // Each namespace takes a descriptor, so some thirty fit.
        let program = env!("CARGO_BIN_EXE_netns");
        let script = format!("ulimit -n 60; exec {program} run --namespaces 100 --json");
        let run = done(Command::new("sh").args(["-c", &script]));
        assert_eq!(run.code, Some(2), "{}", run.err);
        assert!(run.err.contains("Too many open files"), "{}", run.err);
        assert_eq!(run.err.lines().count(), 1, "{}", run.err);
        assert_eq!(state_of_the_host(), before);
    });
}
