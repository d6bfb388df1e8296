//! Who is behind a port: the kernel gives the id of the peer's namespace, and of each namespace that can be found, by
//! name or by a process in it, which id it has.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use netns_core::link::Link;
use netns_core::{Error, ErrorKind, Namespace, RouteSocket, nsid};

use super::super::reading::Behind;

/// The shortest and the longest time between two searches for the same namespaces.
const SOON: Duration = Duration::from_millis(250);
const SELDOM: Duration = Duration::from_secs(30);

/// The kernel's id of the namespace that a link's other end is in, if that is another one. A VLAN, a macvlan and a tunnel
/// have one too where they were made in another namespace, but nobody is behind them there.
pub(super) fn id_of_link(link: &Link) -> Option<i32> {
    link.peer_namespace_id.filter(|_| link.is_pair())
}

/// Who is behind a link, as far as the link itself shows.
pub(super) fn of_link(link: &Link) -> Behind {
    match (id_of_link(link), link.peer) {
        (Some(id), _) => Behind::Id(id),
        (None, Some(_)) if link.is_pair() => Behind::Here,
        (None, _) => Behind::Nothing,
    }
}

/// When to search next. What is not found the first time (a namespace may get its name or its first process after its
/// link) is searched for again, less and less often, since a search looks at every process.
#[derive(Debug)]
pub(super) struct Search {
    next: Instant,
    pause: Duration,
}

impl Search {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), pause: SOON }
    }

    /// Something new is to be found.
    pub(super) fn hasten(&mut self) {
        self.pause = SOON;
        self.next = self.next.min(Instant::now() + SOON);
    }

    /// Whether it is time; if so, the next time is later.
    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return false;
        }
        self.next = now + self.pause;
        self.pause = (self.pause * 2).min(SELDOM);
        true
    }
}

/// What came of a search.
#[derive(Debug, Default)]
pub(super) struct FoundBehind {
    /// Who is behind an id.
    pub(super) behind: HashMap<i32, Behind>,
    /// What could not be looked at, and why, if somebody is still not known: it may be one of those.
    pub(super) hidden: Vec<(String, Error)>,
}

/// Finds the namespaces with these ids: one that has a name by it, others by a process. What is gone by the time that it is
/// looked at (a process that ended meanwhile) is passed over; what cannot be looked at is not taken for something else.
pub(super) fn find(socket: &mut RouteSocket, mut wanted: HashSet<i32>) -> FoundBehind {
    let mut found = FoundBehind::default();
    let mut seen = HashSet::new();
    let names = Namespace::list().unwrap_or_else(|error| {
        found.hidden.push(("the names of namespaces".to_owned(), error));
        Vec::new()
    });
    for name in names {
        if wanted.is_empty() {
            break;
        }
        let looked = Namespace::open(&name).and_then(|namespace| {
            seen.insert(namespace.id()?.inode);
            nsid::get(socket, &namespace)
        });
        match looked {
            Ok(Some(id)) if wanted.remove(&id) => drop(found.behind.insert(id, Behind::Named(name))),
            Ok(_) => {}
            Err(error) if is_none(&error) => {}
            Err(error) => found.hidden.push((format!("the namespace {name}"), error)),
        }
    }
    for pid in processes() {
        if wanted.is_empty() {
            break;
        }
        // Most processes share a few namespaces; each is asked about once.
        let inode = fs::metadata(format!("/proc/{pid}/ns/net")).map(|metadata| metadata.ino());
        if !inode.is_ok_and(|inode| seen.insert(inode)) {
            continue;
        }
        // Who ended meanwhile, or is not ours to look at, is one of many, and not who a name stands for.
        let looked = Namespace::of_pid(pid).and_then(|namespace| nsid::get(socket, &namespace));
        if let Some(id) = looked.ok().flatten().filter(|id| wanted.remove(id)) {
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            // Any process may call itself anything, and a terminal is where it ends up.
            let command = command.trim_end().replace(char::is_control, "?");
            found.behind.insert(id, Behind::Process { pid, command });
        }
    }
    if wanted.is_empty() {
        found.hidden.clear();
    }
    found
}

/// Whether there is no namespace: the name is gone, or what has it is none.
fn is_none(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.is_invalid_input()
}

/// The processes there are, lowest number first.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}
