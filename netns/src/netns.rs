//! `netns netns`.

use crate::cli::NetnsCommand;
use crate::failure::{self, Failure};
use crate::messages::say;
use crate::output::{json_line, stdout};
use crate::require;
use crate::signals::Stop;
use netns_core::{Folder, NameEvent, Namespace, RouteSocket, Watch, nsid};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

pub(crate) fn netns(command: NetnsCommand) -> Result<ExitCode, Failure> {
    match command {
        NetnsCommand::Add { names } => {
            require::rights("netns add", &[require::SYS_ADMIN])?;
            each(&names, |name| Namespace::create(name).map(drop))
        }
        NetnsCommand::Delete { names } => {
            require::rights("netns delete", &[require::SYS_ADMIN])?;
            each(&names, Namespace::delete)
        }
        NetnsCommand::List { json } => list(json),
        NetnsCommand::Pids { name, json } => pids(&name, json),
        NetnsCommand::Exec { name, command, no_mounts } => exec(&name, &command, no_mounts),
        NetnsCommand::Monitor { json } => monitor(json),
    }
}

fn each(names: &[String], act: impl Fn(&str) -> netns_core::Result<()>) -> Result<ExitCode, Failure> {
    for name in names {
        act(name)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(json: bool) -> Result<ExitCode, Failure> {
    let names = Namespace::list()?;
    let mut socket = RouteSocket::open()?;
    let mut out = stdout();
    if json {
        let names = names.iter().map(|name| match id(&mut socket, name) {
            Some(id) => json!({ "name": name, "id": id }),
            None => json!({ "name": name }),
        });
        json_line(&mut out, &names.collect())?;
    } else {
        for name in names {
            match id(&mut socket, &name) {
                Some(id) => writeln!(out, "{name} (id: {id})")?,
                None => writeln!(out, "{name}")?,
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The id by which our own namespace knows a named one: none of a name that is gone by now, or of no namespace.
fn id(socket: &mut RouteSocket, name: &str) -> Option<i32> {
    nsid::get(socket, &Namespace::open(name).ok()?).ok()?
}

fn pids(name: &str, json: bool) -> Result<ExitCode, Failure> {
    let pids = Namespace::open(name)?.pids()?;
    let mut out = stdout();
    if json {
        json_line(&mut out, &pids.into_iter().map(Value::from).collect())?;
    } else {
        for pid in pids {
            writeln!(out, "{pid}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Becomes the command, so that its exit code, its signals and its terminal are nobody else's.
fn exec(name: &str, command: &[OsString], no_mounts: bool) -> Result<ExitCode, Failure> {
    let namespace = Namespace::open(name)?;
    let (program, arguments) = command.split_first().ok_or_else(|| Failure::usage("no command given"))?;
    let become_it = || Command::new(program).args(arguments).exec();
    let error = if no_mounts {
        namespace.enter(become_it)?
    } else {
        namespace.enter_view(name, |missing| {
            for error in missing {
                say(format_args!("warning: {error}"));
            }
            become_it()
        })?
    };
    // What shells do: 127 if there is no such command, 126 if it cannot be run.
    say(format_args!("error: run {}: {error}", program.to_string_lossy()));
    Ok(ExitCode::from(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 }))
}

fn monitor(json: bool) -> Result<ExitCode, Failure> {
    let stop = Stop::on_signals()?;
    let folder = Folder::observe()?;
    let mut watch = Watch::open()?;
    let mut out = stdout();
    while !stop.requested() {
        let Some(event) = watch.next(Duration::from_millis(100))? else { continue };
        let (word, name) = match &event {
            NameEvent::Added(name) => ("add", name.as_str()),
            NameEvent::Deleted(name) => ("delete", name.as_str()),
            _ => {
                say(format_args!("warning: some events were lost"));
                continue;
            }
        };
        if json {
            json_line(&mut out, &json!({ "event": word, "name": name }))?;
        } else {
            writeln!(out, "{word} {name}")?;
            out.flush()?;
        }
    }
    folder.restore()?;
    Ok(ExitCode::from(failure::FINE))
}
