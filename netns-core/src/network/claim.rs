//! A number while somebody has it, and what becomes of it then.

use super::ledger::Ticket;
use super::shared::Shared;
use crate::error::{Cause, Operation};
use crate::sys::deadline::Deadline;
use crate::{Result, link};
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
    pub(super) fn adopt(shared: &Arc<Shared>, number: u32) -> Self {
        let ticket = shared.books().ledger.adopt(number);
        Self { shared: Arc::clone(shared), ticket, port: PortProgress::Used, lent: false }
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
        if self.lent && matches!(self.port, PortProgress::Perhaps | PortProgress::Made | PortProgress::Used) {
            // While the number is not given back, no other port has its index and MAC address.
            shared.unplug(ticket.number);
        }
        match self.port {
            PortProgress::None | PortProgress::Clash => shared.note(|ledger| ledger.give_back(ticket)),
            // The kernel's notice of its end will find the number waiting for it, or has come already.
            PortProgress::Used => shared.note(|ledger| ledger.leave(ticket)),
            // Its end may have been announced, and looked for, while it was being made.
            PortProgress::Made | PortProgress::Perhaps => {
                shared.note(|ledger| ledger.leave(ticket));
                shared.doubt(shared.recipe.plan.shard(ticket.number));
            }
        }
    }
}

impl Shared {
    /// Deletes the port of a number, which the caller has, and with it the interface at its other end. It is known by index
    /// and MAC address.
    fn unplug(&self, number: u32) {
        let plan = &self.recipe.plan;
        let Ok(place) = self.place(number) else { return };
        let mut socket = place.socket();
        // Nobody can be told of a failure; the number then waits for the port to go.
        if link::get(&mut socket, plan.port(number)).is_ok_and(|link| link.mac == Some(plan.port_mac(number)))
        {
            let _ = link::delete(&mut socket, plan.port(number));
        }
    }
}
