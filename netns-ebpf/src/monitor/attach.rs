//! Attaching to ports that exist already, and detaching without a trace.
//!
//! A port that is made with a monitor in mind gets its filters in the same batch as the link ([`Monitor::filters`]),
//! and loses them with it. Here the port is somebody else's, may have a clsact qdisc and filters of other people, and
//! is to look afterwards as it did before.

use netns_core::record::undo_twice;
use netns_core::tc::{self, Direction, Filter, FilterInfo};
use netns_core::wire::Batch;
use netns_core::{Error, RouteSocket};

use super::ahead::{Ahead, Standing};
use super::assign::Owner;
use super::hook::AT_HOST;
use super::load::LoadedProgram;
use super::{Monitor, MonitorError, Policy, Slot};

/// What `tc filter show` calls our filters.
pub(super) const NAME: &str = "netns-ebpf";
/// A filter's number within its priority, which is ours alone.
pub(super) const HANDLE: u32 = 1;
/// The priority of the first filter to run.
const FIRST: u16 = 1;

/// A port that [`Monitor::attach`] attached to, to be given to [`Monitor::detach`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the programs stay on the port until they are detached"]
pub struct Attachment {
    ifindex: u32,
    slot: Slot,
    /// Whether the clsact qdisc is ours.
    made_clsact: bool,
    /// The filters' priorities, ingress first; `None` for one that was never made.
    priorities: [Option<u16>; 2],
    /// Where they are: at a bridge, where the host receives, at ingress alone.
    directions: &'static [Direction],
    /// Filters of others that run before ours.
    ahead: Vec<Ahead>,
}

impl Attachment {
    /// The port.
    #[must_use]
    pub const fn ifindex(&self) -> u32 {
        self.ifindex
    }

    /// Whether the clsact qdisc was made for it, and goes with it unless somebody else put filters on it.
    #[must_use]
    pub const fn made_clsact(&self) -> bool {
        self.made_clsact
    }

    /// The slot that it counts in.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.slot
    }

    /// The qdisc was made for programs whose place these have taken, and goes with these.
    pub(super) const fn keep_clsact(&mut self) {
        self.made_clsact = true;
    }

    /// Filters of others that were there when it was made, and run before ours.
    #[must_use]
    pub fn ahead(&self) -> &[Ahead] {
        &self.ahead
    }
}

impl Monitor {
    /// The two filters of a port, for a batch that makes its link and its clsact qdisc too: they take the first
    /// priority.
    ///
    /// ```no_run
    /// use netns_core::tc;
    /// use netns_core::wire::Batch;
    ///
    /// # let monitor = netns_ebpf::Monitor::load(&Default::default())?;
    /// let ifindex = 7; // chosen for the link
    /// let slot = monitor.assign(ifindex)?;
    /// let mut batch = Batch::new();
    /// // ... the link ...
    /// tc::encode_add_clsact(&mut batch, ifindex);
    /// for filter in monitor.filters(ifindex, slot) {
    ///     tc::encode_add_filter(&mut batch, &filter);
    /// }
    /// # Ok::<(), netns_ebpf::MonitorError>(())
    /// ```
    #[must_use]
    pub fn filters(&self, ifindex: u32, slot: Slot) -> [Filter<'_>; 2] {
        Direction::BOTH.map(|direction| self.filter(ifindex, slot, direction, FIRST))
    }

    /// Attaches to a port that exists, on the network of `socket`, and gives it a slot.
    ///
    /// A clsact qdisc that is there is used and left alone. The filters take the lowest priority that is free, which is
    /// before other people's filters if those left room; where they did not, a warning says so, because a filter that
    /// decides a frame's fate before ours hides the frame from it.
    ///
    /// One monitor serves the ports of one namespace: it distinguishes them by ifindex.
    ///
    /// # Errors
    /// As [`Self::assign`]; [`MonitorError::Port`] with what the kernel refused;
    /// [`MonitorError::IngressQdisc`] if the older `ingress` qdisc is in clsact's place. Nothing stays on the port then.
    pub fn attach(&self, socket: &mut RouteSocket, ifindex: u32) -> Result<Attachment, MonitorError> {
        self.attach_with(socket, ifindex, None)
    }

    /// As [`Self::attach`], with a policy that holds from the first frame that the filters see.
    ///
    /// # Errors
    /// As [`Self::attach`] and [`Self::set_policy`].
    pub fn attach_with(
        &self,
        socket: &mut RouteSocket,
        ifindex: u32,
        policy: Option<&Policy>,
    ) -> Result<Attachment, MonitorError> {
        let prepared = self.lock().prepared.remove(&ifindex);
        let slot = self.slot(ifindex).filter(|_| prepared).map_or_else(|| self.assign(ifindex), Ok)?;
        if let Some(policy) = policy
            && let Err(error) = self.set_policy(slot, policy)
        {
            self.release(slot)?;
            return Err(error);
        }
        self.attach_in(socket, ifindex, slot, &Direction::BOTH)
    }

