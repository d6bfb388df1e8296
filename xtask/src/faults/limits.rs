//! `cargo xtask faults --limits`: commands and operations of the library at exhausted limits of the machine, several at once,
//! and while signals arrive. Whatever is refused, they say why, and leave nothing that their recovery does not remove.

use super::case::{STRANGERS, command, compare, shell};
use super::inventory::{self, LIMIT, SOON};
use crate::root;
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

/// A limit, and what is tried at each of its values, each value in a host of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    /// What `$value` is, one after the other.
    values: &'static [&'static str],
    /// What prepares the host, in shell.
    host: &'static str,
    /// What sets the limit for a process, in shell.
    process: &'static str,
    /// What is tried, each this many times at once.
    trials: &'static [LimitTrial],
    at_once: u32,
    /// A failure's message contains one of these.
    words: &'static [&'static str],
    /// Whether signals keep arriving; then nothing may fail.
    signals: bool,
    /// Whether the kernel may kill a process that goes beyond it.
    kills: bool,
}

/// A command, or several that take turns (` | `), and the command that removes what it leaves. `$i` is each process's number.
#[derive(Debug, Clone, Copy)]
struct LimitTrial {
    arguments: &'static str,
    recovery: &'static str,
    /// Whether there is more when it has succeeded.
    makes: bool,
}

const fn trial(arguments: &'static str, recovery: &'static str) -> LimitTrial {
    LimitTrial { arguments, recovery, makes: false }
}

/// One after which there is more.
const fn making(arguments: &'static str, recovery: &'static str) -> LimitTrial {
    LimitTrial { arguments, recovery, makes: true }
}

const RUN: LimitTrial = trial("run --namespaces 2 --duration 0.1 --json", "clean");
const UP: LimitTrial = making("up -q examples/bridge-host.toml", "down -q examples/bridge-host.toml");
const UP_AND_DOWN: LimitTrial =
    making("up -q examples/bridge-host.toml | down -q examples/bridge-host.toml", UP.recovery);
const ADD: LimitTrial = making("netns add one", "netns delete one");
const NAMED: LimitTrial = trial("faults --library named", "faults --library remove");
const FURTHER: LimitTrial = trial("faults --library further", "faults --library remove");
const JUDGED: LimitTrial = trial("faults --library judged", "faults --library remove");
const POOL: LimitTrial = trial("faults --library pool", "faults --library remove");

const BASE: Limit = Limit {
    name: "",
    values: &["-"],
    host: "mount -t tmpfs none /run",
    process: ":",
    trials: &[RUN, UP, ADD, NAMED, FURTHER, JUDGED, POOL],
    at_once: 1,
    words: &[],
    signals: false,
    kills: false,
};

