//! A real terminal, by tmux.

use std::process::Command;
use tests::{oracle, run, until};

/// A tmux server of one's own with one window. It ends with this.
pub(crate) struct Terminal {
    socket: &'static str,
}

impl Terminal {
    /// A shell in a terminal of 80 by 24.
    pub(crate) fn open() -> Self {
        // In the test's own `/run`.
        let terminal = Self { socket: "/run/tmux" };
        let size = ["-x", "80", "-y", "24"];
        let _ = run(terminal
            .tmux()
            .args(["new-session", "-d"])
            .args(size)
            .args(["env", "-u", "NO_COLOR", "PS1=$ ", "sh"]));
        let _ = run(terminal.tmux().args(["set-option", "-g", "escape-time", "0"]));
        terminal
    }

    fn tmux(&self) -> Command {
        let mut tmux = oracle("tmux");
        tmux.args(["-S", self.socket, "-f", "/dev/null", "-u"]);
        tmux
    }

    /// Presses keys, by their names in tmux.
    pub(crate) fn press(&self, keys: &[&str]) {
        let _ = run(self.tmux().args(["send-keys", "-t", "0"]).args(keys));
    }

    /// What is on the screen.
    pub(crate) fn screen(&self) -> String {
        run(self.tmux().args(["capture-pane", "-p", "-t", "0"]))
    }

    /// What is on the screen, with the sequences that colour it.
    pub(crate) fn coloured(&self) -> String {
        run(self.tmux().args(["capture-pane", "-p", "-e", "-t", "0"]))
    }

    /// The screen, as soon as it is so.
    pub(crate) fn shows(&self, what: &str, is_it: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until(what, || {
                last = self.screen();
                is_it(&last).then(|| last.clone())
            })
        }));
        shown.unwrap_or_else(|_| panic!("{what} is not on\n{last}"))
    }

    pub(crate) fn resize(&self, columns: u16, lines: u16) {
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let _ = run(self.tmux().args(["resize-window", "-t", "0", "-x", &columns, "-y", &lines]));
    }

    /// Whether a program has the other screen, which full-screen programs draw on.
    pub(crate) fn is_taken(&self) -> bool {
        run(self.tmux().args(["display-message", "-p", "-t", "0", "#{alternate_on}"])) == "1\n"
    }

    /// The process that the shell runs.
    pub(crate) fn child(&self) -> u32 {
        let shell = run(self.tmux().args(["display-message", "-p", "-t", "0", "#{pane_pid}"]));
        let path = format!("/proc/{0}/task/{0}/children", shell.trim());
        let children = std::fs::read_to_string(path).unwrap();
        children.split_whitespace().next().expect("a child").parse().unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tmux().arg("kill-server").output();
    }
}
