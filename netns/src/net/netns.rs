//! `netns netns`.

use super::line::WordLine;
use super::manner::Manner;
use super::words::{Keyword, Takes, short};
use crate::failure::{self, Failure};
use crate::messages::say;
use crate::output::{json_line, stdout, stream};
use crate::require;
use crate::signals::Stop;
use netns_core::{Folder, NameEvent, Namespace, RouteSocket, Watch, nsid};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// What a line does with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NetnsVerb {
    List,
    ListIds,
    Add,
    Set,
    Delete,
    Identify,
    Pids,
    Exec,
    Monitor,
    Attach,
}

/// In the order of `do_netns`.
pub(super) const VERBS: &[Keyword<NetnsVerb>] = &[
    short("list", Takes::Nothing, NetnsVerb::List),
    short("show", Takes::Nothing, NetnsVerb::List),
    short("lst", Takes::Nothing, NetnsVerb::List),
    short("list-id", Takes::Nothing, NetnsVerb::ListIds),
    short("add", Takes::Nothing, NetnsVerb::Add),
    short("set", Takes::Nothing, NetnsVerb::Set),
    short("delete", Takes::Nothing, NetnsVerb::Delete),
    short("identify", Takes::Nothing, NetnsVerb::Identify),
    short("pids", Takes::Nothing, NetnsVerb::Pids),
    short("exec", Takes::Nothing, NetnsVerb::Exec),
    short("monitor", Takes::Nothing, NetnsVerb::Monitor),
    short("attach", Takes::Nothing, NetnsVerb::Attach),
];

/// `all` is the words after the object; a command that `exec` runs need not be UTF-8.
pub(super) fn netns(manner: Manner, all: &[OsString]) -> Result<ExitCode, Failure> {
    let words = all.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let mut line = WordLine::new(words, "netns", manner);
    let verb = line.verb(VERBS, NetnsVerb::List)?;
    if line.manner.netns.is_some() && verb != NetnsVerb::List {
        return Err(Failure::Usage(format!("`{}`: names are the machine's, whatever -n says", line.about)));
    }
    match verb {
        NetnsVerb::List => list(&mut line),
        NetnsVerb::ListIds => list_ids(&mut line),
        NetnsVerb::Add => {
            let names = some_names(&mut line)?;
            require::rights("netns add", &[require::SYS_ADMIN])?;
            Ok(each(&names, |name| Namespace::create(name).map(drop)))
        }
        NetnsVerb::Delete => {
            let names = if line.manner.all { Namespace::list()? } else { some_names(&mut line)? };
            require::rights("netns delete", &[require::SYS_ADMIN])?;
            Ok(each(&names, Namespace::delete))
        }
        NetnsVerb::Set => set(&mut line),
        NetnsVerb::Identify => identify(&mut line),
        NetnsVerb::Pids => pids(&mut line),
        NetnsVerb::Exec => {
            let name = a_name(&mut line)?;
            let command = &all[all.len() - line.rest().len()..];
            if line.manner.all {
                return Err(Failure::usage("`netns exec`: -all is not supported; use ip"));
            }
            exec(&name, command, line.manner.no_mounts)
        }
        NetnsVerb::Monitor => {
            line.end()?;
            monitor(line.manner.json)
        }
        NetnsVerb::Attach => attach(&mut line),
    }
}

fn a_name(line: &mut WordLine) -> Result<String, Failure> {
    line.next()?
        .ok_or_else(|| Failure::Usage(format!("`{}`: the name of a namespace is missing", line.about)))
}

fn some_names(line: &mut WordLine) -> Result<Vec<String>, Failure> {
    let mut names = vec![a_name(line)?];
    while let Some(name) = line.next()? {
        names.push(name);
    }
    if line.is_plain {
        // For `ip` it is the name.
        return Err(Failure::Usage(format!("`{}`: `--` is not supported here", line.about)));
    }
    Ok(names)
}

