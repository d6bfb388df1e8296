//! Everything, one after the other.

use crate::churn::{ChurnWay, GROUP, churn};
use crate::compare::{Bare, Compared, Contender, OurContender, Turns, compare, duel, reclaim};
use crate::egress::egress;
use crate::encode;
use crate::first_packet::first_packet;
use crate::floor::{Floor, STEPS};
use crate::goals;
use crate::growth::{Growth, growth};
use crate::machine::BenchMachine;
use crate::packet::packet;
use crate::report::{BarTime, ChurnLine, Curve, GrowthLine, Report, ResultLine, Row, SetupSteps, now};
use crate::samples::{Samples, micros};
use crate::sandboxes::{Kind, Maker};
use crate::throughput::throughput;
use crate::{Result, host, peers, pool};
use std::time::Instant;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct BenchPlan {
    /// Whether the peers are measured.
    pub peers: bool,
    /// Making, compared.
    pub turns: Turns,
    /// Taking down until the kernel has reclaimed, compared.
    pub reclaim: Turns,
    /// Sandboxes that the library and the floor make one after the other.
    pub duel: usize,
    /// Sandboxes of each kind whose steps are timed.
    pub steps: usize,
    /// Sandboxes that come and go, for each number of living ones; in whole groups where they go in groups.
    pub churn: usize,
    /// Of those that are deleted one by one, which takes long.
    pub deleted: usize,
    /// Fresh sandboxes that connect, for each number of living ones.
    pub first_packets: usize,
    /// Sandboxes taken from the pool.
    pub acquired: usize,
    /// How many there are at once in the end.
    pub most: usize,
    /// Turns of traffic.
    pub throughput: usize,
}

impl BenchPlan {
    /// Less than a minute, without peers.
    pub const QUICK: Self = Self {
        peers: false,
        turns: Turns { turns: 5, each: 32 },
        reclaim: Turns { turns: 1, each: 256 },
        duel: 256,
        steps: 64,
        churn: 300,
        deleted: 16,
        first_packets: 2_000,
        acquired: 900,
        most: 1_000,
        throughput: 20,
    };
    /// Some minutes.
    pub const FULL: Self = Self {
        peers: false,
        turns: Turns { turns: 8, each: 32 },
        reclaim: Turns { turns: 3, each: 256 },
        duel: 1_024,
        steps: 512,
        churn: 1_000,
        deleted: 64,
        first_packets: 2_000,
        acquired: 3_000,
        most: 10_000,
        throughput: 160,
    };
}

/// After how many all are dropped, in the duels and the steps.
const DUEL: usize = 32;
/// How many are alive while others come and go.
const ALIVE: [usize; 3] = [0, 64, 512];
/// How many are ready in the pool, how many are taken a second, and how many in a burst.
const POOL: (usize, u32, usize) = (256, 300, 512);
/// Where growth is looked at: the tenth is what the others are compared with.
const CHECKPOINTS: [usize; 4] = [10, 1_000, 4_000, 10_000];

