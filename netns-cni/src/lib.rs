//! A CNI plugin: the reference's `bandwidth`, `bridge`, `firewall`, `host-local`, `loopback`, `portmap` and `tuning` in one program, on
//! [`netns_core`].
//!
//! The program's `main` calls [`run`] with its name, its environment and its three streams.
#![forbid(unsafe_code)]

mod attachment_result;
mod attachments;
mod bandwidth;
mod bridge;
mod container;
mod delegate;
mod failure;
mod filters;
mod firewall;
mod hash;
mod held;
mod host_local;
mod invocation;
mod keys;
mod localnet;
mod loopback;
mod plugin;
mod portmap;
mod random;
mod request;
mod settings;
mod tuning;
mod version;

pub use failure::{CniFailure, FailureCode, Outcome};
pub use invocation::{CniCommand, Invocation};
pub use plugin::PluginKind;
pub use version::SpecVersion;

use request::PluginRequest;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::{Read, Write};

/// Answers one call of a runtime that started the program under this file name.
///
/// `variable` reads the environment. The result or the error goes to `out` in the specification's form; `log` is for people.
/// Returns the exit code: 0, or 1 if `out` has an error.
///
/// The calling thread changes the host's and the container's network; it is in the host's namespace before and after. Calls
/// about different attachments may run at the same time, in any number of processes.
pub fn run(
    program: &str,
    variable: impl Fn(&str) -> Option<OsString>,
    input: impl FnOnce() -> std::io::Result<Vec<u8>>,
    out: &mut dyn Write,
    log: &mut dyn Write,
) -> u8 {
    let mut version = SpecVersion::NEWEST.to_string();
    // Even an error in the environment is reported in the configuration's version, so that is read first.
    let input = match variable("CNI_COMMAND") {
        Some(command) if !command.is_empty() => input(),
        _ => Ok(Vec::new()),
    };
    if let Some(known) = input.as_deref().ok().and_then(version_of) {
        version = known;
    }
    let answer =
        Invocation::read(variable).and_then(|invocation| match (PluginKind::named(program)?, invocation) {
            (plugin, None) => {
                let _ = writeln!(log, "{}", about(plugin));
                Ok(None)
            }
            (plugin, Some(invocation)) => {
                let input = input.map_err(|error| {
                    let why = format!("read the configuration from stdin: {error}");
                    CniFailure::new(FailureCode::InputOutput, why)
                })?;
                if invocation.command == CniCommand::Version {
                    return Ok(Some(versions(&version)));
                }
                let request = PluginRequest::read(invocation, input)?;
                let answer = plugin.run(&request);
                for note in request.notes() {
                    // That nobody reads it is no reason to fail.
                    let _ = writeln!(log, "netns-cni: {note}");
                }
                answer
            }
        });
    let (json, code) = match answer {
        Ok(None) => return 0,
        Ok(Some(json)) => (json, 0),
        Err(failure) => (failure.json(&version), 1),
    };
    match serde_json::to_vec_pretty(&json).map(|mut text| {
        text.push(b'\n');
        out.write_all(&text).and_then(|()| out.flush())
    }) {
        Ok(Ok(())) => code,
        failed => {
            let _ = writeln!(log, "netns-cni: write the answer to stdout: {failed:?}");
            1
        }
    }
}

/// The input of [`run`], from stdin; from a terminal, nothing.
///
/// # Errors
/// If it cannot be read.
pub fn read_stdin() -> std::io::Result<Vec<u8>> {
    use std::io::IsTerminal;
    let mut input = Vec::new();
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin.lock().read_to_end(&mut input)?;
    }
    Ok(input)
}

/// The version of an input, whatever else is wrong with it.
fn version_of(input: &[u8]) -> Option<String> {
    let json: Value = serde_json::from_slice(input).ok()?;
    json.get("cniVersion")?.as_str().map(str::to_owned)
}

fn about(plugin: PluginKind) -> String {
    let versions = SpecVersion::ALL.map(SpecVersion::as_str).join(", ");
    let number = env!("CARGO_PKG_VERSION");
    format!("CNI plugin {} {number}\nCNI protocol versions supported: {versions}", plugin.name())
}

fn versions(version: &str) -> Value {
    json!({ "cniVersion": version, "supportedVersions": SpecVersion::ALL.map(SpecVersion::as_str) })
}

/// Code 50 without the capabilities that `ADD` needs.
pub(crate) fn unavailable_without_privilege() -> Outcome<()> {
    let missing = netns_core::missing_capabilities()?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(CniFailure::new(FailureCode::Unavailable, format!("missing: {}", missing.join(", "))))
}
