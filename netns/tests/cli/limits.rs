//! Limits of the machine: what a command says that reaches one, and what it leaves.

use crate::{Done, done, state_of_the_host};
use std::process::Command;
use tests::in_host;

/// A command below a limit that the shell sets.
fn limited(limit: &str, arguments: &str) -> Done {
    let program = env!("CARGO_BIN_EXE_netns");
    done(Command::new("sh").args(["-c", &format!("{limit}; exec {program} {arguments}")]))
}

#[test]
fn descriptors_that_run_out_are_not_taken_for_a_kernel_without_something() {
    in_host(|_| {
        let before = state_of_the_host();
        let mut refused = 0;
        // From what the loader needs to what a run does.
        for limit in (4..=44).step_by(4) {
            let run = limited(&format!("ulimit -n {limit}"), "run --namespaces 2 --duration 0.1 --json");
            if run.code != Some(0) {
                refused += 1;
                assert!(run.err.contains("Too many open files"), "{limit}: {}", run.err);
                assert!(!run.err.contains("this kernel has no"), "{limit}: {}", run.err);
            }
            assert_eq!(state_of_the_host(), before, "{limit}");
        }
        assert!(refused > 3, "{refused}");
    });
}

#[test]
fn no_room_for_a_namespace_is_called_so() {
    in_host(|_| {
        // Of a user namespace of its own.
        let limit = "echo 0 >/proc/sys/user/max_net_namespaces";
        let program = env!("CARGO_BIN_EXE_netns");
        let script = format!("{limit}; exec {program} run --namespaces 2 --json");
        let run =
            done(Command::new("unshare").args(["--user", "--map-root-user", "--net", "sh", "-c", &script]));
        assert!(!run.err.contains("this kernel has no"), "{}", run.err);
        assert!(
            run.err.contains("user.max_net_namespaces") || run.err.contains("user namespace"),
            "{}",
            run.err
        );
    });
}