/// What fails for one is said, and keeps none of the others from it.
fn each(names: &[String], act: impl Fn(&str) -> netns_core::Result<()>) -> ExitCode {
    let mut code = failure::FINE;
    for name in names {
        if let Err(error) = act(name) {
            let failure = Failure::from(error);
            say(format_args!("error: {failure}"));
            code = code.max(failure.code());
        }
    }
    ExitCode::from(code)
}

fn list(line: &mut WordLine) -> Result<ExitCode, Failure> {
    line.end()?;
    let names = Namespace::list()?;
    let mut socket = line.manner.open()?;
    let mut out = stdout();
    if line.manner.json {
        let names = names.iter().map(|name| match id(&mut socket, name) {
            Some(id) => json!({ "name": name, "id": id }),
            None => json!({ "name": name }),
        });
        line.manner.print_json(&mut out, &names.collect())?;
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

fn list_ids(line: &mut WordLine) -> Result<ExitCode, Failure> {
    line.end()?;
    let mut socket = RouteSocket::open()?;
    let names = Namespace::list()?;
    let known: Vec<(Option<i32>, &String)> = names.iter().map(|name| (id(&mut socket, name), name)).collect();
    let ids = nsid::list(&mut socket)?;
    let name_of = |id: i32| known.iter().find(|(of, _)| *of == Some(id)).map(|(_, name)| name.as_str());
    let mut out = stdout();
    if line.manner.json {
        let ids = ids.iter().map(|&id| match name_of(id) {
            Some(name) => json!({ "nsid": id, "name": name }),
            None => json!({ "nsid": id }),
        });
        line.manner.print_json(&mut out, &ids.collect())?;
    } else {
        for id in ids {
            let name = name_of(id).map_or_else(String::new, |name| format!("(iproute2 netns name: {name})"));
            writeln!(out, "nsid {id} {name}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn set(line: &mut WordLine) -> Result<ExitCode, Failure> {
    let name = a_name(line)?;
    let word = line.value(&name)?;
    line.end()?;
    let id = match word.as_str() {
        "auto" => None,
        word => Some(word.parse().ok().filter(|id: &i32| *id >= 0).ok_or_else(|| {
            Failure::Usage(format!("`{}`: {word:?} is neither an id nor auto", line.about))
        })?),
    };
    nsid::assign(&mut RouteSocket::open()?, &Namespace::open(&name)?, id)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the names of the namespace that a process is in, or this one.
fn identify(line: &mut WordLine) -> Result<ExitCode, Failure> {
    let namespace = match line.next()? {
        Some(word) => Namespace::of_pid(process(line, &word)?)?,
        None => Namespace::current()?,
    };
    line.end()?;
    let id = namespace.id()?;
    let mut out = stdout();
    for name in Namespace::list()? {
        let is_it = Namespace::open(&name).and_then(|named| named.id()).is_ok_and(|named| named == id);
        if is_it {
            writeln!(out, "{name}")?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Gives the namespace of a process a name.
fn attach(line: &mut WordLine) -> Result<ExitCode, Failure> {
    let name = a_name(line)?;
    let word = line.value(&name)?;
    let process = process(line, &word)?;
    line.end()?;
    require::rights("netns attach", &[require::SYS_ADMIN])?;
    Namespace::of_pid(process)?.bind(&name)?;
    Ok(ExitCode::SUCCESS)
}

fn process(line: &WordLine, word: &str) -> Result<u32, Failure> {
    let process = word.parse().ok().filter(|process| *process > 0);
    process.ok_or_else(|| Failure::Usage(format!("`{}`: {word:?} is not a process", line.about)))
}

fn pids(line: &mut WordLine) -> Result<ExitCode, Failure> {
    let name = a_name(line)?;
    line.end()?;
    let pids = Namespace::open(&name)?.pids()?;
    let mut out = stdout();
    if line.manner.json {
        line.manner.print_json(&mut out, &pids.into_iter().map(Value::from).collect())?;
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
    let mut out = stream();
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
