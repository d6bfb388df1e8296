//! A round of tests in a virtual machine, and its results.

use super::machine::Machine;
use super::programs::{Built, Tests};
use netns::Failure;
use netns::signals::Stop;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The short round.
const SHORT: &str = include_str!("short.sh");
/// How many lines of a step are kept, in case it fails.
const KEPT: usize = 60;

/// Tests that measure. In an emulator their numbers mean nothing, and with a million prefixes they take most of the round.
const MEASURING: [&str; 2] = ["what_policies_of_every_size_cost", "what_limits_and_scopes_cost"];

/// What a round does.
#[derive(Debug)]
pub(super) enum Round {
    /// The installed program, and the example that pings from fresh sandboxes.
    Short { program: PathBuf, first_ping: PathBuf },
    /// These test programs.
    Full(Built),
}

impl Round {
    pub(super) const fn limit(&self) -> Duration {
        match self {
            Self::Short { .. } => Duration::from_mins(10),
            Self::Full(_) => Duration::from_hours(3),
        }
    }

    /// The default number of virtual machines at once: the steps of a short round keep one processor busy, the tests run two at
    /// a time.
    pub(super) fn jobs(&self) -> usize {
        match self {
            Self::Short { .. } => thread::available_parallelism().map_or(1, usize::from),
            Self::Full(_) => 1,
        }
    }

    /// MiB.
    pub(super) const fn memory(&self) -> u32 {
        match self {
            Self::Short { .. } => 768,
            Self::Full(_) => 3072,
        }
    }

    /// The script that the guest runs.
    pub(super) fn script(&self, filter: &[String]) -> String {
        let Self::Full(built) = self else { return SHORT.to_owned() };
        let skipped = MEASURING.iter().map(|test| format!("--skip {test}"));
        let filter: Vec<String> = filter.iter().map(|word| quoted(word)).chain(skipped).collect();
        let step = |tests: &Tests| {
            let [name, folder, program] =
                [&tests.name, &tests.folder.display().to_string(), &tests.program.display().to_string()]
                    .map(|text| quoted(text));
            // What other tests are ignored for is what these kernels have; the large ones of `scale` are too much here.
            let ignored = if tests.name.ends_with(" scale") { "" } else { "--include-ignored " };
            format!("step {name} tests {folder} {program} {ignored}{}\n", filter.join(" "))
        };
        let steps: String = built.tests.iter().map(step).collect();
        let [kept, profile] = [&built.kept, &built.profile].map(|path| quoted(&path.display().to_string()));
        format!("mount --bind {kept} {profile} || exit\n{FULL}{steps}")
    }

    /// The files that the guest has in `/vm`.
    pub(super) fn environment(&self, report: &str, workspace: &Path, filter: &[String]) -> String {
        let mut variables =
            vec![("REPORT", report.to_owned()), ("WORKSPACE", workspace.display().to_string())];
        match self {
            Self::Short { program, first_ping } => variables.extend([
                ("PROGRAM", program.display().to_string()),
                ("FIRST_PING", first_ping.display().to_string()),
                ("FILTER", filter.join(" ")),
            ]),
            // The filter is the tests' own; no step of ours is left out.
            Self::Full(_) => variables.push(("FILTER", String::new())),
        }
        let lines = variables.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
        lines.collect()
    }
}

/// The full round's steps: a test program passes if all its tests do, and reports how many were skipped. A program that hangs
/// is ended, so that the others get their turn; its last lines show which test it was.
const FULL: &str = r#"
tests() {
  cd "$1"
  shift
  local code=0 skipped counts clock follower
  # What it prints is seen while it runs. It is no pipe, which a process that a test left behind would keep open.
  : >/tmp/out
  sleep infinity & clock=$!
  tail -n +1 -f --pid=$clock /tmp/out & follower=$!
  timeout --kill-after=10 3600 "$@" --test-threads=2 >>/tmp/out 2>&1 || code=$?
  # With the clock the follower ends, after the last line.
  kill $clock
  wait $follower
  skipped=$(grep -c '^SKIPPED' /tmp/out) || true
  # A test that is skipped passes, for all that its runner knows.
  counts=$(sed -nE 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed;.*/\1 \2/p' /tmp/out | tail -n 1)
  if [[ $counts ]]; then
    note "$((${counts% *} - skipped)) passed, $skipped skipped, ${counts#* } failed"
  else
    note "did not come to its end, $(grep -cE '^test .* ok$' /tmp/out) passed or skipped before"
  fi
  return $code
}
"#;

/// A word as the shell reads it back.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The result of a step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RoundOutcome {
    pub(super) step: String,
    pub(super) passed: bool,
    pub(super) milliseconds: u64,
    /// What a user would see, if it is not just that it works.
    pub(super) note: String,
    /// The last lines that it printed, if it failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) output: Vec<String>,
}

