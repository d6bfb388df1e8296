//! A machine of its own for every measurement.

use crate::{Result, sys};
use netns_core::{RouteSocket, link};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel may take to reclaim what was dropped.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);
/// How long it is left alone between two looks.
const TICK: Duration = Duration::from_millis(1);

/// `lo`, in every namespace.
const LOOPBACK: u32 = 1;

/// Puts the calling thread, and the threads and processes that it starts from now on, into a new network namespace and
/// a new mount namespace with an empty `/run`, so that names of namespaces are its own. Call it before other threads
/// are started.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn enter() -> Result<()> {
    sys::unshare_network_and_mounts().map_err(|error| format!("unshare: {error}; run as root"))?;
    sys::make_mounts_private()?;
    sys::mount_empty(c"/run")?;
    sys::raise_descriptor_limit()?;
    // Others may be at work on the machine. What is measured, peers included, must not wait for them.
    sys::raise_priority()?;
    link::set_up(&mut RouteSocket::open()?, LOOPBACK)?;
    Ok(())
}

/// Runs a measurement in a thread that did [`enter`].
///
/// # Errors
/// As [`enter`], and the measurement's own.
pub fn within<T: Send>(measure: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let body = || enter().and_then(|()| measure());
    thread::scope(|scope| scope.spawn(body).join()).map_err(|_| "the measurement panicked")?
}

/// How many links there are in the namespace of the calling thread. Read where the kernel needs no RTNL lock for it
/// (`dev_seq_start` in <https://github.com/torvalds/linux/blob/v6.12/net/core/net-procfs.c>): waiting must not hold up
/// what is waited for.
///
/// # Errors
/// If the kernel refuses.
pub fn links() -> Result<usize> {
    /// Lines above the links.
    const HEADING: usize = 2;
    Ok(fs::read_to_string("/proc/thread-self/net/dev")?.lines().count().saturating_sub(HEADING))
}

/// Waits until there are only `count` links, and the kernel is done with those that went.
///
/// It first takes links off the list, and then, still holding the RTNL lock, does what takes long, and reports it at
/// the end (`unregister_netdevice_many_notify` in <https://github.com/torvalds/linux/blob/v6.12/net/core/dev.c>). So
/// asking for a link, which takes that lock, waits for the rest.
///
/// # Errors
/// If that takes longer than two minutes.
pub fn wait_for_links(count: usize) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while links()? > count {
        if Instant::now() >= deadline {
            return Err(format!("more than {count} links are left after {LIMIT:?}").into());
        }
        thread::sleep(TICK);
    }
    link::get(&mut RouteSocket::open()?, LOOPBACK)?;
    Ok(())
}
