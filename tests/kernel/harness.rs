//! The harness keeps its own promises.

use netns_core::tc::{Direction, Filter, add_filter};
use netns_core::{Namespace, missing_capabilities};
use std::os::fd::AsFd;
use std::process::{Command, Output};
use std::sync::mpsc;
use std::{env, fs, thread};
use tests::{
    Bridged, Verdict, eventually, in_host, ip, load_program, oracle, ping, run, tc, without_capabilities,
};

#[test]
fn two_hosts_see_nothing_of_each_other() {
    in_host(|_| {
        ip("netns add here");
        ip("link add br0 type bridge");
        thread::scope(|scope| {
            scope.spawn(|| in_host(tests::Host::assert_clean)).join().unwrap();
        });
        assert_eq!(ip("netns list"), "here\n");
    });
}

#[test]
#[should_panic(expected = "the test's own words")]
fn a_panic_reaches_the_test() {
    if missing_capabilities().unwrap().is_empty() {
        in_host(|_| panic!("the test's own words"));
    }
    panic!("the test's own words");
}

#[test]
fn a_host_disappears_with_its_thread_even_after_a_panic() {
    let (sender, receiver) = mpsc::channel();
    let path = |id: netns_core::NamespaceId| format!("net:[{}]", id.inode);
    let panicked = thread::spawn(move || {
        in_host(|host| {
            Namespace::create("left").unwrap();
            sender.send(host.namespace().id().unwrap()).unwrap();
            std::panic::resume_unwind(Box::new("without words"));
        });
    });
    let outcome = panicked.join();
    // Without privilege nothing was made.
    let Ok(id) = receiver.recv() else { return };
    assert!(outcome.is_err());
    // The kernel lets a thread be joined before it has removed it from its namespaces.
    eventually("no thread is in the host", || !threads_namespaces().contains(&path(id)));
    assert!(!fs::exists("/var/run/netns/left").unwrap());
}

/// The network namespaces of this process' threads.
fn threads_namespaces() -> Vec<String> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let links = threads.map(|thread| fs::read_link(thread.unwrap().path().join("ns/net")));
    links.filter_map(Result::ok).map(|link| link.display().to_string()).collect()
}

#[test]
#[should_panic(expected = "the test left its thread in another namespace")]
fn a_thread_left_in_another_namespace_fails_the_test() {
    if missing_capabilities().unwrap().is_empty() {
        in_host(|_| tests::unshare_network().unwrap());
    }
    panic!("the test left its thread in another namespace");
}

#[test]
fn a_host_is_empty_on_a_machine_that_has_used_ip_netns() {
    in_host(|_| {
        // This test's host stands for the machine of the tests that it runs: its /run/netns is a mount with a name in
        // it.
        ip("netns add theirs");
        let mut tests = Command::new(env::current_exe().unwrap());
        let _ = run(tests.args(["folder::", "--test-threads=2"]));
        assert_eq!(ip("netns list"), "theirs\n");
    });
}

/// Runs one of these tests in a process that has no privilege.
fn unprivileged(test: &str, ci: Option<&str>) -> Output {
    without_capabilities(|| {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", test, "--nocapture"]).env_remove("CI");
        if let Some(ci) = ci {
            command.env("CI", ci);
        }
        command.output().unwrap()
    })
}

#[test]
fn without_privilege_a_test_skips_and_names_capability_and_command() {
    in_host(|_| {
        let output = unprivileged("harness::two_hosts_see_nothing_of_each_other", None);
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{words}");
        assert_eq!(
            words,
            "SKIPPED harness::two_hosts_see_nothing_of_each_other: CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN missing; \
             run: sudo -E env PATH=\"$PATH\" cargo test --workspace\n",
        );
    });
}

#[test]
fn without_privilege_a_test_fails_on_ci() {
    in_host(|_| {
        let output = unprivileged("harness::two_hosts_see_nothing_of_each_other", Some("true"));
        let words = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            words.contains("not to be skipped on CI: CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN missing"),
            "{words}"
        );
    });
}

#[test]
fn every_oracle_is_there_and_answers() {
    in_host(|_| {
        for tool in ["ip", "bridge", "tc", "ping", "strace"] {
            let version = run(oracle(tool).arg("-V"));
            assert!(!version.is_empty(), "{tool}");
        }
    });
}

#[test]
fn a_dropping_program_drops_and_a_passing_one_passes() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let first = &bridged.insides[0].namespace;
        let is_answered = || first.enter(|| ping("-c 1", "10.1.1.2")).unwrap();
        is_answered();
        tc("qdisc add dev port2 clsact");
        let mut socket = host.socket();
        for verdict in [Verdict::Drop, Verdict::Pass, Verdict::Continue] {
            let program = load_program(verdict).unwrap();
            let filter = Filter {
                index: bridged.insides[1].port,
                direction: Direction::Egress,
                priority: 1,
                handle: 1,
                program: program.as_fd(),
                name: "verdict",
                class_id: 0,
            };
            add_filter(&mut socket, &filter).unwrap();
            if verdict == Verdict::Drop {
                let mut ping = oracle("ping");
                ping.args(["-q", "-c", "3", "-i", "0.2", "-W", "1", "10.1.1.2"]);
                let output = first.enter(|| ping.output()).unwrap().unwrap();
                assert!(String::from_utf8(output.stdout).unwrap().contains(" 0 received"));
            } else {
                is_answered();
            }
            tc("filter del dev port2 egress");
        }
    });
}