/// Measures everything. `progress` gets what is being done, how much of it is done, and of how much.
///
/// # Errors
/// If anything fails, with its name.
pub fn run(plan: BenchPlan, mut progress: impl FnMut(&str, usize, usize)) -> Result<Report> {
    let begin = Instant::now();
    let machine = BenchMachine::this()?;
    progress("encode", 0, 1);
    let encode = encode::measure(31, 2_000);
    let mut rows = encoded(&encode);

    let duels = duels(plan, &mut rows, &mut progress)?;
    let contest = contend(plan, &mut progress)?;
    rows.extend(goals::compared(&contest.compared, &contest.reclaimed, contest.each));
    let setup = contest
        .compared
        .iter()
        .map(|one| BarTime { name: one.name.clone(), us: one.make.median_us() })
        .collect();
    let steps = steps(plan, &duels, &mut progress)?;

    let mut makers = Makers::default();
    let (churn, churn_latency) = churns(plan, makers.next()?, &mut progress)?;
    rows.extend(churn.iter().map(churn_row));
    let first_packet = first_packets(plan, makers.next()?, &mut rows, &mut progress)?;
    let pool = pools(plan, makers.next()?, &mut rows, &mut progress)?;
    let grown = growth(makers.next()?, plan.most, &CHECKPOINTS, {
        let mut done = 0;
        let progress = &mut progress;
        move || {
            done += 100;
            progress("growth", done, plan.most);
        }
    })?;
    rows.extend(growth_rows(&grown));
    progress("program", 0, 1);
    rows.extend(packet()?);
    rows.extend(egress()?);
    if plan.peers {
        rows.extend(throughput(plan.throughput, |ports| progress("throughput", ports.into(), 512))?);
    }
    explain(&mut rows);
    Ok(Report {
        load_after: BenchMachine::this()?.load,
        machine,
        date: now(),
        seconds: begin.elapsed().as_secs_f64(),
        missing: contest.missing,
        rows,
        setup,
        steps,
        encode,
        churn,
        churn_latency,
        first_packet,
        growth: GrowthLine::from(&grown),
        pool,
    })
}

/// Gives each subject a network of its own.
#[derive(Debug, Default)]
struct Makers(Vec<Maker>);

impl Makers {
    fn next(&mut self) -> Result<&mut Maker> {
        // The numbers before are those of the comparison.
        let number = 20 + self.0.len() as u8;
        self.0.push(Maker::new(number, Kind::ANONYMOUS)?);
        self.0.last_mut().ok_or_else(|| "there is no maker".into())
    }
}

fn encoded(results: &[encode::Encoded]) -> Vec<Row> {
    let mut rows = Vec::new();
    for three in results.chunks_exact(3) {
        let [ours, others @ ..] = three else { continue };
        for other in others {
            let name = format!("encode: {}", ours.message);
            rows.push(goals::against(&name, ours.nanos / 1e3, other.library, other.nanos / 1e3, None));
        }
    }
    rows
}

/// The results of the contenders that took turns.
struct Contest {
    compared: Vec<Compared>,
    /// For each of them, in their order, taking one down until it is reclaimed.
    reclaimed: Vec<Samples>,
    /// How many were taken down at once.
    each: u32,
    /// What was left out, and why.
    missing: Vec<String>,
}

fn contend(plan: BenchPlan, progress: &mut impl FnMut(&str, usize, usize)) -> Result<Contest> {
    let mut contenders: Vec<Box<dyn Contender>> = Vec::new();
    let mut missing = Vec::new();
    for (number, kind) in (0..).zip(Kind::ALL) {
        contenders.push(Box::new(OurContender::new(number, kind)?));
    }
    contenders.push(Box::new(Bare::new(10, Kind::ANONYMOUS)?));
    if plan.peers {
        let (here, not_here) = peers::all()?;
        contenders.extend(here);
        missing = not_here;
    }
    let (mut done, all) = (0, contenders.len() * (plan.turns.turns + 1));
    let compared = compare(&mut contenders, plan.turns, || {
        done += 1;
        progress("set up and take down", done, all);
    })?;
    let (mut done, all) = (0, contenders.len() * plan.reclaim.turns);
    let reclaimed = reclaim(&mut contenders, plan.reclaim, || {
        done += 1;
        progress("take down many", done, all);
    })?;
    Ok(Contest { compared, reclaimed, each: plan.reclaim.each, missing })
}

