//! `cargo xtask`: the command line. One file a subcommand; what they do is the libraries' work.
#![forbid(unsafe_code)]

mod bench;
mod clean;
mod cli;
mod counting;
mod cross;
mod dist;
mod ebpf;
mod failure;
mod manual;
mod messages;
mod net;
mod netns;
mod observe;
mod output;
mod ping;
mod rights;
mod run;
mod signals;
mod state;
mod topology;
mod vm;
mod watch;

use clap::Parser;
use cli::{Cli, Command, EbpfCommand};
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(net::cli::with_keywords(std::env::args_os())) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to stdout; clap's own exit code for the rest is 2, ours is 1.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(failure::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn,aya=error"))
        .target(env_logger::Target::Pipe(Box::new(messages::Messages)))
        .init();
    messages::set_verbose(cli.verbose);
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(failure) => {
            if !failure.is_silent() {
                messages::say(format_args!("error: {failure}"));
            }
            ExitCode::from(failure.code())
        }
    }
}

fn dispatch(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Up(arguments) => topology::up(&arguments),
        Command::Down(arguments) => topology::down(&arguments),
        Command::Show(arguments) => topology::show(&arguments),
        Command::Diff(arguments) => topology::diff(&arguments),
        Command::Observe(arguments) => observe::observe(&arguments),
        Command::Clean => clean::clean(),
        Command::Netns(command) => netns::netns(command),
        Command::Link(arguments) => net::link(arguments),
        Command::Addr(arguments) => net::addr(arguments),
        Command::Route(arguments) => net::route(arguments),
        Command::Neigh(arguments) => net::neigh(arguments),
        Command::Bridge(arguments) => net::bridge(arguments),
        Command::Stats(arguments) => net::stats(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
        Command::Ping(arguments) => ping::ping(&arguments),
        Command::Bench(arguments) => bench::bench(&arguments),
        Command::Ebpf(EbpfCommand::Build) => developer(ebpf::build()),
        Command::Ebpf(EbpfCommand::Check) => developer(ebpf::check()),
        Command::Cross(arguments) => developer(cross::cross(&arguments)),
        Command::Dist(arguments) => developer(dist::dist(&arguments)),
        Command::VmTest(arguments) => vm::vm_test(&arguments),
    }
}

/// What a command for the project's developers comes to.
fn developer(done: Result<(), String>) -> Result<ExitCode, Failure> {
    done.map(|()| ExitCode::SUCCESS).map_err(Failure::Usage)
}
