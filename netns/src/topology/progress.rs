//! Progress of `up` and `down`: a line on a terminal, or with `--verbose` every change as it is made.

use crate::messages::is_verbose;
use crate::output::stdout;
use crate::progress::ProgressLine;
use netns_topology::Progress;
use std::io::Write;

/// Shows the progress.
#[derive(Debug)]
pub(super) struct Shown {
    line: ProgressLine,
    /// Whether every change is printed as it is made, rather than at the end.
    pub(super) is_verbose: bool,
}

impl Shown {
    pub(super) fn new(quiet: bool) -> Self {
        let is_verbose = is_verbose() && !quiet;
        Self { line: ProgressLine::new(!quiet && !is_verbose), is_verbose }
    }

    pub(super) fn show(&mut self, progress: &Progress<'_>) {
        if self.is_verbose {
            // The change is made whether or not anybody reads of it: `up` goes on.
            let _ = writeln!(stdout(), "{}", progress.change);
        } else {
            self.line.show(progress.done, progress.total, "changes");
        }
    }
}
