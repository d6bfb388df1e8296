//! Which numbers are in use, which wait for the kernel, and which are free.
//!
//! A state machine and nothing else: it has no lock and no descriptor and reads no clock. A number is named by a
//! [`Ticket`], which is good for one time that the number is handed out: what is said with an old ticket, because
//! somebody else was quicker, changes nothing.

use std::collections::VecDeque;

/// A number that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ticket {
    pub(super) number: u32,
    generation: u32,
}

/// What a number is at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nobody has it, and no port of it is left.
    Free,
    /// A sandbox is being made with it.
    Making,
    /// A sandbox has it.
    Used,
    /// Its sandbox was dropped, and the kernel may still have its port.
    Leaving,
}

#[derive(Debug, Clone, Copy)]
struct LedgerEntry {
    phase: Phase,
    generation: u32,
    /// Whether its port is known to be gone, though nobody dropped its sandbox.
    port_gone: bool,
    /// The slot of its port in the program's arrays.
    slot: Option<u16>,
}

impl LedgerEntry {
    const NEW: Self = Self { phase: Phase::Free, generation: 0, port_gone: false, slot: None };
}

/// The numbers of a network. A number that was given back is free when the kernel has reclaimed its port, and is then
/// used again as late as possible among the free ones: first in, first out.
///
/// Numbers that were used before come before those that never were, so that what the network prepared for a number is
/// used again, and its tables stay as short as the most sandboxes there ever were at once.
#[derive(Debug)]
pub(super) struct Ledger {
    capacity: u32,
    per_bridge: u32,
    entries: Vec<LedgerEntry>,
    free: VecDeque<u32>,
    used: u32,
    leaving: u32,
    /// How many of the ports of each bridge wait for the kernel.
    leaving_on: Box<[u32]>,
}

impl Ledger {
    pub(super) fn new(capacity: u32, per_bridge: u32) -> Self {
        let bridges = capacity.div_ceil(per_bridge) as usize;
        Self {
            capacity,
            per_bridge,
            entries: Vec::new(),
            free: VecDeque::new(),
            used: 0,
            leaving: 0,
            leaving_on: vec![0; bridges].into(),
        }
    }

    /// Takes a number; `None` if none is free. Nothing is taken from the heap but when the first sandbox of a bridge
    /// is: then for all of it.
    pub(super) fn take(&mut self) -> Option<Ticket> {
        let number = match self.free.pop_front() {
            Some(number) => number,
            None if self.fresh() < self.capacity => {
                self.reserve();
                self.entries.push(LedgerEntry::NEW);
                self.fresh() - 1
            }
            None => return None,
        };
        let entry = &mut self.entries[number as usize];
        entry.phase = Phase::Making;
        entry.generation = entry.generation.wrapping_add(1);
        self.used += 1;
        Some(Ticket { number, generation: entry.generation })
    }

    /// Takes a certain number, which nobody has: of a sandbox that is there already.
    pub(super) fn adopt(&mut self, number: u32) -> Ticket {
        while self.fresh() <= number {
            self.reserve();
            self.free.push_back(self.fresh());
            self.entries.push(LedgerEntry::NEW);
        }
        self.free.retain(|&free| free != number);
        let entry = &mut self.entries[number as usize];
        entry.phase = Phase::Used;
        entry.generation = entry.generation.wrapping_add(1);
        self.used += 1;
        Ticket { number, generation: entry.generation }
    }

    fn reserve(&mut self) {
        if self.fresh() % self.per_bridge == 0 {
            self.entries.reserve(self.per_bridge as usize);
            // Each of them may be free at once.
            let wanted = self.entries.len() + self.per_bridge as usize;
            self.free.reserve(wanted.saturating_sub(self.free.len()));
        }
    }

    /// How many numbers were ever used.
    fn fresh(&self) -> u32 {
        // There are at most `capacity`.
        self.entries.len() as u32
    }

    /// Whether a number can be taken.
    pub(super) fn available(&self) -> bool {
        !self.free.is_empty() || self.fresh() < self.capacity
    }

    /// How many numbers were used before and are free.
    pub(super) fn recycled(&self) -> usize {
        self.free.len()
    }

    /// The entry of a number that has not been given back since this ticket was handed out.
    fn entry(&mut self, ticket: Ticket) -> Option<&mut LedgerEntry> {
        let entry = self.entries.get_mut(ticket.number as usize)?;
        (entry.generation == ticket.generation && entry.phase != Phase::Free).then_some(entry)
    }

    /// Remembers the slot of its port.
    pub(super) fn set_slot(&mut self, ticket: Ticket, slot: u16) {
        if let Some(entry) = self.entry(ticket) {
            entry.slot = Some(slot);
        }
    }

