//! A number while somebody has it, and what becomes of it then.

use super::ledger::Ticket;
use super::recorded::RecordedPort;
use super::shared::Shared;
use crate::error::{Cause, Operation};
use crate::sys::deadline::Deadline;
use crate::{Error, Result, link};
use std::sync::Arc;

/// A number, and whether there is a port of it.
#[derive(Debug)]
pub(super) struct Claim {
    shared: Arc<Shared>,
    pub(super) ticket: Ticket,
    pub(super) port: PortProgress,
    /// Whether the other end of the port is in a namespace of somebody else, which does not end with the sandbox.
    pub(super) lent: bool,
}

/// What is known of the port that belongs to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortProgress {
    /// It was not made.
    None,
    /// Somebody else has a link of its index or name.
    Clash,
    /// The kernel was asked to make it, and has not answered.
    Perhaps,
    /// It was made.
    Made,
    /// It is a sandbox's.
    Used,
}

impl Claim {
    pub(super) fn take(shared: &Arc<Shared>, deadline: &mut Deadline) -> Result<Self> {
        let ticket = shared.take(deadline)?;
        Ok(Self { shared: Arc::clone(shared), ticket, port: PortProgress::None, lent: false })
    }

    /// The number of a port that was made by another process.
    pub(super) fn adopt(shared: &Arc<Shared>, RecordedPort { number, lent }: RecordedPort) -> Self {
        let ticket = shared.books().ledger.adopt(number);
        Self { shared: Arc::clone(shared), ticket, port: PortProgress::Used, lent }
    }

    pub(super) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(super) const fn number(&self) -> u32 {
        self.ticket.number
    }

    /// What the answer to the requests that make the port says of it.
    pub(super) fn judge(&mut self, answer: &Result<()>) {
        self.port = match answer {
            Ok(()) => PortProgress::Made,
            Err(error) if !matches!(error.cause(), Cause::Refused { .. }) => PortProgress::Perhaps,
            Err(error) if !matches!(error.operation(), Operation::CreateLink(_)) => PortProgress::Made,
            Err(error) if matches!(error.errno(), Some(libc::EEXIST | libc::EBUSY)) => PortProgress::Clash,
            Err(_) => PortProgress::None,
        };
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let (shared, ticket) = (&self.shared, self.ticket);
        if !shared.is_ours() {
            return;
        }
        if self.port == PortProgress::Used {
            shared.withdraw_of(ticket.number);
        }
        // While the number is not given back, no other port has its index and MAC address.
        let is_left = self.lent
            && matches!(self.port, PortProgress::Perhaps | PortProgress::Made | PortProgress::Used)
            && shared.unplug(ticket.number).is_err();
        match self.port {
            PortProgress::None | PortProgress::Clash => {
                shared.note(ticket.number, |ledger| ledger.give_back(ticket));
            }
            // The kernel's notice of its end will find the number waiting for it, or has come already.
            PortProgress::Used => shared.note(ticket.number, |ledger| ledger.leave(ticket)),
            // Its end may have been announced, and looked for, while it was being made.
            PortProgress::Made | PortProgress::Perhaps => {
                shared.note(ticket.number, |ledger| ledger.leave(ticket));
                shared.doubt(shared.recipe.plan.shard(ticket.number));
            }
        }
        if is_left {
            shared.left_ports().push(ticket);
        }
    }
}

impl Shared {
    /// Deletes the port of a number, which the caller has, and with it the interface at its other end. It is known by index
    /// and MAC address.
    fn unplug(&self, number: u32) -> Result<()> {
        let plan = &self.recipe.plan;
        let mut socket = self.place(number)?.socket();
        let gone = |error: &Error| error.errno() == Some(libc::ENODEV);
        match link::get(&mut socket, plan.port(number)) {
            Ok(link) if link.mac != Some(plan.port_mac(number)) => return Ok(()),
            Err(error) if gone(&error) => return Ok(()),
            found => drop(found?),
        }
        match link::delete(&mut socket, plan.port(number)) {
            Err(error) if gone(&error) => Ok(()),
            other => other,
        }
    }

    /// Tries again to delete ports of dropped sandboxes that could not be deleted.
    ///
    /// # Errors
    /// Why one of them cannot be deleted now.
    pub(super) fn unplug_left(&self) -> Result<()> {
        let mut outcome = Ok(());
        self.left_ports().retain(|&ticket| {
            // Locked meanwhile, so that the number does not become another sandbox's.
            let books = self.books();
            if !books.ledger.is_leaving(ticket) {
                return false;
            }
            let unplugged = self.unplug(ticket.number);
            drop(books);
            let remains = unplugged.is_err();
            if outcome.is_ok() {
                outcome = unplugged;
            }
            remains
        });
        outcome
    }
}
