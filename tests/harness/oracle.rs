//! The kernel's state by independent means: the tools of Debian's packages.

use crate::{eventually, skip};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

/// The tools, and the Debian packages that have them.
const PACKAGES: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("tc", "iproute2"),
    ("ping", "iputils-ping"),
    ("strace", "strace"),
    ("tcpdump", "tcpdump"),
    ("tmux", "tmux"),
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("dot", "graphviz"),
    ("xmllint", "libxml2-utils"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
    ("prlimit", "util-linux"),
    ("setpriv", "util-linux"),
    ("timeout", "coreutils"),
    ("chown", "coreutils"),
    ("busybox", "busybox-static"),
    ("crun", "crun"),
    ("runc", "runc"),
    ("podman", "podman"),
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("bwrap", "bubblewrap"),
    ("bird", "bird2"),
    ("zebra", "frr"),
    ("bgpd", "frr"),
    ("newuidmap", "uidmap"),
    ("lxc-execute", "lxc"),
    ("iptables-legacy", "iptables"),
    ("iptables-nft", "iptables"),
    ("ip6tables-nft", "iptables"),
    ("ip6tables-legacy", "iptables"),
    ("nft", "nftables"),
    ("ethtool", "ethtool"),
    ("python3", "python3-scapy"),
    ("dhclient", "isc-dhcp-client"),
    ("dhcpcd", "dhcpcd-base"),
    ("traceroute", "traceroute"),
    ("curl", "curl"),
    ("systemd-analyze", "systemd"),
];
/// Debian's `PATH` of root; a user's lacks `sbin`. FRR's daemons are in a folder of their own.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/lib/frr"];

/// One of the tools. If it is missing, the test is skipped, with the name of the package to install.
///
/// # Panics
/// If it is missing and `CI` is set, or if no package is known to have it.
#[must_use]
pub fn oracle(tool: &str) -> Command {
    let package = PACKAGES.iter().find(|(name, _)| *name == tool).expect("a known tool").1;
    let found = FOLDERS.iter().map(|folder| Path::new(folder).join(tool)).find(|path| path.exists());
    match found {
        Some(path) => Command::new(path),
        None => skip::skip(&format!("{tool} missing; run: apt-get install {package}")),
    }
}

/// Runs a command that has to succeed, and returns its standard output.
///
/// # Panics
/// If it cannot be started or fails.
#[must_use]
pub fn run(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("a command that starts");
    assert!(status.success(), "{command:?}: {status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("output in UTF-8")
}

/// Sends a signal by its name (`INT`) or number, with bash's built-in `kill`: the program is in a package that a small
/// system lacks, and other shells do not know all names.
///
/// # Panics
/// If there is no such process.
pub fn signal(name: &str, process: impl std::fmt::Display) {
    let _ = run(Command::new("bash").args(["-c", &format!("kill -{name} {process}")]));
}

fn words(tool: &str, options: &[&str], arguments: &str) -> String {
    run(oracle(tool).args(options).args(arguments.split_whitespace()))
}

/// Sends `ping OPTIONS ADDRESS` from the network namespace of the calling thread until it is answered.
///
/// Once is not enough: namespaces share the processors' backlogs (`net.core.netdev_max_backlog`) and the neighbour
/// tables (`net.ipv4.neigh.default.gc_thresh3`), so other work on the machine can drop packets here too.
///
/// # Panics
/// If it is not answered within 50 seconds.
pub fn ping(options: &str, address: &str) {
    let mut command = oracle("ping");
    command.args(["-q", "-W", "2"]).args(options.split_whitespace()).arg(address);
    eventually("an answer to Debian's ping", || command.output().expect("ping starts").status.success());
}

/// `ip ARGUMENTS`, split at white space. It has to succeed.
#[expect(clippy::must_use_candidate, reason = "many commands write nothing")]
pub fn ip(arguments: &str) -> String {
    words("ip", &[], arguments)
}

/// Disables IPv6 in a named namespace: `sysctl` is in a package of its own (procps), which not every system has.
pub fn without_ipv6(namespace: &str) {
    let write = "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6";
    let _ = run(oracle("ip").args(["netns", "exec", namespace, "sh", "-c", write]));
}

/// `bridge ARGUMENTS`, as [`ip`].
#[expect(clippy::must_use_candidate, reason = "many commands write nothing")]
pub fn bridge(arguments: &str) -> String {
    words("bridge", &[], arguments)
}

/// `tc ARGUMENTS`, as [`ip`].
#[expect(clippy::must_use_candidate, reason = "many commands write nothing")]
pub fn tc(arguments: &str) -> String {
    words("tc", &[], arguments)
}

/// `ip -j -d ARGUMENTS`.
///
/// # Panics
/// If it fails or does not write JSON.
#[must_use]
pub fn ip_json(arguments: &str) -> Value {
    parse(&words("ip", &["-j", "-d"], arguments))
}

/// `bridge -j -d ARGUMENTS`.
///
/// # Panics
/// As [`ip_json`].
#[must_use]
pub fn bridge_json(arguments: &str) -> Value {
    parse(&words("bridge", &["-j", "-d"], arguments))
}

/// `tc -j -d ARGUMENTS`.
///
/// # Panics
/// As [`ip_json`].
#[must_use]
pub fn tc_json(arguments: &str) -> Value {
    parse(&words("tc", &["-j", "-d"], arguments))
}

/// No output is an empty list. An entry that a filter left out is an empty object in the lists of some versions.
fn parse(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Array(Vec::new());
    }
    let mut value: Value = serde_json::from_str(text).expect("JSON");
    if let Value::Array(entries) = &mut value {
        entries.retain(|entry| entry.as_object().is_none_or(|object| !object.is_empty()));
    }
    value
}

/// The one entry of a list.
///
/// # Panics
/// If there is none, or more than one.
#[must_use]
pub fn only(list: &Value) -> Value {
    match list.as_array().map(Vec::as_slice) {
        Some([entry]) => entry.clone(),
        _ => panic!("not one entry: {list}"),
    }
}
