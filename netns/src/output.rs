//! What goes to stdout.

use serde_json::Value;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, StdoutLock, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

/// Writes one JSON object on a line of its own.
///
/// # Errors
/// Those of `out`.
pub fn json_line(out: &mut impl Write, value: &Value) -> io::Result<()> {
    json_text(out, value.to_string())
}

/// Writes a JSON document on several lines.
pub(crate) fn json_pretty(out: &mut impl Write, value: &Value) -> io::Result<()> {
    json_text(out, format!("{value:#}"))
}

fn json_text(out: &mut impl Write, mut text: String) -> io::Result<()> {
    // JSON leaves DEL and C1 as they are, and a terminal obeys some of them.
    let is_obeyed = |letter: char| letter.is_control() && letter != '\n';
    if text.contains(is_obeyed) {
        let mut escaped = String::new();
        for letter in text.chars() {
            if is_obeyed(letter) {
                let _ = write!(escaped, "\\u{:04x}", u32::from(letter));
            } else {
                escaped.push(letter);
            }
        }
        text = escaped;
    }
    writeln!(out, "{text}")?;
    out.flush()
}

/// stdout, flushed line by line even into a pipe. A reader that goes away (`| head`) is no error: the command finishes
/// its work, and its exit code says how that went.
#[must_use]
pub fn stdout() -> Printer {
    Printer { is_patient: true, ..stream() }
}

/// stdout of a command that runs until it is stopped: it ends when its reader goes away.
pub(crate) fn stream() -> Printer {
    Printer { out: io::stdout().lock(), is_patient: false, is_raw: false, is_gone: false }
}

/// stdout for text that others wrote: unchanged into a pipe, with control characters escaped on a terminal.
pub(crate) fn copy() -> Printer {
    Printer { is_raw: !io::stdout().is_terminal(), ..stdout() }
}

/// stdout, with control characters escaped: other people choose the names of links, namespaces and files, and a
/// terminal would obey what is in them. Line feeds and tabs pass: they are ours.
#[derive(Debug)]
pub struct Printer {
    out: StdoutLock<'static>,
    /// Whether a reader that went away is no error.
    is_patient: bool,
    is_raw: bool,
    is_gone: bool,
}

impl Printer {
    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.out.write_all(bytes) {
            Err(error) if self.is_patient && error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_gone = true;
                Ok(())
            }
            other => other,
        }
    }
}

/// Writes the bytes unchecked.
impl AsFd for Printer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.out.as_fd()
    }
}

impl Write for Printer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.is_gone {
            match (self.is_raw, shown(bytes)) {
                (false, Some(text)) => self.pass(text.as_bytes())?,
                _ => self.pass(bytes)?,
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.out.flush() {
            Err(error) if self.is_patient && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// The text with its control characters escaped (`\x1b`); `None` if it has none. Bytes that are not UTF-8 are escaped too.
pub(crate) fn shown(bytes: &[u8]) -> Option<String> {
    let is_plain = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
    if std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_plain)) {
        return None;
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            if is_plain(letter) {
                text.push(letter);
            } else {
                let _ = write!(text, "\\x{:02x}", u32::from(letter));
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    Some(text)
}

/// Whole microseconds.
pub(crate) fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Milliseconds with one decimal digit, for people.
pub(crate) fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// A number with a decimal prefix, as `ip -s -h` and bmon print them: 999, 1.23k, 45.6M.
#[expect(clippy::cast_precision_loss, reason = "three digits are printed")]
pub(crate) fn human(number: u64) -> String {
    let prefixes = ["", "k", "M", "G", "T", "P", "E"];
    let (mut value, mut prefix) = (number as f64, 0);
    while value >= 999.5 && prefix + 1 < prefixes.len() {
        value /= 1000.0;
        prefix += 1;
    }
    let digits = match value {
        _ if prefix == 0 => 0,
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", prefixes[prefix])
}

#[cfg(test)]
mod tests {
    use super::{human, json_line, shown};

    #[test]
    fn control_characters_are_shown() {
        for (text, expected) in [
            ("eth0\n\tup", None),
            ("br\u{e9}", None),
            ("a\x1b[31mb", Some("a\\x1b[31mb")),
            ("a\u{9b}m", Some("a\\x9bm")),
            ("a\rb\x7f\x07", Some("a\\x0db\\x7f\\x07")),
        ] {
            assert_eq!(shown(text.as_bytes()).as_deref(), expected, "{text:?}");
        }
        assert_eq!(shown(b"a\xffb").as_deref(), Some("a\\xffb"));
        let mut line = Vec::new();
        json_line(&mut line, &"\x1b\x7f\u{9b}".into()).unwrap();
        assert_eq!(line, b"\"\\u001b\\u007f\\u009b\"\n");
        assert_eq!(serde_json::from_slice::<String>(&line).unwrap(), "\x1b\x7f\u{9b}");
    }

    #[test]
    fn numbers_keep_three_digits() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1.00k"),
            (1234, "1.23k"),
            (45_600, "45.6k"),
            (999_499, "999k"),
            (999_600, "1.00M"),
            (2_500_000_000_000, "2.50T"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(human(number), text);
        }
    }
}
