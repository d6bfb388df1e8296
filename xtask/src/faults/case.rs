//! One command with one fault, in a host of its own: what it leaves, and whether it may.

use super::inventory::{self, Inventory, LIMIT, SOON};
use super::operation::{Effect, MAY_ALWAYS_STAY, MAY_STAY, Operation, PASSING};
use super::site::TRACED;
use crate::root;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// What happens to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Injected {
    /// Nothing: the other cases are compared with what it leaves then.
    None,
    /// A call is refused.
    Error { call: String, when: u32, error: String, words: String },
    /// It is killed before a call.
    Signal { call: String, when: u32, signal: String },
}

impl Injected {
    /// In strace's syntax.
    fn inject(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Error { call, when, error, .. } => Some(format!("inject={call}:error={error}:when={when}")),
            Self::Signal { call, when, signal } => Some(format!("inject={call}:signal={signal}:when={when}")),
        }
    }
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CaseFound {
    /// What is wrong, one sentence each.
    pub(super) wrong: Vec<String>,
    /// Whether something stayed until the recovery, as it may.
    pub(super) stayed: bool,
    /// What was there at the end, without what differs between hosts.
    pub(super) end: BTreeSet<String>,
    /// What strace wrote, in a case without a fault.
    pub(super) log: String,
}

/// Strangers' objects, made before: look-alikes of what a command makes.
pub(super) const STRANGERS: &str = "ip link add theirs0 group 1 type veth peer name theirs1; \
     ip link add br-theirs type bridge; ip netns add theirs; tc qdisc add dev theirs0 clsact; \
     nft add table bridge theirs";

/// Runs the command in the calling process's new host. `goal` is what is there if all goes well.
pub(super) fn run(
    operation: &Operation,
    fault: &Injected,
    goal: &BTreeSet<String>,
) -> Result<CaseFound, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    prepare(&program, operation)?;
    let before = inventory::take();
    let log = Path::new("/run/strace.log");
    let traced = traced(&program, operation.arguments, fault, log)?;
    let text = fs::read_to_string(log).unwrap_or_default();
    let _ = fs::remove_file(log);
    let (mut wrong, mut stayed) = (Vec::new(), false);
    let killed = match (traced.status.signal(), fault) {
        (Some(9), Injected::Signal { .. }) => true,
        // The way back to the thread's own namespace is refused: it cannot go on in another.
        (Some(6), Injected::Error { call, .. }) if call == "setns" => true,
        _ => false,
    };
    // It handles signals from the moment it makes something.
    let stopped = matches!((traced.status.signal(), fault), (Some(2 | 15), Injected::Signal { .. }));
    let fine = traced.status.success();
    if !fine && !killed && !stopped {
        wrong.extend(complaints(&traced));
    }
    if *fault == Injected::None && !fine {
        return Err(format!("it fails without a fault: {}", traced.errors.trim()));
    }
    if killed && let Err(error) = shell(&program, operation.holds) {
        wrong.push(error);
    }
    let end = match operation.effect {
        _ if fine && operation.effect != Effect::None => {
            let end = judge_goal(goal, &mut wrong);
            if may_stay(operation, fault) && wrong.iter().all(|wrong| wrong.starts_with("left: file")) {
                stayed = !wrong.is_empty();
                wrong.clear();
            }
            if matches!(fault, Injected::Error { call, .. } if call == "bpf") {
                // If the eBPF program is refused, a run goes on with the kernel's statistics.
                wrong.retain(|wrong| !wrong.starts_with("gone: filter") && !wrong.starts_with("gone: qdisc"));
            }
            end
        }
        Effect::None | Effect::Makes => {
            if killed {
                command(&program, operation.recovery)?;
            }
            let may_stay = may_stay(operation, fault);
            let mut after = inventory::settle(&before, if may_stay { SOON } else { LIMIT });
            if after != before && may_stay {
                stayed = true;
                // An empty folder is nothing to report.
                if fine && !matches!(fault, Injected::Error { call, .. } if call == "rmdir") {
                    wrong.push("something stays, and it does not say so".to_owned());
                }
                command(&program, operation.recovery)?;
                after = inventory::settle(&before, LIMIT);
            }
            compare(&before, &after, &mut wrong);
            after
        }
        Effect::Removes => {
            let again = if operation.recovery.is_empty() { operation.arguments } else { operation.recovery };
            command(&program, again)?;
            judge_goal(goal, &mut wrong)
        }
    };
    let end = end.iter().map(|line| plain(line)).collect();
    let log = if *fault == Injected::None { text } else { String::new() };
    Ok(CaseFound { wrong, stayed, end, log })
}

