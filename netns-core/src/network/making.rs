//! Making a sandbox: a number, a namespace, the requests, and what becomes of it if something fails.

use super::requests::Programs;
use super::sandbox::Sandbox;
use super::shared::Shared;
use crate::error::Cause;
use crate::namespace::{Reserved, Return, this_thread};
use crate::sys::deadline::Deadline;
use crate::wire::{Batch, IfInfoMsg, Message};
use crate::{Error, Namespace, Result, RouteSocket, sys};
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// How often a number is given up for another because its index or name is taken.
const ATTEMPTS: usize = 8;
/// How long a port may take to work on kernels that do not make it so when they are asked for it (before 6.8).
const PORT_LIMIT: Duration = Duration::from_secs(5);
/// How long to sleep between two looks at a port: at first, and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_micros(50), Duration::from_millis(5));

impl Shared {
    /// Makes a sandbox.
    pub(super) fn create_sandbox(this: &Arc<Self>, name: Option<&str>) -> Result<Sandbox> {
        let mut deadline = Deadline::new(this.patience);
        // Numbers whose index or name somebody else has an interface with, kept so that they are not tried again.
        let mut clashes = Vec::new();
        let mut clash = None;
        let made = loop {
            let number = match this.take(&mut deadline) {
                Ok(number) => number,
                Err(error) => break Err(clash.unwrap_or(error)),
            };
            let error = match Self::build(this, number, name) {
                Ok(sandbox) => break Ok(sandbox),
                Err(error) => error,
            };
            if is_clash(&error) && clashes.len() < ATTEMPTS {
                clashes.push(number);
                clash = Some(error);
                continue;
            }
            this.give_up(number)?;
            // Dropped sandboxes count until they are reclaimed.
            if !(is_full(&error) && this.wait_for_room(&mut deadline)?) {
                break Err(error);
            }
        };
        for number in clashes {
            this.give_up(number)?;
        }
        made
    }

    /// One attempt. What it made goes when it fails, except for a port that the kernel has yet to reclaim.
    fn build(this: &Arc<Self>, number: u32, name: Option<&str>) -> Result<Sandbox> {
        let slot = match &this.program {
            None => None,
            Some(program) => {
                let slot = program.assign(&this.recipe.port_info(number))?;
                this.ledger().numbers.set_slot(number, slot);
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
        this.recipe.encode_port(&mut batch, number, this_thread(), programs);
        let (mut socket, named) = this.open_namespace(name, || place.socket().execute(&mut batch))?;
        batch.clear();
        this.recipe.encode_eth0(&mut batch, number);
        let works = socket.query(&mut batch, |message| Ok(operational(message)))?;
        if !works {
            this.wait_for_port(&mut socket, number)?;
        }
        std::mem::forget(named);
        Ok(Sandbox {
            shared: Arc::clone(this),
            number,
            slot,
            name: name.map(Box::from),
            socket,
            namespace: OnceLock::new(),
        })
    }

    /// A route socket in a new namespace, which it alone holds, or its name does. `connect` runs inside.
    fn open_namespace<'a>(
        &self,
        name: Option<&'a str>,
        connect: impl FnOnce() -> Result<()>,
    ) -> Result<(RouteSocket, Named<'a>)> {
        let reserved = name.map(|name| self.reserve(name)).transpose()?;
        let _back = Return::to_known(self.home(), self.home_id)?;
        sys::namespace::unshare(libc::CLONE_NEWNET).map_err(unshare_error)?;
        let socket = RouteSocket::open_bare()?;
        if let Some(reserved) = reserved {
            reserved.bind_current()?;
        }
        let named = Named(name);
        connect()?;
        Ok((socket, named))
    }

    fn reserve(&self, name: &str) -> Result<Reserved> {
        if self.names.get().is_none() {
            Reserved::prepare()?;
            self.names.get_or_init(|| ());
        }
        Reserved::new(name)
    }

    /// Waits until a port works, on kernels where asking for it did not make it so. `socket` is inside the sandbox.
    ///
    /// Before Linux 6.8 nothing can be done but wait for the kernel's linkwatch to come to the port. It does so at once,
    /// because it holds the carrier of a veth for urgent (`linkwatch_urgent_event` in
    /// <https://github.com/torvalds/linux/blob/v6.1/net/core/link_watch.c>): the first look nearly always finds the
    /// port up. So looking again is cheaper than listening to events, which takes a socket.
    fn wait_for_port(&self, socket: &mut RouteSocket, number: u32) -> Result<()> {
        let mut deadline = Deadline::new(PORT_LIMIT);
        let (mut pause, longest) = LOOK_AGAIN;
        let mut batch = Batch::new();
        self.recipe.encode_question(&mut batch, number);
        while !socket.query(&mut batch, |message| Ok(operational(message)))? {
            if !deadline.sleep(pause) {
                let object = self.recipe.plan.port_name(number).to_string();
                return Err(Error::new("wait for port", object, Cause::TimedOut(deadline.limit())));
            }
            pause = (pause * 2).min(longest);
        }
        Ok(())
    }
}

/// Whether somebody else has an interface of the index or name.
fn is_clash(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::EEXIST | libc::EBUSY)) && error.operation() == "create veth"
}

/// Whether something has run out of which dropped sandboxes give back some.
fn is_full(error: &Error) -> bool {
    // A further bridge takes a namespace too.
    let namespaces = error.errno() == Some(libc::ENOSPC) && error.operation() == "create namespace";
    namespaces || matches!(error.cause(), Cause::Exhausted(_))
}

/// Why there is no namespace. No space left on a device is how the kernel puts it.
fn unshare_error(error: io::Error) -> Error {
    if error.raw_os_error() == Some(libc::ENOSPC) {
        let why = "the kernel allows no more network namespaces (user.max_net_namespaces)";
        return Error::exhausted("create namespace", "", why);
    }
    Error::system("create namespace", "", "unshare")(error)
}

/// Whether a described link carries packets.
fn operational(message: &Message<'_>) -> bool {
    let state = message.attributes_after::<IfInfoMsg>().find(libc::IFLA_OPERSTATE);
    state.and_then(|state| state.value::<u8>()) == Some(libc::IF_OPER_UP as u8)
}

/// Removes the name of a sandbox that could not be made, unless forgotten.
struct Named<'a>(Option<&'a str>);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.0 {
            // The reason that matters is the first one.
            let _ = Namespace::delete(name);
        }
    }
}
