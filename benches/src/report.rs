//! What a run found, as it is written down.

use crate::encode::Encoded;
use crate::growth::Growth;
use crate::machine::{BenchMachine, Memory};
use crate::samples::{Summary, micros};
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};

/// A line that the measuring program prints. `cargo xtask bench` reads it (`netns/src/bench/report.rs`); a test holds
/// both to the same lines.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BenchLine<'a> {
    /// How far it is.
    Progress {
        /// What is measured now.
        what: &'a str,
        /// How many steps are done.
        done: usize,
        /// Of how many.
        of: usize,
    },
    /// The last one.
    Report(&'a Report),
}

/// A line of the table: ours beside another.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What is measured.
    pub name: String,
    /// What we take.
    pub ours_us: f64,
    /// Who else does it; `None` if it is about us alone.
    pub peer: Option<String>,
    /// What it takes.
    pub peer_us: Option<f64>,
    /// How many times as long as ours it takes; for the floor and for growth, how many times as long as it ours takes.
    pub ratio: Option<f64>,
    /// The ratio of the lower quartiles: others at work on the machine disturb them less than the medians.
    pub ratio_p25: Option<f64>,
    /// What we aim at.
    pub goal: Option<String>,
    /// Whether it is reached.
    pub met: Option<bool>,
    /// If not, why.
    pub reason: Option<String>,
}

/// A bar of a plot.
#[derive(Debug, Clone, Serialize)]
pub struct BarTime {
    /// What it stands for.
    pub name: String,
    /// How long it is.
    pub us: f64,
}

/// The steps of one sandbox of a kind.
#[derive(Debug, Clone, Serialize)]
pub struct SetupSteps {
    /// The kind.
    pub kind: String,
    /// The steps, medians, in their order.
    pub steps: Vec<BarTime>,
}

/// A curve.
#[derive(Debug, Clone, Serialize)]
pub struct Curve {
    /// What it shows.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// One way of coming and going.
#[derive(Debug, Clone, Serialize)]
pub struct ChurnLine {
    /// How many are alive.
    pub alive: usize,
    /// How they are given up.
    pub way: String,
    /// How many come and go in a second.
    pub per_second: f64,
    /// Making one.
    pub make: Summary,
    /// Giving up one, or a group.
    pub give_up: Summary,
}

/// Times of one kind.
#[derive(Debug, Clone, Serialize)]
pub struct ResultLine {
    /// What they are of.
    pub name: String,
    /// What they are.
    pub times: Summary,
}

/// How the cost grew.
#[derive(Debug, Clone, Serialize)]
pub struct GrowthLine {
    /// How many there were in the end.
    pub reached: usize,
    /// What stopped it, if it was not by choice.
    pub end: Option<String>,
    /// What each takes, in bytes.
    pub memory: Memory,
    /// What the n-th cost, in microseconds.
    pub make: Vec<(usize, f64)>,
    /// What taking one down cost with n others there, in microseconds.
    pub take_down: Vec<(usize, f64)>,
}

impl From<&Growth> for GrowthLine {
    fn from(growth: &Growth) -> Self {
        let points = |points: &[crate::growth::GrowthPoint]| {
            points.iter().map(|point| (point.n, micros(point.cost))).collect()
        };
        Self {
            reached: growth.reached,
            end: growth.end.clone(),
            memory: growth.memory,
            make: points(&growth.curve()),
            take_down: points(&growth.take_down_at),
        }
    }
}

/// All that a run found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where.
    pub machine: BenchMachine,
    /// When, in UTC.
    pub date: String,
    /// The load when it ended.
    pub load_after: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was left out, and why.
    pub missing: Vec<String>,
    /// The table.
    pub rows: Vec<Row>,
    /// Making one sandbox, by whom.
    pub setup: Vec<BarTime>,
    /// The steps of one sandbox.
    pub steps: Vec<SetupSteps>,
    /// Encoding.
    pub encode: Vec<Encoded>,
    /// Coming and going.
    pub churn: Vec<ChurnLine>,
    /// Distributions of the time to make one while others come and go.
    pub churn_latency: Vec<Curve>,
    /// First packets.
    pub first_packet: Vec<ResultLine>,
    /// Growth.
    pub growth: GrowthLine,
    /// The pool.
    pub pool: Vec<ResultLine>,
}

/// The present second in UTC, as RFC 3339 has it.
#[must_use]
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let (year, month, day) = date_of(seconds / 86_400);
    let second = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// The date of a day since 1970: <https://howardhinnant.github.io/date_algorithms.html#civil_from_days>.
fn date_of(day: u64) -> (u64, u64, u64) {
    let days = day + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::{
        BarTime, BenchLine, ChurnLine, Curve, GrowthLine, Report, ResultLine, Row, SetupSteps, date_of,
    };
    use crate::encode::Encoded;
    use crate::machine::{BenchMachine, Memory};
    use crate::samples::Summary;

    const SUMMARY: Summary =
        Summary { count: 2, mean_us: 1.5, p50_us: 1.0, p99_us: 2.0, p999_us: 2.0, max_us: 2.0 };

    #[test]
    fn lines_are_those_that_the_command_reads() {
        let name = || "a".to_owned();
        let bar = BarTime { name: name(), us: 1.5 };
        let line = ResultLine { name: name(), times: SUMMARY };
        let report = Report {
            machine: BenchMachine {
                processor: name(),
                cpus: 2,
                memory_mib: 3,
                kernel: "6.18".to_owned(),
                load: "0.5".to_owned(),
            },
            date: "2026-11-27T00:00:00Z".to_owned(),
            load_after: "1.5".to_owned(),
            seconds: 2.5,
            missing: vec!["no peer".to_owned()],
            rows: vec![Row {
                name: name(),
                ours_us: 1.5,
                peer: Some("b".to_owned()),
                peer_us: Some(3.0),
                ratio: Some(2.0),
                ratio_p25: None,
                goal: Some("at least 1.5".to_owned()),
                met: Some(true),
                reason: None,
            }],
            setup: vec![bar.clone()],
            steps: vec![SetupSteps { kind: name(), steps: vec![bar] }],
            encode: vec![Encoded { message: "a", library: "b", nanos: 1.5, allocations: 1, bytes: 32 }],
            churn: vec![ChurnLine {
                alive: 1,
                way: name(),
                per_second: 2.5,
                make: SUMMARY,
                give_up: SUMMARY,
            }],
            churn_latency: vec![Curve { name: name(), points: vec![(1.0, 2.0)] }],
            first_packet: vec![line.clone()],
            growth: GrowthLine {
                reached: 2,
                end: None,
                memory: Memory { slab: 1.5, percpu: 2.5, all: 3.5 },
                make: vec![(1, 1.5)],
                take_down: vec![(2, 2.5)],
            },
            pool: vec![line],
        };
        let lines = [BenchLine::Progress { what: "a step", done: 1, of: 2 }, BenchLine::Report(&report)];
        // The command's own tests read these; it is a package of its own, hence they are there.
        let read = include_str!("../../netns/src/bench/lines.jsonl");
        let lines: String = lines.map(|line| serde_json::to_string(&line).unwrap() + "\n").concat();
        assert_eq!(lines, read);
    }

    #[test]
    fn days_are_dates() {
        assert_eq!(date_of(0), (1970, 1, 1));
        assert_eq!(date_of(11_016), (2000, 2, 29));
        assert_eq!(date_of(20_781), (2026, 11, 24));
    }
}
