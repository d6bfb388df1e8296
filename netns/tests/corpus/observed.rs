//! `netns observe --json`, read all the time, so that it never waits for its reader.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use tests::until;

use crate::lab::POLICY;

/// A frame that was judged and should not have been sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) port: String,
    pub(crate) reason: String,
    pub(crate) dropped: bool,
    /// Its first 128 bytes, in hexadecimal digits.
    pub(crate) frame: String,
}

#[derive(Debug)]
pub(crate) struct Observed {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    reader: Option<JoinHandle<()>>,
}

impl Observed {
    /// Starts it on `br0`; every port is judged when this returns.
    pub(crate) fn start(enforces: bool) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netns"));
        command.args(["observe", "br0", "--policy", POLICY, "--json", "--interval", "0.1"]);
        if enforces {
            command.arg("--enforce");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("netns starts");
        let out = child.stdout.take().expect("a pipe");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("a line of JSON");
                kept.lock().expect("nobody panics with it").push(line);
            }
        });
        let mut observed = Self { child, lines, reader: Some(reader) };
        observed.reading();
        observed
    }

    /// What a reading says that was begun after this was called.
    pub(crate) fn reading(&mut self) -> Value {
        let begun = self.counters().len();
        until("readings", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                let mut words = String::new();
                let _ = self.child.stderr.as_mut().map(|err| err.read_to_string(&mut words));
                panic!("netns observe ended: {status}: {words}");
            }
            // The first that comes may have been begun before.
            self.counters().get(begun + 1).cloned()
        })
    }

    fn counters(&self) -> Vec<Value> {
        self.of_type("counters")
    }

    fn of_type(&self, kind: &str) -> Vec<Value> {
        let lines = self.lines.lock().expect("nobody panics with it");
        lines.iter().filter(|line| line["type"] == kind).cloned().collect()
    }

    /// All violations that were reported until now.
    pub(crate) fn violations(&self) -> Vec<Seen> {
        let text = |line: &Value, key: &str| line[key].as_str().expect("text").to_owned();
        let seen = |line: &Value| Seen {
            port: text(line, "port"),
            reason: text(line, "reason"),
            dropped: line["dropped"] == true,
            frame: text(line, "frame"),
        };
        self.of_type("violation").iter().map(seen).collect()
    }

    /// Ends it, as its user would.
    ///
    /// # Panics
    /// If its exit code is not 0.
    pub(crate) fn end(mut self) {
        let _ = tests::run(Command::new("kill").args(["-INT", &self.child.id().to_string()]));
        let mut words = String::new();
        let _ = self.child.stderr.take().map(|mut err| err.read_to_string(&mut words));
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0), "{words}");
    }
}

impl Drop for Observed {
    /// A test that fails leaves no process.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
