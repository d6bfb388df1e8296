//! A command that runs while the test acts, and reports what it sees as lines of JSON.

use crate::{Done, xtask};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_mins(5);

pub(crate) struct Watched {
    pub(crate) child: Child,
    out: BufReader<ChildStdout>,
}

impl Watched {
    pub(crate) fn start(arguments: &str) -> Self {
        Self::start_command(&mut xtask(arguments))
    }

    pub(crate) fn start_command(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("netns starts");
        let out = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, out }
    }

    /// The next line that satisfies the condition.
    #[track_caller]
    pub(crate) fn line(&mut self, what: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = String::new();
        while Instant::now() < deadline {
            let mut text = String::new();
            if self.out.read_line(&mut text).expect("a line") == 0 {
                let mut why = String::new();
                let _ = self.child.stderr.take().map(|mut err| err.read_to_string(&mut why));
                panic!("it ended before: {what}: {why}");
            }
            let line: Value = serde_json::from_str(&text).expect("a line of JSON");
            if is_it(&line) {
                return line;
            }
            last = text;
        }
        panic!("not within {PATIENCE:?}: {what}; the last line is {last}");
    }

    /// The counters of a port, once they satisfy the condition.
    #[track_caller]
    pub(crate) fn port(&mut self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let find = |line: &Value| {
            let ports = line["ports"].as_array().into_iter().flatten();
            ports.into_iter().find(|port| port["port"] == name && is_it(port)).cloned()
        };
        let line = self.line(name, |line| line["type"] == "counters" && find(line).is_some());
        find(&line).expect("it was found")
    }

    /// Sends a signal (or none) and waits for the end.
    pub(crate) fn end(mut self, name: &str) -> Done {
        if name != "none" {
            signal(&self.child, name);
        }
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).expect("lines");
        if let Some(mut pipe) = self.child.stderr.take() {
            pipe.read_to_string(&mut err).expect("words");
        }
        Done { code: self.child.wait().expect("it ends").code(), out, err }
    }
}

impl Drop for Watched {
    /// A failed test leaves no process.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    tests::signal(name, child.id());
}
