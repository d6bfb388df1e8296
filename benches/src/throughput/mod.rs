//! What validation costs traffic: how fast two namespaces talk over a bridge with no program on its ports, with ours,
//! and with the same anti-spoofing rules in nftables' bridge family; with few ports and with many.
//!
//! Each contender has a bridge and ports of its own, which all exist at once, and they take short turns: what a shared
//! machine does for a second affects all of them, and a ratio is the median of the rounds' ratios. Where a bridge
//! happens to lie in memory is worth some per cent, so they are made anew now and then.

mod guard;
mod nftables;
mod traffic;
mod world;

use crate::report::Row;
use crate::samples::Samples;
use crate::{Result, goals, host};
use guard::Guard;
use netns_ebpf::Mode;
use std::time::{Duration, Instant};
use world::World;

/// How many ports the bridges have.
pub const PORTS: [u16; 3] = [2, 64, 512];
/// At least 95 % of the throughput without a program.
const SLOWER: f64 = 1.053;
/// For how many turns bridges of these sizes stay: larger ones take longer to make.
const TURNS: [usize; 3] = [5, 10, 40];

/// Measures with at least `turns` turns for each; `progress` is called for every size.
///
/// # Errors
/// If the kernel refuses, or nft is not there.
pub fn throughput(turns: usize, mut progress: impl FnMut(u16)) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (ports, stay) in PORTS.into_iter().zip(TURNS) {
        progress(ports);
        let mut results: [[Samples; 2]; Guard::ALL.len()] = Default::default();
        for _ in 0..turns.div_ceil(stay) {
            take_turns(ports, stay, &mut results)?;
        }
        rows.extend(compared(ports, &results));
    }
    Ok(rows)
}

/// Small datagrams on the smallest bridge of one contender for this long, for a profiler to look at; returns how long
/// each took.
///
/// # Errors
/// If there is no such contender, or the kernel refuses.
pub fn datagrams(contender: &str, time: Duration) -> Result<Samples> {
    let guard = Guard::ALL.into_iter().find(|guard| guard.name() == contender).ok_or_else(|| {
        format!("contenders are {}", Guard::ALL.map(|guard| format!("{:?}", guard.name())).join(", "))
    })?;
    let world = World::new(guard, PORTS[0])?;
    let (begin, mut samples) = (Instant::now(), Samples::default());
    while begin.elapsed() < time {
        samples.push(world.datagrams()?);
    }
    Ok(samples)
}

/// Makes everybody's bridge, and lets them take this many turns on it.
fn take_turns(ports: u16, turns: usize, results: &mut [[Samples; 2]; Guard::ALL.len()]) -> Result<()> {
    let worlds = Guard::ALL.map(|guard| World::new(guard, ports));
    let worlds = worlds.into_iter().collect::<Result<Vec<_>>>()?;
    // The first turn is not counted: neighbours ask for each other in it.
    for turn in 0..=turns {
        for place in 0..worlds.len() {
            let who = (place + turn) % worlds.len();
            let world = &worlds[who];
            let failed = |error| format!("{}, {ports} ports: {error}", world.guard.name());
            let taken = [world.stream().map_err(failed)?, world.datagrams().map_err(failed)?];
            if turn > 0 {
                results[who].iter_mut().zip(taken).for_each(|(samples, time)| samples.push(time));
            }
        }
    }
    // The kernel must not take these down while the next are measured.
    let links = host::links()?;
    worlds.last().map_or(Ok(()), World::tie)?;
    drop(worlds);
    host::wait_for_links(links)
}

/// The rows of one size.
fn compared(ports: u16, results: &[[Samples; 2]]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, what) in ["TCP, a MiB", "UDP, a datagram of 64 bytes"].into_iter().enumerate() {
        let of = |guard| {
            let place = Guard::ALL.iter().position(|other| *other == guard).unwrap_or_default();
            &results[place][kind]
        };
        let (bare, empty, ours) = (of(Guard::Nothing), of(Guard::Empty), of(Guard::Ours(Mode::Enforce)));
        let ours_all = [
            Guard::Ours(Mode::Observe),
            Guard::Ours(Mode::Enforce),
            Guard::WithoutPairs,
            Guard::Barrier,
            Guard::Tcx,
        ];
        for guard in [Guard::Empty, Guard::Counters].into_iter().chain(ours_all) {
            let name = format!("{what}, {}, {ports} ports", guard.name());
            let goal = (guard != Guard::Empty).then_some(SLOWER);
            let row = goals::in_turns_at_most(&name, of(guard), Guard::Nothing.name(), bare, goal);
            let reason = why_slower(&row, empty.ratio_in_turns(bare));
            rows.push(Row { reason, ..row });
        }
        for peer in [Guard::Nftables, Guard::VerdictMap] {
            let name = format!("{what}, enforce, {ports} ports");
            let row = goals::in_turns_against(&name, ours, peer.name(), of(peer), Some(1.0));
            let reason = why_behind(&row);
            rows.push(Row { reason, ..row });
        }
    }
    rows
}

/// Why a port with our program is too slow, if it is; `empty` is how many times as long traffic takes with an empty
/// program.
fn why_slower(row: &Row, empty: f64) -> Option<String> {
    let ratio = row.ratio.filter(|_| row.met == Some(false))?;
    Some(format!(
        "an empty program at both hooks, which is what the kernel takes to run any filter (tc_run, cls_bpf_classify), takes \
         {empty:.3}x in this run; counting and judging are the other {:.1} %. TCX links take less: see their row, and the \
         hooks in DESIGN.md",
        100.0 * (ratio - empty).max(0.0)
    ))
}

/// Why a port that we guard is slower than one that nftables guards, if it is.
fn why_behind(row: &Row) -> Option<String> {
    /// Means of the same bridge, made anew, differ by this much.
    const NOISE: f64 = 0.05;
    let ratio = row.ratio.filter(|_| row.met == Some(false))?;
    (ratio > 1.0 - NOISE).then(|| {
        "less than what the same bridge, made anew, differs from itself. Segmentation offload puts some forty segments \
         into one frame, so neither costs a stream much"
            .to_owned()
    })
}