    /// The sandbox is made.
    pub(super) fn commit(&mut self, ticket: Ticket) {
        if let Some(entry) = self.entry(ticket).filter(|entry| entry.phase == Phase::Making) {
            entry.phase = Phase::Used;
        }
    }

    /// Gives back a number of which no port was made. The slot, which is free for others now; as in what follows.
    pub(super) fn give_back(&mut self, ticket: Ticket) -> Option<u16> {
        self.entry(ticket).filter(|entry| matches!(entry.phase, Phase::Making | Phase::Used))?;
        self.used -= 1;
        self.set_free(ticket.number)
    }

    /// Gives back a number of which the kernel may still have the port.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<u16> {
        let entry = self.entry(ticket).filter(|entry| matches!(entry.phase, Phase::Making | Phase::Used))?;
        let gone = entry.port_gone;
        entry.phase = Phase::Leaving;
        self.used -= 1;
        self.leaving += 1;
        self.leaving_on[(ticket.number / self.per_bridge) as usize] += 1;
        if gone { self.reclaim(ticket.number) } else { None }
    }

    /// The kernel says that the port of a number is gone.
    pub(super) fn gone(&mut self, number: u32) -> Option<u16> {
        let entry = self.entries.get_mut(number as usize)?;
        match entry.phase {
            Phase::Leaving => self.reclaim(number),
            Phase::Making | Phase::Used => {
                entry.port_gone = true;
                None
            }
            Phase::Free => None,
        }
    }

    /// Somebody looked after every notice had been read, and the port of this ticket, which was one of
    /// [`Ledger::expected`], is not there.
    pub(super) fn absent(&mut self, ticket: Ticket) -> Option<u16> {
        let entry = self.entry(ticket)?;
        match entry.phase {
            Phase::Leaving => self.reclaim(ticket.number),
            Phase::Used => {
                entry.port_gone = true;
                None
            }
            // It may not have been made yet.
            Phase::Making | Phase::Free => None,
        }
    }

    fn reclaim(&mut self, number: u32) -> Option<u16> {
        self.leaving -= 1;
        self.leaving_on[(number / self.per_bridge) as usize] -= 1;
        self.set_free(number)
    }

    fn set_free(&mut self, number: u32) -> Option<u16> {
        let entry = &mut self.entries[number as usize];
        (entry.phase, entry.port_gone) = (Phase::Free, false);
        self.free.push_back(number);
        self.entries[number as usize].slot.take()
    }

    /// Keeps the number that was given back last from being taken, until [`Ledger::let_go`].
    pub(super) fn hold(&mut self, number: u32) {
        let held = self.free.pop_back();
        debug_assert_eq!(held, Some(number), "it was given back just now");
    }

    /// Lets a number be taken that was held.
    pub(super) fn let_go(&mut self, number: u32) {
        self.free.push_back(number);
    }

    /// Whether its sandbox was dropped, and the kernel may still have its port.
    pub(super) fn is_leaving(&self, ticket: Ticket) -> bool {
        let entry = self.entries.get(ticket.number as usize);
        entry.is_some_and(|entry| entry.generation == ticket.generation && entry.phase == Phase::Leaving)
    }

    /// Whether somebody deleted the port of a sandbox that is there.
    pub(super) fn is_dead(&self, ticket: Ticket) -> bool {
        let entry = self.entries.get(ticket.number as usize);
        entry.is_some_and(|entry| entry.generation == ticket.generation && entry.port_gone)
    }

    /// How many sandboxes there are, those that are being made included.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// How many dropped sandboxes the kernel has not reclaimed yet.
    pub(super) const fn leaving(&self) -> u32 {
        self.leaving
    }

    /// How many of those are on a bridge.
    pub(super) fn leaving_on(&self, bridge: u32) -> u32 {
        self.leaving_on[bridge as usize]
    }

    /// A bridge that the kernel has ports of to reclaim.
    pub(super) fn bridge_with_leaving(&self) -> Option<u32> {
        (0..).zip(&self.leaving_on).find(|(_, count)| **count > 0).map(|(bridge, _)| bridge)
    }

    /// The tickets of a bridge whose ports the kernel may have, apart from those that are being made.
    pub(super) fn expected(&self, bridge: u32) -> impl Iterator<Item = Ticket> + '_ {
        let first = bridge * self.per_bridge;
        (first..(first + self.per_bridge).min(self.fresh())).filter_map(|number| {
            let entry = &self.entries[number as usize];
            let there = matches!(entry.phase, Phase::Used | Phase::Leaving);
            there.then_some(Ticket { number, generation: entry.generation })
        })
    }
}

#[cfg(test)]
mod tests;
