//! Watching the ports of a run's own bridge, or of one that is observed. Lines, JSON, or the live view.

pub(crate) mod arguments;
mod change;
mod destinations;
mod heads;
mod lines;
mod list_limit;
mod live;
pub(crate) mod metrics;
mod reporter;
mod screenshot;
mod violation;

use crate::failure::Failure;
use crate::messages::Aside;
use crate::outlet::Outlet;
use crate::output::Printer;
use crate::signals::Stop;
use arguments::WatchArguments;
use list_limit::ListLimit;
use metrics::Metrics;
use netns_ebpf::layout::DEFAULT_VERDICTS;
use netns_ebpf::{Mode, PortChange, PortIdentity, Reading, Violation};
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use change::unmatched;
pub(crate) use destinations::{json_of_lab, print_of_lab};
pub(crate) use lines::over_json;
pub(crate) use reporter::Reporter;
pub(crate) use violation::reasons;

impl WatchArguments {
    /// Serves metrics, if asked to.
    pub(crate) fn metrics(&self, network: &str) -> Result<Option<Metrics>, Failure> {
        let listed = (self.metrics_pairs.unwrap_or(0), self.verdict_limit().unwrap_or(destinations::LISTED));
        let serve = |address| Metrics::serve(address, network, listed);
        self.metrics.map(serve).transpose()
    }

    /// The size of the table of destinations; 0 if they are not counted.
    pub(crate) const fn verdict_room(&self) -> u32 {
        if self.verdicts.is_some() { DEFAULT_VERDICTS } else { 0 }
    }

    /// How many of them were asked for.
    fn verdict_limit(&self) -> Option<ListLimit> {
        self.verdicts.flatten()
    }
}

/// How long a request to stop may go unnoticed.
const TICK: Duration = Duration::from_millis(50);

/// What is watched.
pub(crate) trait Source {
    /// The bridge's name.
    fn network(&self) -> &str;

    /// Waits for at most `limit` for ports to come or go.
    fn changes(&mut self, limit: Duration) -> Result<Vec<PortChange>, Failure>;

    /// All counters now.
    fn read(&mut self) -> Result<Reading, Failure>;

    /// The violations that the program has reported since the last call.
    fn violations(&mut self) -> Result<Vec<Violation>, Failure>;

    /// The addresses behind a port, one a line.
    fn addresses(&mut self, port: &PortIdentity) -> Vec<String>;

    /// What a port may send, in words, and what happens to the rest; `None` if nothing is judged.
    fn policy(&mut self, port: &PortIdentity) -> Option<(&'static str, Mode)>;

    /// What was lost until now.
    fn losses(&self) -> Losses {
        Losses::default()
    }
}

/// The message about an enforcement that somebody removed.
pub(crate) fn in_words(what: &str, is_restored: bool) -> String {
    if is_restored {
        format!("somebody took away {what}; it is there again, and what was sent meanwhile was not judged")
    } else {
        format!("somebody took away {what}; it cannot be put back, and what that decides is not judged")
    }
}

/// The message about something that cannot be inspected.
fn hidden(what: &str, error: &impl std::fmt::Display) -> String {
    format!("{what} may be behind a port, and cannot be looked at: {error}")
}

/// What was lost until now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Losses {
    /// How often changes of ports were not reported.
    pub(crate) events: u64,
    /// How often somebody removed what enforces the policies.
    pub(crate) enforcement: u64,
}

