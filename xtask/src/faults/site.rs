//! A command's requests to the kernel, from strace's output.

use std::collections::{HashMap, HashSet};

/// The system calls under test: those that change something, wait for an answer, or take a descriptor.
pub(super) const TRACED: &str = "sendto,sendmsg,recvfrom,recvmsg,recvmmsg,mount,umount2,mknod,mknodat,mkdir,mkdirat,rmdir,\
unlink,unlinkat,rename,renameat,renameat2,bpf,unshare,setns,socket,openat,write,fsync,flock,clone,clone3";

/// A call that a command makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    /// The system call.
    pub(super) call: String,
    /// The call's number among its thread's calls of this name, counted from 1.
    pub(super) when: u32,
    /// Its object, as far as that is the same in every run.
    pub(super) words: String,
    /// Whether it changes something that others see.
    pub(super) changes: bool,
}

impl Site {
    /// The errors that fit it, the likeliest first.
    pub(super) fn errors(&self) -> &'static [&'static str] {
        match &*self.call {
            "sendto" | "sendmsg" => &["ENOBUFS", "ENOMEM", "EPERM", "EINTR", "EAGAIN"],
            "recvfrom" | "recvmsg" | "recvmmsg" => &["ENOBUFS", "ENOMEM", "EINTR"],
            "bpf" => &["ENOMEM", "EPERM", "EAGAIN", "EINVAL"],
            "mount" | "setns" => &["ENOMEM", "EPERM"],
            "unshare" => &["ENOSPC", "ENOMEM", "EPERM"],
            "umount2" => &["EBUSY", "EPERM"],
            "openat" => &["EMFILE", "ENFILE", "EACCES", "EINTR"],
            "socket" => &["EMFILE", "ENOBUFS", "EPERM"],
            "clone" | "clone3" => &["EAGAIN", "ENOMEM"],
            "flock" => &["ENOLCK", "EINTR", "EWOULDBLOCK"],
            "unlink" | "unlinkat" | "rmdir" => &["ENOMEM", "EBUSY", "EROFS"],
            "write" | "fsync" => &["ENOSPC", "EINTR", "EIO"],
            _ => &["ENOSPC", "EBUSY", "EROFS"],
        }
    }
}

/// Sites by call and words.
pub(super) type KnownSite = HashSet<(String, String)>;

/// The sites in strace's output (with `-f -y -s 80`). Unless `all` are requested, similar sites count once, and sites that
/// are similar to known ones are left out.
pub(super) fn sites(log: &str, all: bool, known: &mut KnownSite) -> Vec<Site> {
    let mut counts: HashMap<(&str, &str), u32> = HashMap::new();
    // Each thread's last request, if it was to change something.
    let mut asked: HashMap<&str, String> = HashMap::new();
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
        let Some(mut words) = words(call, arguments) else { continue };
        let changes = changes(call, arguments);
        match call {
            "sendto" | "sendmsg" if changes => drop(asked.insert(thread, words.clone())),
            "sendto" | "sendmsg" => drop(asked.remove(thread)),
            "recvfrom" | "recvmsg" | "recvmmsg" => {
                words = asked.get(thread).map_or_else(String::new, |asked| format!("answer to {asked}"));
            }
            _ => {}
        }
        if known.insert((call.to_owned(), words.clone())) || all {
            sites.push(Site { call: call.to_owned(), when: *count, words, changes });
        }
    }
    sites
}

/// A call's object; `None` if a fault in it would show nothing.
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

/// The requests of a datagram, in order and without repetitions.
fn netlink(arguments: &str) -> Option<String> {
    let kinds =
        || arguments.split("nlmsg_type=").skip(1).filter_map(|part| part.split([',', ' ', '}']).next());
    let is_nftables = kinds().any(|kind| kind.starts_with("0xa") || kind.contains("NFT_"));
    let mut found: Vec<&str> = Vec::new();
    for kind in kinds() {
        let kind = if is_nftables { nftables(kind) } else { rtnetlink(kind) };
        if found.last() != Some(&kind) {
            found.push(kind);
        }
    }
    (!found.is_empty()).then(|| found.join("+"))
}

/// The name of a message of rtnetlink, which strace writes as a number if the socket is of another namespace than its own
/// (`linux/rtnetlink.h`).
fn rtnetlink(kind: &str) -> &str {
    match kind {
        "0x10" => "RTM_NEWLINK",
        "0x11" => "RTM_DELLINK",
        "0x12" => "RTM_GETLINK",
        "0x13" => "RTM_SETLINK",
        "0x14" => "RTM_NEWADDR",
        "0x18" => "RTM_NEWROUTE",
        "0x1c" => "RTM_NEWNEIGH",
        "0x24" => "RTM_NEWQDISC",
        "0x2c" => "RTM_NEWTFILTER",
        "0x58" => "RTM_NEWNSID",
        "0x5a" => "RTM_GETNSID",
        named => named,
    }
}

/// The same of nftables. Those of a batch are `NLMSG_MIN_TYPE` and the one after it, the others are of subsystem 10
/// (`linux/netfilter/nf_tables.h`).
fn nftables(kind: &str) -> &str {
    match kind {
        "0x10" => "NFNL_MSG_BATCH_BEGIN",
        "0x11" => "NFNL_MSG_BATCH_END",
        "0xa00" => "NFT_MSG_NEWTABLE",
        "0xa01" => "NFT_MSG_GETTABLE",
        "0xa02" => "NFT_MSG_DELTABLE",
        "0xa03" => "NFT_MSG_NEWCHAIN",
        "0xa06" => "NFT_MSG_NEWRULE",
        "0xa07" => "NFT_MSG_GETRULE",
        "0xa09" => "NFT_MSG_NEWSET",
        "0xa0c" => "NFT_MSG_NEWSETELEM",
        "0xa0d" => "NFT_MSG_GETSETELEM",
        "0xa0e" => "NFT_MSG_DELSETELEM",
        "0xa10" => "NFT_MSG_GETGEN",
        named => named.rsplit('|').next().unwrap_or(named),
    }
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
        // A batch may end with a question.
        "sendto" | "sendmsg" => {
            netlink(arguments).is_some_and(|kinds| kinds.split('+').any(|kind| !kind.contains("_GET")))
        }
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
