//! What kernel this is. A test of something that older kernels lack says since when there is it.

use crate::skip;
use std::fs;

/// The running kernel's version: `(6, 1)` of `6.1.0-49-amd64`.
///
/// # Panics
/// If `/proc` is not there.
#[must_use]
pub fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("/proc is mounted");
    parse(&release).unwrap_or_else(|| panic!("the kernel calls itself {release:?}"))
}

fn parse(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Skips the test on a kernel before this version, which is the first that has `what`. On every other kernel the test
/// goes on, and fails if `what` is not there.
///
/// Only inside [`super::in_host`].
///
/// # Panics
/// If the kernel is older and `CI` is set.
pub fn needs_kernel(since: (u32, u32), what: &str) {
    let (major, minor) = kernel();
    if (major, minor) < since {
        skip::skip(&format!("{what} missing; needs Linux {}.{}, this is {major}.{minor}", since.0, since.1));
    }
}

/// Skips the test on a kernel that was built without an option, as the probe finds out. It is for what distributions'
/// kernels have and small ones lack, whatever their version. Such a test is `#[ignore]`d with the name of what it needs,
/// and the round in the virtual machine (`cargo xtask vm-test --full`) includes it.
///
/// Only inside [`super::in_host`].
///
/// # Panics
/// If the probe finds nothing and `CI` is set.
pub fn needs_option(option: &str, what: &str, probe: impl FnOnce() -> bool) {
    if !probe() {
        skip::skip(&format!(
            "{what} missing; this kernel was built without {option}, distributions' have it"
        ));
    }
}
