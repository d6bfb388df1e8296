//! A program with our commands.

use crate::failure::Failure;
use crate::name::NETNS;
use clap::ArgMatches;
use std::process::ExitCode;

/// A program with our commands: `netns`, or another one that also has commands of its own.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// What users type to run it; help and messages use this name.
    pub name: &'static str,
    /// Adds its own commands to ours.
    pub commands: fn(clap::Command) -> clap::Command,
    /// Runs one of its own; `None` if the arguments name one of ours.
    pub run: fn(&ArgMatches) -> Option<Result<ExitCode, Failure>>,
}

impl Program {
    /// The installed program.
    pub const NETNS: Self = Self { name: NETNS, commands: |command| command, run: |_| None };
}
