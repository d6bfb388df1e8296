//! A setting that several need is put back by the last of them, in whichever order they end, and also after kills.

use crate::ours::run_traced;
use crate::topology::{edit, fine, topology};
use crate::watched::Watched;
use crate::{done, state_of_the_host, xtask};
use std::fs;
use std::path::{Path, PathBuf};
use tests::in_host;

const RECORD: &str = "/run/netns-settings.record";

/// A topology with a namespace of this name; it wants the host to forward.
fn router(name: &str) -> PathBuf {
    let file = PathBuf::from(format!("/run/{name}.toml"));
    let text = format!("[host]\nsysctl.'net.ipv4.ip_forward' = 1\n[namespace.{name}]\n");
    fs::write(&file, text).unwrap();
    file
}

fn forward() -> String {
    fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap()
}

fn running() -> Watched {
    let mut run = Watched::start("run --json --interval 0.2");
    run.line("counters", |line| line["type"] == "counters");
    run
}

#[test]
fn two_topologies_in_any_order() {
    in_host(|_| {
        let files = ["a", "b", "c"].map(router);
        let before = state_of_the_host();
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            for file in &files {
                fine("up", file);
            }
            for (number, file) in order.into_iter().map(|number| &files[number]).enumerate() {
                assert_eq!(forward(), "1\n", "{order:?}");
                assert_eq!(fine("diff", file), "");
                let changes = fine("down", file);
                assert_eq!(changes.contains("ip_forward 1 -> 0"), number == 2, "{order:?}: {changes}");
            }
            assert_eq!(state_of_the_host(), before, "{order:?}");
        }
    });
}

#[test]
fn a_run_and_a_topology() {
    in_host(|_| {
        let file = router("a");
        let before = state_of_the_host();
        // The run ends first, then last; and then it is killed.
        let run = running();
        fine("up", &file);
        assert_eq!(run.end("INT").code, Some(0));
        assert_eq!(forward(), "1\n");
        assert_eq!(fine("diff", &file), "");
        let run = running();
        fine("down", &file);
        assert_eq!(forward(), "1\n");
        let end = run.end("INT");
        assert_eq!(
            (end.code, end.lines("summary")[0]["leftovers"].clone()),
            (Some(0), serde_json::json!([]))
        );
        assert_eq!(state_of_the_host(), before);

        fine("up", &file);
        running().end("KILL");
        fine("down", &file);
        assert_eq!(forward(), "1\n", "what was killed needs it until it is cleaned up");
        assert_eq!(done(&mut xtask("clean")).code, Some(0));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_kill_at_any_step_of_claiming_and_releasing() {
    in_host(|_| {
        let (a, b) = (router("a"), router("b"));
        let before = state_of_the_host();
        for arguments in ["up --quiet /run/b.toml", "down --quiet /run/b.toml"] {
            for call in ["rename", "unlink", "flock", "write"] {
                for number in 1.. {
                    fine("up", &a);
                    if arguments.starts_with("down") {
                        fine("up", &b);
                    }
                    let kill = format!("-e trace={call} -e inject={call}:signal=KILL:when={number}");
                    let (output, _) = run_traced(&kill, arguments);
                    fine("down", &b);
                    assert_eq!(forward(), "1\n", "{arguments}: {call} {number}");
                    assert_eq!(fine("diff", &a), "");
                    fine("down", &a);
                    assert_eq!(state_of_the_host(), before, "{arguments}: {call} {number}");
                    if output.status.success() {
                        break;
                    }
                }
            }
        }
    });
}

/// A command that finds no space to withdraw its claim leaves it; it no longer counts once its record is gone.
#[test]
fn claims_without_an_owner_are_no_leftover() {
    in_host(|_| {
        let (one, other) = (router("a"), router("b"));
        let claimed = |file| {
            fine("up", file);
            fs::read(RECORD).unwrap()
        };
        let claims = claimed(&one);
        fine("down", &one);
        assert!(!Path::new(RECORD).exists());
        fs::write(RECORD, &claims).unwrap();
        let cleaned = done(&mut xtask("clean"));
        assert_eq!((cleaned.code, cleaned.out.as_str()), (Some(0), "nothing to remove\n"), "{}", cleaned.err);
        assert!(!Path::new(RECORD).exists(), "clean");
        fs::write(RECORD, &claims).unwrap();
        fine("up", &other);
        fine("down", &other);
        assert!(!Path::new(RECORD).exists(), "down of another");
    });
}

#[test]
fn each_may_need_a_different_value() {
    in_host(|_| {
        let lab = |name: &str, value: u8| {
            let file = PathBuf::from(format!("/run/{name}.toml"));
            let key = "net.ipv4.conf.all.rp_filter";
            fs::write(&file, format!("[host]\nsysctl.'{key}' = {value}\n[namespace.{name}]\n")).unwrap();
            file
        };
        let get = || fs::read_to_string("/proc/sys/net/ipv4/conf/all/rp_filter").unwrap();
        let first = get();
        let (a, b) = (lab("a", 1), lab("b", 2));
        fine("up", &a);
        fine("up", &b);
        assert_eq!(get(), "2\n");
        assert_eq!(topology("diff", &a).out, "~ host: net/ipv4/conf/all/rp_filter 2 -> 1\n");
        assert!(fine("down", &b).contains("~ host: net/ipv4/conf/all/rp_filter 2 -> 1\n"));
        assert_eq!(get(), "1\n");
        assert_eq!(fine("diff", &a), "");
        // A file that has been moved still needs it.
        let moved = PathBuf::from("/run/moved.toml");
        fs::rename(&a, &moved).unwrap();
        fine("up", &moved);
        let c = lab("c", 1);
        fine("up", &c);
        edit(&c, "[host]\nsysctl.'net.ipv4.conf.all.rp_filter' = 1\n", "");
        assert_eq!(fine("up", &c), "");
        fine("down", &c);
        assert_eq!(get(), "1\n");
        fine("down", &moved);
        assert_eq!((get(), Path::new(RECORD).exists()), (first, false));
    });
}
