//! The command line: `netns` where it is installed, `cargo xtask` in a clone. Each subcommand has a file; the libraries do
//! the work.
//!
//! This library is the program, not an interface to build on: [`main`] for those two, and what commands share.
#![forbid(unsafe_code)]

mod bench;
mod clean;
mod cli;
mod containers;
mod counting;
mod examples;
pub mod failure;
mod manual;
pub mod messages;
mod name;
mod namespace;
mod net;
mod notify;
mod observe;
mod outlet;
pub mod output;
mod ping;
mod program;
mod progress;
mod reasons;
pub mod require;
mod rights;
mod run;
pub mod signals;
mod state;
mod sysctl;
mod topology;
mod unrecorded;
mod watch;

use clap::FromArgMatches;
use cli::{Cli, Command};
use std::cell::LazyCell;
use std::ffi::OsString;
use std::process::ExitCode;

pub use failure::Failure;
pub use program::Program;

/// Runs a command line, prints what went wrong, and returns the exit code of the process.
///
/// The first argument is the program's name. This sets up the process's log, so it can be called only once.
pub fn main(arguments: impl IntoIterator<Item = OsString>, program: &Program) -> ExitCode {
    name::set(program.name);
    // Building clap's description of all commands takes longer than most of `ip`'s commands.
    let command = LazyCell::new(|| {
        let ours = cli::command().name(program.name).bin_name(program.name);
        // Adding derived commands also takes over the description of their type.
        let about = ours.get_about().cloned().unwrap_or_default();
        (program.commands)(ours).about(about)
    });
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn,aya=error"))
        .target(env_logger::Target::Pipe(Box::new(messages::MessageSink)))
        .init();
    let understood = net::understand(arguments, |word| command.find_subcommand(word).is_some());
    let arguments = match understood {
        net::Understood::Done(done) => return ended(done),
        net::Understood::Clap(arguments) => arguments,
    };
    let matches = match LazyCell::force(&command).clone().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return refused(&error),
    };
    messages::set_verbose(matches.get_flag(cli::VERBOSE));
    let done = match (program.run)(&matches) {
        Some(done) => done,
        None => match Cli::from_arg_matches(&matches) {
            Ok(cli) => dispatch(cli.command),
            Err(error) => return refused(&error),
        },
    };
    ended(done)
}

/// Prints what went wrong, if anything, and returns the exit code of the process.
fn ended(done: Result<ExitCode, Failure>) -> ExitCode {
    match done {
        Ok(code) => code,
        Err(failure) => {
            if !failure.is_silent() {
                messages::say(format_args!("error: {failure}"));
            }
            ExitCode::from(failure.code())
        }
    }
}

/// Help and version are no errors, and go to stdout; clap's own exit code for the rest is 2, ours is 1.
fn refused(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(failure::USAGE) } else { ExitCode::SUCCESS }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Up(arguments) => topology::up(&arguments),
        Command::Down(arguments) => topology::down(&arguments),
        Command::Labs(arguments) => topology::labs(&arguments),
        Command::Logs(arguments) => topology::logs(&arguments),
        Command::Show(arguments) => topology::show(&arguments),
        Command::Diff(arguments) => topology::diff(&arguments),
        Command::Watch(arguments) => topology::watch(&arguments),
        Command::Observe(arguments) => observe::observe(&arguments),
        Command::Reasons(arguments) => reasons::reasons(&arguments),
        Command::Clean => clean::clean(),
        Command::Completions(arguments) => manual::completions(&arguments, &mut cli::command()),
        Command::Man(arguments) => manual::man(&arguments, cli::command()),
        Command::Ping(arguments) => ping::ping(&arguments),
        Command::Sysctl(arguments) => sysctl::sysctl(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
    }
}
