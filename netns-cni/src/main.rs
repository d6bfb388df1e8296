//! The program. The library does the work.

use netns_cni::{read_stdin, run};
use std::io::{stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let program = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
    ExitCode::from(run(&name, |name| std::env::var_os(name), read_stdin, &mut stdout(), &mut stderr()))
}