/// Whether the table lets something stay after this fault, until the recovery.
fn may_stay(operation: &Operation, fault: &Injected) -> bool {
    let Injected::Error { call, words, error, .. } = fault else { return false };
    let lasting = if PASSING.contains(&&**error) { &[] } else { MAY_STAY };
    lasting.iter().chain(MAY_ALWAYS_STAY).any(|(name, refused, about)| {
        operation.name.starts_with(name) && call == refused && words.contains(about)
    })
}

/// A host with strangers' objects, and what the operation finds there.
fn prepare(program: &Path, operation: &Operation) -> Result<(), String> {
    shell(program, "mount -t tmpfs none /run && ip link set lo up")?;
    shell(program, STRANGERS)?;
    shell(program, operation.setup)?;
    shell(program, operation.holds)
}

/// What is wrong with how it failed.
fn complaints(traced: &Traced) -> Vec<String> {
    let mut wrong = Vec::new();
    match (traced.status.code(), traced.status.signal()) {
        (Some(1 | 2), _) => {}
        (Some(code), _) => wrong.push(format!("exit code {code}")),
        (None, signal) => wrong.push(format!("ended by signal {}", signal.unwrap_or(0))),
    }
    if traced.errors.contains("panicked") {
        wrong.push(format!("it panics: {}", traced.errors.trim()));
    } else if traced.errors.trim().is_empty() && !traced.output.contains("(os error ") {
        // A run prints on stdout which ping was not answered, and why.
        wrong.push("it does not say why it fails".to_owned());
    }
    wrong
}

/// Compares what there is with what there is if all goes well; the first run determines that.
fn judge_goal(goal: &BTreeSet<String>, wrong: &mut Vec<String>) -> Inventory {
    if goal.is_empty() {
        return inventory::take();
    }
    let deadline = Instant::now() + LIMIT;
    loop {
        let now = inventory::take();
        let plain: BTreeSet<String> = now.iter().map(|line| plain(line)).collect();
        if plain == *goal || Instant::now() >= deadline {
            compare(goal, &plain, wrong);
            return now;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

pub(super) fn compare(expected: &BTreeSet<String>, found: &BTreeSet<String>, wrong: &mut Vec<String>) {
    wrong.extend(found.difference(expected).map(|line| format!("left: {line}")));
    wrong.extend(expected.difference(found).map(|line| format!("gone: {line}")));
}

/// Without what differs between hosts: MAC addresses, ids and random names.
fn plain(line: &str) -> String {
    let mut words = Vec::new();
    for word in line.split(' ') {
        let long = |part: &str| part.len() >= 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let is_random = |part: &str| {
            long(["veth", "0x"].iter().find_map(|start| part.strip_prefix(start)).unwrap_or(part))
        };
        let random = word.split(|character: char| !character.is_ascii_alphanumeric()).any(is_random);
        let is_mac = word.len() == 17 && word.matches(':').count() == 5;
        let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        // A port's slot follows from its index.
        let is_slot = words.last() == Some(&"flowid");
        words.push(if random || is_mac || is_number || is_slot { "#" } else { word });
    }
    words.join(" ")
}

struct Traced {
    status: ExitStatus,
    output: String,
    errors: String,
}

fn traced(program: &Path, arguments: &str, fault: &Injected, log: &Path) -> Result<Traced, String> {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-y", "-s", "80", "-o"]).arg(log);
    strace.args(["-e", &format!("trace={TRACED}")]);
    if let Some(inject) = fault.inject() {
        strace.args(["-e", &inject]);
    }
    strace.arg(program).args(arguments.split(' ')).current_dir(root()).stdin(Stdio::null());
    // cargo's, in which every library would be looked for.
    strace.env_remove("LD_LIBRARY_PATH");
    let output =
        strace.output().map_err(|error| format!("strace: {error} (Debian: apt-get install strace)"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Traced { status: output.status, output: text(&output.stdout), errors: text(&output.stderr) })
}

/// Runs a command without a fault. What is left shows whether it had anything to do.
pub(super) fn command(program: &Path, arguments: &str) -> Result<(), String> {
    if arguments.is_empty() {
        return Ok(());
    }
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).status().map(drop).map_err(|error| format!("{arguments}: {error}"))
}

pub(super) fn shell(program: &Path, script: &str) -> Result<(), String> {
    let script = format!("program={}; netns() {{ $program \"$@\"; }}\n{script}", program.display());
    let mut shell = Command::new("sh");
    shell.args(["-ec", &script]).current_dir(root()).stdin(Stdio::null()).stdout(Stdio::null());
    let output = shell.output().map_err(|error| format!("sh: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{script}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
