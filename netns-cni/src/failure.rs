//! What a plugin answers when it fails: a number, a sentence, and more words.

use netns_core::{Error, ErrorKind};
use serde_json::{Value, json};
use std::fmt;
use std::io;

/// The numbers that the specification reserves, those that the reference plugins add, and ours from 100.
///
/// <https://github.com/containernetworking/cni/blob/main/SPEC.md#error>
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum FailureCode {
    /// The configuration is of a version that the plugin does not speak.
    IncompatibleVersion = 1,
    /// The configuration has a key that cannot be honoured.
    UnsupportedField = 2,
    /// There is no such container: nothing has to be cleaned up.
    UnknownContainer = 3,
    /// A variable of the environment is missing or makes no sense.
    InvalidEnvironment = 4,
    /// Reading or writing failed.
    InputOutput = 5,
    /// The configuration is no JSON, or a value is of another type.
    Decoding = 6,
    /// The configuration makes no sense.
    InvalidConfig = 7,
    /// `CNI_NETNS` is the namespace that the plugin itself is in (of the reference's `skel`).
    SameNamespace = 8,
    /// It may work later.
    TryLater = 11,
    /// `ADD` would not work.
    Unavailable = 50,
    /// The container has this interface in this network already, or another thing has its place.
    Exists = 100,
    /// No address is left.
    OutOfAddresses = 101,
    /// `CHECK` found something that is not as `ADD` left it.
    Damaged = 102,
    /// The kernel refused, or anything else (of the reference's `skel`).
    Internal = 999,
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CniFailure {
    /// See [`FailureCode`]; a delegated plugin's own is handed on.
    pub code: u32,
    /// One sentence.
    pub message: String,
    /// More words, or nothing.
    pub details: String,
}

/// What a command gives.
pub type Outcome<T> = std::result::Result<T, CniFailure>;

impl CniFailure {
    /// A failure without details.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code: code as u32, message: message.into(), details: String::new() }
    }

    /// The same failure with more words.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// A key that cannot be honoured, with the value that it has.
    #[must_use]
    pub fn unsupported(key: &str, value: &Value, why: &str) -> Self {
        Self::new(FailureCode::UnsupportedField, format!("the key {key:?} with the value {value}: {why}"))
    }

    /// A failed call on a file.
    #[must_use]
    pub fn of_file(what: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::new(FailureCode::InputOutput, format!("{what} {}: {error}", path.display()))
    }

    /// The same failure with the words of others after its own.
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

    /// As the specification has it on stdout.
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
