//! The rights that a command takes, checked before anything is made.

use crate::failure::Failure;
use crate::rights;
use netns_core::missing_capabilities;

/// To make and change links, addresses and routes.
pub const NET_ADMIN: &str = "CAP_NET_ADMIN";
/// To make and enter namespaces, and to load eBPF programs.
pub const SYS_ADMIN: &str = "CAP_SYS_ADMIN";

/// Whether this process has the capabilities that a command takes.
///
/// # Errors
/// [`Failure::Usage`] with a sentence that names those that are missing, and what would help.
pub fn rights(command: &str, takes: &[&str]) -> Result<(), Failure> {
    let mut missing = missing_capabilities()?;
    missing.retain(|name| takes.contains(name));
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Failure::usage(format!("this {}", rights::takes(command, &missing))))
    }
}
