//! What went wrong: in the file, with what is there already, or with the kernel.

use crate::fault::Fault;
use netns_core::ErrorKind;
use std::fmt;
use std::io;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file says something that cannot be; nothing was changed.
    File(Fault),
    /// Something that is there, and was not made for this topology, is in the way; nothing was changed.
    Conflict(Vec<String>),
    /// The kernel refused.
    Kernel(netns_core::Error),
    /// The program that judges ports could not be loaded, attached or read.
    Program(netns_ebpf::MonitorError),
    /// A file or a process could not be handled.
    System {
        /// What was tried, on what.
        operation: String,
        /// Why it failed.
        error: io::Error,
    },
    /// A command ended at once, and not well.
    Command {
        /// The namespace that it was started in.
        namespace: String,
        /// What the shell was given.
        command: String,
        /// Its exit code; 128 and the number of the signal if one ended it.
        code: i32,
        /// The last line that was written there.
        last: Option<String>,
    },
    /// After every change was made, the kernel's state still differs: somebody else changes it too, or a value is not
    /// what the kernel makes of it.
    Unstable(Vec<String>),
    /// Taking down failed in several places; what is left is on record.
    Undoing(Vec<Error>),
    /// Bringing it up failed, and what was done is undone.
    RolledBack(Box<Error>),
    /// Bringing it up failed, and so did undoing it; what is left is on record, and `down` takes it down.
    NotRolledBack {
        /// Why it could not be brought up.
        why: Box<Error>,
        /// Why it could not be undone.
        rollback: Box<Error>,
    },
}

impl Error {
    /// A failure of a file or process, for `map_err`.
    pub(crate) fn system(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let operation = operation.into();
        move |error| Self::System { operation, error }
    }

    /// What kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::File(_) => ErrorKind::Invalid,
            Self::Conflict(_) => ErrorKind::Exists,
            Self::Kernel(error) => error.kind(),
            Self::Program(error) => error.kind(),
            Self::System { error, .. } => ErrorKind::of(error),
            Self::Command { .. } => ErrorKind::Other,
            Self::Unstable(_) => ErrorKind::Interrupted,
            Self::Undoing(failures) => failures.first().map_or(ErrorKind::Other, Self::kind),
            Self::RolledBack(why) | Self::NotRolledBack { why, .. } => why.kind(),
        }
    }

    /// The kernel's error number, if it was the kernel that refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::File(_) | Self::Conflict(_) | Self::Command { .. } | Self::Unstable(_) => None,
            Self::Kernel(error) => error.errno(),
            Self::Program(error) => error.errno(),
            Self::System { error, .. } => error.raw_os_error(),
            Self::Undoing(failures) => failures.first().and_then(Self::errno),
            Self::RolledBack(why) | Self::NotRolledBack { why, .. } => why.errno(),
        }
    }

    /// What the verifier wrote about a program that it refused; see [`netns_ebpf::MonitorError::verifier_log`].
    #[must_use]
    pub fn verifier_log(&self) -> Option<&str> {
        match self {
            Self::Program(error) => error.verifier_log(),
            Self::RolledBack(why) | Self::NotRolledBack { why, .. } => why.verifier_log(),
            _ => None,
        }
    }

    /// Whether the input is at fault, or what is there already, and nothing was changed.
    #[must_use]
    pub fn is_invalid_input(&self) -> bool {
        match self {
            Self::File(_) | Self::Conflict(_) => true,
            Self::Kernel(error) => error.is_invalid_input(),
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(fault) => fmt::Display::fmt(fault, formatter),
            Self::Conflict(conflicts) => formatter.write_str(&conflicts.join("\n       ")),
            Self::Kernel(error) => fmt::Display::fmt(error, formatter),
            Self::Program(error) => fmt::Display::fmt(error, formatter),
            Self::System { operation, error } => write!(formatter, "{operation}: {error}"),
            Self::Command { namespace, command, code, last } => {
                write!(formatter, "{namespace}: run {command:?}: it exited at once with {code}")?;
                last.as_ref().map_or(Ok(()), |last| write!(formatter, ", and wrote last: {last}"))
            }
            Self::Unstable(left) => {
                write!(formatter, "the kernel does not keep what it was given: {}", left.join("; "))
            }
            Self::Undoing(failures) => {
                let failures: Vec<String> = failures.iter().map(ToString::to_string).collect();
                formatter.write_str(&failures.join("; "))
            }
            Self::RolledBack(why) => write!(formatter, "{why}; what was done is undone"),
            Self::NotRolledBack { why, rollback } => write!(
                formatter,
                "{why}; undoing what was done failed too: {rollback}; `down` takes down what is left"
            ),
        }
    }
}

impl std::error::Error for Error {
    /// What [`Display`](fmt::Display) does not say already: nothing, as a rule.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File(_) | Self::Conflict(_) | Self::Command { .. } | Self::Unstable(_) => None,
            Self::Kernel(error) => error.source(),
            Self::Program(error) => error.source(),
            Self::System { error, .. } => error.source(),
            Self::Undoing(failures) => failures.first().and_then(|first| first.source()),
            Self::RolledBack(why) | Self::NotRolledBack { why, .. } => why.source(),
        }
    }
}

impl From<netns_core::Error> for Error {
    fn from(error: netns_core::Error) -> Self {
        Self::Kernel(error)
    }
}

impl From<netns_ebpf::MonitorError> for Error {
    fn from(error: netns_ebpf::MonitorError) -> Self {
        Self::Program(error)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::File(fault)
    }
}

#[cfg(test)]
mod tests;
