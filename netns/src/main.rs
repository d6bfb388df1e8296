//! The program `netns`. All of it is in the library, since `netns` has the same commands.
#![forbid(unsafe_code)]

use netns::Program;
use std::process::ExitCode;

fn main() -> ExitCode {
    netns::main(std::env::args_os(), &Program::NETNS)
}
