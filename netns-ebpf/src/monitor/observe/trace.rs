//! What stays on a port when an observer is killed, and removing exactly that.

use std::io;

use netns_core::record::undo_twice;
use netns_core::tc::{self, Direction};
use netns_core::{Error, IfName, MacAddress, RouteSocket, link};

use super::super::Monitor;
use super::super::attach::NAME;
use super::barred::Barred;

/// Whose a port's clsact qdisc is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clsact {
    /// There was none, and one is about to be made. If nothing is noted after this, the observer was killed over it.
    Unsure,
    /// Ours.
    Ours,
    /// Ours, and the filters are being taken off it: with none left it is to go. If nothing is noted after this, the
    /// observer was killed over it.
    Leaving,
    /// Somebody else's, or there is none.
    NotOurs,
}

/// What an observer leaves on a port if it is killed: two filters, and perhaps the qdisc that they are on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The port.
    pub ifindex: u32,
    /// The port's name.
    pub name: IfName,
    /// Its MAC address, if that is known: a port of this index that has neither the name nor the address is another.
    pub mac: Option<MacAddress>,
    /// Whose its clsact qdisc is.
    pub clsact: Clsact,
}

/// What an observer that was killed left, of which another takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inheritance {
    /// On ports, and on the bridge itself.
    pub traces: Vec<Trace>,
    /// The barrier.
    pub barred: Option<Barred>,
}

/// Where an observer writes down what it is about to do to a port, and what it did, so that it can be undone should it
/// be killed. What is noted last of a port counts. [`JournalFile`](super::JournalFile) is one.
pub trait Journal {
    /// Notes something.
    ///
    /// # Errors
    /// If that fails. The port is left alone then.
    fn note(&mut self, trace: &Trace) -> io::Result<()>;

    /// Notes a barrier that is about to be made.
    ///
    /// # Errors
    /// If that fails. It is not made then.
    fn note_barrier(&mut self, barred: &Barred) -> io::Result<()> {
        let _ = barred;
        Ok(())
    }

    /// Notes which frames to reserved addresses these ports forward (`group_fwd_mask`), before they are made to forward
    /// those that are to pass the barrier. It goes with the barrier.
    ///
    /// # Errors
    /// If that fails. The ports are left alone then.
    fn note_forwarding(&mut self, ports: &[(u32, u16)]) -> io::Result<()> {
        let _ = ports;
        Ok(())
    }

    /// What it says is left of an observer whose place this one takes
    /// ([`MonitorOptions::predecessors`](crate::MonitorOptions::predecessors)).
    fn inheritance(&mut self) -> Inheritance {
        Inheritance::default()
    }

    /// Nothing is left of that any more but what is this observer's now.
    fn settle(&mut self) {}

    /// The barrier is gone.
    fn forget_barrier(&mut self) {}

    /// Nothing of what was noted is on this port any more.
    fn forget(&mut self, ifindex: u32) {
        let _ = ifindex;
    }
}

/// Notes nothing: for observers whose network goes with them.
impl Journal for () {
    fn note(&mut self, _: &Trace) -> io::Result<()> {
        Ok(())
    }
}

impl Monitor {
    /// The ids by which the kernel names our two programs, ingress first: what [`Trace::remove`] knows our filters by.
    ///
    /// The kernel does not give an id again until it has counted through all of them (`bpf_prog_alloc_id` in
    /// [syscall.c](https://github.com/torvalds/linux/blob/v6.18/kernel/bpf/syscall.c)), nor while a filter holds it.
    #[must_use]
    pub fn program_ids(&self) -> [u32; 2] {
        [self.ingress.id, self.egress.id]
    }
}

impl Trace {
    /// Removes from the port what carries these programs ([`Monitor::program_ids`]) and our name; and the clsact qdisc
    /// if it is ours and nothing is left in it. Whether there was something to remove.
    ///
    /// # Errors
    /// What the kernel refused. That the port is gone is no error.
    pub fn remove(&self, socket: &mut RouteSocket, programs: [u32; 2]) -> Result<bool, Error> {
        let mut removed = false;
        undo_twice(|| self.remove_once(socket, programs, &mut removed)).map(|()| removed)
    }

    fn remove_once(
        &self,
        socket: &mut RouteSocket,
        programs: [u32; 2],
        removed: &mut bool,
    ) -> Result<(), Error> {
        match link::get(socket, self.ifindex) {
            Ok(found) if self.is(&found) || self.carries(socket, programs)? => {}
            // Or the clsact qdisc is left of the first attempt.
            Ok(_) if *removed => {}
            Ok(_) => return Ok(()),
            Err(error) if error.errno() == Some(libc::ENODEV) => return Ok(()),
            Err(error) => return Err(error),
        }
        let mut others = false;
        for (direction, program) in Direction::BOTH.into_iter().zip(programs) {
            for filter in tc::list_filters(socket, self.ifindex, direction)? {
                if is_ours(&filter, program) {
                    // Whatever the answer is: it may be lost.
                    *removed = true;
                    tc::delete_filter(socket, self.ifindex, direction, filter.priority, filter.handle)?;
                } else {
                    others = true;
                }
            }
        }
        let ours = match self.clsact {
            // Without a filter of ours in it, somebody may have made it anew.
            Clsact::Ours => *removed,
            Clsact::Unsure | Clsact::Leaving => true,
            Clsact::NotOurs => false,
        };
        if ours && !others && tc::has_clsact(socket, self.ifindex)? {
            *removed = true;
            tc::delete_clsact(socket, self.ifindex)?;
        }
        Ok(())
    }

    /// Whether the clsact qdisc that is on the port is ours, with the filters of one of these pairs of programs.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub(super) fn has_clsact(&self, socket: &mut RouteSocket, pairs: &[[u32; 2]]) -> Result<bool, Error> {
        match self.clsact {
            Clsact::NotOurs => Ok(false),
            Clsact::Unsure | Clsact::Leaving => Ok(true),
            // Without a filter of ours in it, somebody may have made it anew.
            Clsact::Ours => pairs.iter().try_fold(false, |is, &pair| Ok(is || self.carries(socket, pair)?)),
        }
    }

    /// Whether it is this port, as far as its name and its MAC address say.
    fn is(&self, found: &link::Link) -> bool {
        found.name == self.name || (self.mac.is_some() && found.mac == self.mac)
    }

    /// Whether the port has a filter of ours with one of these programs.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn carries(&self, socket: &mut RouteSocket, programs: [u32; 2]) -> Result<bool, Error> {
        for (direction, program) in Direction::BOTH.into_iter().zip(programs) {
            if tc::list_filters(socket, self.ifindex, direction)?
                .iter()
                .any(|filter| is_ours(filter, program))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn is_ours(filter: &tc::FilterInfo, program: u32) -> bool {
    filter.program_id == Some(program) && filter.name.as_deref() == Some(NAME)
}
