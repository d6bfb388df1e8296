//! What the measuring program says.

use serde::{Deserialize, Serialize};

/// A line of its output.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ReportLine {
    Progress(BenchProgress),
    Report(Box<BenchReport>),
}

/// How far it is.
#[derive(Debug, Deserialize)]
pub(super) struct BenchProgress {
    pub(super) what: String,
    pub(super) done: u64,
    pub(super) of: u64,
}

/// What it found.
#[derive(Debug, Deserialize)]
pub(super) struct BenchReport {
    pub(super) machine: MeasuredMachine,
    pub(super) date: String,
    pub(super) load_after: String,
    pub(super) seconds: f64,
    pub(super) missing: Vec<String>,
    pub(super) rows: Vec<ReportRow>,
    pub(super) setup: Vec<MeasuredBar>,
    pub(super) steps: Vec<StepTimes>,
    pub(super) encode: Vec<ReportedEncoded>,
    pub(super) churn: Vec<ReportedChurn>,
    pub(super) churn_latency: Vec<ReportedCurve>,
    pub(super) first_packet: Vec<Times>,
    pub(super) growth: ReportedGrowth,
    pub(super) pool: Vec<Times>,
}

/// Where it ran.
#[derive(Debug, Deserialize)]
pub(super) struct MeasuredMachine {
    pub(super) processor: String,
    pub(super) cpus: usize,
    pub(super) memory_mib: u64,
    pub(super) kernel: String,
    pub(super) load: String,
}

impl MeasuredMachine {
    /// In one line.
    pub(super) fn describe(&self) -> String {
        format!("{}, {} CPUs, {} MiB", self.processor, self.cpus, self.memory_mib)
    }
}

/// A line of the table.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct ReportRow {
    pub(super) name: String,
    pub(super) ours_us: f64,
    pub(super) peer: Option<String>,
    pub(super) peer_us: Option<f64>,
    pub(super) ratio: Option<f64>,
    pub(super) ratio_p25: Option<f64>,
    pub(super) goal: Option<String>,
    pub(super) met: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl ReportRow {
    /// The goal, and whether it is met.
    pub(super) fn verdict(&self) -> (&str, &'static str) {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        (self.goal.as_deref().unwrap_or_default(), met)
    }
}

/// A ratio for people.
pub(super) fn ratio(ratio: Option<f64>) -> String {
    match ratio {
        Some(ratio) if ratio < 10.0 => format!("{ratio:.2}x"),
        Some(ratio) => format!("{ratio:.0}x"),
        None => String::new(),
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct MeasuredBar {
    pub(super) name: String,
    pub(super) us: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct StepTimes {
    pub(super) kind: String,
    pub(super) steps: Vec<MeasuredBar>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReportedEncoded {
    pub(super) message: String,
    pub(super) library: String,
    pub(super) nanos: f64,
    pub(super) allocations: u64,
    pub(super) bytes: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReportedChurn {
    pub(super) alive: usize,
    pub(super) way: String,
    pub(super) per_second: f64,
    pub(super) make: BenchSummary,
    pub(super) give_up: BenchSummary,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReportedCurve {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Times {
    pub(super) name: String,
    pub(super) times: BenchSummary,
}

#[derive(Debug, Deserialize)]
pub(super) struct BenchSummary {
    pub(super) count: usize,
    pub(super) mean_us: f64,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    pub(super) max_us: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReportedGrowth {
    pub(super) reached: usize,
    pub(super) end: Option<String>,
    pub(super) memory: ReportedMemory,
    pub(super) make: Vec<(f64, f64)>,
    pub(super) take_down: Vec<(f64, f64)>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ReportedMemory {
    pub(super) slab: f64,
    pub(super) percpu: f64,
    pub(super) all: f64,
}

/// A time for people, with three digits.
pub(super) fn time(micros: f64) -> String {
    let (value, unit) = match micros {
        micros if micros < 1.0 => (micros * 1e3, "ns"),
        micros if micros < 1e3 => (micros, "us"),
        micros if micros < 1e6 => (micros / 1e3, "ms"),
        micros => (micros / 1e6, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::{ReportLine, time};

    /// What the measuring program writes, which has a test that it does.
    #[test]
    fn lines_of_the_measuring_program_are_understood() {
        let lines: Vec<ReportLine> =
            include_str!("lines.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let [ReportLine::Progress(progress), ReportLine::Report(report)] = &lines[..] else {
            panic!("a line of progress and a report: {lines:?}");
        };
        assert_eq!((progress.what.as_str(), progress.done, progress.of), ("a step", 1, 2));
        assert_eq!(report.rows[0].peer_us, Some(3.0));
        assert_eq!((report.growth.reached, &*report.growth.make), (2, &[(1.0, 1.5)][..]));
    }

    #[test]
    fn times_have_three_digits() {
        for (micros, text) in [
            (0.0125, "12.5 ns"),
            (3.456, "3.46 us"),
            (999.4, "999 us"),
            (1234.0, "1.23 ms"),
            (2.5e6, "2.50 s"),
        ] {
            assert_eq!(time(micros), text);
        }
    }
}