/// The result of a round on one kernel.
#[derive(Debug, Clone, Serialize)]
pub(super) struct RoundReport {
    /// The kernel's name on the command line.
    pub(super) kernel: String,
    /// The kernel's own description.
    pub(super) release: String,
    pub(super) steps: Vec<RoundOutcome>,
    /// Whether the round came to its end.
    pub(super) complete: bool,
}

impl RoundReport {
    pub(super) fn passed(&self) -> bool {
        self.complete && !self.steps.is_empty() && self.steps.iter().all(|step| step.passed)
    }
}

/// Runs a round and follows it: every line to `log`, every finished step to `each`.
pub(super) fn follow(
    machine: &Machine<'_>,
    limit: Duration,
    stop: &Stop,
    mut log: impl FnMut(&str),
    mut each: impl FnMut(&RoundOutcome),
) -> Result<RoundReport, Failure> {
    let kernel = machine.kernel.name.clone();
    let mut report = RoundReport { kernel, release: String::new(), steps: Vec::new(), complete: false };
    let mut current: Option<String> = None;
    let mut output: Vec<String> = Vec::new();
    machine.run(limit, stop, |line| {
        log(line);
        let Some(word) = line.strip_prefix("@@ ") else {
            output.push(line.to_owned());
            let surplus = output.len().saturating_sub(KEPT);
            output.drain(..surplus);
            return;
        };
        if let Some(release) = word.strip_prefix("kernel ") {
            release.clone_into(&mut report.release);
        } else if let Some(step) = word.strip_prefix("begin ") {
            current = Some(step.to_owned());
            output.clear();
        } else if word == "done" {
            report.complete = true;
        } else if let Some(outcome) = word.strip_prefix("end ").and_then(|end| ended(end, &mut output)) {
            current = None;
            each(&outcome);
            report.steps.push(outcome);
        }
    })?;
    if let Some(step) = current {
        let note = "the virtual machine ended, or its time did".to_owned();
        let outcome = RoundOutcome { step, passed: false, milliseconds: 0, note, output };
        each(&outcome);
        report.steps.push(outcome);
    }
    Ok(report)
}

/// `CODE MILLISECONDS NAME<TAB>NOTE`
fn ended(end: &str, output: &mut Vec<String>) -> Option<RoundOutcome> {
    let (code, rest) = end.split_once(' ')?;
    let (milliseconds, rest) = rest.split_once(' ')?;
    let (step, note) = rest.split_once('\t')?;
    let passed = code == "0";
    let output = std::mem::take(output);
    Some(RoundOutcome {
        step: step.to_owned(),
        passed,
        milliseconds: milliseconds.parse().ok()?,
        note: note.to_owned(),
        output: if passed { Vec::new() } else { output },
    })
}

#[cfg(test)]
mod tests {
    use super::{ended, quoted};

    #[test]
    fn a_step_is_what_its_line_says() {
        let mut output = vec!["it printed this".to_owned()];
        let failed = ended("2 1500 run --subnet6\t", &mut output).expect("a step");
        assert_eq!(
            (failed.step.as_str(), failed.passed, failed.milliseconds),
            ("run --subnet6", false, 1500)
        );
        assert_eq!(failed.output, ["it printed this"]);
        assert!(output.is_empty());
        let noted = ended("0 7 run\twith the kernel's statistics", &mut output).expect("a step");
        assert_eq!((noted.passed, noted.note.as_str()), (true, "with the kernel's statistics"));
        assert!(ended("nonsense", &mut output).is_none());
    }

    #[test]
    fn a_shell_reads_words_back() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
