//! How fast each contender makes a sandbox: all in the same run, in turns.

use crate::floor::Floor;
use crate::samples::Samples;
use crate::sandboxes::{Kind, Maker};
use crate::{Result, host};
use netns_core::network::Sandbox;
use std::thread;
use std::time::{Duration, Instant};

/// How long the machine is left alone after each turn.
const REST: Duration = Duration::from_millis(20);

/// Something that makes sandboxes: a namespace with an `eth0` that is up, an address, a port on a bridge that is up,
/// and a default route if it can.
pub trait Contender {
    /// What it is called in tables.
    fn name(&self) -> &str;

    /// Makes one; returns how long that took.
    ///
    /// # Errors
    /// If it fails.
    fn make(&mut self) -> Result<Duration>;

    /// Takes down everything that it made, and waits only as long as its own way of doing so waits.
    ///
    /// # Errors
    /// If it fails.
    fn drop_all(&mut self) -> Result<()>;

    /// Waits until the kernel has reclaimed everything that it dropped, and `links` links are left here.
    ///
    /// # Errors
    /// If that takes too long.
    fn wait_reclaimed(&mut self, links: usize) -> Result<()> {
        host::wait_for_links(links)
    }
}

/// What was measured of a contender.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// Making one sandbox.
    pub make: Samples,
    /// Taking one down, as long as the caller has to wait for it: the mean of a turn.
    pub take_down: Samples,
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Turns {
    /// How many turns each has.
    pub turns: usize,
    /// How many sandboxes it makes and takes down in each.
    pub each: u32,
}

/// Lets the contenders take turns, each turn with another one first. The first turn is not counted: it makes bridges,
/// caches and files. `progress` is called for every turn.
///
/// # Errors
/// If one of them fails, with its name.
pub fn compare(
    contenders: &mut [Box<dyn Contender>],
    plan: Turns,
    mut progress: impl FnMut(),
) -> Result<Vec<Compared>> {
    let mut results: Vec<Compared> = contenders
        .iter()
        .map(|contender| Compared {
            name: contender.name().to_owned(),
            make: Samples::default(),
            take_down: Samples::default(),
        })
        .collect();
    for turn in 0..=plan.turns {
        for place in 0..contenders.len() {
            let who = (place + turn) % contenders.len();
            let contender = &mut contenders[who];
            let turn_of_one = take_turn(&mut **contender, plan.each)
                .map_err(|error| format!("{}: {error}", contender.name()))?;
            if turn > 0 {
                results[who].make.append(&turn_of_one.make);
                results[who].take_down.push(turn_of_one.take_down);
            }
            progress();
        }
    }
    Ok(results)
}

/// Lets the contenders take turns in making many and taking all of them down, and returns what each costs until the
/// kernel has reclaimed it. The kernel starts late and reclaims what it finds together, so this is a cost of many.
///
/// # Errors
/// If one of them fails, with its name.
pub fn reclaim(
    contenders: &mut [Box<dyn Contender>],
    plan: Turns,
    mut progress: impl FnMut(),
) -> Result<Vec<Samples>> {
    let mut results = vec![Samples::default(); contenders.len()];
    for turn in 0..plan.turns {
        for place in 0..contenders.len() {
            let who = (place + turn) % contenders.len();
            let contender = &mut contenders[who];
            let turn_of_one = take_turn(&mut **contender, plan.each)
                .map_err(|error| format!("{}: {error}", contender.name()))?;
            results[who].push(turn_of_one.reclaim);
            progress();
        }
    }
    Ok(results)
}

/// What a turn took.
struct Turn {
    /// Making each.
    make: Samples,
    /// Taking one down, as long as the caller has to wait for it: the mean.
    take_down: Duration,
    /// Taking one down until the kernel has reclaimed it: the mean.
    reclaim: Duration,
}

/// Makes and takes down `each` sandboxes.
fn take_turn(contender: &mut dyn Contender, each: u32) -> Result<Turn> {
    let mut make = Samples::with_capacity(each as usize);
    make.push(contender.make()?);
    // Its bridge exists by now. Each sandbox has one link on the host.
    let links = host::links()?;
    for _ in 1..each {
        make.push(contender.make()?);
    }
    let begin = Instant::now();
    contender.drop_all()?;
    let take_down = begin.elapsed() / each;
    contender.wait_reclaimed(links - 1)?;
    let reclaim = begin.elapsed() / each;
    thread::sleep(REST);
    Ok(Turn { make, take_down, reclaim })
}

/// Lets two make `count` sandboxes each, one after the other, and returns what each took. They alternate in going
/// first, so that whatever else the machine does affects both. After every `each` pairs, all are dropped and reclaimed.
///
/// # Errors
/// If one of them fails.
pub fn duel(pair: &mut [Box<dyn Contender>; 2], count: usize, each: usize) -> Result<[Samples; 2]> {
    let mut samples = [Samples::with_capacity(count), Samples::with_capacity(count)];
    let links = host::links()?;
    for number in 0..count {
        for place in 0..2 {
            let who = (place + number) % 2;
            samples[who].push(pair[who].make()?);
        }
        if number % each == each - 1 || number == count - 1 {
            for contender in pair.iter_mut() {
                contender.drop_all()?;
                contender.wait_reclaimed(links)?;
            }
            thread::sleep(REST);
        }
    }
    Ok(samples)
}

/// Ourselves: sandboxes of a kind, made and dropped.
#[derive(Debug)]
pub struct OurContender {
    name: String,
    maker: Maker,
    made: Vec<Sandbox>,
}

impl OurContender {
    /// In a network of its own, the `number`-th of the process.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(number: u8, kind: Kind) -> Result<Self> {
        let maker = Maker::new(number, kind)?;
        Ok(Self { name: format!("netns-core ({})", kind.name), maker, made: Vec::with_capacity(1024) })
    }
}

impl Contender for OurContender {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&mut self) -> Result<Duration> {
        let (sandbox, time) = self.maker.make()?;
        self.made.push(sandbox);
        Ok(time)
    }

    fn drop_all(&mut self) -> Result<()> {
        self.made.clear();
        Ok(())
    }

    /// Ports may be elsewhere: a network makes further bridges in namespaces of their own.
    fn wait_reclaimed(&mut self, _links: usize) -> Result<()> {
        Ok(self.maker.network().wait_reclaimed(host::LIMIT)?)
    }
}

/// The kernel alone: see [`Floor`].
#[derive(Debug)]
pub struct Bare {
    name: String,
    floor: Floor,
}

impl Bare {
    /// As [`Floor::new`].
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(number: u8, kind: Kind) -> Result<Self> {
        Ok(Self { name: format!("the floor ({})", kind.name), floor: Floor::new(number, kind)? })
    }
}

impl Contender for Bare {
    fn name(&self) -> &str {
        &self.name
    }

    fn make(&mut self) -> Result<Duration> {
        self.floor.make()
    }

    fn drop_all(&mut self) -> Result<()> {
        self.floor.drop_all()
    }
}
