//! What looks like ours and is not on record: a record was torn, or somebody removed it. It may belong to somebody else, so
//! it is left alone, and the commands that remove it are printed.

use crate::failure::Failure;
use crate::messages::say;
use crate::namespace::NamespaceWord;
use crate::state::{self, RunBefore};
use netns_core::barrier::{self, Barrier, FORWARDED};
use netns_core::link::{self, Link};
use netns_core::tc::{self, Direction};
use netns_core::{ErrorKind, Namespace, RouteSocket};
use netns_ebpf::{JournalFile, StrayFilters, programs_of_processes};
use netns_topology::{Lab, Record};
use std::collections::HashSet;
use std::path::Path;

/// What this machine's records name, and what living processes hold.
struct Accounted {
    programs: HashSet<u32>,
    barriers: HashSet<String>,
}

impl Accounted {
    /// Records that cannot be read count as missing: what they name is reported and left alone.
    fn find() -> Result<Self, Failure> {
        let (mut programs, mut barriers) = (programs_of_processes(), HashSet::new());
        for path in JournalFile::list(Path::new(JournalFile::FOLDER))? {
            let claims = JournalFile::claims(&path).unwrap_or_default();
            programs.extend(claims.programs.into_iter().flatten());
            barriers.extend(claims.barrier);
        }
        let run = state::peek().unwrap_or_default();
        let before = RunBefore::read(&run).ok().flatten();
        barriers.extend(before.and_then(|before| before.barrier).map(|barrier| barrier.0));
        let labs = Lab::all().unwrap_or_default().into_iter().flatten();
        for record in labs.chain(Record::of_lines(&run).ok().flatten()) {
            programs.extend(record.programs().flatten());
            barriers.extend(record.barriers().map(str::to_owned));
        }
        Ok(Self { programs, barriers })
    }
}

/// Reports what is in `host` on a bridge and its ports, or on all bridges and ports, and is not known, with the commands
/// that remove it.
///
/// # Errors
/// [`Failure::Kernel`] if there is something.
pub(crate) fn report(
    host: &Namespace,
    bridge: Option<&Link>,
    netns: Option<&NamespaceWord>,
) -> Result<(), Failure> {
    let mut socket = RouteSocket::open_in(host)?;
    let is_meant = |link: &Link| match bridge {
        Some(bridge) => link.index == bridge.index || link.master == Some(bridge.index),
        None => link.master.is_some() || link.kind.as_deref() == Some("bridge"),
    };
    let links: Vec<Link> = link::list(&mut socket)?.into_iter().filter(is_meant).collect();
    let known = Accounted::find()?;
    let inside = netns.map_or_else(String::new, |netns| netns.command(|text| word(text, "NAME")));
    let mut found = 0;
    // Before the programs: without them a barrier would stop everything.
    for name in barrier::names(host)?.into_iter().filter(|name| !known.barriers.contains(name)) {
        let Some(barrier) = Barrier::open(host, &name, 0)? else { continue };
        let ports: HashSet<u32> = barrier.known_ports().collect();
        let bridges: HashSet<Option<u32>> =
            links.iter().filter(|link| ports.contains(&link.index)).map(|link| link.master).collect();
        let is_behind = |link: &Link| {
            let is_bridge = bridges.contains(&Some(link.index)) || barrier.closed_bridge() == Some(link.name);
            is_bridge || ports.contains(&link.index)
        };
        let behind: Vec<&Link> = links.iter().filter(|link| is_behind(link)).collect();
        if bridge.is_some() && behind.is_empty() {
            continue;
        }
        let settings = behind.iter().filter_map(|link| setting(link));
        let commands: Vec<String> =
            [format!("nft delete table bridge {name}")].into_iter().chain(settings).collect();
        say(format_args!(
            "the table \"bridge {name}\" looks like a barrier of ours and is on no record: {}",
            shell(&inside, &commands)
        ));
        found += 1;
    }
    for link in &links {
        let StrayFilters { filters, has_others } =
            match StrayFilters::look(&mut socket, link.index, &known.programs) {
                // It is gone by now.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
        if filters.is_empty() {
            continue;
        }
        let device = word(link.name.as_str(), &format!("if{}", link.index));
        let mut commands: Vec<String> = Vec::new();
        for filter in filters {
            let hook = if filter.direction == Direction::Ingress { "ingress" } else { "egress" };
            let (priority, handle) = (filter.priority, filter.handle);
            commands.push(format!(
                "tc filter del dev {device} {hook} protocol all pref {priority} handle {handle} bpf"
            ));
        }
        if !has_others && tc::has_clsact(&mut socket, link.index)? {
            commands.push(format!("tc qdisc del dev {device} clsact"));
        }
        say(format_args!(
            "filters on {device} look like ours and are on no record: {}",
            shell(&inside, &commands)
        ));
        found += 1;
    }
    if found == 0 {
        return Ok(());
    }
    Err(Failure::Kernel(
        "what looks like ours and is on no record was left alone; the commands above remove it".to_owned(),
    ))
}

/// The command that undoes a barrier's change to a link, if the change is in effect.
fn setting(link: &Link) -> Option<String> {
    let device = word(link.name.as_str(), &format!("if{}", link.index));
    if link.bridge().and_then(|options| options.no_linklocal_learn) == Some(true) {
        return Some(format!("ip link set {device} type bridge no_linklocal_learn 0"));
    }
    let mask = link.port.and_then(|port| port.group_fwd_mask).filter(|mask| mask & FORWARDED == FORWARDED)?;
    Some(format!("ip link set {device} type bridge_slave group_fwd_mask {:#x}", mask & !FORWARDED))
}

/// A name that neither a shell nor a terminal misreads, or a placeholder.
fn word(name: &str, otherwise: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@/".contains(&byte);
    if name.bytes().all(is_plain) && !name.starts_with('-') { name } else { otherwise }.to_owned()
}

fn shell(inside: &str, commands: &[String]) -> String {
    let commands: Vec<String> = commands.iter().map(|command| format!("{inside}{command}")).collect();
    commands.join("; ")
}
