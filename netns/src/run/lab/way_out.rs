//! That the way out of a run follows the host's routes, and has its rules, as long as it is watched.

use super::RunLab;
use crate::failure::Failure;
use netns_topology::HeldLab;
use std::time::{Duration, Instant};

/// How often somebody looks, at most.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of it.
#[derive(Debug)]
pub(super) struct KeptWayOut {
    next: Instant,
    /// Why it could not be kept the last time, so that it is reported once.
    refused: Option<String>,
}

impl KeptWayOut {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), refused: None }
    }
}

impl RunLab<'_> {
    /// Has the host forward for links that have become the way out, and puts rules back that somebody took away. What cannot be
    /// done now is reported, and tried again: nobody's run ends because a link went while it was looked at.
    pub(crate) fn keep_ways_out(&mut self) -> Result<(), Failure> {
        let Some(lab) = self.lab.as_mut().filter(|lab| lab.has_ways_out()) else { return Ok(()) };
        if Instant::now() < self.way_out.next {
            return Ok(());
        }
        let kept = self.host.enter(|| HeldLab::keep_ways_out(lab))?;
        self.way_out.next = Instant::now() + PAUSE;
        let refused = match kept {
            Ok(changes) => {
                for change in changes {
                    log::warn!("rules or routes of the host were changed; made again: {change}");
                }
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if refused != self.way_out.refused
            && let Some(why) = &refused
        {
            log::error!("the way out is not as it is to be: {why}");
        }
        self.way_out.refused = refused;
        Ok(())
    }
}
