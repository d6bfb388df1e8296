//! `netns observe --json`, read all the time, so that it never waits for its reader.

use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use tests::until;

use crate::lab::POLICY;

/// A judged frame that its sender may not send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) port: String,
    pub(crate) reason: String,
    pub(crate) dropped: bool,
    /// Its first 128 bytes, in hexadecimal digits.
    pub(crate) frame: String,
}

/// What its lines have reported so far.
#[derive(Debug, Default)]
struct Said {
    /// How many readings.
    readings: usize,
    /// The last reading.
    last: Value,
    violations: Vec<Seen>,
}

impl Said {
    fn take(&mut self, line: Value) {
        let text = |key: &str| line[key].as_str().expect("text").to_owned();
        if line["type"] == "violation" {
            let (port, reason, frame) = (text("port"), text("reason"), text("frame"));
            self.violations.push(Seen { port, reason, dropped: line["dropped"] == true, frame });
        } else if line["type"] == "counters" {
            self.readings += 1;
            self.last = line;
        }
    }
}

#[derive(Debug)]
pub(crate) struct Observed {
    child: Child,
    said: Arc<Mutex<Said>>,
    reader: Option<JoinHandle<()>>,
}

impl Observed {
    /// Starts it on `br0`; when this returns, every port is judged.
    pub(crate) fn start(enforces: bool) -> Self {
        Self::start_with(enforces, &[])
    }

    /// The same with further options.
    pub(crate) fn start_with(enforces: bool, options: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netns"));
        command.args(["observe", "br0", "--policy", POLICY, "--json", "--interval", "0.1"]);
        if enforces {
            command.arg("--enforce");
        }
        command.args(options);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("netns starts");
        let out = child.stdout.take().expect("a pipe");
        let said = Arc::new(Mutex::new(Said::default()));
        let hearing = Arc::clone(&said);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                // If the process is killed, its last line is incomplete.
                let Ok(line) = serde_json::from_str(&line) else { break };
                hearing.lock().expect("nobody panics with it").take(line);
            }
        });
        let mut observed = Self { child, said, reader: Some(reader) };
        observed.reading();
        observed
    }

    /// A reading that begins after this was called.
    pub(crate) fn reading(&mut self) -> Value {
        // The first that comes may have begun before.
        let enough = self.said().readings + 2;
        until("readings", || {
            if let Ok(Some(status)) = self.child.try_wait() {
                let mut words = String::new();
                let _ = self.child.stderr.as_mut().map(|err| err.read_to_string(&mut words));
                panic!("netns observe ended: {status}: {words}");
            }
            let said = self.said();
            (said.readings >= enough).then(|| said.last.clone())
        })
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("nobody panics with it")
    }

    /// The violations reported so far, without the first `known`.
    pub(crate) fn violations(&self, known: usize) -> Vec<Seen> {
        self.said().violations[known..].to_vec()
    }

    /// Ends it, as its user would.
    ///
    /// # Panics
    /// If its exit code is not 0.
    pub(crate) fn end(mut self) {
        tests::signal("INT", self.child.id());
        let mut words = String::new();
        let _ = self.child.stderr.take().map(|mut err| err.read_to_string(&mut words));
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0), "{words}");
    }
}

impl Drop for Observed {
    /// A failed test leaves no process.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
