//! What happens when somebody removes an enforcement, or puts something in front of it.

use crate::barrier::{ENFORCE, lies, nft, two};
use crate::metrics::{PORT, metrics};
use crate::observe::programs;
use crate::ours::run_traced;
use crate::watched::Watched;
use crate::{done, xtask};
use netns_core::tc::{self, Direction, Filter};
use netns_core::{IfName, link};
use serde_json::Value;
use std::os::fd::AsFd;
use tests::{Host, Verdict, attach_tcx, eventually, in_host, ip, load_program, needs_kernel, tc_json};

fn index(host: &Host, port: &str) -> u32 {
    link::get(&mut host.socket(), IfName::new(port).unwrap()).unwrap().index
}

/// Somebody else's filter, which accepts everything and runs before ours, which has the first priority.
fn put_before(host: &Host, port: &str) {
    let program = load_program(Verdict::Pass).unwrap();
    let (index, program) = (index(host, port), program.as_fd());
    let direction = Direction::Ingress;
    let filter = Filter { index, direction, priority: 1, handle: 2, program, name: "somebody", class_id: 0 };
    tc::add_filter(&mut host.socket(), &filter).unwrap();
}

fn lost(line: &Value) -> bool {
    line["type"] == "enforcement" && line["event"] == "lost"
}

#[test]
fn a_filter_put_before_ours_is_reported_and_ours_is_put_first() {
    in_host(|host| {
        two();
        let mut observe = Watched::start(&format!("{ENFORCE} --metrics {PORT}"));
        observe.line("counters", |line| line["type"] == "counters");
        for times in 1..=2 {
            put_before(host, "v1");
            let line = observe.line("the loss", lost);
            assert_eq!(line["restored"], true, "{line}");
            let what = "the first place on v1, for the ingress filter \"pref 1 handle 0x2 bpf\"";
            assert_eq!(line["what"], what);
            let filters = tc_json("filter show dev v1 ingress");
            let names = filters
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|filter| filter["options"]["bpf_name"].as_str());
            assert_eq!(names.collect::<Vec<_>>(), ["netns-ebpf", "somebody"]);
            assert_eq!(lies(), 0);
            eventually("it is a metric", || {
                metrics().contains(&format!("\nnetns_enforcement_lost_total {times}\n"))
            });
            tc::delete_filter(&mut host.socket(), index(host, "v1"), Direction::Ingress, 1, 2).unwrap();
        }
        // On a port where nothing is enforced it is reported, and nothing is lost.
        put_before(host, "v2");
        assert_eq!(observe.line("the loss", lost)["restored"], true);
        let ended = observe.end("INT");
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(ended.err.contains("what enforces the policies was taken away 2 times"), "{}", ended.err);
        assert_eq!((programs("v1"), programs("v2"), nft("list ruleset")), (0, 0, String::new()));
    });
}

#[test]
fn a_tcx_program_before_ours_is_reported_and_what_it_accepts_does_not_arrive() {
    in_host(|host| {
        needs_kernel((6, 6), "TCX");
        two();
        let mut observe = Watched::start(&format!("{ENFORCE} --metrics {PORT}"));
        observe.line("counters", |line| line["type"] == "counters");
        let program = load_program(Verdict::Pass).unwrap();
        let attached = attach_tcx(program.as_fd(), index(host, "v1")).unwrap();
        let line = observe.line("the loss", lost);
        assert_eq!(line["restored"], false, "{line}");
        let what = line["what"].as_str().unwrap();
        assert!(
            what.starts_with("the first place on v1, for the ingress TCX program with the id "),
            "{what}"
        );
        eventually("it is a metric", || metrics().contains("\nnetns_enforcement_lost_total 1\n"));
        // Ours never sees the frame, so it has no stamp.
        assert_eq!(lies(), 0, "the barrier is there");
        observe.port("v1", |port| port["violations"]["unjudged"].as_u64() >= Some(10));
        drop(attached);
        // It is gone, and so it is news the next time.
        let judged =
            |port: &Value| port["violations"].as_object().unwrap().keys().any(|reason| reason != "unjudged");
        eventually("ours is asked again", || {
            assert_eq!(lies(), 0);
            judged(&observe.port("v1", |_| true))
        });
        std::thread::sleep(std::time::Duration::from_secs(2));
        let _attached = attach_tcx(program.as_fd(), index(host, "v1")).unwrap();
        observe.line("the loss", lost);
        let ended = observe.end("INT");
        assert_eq!(ended.code, Some(2), "{}", ended.err);
        assert!(ended.err.contains("what enforces the policies was taken away 2 times"), "{}", ended.err);
    });
}

