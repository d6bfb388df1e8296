//! What the n-th sandbox costs, and how much memory each takes.

use crate::Result;
use crate::machine::Memory;
use crate::samples::Samples;
use crate::sandboxes::Maker;
use netns_core::Cause;
use netns_core::network::Sandbox;
use std::thread;
use std::time::{Duration, Instant};

/// How long the kernel may take to reclaim all of them.
const LIMIT: Duration = Duration::from_mins(10);
/// How long the machine is left alone between two tries. It is a virtual one, and there are whole seconds in which
/// everything takes twice as long; the tries should fall into several.
const REST: Duration = Duration::from_millis(300);
/// How many sandboxes a point of the curve is the median of, at most.
const WINDOW: usize = 101;
/// How many more are made and taken down to see what taking down costs.
const GROUP: u32 = 64;
/// How often that is done.
const GROUPS: usize = 5;
/// How often the first sandboxes of a network are made, before and after, since a median of one means nothing.
const BEGINNINGS: usize = 6;
/// How many each time.
const BEGINNING: usize = 19;

/// One point of the curve.
#[derive(Debug, Clone, Copy)]
pub struct GrowthPoint {
    /// Which sandbox.
    pub n: usize,
    /// What it and its neighbours cost, median.
    pub cost: Duration,
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Growth {
    /// Every one, in order.
    pub make: Samples,
    /// How many there were at once in the end.
    pub reached: usize,
    /// Why there were no more, if that was not by choice.
    pub end: Option<String>,
    /// What one takes of the kernel's memory, in bytes: slabs, and everything.
    pub memory: Memory,
    /// Taking one down, from close to reclaim, mean of all.
    pub take_down: Duration,
    /// Taking one down, from close to reclaim, while this many others exist.
    pub take_down_at: Vec<GrowthPoint>,
    /// Making those that were taken down at such a point, the median of each group: later than the curve is, so a
    /// disturbance of one seldom disturbed the other.
    make_again: Vec<(usize, Samples)>,
    /// The tenth and those around it, of many beginnings, half of them before all others and half of them after.
    tenth: Samples,
}

impl Growth {
    /// What the tenth cost: the median of it and its neighbours, of many networks' beginnings.
    #[must_use]
    pub fn tenth(&self) -> Duration {
        self.tenth.quantile(0.5)
    }

    /// What the n-th sandbox cost: the median of those around it; where groups were made again beside so many others,
    /// the median of that and the groups' medians. The first stands alone.
    #[must_use]
    pub fn at(&self, n: usize) -> Option<Duration> {
        let all = self.make.all();
        if n == 0 || n > all.len() {
            return None;
        }
        let half = (WINDOW / 2).min((n - 1) / 2);
        let around = n - 1 - half..(n + half).min(all.len());
        let median = all[around].iter().copied().collect::<Samples>().quantile(0.5);
        let Some((_, again)) = self.make_again.iter().find(|(checkpoint, _)| *checkpoint == n) else {
            return Some(median);
        };
        let mut medians = again.clone();
        medians.push(median);
        Some(medians.quantile(0.5))
    }

    /// The curve, at places that are evenly spaced on a logarithmic scale.
    #[must_use]
    pub fn curve(&self) -> Vec<GrowthPoint> {
        let mut places: Vec<usize> = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0]
            .iter()
            .flat_map(|step| (0..5).map(move |decade| (step * 10_f64.powi(decade)) as usize))
            .chain([self.reached])
            .filter(|&n| n <= self.reached)
            .collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|n| self.at(n).map(|cost| GrowthPoint { n, cost })).collect()
    }
}

/// Makes sandboxes until there are `most` of them, or a limit is reached, and takes some down at each of `checkpoints`.
///
/// # Errors
/// If the kernel refuses for another reason.
pub fn growth(
    maker: &mut Maker,
    most: usize,
    checkpoints: &[usize],
    mut progress: impl FnMut(),
) -> Result<Growth> {
    let mut tenth = beginnings(maker)?;
    let before = Memory::now()?;
    let mut sandboxes: Vec<Sandbox> = Vec::with_capacity(most);
    let mut make = Samples::with_capacity(most);
    let mut end = None;
    let (mut take_down_at, mut make_again) = (Vec::new(), Vec::new());
    while sandboxes.len() < most {
        match maker.make() {
            Ok((sandbox, time)) => {
                make.push(time);
                sandboxes.push(sandbox);
            }
            Err(error) => {
                if !is_limit(&error) || sandboxes.is_empty() {
                    return Err(error);
                }
                end = Some(error.to_string());
                break;
            }
        }
        let n = sandboxes.len();
        if checkpoints.contains(&n) {
            let (make, cost) = come_and_go(maker)?;
            take_down_at.push(GrowthPoint { n, cost });
            // Around the tenth, most of these would be missing.
            if n > WINDOW {
                make_again.push((n, make));
            }
        }
        if n.is_multiple_of(100) {
            progress();
        }
    }
    let reached = sandboxes.len();
    let memory = Memory::now()?.since(&before).each(reached);
    let begin = Instant::now();
    drop(sandboxes);
    maker.network().wait_reclaimed(LIMIT)?;
    let each = u32::try_from(reached.max(1)).unwrap_or(u32::MAX);
    let take_down = begin.elapsed() / each;
    tenth.append(&beginnings(maker)?);
    Ok(Growth { make, reached, end, memory, take_down, take_down_at, make_again, tenth })
}

/// The tenth sandbox and its neighbours, several times.
fn beginnings(maker: &mut Maker) -> Result<Samples> {
    let mut tenth = Samples::default();
    for _ in 0..BEGINNINGS {
        let mut sandboxes = Vec::with_capacity(BEGINNING);
        for number in 1..=BEGINNING {
            let (sandbox, time) = maker.make()?;
            sandboxes.push(sandbox);
            if number.abs_diff(10) <= 5 {
                tenth.push(time);
            }
        }
        drop(sandboxes);
        maker.network().wait_reclaimed(LIMIT)?;
        thread::sleep(REST);
    }
    Ok(tenth)
}

/// What it costs to make one of [`GROUP`] sandboxes, for each of some groups, and to take down one of them when all are
/// closed at once.
fn come_and_go(maker: &mut Maker) -> Result<(Samples, Duration)> {
    let (mut make, mut take_down) = (Samples::default(), Samples::default());
    for _ in 0..GROUPS {
        let mut group = Vec::with_capacity(GROUP as usize);
        let mut times = Samples::default();
        for _ in 0..GROUP {
            let (sandbox, time) = maker.make()?;
            times.push(time);
            group.push(sandbox);
        }
        make.push(times.quantile(0.5));
        let begin = Instant::now();
        drop(group);
        maker.network().wait_reclaimed(LIMIT)?;
        take_down.push(begin.elapsed() / GROUP);
        thread::sleep(REST);
    }
    Ok((make, take_down.quantile(0.5)))
}

/// Whether there can be no more: of numbers, namespaces, descriptors or memory.
fn is_limit(error: &crate::BenchFailure) -> bool {
    let Some(error) = error.downcast_ref::<netns_core::Error>() else { return false };
    matches!(error.cause(), Cause::Exhausted(_))
        || matches!(
            error.errno(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOSPC | libc::EXFULL)
        )
}
