//! Which port has which slot.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::num::NonZeroU16;

use crate::layout::{NO_SLOT, PairKey};

/// A port's number in the program's arrays; the class id of its filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(NonZeroU16);

impl Slot {
    /// The slot of this number; `None` for 0, which is no port's.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number, from 1: the class id of its port's filters.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a slot is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SlotState {
    /// Never used since the pairs were last cleared of it.
    Clean,
    /// Of a port.
    Used { ifindex: u32 },
    /// Released, and the table of pairs may still know it.
    Stale,
}

/// The slots, given out first in, first out: a slot that was released is reused as late as possible, so that the last
/// frames of a port on its way out are not counted for the next one.
#[derive(Debug)]
pub(super) struct Slots {
    free: VecDeque<Slot>,
    /// Slots that are free for one port alone, by its ifindex.
    reserved: HashMap<u32, Slot>,
    /// By number, from 1.
    states: Vec<SlotState>,
}

impl Slots {
    pub(super) fn new(limit: u16) -> Self {
        Self {
            free: (1..=limit).filter_map(Slot::new).collect(),
            reserved: HashMap::new(),
            states: vec![SlotState::Clean; usize::from(limit)],
        }
    }

    /// Enters a port that has a slot already; what is no slot is passed over.
    pub(super) fn restore(&mut self, number: u32, ifindex: u32) {
        let slot = u16::try_from(number).ok().and_then(Slot::new);
        let Some(slot) = slot.filter(|&slot| self.state(slot).is_some()) else { return };
        self.free.retain(|&free| free != slot);
        self.set(slot, SlotState::Used { ifindex });
    }

    /// Keeps a slot that is free for a port, which is given no other.
    pub(super) fn reserve(&mut self, slot: Slot, ifindex: u32) {
        if let Some(place) = self.free.iter().position(|&free| free == slot) {
            self.free.remove(place);
            if let Some(other) = self.reserved.insert(ifindex, slot) {
                self.free.push_back(other);
            }
        }
    }

    /// Whether a slot is kept for a port.
    pub(super) fn is_reserved(&self, ifindex: u32) -> bool {
        self.reserved.contains_key(&ifindex)
    }

    /// Keeps no slot for anybody any more.
    pub(super) fn end_reservations(&mut self) {
        self.free.extend(self.reserved.drain().map(|(_, slot)| slot));
    }

    fn state(&self, slot: Slot) -> Option<SlotState> {
        self.states.get(usize::from(slot.get()) - 1).copied()
    }

    fn set(&mut self, slot: Slot, state: SlotState) {
        self.states[usize::from(slot.get()) - 1] = state;
    }

    /// The slot that this port is to be given, and whether the pairs must be cleared before; `None` if all are in use.
    pub(super) fn next(&self, ifindex: u32) -> Option<(Slot, bool)> {
        let slot = *self.reserved.get(&ifindex).or_else(|| self.free.front())?;
        Some((slot, self.state(slot) == Some(SlotState::Stale)))
    }

    /// Gives the next slot to a port, or the one that is kept for it.
    pub(super) fn take(&mut self, ifindex: u32) -> Option<Slot> {
        let slot = self.reserved.remove(&ifindex).or_else(|| self.free.pop_front())?;
        self.set(slot, SlotState::Used { ifindex });
        Some(slot)
    }

    /// Takes a slot back; `None` if it was not in use.
    pub(super) fn release(&mut self, slot: Slot) -> Option<()> {
        self.port(slot)?;
        self.set(slot, SlotState::Stale);
        self.free.push_back(slot);
        Some(())
    }

    /// The port that has a slot.
    pub(super) fn port(&self, slot: Slot) -> Option<u32> {
        match self.state(slot)? {
            SlotState::Used { ifindex } => Some(ifindex),
            SlotState::Clean | SlotState::Stale => None,
        }
    }

    /// The slot that a port has.
    pub(super) fn of_port(&self, ifindex: u32) -> Option<Slot> {
        let index = self.states.iter().position(|&state| state == SlotState::Used { ifindex })?;
        Slot::new(u16::try_from(index + 1).ok()?)
    }

    /// The slots in use, in order.
    pub(super) fn used(&self) -> impl Iterator<Item = (Slot, u32)> + '_ {
        (1..).zip(&self.states).filter_map(|(number, state)| match *state {
            SlotState::Used { ifindex } => Some((Slot::new(number)?, ifindex)),
            SlotState::Clean | SlotState::Stale => None,
        })
    }

    /// How many slots are in use.
    pub(super) fn count(&self) -> usize {
        self.states.len() - self.free.len() - self.reserved.len()
    }

    /// A pair's ends as ports that are there, the sender `None` for the host; `None` if one is no more.
    pub(super) fn ends(&self, key: PairKey) -> Option<(Option<Slot>, Slot)> {
        let live = |number: u32| {
            let slot = Slot::new(u16::try_from(number).ok()?)?;
            self.port(slot).map(|_| slot)
        };
        let to = live(key.to)?;
        if key.from == NO_SLOT { Some((None, to)) } else { Some((Some(live(key.from)?), to)) }
    }

    /// The longer-waiting half of the free slots, which are given out next.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Slot> + '_ {
        self.free.iter().copied().take(self.free.len().div_ceil(2))
    }

    /// Notes that the table of pairs was cleared of every slot that is not in use.
    ///
    /// Only the longer-waiting half of the free slots counts as clean from now on: the last frames of a port released
    /// just now may yet bring its pairs back.
    pub(super) fn cleared(&mut self) {
        for slot in self.free.iter().take(self.free.len().div_ceil(2)) {
            self.states[usize::from(slot.get()) - 1] = SlotState::Clean;
        }
    }
}

#[cfg(test)]
mod tests;
