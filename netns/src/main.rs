//! The program `netns`. Everything is in the library, since `cargo xtask` has the same commands.
#![forbid(unsafe_code)]

use netns::Program;
use std::process::ExitCode;

fn main() -> ExitCode {
    netns::main(std::env::args_os(), &Program::NETNS)
}