#[test]
fn a_filter_that_was_there_before_ours_is_reported() {
    in_host(|host| {
        two();
        tests::tc("qdisc add dev v1 clsact");
        put_before(host, "v1");
        let mut observe = Watched::start(ENFORCE);
        let line = observe.line("the loss", lost);
        assert_eq!(line["restored"], false, "{line}");
        assert_eq!(lies(), 0, "the barrier is there");
        assert_eq!(observe.end("INT").code, Some(2));
    });
}

#[test]
fn a_namespace_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    in_host(|_| {
        two();
        let (arguments, traced) = (
            "observe br0 --policy /run/ports.toml --enforce --unmatched pass --once --interval 0.1",
            "openat",
        );
        let (fine, trace) = run_traced(&format!("-e trace={traced}"), arguments);
        assert_eq!(fine.status.code(), Some(0));
        let opens = (1..).zip(trace.lines().filter(|line| line.contains(" openat(")));
        let of_name: Vec<u32> =
            opens.filter(|(_, line)| line.contains("/netns/ns1\"")).map(|(number, _)| number).collect();
        assert!(!of_name.is_empty(), "{trace}");
        for number in of_name {
            let refuse = format!("-e trace={traced} -e inject={traced}:error=EMFILE:when={number}");
            let (output, _) = run_traced(&refuse, arguments);
            let err = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{number}: {err}");
            assert!(err.contains("the namespace ns1 may be behind a port, and cannot be looked at"), "{err}");
            assert!(err.contains("Too many open files"), "{number}: {err}");
            assert_eq!((programs("v1"), nft("list ruleset")), (0, String::new()), "{number}");
        }
    });
}

#[test]
fn the_next_observer_removes_a_barrier_whose_port_was_replaced() {
    in_host(|host| {
        two();
        let mut observe = Watched::start(ENFORCE);
        observe.line("counters", |line| line["type"] == "counters");
        observe.end("KILL");
        // The next link with the same index has nothing to do with it.
        let index = index(host, "v1");
        ip("link del v1");
        ip(&format!("link add other index {index} type veth peer name inside netns ns1"));
        ip("link add br1 type bridge mcast_snooping 0");
        ip("link set other master br1 up");
        assert!(nft("list ruleset").contains("\"other\""), "it is barred");
        let again = done(&mut xtask("observe br1 --once --interval 0.1"));
        assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
        let rules = nft("list ruleset");
        assert!(rules.contains("table bridge netns-barrier-") && !rules.contains("\"other\""), "{rules}");

        // A bridge takes all of it along when it goes.
        ip("link del br0");
        let again = done(&mut xtask("observe br1 --once --interval 0.1"));
        assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
        assert_eq!(nft("list ruleset"), "");
        assert_eq!(done(&mut xtask("observe --cleanup")).out, "nothing to remove\n");
        assert_eq!([programs("v2"), programs("other")], [0, 0]);
    });
}

#[test]
fn what_a_run_enforces_is_put_back_and_the_run_fails() {
    in_host(|host| {
        needs_kernel((5, 16), "nftables at egress");
        let mut run = Watched::start("run --enforce --json --interval 0.2");
        let counters = run.line("counters", |line| line["type"] == "counters");
        let port = counters["ports"][0]["port"].as_str().unwrap().to_owned();
        tests::tc(&format!("qdisc del dev {port} clsact"));
        eventually("they are there again", || programs(&port) == 2);
        put_before(host, &port);
        eventually("ours is first again", || {
            let filters = tc_json(&format!("filter show dev {port} ingress"));
            let mut names = filters
                .as_array()
                .unwrap()
                .iter()
                .filter_map(|filter| filter["options"]["bpf_name"].as_str());
            names.next() == Some("netns-ebpf") && names.next() == Some("somebody")
        });
        let ended = run.end("INT");
        assert_eq!(ended.code, Some(1), "{}", ended.err);
        assert_eq!(ended.lines("summary")[0]["lost_enforcement"], 2, "{}", ended.err);
    });
}