    /// Attaches to a bridge itself, at its ingress hook, where the host receives what came in by the bridge's ports. From
    /// then on it holds what the rules of those ports say of the host:
    /// [`Rules::with_host`](crate::packet::Rules::with_host), `with_service`, `without_forwarding`. Frames that came in by
    /// ports without a policy, and all that passes between ports, go by.
    ///
    /// The bridge takes a slot, in which what reaches the host is counted. To be given to [`Self::detach`] as ports'
    /// attachments are.
    ///
    /// # Errors
    /// As [`Self::attach`].
    pub fn attach_host(&self, socket: &mut RouteSocket, bridge: u32) -> Result<Attachment, MonitorError> {
        let slot = self.give_slot(bridge, Owner::Host)?;
        self.attach_in(socket, bridge, slot, AT_HOST)
    }

    /// Attaches to a link that has a slot; takes that back if it fails.
    fn attach_in(
        &self,
        socket: &mut RouteSocket,
        ifindex: u32,
        slot: Slot,
        directions: &'static [Direction],
    ) -> Result<Attachment, MonitorError> {
        let (made_clsact, priorities, ahead) = (false, [None; 2], Vec::new());
        let mut attachment = Attachment { ifindex, slot, made_clsact, priorities, directions, ahead };
        match self.attach_to(socket, &mut attachment) {
            Ok(()) => Ok(attachment),
            Err(error) => {
                if let Err(undo) = self.detach(socket, &attachment) {
                    log::warn!("interface {ifindex} could not be attached to, nor left as it was: {undo}");
                }
                Err(error)
            }
        }
    }

    /// Does what can fail, and notes in `attachment` what is to be undone.
    fn attach_to(&self, socket: &mut RouteSocket, attachment: &mut Attachment) -> Result<(), MonitorError> {
        let ifindex = attachment.ifindex;
        let failed = |source| MonitorError::Port { operation: "attach to", ifindex, source };
        match tc::add_clsact(socket, ifindex) {
            Ok(()) => attachment.made_clsact = true,
            Err(error) if error.errno() == Some(libc::EEXIST) => {
                if !tc::has_clsact(socket, ifindex).map_err(failed)? {
                    return Err(MonitorError::IngressQdisc { ifindex });
                }
            }
            Err(error) => return Err(failed(error)),
        }
        for (&direction, priority) in attachment.directions.iter().zip(&mut attachment.priorities) {
            let others = tc::list_filters(socket, ifindex, direction).map_err(failed)?;
            if priority.is_some_and(|ours| others.iter().any(|filter| self.is_ours(filter, direction, ours)))
            {
                continue;
            }
            // They are listed as they run.
            let theirs = others.iter().position(|filter| self.is_of_predecessor(filter, direction));
            let free = theirs.map_or_else(|| lowest_free(&others), |theirs| others[theirs].priority);
            let is_before = |(place, other): (usize, &FilterInfo)| {
                !self.is_beside(other) && theirs.map_or(other.priority < free, |theirs| place < theirs)
            };
            let before: Vec<_> = others.iter().enumerate().filter(|&other| is_before(other)).collect();
            if !before.is_empty() {
                attachment.ahead.extend(before.iter().map(|(_, other)| Ahead::filter(other, direction)));
                log::warn!(
                    "interface {ifindex}, {direction:?}: {} other filter(s) run before ours, at priority {free}; frames \
                     that they decide on are not counted",
                    before.len()
                );
            }
            let ours = self.filter(ifindex, attachment.slot, direction, free);
            if theirs.is_some() { tc::replace_filter(socket, &ours) } else { tc::add_filter(socket, &ours) }
                .map_err(failed)?;
            *priority = Some(free);
        }
        Ok(())
    }

    /// Puts back what of an attachment somebody took off the port: a filter, or the qdisc with both. What is there stays; a
    /// filter that somebody has put before ours within the same priority comes after it again.
    ///
    /// # Errors
    /// As [`Self::attach`], and [`MonitorError::NotAssigned`] if it was detached.
    pub fn restore(&self, socket: &mut RouteSocket, attachment: &mut Attachment) -> Result<(), MonitorError> {
        if self.lock().slots.port(attachment.slot) != Some(attachment.ifindex) {
            return Err(MonitorError::NotAssigned { slot: attachment.slot });
        }
        self.attach_to(socket, attachment)?;
        self.put_first(socket, attachment)
    }

    /// The attachment of a port that was made with the filters of [`Self::filters`] and has this slot, for
    /// [`Self::restore`].
    pub const fn attachment_of(ifindex: u32, slot: Slot) -> Attachment {
        let (priorities, directions) = ([Some(FIRST); 2], &Direction::BOTH);
        Attachment { ifindex, slot, made_clsact: true, priorities, directions, ahead: Vec::new() }
    }

