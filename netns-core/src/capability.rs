//! What the calling thread may do.

use crate::{Error, Namespace, Result, sys};
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

/// What this crate needs, by bit number (`include/uapi/linux/capability.h`).
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN")];

const OPERATION: &str = "read capabilities";
const STATUS: &str = "/proc/thread-self/status";

/// The names of the capabilities that making namespaces and links and pinging takes, and that the calling thread does
/// not have over its user namespace and over the network namespace that it is in.
///
/// A capability counts over a network namespace only if the thread's user namespace, or a descendant of it, owns that
/// (`cap_capable` in <https://github.com/torvalds/linux/blob/v6.12/security/commoncap.c>). If not
/// ([`is_network_foreign`]), all of them are missing: root of a user namespace, in the network namespace of the host,
/// may change nothing there, and could not return to it.
///
/// It is about the calling thread, at the moment of the call: threads can differ in both.
///
/// # Errors
/// If `/proc` is not there.
pub fn missing_capabilities() -> Result<Vec<&'static str>> {
    let effective = effective()?;
    let effective = if effective != 0 && is_network_foreign()? { 0 } else { effective };
    let missing = NEEDED.iter().filter(|(bit, _)| effective & 1 << bit == 0);
    Ok(missing.map(|&(_, name)| name).collect())
}

/// Whether the calling thread has the capability of this number (`include/uapi/linux/capability.h`) in its own user
/// namespace. Threads can differ in it.
///
/// # Errors
/// If `/proc` is not there.
pub fn has_capability(number: u32) -> Result<bool> {
    let effective = effective()?;
    Ok(1_u64.checked_shl(number).is_some_and(|bit| effective & bit != 0))
}

/// The effective capabilities of the calling thread, a bit each.
fn effective() -> Result<u64> {
    let status = fs::read_to_string(STATUS).map_err(Error::system(OPERATION, STATUS, "open"))?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    Ok(effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
}

/// Whether it is one of [`missing_capabilities`].
pub(crate) fn is_missing(name: &str) -> bool {
    missing_capabilities().is_ok_and(|missing| missing.contains(&name))
}

/// Whether the calling thread's network namespace belongs to a user namespace over which the thread can have no
/// capability: neither its own nor a descendant of it. That is so in `unshare --user` without `--net`, and in a container
/// with a user namespace of its own and the host's network.
///
/// # Errors
/// If `/proc` is not there.
pub fn is_network_foreign() -> Result<bool> {
    let network = Namespace::current()?;
    // The kernel looks for the thread's user namespace among the owner and its ancestors, as it does for a capability
    // (`ns_get_owner` in <https://github.com/torvalds/linux/blob/v6.12/kernel/user_namespace.c>), and answers `EPERM` if
    // it is not among them. A kernel without user namespaces does not know the question (`ENOTTY`); there, the network
    // belongs to the only one.
    Ok(sys::namespace::owner(network.as_fd()).is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)))
}

/// Whether [`missing_capabilities`] finds none.
#[must_use]
pub fn is_privileged() -> bool {
    missing_capabilities().is_ok_and(|missing| missing.is_empty())
}

/// The number that the kernel gives the user namespace that the machine starts in, and never another one:
/// [`PROC_USER_INIT_INO`](https://github.com/torvalds/linux/blob/v6.1/include/linux/proc_ns.h), since Linux 6.18 a part of
/// its interface (`USER_NS_INIT_INO`).
const INITIAL_USER_NAMESPACE: u64 = 0xEFFF_FFFD;

/// Whether the calling thread is in the user namespace that the machine started in. Capabilities in another one, such as
/// those of the root of a rootless container, hold for what belongs to that namespace only; the kernel takes no eBPF
/// programs for them.
///
/// # Errors
/// If `/proc` is not there.
pub fn is_in_initial_user_namespace() -> Result<bool> {
    let namespace = fs::metadata("/proc/thread-self/ns/user").map_err(Error::system(
        "find out the user namespace",
        "",
        "stat",
    ))?;
    Ok(namespace.ino() == INITIAL_USER_NAMESPACE)
}
