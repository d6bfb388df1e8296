//! `netns up`, `down`, `labs`, `logs`, `show` and `diff`: topologies in files.

pub(crate) mod cli;
mod progress;
mod watch;

use crate::failure::{Failure, with_log};
use crate::messages::say;
use crate::name;
use crate::output::{copy, json_line, stdout};
use crate::require;
use crate::rights;
use crate::watch::{json_of_lab, over_json, print_of_lab};
use cli::{DiffArguments, LabsArguments, LogsArguments, ShowArguments, UpArguments};
use netns_ebpf::OverLimits;
use netns_ebpf::layout::Violations;
use netns_topology::{Change, CommandState, Done, Error, Lab, LinkName, Record, ShellCommand, draw};
use progress::Shown;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
pub(crate) use watch::watch;

pub(crate) fn up(arguments: &UpArguments) -> Result<ExitCode, Failure> {
    let lab = Lab::new(&arguments.file)?;
    require::rights("up", &[require::NET_ADMIN, require::SYS_ADMIN])?;
    let mut shown = Shown::new(arguments.quiet);
    let done = lab.up_with(&mut |progress| shown.show(progress))?;
    let was_printed = shown.is_verbose;
    drop(shown);
    report_left_alone(&done);
    if done.was_up && done.changes.is_empty() && !arguments.quiet {
        say(format_args!("{} is up: there is nothing to change", arguments.file.display()));
    }
    print_done(&done.changes, arguments.quiet || was_printed)
}

pub(crate) fn down(arguments: &UpArguments) -> Result<ExitCode, Failure> {
    let lab = Lab::new(&arguments.file)?;
    let mut shown = Shown::new(arguments.quiet);
    let done = lab.down_with(&mut |progress| shown.show(progress)).inspect_err(|_| report_left(&lab))?;
    let was_printed = shown.is_verbose;
    drop(shown);
    report_left_alone(&done);
    if !done.was_up {
        let file = arguments.file.display();
        // A slip of the pen, rather than what a script takes down to be sure.
        if !arguments.file.exists() {
            let program = name::name();
            return Err(Failure::usage(format!(
                "there is no file {file}, and no topology of it is up: `{program} labs` lists those that are"
            )));
        }
        if !arguments.quiet {
            say(format_args!("{file} is not up: there is nothing to take down"));
        }
    }
    print_done(&done.changes, arguments.quiet || was_printed)
}

/// Reports what was to go and stays, because something of somebody else has taken its place.
fn report_left_alone(done: &Done) {
    for why in &done.left {
        say(format_args!("left alone: {why}"));
    }
}

/// Reports what is left of a lab that could not be taken down as a whole.
fn report_left(lab: &Lab) {
    if let Ok(Some(record)) = lab.record() {
        let namespaces = counted(record.namespace_names().count(), "namespace");
        let bridges = counted(record.bridge_names().count(), "bridge");
        let program = name::name();
        say(format_args!("{namespaces} and {bridges} are on record yet: `{program} down` goes on"));
    }
}

pub(crate) fn labs(arguments: &LabsArguments) -> Result<ExitCode, Failure> {
    let (mut records, mut unreadable) = (Vec::new(), Vec::new());
    for record in Lab::all()? {
        match record {
            Ok(record) => records.push(record),
            Err(error) => unreadable.push(error),
        }
    }
    records.sort_by(|one, other| one.file.cmp(&other.file));
    let mut out = stdout();
    if arguments.json {
        json_line(&mut out, &records.iter().map(describe_lab).collect())?;
    } else {
        if records.is_empty() && unreadable.is_empty() {
            say(format_args!("no topology is up"));
        }
        for record in &records {
            let state = if record.is_complete() { "up" } else { "half up" };
            let gone = if record.file.exists() { "" } else { ", its file is gone" };
            let namespaces = counted(record.namespace_names().count(), "namespace");
            let bridges = counted(record.bridge_names().count(), "bridge");
            writeln!(out, "{}: {state}, {namespaces}, {bridges}{gone}", record.file.display())?;
        }
    }
    // What can be read is listed all the same.
    unreadable.into_iter().next().map_or(Ok(ExitCode::SUCCESS), |error| Err(error.into()))
}

