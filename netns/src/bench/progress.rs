//! Progress of the measuring: one line on a terminal, overwritten again and again.

use std::io::{IsTerminal, Write, stderr};
use std::time::Instant;

/// The bar's columns.
const COLUMNS: u64 = 32;

/// A line on stderr, if that is a terminal.
#[derive(Debug)]
pub(super) struct ProgressBar {
    begun: Instant,
    is_shown: bool,
}

impl ProgressBar {
    pub(super) fn begin(what: &str) -> Self {
        let progress = Self { begun: Instant::now(), is_shown: stderr().is_terminal() };
        progress.show(0, 1, what);
        progress
    }

    /// Shows how much is done, and what comes next.
    pub(super) fn show(&self, done: u64, of: u64, what: &str) {
        if self.is_shown {
            // Where stderr is gone nobody misses it.
            let _ = write!(stderr(), "\r{}\x1b[K", line(self.begun.elapsed().as_secs(), done, of, what));
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if self.is_shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(seconds: u64, done: u64, of: u64, what: &str) -> String {
    let filled = (COLUMNS * done.min(of) / of.max(1)) as usize;
    format!("{seconds:>4}s [{:<1$}] {done}/{of} {what}", "=".repeat(filled), COLUMNS as usize)
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_bar_grows() {
        assert_eq!(line(7, 0, 4, "ip"), format!("   7s [{}] 0/4 ip", " ".repeat(32)));
        assert_eq!(line(61, 1, 4, ""), format!("  61s [{}{}] 1/4 ", "=".repeat(8), " ".repeat(24)));
        assert!(line(0, 9, 4, "").contains(&"=".repeat(32)));
        assert!(line(0, 0, 0, "").contains("0/0"));
    }
}
