//! Skipping a test: loudly, and never on CI.

use std::any::Any;
use std::io::Write;
use std::panic::resume_unwind;
use std::thread;

/// What a skipped test unwinds with. It is no panic: no hook runs, and [`super::in_host`] ends the test.
struct Skipped;

/// Ends the test without a verdict, and prints why on standard error, past the test runner's capture. Where `CI` is
/// set, everything that the tests need has to be there, and what is missing fails the test.
///
/// Only inside [`super::in_host`].
///
/// # Panics
/// If `CI` is set.
pub fn skip(why: &str) -> ! {
    assert!(std::env::var_os("CI").is_none(), "not to be skipped on CI: {why}");
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
    resume_unwind(Box::new(Skipped))
}

/// Whether a thread ended by [`skip`].
pub(crate) fn is_skip(payload: &(dyn Any + Send)) -> bool {
    payload.is::<Skipped>()
}

/// Skips the test if the calling thread may not make namespaces, change networks and ping.
///
/// # Panics
/// If `CI` is set, and if `/proc` is not there.
pub fn require_privilege() {
    let missing = netns_core::missing_capabilities().expect("/proc is mounted");
    if !missing.is_empty() && netns_core::is_network_foreign().expect("/proc is mounted") {
        skip(&format!(
            "{} missing over the network namespace, which belongs to another user namespace; run: unshare --net ..",
            missing.join(", ")
        ));
    }
    if !missing.is_empty() {
        skip(&format!(
            "{} missing; run: sudo -E env PATH=\"$PATH\" cargo test --workspace",
            missing.join(", ")
        ));
    }
}
