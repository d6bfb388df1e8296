//! Which numbers can be taken: what the network remembers, and what the kernel says of dropped sandboxes.

use super::books::Books;
use super::ledger::{Ledger, Ticket};
use super::place::BridgePlace;
use super::reclaim::Heard;
use super::shared::Shared;
use crate::error::Operation;
use crate::link::{self, Link};
use crate::sys::deadline::Deadline;
use crate::sys::poll;
use crate::{Error, Result, RouteSocket};
use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How many sandboxes are made before the kernel's notices are read again, if there are numbers without them.
const READ_EVERY: u32 = 16;
/// While a limit is reached: how long to wait for a notice before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long after it was made nobody may be waiting for the notices of a further bridge.
const BRIDGES_COME: Duration = Duration::from_secs(1);
/// How long after its port has gone a namespace may still count, on a busy machine. The kernel waits in between for everybody who may be
/// looking at it (`rcu_barrier` in `cleanup_net`,
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/net_namespace.c>).
const LINGERS: Duration = Duration::from_secs(5);

impl Shared {
    /// A free number, if need be after the kernel has reclaimed some.
    pub(super) fn take(&self, deadline: &mut Deadline) -> Result<Ticket> {
        let taken = self.await_number(deadline);
        self.release_slots();
        let ticket = taken?;
        if let Err(error) = self.withdraw_before(ticket.number) {
            self.note(ticket.number, |ledger| ledger.give_back(ticket));
            return Err(error);
        }
        Ok(ticket)
    }

    fn await_number(&self, deadline: &mut Deadline) -> Result<Ticket> {
        loop {
            let mut books = self.books();
            let waiting = books.ledger.leaving();
            let crowded = waiting > self.backlog;
            let due = books.ledger.recycled() == 0 && books.taken >= READ_EVERY;
            if waiting > 0 && (due || crowded || !books.ledger.available()) {
                self.read_notices_into(&mut books)?;
            }
            if books.ledger.leaving() <= self.backlog {
                if let Some(ticket) = books.ledger.take() {
                    books.taken += 1;
                    return Ok(ticket);
                }
            }
            let (used, waiting) = (books.ledger.used(), books.coming());
            drop(books);
            if self.release_slots() {
                continue;
            }
            let left = deadline.left();
            if left.is_zero() || waiting == 0 {
                let why = format!(
                    "{used} of {} are in use and {waiting} dropped ones are not reclaimed by the kernel yet",
                    self.recipe.plan.capacity
                );
                return Err(Error::exhausted(
                    Operation::CreateSandbox,
                    self.recipe.plan.name.to_string(),
                    why,
                ));
            }
            self.wait_notice(&mut Deadline::new(left.min(LOOK_AGAIN)))?;
        }
    }

    /// Waits a little for the kernel to reclaim something; whether it makes sense to try again.
    pub(super) fn wait_for_room(&self, deadline: &mut Deadline) -> Result<bool> {
        let books = self.books();
        let coming = books.coming() > 0 || books.reclaimed.is_some_and(|at| at.elapsed() < LINGERS);
        drop(books);
        if !coming || !deadline.sleep(LOOK_AGAIN) {
            return Ok(false);
        }
        self.read_notices()?;
        Ok(true)
    }

    /// Changes the ledger, of this number, and gives a slot that is free now back to the program.
    pub(super) fn note(&self, number: u32, change: impl FnOnce(&mut Ledger) -> Option<u16>) {
        let mut books = self.books();
        let slot = change(&mut books.ledger);
        books.hold(number, slot);
        drop(books);
        self.release_slots();
    }

    /// Has somebody look at the ports of a bridge when notices are read next.
    pub(super) fn doubt(&self, bridge: u32) {
        self.books().unsure[bridge as usize] = true;
    }

    /// Gives the program back the slots of ports that are gone, and lets their numbers be taken; whether there were any.
    fn release_slots(&self) -> bool {
        let Some(program) = &self.program else { return false };
        let mut any = false;
        loop {
            let Some((number, slot)) = self.books().next_released() else { return any };
            program.release(slot);
            self.books().let_go(number);
            any = true;
        }
    }

