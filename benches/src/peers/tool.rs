//! Finding and running other people's programs.

use crate::Result;
use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where programs are that are not on everybody's path.
const FOLDERS: [&str; 5] = ["/usr/sbin", "/sbin", "/usr/lib/podman", "/usr/libexec/podman", "/usr/lib/cni"];

/// Where a program is; else a note that it is missing.
pub(super) fn find(name: &str, package: &str) -> std::result::Result<PathBuf, String> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .ok_or_else(|| format!("{name} is not installed and left out (Debian: apt-get install {package})"))
}

/// A command that inherits nothing of our environment.
pub(super) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// Runs a program with `input` that has to succeed.
pub(super) fn run(command: &mut Command, input: &str) -> Result<()> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}: {}", command.get_program().display(), String::from_utf8_lossy(&said).trim()).into())
}
