//! A request in words, as an error begins.

use super::Operation;

/// A request in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// What was asked for.
    pub(crate) operation: Operation,
    /// Of what: "v0", "10.1.1.1/24 on interface 5".
    pub(crate) object: String,
}
