//! What became of what is removed.

/// What became of something on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removal {
    /// It was there, and is no more.
    Removed,
    /// It was gone already.
    Gone,
    /// Something else is in its place, which was left alone: a sentence that says what differs.
    Left(String),
}
