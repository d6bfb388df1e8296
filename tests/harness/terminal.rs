//! A real terminal, provided by tmux.

use crate::{oracle, run, until};
use std::process::Command;

/// A tmux server with one window. It ends when this is dropped.
#[derive(Debug)]
pub struct Terminal {
    socket: &'static str,
    /// The earlier state, from `stty -g`.
    modes: String,
}

impl Terminal {
    /// A shell in a terminal of 80 by 24.
    ///
    /// # Panics
    /// If tmux does not start.
    #[must_use]
    pub fn open() -> Self {
        // In the test's own `/run`. If tmux is missing, the test ends here, before there is a terminal to drop.
        drop(oracle("tmux"));
        let mut terminal = Self { socket: "/run/tmux", modes: String::new() };
        let size = ["-x", "80", "-y", "24"];
        let _ = run(terminal
            .tmux()
            .args(["new-session", "-d"])
            .args(size)
            .args(["env", "-u", "NO_COLOR", "PS1=$ ", "sh"]));
        let _ = run(terminal.tmux().args(["set-option", "-g", "escape-time", "0"]));
        // Before the shell starts, tmux sets modes of its own.
        terminal.shows("a prompt", |screen| screen.starts_with('$'));
        terminal.modes = terminal.modes();
        terminal
    }

    fn tmux(&self) -> Command {
        let mut tmux = oracle("tmux");
        tmux.args(["-S", self.socket, "-f", "/dev/null", "-u"]);
        tmux
    }

    fn display(&self, format: &str) -> String {
        run(self.tmux().args(["display-message", "-p", "-t", "0", format])).trim_end().to_owned()
    }

    /// How the kernel treats input and output here.
    fn modes(&self) -> String {
        run(Command::new("stty").args(["-g", "-F", &self.display("#{pane_tty}")]))
    }

    /// Presses keys, by their names in tmux.
    ///
    /// # Panics
    /// If tmux fails, like all of these.
    pub fn press(&self, keys: &[&str]) {
        let _ = run(self.tmux().args(["send-keys", "-t", "0"]).args(keys));
    }

    /// What is on the screen.
    #[must_use]
    pub fn screen(&self) -> String {
        run(self.tmux().args(["capture-pane", "-p", "-t", "0"]))
    }

    /// What is on the screen, with the sequences that colour it.
    #[must_use]
    pub fn coloured(&self) -> String {
        run(self.tmux().args(["capture-pane", "-p", "-e", "-t", "0"]))
    }

    /// Waits until the screen satisfies the condition, and returns it.
    ///
    /// # Panics
    /// If it never does.
    pub fn shows(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || {
                last = self.screen();
                is_it(&last).then(|| last.clone())
            })
        }));
        shown.unwrap_or_else(|_| panic!("{what} is not on\n{last}"))
    }

    /// Changes its size.
    ///
    /// # Panics
    /// If tmux fails.
    pub fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let _ = run(self.tmux().args(["resize-window", "-t", "0", "-x", &columns, "-y", &lines]));
    }

    /// Whether a program uses the alternate screen, as full-screen programs do.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.display("#{alternate_on}") == "1"
    }

    /// Checks that a program that took the terminal over gave it back as it was: its modes, its main screen, and the
    /// cursor.
    ///
    /// # Panics
    /// If it did not.
    pub fn assert_given_back(&self) {
        assert!(!self.is_taken(), "it still has the other screen");
        assert_eq!(self.display("#{cursor_flag}"), "1", "the cursor is hidden");
        assert_eq!(self.modes(), self.modes, "it is in another mode");
    }

    /// Closes the window: what runs in it gets SIGHUP and can write no more.
    ///
    /// # Panics
    /// If tmux fails.
    pub fn hang_up(self) {
        let _ = run(self.tmux().arg("kill-server"));
    }

    /// The process that the shell runs.
    ///
    /// # Panics
    /// If it runs none.
    #[must_use]
    pub fn child(&self) -> u32 {
        let shell = self.display("#{pane_pid}");
        let path = format!("/proc/{shell}/task/{shell}/children");
        let children = std::fs::read_to_string(path).unwrap();
        children.split_whitespace().next().expect("a child").parse().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}