/// The library and the floor, one sandbox each in turns: how much longer the library takes, in microseconds.
fn duels(
    plan: BenchPlan,
    rows: &mut Vec<Row>,
    progress: &mut impl FnMut(&str, usize, usize),
) -> Result<[(Kind, f64); 2]> {
    let mut results = [(Kind::ANONYMOUS, 0.0), (Kind::NAMED, 0.0)];
    for (number, (kind, above)) in (0..).zip(&mut results) {
        progress("the floor", usize::from(number), 2);
        let mut pair: [Box<dyn Contender>; 2] =
            [Box::new(OurContender::new(40 + number, *kind)?), Box::new(Bare::new(50 + number, *kind)?)];
        let [ours, bare] = duel(&mut pair, plan.duel, DUEL)?;
        *above = ours.median_us() - bare.median_us();
        let name = format!("create, {}", kind.name);
        rows.push(goals::samples_at_most(&name, &ours, "the floor", &bare, Some(goals::FLOOR)));
        let often = Turns { turns: 2 * plan.reclaim.turns, ..plan.reclaim };
        if let [ours, bare] = &*reclaim(&mut pair, often, || {})? {
            let name = format!("take down {} until reclaimed, each, {}", often.each, kind.name);
            rows.push(goals::samples_at_most(&name, ours, "the floor", bare, Some(goals::FLOOR)));
        }
    }
    Ok(results)
}

/// What each step of one sandbox takes, and what the library takes beyond them, where that was measured.
fn steps(
    plan: BenchPlan,
    above: &[(Kind, f64)],
    progress: &mut impl FnMut(&str, usize, usize),
) -> Result<Vec<SetupSteps>> {
    let mut all = Vec::new();
    for (number, kind) in Kind::ALL.into_iter().enumerate() {
        progress("steps", number, Kind::ALL.len());
        let mut floor = Floor::new(12 + number as u8, kind)?;
        let links = host::links()?;
        let mut samples: [Samples; STEPS.len()] = Default::default();
        for number in 0..plan.steps {
            floor.time_steps(&mut samples)?;
            if number % DUEL == DUEL - 1 {
                floor.drop_all()?;
                host::wait_for_links(links)?;
            }
        }
        floor.drop_all()?;
        let timed = STEPS.iter().zip(&samples).filter(|(_, samples)| !samples.all().is_empty());
        let mut steps: Vec<BarTime> = timed
            .map(|(name, samples)| BarTime { name: (*name).to_owned(), us: samples.median_us() })
            .collect();
        if let Some((_, above)) = above.iter().find(|(other, _)| *other == kind) {
            steps.push(BarTime { name: "the library itself".to_owned(), us: above.max(0.0) });
        }
        all.push(SetupSteps { kind: kind.name.to_owned(), steps });
    }
    Ok(all)
}

fn churns(
    plan: BenchPlan,
    maker: &mut Maker,
    progress: &mut impl FnMut(&str, usize, usize),
) -> Result<(Vec<ChurnLine>, Vec<Curve>)> {
    let (mut lines, mut curves) = (Vec::new(), Vec::new());
    let (mut done, all) = (0, ALIVE.len() * ChurnWay::ALL.len());
    for alive in ALIVE {
        for way in ChurnWay::ALL {
            progress("churn", done, all);
            done += 1;
            let count = match way {
                ChurnWay::Close => plan.churn,
                ChurnWay::Delete => plan.deleted,
                ChurnWay::Group => plan.churn.next_multiple_of(GROUP),
            };
            let churn = churn(maker, alive, count, way)?;
            if way == ChurnWay::Close {
                let points = churn.make.distribution(40);
                curves.push(Curve { name: format!("{alive} alive"), points });
            }
            lines.push(ChurnLine {
                alive,
                way: way.name().to_owned(),
                per_second: churn.per_second(),
                make: churn.make.summary(),
                give_up: churn.give_up.summary(),
            });
        }
    }
    Ok((lines, curves))
}

fn churn_row(line: &ChurnLine) -> Row {
    let name = format!("come and go, {} alive, {}: {:.0}/s", line.alive, line.way, line.per_second);
    goals::within(&name, 1e6 / line.per_second, None)
}