fn counted(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn describe_lab(record: &Record) -> Value {
    let bridges: Vec<Value> = record
        .bridge_names()
        .map(|bridge| json!({ "place": bridge.place, "name": bridge.name.as_str() }))
        .collect();
    json!({
        "file": record.file.to_string_lossy(), "file_exists": record.file.exists(),
        "complete": record.is_complete(),
        "namespaces": record.namespace_names().collect::<Vec<_>>(), "bridges": bridges,
    })
}

/// Prints what was changed. If that cannot be written the changes stay: undoing them could fail as well.
fn print_done(changes: &[Change], quiet: bool) -> Result<ExitCode, Failure> {
    print_changes(changes, quiet)
        .map_err(|failure| Failure::Kernel(format!("{failure}; the changes that it would list are made")))
}

fn print_changes(changes: &[Change], quiet: bool) -> Result<ExitCode, Failure> {
    let mut out = stdout();
    for change in changes.iter().filter(|_| !quiet) {
        writeln!(out, "{change}")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn diff(arguments: &DiffArguments) -> Result<ExitCode, Failure> {
    let changes = Lab::new(&arguments.file)?.diff()?;
    if arguments.json {
        let lines = changes.iter().map(|change| Value::from(change.to_string())).collect();
        json_line(&mut stdout(), &Value::Array(lines))?;
    } else {
        print_changes(&changes, false)?;
    }
    if changes.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Failure::Verdict) }
}

pub(crate) fn show(arguments: &ShowArguments) -> Result<ExitCode, Failure> {
    let lab = Lab::new(&arguments.file)?;
    let topology = lab.topology()?;
    let mut out = stdout();
    if arguments.dot {
        write!(out, "{}", draw::dot(&topology))?;
    } else if arguments.svg {
        write!(out, "{}", draw::svg(&topology))?;
    } else if arguments.json {
        let mut value = draw::json(&topology);
        value["up"] = lab.record()?.is_some().into();
        let commands = lab.commands()?;
        value["started"] = commands
            .iter()
            .map(|(ShellCommand { namespace, command }, state)| {
                let code = if let CommandState::Exited(code) = state { Some(code) } else { None };
                json!({
                    "namespace": namespace, "command": command, "running": *state == CommandState::Running,
                    "exit_code": code,
                })
            })
            .collect();
        value["violations"] = lab.violations()?.iter().map(|(port, found)| describe(port, found)).collect();
        let over = |(port, over): &(LinkName, OverLimits)| json!({ "place": port.place, "port": port.name.as_str(), "over_limits": over_json(over) });
        value["limited"] = lab.over_limits()?.iter().map(over).collect();
        value["verdicts"] = json_of_lab(&lab.verdicts()?);
        json_line(&mut out, &value)?;
    } else {
        writeln!(out, "{}: {}", arguments.file.display(), state(&lab)?)?;
        write!(out, "{}", draw::text(&topology))?;
        for (ShellCommand { namespace, command }, state) in lab.commands()? {
            writeln!(out, "{namespace}: run {command}: {state}")?;
        }
        for (port, violations) in lab.violations()? {
            for (reason, packets) in violations.iter() {
                writeln!(out, "{port}: {packets} {reason}")?;
            }
        }
        let limited = lab.over_limits()?;
        for (port, over) in limited.iter().filter(|(_, over)| over.packets() > 0) {
            writeln!(out, "{port}: {} over its limit", over.packets())?;
        }
        for (port, over) in limited {
            if let Some(left) = over.remaining.least() {
                writeln!(out, "{port}: {left} bytes left of its quota")?;
            }
        }
        print_of_lab(&mut out, lab.verdicts()?)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn logs(arguments: &LogsArguments) -> Result<ExitCode, Failure> {
    let lab = Lab::new(&arguments.file)?;
    let mut files = lab.output()?;
    if let Some(namespace) = &arguments.namespace {
        files.retain(|(name, _)| name == namespace);
    }
    if files.is_empty() {
        let file = arguments.file.display();
        let what =
            arguments.namespace.as_ref().map_or_else(String::new, |name| format!(" in namespace {name}"));
        return Err(Failure::usage(format!("no command of {file} was started{what}")));
    }
    let (mut out, several) = (copy(), files.len() > 1);
    for (namespace, path) in files {
        let text =
            fs::read(&path).map_err(|error| Failure::usage(format!("read {}: {error}", path.display())))?;
        if several {
            // As `head` and `tail` have it.
            writeln!(out, "==> {namespace} <==")?;
        }
        out.write_all(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What was found at a port, with the keys that `run` has for it.
fn describe(port: &LinkName, violations: &Violations) -> Value {
    let reasons: Map<String, Value> =
        violations.iter().map(|(reason, packets)| (reason.name().to_owned(), packets.into())).collect();
    json!({
        "place": port.place, "port": port.name.as_str(), "violations": reasons,
        "dropped": violations.dropped(),
    })
}

/// Whether it is up, for people.
fn state(lab: &Lab) -> Result<String, Failure> {
    if lab.record()?.is_none() {
        return Ok("not up".to_owned());
    }
    Ok(match lab.diff() {
        Ok(changes) if changes.is_empty() => "up".to_owned(),
        Ok(changes) => format!("up, and differs in {}: see `diff`", changes.len()),
        Err(error) => format!("up, and differs: {error}"),
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Kernel(error) => error.into(),
            Error::Program(error) => error.into(),
            error if error.is_invalid_input() => Self::Usage(error.to_string()),
            Error::System { error: ref cause, .. } if cause.kind() == ErrorKind::PermissionDenied => {
                Self::Usage(format!("{error}{}", rights::of_run_folder()))
            }
            Error::System { .. } => Self::Usage(error.to_string()),
            Error::RolledBack(ref why) => {
                let hint = if let Error::Kernel(why) = &**why { rights::hint(why) } else { "" };
                Self::Kernel(format!("{}{hint}", with_log(&error, error.verifier_log())))
            }
            error => Self::Kernel(with_log(&error, error.verifier_log())),
        }
    }
}
