//! Which container or pod is in a network namespace, by its name.
//!
//! Engines put every container into a cgroup named by its id, and keep their own name for it in files that root can read.
//! A container can change neither. Names are only shown: policies go by ports and namespaces.

mod attachment;
mod cgroup;
mod engine;

use cgroup::CgroupName;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

pub(crate) use attachment::Attachments;

/// How much of an id is shown where no engine names its container; engines show as much.
const SHORT: usize = 12;

/// The name of the container that a process is in; `None` if it is in none.
pub(crate) fn of_process(pid: u32) -> Option<String> {
    name(&cgroup::names(&fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?))
}

/// The beginning of an id.
fn short(id: &str) -> String {
    id.chars().take(SHORT).collect()
}

/// The name of the innermost container that has one; the id of the outermost if none has.
fn name(found: &[CgroupName]) -> Option<String> {
    let known = found.iter().find_map(|found| match found {
        CgroupName::Id(id) => engine::name(id),
        CgroupName::Name(name) => Some(name.clone()),
    });
    let outermost = || match found.last()? {
        CgroupName::Id(id) => Some(short(id)),
        CgroupName::Name(name) => Some(name.clone()),
    };
    known.or_else(outermost)
}

/// Whether an engine made this namespace's name up. Any other name says more than a container's.
pub(crate) fn is_engines(namespace: &str) -> bool {
    ["cni-", "netns-"].iter().any(|prefix| {
        let rest = namespace.strip_prefix(prefix);
        rest.is_some_and(|rest| {
            rest.len() >= SHORT && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
        })
    })
}

/// The processes in these namespaces, by the inode of each, lowest number first.
pub(crate) fn processes(wanted: &[u64]) -> HashMap<u64, Vec<u32>> {
    let mut found: HashMap<u64, Vec<u32>> = HashMap::new();
    if wanted.is_empty() {
        return found;
    }
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process that ended meanwhile is in no namespace.
        let Ok(metadata) = fs::metadata(entry.path().join("ns/net")) else { continue };
        if wanted.contains(&metadata.ino()) {
            found.entry(metadata.ino()).or_default().push(pid);
        }
    }
    for pids in found.values_mut() {
        pids.sort_unstable();
    }
    found
}

/// The inode of a named namespace.
pub(crate) fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::is_engines;

    #[test]
    fn names_that_people_chose_stay() {
        for (name, is) in [
            ("cni-8ba54d2e-2f80-4f3f-a6c5-1f3b0a1f6a11", true),
            ("netns-8ba54d2e-2f80-4f3f-a6c5-1f3b0a1f6a11", true),
            ("cni-test", false),
            ("cni-", false),
            ("netns-face", false),
            ("blue", false),
        ] {
            assert_eq!(is_engines(name), is, "{name}");
        }
    }
}