fn first_packets(
    plan: BenchPlan,
    maker: &mut Maker,
    rows: &mut Vec<Row>,
    progress: &mut impl FnMut(&str, usize, usize),
) -> Result<Vec<ResultLine>> {
    let mut lines = Vec::new();
    for (number, alive) in ALIVE.into_iter().enumerate() {
        progress("first packets", number, ALIVE.len());
        // The goal is for about two thousand; the others show that the number of living ones does not matter.
        let count = if alive == 0 { plan.first_packets } else { plan.churn };
        let times = first_packet(maker, alive, count)?;
        if alive == 0 {
            let mut all = times.to_old.clone();
            all.append(&times.to_fresh);
            let summary = all.summary();
            rows.push(goals::within(
                "first connection of a fresh sandbox, p99.9",
                summary.p999_us,
                Some(5_000.0),
            ));
            let name = format!(
                "first connection of a fresh sandbox, slowest of {} (neighbour table full {} times)",
                summary.count, times.full_tables
            );
            rows.push(goals::within(&name, summary.max_us, Some(50_000.0)));
        }
        for (what, samples) in [
            ("to an old one", &times.to_old),
            ("to a fresh one", &times.to_fresh),
            ("from nothing to connected", &times.from_nothing),
        ] {
            lines.push(ResultLine { name: format!("{alive} alive, {what}"), times: samples.summary() });
        }
    }
    Ok(lines)
}

fn pools(
    plan: BenchPlan,
    maker: &mut Maker,
    rows: &mut Vec<Row>,
    progress: &mut impl FnMut(&str, usize, usize),
) -> Result<Vec<ResultLine>> {
    let (ready, rate, burst) = POOL;
    progress("pool", 0, 2);
    let steady = pool::steady(maker, ready, rate, plan.acquired)?;
    let summary = steady.acquire.summary();
    let name = format!("pool: acquire at {rate}/s, p99 ({} of {} not ready)", steady.direct, summary.count);
    rows.push(goals::within(&name, summary.p99_us, Some(20.0)));
    progress("pool", 1, 2);
    let burst = pool::burst(maker, ready, burst)?;
    let bursts = burst.acquire.summary();
    let name = format!("pool of {ready}: burst of {} ({} made directly), each", bursts.count, burst.direct);
    rows.push(goals::within(&name, bursts.mean_us, None));
    Ok(vec![
        ResultLine {
            name: format!("acquire at {:.0}/s from {ready} ready", steady.per_second),
            times: summary,
        },
        ResultLine { name: format!("burst of {} from {ready} ready", bursts.count), times: bursts },
    ])
}

fn growth_rows(growth: &Growth) -> Vec<Row> {
    let mut rows = Vec::new();
    let tenth = micros(growth.tenth());
    let goals = [(1_000, Some(1.3)), (4_000, Some(1.5)), (10_000, None)];
    for (n, goal) in goals {
        if let Some(cost) = growth.at(n) {
            rows.push(goals::at_most(&format!("create the {n}th"), micros(cost), "the 10th", tenth, goal));
        }
    }
    let take_down = |wanted| growth.take_down_at.iter().find(|point| point.n == wanted);
    if let Some(few) = take_down(10) {
        for (n, _) in goals {
            let Some(many) = take_down(n) else { continue };
            let name = format!("take down until reclaimed, {n} others alive");
            let goal = (n < 10_000).then_some(1.5);
            rows.push(goals::at_most(&name, micros(many.cost), "10 others alive", micros(few.cost), goal));
        }
    }
    rows
}

/// Gives the reasons for missed goals, as far as they are known.
fn explain(rows: &mut [Row]) {
    let floors: Vec<(String, Option<f64>)> = rows
        .iter()
        .filter(|row| row.peer.as_deref() == Some("the floor"))
        .map(|row| (row.name.clone(), row.peer_us))
        .collect();
    for row in rows.iter_mut().filter(|row| row.met == Some(false) && row.reason.is_none()) {
        let floor = floors.iter().find(|(name, _)| *name == row.name).and_then(|(_, us)| *us);
        row.reason = Some(goals::reason(row, floor));
    }
}
