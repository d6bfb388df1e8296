//! Watching ports: of a run's own bridge, or of one that is observed. Lines, JSON, or the live view.

mod lines;
mod names;

use crate::cli::WatchArguments;
use crate::failure::Failure;
use crate::signals::Stop;
use netns_ebpf::{PortChange, PortInfo, Reading};
use std::io::Write;
use std::time::{Duration, Instant};

pub(crate) use names::HOST;

/// How long a request to stop may go unnoticed.
const TICK: Duration = Duration::from_millis(50);

/// What is watched.
pub(crate) trait Source {
    /// What the ports are of: the bridge's name.
    fn network(&self) -> &str;

    /// Waits for at most `limit` for ports to come or go.
    fn changes(&mut self, limit: Duration) -> Result<Vec<PortChange>, Failure>;

    /// All counters now.
    fn read(&mut self) -> Result<Reading, Failure>;

    /// The addresses behind a port, one a line.
    fn addresses(&mut self, port: &PortInfo) -> Vec<String>;

    /// How often something that became of the ports was not told.
    fn lost_events(&self) -> u64 {
        0
    }
}

/// Watches until the time is over, a signal comes, or the bridge goes.
pub(crate) fn watch(
    source: &mut impl Source,
    arguments: &WatchArguments,
    stop: &Stop,
    out: &mut impl Write,
) -> Result<(), Failure> {
    let started = Instant::now();
    let end = if arguments.once { Some(arguments.interval) } else { arguments.duration };
    let end = end.map(|time| started + time);
    let mut lines = lines::Lines { out, json: arguments.json, started };
    let mut previous = source.read()?;
    let mut next = started;
    while end.is_none_or(|end| next < end) {
        next += arguments.interval;
        let wake = end.map_or(next, |end| next.min(end));
        while Instant::now() < wake {
            if stop.requested() {
                return Ok(());
            }
            let left = wake.saturating_duration_since(Instant::now());
            for change in source.changes(left.min(TICK))? {
                lines.change(&change)?;
                if matches!(change, PortChange::BridgeGone) {
                    return Ok(());
                }
            }
        }
        let reading = source.read()?;
        lines.counters(&reading, &previous)?;
        previous = reading;
    }
    Ok(())
}
