//! Who is behind a port: the kernel tells the id of the peer's namespace, and of each namespace that can be found, by
//! name or by a process in it, which id it has.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use netns_core::link::Link;
use netns_core::{Namespace, RouteSocket, nsid};

use super::super::reading::Behind;

/// The shortest and the longest time between two searches for the same namespaces.
const SOON: Duration = Duration::from_millis(250);
const SELDOM: Duration = Duration::from_secs(30);

/// The kernel's id of the namespace that a link's other end is in, if that is another one. A VLAN, a macvlan and a tunnel
/// have one too where they were made in another namespace, but nobody is behind them there.
pub(super) fn id_of_link(link: &Link) -> Option<i32> {
    link.peer_namespace_id.filter(|_| link.is_pair())
}

/// Who is behind a link, as far as the link itself tells.
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

/// Finds the namespaces with these ids: one that has a name by it, others by a process. What cannot be looked at (a
/// process that ended meanwhile) is passed over.
pub(super) fn find(socket: &mut RouteSocket, mut wanted: HashSet<i32>) -> HashMap<i32, Behind> {
    let mut found = HashMap::new();
    let mut seen = HashSet::new();
    for name in Namespace::list().unwrap_or_default() {
        if wanted.is_empty() {
            return found;
        }
        let Ok(namespace) = Namespace::open(&name) else { continue };
        if let Ok(id) = namespace.id() {
            seen.insert(id.inode);
        }
        if let Some(id) = id_of(socket, &namespace).filter(|id| wanted.remove(id)) {
            found.insert(id, Behind::Named(name));
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
        let Ok(namespace) = Namespace::of_pid(pid) else { continue };
        if let Some(id) = id_of(socket, &namespace).filter(|id| wanted.remove(id)) {
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            // Any process may call itself anything, and a terminal is where it ends up.
            let command = command.trim_end().replace(char::is_control, "?");
            found.insert(id, Behind::Process { pid, command });
        }
    }
    found
}

fn id_of(socket: &mut RouteSocket, namespace: &Namespace) -> Option<i32> {
    nsid::get(socket, namespace).ok()?
}

/// The processes there are, lowest number first.
fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}
