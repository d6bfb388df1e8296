//! Commands that run in namespaces: started, found again, ended.
//!
//! A command and what it starts are found again by a mark in their environment, so that none is lost when we are
//! killed before writing it down; and by the process group that it was started in, for programs that write over their
//! environment (`setproctitle`), as long as they are in the namespace.

use crate::error::{Error, Result};
use crate::record::Record;
use crate::topology::ShellCommand;
use netns_core::record::NamespaceIdentity;
use netns_core::{Namespace, NamespaceId};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The record of the topology that a process belongs to.
const RECORD: &str = "NETNS_TOPOLOGY";
/// The cookie of the network namespace that the topology was brought up from: containers that see each other's processes
/// may each have a record of the same name.
const HOST: &str = "NETNS_TOPOLOGY_HOST";
/// The namespace that it was started in.
const NAMESPACE: &str = "NETNS_TOPOLOGY_NAMESPACE";
/// The command that it was started by.
const COMMAND: &str = "NETNS_TOPOLOGY_COMMAND";

/// How long a command may take to end when it is asked to.
const PATIENCE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_millis(5);

/// A process of a topology.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) namespace: String,
    pub(crate) command: String,
    /// Held, so that its number is not given to another process while we look at it.
    fd: OwnedFd,
}

/// Runs the command that it is given and writes down that it begins, by an empty line, and how that ended, into the file that
/// is its standard input: should the folder be renamed meanwhile, it is found all the same.
const WRAPPER: &str = r#"echo >&0; /bin/sh -c "$1" </dev/null; echo $? >&0"#;
/// How long a new command is watched at least: one that ends so soon, and not well, could not do what it was started for.
const AT_ONCE: Duration = Duration::from_millis(100);

/// What has become of a command that was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandState {
    /// A process of it runs.
    Running,
    /// It has ended, with this exit code; 128 and the number of the signal if one ended it.
    Exited(i32),
    /// It has ended, and nobody knows how: it was killed together with what waited for it.
    Ended,
}

