//! Plugins to which this one delegates: `ipam.type`, found on `CNI_PATH`.

use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::keys::ConfigKeys;
use crate::request::PluginRequest;
use serde_json::Value;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Runs a plugin with this one's environment and configuration, except for the command, and returns its output, if any.
///
/// Its stderr is ours, as the specification says.
///
/// # Errors
/// What the plugin failed with; code 4 if `CNI_PATH` is needed and missing, 7 if there is no such plugin.
pub(crate) fn delegate(request: &PluginRequest, plugin: &str, command: &str) -> Outcome<Option<Value>> {
    let path = find(request, plugin)?;
    let failed = |error: &std::io::Error| CniFailure::of_file("run", &path, error);
    let mut child = Command::new(&path)
        .env("CNI_COMMAND", command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(&error))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(&request.input) {
            // A plugin need not read its input.
            Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(failed(&error)),
            _ => {}
        }
    }
    let output = child.wait_with_output().map_err(|error| failed(&error))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let json: Option<Value> = serde_json::from_str(&text).ok();
    if output.status.success() {
        return match json {
            None if !text.trim().is_empty() => {
                let why = format!("the plugin {plugin:?} wrote something that is no JSON");
                Err(CniFailure::new(FailureCode::Decoding, why).with_details(text.trim()))
            }
            json => Ok(json),
        };
    }
    let failure = json.as_ref().and_then(|json| read_failure(plugin, json));
    Err(failure.unwrap_or_else(|| {
        let what = format!("the plugin {plugin:?} failed on {command}: {}", output.status);
        CniFailure::new(FailureCode::Internal, what).with_details(text.trim())
    }))
}

fn read_failure(plugin: &str, json: &Value) -> Option<CniFailure> {
    let keys = ConfigKeys::of(json.as_object()?);
    let text = |key: &str| keys.text(key).ok().flatten().unwrap_or_default();
    let message = format!("the plugin {plugin:?} failed: {}", text("msg"));
    Some(CniFailure { code: keys.number("code").ok()??, message, details: text("details").to_owned() })
}

/// Where a plugin is.
///
/// # Errors
/// As [`delegate`], before it runs anything.
pub(crate) fn find(request: &PluginRequest, plugin: &str) -> Outcome<PathBuf> {
    if plugin.contains('/') || matches!(plugin, "." | "..") {
        let why = format!("ipam.type is {plugin:?}: it is no name of a plugin");
        return Err(CniFailure::new(FailureCode::InvalidConfig, why));
    }
    let folders = &request.invocation.path;
    if folders.is_empty() {
        let why = format!("CNI_PATH is missing: the plugin {plugin:?} is looked for there");
        return Err(CniFailure::new(FailureCode::InvalidEnvironment, why));
    }
    let places = std::env::split_paths(folders).map(|folder| folder.join(plugin));
    places.into_iter().find(|place| place.is_file()).ok_or_else(|| {
        let why = format!("ipam.type is {plugin:?}: there is no such plugin in {folders}");
        CniFailure::new(FailureCode::InvalidConfig, why)
    })
}
