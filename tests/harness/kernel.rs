//! Which kernel this is.

use std::fs;

/// The kernel's version, as far as tests tell kernels apart: `(6, 8)`.
///
/// # Panics
/// If the kernel does not say it.
#[must_use]
pub fn kernel_version() -> (u32, u32) {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").expect("the kernel's release");
    let mut numbers = text.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor),
        _ => panic!("the kernel's release is {text}"),
    }
}