/// Watches until the time is up, a signal arrives, or the bridge goes.
pub(crate) fn watch(
    source: &mut impl Source,
    arguments: &WatchArguments,
    stop: &Stop,
    out: &mut Printer,
    metrics: Option<&Metrics>,
) -> Result<(), Failure> {
    let publish = |network: &str, reading: &Arc<Reading>, lost: Losses| {
        if let Some(metrics) = metrics {
            metrics.publish(network, reading, lost);
        }
    };
    let is_lines = arguments.json || arguments.plain || arguments.quiet || arguments.once;
    let is_live = !is_lines && arguments.screenshot.is_none() && live::is_possible();
    if is_live {
        return live::live(source, arguments, stop, publish);
    }
    out.flush()?;
    let mut outlet = Outlet::new(out)?;
    let WatchArguments { json, quiet, pairs, .. } = *arguments;
    let (started, names) = (Instant::now(), HashMap::new());
    let verdicts = arguments.verdict_limit();
    let mut lines = lines::Lines { out: &mut outlet, json, quiet, pairs, verdicts, started, names };
    let messages = Aside::begin()?;
    let outcome = watch_lines(source, arguments, stop, &mut lines, publish)
        // What happened in the end.
        .and_then(|()| lines.violation_events(&source.violations()?));
    messages.end(|| stop.requested());
    let written = outlet.finish(|| stop.requested());
    outcome.and_then(|()| Ok(written?))
}

/// As [`watch`], line by line.
fn watch_lines(
    source: &mut impl Source,
    arguments: &WatchArguments,
    stop: &Stop,
    lines: &mut lines::Lines<'_>,
    publish: impl Fn(&str, &Arc<Reading>, Losses),
) -> Result<(), Failure> {
    let started = lines.started;
    let end = if arguments.once { Some(arguments.interval) } else { arguments.duration };
    let end = end.map(|time| started + time);
    let mut picture = arguments.screenshot.as_deref().map(|path| (path, screenshot::view(source.network())));
    let mut previous = Arc::new(source.read()?);
    publish(source.network(), &previous, source.losses());
    show_told(source, lines, &mut picture)?;
    let mut next = started;
    while end.is_none_or(|end| next < end) {
        next = following(next, arguments.interval, Instant::now());
        let wake = end.map_or(next, |end| next.min(end));
        // At least once, however late it is: a request to stop and new ports do not wait for a reading.
        loop {
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
            if Instant::now() >= wake {
                break;
            }
        }
        let reading = Arc::new(source.read()?);
        publish(source.network(), &reading, source.losses());
        show_told(source, lines, &mut picture)?;
        if let Some((_, view)) = &mut picture {
            view.update(Arc::clone(&reading));
        }
        // A reading that the reader has no time for is left out; the next one's rates are since the last that was printed.
        if lines.counters(&reading, &previous)? {
            previous = reading;
        }
    }
    if let Some((path, mut view)) = picture {
        view.show(live::Pane::Pairs);
        screenshot::write(&mut view, path)?;
    }
    Ok(())
}

/// When the reading after that of `previous` is due: a whole number of intervals later, and later than now. Readings that
/// were missed, because one took longer than the interval or the process was stopped, are left out, so that there is
/// time for other work between any two.
fn following(previous: Instant, interval: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(previous).as_nanos() / interval.as_nanos().max(1);
    previous + interval.saturating_mul(u32::try_from(late).unwrap_or(u32::MAX).saturating_add(1))
}

/// Shows the violations that the program has reported.
fn show_told(
    source: &mut impl Source,
    lines: &mut lines::Lines<'_>,
    picture: &mut Option<(&Path, live::App)>,
) -> Result<(), Failure> {
    let violations = source.violations()?;
    lines.violation_events(&violations)?;
    if let Some((_, view)) = picture {
        view.add_violations(violations);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::following;
    use std::time::{Duration, Instant};

    #[test]
    fn readings_that_were_missed_are_left_out() {
        let (start, tenth) = (Instant::now(), Duration::from_millis(100));
        let next = |late: u64| following(start, tenth, start + Duration::from_millis(late)) - start;
        for (late, due) in [(0, 100), (99, 100), (100, 200), (101, 200), (350, 400), (10_050, 10_100)] {
            assert_eq!(next(late), Duration::from_millis(due), "{late} ms later");
        }
        // A clock that stands still, and one that does not begin where we do.
        assert_eq!(following(start + tenth, tenth, start), start + 2 * tenth);
    }
}
