//! Taking the place of programs whose monitor is gone, port by port and between two frames.
//!
//! Each frame is judged by the programs before or by these, wherever that ends. For that, both write the same mark into
//! frames, by which the barrier knows what was judged; both know a port by the same slot, which frames carry to the bridge;
//! and these know the policies of all ports before they are on the first one, since they judge by the sender's, too.

use netns_core::tc::{Direction, FilterInfo};

use super::attach::{HANDLE, NAME};
use super::{Monitor, MonitorError, Policy};

/// Programs of monitors that are gone, on ports in front of a barrier, whose place those of a new monitor take:
/// [`MonitorOptions::predecessors`](super::MonitorOptions::predecessors).
/// [`JournalFile::predecessors`](super::JournalFile::predecessors) finds those of an observer that was killed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predecessors {
    /// Their ids, each as of [`Monitor::program_ids`].
    pub programs: Vec<[u32; 2]>,
    /// What all of them mark frames with: [`Monitor::stamp`]. `None` if that is not known; then nothing is taken over.
    pub stamp: Option<u32>,
}

impl Monitor {
    /// Keeps the slots that ports have with other programs for the same ports here. Programs with other maps have none.
    pub(super) fn reserve_slots(&self, predecessors: &[[u32; 2]]) {
        for &programs in predecessors {
            let Ok(before) = Self::reopen(programs) else { continue };
            let mut ports = self.lock();
            for (slot, ifindex) in before.ports() {
                ports.slots.reserve(slot, ifindex);
            }
        }
    }

    /// Whether the programs take the place of these, of which some may be gone.
    pub(super) fn succeeds(&self, predecessors: &Predecessors) -> bool {
        let is_ours = |programs: &[u32; 2]| self.predecessors.contains(programs);
        self.stamp().is_some()
            && self.stamp() == predecessors.stamp
            && predecessors.programs.iter().all(is_ours)
    }

    /// Gives a port the slot that it had before, and says what it may send. Whether it had one.
    ///
    /// # Errors
    /// As [`Self::assign`] and [`Self::set_policy`].
    pub(super) fn prepare(&self, ifindex: u32, policy: Option<&Policy>) -> Result<bool, MonitorError> {
        if !self.lock().slots.is_reserved(ifindex) {
            return Ok(false);
        }
        let slot = self.assign(ifindex)?;
        if let Some(policy) = policy
            && let Err(error) = self.set_policy(slot, policy)
        {
            self.release(slot)?;
            return Err(error);
        }
        self.lock().prepared.insert(ifindex);
        Ok(true)
    }

    /// Keeps no slots for ports of before any more.
    pub(super) fn end_reservations(&self) {
        self.lock().slots.end_reservations();
    }

    /// Takes the slots back of ports that were prepared and not attached to.
    ///
    /// # Errors
    /// As [`Self::release`].
    pub(super) fn end_preparations(&self) -> Result<(), MonitorError> {
        let prepared = std::mem::take(&mut self.lock().prepared);
        let slots: Vec<_> = prepared.into_iter().filter_map(|ifindex| self.slot(ifindex)).collect();
        slots.into_iter().try_for_each(|slot| self.release(slot))
    }

    /// The ids of the programs whose place these take.
    pub(super) fn predecessors(&self) -> &[[u32; 2]] {
        &self.predecessors
    }

    /// Whether a filter carries a program whose place ours takes.
    pub(super) fn is_of_predecessor(&self, filter: &FilterInfo, direction: Direction) -> bool {
        let id = |[ingress, egress]: [u32; 2]| match direction {
            Direction::Ingress => ingress,
            Direction::Egress => egress,
        };
        filter.name.as_deref() == Some(NAME)
            && filter.handle == HANDLE
            && self.predecessors.iter().any(|&programs| filter.program_id == Some(id(programs)))
    }
}
