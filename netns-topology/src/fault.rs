//! What is wrong in a file, and where.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is wrong in a file, and where. It reads
///
/// ```text
/// lab.toml:3:22: there is no bridge "br1"; expected one of: br0
///   3 | eth0 = { bridge = "br1" }
///     |                   ^^^^^
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub message: String,
    /// The line's text.
    text: String,
    /// How many characters are meant.
    width: usize,
}

impl Fault {
    /// Finds line and column of the bytes `span` of `text`.
    pub(crate) fn new(path: &Path, text: &str, span: Range<usize>, message: String) -> Self {
        let start = boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_text = text[line_start..].lines().next().unwrap_or_default();
        // What goes over several lines is marked to the end of the first.
        let end = boundary(text, span.end.min(line_start + line_text.len())).max(start);
        Self {
            path: path.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message,
            text: line_text.to_owned(),
            width: text[start..end].chars().count().max(1),
        }
    }
}

/// The beginning of the character that this byte is part of.
fn boundary(text: &str, byte: usize) -> usize {
    (0..=byte.min(text.len())).rev().find(|&byte| text.is_char_boundary(byte)).unwrap_or(0)
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, message, text, width } = self;
        writeln!(formatter, "{}:{line}:{column}: {message}", path.display())?;
        let number = line.to_string();
        writeln!(formatter, "  {number} | {text}")?;
        // Tabs stay tabs, so that the mark is below what it means.
        let indent: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        write!(formatter, "  {:1$} | {indent}{2}", "", number.len(), "^".repeat(*width))
    }
}