impl fmt::Display for CommandState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str("running"),
            Self::Exited(code) => write!(f, "exited {code}"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

/// Starts a command, its output into a file, and how it ends into another; its process group.
pub(crate) fn start(record: &Path, command: &ShellCommand, output: &Path, exit: &Path) -> Result<u32> {
    let failed = || Error::system(format!("run {:?} in {}", command.command, command.namespace));
    let out = File::options().create(true).append(true).open(output).map_err(failed())?;
    let err = out.try_clone().map_err(failed())?;
    let exit = File::create(exit).map_err(failed())?;
    let host = host()?;
    let namespace = Namespace::open(&command.namespace)?;
    let child = namespace.enter_view(&command.namespace, |_| {
        std::process::Command::new("/bin/sh")
            .args(["-c", WRAPPER, "sh", &command.command])
            .env(RECORD, record)
            .env(HOST, &host)
            .env(NAMESPACE, &command.namespace)
            .env(COMMAND, &command.command)
            .current_dir("/")
            .stdin(exit)
            .stdout(out)
            .stderr(err)
            // Ctrl-C in our terminal is not for it.
            .process_group(0)
            .spawn()
    });
    Ok(child?.map_err(failed())?.id())
}

/// How a command has ended, if it has.
pub(crate) fn exit_code(exit: &Path) -> Option<i32> {
    fs::read_to_string(exit).ok()?.trim().parse().ok()
}

/// Waits whether one of these new commands, each with the file of its exit code, ends at once and not well. On a slow
/// machine that takes longer, as to begin takes longer.
pub(crate) fn ends_at_once(started: &[(ShellCommand, PathBuf)]) -> Option<(&ShellCommand, i32)> {
    let (began, mut limit) = (Instant::now(), None);
    while !started.is_empty() {
        let codes: Vec<Option<i32>> = started.iter().map(|(_, exit)| exit_code(exit)).collect();
        let failed = started
            .iter()
            .zip(&codes)
            .find_map(|((command, _), code)| Some((command, (*code)?)).filter(|(_, code)| *code != 0));
        if failed.is_some() || codes.iter().all(Option::is_some) {
            return failed;
        }
        let waited = began.elapsed();
        if limit.is_none() && started.iter().all(|(_, exit)| has_begun(exit)) {
            limit = Some(waited + AT_ONCE.max(3 * waited));
        }
        if waited >= limit.unwrap_or(PATIENCE) {
            break;
        }
        thread::sleep(TICK);
    }
    None
}

fn has_begun(exit: &Path) -> bool {
    fs::metadata(exit).is_ok_and(|metadata| metadata.len() > 0)
}

/// As [`HOST`] has it.
fn host() -> Result<String> {
    let identity = NamespaceIdentity::of(&Namespace::current()?)?;
    // Kernels before 5.14 have no cookies: there it is the inode.
    Ok(identity.cookie.map_or_else(|| identity.to_string(), |cookie| cookie.to_string()))
}

/// The processes of a topology that run.
pub(crate) fn running(record: &Path, known: &Record) -> Result<Vec<Process>> {
    let host = host()?;
    let Ok(entries) = fs::read_dir("/proc") else { return Ok(Vec::new()) };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    Ok(pids.filter_map(|pid| identify(pid, record, &host, known)).collect())
}

fn identify(pid: i32, record: &Path, host: &str, known: &Record) -> Option<Process> {
    let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let (state, group) = status(pid)?;
    if state == b'Z' {
        return None;
    }
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let variable = |name: &str| {
        let mut variables = environment.split(|&byte| byte == 0);
        variables.find_map(|text| text.strip_prefix(name.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec))
    };
    // What 0.1.0 started does not say where.
    let is_here = || variable(HOST).is_none_or(|marked| marked == host.as_bytes());
    if variable(RECORD).is_some_and(|marked| marked == record.as_os_str().as_encoded_bytes()) && is_here() {
        let text = |name| variable(name).and_then(|value| String::from_utf8(value).ok());
        return Some(Process { namespace: text(NAMESPACE)?, command: text(COMMAND)?, fd });
    }
    let started = known.commands.iter().find(|started| started.group == group)?;
    let inside = Namespace::open(&started.namespace).ok()?.id().ok()?;
    let its = Namespace::of_pid(pid.cast_unsigned()).ok()?.id().ok()?;
    (inside == its).then(|| Process {
        namespace: started.namespace.clone(),
        command: started.command.clone(),
        fd,
    })
}

/// A process that is in a network namespace, whatever names that has.
pub(crate) fn inside(namespace: NamespaceId) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_inside =
        |pid: &u32| Namespace::of_pid(*pid).and_then(|its| its.id()).is_ok_and(|id| id == namespace);
    pids.into_iter().find(is_inside)
}

/// State and process group of a process: the first and third field behind its name, which is in brackets.
fn status(pid: i32) -> Option<(u8, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((*fields.next()?.as_bytes().first()?, fields.nth(1)?.parse().ok()?))
}

/// Ends commands and all that they started, and waits until they are gone.
pub(crate) fn stop(record: &Path, known: &Record, commands: &BTreeSet<&ShellCommand>) -> Result<()> {
    let meant = |process: &Process| {
        commands
            .iter()
            .any(|command| command.namespace == process.namespace && command.command == process.command)
    };
    let started = Instant::now();
    let mut asked = false;
    loop {
        let mut left = running(record, known)?;
        left.retain(meant);
        if left.is_empty() {
            return Ok(());
        }
        let waited = started.elapsed();
        if waited > 2 * PATIENCE {
            let error = io::Error::from(io::ErrorKind::TimedOut);
            return Err(Error::system(format!("stop {:?} in {}", left[0].command, left[0].namespace))(error));
        }
        if !asked || waited > PATIENCE {
            let signal = if asked { Signal::KILL } else { Signal::TERM };
            for process in &left {
                // What has ended since need not be reported.
                let _ = pidfd_send_signal(&process.fd, signal);
            }
            asked = true;
        }
        thread::sleep(TICK);
    }
}
