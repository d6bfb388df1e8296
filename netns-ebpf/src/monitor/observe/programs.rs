//! That the programs on the ports of an observed bridge are there, and before those of others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use netns_core::Namespace;

use super::kernel::Counts;
use super::{ObservedPort, Observer, PortChange, noted};
use crate::monitor::ahead::{Ahead, Standing};
use crate::monitor::{Mode, MonitorError};

/// How often it is asked what is attached by TCX, which sends no notice. Each question takes the lock of the network
/// configuration, two a port (`tcx_prog_query` in <https://github.com/torvalds/linux/blob/v6.18/kernel/bpf/tcx.c>).
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of programs of others.
#[derive(Debug)]
pub(super) struct Others {
    /// Where the ports are.
    host: Namespace,
    /// What was found to be before ours and was reported, by port.
    ahead: HashMap<u32, HashSet<Ahead>>,
    /// When to ask for TCX programs next.
    next: Instant,
}

impl Others {
    pub(super) fn new(host: Namespace) -> Self {
        Self { host, ahead: HashMap::new(), next: Instant::now() }
    }

    pub(super) fn forget(&mut self, port: u32) {
        self.ahead.remove(&port);
    }

    /// Those of what is before our programs at a port now, either by TCX or as filters, that were not reported.
    fn news(&mut self, port: u32, now: Vec<Ahead>, is_tcx: bool) -> Vec<Ahead> {
        let known = self.ahead.entry(port).or_default();
        known.retain(|other| matches!(other, Ahead::Tcx { .. }) != is_tcx || now.contains(other));
        now.into_iter().filter(|other| known.insert(other.clone())).collect()
    }
}

impl Observer<'_> {
    /// Puts the programs back onto ports off which somebody took them, and before filters that somebody put before them.
    pub(super) fn keep_programs(&mut self) -> Result<(), MonitorError> {
        for index in std::mem::take(&mut self.touched) {
            match self.keep_programs_of(index) {
                // A port that goes takes its filters with it.
                Err(error) if error.errno() == Some(libc::ENODEV) => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn keep_programs_of(&mut self, index: u32) -> Result<(), MonitorError> {
        let Counts::Program(monitor) = self.counts else { return Ok(()) };
        if index == self.bridge.index {
            return self.keep_host();
        }
        let Some(ObservedPort { attachment: Some(attachment), info, .. }) = self.ports.get_mut(&index) else {
            return Ok(());
        };
        let failed = |source| MonitorError::Port { operation: "look at", ifindex: index, source };
        let mut standing = monitor.standing(&mut self.socket, index).map_err(failed)?;
        let info = Arc::clone(info);
        let is_missing = standing == Standing::Missing;
        if is_missing {
            noted::restore(monitor, &mut self.socket, &mut *self.journal, &*info, attachment)?;
            standing = monitor.standing(&mut self.socket, index).map_err(failed)?;
        }
        let Standing::There(ahead) = standing else { return Ok(()) };
        let news = self.others.news(index, ahead, false);
        let still = if news.is_empty() {
            Vec::new()
        } else {
            monitor.put_first(&mut self.socket, attachment)?;
            match monitor.standing(&mut self.socket, index).map_err(failed)? {
                Standing::There(ahead) => ahead,
                // Somebody has just taken one away, of which there is another notice.
                Standing::Missing => Vec::new(),
            }
        };
        if is_missing {
            self.lose(index, format!("the programs on {}", info.name), true);
        }
        for other in news {
            let is_restored = !still.contains(&other);
            if is_restored {
                // Should it come again, that is news.
                self.others.ahead.entry(index).or_default().remove(&other);
            }
            self.lose(index, format!("the first place on {}, for {other}", info.name), is_restored);
        }
        Ok(())
    }

    /// Reports filters that were there before ours came.
    pub(super) fn report_ahead(&mut self, index: u32) {
        let attachment = self.ports.get(&index).and_then(|port| port.attachment.as_ref());
        let Some(ahead) = attachment.map(|attachment| attachment.ahead().to_vec()) else { return };
        let Some(name) = self.ports.get(&index).map(|port| port.info.name) else { return };
        for other in self.others.news(index, ahead, false) {
            self.lose(index, format!("the first place on {name}, for {other}"), false);
        }
    }

    /// Looks for programs of others that run before ours by TCX, if it is time.
    pub(super) fn look_for_others(&mut self) -> Result<(), MonitorError> {
        let Counts::Program(monitor) = self.counts else { return Ok(()) };
        let now = Instant::now();
        if now < self.others.next {
            return Ok(());
        }
        self.others.next = now + PAUSE;
        let ports: Vec<u32> = self.ports.keys().copied().collect();
        let look = || -> Vec<(u32, Option<Vec<Ahead>>)> {
            ports.iter().map(|&port| (port, monitor.tcx_ahead(port))).collect()
        };
        let found = self.others.host.enter(look).map_err(|source| self.failed(source))?;
        for (port, ahead) in found {
            let Some(ObservedPort { info, .. }) = self.ports.get(&port) else { continue };
            let name = info.name;
            for other in self.others.news(port, ahead.unwrap_or_default(), true) {
                self.lose(port, format!("the first place on {name}, for {other}"), false);
            }
        }
        Ok(())
    }

    /// Somebody took this away; it is counted if something is enforced there.
    fn lose(&mut self, port: u32, what: String, is_restored: bool) {
        let Counts::Program(monitor) = self.counts else { return };
        let slot = self.ports.get(&port).map(|port| port.info.slot);
        if slot.and_then(|slot| monitor.mode(slot)) == Some(Mode::Enforce) {
            self.lost_enforcement += 1;
        }
        self.news.push(PortChange::EnforcementLost { what, is_restored });
    }

    /// How often an enforcement was found to have been taken away by somebody else.
    #[must_use]
    pub const fn lost_enforcement(&self) -> u64 {
        self.lost_enforcement
    }
}
