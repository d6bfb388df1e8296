//! What the program is called.

use std::sync::OnceLock;

/// The program's name unless it was set.
pub(crate) const NETNS: &str = "netns";

static NAME: OnceLock<&str> = OnceLock::new();

/// From now on messages call the program by this name.
pub(crate) fn set(name: &'static str) {
    NAME.get_or_init(|| name);
}

/// What users type to run this program.
pub(crate) fn name() -> &'static str {
    NAME.get().copied().unwrap_or(NETNS)
}