    /// Waits for a notice of the kernel, of some port that is waited for.
    pub(super) fn wait_notice(&self, deadline: &mut Deadline) -> Result<()> {
        let bridge = self.books().ledger.bridge_with_leaving();
        match bridge.and_then(|bridge| self.places[bridge as usize].get()) {
            Some(place) => place.reclaim.wait(deadline).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Waits for notices of any bridge, and reads them; `false` if `stopped` became readable or was closed instead.
    pub(super) fn await_notices(&self, stopped: BorrowedFd<'_>, settle: Duration) -> bool {
        loop {
            let places = self.places.iter().filter_map(OnceLock::get);
            let mut entries: Vec<_> = places.map(|place| poll::entry(place.reclaim.as_fd())).collect();
            entries.push(poll::entry(stopped));
            // A bridge that is made meanwhile is waited for from the next time on.
            let waited = poll::any_readable(&mut entries, &mut Deadline::new(BRIDGES_COME));
            let is_stopped = entries.pop().is_some_and(|entry| entry.revents != 0);
            if !is_stopped {
                // Once a second if nothing else happens. A caller of `Network::restore_way_out` gets the error.
                let _ = self.restore_way_out();
            }
            match waited {
                _ if is_stopped => return false,
                Ok(false) => continue,
                // Those who need a number read them too, and say what is wrong.
                Ok(true) => drop(self.read_all_notices()),
                Err(_) => {}
            }
            // Unless it is stopped meanwhile.
            return !matches!(poll::readable(stopped, &mut Deadline::new(settle)), Ok(true));
        }
    }

    /// Reads the kernel's notices of reclaimed ports.
    pub(super) fn read_notices(&self) -> Result<()> {
        let read = self.read_notices_into(&mut self.books());
        self.release_slots();
        read
    }

    /// Reads all notices, those of ports that nobody waits for included: of sandboxes whose port somebody deleted.
    pub(super) fn read_all_notices(&self) -> Result<()> {
        let read = self.read_all_notices_into(&mut self.books());
        self.release_slots();
        read
    }

    fn read_all_notices_into(&self, books: &mut Books) -> Result<()> {
        for (bridge, place) in (0..).zip(&self.places) {
            if let Some(place) = place.get() {
                self.read_notices_of(place, bridge, books)?;
            }
        }
        self.read_notices_into(books)
    }

    fn read_notices_into(&self, books: &mut Books) -> Result<()> {
        books.taken = 0;
        for (bridge, place) in (0..).zip(&self.places) {
            // Where nobody is waited for, what there is can wait too.
            let Some(place) = place.get().filter(|_| books.is_interesting(bridge)) else { continue };
            self.read_notices_of(place, bridge, books)?;
            if books.unsure[bridge as usize] {
                self.look(place, bridge, books)?;
            }
        }
        Ok(())
    }

    /// Reads the notices of one bridge.
    fn read_notices_of(&self, place: &BridgePlace, bridge: u32, books: &mut Books) -> Result<()> {
        let mut heard_any = false;
        while place.reclaim.read(|heard| match heard {
            Heard::Lost => books.unsure[bridge as usize] = true,
            Heard::Gone(port, name) => {
                // A link of somebody else that had the index of a port has another name.
                let number = self.recipe.plan.number(port);
                if let Some(number) = number.filter(|&number| self.recipe.plan.port_name(number) == name) {
                    heard_any = true;
                    let slot = books.ledger.gone(number);
                    books.hold(number, slot);
                }
            }
        })? {}
        if heard_any {
            books.reclaimed = Some(Instant::now());
        }
        Ok(())
    }

    /// Looks which ports of a bridge are there, because notices do not say it.
    fn look(&self, place: &BridgePlace, bridge: u32, books: &mut Books) -> Result<()> {
        let plan = &self.recipe.plan;
        let expected: Vec<Ticket> = books.ledger.expected(bridge).collect();
        let links = link::list(&mut RouteSocket::open_in(&place.namespace)?)?;
        // A link of somebody else has another name, even where it has the index of a port.
        let is_port = |link: &Link| {
            let number = plan.number(link.index);
            number.filter(|&number| plan.port_name(number) == link.name)
        };
        let there: HashSet<u32> = links.iter().filter_map(is_port).collect();
        books.unsure[bridge as usize] = false;
        // The end of a port that is not there was announced by now. If the notice was not lost it is read here, lest it
        // be taken for that of the next port with this index.
        self.read_notices_of(place, bridge, books)?;
        for ticket in expected.into_iter().filter(|ticket| !there.contains(&ticket.number)) {
            books.reclaimed = Some(Instant::now());
            let slot = books.ledger.absent(ticket);
            books.hold(ticket.number, slot);
        }
        Ok(())
    }
}
