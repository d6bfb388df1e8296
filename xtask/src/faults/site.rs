//! Where a command asks the kernel for something: from what strace writes about it.

use std::collections::{HashMap, HashSet};

/// The system calls that are looked at: those that change something, wait for an answer, or take a descriptor.
pub(super) const TRACED: &str = "sendto,sendmsg,recvfrom,recvmsg,recvmmsg,mount,umount2,mknod,mknodat,mkdir,mkdirat,rmdir,\
unlink,unlinkat,rename,renameat,renameat2,bpf,unshare,setns,socket,openat,write,fsync,flock,clone,clone3";

/// A call that a command makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    /// The system call.
    pub(super) call: String,
    /// The how-many-eth call of this name of its thread it is, counted from 1.
    pub(super) when: u32,
    /// What it is about, as far as that is the same in every run.
    pub(super) words: String,
    /// Whether it changes something that others see.
    pub(super) changes: bool,
}

impl Site {
    /// The error that fits it.
    pub(super) fn error(&self) -> &'static str {
        match &*self.call {
            "sendto" | "sendmsg" | "recvfrom" | "recvmsg" | "recvmmsg" => "ENOBUFS",
            "bpf" | "mount" | "setns" => "ENOMEM",
            "umount2" => "EBUSY",
            "openat" | "socket" => "EMFILE",
            "clone" | "clone3" => "EAGAIN",
            _ => "ENOSPC",
        }
    }
}

/// Sites by call and words.
pub(super) type KnownSite = HashSet<(String, String)>;

/// The sites in what strace wrote, with `-f -y -s 80`; of those that are alike the first, and none that is like one that is
/// known already, unless `all` of them are asked for.
pub(super) fn sites(log: &str, all: bool, known: &mut KnownSite) -> Vec<Site> {
    let mut counts: HashMap<(&str, &str), u32> = HashMap::new();
    let mut sites = Vec::new();
    for line in log.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let Some((call, arguments)) = rest.split_once('(') else { continue };
        // The second half of a call that was interrupted begins with `<...`.
        if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            continue;
        }
        let count = counts.entry((thread, call)).or_default();
        *count += 1;
        let Some(words) = words(call, arguments) else { continue };
        let changes = changes(call, arguments);
        if known.insert((call.to_owned(), words.clone())) || all {
            sites.push(Site { call: call.to_owned(), when: *count, words, changes });
        }
    }
    sites
}

/// What a call is about; `None` if it is nothing that a fault would teach us about.
fn words(call: &str, arguments: &str) -> Option<String> {
    let words = match call {
        "sendto" | "sendmsg" => netlink(arguments)?,
        "recvfrom" | "recvmsg" | "recvmmsg" => arguments.contains("NETLINK").then(String::new)?,
        "write" => {
            let file = arguments.split_once('<')?.1.split('>').next()?;
            let matters = ["/run", "/proc/sys", "/sys"].iter().any(|start| file.starts_with(start));
            matters.then(|| file.to_owned())?
        }
        "openat" => {
            let path = arguments.split('"').nth(1)?;
            let of_loader = ["/lib", "/usr", "/etc", "/dev"].iter().any(|start| path.starts_with(start));
            (!of_loader).then(|| path.to_owned())?
        }
        "bpf" | "unshare" | "setns" | "socket" | "clone" | "clone3" => {
            arguments.split(',').next()?.to_owned()
        }
        _ => {
            let paths: Vec<&str> = arguments.split('"').skip(1).step_by(2).collect();
            if paths.is_empty() { arguments.split(')').next()?.to_owned() } else { paths.join(" ") }
        }
    };
    Some(same_in_every_run(&words))
}

/// The requests of a datagram, in order and without repetitions; for one without a name, the text that is in it.
fn netlink(arguments: &str) -> Option<String> {
    let mut kinds: Vec<String> = Vec::new();
    for part in arguments.split("nlmsg_type=").skip(1) {
        let kind = part.split([',', ' ', '}']).next()?.to_owned();
        if kinds.last() != Some(&kind) {
            kinds.push(kind);
        }
    }
    if kinds.is_empty() {
        return None;
    }
    Some(kinds.join("+"))
}

/// Without numbers, which are descriptors, indexes and ids.
fn same_in_every_run(words: &str) -> String {
    let mut text = String::new();
    for character in words.chars() {
        match character {
            digit if digit.is_ascii_digit() => {
                if !text.ends_with('#') {
                    text.push('#');
                }
            }
            other => text.push(other),
        }
    }
    text
}

fn changes(call: &str, arguments: &str) -> bool {
    match call {
        "sendto" | "sendmsg" => !arguments.contains("NLM_F_DUMP") && !arguments.contains("RTM_GET"),
        "recvfrom" | "recvmsg" | "recvmmsg" | "setns" | "socket" | "flock" | "clone" | "clone3" => false,
        "openat" => arguments.contains("O_CREAT"),
        "bpf" => {
            ["BPF_PROG_LOAD", "BPF_MAP_CREATE", "BPF_LINK_CREATE"].iter().any(|one| arguments.contains(one))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests;