    fn is_ours(&self, filter: &FilterInfo, direction: Direction, priority: u16) -> bool {
        filter.program_id == Some(self.program(direction).id)
            && filter.priority == priority
            && filter.handle == HANDLE
    }

    /// The slot of a port that carries both programs, or of a bridge that carries the one of [`Self::attach_host`]; `None` if
    /// it has none, or somebody took a filter away.
    ///
    /// # Errors
    /// [`MonitorError::Port`] with what the kernel refused.
    pub fn attached(&self, socket: &mut RouteSocket, ifindex: u32) -> Result<Option<Slot>, MonitorError> {
        let failed = |source| MonitorError::Port { operation: "look at", ifindex, source };
        Ok(match self.standing(socket, ifindex).map_err(failed)? {
            Standing::There(_) => self.slot(ifindex),
            Standing::Missing => None,
        })
    }

    /// Puts the filters before those of others that came to be before them within the same priority, as what is added
    /// last is. Between the two requests a frame passes unseen; a barrier, where there is one, drops it.
    pub(super) fn put_first(
        &self,
        socket: &mut RouteSocket,
        attachment: &Attachment,
    ) -> Result<(), MonitorError> {
        let Attachment { ifindex, slot, priorities, .. } = *attachment;
        let failed = |source| MonitorError::Port { operation: "attach first to", ifindex, source };
        for (&direction, priority) in attachment.directions.iter().zip(priorities) {
            let Some(priority) = priority else { continue };
            let filters = tc::list_filters(socket, ifindex, direction).map_err(failed)?;
            let ours = filters.iter().position(|filter| self.is_ours(filter, direction, priority));
            let is_behind = |ours: usize| filters[..ours].iter().any(|other| other.priority == priority);
            if ours.is_some_and(is_behind) {
                let mut batch = Batch::new();
                tc::encode_delete_filter(&mut batch, ifindex, direction, priority, HANDLE);
                tc::encode_add_filter(&mut batch, &self.filter(ifindex, slot, direction, priority));
                socket.execute(&mut batch).map_err(failed)?;
            }
        }
        Ok(())
    }

    /// Takes the programs off a port again and its slot back, as [`Self::release`] does.
    ///
    /// What others made stays. A filter is ours if it carries our program in the place where we put it; the clsact
    /// qdisc goes only if we made it and no filter is left in it. A port that is gone is no error.
    ///
    /// # Errors
    /// [`MonitorError::Port`] with what the kernel refused. The slot is kept then, since frames may still count in it,
    /// and this may be called again. [`MonitorError::NotAssigned`] if it was called before and did its work.
    pub fn detach(&self, socket: &mut RouteSocket, attachment: &Attachment) -> Result<(), MonitorError> {
        let Attachment { ifindex, slot, .. } = *attachment;
        if self.lock().slots.port(slot) != Some(ifindex) {
            return Err(MonitorError::NotAssigned { slot });
        }
        match undo_twice(|| self.detach_from(socket, attachment)) {
            Err(error) if error.errno() != Some(libc::ENODEV) => {
                Err(MonitorError::Port { operation: "detach from", ifindex, source: error })
            }
            _ => self.release(slot),
        }
    }

    fn detach_from(&self, socket: &mut RouteSocket, attachment: &Attachment) -> Result<(), Error> {
        let ifindex = attachment.ifindex;
        let mut others = 0;
        for (direction, priority) in Direction::BOTH.into_iter().zip(attachment.priorities) {
            let is_ours = |filter: &FilterInfo| {
                priority.is_some_and(|priority| self.is_ours(filter, direction, priority))
            };
            for filter in tc::list_filters(socket, ifindex, direction)? {
                if is_ours(&filter) {
                    tc::delete_filter(socket, ifindex, direction, filter.priority, filter.handle)?;
                } else {
                    others += 1;
                }
            }
        }
        if attachment.made_clsact && others == 0 && tc::has_clsact(socket, ifindex)? {
            tc::delete_clsact(socket, ifindex)?;
        }
        Ok(())
    }

    fn filter(&self, index: u32, slot: Slot, direction: Direction, priority: u16) -> Filter<'_> {
        Filter {
            index,
            direction,
            priority,
            handle: HANDLE,
            program: self.program(direction).fd(),
            name: NAME,
            class_id: slot.get(),
        }
    }

    fn program(&self, direction: Direction) -> &LoadedProgram {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// The lowest priority that no filter has. There are more priorities than a hook can sensibly have filters; should all
/// be taken, the last one is tried and the kernel refuses it.
fn lowest_free(filters: &[FilterInfo]) -> u16 {
    let is_free = |priority: &u16| filters.iter().all(|filter| filter.priority != *priority);
    (FIRST..u16::MAX).find(is_free).unwrap_or(u16::MAX)
}
