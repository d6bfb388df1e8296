//! Progress of something that takes long: one line on a terminal, overwritten again and again.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often the line is rewritten: a terminal is slower than the kernel.
const INTERVAL: Duration = Duration::from_millis(50);
/// The bar's columns.
const COLUMNS: usize = 32;

/// A line on stderr, if that is a terminal; it is erased when this is dropped.
#[derive(Debug)]
pub(crate) struct ProgressLine {
    is_wanted: bool,
    last: Option<Instant>,
}

impl ProgressLine {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self { is_wanted: is_wanted && stderr().is_terminal(), last: None }
    }

    /// Shows that so many of these are done.
    pub(crate) fn show(&mut self, done: usize, total: usize, what: &str) {
        if self.is_wanted && self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.write(&line(done, total, what));
        }
    }

    /// Shows what is being done, where progress cannot be measured.
    pub(crate) fn say(&mut self, what: &str) {
        if self.is_wanted {
            self.write(what);
        }
    }

    /// Makes room for another line.
    pub(crate) fn clear(&mut self) {
        if self.last.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    fn write(&mut self, text: &str) {
        // Where stderr is gone nobody misses it.
        let _ = write!(stderr(), "\r{text}\x1b[K");
        self.last = Some(Instant::now());
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(done: usize, total: usize, what: &str) -> String {
    let filled = COLUMNS * done.min(total) / total.max(1);
    format!("[{:<COLUMNS$}] {done} of {total} {what}", "=".repeat(filled))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_bar_grows() {
        assert_eq!(line(1, 4, "pings"), format!("[{}{}] 1 of 4 pings", "=".repeat(8), " ".repeat(24)));
        assert!(line(4, 4, "changes").starts_with(&format!("[{}]", "=".repeat(32))));
        assert!(line(0, 0, "changes").contains("0 of 0"));
    }
}
