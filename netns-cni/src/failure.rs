//! How a plugin reports a failure: a number, a sentence, and details.

use netns_core::{Error, ErrorKind};
use serde_json::{Value, json};
use std::fmt;
use std::io;

/// The numbers that the specification reserves, those that the reference plugins add, and ours from 100 on.
///
/// <https://github.com/containernetworking/cni/blob/main/SPEC.md#error>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum FailureCode {
    /// The plugin does not support the configuration's version.
    IncompatibleVersion = 1,
    /// The configuration has a key that is not supported.
    UnsupportedField = 2,
    /// There is no such container: nothing has to be cleaned up.
    UnknownContainer = 3,
    /// A variable of the environment is missing or makes no sense.
    InvalidEnvironment = 4,
    /// Reading or writing failed.
    InputOutput = 5,
    /// The configuration is not JSON, or a value has the wrong type.
    Decoding = 6,
    /// The configuration makes no sense.
    InvalidConfig = 7,
    /// `CNI_NETNS` is the plugin's own namespace (a code of the reference's `skel`).
    SameNamespace = 8,
    /// It may work later.
    TryLater = 11,
    /// `ADD` would not work.
    Unavailable = 50,
    /// The container already has this interface in this network, or something else has its name.
    Exists = 100,
    /// No address is left.
    OutOfAddresses = 101,
    /// `CHECK` found something that differs from what `ADD` made.
    Damaged = 102,
    /// The kernel refused, or any other failure (a code of the reference's `skel`).
    Internal = 999,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniFailure {
    /// See [`FailureCode`]; a delegated plugin's code is passed on.
    pub code: u32,
    /// One sentence.
    pub message: String,
    /// Details, or empty.
    pub details: String,
}

/// The result of a command.
pub type Outcome<T> = std::result::Result<T, CniFailure>;

impl CniFailure {
    /// A failure without details.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code: code as u32, message: message.into(), details: String::new() }
    }

    /// The same failure with details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// A key that is not supported, with its value.
    #[must_use]
    pub fn unsupported(key: &str, value: &Value, why: &str) -> Self {
        Self::new(FailureCode::UnsupportedField, format!("the key {key:?} with the value {value}: {why}"))
    }

    /// A failed call on a file.
    #[must_use]
    pub fn of_file(what: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::new(FailureCode::InputOutput, format!("{what} {}: {error}", path.display()))
    }

    /// The same failure, followed by the messages of others.
    #[must_use]
    pub fn with_others(mut self, others: Vec<Self>) -> Self {
        let more: Vec<String> = others.into_iter().map(|failure| failure.to_string()).collect();
        if !more.is_empty() {
            let before = if self.details.is_empty() { "" } else { "; " };
            self.details = format!("{}{before}{}", self.details, more.join("; "));
        }
        self
    }

    /// Several failures as one, with the code of the first; `Ok` if there are none.
    ///
    /// # Errors
    /// If there are any.
    pub fn all(failures: Vec<Self>) -> Outcome<()> {
        let mut failures = failures.into_iter();
        match failures.next() {
            None => Ok(()),
            Some(first) => Err(first.with_others(failures.collect())),
        }
    }

    /// In the specification's form for stdout.
    #[must_use]
    pub fn json(&self, version: &str) -> Value {
        let mut json = json!({ "cniVersion": version, "code": self.code, "msg": self.message });
        if !self.details.is_empty() {
            json["details"] = Value::from(self.details.as_str());
        }
        json
    }
}

impl fmt::Display for CniFailure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)?;
        if self.details.is_empty() { Ok(()) } else { write!(formatter, "; {}", self.details) }
    }
}

impl std::error::Error for CniFailure {}

impl From<Error> for CniFailure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::Exists => FailureCode::Exists,
            _ => FailureCode::Internal,
        };
        let failure = Self::new(code, error.to_string());
        match error.missing_capability() {
            Some(capability) => failure.with_details(format!("{capability} is missing")),
            None => failure,
        }
    }
}
