//! A host of its own for each case, by `unshare` and `mount` of util-linux.

use crate::arguments::ConformanceArguments;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// The outcome of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    /// Something is missing on this machine.
    Skipped(String),
}

/// How a line begins that says why a case cannot be run here.
pub(crate) const SKIP: &str = "SKIP ";

/// Runs a case in a process with namespaces of its own.
pub(crate) fn run_case(arguments: &ConformanceArguments, id: &str, version: &str) -> Result<Verdict, String> {
    let program = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "--"]).arg(program).arg(&arguments.plugin);
    command.arg("--conf").arg(&arguments.conf).args(["--inside", id, version]);
    if let Some(path) = &arguments.path {
        command.args(["--path", path]);
    }
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("run unshare: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    Ok(match text.strip_prefix(SKIP) {
        Some(why) => Verdict::Skipped(why.to_owned()),
        None if output.status.success() => Verdict::Passed,
        None if output.status.code() == Some(1) => Verdict::Failed(text),
        None => return Err(format!("the case {id} could not be run: {} {text}", output.status)),
    })
}

/// Inside: empty folders, and a loopback that is up.
pub(crate) fn prepare() -> Result<(), String> {
    for folder in ["/run", "/var/lib/cni"] {
        // Where there is none, it is made in memory too, by covering its parent.
        if Path::new(folder).is_dir() {
            shell(&format!("mount -t tmpfs tmpfs {folder}"))?;
        } else {
            shell("mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/cni")?;
        }
    }
    fs::create_dir_all("/run/netns").map_err(|error| format!("make /run/netns: {error}"))?;
    shell("ip link set lo up")
}

/// Runs a shell command, which must succeed.
pub(crate) fn shell(line: &str) -> Result<(), String> {
    let output = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("run sh: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{line}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end()))
}