/// All of them.
pub(super) const ALL: &[Limit] = &[
    Limit {
        name: "descriptors (ulimit -n)",
        values: &[
            "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16", "17", "18", "19",
            "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33", "34", "35",
            "36", "37", "38", "39", "40",
        ],
        process: "ulimit -n $value",
        words: &["Too many open files", "os error 24", "cannot open shared object file", "Invalid argument"],
        ..BASE
    },
    Limit {
        name: "/run",
        values: &["full", "full of files", "read-only", "size=4k"],
        host: "mount -t tmpfs -o size=4k,nr_inodes=64 none /run",
        process: "case $value in full) head -c 8192 /dev/zero >/run/full 2>/dev/null;; \
                  'full of files') i=0; while true >/run/full$i; do i=$((i+1)); done 2>/dev/null;; \
                  read-only) mount -o remount,ro /run;; esac",
        words: &["No space left on device", "Read-only file system"],
        ..BASE
    },
    Limit {
        name: "network namespaces (user.max_net_namespaces)",
        values: &["0", "1", "2", "3", "4", "5"],
        process: "own() { exec unshare --user --map-root-user --net --mount --propagation private sh -ec \
                  \"mount -t tmpfs none /run; echo $value >/proc/sys/user/max_net_namespaces; exec \\\"\\$@\\\"\" own \"$@\"; }",
        trials: &[RUN, FURTHER, POOL],
        words: &["user.max_net_namespaces", "No space left on device"],
        ..BASE
    },
    Limit {
        name: "processes (pids.max)",
        values: &["1", "2", "3", "4", "6"],
        host: "mount -t tmpfs none /run; mkdir $pids; echo $value >$pids/pids.max",
        process: "echo 0 >$pids/cgroup.procs",
        words: &["Resource temporarily unavailable", "os error 11"],
        ..BASE
    },
    Limit {
        name: "memory (memory.max)",
        values: &["1M", "2M", "4M", "6M", "8M", "10M", "12M", "16M", "20M", "24M", "32M", "48M"],
        host: "mount -t tmpfs none /run; mkdir $memory; \
               if test -e $memory/memory.max; then echo $value >$memory/memory.max; \
               else echo $value >$memory/memory.limit_in_bytes; fi",
        process: "echo 0 >$memory/cgroup.procs",
        words: &["Cannot allocate memory", "os error 12", "memory allocation"],
        kills: true,
        ..BASE
    },
    Limit {
        name: "8 at once, the same",
        trials: &[RUN, UP, ADD, NAMED, FURTHER, JUDGED, POOL],
        at_once: 8,
        words: &[
            "going on",
            "alive has",
            "File exists",
            "is up",
            "there is an interface",
            "another",
            "has an interface",
        ],
        ..BASE
    },
    Limit {
        name: "8 at once, with names of their own",
        trials: &[
            making("netns add one$i", "netns delete one$i"),
            trial("faults --library named$i", "faults --library remove$i"),
            trial("faults --library further$i", "faults --library remove$i"),
            trial("faults --library pool$i", "faults --library remove$i"),
        ],
        at_once: 8,
        ..BASE
    },
    Limit {
        name: "up and down at once",
        trials: &[UP_AND_DOWN, UP_AND_DOWN, UP_AND_DOWN],
        at_once: 8,
        words: &["is up"],
        ..BASE
    },
    Limit {
        name: "a signal each millisecond",
        trials: &[NAMED, FURTHER, JUDGED, POOL],
        signals: true,
        ..BASE
    },
];

/// The result of a limit.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reached {
    pub(super) tried: usize,
    /// How many commands failed (which they may).
    pub(super) refused: usize,
    /// After how many something stayed until the recovery.
    pub(super) stayed: usize,
    /// What is wrong, one sentence each.
    pub(super) wrong: Vec<String>,
}

