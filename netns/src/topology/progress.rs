//! How far `up` and `down` are: a line on a terminal, or with `--verbose` every change as it is made.

use crate::messages::is_verbose;
use crate::output::stdout;
use netns_topology::Progress;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// How often the line is written anew: a terminal is slower than the kernel.
const INTERVAL: Duration = Duration::from_millis(50);
/// The bar's columns.
const COLUMNS: usize = 32;

/// Shows how far it is; the line is gone when this is dropped.
#[derive(Debug)]
pub(super) struct Shown {
    is_line: bool,
    last: Option<Instant>,
    /// Whether every change is printed as it is made, and not in the end.
    pub(super) is_verbose: bool,
}

impl Shown {
    pub(super) fn new(quiet: bool) -> Self {
        let is_verbose = is_verbose() && !quiet;
        Self { is_line: !quiet && !is_verbose && stderr().is_terminal(), last: None, is_verbose }
    }

    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        if self.is_verbose {
            // It is made, read or not: `up` goes on.
            let _ = writeln!(stdout(), "{}", progress.change);
        } else if self.is_line && self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            // Where stderr is gone nobody misses it.
            let _ = write!(stderr(), "\r{}\x1b[K", line(progress.done, progress.total));
            self.last = Some(Instant::now());
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.last.is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(done: usize, total: usize) -> String {
    let filled = COLUMNS * done.min(total) / total.max(1);
    format!("[{:<COLUMNS$}] {done} of {total} changes", "=".repeat(filled))
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn the_bar_grows() {
        assert_eq!(line(1, 4), format!("[{}{}] 1 of 4 changes", "=".repeat(8), " ".repeat(24)));
        assert!(line(4, 4).starts_with(&format!("[{}]", "=".repeat(32))));
        assert!(line(0, 0).contains("0 of 0"));
    }
}
