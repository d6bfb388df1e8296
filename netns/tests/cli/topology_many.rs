//! Topologies of many namespaces, and what is printed while they come and go.

use crate::ours::run_traced;
use crate::topology::{fine, topology};
use crate::{done, state_of_the_host, xtask};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tests::{in_host, ip, ip_json, only, oracle};

const MANY: usize = 40;

fn many() -> PathBuf {
    let mut text = "[bridge.br0]\n".to_owned();
    for number in 1..=MANY {
        let address = format!("10.1.1.{number}/24");
        writeln!(
            text,
            "[namespace.m{number}]\ninterface.eth0 = {{ bridge = 'br0', addresses = ['{address}'] }}"
        )
        .unwrap();
    }
    let file = PathBuf::from("/run/many.toml");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn namespaces_take_their_cables_along() {
    in_host(|_| {
        let file = many();
        let before = state_of_the_host();
        fine("up", &file);
        let (down, trace) = run_traced("-e trace=sendto", "down /run/many.toml");
        assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
        // Each would block its caller for 16 ms.
        let removed = trace.lines().filter(|line| line.contains("RTM_DELLINK")).count();
        assert_eq!(removed, 1, "the bridge alone is removed by a request");
        assert_eq!(
            String::from_utf8_lossy(&down.stdout).lines().count(),
            2 * MANY + 1,
            "all of it is printed"
        );
        assert_eq!(state_of_the_host(), before, "and it is all gone when `down` returns");
    });
}

#[test]
fn a_namespace_held_by_a_process_loses_its_cable_and_is_reported() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        fs::write(&file, "[bridge.br0]\n[namespace.a]\ninterface.eth0 = { bridge = 'br0' }\n").unwrap();
        let before = state_of_the_host();
        fine("up", &file);
        let mut holder = oracle("ip").args(["netns", "exec", "a", "sleep", "1000"]).spawn().unwrap();
        tests::eventually("it is inside", || ip("netns pids a").lines().count() == 1);
        let down = topology("down", &file);
        let left = state_of_the_host();
        holder.kill().unwrap();
        holder.wait().unwrap();
        assert_eq!(down.code, Some(0), "{}", down.err);
        assert!(down.err.contains("namespace a lives on without its name"), "{}", down.err);
        assert_eq!(left, before);
    });
}

#[test]
fn a_process_that_outlives_down_is_reported_even_without_a_cable() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        fs::write(&file, "[namespace.a]\nrun = ['setsid env -i sleep 60 & sleep 0.2']\n[namespace.b]\n")
            .unwrap();
        fine("up", &file);
        tests::eventually("one is left", || ip("netns pids a").lines().count() == 1);
        let survivor = ip("netns pids a").trim().to_owned();
        let down = topology("down", &file);
        tests::signal("KILL", &survivor);
        assert_eq!(down.code, Some(0), "{}", down.err);
        let reported = format!("namespace a lives on without its name: process {survivor} is in it\n");
        assert!(down.err.ends_with(&reported) && down.err.lines().count() == 1, "{}", down.err);
        assert_eq!(ip("netns"), "");
    });
}

#[test]
fn changes_are_reported_as_they_are_made() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        let text = "[bridge.br0]\n[namespace.a]\nsysctl = { 'net.ipv4.no_such_setting' = 1 }\n";
        fs::write(&file, text).unwrap();
        // Steps before the refused one: by then the namespace was made.
        let refused = topology("up", &file);
        assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""));
        let refused = topology("up --verbose", &file);
        assert_eq!((refused.code, refused.out.as_str()), (Some(2), "+ namespace a\n"));

        fs::write(&file, "[bridge.br0]\n[namespace.a]\n").unwrap();
        let planned = topology("diff", &file).out;
        assert_eq!(fine("up -v", &file), planned, "once each");
        assert_eq!(
            fine("down -v", &file),
            "- namespace a\n- bridge host/br0\n".split_inclusive('\n').rev().collect::<String>()
        );
    });
}

#[test]
fn a_terminal_shows_the_progress() {
    in_host(|_| {
        let file = many();
        let netns = env!("CARGO_BIN_EXE_netns");
        let terminal = |command: &str| {
            let mut script = Command::new("script");
            tests::run(script.args(["-qec", &format!("{netns} {command}"), "/dev/null"]))
        };
        let total = 3 * MANY + 1;
        let up = terminal(&format!("up {}", file.display()));
        assert!(up.contains(&format!(" of {total} changes")), "{up}");
        assert_eq!(up.matches("+ namespace").count(), MANY);
        assert!(!terminal(&format!("up --quiet {}", file.display())).contains("changes"));
        assert!(terminal(&format!("down {}", file.display())).contains(" changes"));
        fine("up", &file);
        assert!(!done(&mut xtask("down /run/many.toml")).err.contains("changes"), "not into a pipe");
    });
}

