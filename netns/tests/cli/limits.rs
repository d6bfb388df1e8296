//! Limits of the machine: what a command reports when it reaches one, and what it leaves.

use crate::{Done, done, state_of_the_host};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{in_host, ip};

/// A command under a limit that the shell sets.
fn limited(limit: &str, arguments: &str) -> Done {
    let program = env!("CARGO_BIN_EXE_netns");
    done(Command::new("sh").args(["-c", &format!("{limit}; exec {program} {arguments}")]))
}

#[test]
fn running_out_of_descriptors_is_not_taken_for_a_missing_feature() {
    in_host(|_| {
        let before = state_of_the_host();
        let mut refused = 0;
        // From what the loader needs up to what a run needs.
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
fn a_limit_on_namespaces_is_named() {
    in_host(|_| {
        // The limit of a user namespace of its own.
        let limit = "echo 0 >/proc/sys/user/max_net_namespaces";
        let program = env!("CARGO_BIN_EXE_netns");
        let script = format!("{limit}; exec {program} run --namespaces 2 --json");
        let run =
            done(Command::new("unshare").args(["--user", "--map-root-user", "--net", "sh", "-c", &script]));
        assert!(!run.err.contains("this kernel has no"), "{}", run.err);
        assert!(run.err.contains("user.max_net_namespaces"), "{}", run.err);
    });
}

/// A cgroup that limits how many processes and threads are in it.
struct ProcessLimit(PathBuf);

impl ProcessLimit {
    fn new() -> Self {
        let has = |folder: &&&str| {
            let enabled = fs::read_to_string(format!("{folder}/cgroup.subtree_control"));
            folder.ends_with("pids") && Path::new(folder).exists()
                || enabled.is_ok_and(|all| all.contains("pids"))
        };
        let Some(folder) = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"].iter().find(has) else {
            tests::skip("cgroups with the controller pids missing");
        };
        let group = Path::new(folder).join(format!("netns-limits-{}", std::process::id()));
        fs::create_dir(&group)
            .unwrap_or_else(|error| tests::skip(&format!("cgroups cannot be made: {error}")));
        Self(group)
    }

    /// A command limited to this many processes and threads, itself included.
    fn with(&self, most: u32, arguments: &str) -> Done {
        fs::write(self.0.join("pids.max"), most.to_string()).unwrap();
        limited(&format!("echo 0 >{}/cgroup.procs", self.0.display()), arguments)
    }
}

impl Drop for ProcessLimit {
    fn drop(&mut self) {
        // The kernel counts an ended process for a moment after its parent knows.
        tests::eventually("the cgroup is empty", || fs::remove_dir(&self.0).is_ok());
    }
}

#[test]
fn running_out_of_processes_and_threads_is_named() {
    const WORDS: &str = "Resource temporarily unavailable (os error 11)";
    in_host(|_| {
        let group = ProcessLimit::new();
        let before = state_of_the_host();
        let mut refused = 0;
        for most in 1..=4 {
            let run = group.with(most, "run --namespaces 2 --duration 0.1 --json");
            // 101 would be a panic where a thread is started.
            if run.code != Some(0) {
                refused += 1;
                let traffic_failed = run.code == Some(1) && run.out.contains(WORDS);
                assert!(
                    run.code == Some(2) && run.err.contains(WORDS) || traffic_failed,
                    "{most}: {:?} {}",
                    run.code,
                    run.err
                );
            }
            assert_eq!(state_of_the_host(), before, "{most}");
        }
        assert!(refused > 0, "the limit limits nothing");

        // The view of another namespace has a thread of its own.
        ip("netns add ns1");
        let exec = group.with(1, "netns exec ns1 echo inside");
        assert_eq!((exec.code, exec.out.as_str()), (Some(2), ""), "{}", exec.err);
        assert_eq!(exec.err, format!("error: enter namespace ns1: clone: {WORDS}\n"));
        let exec = group.with(3, "netns exec ns1 echo inside");
        assert_eq!((exec.code, exec.out.as_str()), (Some(0), "inside\n"), "{}", exec.err);
        ip("netns delete ns1");
    });
}
