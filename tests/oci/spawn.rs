//! Programs that are started in a sandbox without an engine.

use crate::recipes;
use netns_core::network::Sandbox;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Output, Stdio};
use tests::{Host, in_host, oracle, run};

/// Runs the test with a sandbox. The tools have to be installed.
fn with_sandbox(tools: &[&str], test: impl FnOnce(&Sandbox) + Send) {
    in_host(|host: &Host| {
        for tool in tools {
            let _ = oracle(tool);
        }
        let network = recipes::network_in_which_anybody_pings().unwrap();
        let sandbox = network.create_sandbox().unwrap();
        test(&sandbox);
        drop(sandbox);
        drop(network);
        tests::eventually("the kernel reclaims all", || tests::ip("-o link show").lines().count() == 1);
        host.assert_clean();
    });
}

/// The exit code and the output.
fn ended(child: Child) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code(), [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat())
}

/// Runs a shell script in the sandbox, with these words before the shell.
fn shell(sandbox: &Sandbox, words: &[&str], script: &str) -> (Option<i32>, String) {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).args(["sh", "-c", script]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(sandbox.spawn(&mut command).unwrap())
}

#[test]
fn a_pid_namespace_takes_a_fork() {
    with_sandbox(&["unshare"], |sandbox| {
        // The program itself stays outside; its first child is number 1, and when that ends, no other can be made.
        let (code, text) = shell(sandbox, &["unshare", "--pid"], "(:); (:); echo fine");
        assert!(code != Some(0) && text.contains("fork"), "{code:?} {text}");

        let script = "(:); (:); echo $$; for process in /proc/[0-9]*; do echo $process; done";
        let (code, text) = ended(recipes::spawn_in_pid_namespace(sandbox, &["sh", "-c", script]).unwrap());
        assert_eq!((code, text.as_str()), (Some(0), "1\n/proc/1\n"));
    });
}

#[test]
fn sys_shows_the_namespace_it_was_mounted_in() {
    with_sandbox(&["unshare"], |sandbox| {
        // Each network namespace has its own.
        let outside = fs::metadata("/sys").unwrap().dev();
        assert_eq!(shell(sandbox, &["unshare"], "stat -c %d /sys"), (Some(0), format!("{outside}\n")));
        let child = recipes::spawn_with_sys(sandbox, &["sh", "-c", "echo /sys/class/net/*"]).unwrap();
        assert_eq!(ended(child), (Some(0), "/sys/class/net/eth0 /sys/class/net/lo\n".into()));
    });
}

#[test]
fn an_ordinary_user_pings() {
    with_sandbox(&["setpriv", "ping"], |sandbox| {
        // Debian's ping gets a capability from its file.
        let user = ["setpriv", "--reuid=64321", "--regid=64321", "--clear-groups", "--no-new-privs"];
        let ping = "ping -c 1 -W 20 10.97.0.1 >/dev/null && echo answered";
        assert_eq!(shell(sandbox, &user, ping), (Some(0), "answered\n".into()));
        // It is the setting: this is a new namespace's default.
        let set = "echo 1 0 >/proc/sys/net/ipv4/ping_group_range";
        assert_eq!(shell(sandbox, &["unshare"], set), (Some(0), String::new()));
        assert_ne!(shell(sandbox, &user, ping).0, Some(0));
    });
}

#[test]
fn nsenter_by_descriptor() {
    with_sandbox(&["nsenter", "ip"], |sandbox| {
        let namespace = sandbox.namespace().unwrap();
        let look = ["ip", "-4", "-o", "addr", "show", "eth0"];
        // As its standard input, and by the path of a descriptor of ours.
        let by_input = recipes::nsenter(namespace, &look).unwrap();
        let mut by_path = Command::new("nsenter");
        let path = format!("--net=/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
        by_path.arg(path).args(look);
        for mut command in [by_input, by_path] {
            let text = run(&mut command);
            assert!(text.contains("10.97.0.2/24"), "{text}");
        }
    });
}

/// bubblewrap cannot enter a network namespace: it is started in one, and `--unshare-all` leaves it again unless
/// `--share-net` is given.
#[test]
fn bubblewrap() {
    with_sandbox(&["bwrap", "ip"], |sandbox| {
        let look = ["/usr/bin/ip", "-4", "-o", "addr", "show"];
        let (code, text) = ended(recipes::bubblewrap(sandbox, &look).unwrap());
        assert!(code == Some(0) && text.contains("10.97.0.2/24"), "{code:?} {text}");
        let mut without = oracle("bwrap");
        without.args(["--ro-bind", "/", "/", "--unshare-all", "--"]).args(look).stdout(Stdio::piped());
        let (code, text) = ended(sandbox.spawn(&mut without).unwrap());
        assert!(code == Some(0) && !text.contains("10.97.0.2/24"), "{code:?} {text}");
    });
}
