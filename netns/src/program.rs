//! What the program is called.

use crate::failure::Failure;
use clap::ArgMatches;
use std::process::ExitCode;
use std::sync::OnceLock;

/// What a program is called where nobody has said.
pub(crate) const NETNS: &str = "netns";

static NAME: OnceLock<&str> = OnceLock::new();

/// A program with our commands: `netns`, or another one that has commands of its own beside them.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// What people type to run it; help and messages call it so.
    pub name: &'static str,
    /// Adds its own commands to ours.
    pub commands: fn(clap::Command) -> clap::Command,
    /// Runs one of its own; `None` if the arguments name one of ours.
    pub run: fn(&ArgMatches) -> Option<Result<ExitCode, Failure>>,
}

impl Program {
    /// The one that people install.
    pub const NETNS: Self = Self { name: NETNS, commands: |command| command, run: |_| None };

    /// From now on messages call the program by this one's name.
    pub(crate) fn begin(&self) {
        NAME.get_or_init(|| self.name);
    }
}

/// What people type to run this program.
pub(crate) fn name() -> &'static str {
    NAME.get().copied().unwrap_or(NETNS)
}
