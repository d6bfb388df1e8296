//! What the calling thread may do.

use crate::{Error, Result};
use std::fs;
use std::os::unix::fs::MetadataExt;

/// What this crate needs, by bit number (`include/uapi/linux/capability.h`).
const NEEDED: [(u32, &str); 3] = [(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (21, "CAP_SYS_ADMIN")];

/// The names of the capabilities that making namespaces and links and pinging takes, and that the calling thread does
/// not have.
///
/// # Errors
/// If `/proc` is not there.
pub fn missing_capabilities() -> Result<Vec<&'static str>> {
    let status = fs::read_to_string("/proc/thread-self/status").map_err(Error::system(
        "read capabilities",
        "",
        "open",
    ))?;
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let missing = NEEDED.iter().filter(|(bit, _)| effective & 1 << bit == 0);
    Ok(missing.map(|&(_, name)| name).collect())
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
