//! Making a sandbox: a number, a namespace, the requests; and what becomes of them if something fails.
//!
//! Whatever an attempt takes is in a value that gives it back when it is dropped: the number and the slot in a
//! [`Claim`], the name and the namespace in an [`Inside`]. A sandbox consists of the same two, so a failed attempt
//! leaves what a dropped sandbox leaves, nothing.

use super::claim::{Claim, PortProgress};
use super::limit::explain_limit;
use super::requests::{ETH0, ETH0_NAME, OUTSIDE, Programs};
use super::sandbox::{Inside, Sandbox};
use super::shared::Shared;
use crate::error::{Cause, Operation, SystemCall};
use crate::namespace::{Reserved, Return, this_thread};
use crate::sys::deadline::Deadline;
use crate::sysctl::PreparedSysctl;
use crate::wire::{Batch, IfInfoMsg, Message};
use crate::{Error, Namespace, Result, RouteSocket, link, nsid, sys};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// How often a number is given up for another because its index or name is taken.
const ATTEMPTS: usize = 8;
/// How long a port may take to work on kernels that do not make it so when they are asked for it (before 6.8).
const PORT_LIMIT: Duration = Duration::from_secs(5);
/// How long to sleep between two looks at a port: at first, and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(5));

/// Where a sandbox is made.
#[derive(Debug, Clone, Copy)]
pub(super) enum Where<'a> {
    /// In a new namespace, which may have a name.
    New(Option<&'a str>),
    /// In a namespace of somebody else.
    Lent(&'a Namespace),
}

impl Shared {
    /// Makes a sandbox.
    pub(super) fn create_sandbox(this: &Arc<Self>, place: Where<'_>) -> Result<Sandbox> {
        Self::create_sandbox_within(this, place, this.patience)
    }

    /// Makes a sandbox, and waits for numbers and limits for no longer than `patience`.
    pub(super) fn create_sandbox_within(
        this: &Arc<Self>,
        place: Where<'_>,
        patience: Duration,
    ) -> Result<Sandbox> {
        this.check_process(Operation::CreateSandbox)?;
        let mut deadline = Deadline::new(patience);
        // Numbers whose index or name somebody else has an interface with, kept so that they are not tried again.
        let mut clashes = Vec::new();
        let mut clash = None;
        loop {
            let mut claim = match Claim::take(this, &mut deadline) {
                Ok(claim) => claim,
                // That there is a clash says more than that there are no other numbers.
                Err(error) => return Err(clash.unwrap_or(error)),
            };
            let error = match Self::build(&mut claim, place) {
                Ok((slot, inside)) => return Ok(Sandbox { claim, slot, inside }),
                Err(error) => error,
            };
            if claim.port == PortProgress::Clash && clashes.len() < ATTEMPTS {
                clashes.push(claim);
                clash = Some(error);
                continue;
            }
            drop(claim);
            // Dropped sandboxes count until they are reclaimed.
            if !is_full(&error) || !this.wait_for_room(&mut deadline)? {
                return Err(error);
            }
        }
    }

    /// One attempt.
    fn build(claim: &mut Claim, target: Where<'_>) -> Result<(Option<u16>, Inside)> {
        let this = Arc::clone(claim.shared());
        let number = claim.number();
        let slot = match &this.program {
            None => None,
            Some(program) => {
                let slot = program.assign(&this.recipe.port_info(number))?;
                this.books().ledger.set_slot(claim.ticket, slot);
                Some(slot)
            }
        };
        let place = this.place(number)?;
        let programs = this.program.as_ref().zip(slot).map(|(program, slot)| Programs {
            ingress: program.ingress(),
            egress: program.egress(),
            slot,
        });
        let mut batch = Batch::new();
        let reserved = match target {
            Where::New(Some(name)) => Some((this.reserve(name)?, name)),
            Where::New(None) | Where::Lent(_) => None,
        };
        let back = Return::to_known(this.home(), this.home_id)?;
        match target {
            Where::New(_) => sys::namespace::unshare(libc::CLONE_NEWNET)
                .map_err(Error::system(Operation::CreateNamespace, "", SystemCall::Unshare))
                .map_err(explain_limit)?,
            Where::Lent(namespace) => sys::namespace::setns(namespace.as_fd(), libc::CLONE_NEWNET)
                .map_err(Error::system(Operation::EnterNamespace, "", SystemCall::Setns))?,
        }
        let socket = RouteSocket::open_bare();
        let socket = socket.map_err(|error| error.about(format!("of {}", this.port_name(number))))?;
        let mut inside = Inside::new(Arc::clone(&this), socket);
        let eth0 = match target {
            Where::New(_) => ETH0,
            Where::Lent(_) => {
                claim.lent = true;
                free_index(inside.socket())?
            }
        };
        this.recipe.encode_eth0(&mut batch, (number, claim.lent), eth0, place.namespace.as_fd());
        let answer = inside.socket().execute(&mut batch);
        claim.judge(&answer);
        // Whose creation was refused is the port's: in a new namespace nothing is in the way of `eth0`, nor in another.
        let is_port = claim.port != PortProgress::Made;
        let named = |error: Error| if is_port { error.about(this.port_name(number)) } else { error };
        answer.map_err(named)?;
        if matches!(target, Where::New(_)) {
            // Before anything can run in it.
            this.recipe.sysctls.iter().try_for_each(PreparedSysctl::write)?;
        }
        batch.clear();
        let may_fail = this.recipe.encode_port(&mut batch, number, (this_thread(), eth0), programs);
        let works = both_work(&mut place.socket(), &mut batch, &may_fail)?;
        // Only now: by its port it is known whose it is, should this process be killed.
        if let Some((reserved, name)) = reserved {
            reserved.bind_current()?;
            inside.name = Some(name.into());
        }
        drop(back);
        if !works {
            let outside = match target {
                Where::New(_) => Some(OUTSIDE),
                Where::Lent(_) => nsid::get(inside.socket(), &place.namespace)?,
            };
            this.wait_for_port(inside.socket(), number, (eth0, outside.unwrap_or(OUTSIDE)))?;
        }
        this.books().ledger.commit(claim.ticket);
        claim.port = PortProgress::Used;
        Ok((slot, inside))
    }

    fn reserve(&self, name: &str) -> Result<Reserved> {
        if self.names.get().is_none() {
            Reserved::prepare()?;
            self.names.get_or_init(|| ());
        }
        Reserved::new(name)
    }

    fn port_name(&self, number: u32) -> String {
        self.recipe.plan.port_name(number).to_string()
    }

    /// Waits until both ends of a pair work, where asking for them did not make it so. `socket` is inside the sandbox.
    ///
    /// Before Linux 6.8 nothing can be done but wait for the kernel's linkwatch to come to them. It does so at once,
    /// because it holds the carrier of a veth for urgent (`linkwatch_urgent_event` in
    /// <https://github.com/torvalds/linux/blob/v6.1/net/core/link_watch.c>): the first look nearly always finds the
    /// port up. So looking again is cheaper than listening to events, which takes a socket.
    fn wait_for_port(
        &self,
        socket: &mut RouteSocket,
        number: u32,
        (eth0, outside): (u32, i32),
    ) -> Result<()> {
        let mut deadline = Deadline::new(PORT_LIMIT);
        let (mut pause, longest) = LOOK_AGAIN;
        let mut batch = Batch::new();
        self.recipe.encode_questions(&mut batch, number, eth0, outside);
        while !both_work(socket, &mut batch, &[])? {
            if !deadline.sleep(pause) {
                let limit = Cause::TimedOut(deadline.limit());
                return Err(Error::new(Operation::WaitForPort, self.port_name(number), limit));
            }
            pause = (pause * 2).min(longest);
        }
        Ok(())
    }
}

/// An index for `eth0` in a namespace of somebody else.
fn free_index(socket: &mut RouteSocket) -> Result<u32> {
    let links = link::list(socket)?;
    if links.iter().any(|link| link.name.as_str() == ETH0_NAME) {
        let why = "the namespace has an interface of this name";
        return Err(Error::new(Operation::CreateSandbox, ETH0_NAME, Cause::Exists(why.into())));
    }
    let is_free = |index: &u32| links.iter().all(|link| link.index != *index);
    Ok((ETH0..u32::MAX).find(is_free).unwrap_or(ETH0))
}

/// Whether something has run out of which dropped sandboxes give back some.
fn is_full(error: &Error) -> bool {
    matches!(error.cause(), Cause::Exhausted(_))
}

/// Sends a batch that ends with the questions for both ends; whether it is known that both work.
fn both_work(socket: &mut RouteSocket, batch: &mut Batch, may_fail: &[u32]) -> Result<bool> {
    let mut work = true;
    let answered = socket.query_two(batch, may_fail, &mut |message| {
        work &= operational(message);
        Ok(())
    })?;
    Ok(answered && work)
}

/// Whether a described link carries packets.
fn operational(message: &Message<'_>) -> bool {
    let state = message.attributes_after::<IfInfoMsg>().find(libc::IFLA_OPERSTATE);
    state.and_then(|state| state.value::<u8>()) == Some(libc::IF_OPER_UP as u8)
}
