//! The options that say how to show what passes.

use super::list_limit::ListLimit;
use super::metrics::ListenAddress;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// How to show what passes. On a terminal: live, with keys; `?` lists them.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// How long to watch [default: until Ctrl-C].
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub(crate) duration: Option<Duration>,
    /// How long from one reading of the counters to the next.
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval, allow_negative_numbers = true)]
    pub(crate) interval: Duration,
    /// One JSON object a line on stdout.
    #[arg(long)]
    pub(crate) json: bool,
    /// Lines of text on stdout, on a terminal too.
    #[arg(long, conflicts_with = "json")]
    pub(crate) plain: bool,
    /// No counters: only changes of ports and violations. For a service, beside `--metrics`.
    #[arg(short, long, conflicts_with_all = ["once", "screenshot"])]
    pub(crate) quiet: bool,
    /// Show the counters once, after one interval, then exit.
    #[arg(long, conflicts_with = "duration")]
    pub(crate) once: bool,
    /// How many pairs of ports a reading lists in JSON: the N busiest, or all.
    #[arg(long, value_name = "N|all", default_value = "1000", requires = "json")]
    pub(crate) pairs: ListLimit,
    /// Serve metrics for Prometheus at http://ADDRESS:PORT/metrics. PORT alone listens on 127.0.0.1, :PORT on every IPv4 address; for port 0 the kernel chooses one, which is printed.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) metrics: Option<ListenAddress>,
    /// Serve metrics of the N busiest pairs too.
    #[arg(long, value_name = "N", requires = "metrics", num_args = 0..=1, default_missing_value = "1000")]
    pub(crate) metrics_pairs: Option<usize>,
    /// Also count by the scope of the far end: the host, sandboxes, private networks, the internet, the link.
    #[arg(long)]
    pub(crate) scopes: bool,
    /// Also count verdicts by destination, and list the N destinations that were sent most, or all [default: 100, as text 16].
    #[arg(long, value_name = "N|all", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "with and without a number")]
    pub(crate) verdicts: Option<Option<ListLimit>>,
    /// Write frames that violate a policy into a file for tcpdump and Wireshark.
    #[arg(long, value_name = "FILE")]
    pub(crate) pcap: Option<PathBuf>,
    /// Draw the last state of the live view into an SVG file.
    #[arg(long, value_name = "FILE")]
    pub(crate) screenshot: Option<PathBuf>,
}

/// Stands for ever: no `Instant` can be farther away.
const FOR_EVER: Duration = Duration::from_hours(100 * 365 * 24);

/// A number of seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds >= 0.0);
    let seconds = seconds.ok_or_else(|| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map(|time| time.min(FOR_EVER)).map_err(|error| error.to_string())
}

/// A number of seconds that leaves time for other work.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| {
        if time < Duration::from_millis(10) { Err("less than 0.01 seconds".to_owned()) } else { Ok(time) }
    })
}
