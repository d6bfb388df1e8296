//! Files, and programs that must succeed.

use super::failed;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Replaces a file: a running program's file cannot be written to, but it can be replaced.
pub(super) fn write(path: &Path, mode: u32, contents: &[u8]) -> Result<(), String> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(failed("replace", path)(error));
        }
        _ => {}
    }
    fs::write(path, contents).map_err(failed("write", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("write", path))
}

/// What a program prints.
pub(super) fn output(command: &mut Command) -> Result<Vec<u8>, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let done =
        command.stderr(Stdio::inherit()).output().map_err(|error| format!("run {program}: {error}"))?;
    if done.status.success() { Ok(done.stdout) } else { Err(format!("{command:?} failed ({})", done.status)) }
}

/// What a program prints, as text without the line's end.
pub(super) fn text(command: &mut Command) -> Result<String, String> {
    let text = String::from_utf8(output(command)?).map_err(|error| format!("{command:?}: {error}"))?;
    Ok(text.trim_end().to_owned())
}

/// Compressed as Debian's policy requires for documentation: with gzip's best compression, and without a time.
pub(super) fn gzip(contents: &[u8]) -> Result<Vec<u8>, String> {
    let mut command = Command::new("gzip");
    command.arg("-9n").stdin(Stdio::piped()).stdout(Stdio::piped());
    let fault = |error: std::io::Error| format!("gzip: {error}");
    let mut gzip = command.spawn().map_err(fault)?;
    let mut input = gzip.stdin.take().ok_or("gzip has no input")?;
    let done = std::thread::scope(|scope| {
        // It writes while it reads.
        let writer = scope.spawn(move || input.write_all(contents));
        let done = gzip.wait_with_output();
        match writer.join() {
            Ok(written) => written.and(done),
            Err(_) => Err(std::io::Error::other("its input could not be written")),
        }
    });
    let done = done.map_err(fault)?;
    if done.status.success() { Ok(done.stdout) } else { Err(format!("gzip failed ({})", done.status)) }
}
