//! Groups of ports, as the file says them.

use super::Wrong;
use super::tables;
use crate::group::{Group, GroupNumbers, number};
use netns_ebpf::layout::MAX_GROUPS;
use std::ops::Range;
use strsim::levenshtein;
use toml::Spanned;

/// What stands for the host in `apart`.
const HOST: &str = "host";

/// Whether it is the host that is meant.
fn is_host(text: &Spanned<tables::GroupTable>) -> bool {
    matches!(text.get_ref(), tables::GroupTable::Name(name) if name == HOST)
}

/// Reads which groups are kept apart from the host.
pub(super) fn apart_from_host(pairs: &[[Spanned<tables::GroupTable>; 2]]) -> Wrong<Vec<Group>> {
    let mut groups = Vec::new();
    for [one, other] in pairs {
        match (is_host(one), is_host(other)) {
            (true, true) => {
                return Err((other.span(), "the host is one; expected a group of ports".to_owned()));
            }
            (true, false) => groups.push(group(other)?),
            (false, true) => groups.push(group(one)?),
            (false, false) => {}
        }
    }
    Ok(groups)
}

/// Reads a group.
pub(super) fn group(text: &Spanned<tables::GroupTable>) -> Wrong<Group> {
    match text.get_ref() {
        tables::GroupTable::Number(number) => {
            let group = u8::try_from(*number).ok().filter(|&group| u32::from(group) < MAX_GROUPS);
            group.map(Group::Number).ok_or_else(|| {
                let last = MAX_GROUPS - 1;
                (text.span(), format!("there is no group {number}; expected one from 0 to {last}, or a name"))
            })
        }
        tables::GroupTable::Name(name) if name == HOST => {
            Err((text.span(), "in `apart`, \"host\" means the host; expected another name".to_owned()))
        }
        // What reads as a number would be taken for one.
        tables::GroupTable::Name(name)
            if name.is_empty()
                || name.contains(char::is_whitespace)
                || name.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Err((text.span(), format!("no group has the name {name:?}; expected one such as \"tenant1\"")))
        }
        tables::GroupTable::Name(name) => Ok(Group::Name(name.clone())),
    }
}

/// Reads which groups are kept apart from each other, given where the file says which groups its ports are in; with the numbers that
/// all their names have, if they had none before.
pub(super) fn apart<'a>(
    of_ports: impl Iterator<Item = &'a Spanned<tables::GroupTable>>,
    pairs: &[[Spanned<tables::GroupTable>; 2]],
) -> Wrong<(Vec<[Group; 2]>, GroupNumbers)> {
    let known = of_ports.map(|text| Ok((group(text)?, text.span()))).collect::<Wrong<Vec<_>>>()?;
    let mut apart = Vec::new();
    for pair @ [one, other] in pairs {
        if let Some(host) = pair.iter().position(is_host) {
            known_group(&pair[1 - host], &known)?;
            continue;
        }
        apart.push([known_group(one, &known)?, known_group(other, &known)?]);
    }
    let groups = known.iter().map(|(group, _)| group).chain(apart.iter().flatten());
    match number(groups, &GroupNumbers::new()) {
        Ok(numbers) => Ok((apart, numbers)),
        Err(name) => {
            let is_it = |(group, _): &&(Group, Range<usize>)| group.to_string() == name;
            let span = known.iter().find(is_it).map(|(_, span)| span.clone()).unwrap_or_default();
            Err((
                span,
                format!("there are {MAX_GROUPS} groups, one of them of ports in no other; expected fewer"),
            ))
        }
    }
}

/// Reads a group that ports are in. Numbers are there, also without a port.
fn known_group(text: &Spanned<tables::GroupTable>, known: &[(Group, Range<usize>)]) -> Wrong<Group> {
    let group = group(text)?;
    let Group::Name(name) = &group else { return Ok(group) };
    if known.iter().any(|(known, _)| *known == group) {
        return Ok(group);
    }
    let mut names: Vec<String> = known.iter().map(|(group, _)| group.to_string()).collect();
    names.sort();
    names.dedup();
    let near = names.iter().map(|known| (levenshtein(name, known), known)).min();
    let expected = match near {
        None => format!("a port with group = {name:?}"),
        Some((changes, near)) if 2 * changes <= name.chars().count() => {
            return Err((text.span(), format!("no port is in a group {name:?}; did you mean {near:?}?")));
        }
        Some(_) if names.len() <= 8 => format!("one of: {}", names.join(", ")),
        Some(_) => format!("one of: {}, ...", names[..8].join(", ")),
    };
    Err((text.span(), format!("no port is in a group {name:?}; expected {expected}")))
}
