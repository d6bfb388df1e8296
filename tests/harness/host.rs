//! A host of its own for every test.

use crate::{ip, ip_json, oracle, run, skip, sys};
use netns_core::{Namespace, RouteSocket};
use serde_json::Value;
use std::fs;
use std::os::fd::BorrowedFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

/// The "host" that a test runs in: a network namespace, and a mount namespace with an empty `/run`, so that the test
/// has the folder of named namespaces to itself.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
}

/// Runs a test in a thread with new network and mount namespaces. Both end with the thread, however it ends; the kernel
/// reclaims what is left. So tests can run side by side and leave nothing.
///
/// # Panics
/// If the test panics, or leaves its thread in another namespace. Without privilege it is skipped: see [`super::skip`].
pub fn in_host(test: impl FnOnce(&Host) + Send) {
    let name = thread::current().name().unwrap_or("test").to_owned();
    let result = thread::scope(|scope| {
        let body = move || {
            skip::require_privilege();
            let host = Host::enter();
            test(&host);
            let end = Namespace::current().and_then(|namespace| namespace.id()).unwrap();
            assert_eq!(end, host.namespace.id().unwrap(), "the test left its thread in another namespace");
        };
        thread::Builder::new().name(name).spawn_scoped(scope, body).expect("a thread").join()
    });
    match result {
        Err(payload) if !skip::is_skip(&*payload) => resume_unwind(payload),
        _ => {}
    }
}

impl Host {
    fn enter() -> Self {
        sys::unshare_network_and_mounts().expect("unshare");
        sys::make_mounts_private().expect("make / private");
        // /var/run is a symbolic link to /run on most systems, and a folder on some.
        let run = fs::canonicalize("/var/run").expect("/var/run");
        unmount_all(&run);
        sys::mount_empty(c"tmpfs", run.to_str().expect("a path of UTF-8")).expect("mount tmpfs");
        let host = Self { namespace: Namespace::current().unwrap() };
        host.raise_loopback();
        host
    }

    fn raise_loopback(&self) {
        netns_core::link::set_up(&mut self.socket(), 1).unwrap();
    }

    /// The host's network namespace, as `ip netns exec NAME` sees it.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A new socket in the host's network namespace.
    ///
    /// # Panics
    /// If the kernel gives none.
    #[must_use]
    pub fn socket(&self) -> RouteSocket {
        RouteSocket::open_in(&self.namespace).unwrap()
    }

    /// Gives a program the name `/run/bpf/program`, under which `tc` finds it.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn pin_program(&self, program: BorrowedFd<'_>) {
        fs::create_dir("/run/bpf").unwrap();
        sys::mount_empty(c"bpf", "/run/bpf").unwrap();
        sys::pin_program(program, "/run/bpf/program").unwrap();
    }

    /// Mounts `/proc/sys` read-only, as container engines do, for this test alone.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn make_settings_read_only(&self) {
        let _ = run(oracle("mount").args(["--bind", "/proc/sys", "/proc/sys"]));
        let _ = run(oracle("mount").args(["-o", "remount,bind,ro", "/proc/sys"]));
    }

    /// Checks that no named namespace and no link but `lo` is left, by `ip`.
    ///
    /// # Panics
    /// If there is.
    pub fn assert_clean(&self) {
        assert_eq!(ip("netns list"), "", "named namespaces are left");
        let links = ip_json("link show");
        let names: Vec<&str> = links.as_array().into_iter().flatten().filter_map(name).collect();
        assert_eq!(names, ["lo"], "links are left");
    }
}

/// Unmounts, in this mount namespace, everything on a folder and below it. What is only covered by another mount stays
/// in `/proc/self/mountinfo`, and `/run/netns` is a mount wherever `ip netns add` was ever used.
fn unmount_all(folder: &Path) {
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").expect("/proc is mounted");
    // What was mounted last covers what was mounted before, so it goes first. Spaces in paths are escaped here; paths
    // in `/run` have none.
    for line in mounts.lines().rev() {
        let target = Path::new(line.split(' ').nth(4).expect("a mount point"));
        if target.starts_with(folder) {
            match sys::unmount(target) {
                // In a user namespace the inherited mounts are locked: they stay, covered.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
                other => other.unwrap_or_else(|error| panic!("unmount {}: {error}", target.display())),
            }
        }
    }
}

fn name(link: &Value) -> Option<&str> {
    link["ifname"].as_str()
}
