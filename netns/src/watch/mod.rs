//! Watching ports: of a run's own bridge, or of one that is observed. Lines, JSON, or the live view.

mod change;
mod lines;
mod live;
pub(crate) mod metrics;
mod screenshot;
mod teller;
mod violation;

use crate::cli::WatchArguments;
use crate::failure::Failure;
use crate::signals::Stop;
use metrics::Metrics;
use netns_ebpf::{Mode, PortChange, PortInfo, Reading, Violation};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use change::unmatched;
pub(crate) use teller::Teller;
pub(crate) use violation::reasons;

impl WatchArguments {
    /// Serves metrics, if that is asked for.
    pub(crate) fn metrics(&self, network: &str) -> Result<Option<Metrics>, Failure> {
        let serve = |address| Metrics::serve(address, network, self.metrics_pairs.unwrap_or(0));
        self.metrics.map(serve).transpose()
    }
}

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

    /// What was told since the last time of frames that may not be sent.
    fn violations(&mut self) -> Result<Vec<Violation>, Failure>;

    /// The addresses behind a port, one a line.
    fn addresses(&mut self, port: &PortInfo) -> Vec<String>;

    /// What a port may send, in words, and what is done about the rest; `None` if nobody judges.
    fn policy(&mut self, port: &PortInfo) -> Option<(&'static str, Mode)>;

    /// What was lost until now.
    fn losses(&self) -> Losses {
        Losses::default()
    }
}

/// What was lost until now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Losses {
    /// How often something that became of the ports was not reported.
    pub(crate) events: u64,
    /// How often somebody took away what enforces the policies.
    pub(crate) enforcement: u64,
}

/// Watches until the time is over, a signal comes, or the bridge goes.
pub(crate) fn watch(
    source: &mut impl Source,
    arguments: &WatchArguments,
    stop: &Stop,
    out: &mut impl Write,
    metrics: Option<&Metrics>,
) -> Result<(), Failure> {
    let publish = |network: &str, reading: &Arc<Reading>, lost: Losses| {
        if let Some(metrics) = metrics {
            metrics.publish(network, reading, lost);
        }
    };
    let is_live = !(arguments.json || arguments.plain || arguments.once || arguments.screenshot.is_some())
        && live::is_possible();
    if is_live {
        return live::live(source, arguments, stop, publish);
    }
    let mut lines = lines::Lines { out, json: arguments.json, started: Instant::now() };
    watch_lines(source, arguments, stop, &mut lines, publish)?;
    // What happened in the end.
    lines.told(&source.violations()?)
}

/// As [`watch`], line by line.
fn watch_lines(
    source: &mut impl Source,
    arguments: &WatchArguments,
    stop: &Stop,
    lines: &mut lines::Lines<'_, impl Write>,
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
        // Once at least, however late it is: who asks for an end, and ports that come, wait for no reading.
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
        lines.counters(&reading, &previous)?;
        if let Some((_, view)) = &mut picture {
            view.update(Arc::clone(&reading));
        }
        previous = reading;
    }
    if let Some((path, mut view)) = picture {
        view.show(live::Pane::Pairs);
        screenshot::write(&mut view, path)?;
    }
    Ok(())
}

/// When the reading after that of `previous` is due. Those that were missed, because a reading or the reader of the lines
/// took longer than the interval, are left out.
fn following(previous: Instant, interval: Duration, now: Instant) -> Instant {
    let next = previous + interval;
    let missed = now.saturating_duration_since(next).as_nanos() / interval.as_nanos().max(1);
    next + interval * u32::try_from(missed).unwrap_or(u32::MAX)
}

/// Shows what was told of frames that may not be sent.
fn show_told(
    source: &mut impl Source,
    lines: &mut lines::Lines<'_, impl Write>,
    picture: &mut Option<(&Path, live::App)>,
) -> Result<(), Failure> {
    let told = source.violations()?;
    lines.told(&told)?;
    if let Some((_, view)) = picture {
        view.tell(told);
    }
    Ok(())
}