impl Limit {
    /// The values to try; `quick` some of many.
    pub(super) fn values(&self, quick: bool) -> Vec<&'static str> {
        let step = if quick { self.values.len().div_ceil(8) } else { 1 };
        self.values.iter().copied().step_by(step.max(1)).collect()
    }

    /// Why it cannot be tried here, if it cannot.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        let missing = |(word, controller)| self.process.contains(word) && group(controller).is_none();
        CONTROLLERS.into_iter().any(missing).then_some("there is no cgroup hierarchy with this controller")
    }

    /// Tries one value in the calling process's new host.
    pub(super) fn reach(&self, value: &str) -> Result<Reached, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let folder = |controller| group(controller).unwrap_or_default();
        let variables = format!("value='{value}'; pids={}; memory={}", folder("pids"), folder("memory"));
        // `mount` makes its folder at a time of its own.
        let prepared =
            format!("{variables}; {}; mkdir -p /run/mount; ip link set lo up; {STRANGERS}", self.host);
        let ready = shell(&program, &prepared);
        let mut reached = Reached::default();
        let done = ready.and_then(|()| {
            self.trials
                .iter()
                .try_for_each(|trial| self.try_one(&program, &variables, trial, value, &mut reached))
        });
        if let Some((word, _)) = CONTROLLERS.into_iter().find(|(word, _)| self.process.contains(word)) {
            let _ = shell(&program, &format!("{variables}; rmdir {word}"));
        }
        done.map(|()| reached)
    }

    fn try_one(
        &self,
        program: &Path,
        variables: &str,
        trial: &LimitTrial,
        value: &str,
        reached: &mut Reached,
    ) -> Result<(), String> {
        let before = inventory::take();
        let children: Vec<Child> = (0..self.at_once)
            .map(|number| self.start(program, variables, trial, number))
            .collect::<Result<_, _>>()?;
        let (mut wrong, mut succeeded) = (Vec::new(), 0);
        for child in children {
            let output = self.end(child)?;
            reached.tried += 1;
            if output.status.success() {
                succeeded += 1;
            } else {
                reached.refused += 1;
                wrong.extend(self.complaint(&output));
            }
        }
        let clean = || {
            (0..self.at_once)
                .try_for_each(|number| command(program, &trial.recovery.replace("$i", &number.to_string())))
        };
        if !trial.makes || succeeded == 0 {
            let mut after = inventory::settle(&before, if succeeded == 0 { SOON } else { LIMIT });
            // The file that fills the space.
            after.retain(|line| !line.starts_with("file /run/full"));
            if after != before {
                reached.stayed += 1;
                if succeeded == self.at_once {
                    wrong.push("it succeeds, and something stays".to_owned());
                }
            }
        }
        clean()?;
        if self.process.contains("/run") {
            let _ = shell(program, "mount -o remount,rw /run; rm -f /run/full*");
            clean()?;
        }
        compare(&before, &inventory::settle(&before, LIMIT), &mut wrong);
        let what = format!("{} {value}: {}", self.name, trial.arguments);
        reached.wrong.extend(wrong.into_iter().map(|wrong| format!("{what}: {wrong}")));
        Ok(())
    }

    fn start(
        &self,
        program: &Path,
        variables: &str,
        trial: &LimitTrial,
        number: u32,
    ) -> Result<Child, String> {
        let commands: Vec<&str> = trial.arguments.split(" | ").collect();
        let arguments = commands[number as usize % commands.len()].replace("$i", &number.to_string());
        let exec = if self.process.contains("own()") { "own" } else { "exec" };
        let script = format!("{variables}; {}; {exec} {} {arguments}", self.process, program.display());
        let mut shell = Command::new("sh");
        shell.args(["-c", &script]).current_dir(root()).env_remove("LD_LIBRARY_PATH");
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell.spawn().map_err(|error| format!("sh: {error}"))
    }

    /// Waits for a process, and sends it signals meanwhile.
    fn end(&self, mut child: Child) -> Result<Output, String> {
        if self.signals {
            // Not before it takes them.
            thread::sleep(Duration::from_millis(50));
            let pid = Pid::from_child(&child);
            while child.try_wait().map_err(|error| error.to_string())?.is_none() {
                let _ = kill_process(pid, Signal::ALARM);
                thread::sleep(Duration::from_millis(1));
            }
        }
        child.wait_with_output().map_err(|error| error.to_string())
    }

    /// What is wrong with how it failed.
    fn complaint(&self, output: &Output) -> Option<String> {
        let text =
            String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        // Pages that nobody gets are for nobody to report.
        if self.kills && output.status.signal() == Some(9) {
            return None;
        }
        // 126 and 127 are the shell's and the loader's, which reach the limit before the program does.
        let is_ours = matches!(output.status.code(), Some(1 | 2));
        let is_earlier = matches!(output.status.code(), Some(126 | 127));
        let says_why = self.words.iter().any(|words| text.contains(words));
        let panics = text.contains("panicked") || text.contains("this kernel has no");
        let fine = (is_ours || is_earlier) && says_why && !panics;
        (!fine).then(|| format!("{}: {}", output.status, text.trim()))
    }
}

/// The variables of a limit's shell commands that are cgroups, with their controllers.
const CONTROLLERS: [(&str, &str); 2] = [("$pids", "pids"), ("$memory", "memory")];

/// Where a cgroup with a limit of this controller can be made.
fn group(controller: &str) -> Option<String> {
    // In a PID namespace of its own each case is process 1.
    let host = std::fs::read_link("/proc/self/ns/net").unwrap_or_default();
    let number: String = host.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
    let mine = format!("netns-faults-{number}");
    let first = format!("/sys/fs/cgroup/{controller}");
    let folders = [&*first, "/sys/fs/cgroup"];
    let folder = folders.iter().find(|folder| Path::new(&format!("{folder}/cgroup.procs")).exists())?;
    let is_first = *folder == folders[0];
    let has = |file: &str| {
        std::fs::read_to_string(format!("{folder}/{file}")).unwrap_or_default().contains(controller)
    };
    (is_first || has("cgroup.subtree_control")).then(|| format!("{folder}/{mine}"))
}
