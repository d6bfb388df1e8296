//! `cargo xtask soak`: makes and drops sandboxes of every kind at full rate, for minutes or hours, with traffic, policies and
//! a pool. Nothing may grow, nothing may be lost, and the last sandboxes may not take longer than the first ones.

mod churn;
mod sample;

use churn::SoakChurn;
use clap::Args;
use netns::Failure;
use netns::messages::say;
use netns::output::{json_line, stdout};
use sample::{Sample, Tenth};
use serde_json::json;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

/// How much longer the slowest hundredth of sandboxes may take in the last tenth of the time than in the first.
const SLOWER: f64 = 1.5;
/// For runs of at least this length that is an error. In a minute, the machine's other work weighs too much.
const LONG: Duration = Duration::from_mins(5);
/// How often to take a sample.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
#[command(after_help = "As root, in a host of its own. Exit codes: 0 nothing was wrong, 1 something was.")]
pub(crate) struct SoakArguments {
    /// How long to run.
    #[arg(long, value_name = "N", default_value = "1")]
    minutes: f64,
    /// One JSON object on stdout instead of the table.
    #[arg(long)]
    json: bool,
    /// In the host of this process.
    #[arg(long, hide = true)]
    inside: bool,
}

pub(crate) fn soak(arguments: &SoakArguments) -> Result<ExitCode, Failure> {
    if !arguments.inside {
        return in_host(arguments);
    }
    let time = Duration::try_from_secs_f64(arguments.minutes * 60.0)
        .map_err(|_| Failure::usage("--minutes takes a number that is not negative"))?;
    let failed = |error: Box<dyn std::error::Error + Send + Sync>| Failure::Kernel(error.to_string());
    let found = churn_for(time).map_err(failed)?;
    let mut out = stdout();
    let written = if arguments.json {
        json_line(&mut out, &found.json(arguments.minutes))
    } else {
        write!(out, "{}", found.table())
    };
    written.map_err(|_| Failure::Closed)?;
    for wrong in &found.wrong {
        say(format_args!("{wrong}"));
    }
    Ok(if found.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs this command in namespaces of its own, which end with it.
fn in_host(arguments: &SoakArguments) -> Result<ExitCode, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::usage(error.to_string()))?;
    let script = "mount -t tmpfs none /run && ip link set lo up && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount", "--propagation", "private", "sh", "-c", script, "soak"]);
    command.arg(program).args(["soak", "--inside", "--minutes", &arguments.minutes.to_string()]);
    if arguments.json {
        command.arg("--json");
    }
    let status = command.status().map_err(|error| Failure::usage(format!("unshare: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// The result.
#[derive(Debug)]
struct SoakFound {
    tenths: Vec<Tenth>,
    made: u64,
    sent: u64,
    wrong: Vec<String>,
}

fn churn_for(time: Duration) -> churn::SoakResult<SoakFound> {
    let before = Sample::take(None)?;
    let mut churn = SoakChurn::begin()?;
    let begin = Instant::now();
    let mut tenths: Vec<Tenth> = (0..10).map(|_| Tenth::default()).collect();
    let mut looked: Option<Instant> = None;
    while begin.elapsed() < time {
        let part = begin.elapsed().as_secs_f64() / time.as_secs_f64() * 10.0;
        let tenth = &mut tenths[(part as usize).min(9)];
        tenth.took(churn.step()?);
        if looked.is_none_or(|at| at.elapsed() >= SAMPLE_EVERY) {
            tenth.saw(&Sample::take(Some(&churn))?);
            looked = Some(Instant::now());
        }
    }
    let made = churn.made();
    let (sent, mut wrong) = churn.end()?;
    let after = Sample::take(None)?;
    wrong.extend(after.left(&before));
    wrong.extend(judge(&tenths, time >= LONG));
    Ok(SoakFound { tenths, made, sent, wrong })
}

/// What grew. The first tenth warms up: tables and caches get their size.
fn judge(tenths: &[Tenth], is_long: bool) -> Vec<String> {
    let [first, second, .., last] = tenths else { return Vec::new() };
    let mut wrong = last.grew(second);
    let (early, late) = (first.percentile(99), last.percentile(99));
    if is_long && late.as_secs_f64() > early.as_secs_f64() * SLOWER {
        wrong.push(format!("the 99th percentile rose from {early:?} to {late:?}, by more than {SLOWER}"));
    }
    wrong
}

impl SoakFound {
    fn table(&self) -> String {
        use std::fmt::Write as _;
        let mut text = "| tenth | sandboxes | median | p99 | memory KiB | descriptors | mounts | links | slots | \
                        record bytes |\n| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
            .to_owned();
        for (number, tenth) in (1..).zip(&self.tenths) {
            let Sample { memory, descriptors, mounts, links, slots, record, .. } = tenth.most();
            let (median, slow) = (tenth.percentile(50), tenth.percentile(99));
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "| {number} | {} | {median:.2?} | {slow:.2?} | {memory} | {descriptors} | {mounts} | {links} | \
                 {slots} | {record} |",
                tenth.made(),
            );
        }
        let _ = writeln!(
            text,
            "{} sandboxes made, {} datagrams sent and counted, {} wrong",
            self.made,
            self.sent,
            self.wrong.len()
        );
        text
    }

    fn json(&self, minutes: f64) -> serde_json::Value {
        let tenth = |tenth: &Tenth| {
            let most = tenth.most();
            json!({"made": tenth.made(), "median_us": tenth.percentile(50).as_micros(),
                   "p99_us": tenth.percentile(99).as_micros(), "memory_kib": most.memory,
                   "descriptors": most.descriptors, "mounts": most.mounts, "links": most.links,
                   "slots": most.slots, "record_bytes": most.record})
        };
        json!({"minutes": minutes, "made": self.made, "sent": self.sent, "wrong": self.wrong,
               "tenths": self.tenths.iter().map(tenth).collect::<Vec<_>>()})
    }
}