#[test]
fn commands_have_a_state_and_logs() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        fs::write(
            &file,
            "[namespace.a]\nrun = ['sleep 0.2; nosuchcommand', 'echo hello; exec sleep 1000']\n[namespace.b]\n\
            run = ['echo there']\n",
        )
        .unwrap();
        let none = topology("logs", &file);
        assert_eq!(none.code, Some(1));
        assert_eq!(none.err, "error: no command of /run/lab.toml was started\n");
        fine("up", &file);
        let ended = "a: run sleep 0.2; nosuchcommand: exited 127\na: run echo hello; exec sleep 1000: running\n\
            b: run echo there: exited 0\n";
        tests::eventually("it has ended", || fine("show", &file).contains(ended));
        let logs = fine("logs", &file);
        assert!(logs.starts_with("==> a <==\n") && logs.ends_with("==> b <==\nthere\n"), "{logs}");
        assert!(logs.contains("nosuchcommand: not found") && logs.contains("hello\n"), "{logs}");
        assert_eq!(done(&mut xtask("logs /run/lab.toml b")).out, "there\n");
        assert_eq!(done(&mut xtask("logs /run/lab.toml c")).code, Some(1));
        let shown: serde_json::Value = serde_json::from_str(&fine("show --json", &file)).unwrap();
        assert_eq!(shown["started"][1]["running"], true);
        assert_eq!(shown["started"][0]["exit_code"], 127);
        // The shell that waits for a command may be killed before it.
        let group = ip("netns pids a").lines().next().unwrap().to_owned();
        tests::signal("KILL", format!("-- -{group}"));
        tests::eventually("it is seen", || fine("show", &file).contains("exec sleep 1000: ended\n"));
        fine("down", &file);
    });
}

#[test]
fn a_command_that_fails_at_once_fails_up() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        let before = "[namespace.a]\nrun = ['true', 'sleep 1000']\n";
        fs::write(&file, before).unwrap();
        let state = state_of_the_host();
        fine("up", &file);
        for (command, code, last) in [
            ("nosuchcommand", 127, Some("not found")),
            ("echo Lead; echo astray >&2; exit 3", 3, Some("astray")),
            ("kill -9 $$", 137, None),
            ("/run/lab.toml", 126, Some("denied")),
        ] {
            fs::write(
                &file,
                format!("[namespace.a]\nrun = ['true', 'sleep 1000', '{command}']\n[namespace.b]\n"),
            )
            .unwrap();
            let refused = topology("up", &file);
            assert_eq!((refused.code, refused.out.as_str()), (Some(2), ""), "{command}");
            let said = format!("error: a: run {command:?}: it exited at once with {code}");
            assert!(refused.err.starts_with(&said), "{}", refused.err);
            assert!(last.is_none_or(|last| refused.err.contains(last)), "{}", refused.err);
            assert!(refused.err.ends_with("; what was done is undone\n"), "{}", refused.err);
            assert_eq!(ip("netns list"), "a\n");
        }
        fs::write(&file, before).unwrap();
        assert_eq!(fine("up", &file), "", "the others run on");
        fine("down", &file);
        assert_eq!(state_of_the_host(), state);
        // If nothing was up before, nothing stays.
        fs::write(&file, "[namespace.a]\nrun = ['nosuchcommand']\n").unwrap();
        assert_eq!(topology("up", &file).code, Some(2));
        assert_eq!(state_of_the_host(), state);
    });
}

const OPTIONS: &str = "priority = 4096, max_age = 1900, hello_time = 100, forward_delay = 1400, mcast_hash_max = 1024, \
                       mcast_last_member_count = 3, mcast_startup_query_count = 3";

#[test]
fn what_a_link_gets_may_be_more_than_fits_into_one_exchange() {
    in_host(|host| {
        let addresses = |network: &str, count: usize| {
            let all: Vec<String> = (1..=count).map(|host| format!("\"{network}::{host:x}/64\"")).collect();
            all.join(", ")
        };
        // With the link-local one 32, or more.
        for count in [31, 100] {
            let text = format!(
                "[bridge.br0]\noptions = {{ {OPTIONS} }}\naddresses = [{}]\n[namespace.a]\ninterface.eth0 = {{ bridge = \"br0\", mtu = 1400, \
                 addresses = [{}] }}\n",
                addresses("fd00:1", count),
                addresses("fd00:2", count)
            );
            let file = PathBuf::from("/run/lab.toml");
            fs::write(&file, text).unwrap();
            fine("up", &file);
            for link in ["address show br0", "-n a address show eth0"] {
                let there = only(&ip_json(link))["addr_info"].as_array().unwrap().len();
                assert_eq!(there, count + 1, "{link}");
            }
            assert_eq!(fine("diff", &file), "");
            fine("down", &file);
            host.assert_clean();
        }
    });
}
