//! Why a command ends early, and its exit code.

use crate::messages::is_verbose;
use crate::rights;
use netns_ebpf::MonitorError;
use std::error::Error;
use std::fmt;

/// All is well.
pub const FINE: u8 = 0;
/// Wrong usage, or input that was refused before anything was made.
pub const USAGE: u8 = 1;
/// The kernel refused.
pub const KERNEL: u8 = 2;
/// The reader of a command that has no end of its own is gone: what a shell reports of one that ended by `SIGPIPE`.
pub const READER_GONE: u8 = 141;

/// Why a command ends early.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage, or input that was refused before anything was made.
    Usage(String),
    /// The kernel refused, in its words.
    Kernel(String),
    /// Everything worked, and the result is not what it should be; it was printed.
    Verdict,
    /// Nobody reads our output any more.
    Closed,
}

impl Failure {
    /// Wrong usage, in these words.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// What enforces the policies was taken away, so many times.
    pub(crate) fn enforcement_lost(times: u64) -> Self {
        let times = if times == 1 { "once".to_owned() } else { format!("{times} times") };
        Self::Kernel(format!("what enforces the policies was taken away {times}"))
    }

    /// The process's exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Verdict => USAGE,
            Self::Kernel(_) => KERNEL,
            Self::Closed => READER_GONE,
        }
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub const fn is_silent(&self) -> bool {
        matches!(self, Self::Verdict | Self::Closed)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Kernel(message) => formatter.write_str(message),
            Self::Verdict => formatter.write_str("the result is not what it should be"),
            Self::Closed => formatter.write_str("the output was closed"),
        }
    }
}

impl From<netns_core::Error> for Failure {
    fn from(error: netns_core::Error) -> Self {
        if error.is_invalid_input() {
            return Self::Usage(error.to_string());
        }
        Self::Kernel(format!("{error}{}", rights::hint(&error)))
    }
}

impl From<MonitorError> for Failure {
    fn from(error: MonitorError) -> Self {
        match error {
            MonitorError::Observed { .. } => Self::Usage(error.to_string()),
            _ => Self::Kernel(with_log(&error, error.verifier_log())),
        }
    }
}

/// An error in a sentence; with `--verbose`, what the verifier wrote about a program below it.
pub fn with_log(error: &dyn Error, log: Option<&str>) -> String {
    match log {
        Some(log) if is_verbose() => format!("{error}; the verifier says:\n{}", log.trim_end()),
        _ => error.to_string(),
    }
}

/// Of writing to stdout.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::Closed;
        }
        Self::Kernel(format!("write output: {error}"))
    }
}
