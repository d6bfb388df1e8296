//! Steady state: sandboxes come and go while a number of them is alive.

use crate::Result;
use crate::samples::Samples;
use crate::sandboxes::Maker;
use netns_core::network::Sandbox;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the kernel may take, in all, to reclaim what was dropped.
const LIMIT: Duration = Duration::from_mins(2);
/// How many are deleted at once where they are deleted in groups.
pub const GROUP: usize = 64;

/// How a sandbox is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChurnWay {
    /// It is closed; the kernel reclaims it in its own time.
    Close,
    /// Its port is deleted, which waits until it is gone.
    Delete,
    /// Like that, 64 at a time: at least 64 are alive.
    Group,
}

impl ChurnWay {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Close, Self::Delete, Self::Group];

    /// What it is called in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Delete => "delete",
            Self::Group => "delete 64 at once",
        }
    }
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Churn {
    /// Making one.
    pub make: Samples,
    /// Giving one up, or a group.
    pub give_up: Samples,
    /// How many came and went.
    pub count: usize,
    /// From the first one to when the kernel has reclaimed the last one that went.
    pub total: Duration,
}

impl Churn {
    /// Sandboxes a second, reclaim included.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        crate::samples::count(self.count) / self.total.as_secs_f64()
    }
}

/// Makes `count` sandboxes and, once `alive` of them exist, gives up the oldest for each new one.
///
/// # Errors
/// If the kernel refuses.
pub fn churn(maker: &mut Maker, alive: usize, count: usize, way: ChurnWay) -> Result<Churn> {
    let mut there: VecDeque<Sandbox> = VecDeque::with_capacity(alive + GROUP + 1);
    for _ in 0..alive {
        there.push_back(maker.make()?.0);
    }
    let mut make = Samples::with_capacity(count);
    let mut give_up = Samples::with_capacity(count);
    let begin = Instant::now();
    for _ in 0..count {
        let (sandbox, time) = maker.make()?;
        make.push(time);
        there.push_back(sandbox);
        let wanted = if way == ChurnWay::Group { GROUP } else { 1 };
        if there.len() < alive + wanted {
            continue;
        }
        let begin = Instant::now();
        match way {
            ChurnWay::Close => drop(there.pop_front()),
            ChurnWay::Delete | ChurnWay::Group => maker.network().delete(there.drain(..wanted))?,
        }
        give_up.push(begin.elapsed());
    }
    maker.network().wait_reclaimed(LIMIT)?;
    let total = begin.elapsed();
    drop(there);
    maker.network().wait_reclaimed(LIMIT)?;
    Ok(Churn { make, give_up, count, total })
}
