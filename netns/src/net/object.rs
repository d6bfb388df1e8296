//! Which object a command line is about, and which module runs it.

use super::line::WordLine;
use super::manner::Manner;
use super::thing::Thing;
use super::words::{Keyword, Takes, find, short, whole};
use super::{addr, bridge, link, neigh, netns, route, stats, tuntap};
use crate::failure::Failure;
use std::ffi::OsString;
use std::process::ExitCode;

/// `ip`'s objects, in the order in which it compares them; then our own.
const OBJECTS: &[Keyword<Thing>] = &[
    short("address", Takes::Nothing, Thing::Addr),
    short("addrlabel", Takes::Refused, Thing::Addr),
    short("maddress", Takes::Refused, Thing::Addr),
    short("route", Takes::Nothing, Thing::Route),
    short("rule", Takes::Refused, Thing::Route),
    short("neighbor", Takes::Nothing, Thing::Neigh),
    short("neighbour", Takes::Nothing, Thing::Neigh),
    short("ntable", Takes::Refused, Thing::Neigh),
    short("ntbl", Takes::Refused, Thing::Neigh),
    short("link", Takes::Nothing, Thing::Link),
    short("tunnel", Takes::Refused, Thing::Link),
    short("tunl", Takes::Refused, Thing::Link),
    short("tuntap", Takes::Nothing, Thing::Tuntap),
    short("netns", Takes::Nothing, Thing::Netns),
    whole("bridge", Takes::Nothing, Thing::Bridge),
    whole("stats", Takes::Nothing, Thing::Stats),
];

/// What happened to a command line.
pub(crate) enum Understood {
    /// It was one of these objects, and was run.
    Done(Result<ExitCode, Failure>),
    /// It is for clap, in this form: help, or another command.
    Clap(Vec<OsString>),
}

/// Runs a command line, if it is about one of these objects. `is_command` knows the names of the program's other commands,
/// which are never taken for a short form of an object.
pub(crate) fn understand(
    arguments: impl IntoIterator<Item = OsString>,
    is_command: impl Fn(&str) -> bool,
) -> Understood {
    let all: Vec<OsString> = arguments.into_iter().collect();
    let (mut manner, mut at) = (Manner::default(), 1);
    let mut refusal = None;
    while let Some(word) = all.get(at).and_then(|word| word.to_str()) {
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else { break };
        at += 1;
        if option == "-" {
            break;
        }
        let mut values =
            all[at..].iter().map_while(|value| Some(value.to_str()?.to_owned())).inspect(|_| at += 1);
        if let Err(failure) = manner.read(option, &mut values) {
            refusal.get_or_insert(failure);
        }
    }
    let word = all.get(at).and_then(|word| word.to_str()).unwrap_or_default();
    let is_object = Thing::ALL.iter().any(|thing| thing.name() == word);
    if !is_object && !OBJECTS.iter().any(|row| row.name == word) && is_command(word) {
        return Understood::Clap(if manner.netns.is_some() { options_last(all, at) } else { all });
    }
    let Some(object) = find(OBJECTS, word).filter(|object| object.takes != Takes::Refused) else {
        return Understood::Clap(all);
    };
    let rest = &all[at + 1..];
    if asks_for_help(rest) {
        return Understood::Clap(super::help::request(&all[0], object.act, rest));
    }
    if let Some(failure) = refusal {
        return Understood::Done(Err(failure));
    }
    if object.act == Thing::Netns {
        return Understood::Done(netns::netns(manner, rest));
    }
    let words: Option<Vec<String>> = rest.iter().map(|word| Some(word.to_str()?.to_owned())).collect();
    let Some(words) = words else {
        return Understood::Done(Err(Failure::usage("a word is not in UTF-8")));
    };
    let mut line = WordLine::new(words, object.act.name(), manner);
    let done = match object.act {
        Thing::Link => link::link(&mut line),
        Thing::Addr => addr::addr(&mut line),
        Thing::Route => route::route(&mut line),
        Thing::Neigh => neigh::neigh(&mut line),
        Thing::Tuntap => tuntap::tuntap(&mut line),
        Thing::Bridge => bridge::bridge(&mut line),
        Thing::Stats => stats::stats(&mut line),
        Thing::Netns => Ok(()),
    };
    Understood::Done(done.map(|()| ExitCode::SUCCESS))
}

/// `-n NS` before a command that is not `ip`'s is that command's: `netns -n NS ping`. The command is the word at `at`.
fn options_last(mut all: Vec<OsString>, at: usize) -> Vec<OsString> {
    all[1..=at].rotate_right(1);
    all
}

/// `netns link help`, `netns link --help`, `netns link add --help`: in place of a verb, or at the end after one.
fn asks_for_help(words: &[OsString]) -> bool {
    let is_flag = |word: &OsString| word == "--help" || word == "-h";
    match words {
        [first, ..] if first == "help" || is_flag(first) => true,
        [_, second] => is_flag(second),
        [_, second, third] => is_flag(third) && !second.to_string_lossy().starts_with('-'),
        _ => false,
    }
}
