//! Which numbers can be taken: what the network remembers, and what the kernel says of dropped sandboxes.

use super::fabric::Place;
use super::numbers::Numbers;
use super::plan::Plan;
use super::reclaim::Heard;
use super::shared::Shared;
use crate::sys::deadline::Deadline;
use crate::{Error, Result, RouteSocket, link};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How many sandboxes are made before the kernel's notices are read again, if there are numbers without them.
const READ_EVERY: u32 = 16;
/// While a limit is reached: how long to wait for a notice before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long after its port has gone a namespace may still count. The kernel waits in between for everybody who may be
/// looking at it (`rcu_barrier` in `cleanup_net`,
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/net_namespace.c>).
const LINGERS: Duration = Duration::from_secs(1);

/// The numbers, and how many were taken since the kernel's notices were read.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) numbers: Numbers,
    taken: u32,
    /// When it was last noticed that the kernel has reclaimed something.
    reclaimed: Option<Instant>,
    /// How many of the ports of each bridge wait for the kernel.
    waiting: Box<[u32]>,
}

impl Ledger {
    pub(super) fn new(plan: &Plan) -> Self {
        let waiting = vec![0; plan.shards() as usize].into();
        Self { numbers: Numbers::new(plan.capacity), taken: 0, reclaimed: None, waiting }
    }
}

impl Shared {
    /// A free number, if need be after the kernel has reclaimed some.
    pub(super) fn take(&self, deadline: &mut Deadline) -> Result<u32> {
        loop {
            let mut ledger = self.ledger();
            let waiting = ledger.numbers.leaving();
            let crowded = waiting > self.backlog;
            let due = ledger.numbers.recycled() == 0 && ledger.taken >= READ_EVERY;
            if waiting > 0 && (due || crowded || !ledger.numbers.available()) {
                self.read_notices_into(&mut ledger)?;
            }
            let crowded = ledger.numbers.leaving() > self.backlog;
            if !crowded {
                if ledger.numbers.fresh() % self.recipe.plan.per_bridge == 0 {
                    ledger.numbers.reserve(self.recipe.plan.per_bridge as usize);
                }
                if let Some(number) = ledger.numbers.take() {
                    ledger.taken += 1;
                    return Ok(number);
                }
            }
            let (used, waiting) = (ledger.numbers.used(), ledger.numbers.leaving());
            drop(ledger);
            let left = deadline.left();
            if left.is_zero() || waiting == 0 {
                let why = format!(
                    "{used} of {} are in use and {waiting} dropped ones are not reclaimed by the kernel yet",
                    self.recipe.plan.capacity
                );
                return Err(Error::exhausted("create sandbox", self.recipe.plan.name.to_string(), why));
            }
            self.wait_notice(&mut Deadline::new(left.min(LOOK_AGAIN)))?;
        }
    }

    /// Waits a little for the kernel to reclaim something; whether it makes sense to try again.
    pub(super) fn wait_for_room(&self, deadline: &mut Deadline) -> Result<bool> {
        let ledger = self.ledger();
        let coming =
            ledger.numbers.leaving() > 0 || ledger.reclaimed.is_some_and(|at| at.elapsed() < LINGERS);
        drop(ledger);
        let left = deadline.left();
        if left.is_zero() || !coming {
            return Ok(false);
        }
        std::thread::sleep(left.min(LOOK_AGAIN));
        self.read_notices()?;
        Ok(true)
    }

    /// Notes that a sandbox is about to be closed.
    pub(super) fn leave(&self, number: u32) {
        let mut ledger = self.ledger();
        let before = ledger.numbers.leaving();
        let slot = ledger.numbers.leave(number);
        let more = ledger.numbers.leaving() - before;
        ledger.waiting[self.recipe.plan.shard(number) as usize] += more;
        drop(ledger);
        self.release(slot);
    }

    /// Takes back the number of a sandbox that could not be made and is closed.
    pub(super) fn give_up(&self, number: u32) -> Result<()> {
        self.leave(number);
        let port = self.recipe.plan.port(number);
        let there = self.place(number).and_then(|place| link::get(&mut place.socket(), port).map(|_| ()));
        match there {
            // It was not made, or is gone already: no notice will come that is not there yet.
            Err(error) if error.errno() == Some(libc::ENODEV) => {
                self.read_notices()?;
                self.note_reclaimed(&mut self.ledger(), number);
                Ok(())
            }
            other => other,
        }
    }

    /// Notes that the kernel has reclaimed a port.
    fn note_reclaimed(&self, ledger: &mut Ledger, number: u32) {
        let before = ledger.numbers.leaving();
        let slot = ledger.numbers.reclaimed(number);
        ledger.waiting[self.recipe.plan.shard(number) as usize] -= before - ledger.numbers.leaving();
        self.release(slot);
    }

    fn release(&self, slot: Option<u16>) {
        if let Some((program, slot)) = self.program.as_ref().zip(slot) {
            program.release(slot);
        }
    }

    /// Waits for a notice of the kernel, of some port that is waited for.
    pub(super) fn wait_notice(&self, deadline: &mut Deadline) -> Result<()> {
        let waiting = self.ledger().waiting.iter().position(|&count| count > 0);
        match waiting.and_then(|shard| self.places[shard].get()) {
            Some(place) => place.reclaim.wait(deadline).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Reads the kernel's notices of reclaimed ports.
    pub(super) fn read_notices(&self) -> Result<()> {
        self.read_notices_into(&mut self.ledger())
    }

    fn read_notices_into(&self, ledger: &mut Ledger) -> Result<()> {
        ledger.taken = 0;
        for (shard, place) in self.places.iter().enumerate() {
            // Where nobody is waited for, what there is can wait too.
            let Some(place) = place.get().filter(|_| ledger.waiting[shard] > 0) else { continue };
            let mut lost = false;
            while place.reclaim.read(|heard| match heard {
                Heard::Lost => lost = true,
                Heard::Gone(port) => {
                    if let Some(number) = self.recipe.plan.number(port) {
                        ledger.reclaimed = Some(Instant::now());
                        self.note_reclaimed(ledger, number);
                    }
                }
            })? {}
            if lost {
                self.look(place, shard as u32, ledger)?;
            }
        }
        Ok(())
    }

    /// Looks which ports of a bridge are there, after notices were lost.
    fn look(&self, place: &Place, shard: u32, ledger: &mut Ledger) -> Result<()> {
        let plan = &self.recipe.plan;
        let links = link::list(&mut RouteSocket::open_in(&place.namespace)?)?;
        let there: HashSet<u32> = links.iter().map(|link| link.index).collect();
        let waited_for = ledger.numbers.all_leaving().filter(|&number| plan.shard(number) == shard);
        let gone: Vec<u32> = waited_for.filter(|&number| !there.contains(&plan.port(number))).collect();
        for number in gone {
            ledger.reclaimed = Some(Instant::now());
            self.note_reclaimed(ledger, number);
        }
        Ok(())
    }
}
