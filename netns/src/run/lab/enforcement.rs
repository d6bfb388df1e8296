//! Checks, as long as a run is watched, that what enforces its policies is in place.

use super::RunLab;
use crate::failure::Failure;
use crate::watch;
use netns_core::ErrorKind;
use netns_ebpf::{Ahead, Monitor, MonitorError};
use netns_topology::HeldLab;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How often, at most, the programs on the ports are checked. A check takes several requests per port.
const PAUSE: Duration = Duration::from_secs(1);
/// How many times longer than a check the pause after it is, at least.
const REST: u32 = 20;

/// What is known about it.
#[derive(Debug)]
pub(super) struct Enforcement {
    /// How often somebody removed a part of it.
    pub(super) lost: u32,
    /// What runs before our programs and has been reported, by port.
    ahead: HashSet<(u32, Ahead)>,
    next: Instant,
}

impl Enforcement {
    pub(super) fn new() -> Self {
        Self { lost: 0, ahead: HashSet::new(), next: Instant::now() }
    }

    /// What runs before our programs at a port and did not the last time.
    fn news(&mut self, port: u32, ahead: Vec<Ahead>) -> Vec<Ahead> {
        self.ahead.retain(|(of, other)| *of != port || ahead.contains(other));
        ahead.into_iter().filter(|other| self.ahead.insert((port, other.clone()))).collect()
    }

    fn lose(&mut self, what: &str, is_restored: bool) {
        self.lost += 1;
        log::error!("{}", watch::in_words(what, is_restored));
    }
}

impl RunLab<'_> {
    /// How often somebody removed what enforces.
    pub(crate) fn lost_enforcement(&self) -> u32 {
        self.enforcement.lost
    }

    /// Counts what the barrier has dropped, if there is one, and restores what somebody removed.
    pub(crate) fn read_barrier(&mut self) -> Result<(), Failure> {
        let barrier = self.lab.as_mut().and_then(HeldLab::barrier);
        let (Some(barrier), Some(monitor)) = (barrier, self.monitor) else { return Ok(()) };
        if !barrier.is_whole()? {
            barrier.restore()?;
            self.enforcement.lose("the barrier behind the ports", true);
        }
        monitor.count_unjudged(&barrier.unjudged()?);
        let began = Instant::now();
        if began >= self.enforcement.next {
            self.keep_programs(monitor)?;
            self.enforcement.next = began + PAUSE.max(began.elapsed() * REST);
        }
        Ok(())
    }

    fn keep_programs(&mut self, monitor: &Monitor) -> Result<(), Failure> {
        for member in &self.members {
            let Some(slot) = member.slot else { continue };
            let (port, name) = (member.port_index, member.port);
            let mut attachment = Monitor::attachment_of(port, slot);
            let (socket, enforcement) = (&mut self.socket, &mut self.enforcement);
            let mut keep = || -> Result<(), MonitorError> {
                let Some(ahead) = monitor.ahead(socket, port)? else {
                    monitor.restore(socket, &mut attachment)?;
                    enforcement.lose(&format!("the programs on {name}"), true);
                    return Ok(());
                };
                let news = enforcement.news(port, ahead);
                if news.is_empty() {
                    return Ok(());
                }
                monitor.restore(socket, &mut attachment)?;
                let still = monitor.ahead(socket, port)?.unwrap_or_default();
                for other in news {
                    let is_restored = !still.contains(&other);
                    enforcement.lose(&format!("the first place on {name}, for {other}"), is_restored);
                    if is_restored {
                        // If it comes back, that is reported again.
                        enforcement.ahead.remove(&(port, other));
                    }
                }
                Ok(())
            };
            match keep() {
                // Somebody removed the port; that is found out at the end.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }
}
