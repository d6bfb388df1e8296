//! The variables of the environment that say what to do.

use crate::failure::{CniFailure, FailureCode, Outcome};
use std::ffi::OsString;

/// What the runtime asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CniCommand {
    /// Attach a container to a network.
    Add,
    /// Detach it.
    Del,
    /// Check whether it is as `ADD` made it.
    Check,
    /// Remove what belongs to no attachment.
    Gc,
    /// Say whether `ADD` would work.
    Status,
    /// Say which versions are spoken.
    Version,
}

/// The environment's content. A variable that is not set is empty.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// `CNI_COMMAND`.
    pub command: CniCommand,
    /// `CNI_CONTAINERID`.
    pub container: String,
    /// `CNI_NETNS`.
    pub netns: String,
    /// `CNI_IFNAME`.
    pub interface: String,
    /// `CNI_ARGS`.
    pub arguments: String,
    /// `CNI_PATH`.
    pub path: String,
    /// Whether `CNI_NETNS` may be the plugin's own namespace (`CNI_NETNS_OVERRIDE`, of the reference's `skel`).
    pub own_netns: bool,
}

use CniCommand::{Add, Check, Del, Gc};

/// A variable, which commands cannot do without it, and what is wrong with a value.
struct Variable {
    name: &'static str,
    required_by: &'static [CniCommand],
    fault: fn(&str) -> Option<&'static str>,
}

/// From the specification's "Required environment parameters". The reference's `skel` also insists on `CNI_PATH`, which the
/// specification calls optional; here its lack is an error only when a delegation needs it.
const VARIABLES: [Variable; 6] = [
    Variable {
        name: "CNI_CONTAINERID",
        required_by: &[Add, Check, Del],
        fault: |id| {
            (!is_plain(id)).then_some("it has characters other than letters, digits, '_', '.' and '-'")
        },
    },
    Variable { name: "CNI_NETNS", required_by: &[Add, Check], fault: |_| None },
    Variable { name: "CNI_IFNAME", required_by: &[Add, Check, Del], fault: interface_fault },
    Variable { name: "CNI_ARGS", required_by: &[], fault: |_| None },
    Variable { name: "CNI_PATH", required_by: &[Gc], fault: |_| None },
    Variable { name: "CNI_NETNS_OVERRIDE", required_by: &[], fault: |_| None },
];

impl Invocation {
    /// Reads the environment; `None` without `CNI_COMMAND`: somebody started the program by hand.
    ///
    /// # Errors
    /// Code 4, with the names of all missing variables, or of an invalid one.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Outcome<Option<Self>> {
        let read = |name: &str| match variable(name).map(OsString::into_string) {
            None => Ok(String::new()),
            Some(Ok(text)) => Ok(text),
            Some(Err(bytes)) => Err(invalid(name, &bytes.to_string_lossy(), "it is not UTF-8")),
        };
        let command = match read("CNI_COMMAND")?.as_str() {
            "" => return Ok(None),
            "ADD" => Add,
            "DEL" => Del,
            "CHECK" => Check,
            "GC" => Gc,
            "STATUS" => CniCommand::Status,
            "VERSION" => CniCommand::Version,
            other => return Err(invalid("CNI_COMMAND", other, "there is no such command")),
        };
        let mut missing = Vec::new();
        let mut values = Vec::new();
        for Variable { name, required_by, fault } in &VARIABLES {
            let value = read(name)?;
            if required_by.contains(&command) {
                if value.is_empty() {
                    missing.push(*name);
                } else if let Some(why) = fault(&value) {
                    return Err(invalid(name, &value, why));
                }
            }
            values.push(value);
        }
        if !missing.is_empty() {
            return Err(CniFailure::new(
                FailureCode::InvalidEnvironment,
                format!("required environment variables are missing: {}", missing.join(", ")),
            ));
        }
        let mut values = values.into_iter();
        let mut next = || values.next().unwrap_or_default();
        Ok(Some(Self {
            command,
            container: next(),
            netns: next(),
            interface: next(),
            arguments: next(),
            path: next(),
            own_netns: matches!(next().to_ascii_uppercase().as_str(), "TRUE" | "1"),
        }))
    }
}

fn invalid(name: &str, value: &str, why: &str) -> CniFailure {
    CniFailure::new(FailureCode::InvalidEnvironment, format!("{name} is {value:?}: {why}"))
}

/// Whether a container's or a network's name begins with a letter or a digit and has no other characters than those and
/// `_`, `.`, `-`.
pub(crate) fn is_plain(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|character| character.is_ascii_alphanumeric() || "_.-".contains(character))
}

fn interface_fault(name: &str) -> Option<&'static str> {
    if name.len() > 15 {
        Some("a link's name has at most 15 bytes")
    } else if matches!(name, "." | "..") {
        Some("no link can have this name")
    } else {
        let bad = |character: char| matches!(character, '/' | ':') || character.is_whitespace();
        name.contains(bad).then_some("a link's name has no '/', ':' and no blanks")
    }
}

#[cfg(test)]
mod tests;
