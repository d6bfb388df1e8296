//! What the calling thread may do.

use crate::error::{Operation, SystemCall};
use crate::sys::capability::{self, NEEDED, NETWORK, STATUS};
use crate::{Error, Result};
use std::fs;
use std::os::unix::fs::MetadataExt;

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
    capability::effective().map_err(Error::system(Operation::ReadCapabilities, STATUS, SystemCall::Open))
}

/// Whether the calling thread's network namespace belongs to a user namespace over which the thread can have no
/// capability: neither its own nor a descendant of it. That is so in `unshare --user` without `--net`, and in a container
/// with a user namespace of its own and the host's network.
///
/// # Errors
/// If `/proc` is not there.
pub fn is_network_foreign() -> Result<bool> {
    capability::is_network_foreign().map_err(Error::system(
        Operation::OpenNamespace,
        NETWORK,
        SystemCall::Open,
    ))
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
        Operation::FindUserNamespace,
        "",
        SystemCall::Stat,
    ))?;
    Ok(namespace.ino() == INITIAL_USER_NAMESPACE)
}
