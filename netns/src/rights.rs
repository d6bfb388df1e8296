//! Messages about missing rights.

use crate::name;
use netns_core::{Cause, ErrorKind, SystemCall, is_in_initial_user_namespace, is_network_foreign};
use std::fs;

/// For the root of a user namespace that has no network namespace of its own.
const FOREIGN: &str = "this network namespace belongs to another user namespace, where the capabilities of this one do \
     not count: run it as root there, or in a network namespace of its own (unshare --net)";
/// For the root of a user namespace that cannot make names and records.
const RUN: &str = "; names and records are kept in /run, which the root of a user namespace can write to and mount in only \
     if it is its own (unshare --mount, then mount -t tmpfs run /run)";

/// Which rights a command lacks, and what would help.
pub(crate) fn takes(command: &str, missing: &[&str]) -> String {
    let names = missing.join(", ");
    // A user without any capability needs root.
    if is_root() && is_network_foreign().unwrap_or(false) {
        format!("takes {names}; {FOREIGN}")
    } else if is_root() {
        let options: Vec<String> = missing.iter().map(|name| name.replace("CAP_", "--cap-add=")).collect();
        let options = options.join(" ");
        format!("takes {names}, which root does not have here (in a container: {options}, or --privileged)")
    } else {
        let program = name::name();
        format!("takes {names}; run it as root: sudo -E env \"PATH=$PATH\" {program} {command}")
    }
}

/// Why a user namespace does not help a process that lacks the rights.
pub(crate) fn no_user_namespace(error: &netns_core::Error) -> String {
    let why = match error.kind() {
        ErrorKind::Exhausted => ": the limit user.max_user_namespaces or user.max_net_namespaces is reached",
        _ => "",
    };
    format!("a user namespace, which would do too, cannot be made: {error}{why}")
}

/// What would help against a refusal, to be printed after it.
pub(crate) fn hint(error: &netns_core::Error) -> &'static str {
    match error.cause() {
        // The error already names the capability that was missing.
        _ if error.missing_capability().is_some() => {
            if is_root() {
                ""
            } else {
                "; run as root"
            }
        }
        Cause::System { call: SystemCall::Mount | SystemCall::Mkdir | SystemCall::Open, error }
            if error.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            of_run_folder()
        }
        // The kernel's own words are about a device.
        Cause::System { call: SystemCall::Unshare, error }
            if error.kind() == std::io::ErrorKind::StorageFull =>
        {
            "; the kernel allows no more network namespaces (user.max_net_namespaces)"
        }
        _ => "",
    }
}

/// What would help against a refusal to write to `/run` or to mount there.
pub(crate) fn of_run_folder() -> &'static str {
    if is_root() && !is_in_initial_user_namespace().unwrap_or(true) { RUN } else { "" }
}

/// Whether the effective user is root, of whichever user namespace.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    // The real one comes first.
    users.and_then(|users| users.split_whitespace().nth(1)) == Some("0")
}
