//! `cargo xtask`: the tool of people who work on this project. It includes all commands of `netns`, so that a clone needs no
//! installation: `cargo xtask run`.
#![forbid(unsafe_code)]

mod api;
mod cli;
mod cross;
mod dist;
mod ebpf;
mod faults;
mod package;
mod soak;
mod vm;

use clap::{ArgMatches, FromArgMatches, Subcommand};
use cli::{DeveloperCommand, EbpfCommand};
use netns::{Failure, Program};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    let program = Program { name: "cargo xtask", commands: DeveloperCommand::augment_subcommands, run };
    netns::main(std::env::args_os(), &program)
}

/// Runs one of our own commands, if it is one of them.
fn run(matches: &ArgMatches) -> Option<Result<ExitCode, Failure>> {
    matches.subcommand_name().filter(|name| DeveloperCommand::has_subcommand(name))?;
    Some(match DeveloperCommand::from_arg_matches(matches) {
        Ok(command) => dispatch(&command),
        Err(error) => Err(Failure::Usage(error.to_string())),
    })
}

fn dispatch(command: &DeveloperCommand) -> Result<ExitCode, Failure> {
    let done = match command {
        DeveloperCommand::VmTest(arguments) => return vm::vm_test(arguments),
        DeveloperCommand::Faults(arguments) => return faults::faults(arguments),
        DeveloperCommand::Soak(arguments) => return soak::soak(arguments),
        DeveloperCommand::Ebpf(EbpfCommand::Build) => ebpf::build(),
        DeveloperCommand::Ebpf(EbpfCommand::Check) => ebpf::check(),
        DeveloperCommand::Cross(arguments) => cross::cross(arguments),
        DeveloperCommand::Dist(arguments) => dist::dist(arguments),
        DeveloperCommand::Package => package::package(),
        DeveloperCommand::Api(arguments) => api::api(arguments),
    };
    done.map(|()| ExitCode::SUCCESS).map_err(Failure::Usage)
}

/// The workspace's root.
fn root() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}
