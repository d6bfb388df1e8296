//! Options of links and ports by `ip`'s names: parsed, and shown as text and as JSON.

use super::{index, name_of};
use crate::failure::Failure;
use netns_core::RouteSocket;
use netns_core::link::LinkKind;
use netns_core::option::{OptionForm, OptionRow, OptionValue, Options};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt::Write;

/// How one of `ip`'s words names an option: its rows (several can share a name), and its value if the word contains it.
pub(super) fn named<'a>(rows: &'a [OptionRow], word: &str) -> Option<(&'a OptionRow, Option<&'static str>)> {
    if let Some(row) = rows.iter().find(|row| row.is_called(word)) {
        return Some((row, is_flag(row).then_some("on")));
    }
    let word = word.strip_prefix("no")?;
    let row = rows.iter().find(|row| is_flag(row) && row.is_called(word))?;
    Some((row, Some("off")))
}

const fn is_flag(row: &OptionRow) -> bool {
    matches!(row.form, OptionForm::Flag | OptionForm::QuietFlag)
}

/// The option by the name that was typed: a `remote` is a `group` of one host.
pub(super) fn spelt(row: &OptionRow, word: &str) -> String {
    if row.is_called(word) { word.to_owned() } else { row.name.to_owned() }
}

/// The error for a kind without such an option.
pub(super) fn unknown(of: &str, name: &str, rows: &[OptionRow]) -> Failure {
    let known: Vec<_> = rows.iter().map(|row| row.name).collect();
    let known = if known.is_empty() { "it has none".to_owned() } else { known.join(", ") };
    Failure::Usage(format!("{of}: there is no option {name:?}; expected one of: {known}"))
}

/// Sets options by their names and values.
pub(super) fn set(
    socket: &mut RouteSocket,
    options: &mut dyn Options,
    of: &str,
    settings: &[(String, String)],
) -> Result<(), Failure> {
    for (name, text) in settings {
        let rows = options.rows();
        let mut found = None;
        for row in (0..rows.len()).filter(|&row| rows[row].is_called(name)) {
            let value = match rows[row].form {
                OptionForm::Link => Some(OptionValue::Number(index(socket, text)?.into())),
                // `ip` reads this as octal, the table does not.
                _ if text.len() > 1
                    && text.starts_with('0')
                    && text.bytes().all(|byte| byte.is_ascii_digit()) =>
                {
                    None
                }
                _ => rows[row].parse(text).filter(|value| fits(&rows[row], name, *value)),
            };
            let set = value.is_some_and(|value| options.set(row, value));
            found = if set { Some(Ok(())) } else { found.or(Some(Err(&rows[row]))) };
            if set {
                break;
            }
        }
        match found {
            Some(Ok(())) => {}
            Some(Err(row)) => {
                let expected = row.expected();
                return Err(Failure::Usage(format!("{of}: {name} is {text:?}; expected {expected}")));
            }
            None => return Err(unknown(of, name, rows)),
        }
    }
    Ok(())
}

/// Whether an option with two names has the right one: a `group` is multicast, a `remote` is one host.
fn fits(row: &OptionRow, name: &str, value: OptionValue) -> bool {
    row.alias.is_none() || row.word(value) == name
}

/// What `ip` leaves out: a flag that is off, no link, no address.
fn is_worth_showing(row: &OptionRow, value: OptionValue) -> bool {
    match (row.form, value) {
        (OptionForm::QuietFlag | OptionForm::Link, OptionValue::Number(number)) => number != 0,
        (_, OptionValue::Ipv4(address)) => !address.is_unspecified(),
        (_, OptionValue::Ipv6(address)) => !address.is_unspecified(),
        _ => true,
    }
}

/// Options that are set, with their rows.
fn shown(options: &dyn Options) -> impl Iterator<Item = (&'static OptionRow, OptionValue)> {
    let rows = options.rows().iter().enumerate();
    rows.filter_map(|(at, row)| Some((row, options.get(at)?)))
        .filter(|(row, value)| is_worth_showing(row, *value))
}

/// With the names that `ip` takes.
pub(super) fn text(options: &dyn Options, names: &BTreeMap<u32, String>) -> String {
    let mut text = String::new();
    for (row, value) in shown(options) {
        let _ = match (row.form, value) {
            (OptionForm::Link, OptionValue::Number(index)) => {
                write!(text, " {} {}", row.name, link(index, names))
            }
            _ => write!(text, " {} {}", row.word(value), row.text(value)),
        };
    }
    text
}

fn link(index: u64, names: &BTreeMap<u32, String>) -> String {
    name_of(names, u32::try_from(index).unwrap_or(0))
}

/// With the keys of `ip -json`, or with the names that `bridge` has for them.
pub(super) fn json(options: &dyn Options, names: &BTreeMap<u32, String>, keys: Keys) -> Map<String, Value> {
    let mut object = Map::new();
    for (row, value) in shown(options) {
        let key = match keys {
            Keys::Ip => row.key,
            Keys::Bridge => row.name,
        };
        let shown = match (row.form, value) {
            (OptionForm::Switch | OptionForm::Flag | OptionForm::QuietFlag, OptionValue::Number(on)) => {
                (on != 0).into()
            }
            (OptionForm::Bit | OptionForm::Number(_) | OptionForm::Ticks, OptionValue::Number(number)) => {
                number.into()
            }
            (OptionForm::Mask, OptionValue::Number(mask)) => {
                if mask == 0 {
                    "0".into()
                } else {
                    format!("{mask:#x}").into()
                }
            }
            (OptionForm::Link, OptionValue::Number(index)) => link(index, names).into(),
            _ => row.text(value).into(),
        };
        // `group6` is `remote6` then.
        object.insert(key.replacen(row.name, row.word(value), 1), shown);
    }
    object
}

/// Whose keys.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    Ip,
    Bridge,
}

/// The kinds of links and their options, for `--help`.
pub(super) fn help() -> String {
    let mut text = "Kinds and their options, as `ip` has them (`type vlan id 10`):\n".to_owned();
    for kind in LinkKind::ALL {
        let _ = writeln!(text, "\n{}", kind.name());
        for row in kind.rows() {
            let _ = writeln!(text, "  {:<30} {} ({})", row.name, row.help.trim(), row.expected());
        }
    }
    text
}
