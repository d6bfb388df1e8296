//! `netns completions` and `netns man`, generated from the definitions of the arguments.

use crate::failure::Failure;
use crate::name::NETNS;
use crate::net::help;
use crate::output::stdout;
use clap::{Args, ValueHint};
use clap_complete::{Shell, generate};
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The folder to write to; it is created if it does not exist.
    #[arg(value_hint = ValueHint::DirPath)]
    folder: PathBuf,
}

pub(crate) fn completions(
    arguments: &CompletionsArguments,
    command: &mut clap::Command,
) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    generate(arguments.shell, command, NETNS, &mut script);
    // Only the machine knows which objects there are.
    match arguments.shell {
        Shell::Bash => script.extend(include_bytes!("completions/names.bash")),
        Shell::Zsh => script.extend(include_bytes!("completions/names.zsh")),
        Shell::Fish => {
            script.extend(include_bytes!("completions/names.fish"));
            script.extend(help::fish().as_bytes());
        }
        _ => {}
    }
    stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn man(arguments: &ManArguments, command: clap::Command) -> Result<ExitCode, Failure> {
    let folder = &arguments.folder;
    let made = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
    made.map_err(|error| Failure::Usage(format!("write man pages to {}: {error}", folder.display())))?;
    Ok(ExitCode::SUCCESS)
}
