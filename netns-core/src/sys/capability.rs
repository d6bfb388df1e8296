//! What the calling thread may do, as the kernel has it.

use super::namespace;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;

/// What this crate needs, by bit number (`include/uapi/linux/capability.h`).
pub(crate) const NEEDED: [(u32, &str); 3] =
    [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN")];

/// Where the kernel writes what a thread may do.
pub(crate) const STATUS: &str = "/proc/thread-self/status";
/// The network namespace of the calling thread.
pub(crate) const NETWORK: &str = "/proc/thread-self/ns/net";

/// The effective capabilities of the calling thread, a bit each.
pub(crate) fn effective() -> io::Result<u64> {
    let status = fs::read_to_string(STATUS)?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    Ok(effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0))
}

/// Whether the calling thread's network namespace belongs to a user namespace over which the thread can have no
/// capability.
pub(crate) fn is_network_foreign() -> io::Result<bool> {
    let network = File::open(NETWORK)?;
    // The kernel looks for the thread's user namespace among the owner and its ancestors, as it does for a capability
    // (`ns_get_owner` in <https://github.com/torvalds/linux/blob/v6.12/kernel/user_namespace.c>), and answers `EPERM` if
    // it is not among them. A kernel without user namespaces does not know the question (`ENOTTY`); there, the network
    // belongs to the only one.
    Ok(namespace::owner(network.as_fd()).is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)))
}

/// Whether the thread lacks this capability, over its user namespace or over its network namespace.
pub(crate) fn is_missing(name: &str) -> bool {
    let Ok(effective) = effective() else { return false };
    let has = NEEDED.iter().any(|&(bit, known)| known == name && effective & 1 << bit != 0);
    !has || is_network_foreign().unwrap_or(false)
}
