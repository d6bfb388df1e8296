//! Which numbers are in use, which wait for the kernel, and which are free.

use std::collections::VecDeque;

/// What a number is at the moment. One that is neither was never used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A sandbox has it.
    Used,
    /// A sandbox has it, but its port is gone already: somebody else deleted it.
    Orphaned,
    /// Its sandbox was dropped, and the kernel may still have its port.
    Leaving,
    /// Nobody has it, and no port of it is left.
    Free,
}

/// The numbers of a network. A number that was given back is free when the kernel has reclaimed its port, and is then
/// used again as late as possible among the free ones: first in, first out.
///
/// Numbers that were used before come before those that never were, so that what the network prepared for a number is
/// used again, and its tables stay as short as the most sandboxes there ever were at once.
#[derive(Debug)]
pub(super) struct Numbers {
    capacity: u32,
    /// By number, with the slot of its port in the program's arrays.
    states: Vec<(State, Option<u16>)>,
    free: VecDeque<u32>,
    used: u32,
    leaving: u32,
}

impl Numbers {
    pub(super) const fn new(capacity: u32) -> Self {
        Self { capacity, states: Vec::new(), free: VecDeque::new(), used: 0, leaving: 0 }
    }

    /// Makes room for `more` numbers, so that taking them takes nothing from the heap.
    pub(super) fn reserve(&mut self, more: usize) {
        self.states.reserve(more);
        let wanted = self.states.len() + more;
        self.free.reserve(wanted.saturating_sub(self.free.len()));
    }

    /// Takes a number; `None` if none is free.
    pub(super) fn take(&mut self) -> Option<u32> {
        let number = match self.free.pop_front() {
            Some(number) => number,
            None if self.fresh() < self.capacity => {
                self.states.push((State::Free, None));
                self.fresh() - 1
            }
            None => return None,
        };
        self.states[number as usize] = (State::Used, None);
        self.used += 1;
        Some(number)
    }

    /// The lowest number that was never used.
    pub(super) fn fresh(&self) -> u32 {
        // There are at most `capacity`.
        self.states.len() as u32
    }

    /// Whether a number can be taken.
    pub(super) fn available(&self) -> bool {
        !self.free.is_empty() || self.fresh() < self.capacity
    }

    /// How many numbers were used before and are free.
    pub(super) fn recycled(&self) -> usize {
        self.free.len()
    }

    /// Remembers the slot of a used number's port.
    pub(super) fn set_slot(&mut self, number: u32, slot: u16) {
        if let Some((_, known)) = self.states.get_mut(number as usize) {
            *known = Some(slot);
        }
    }

    /// Gives a number back whose port the kernel may still have. The slot of its port if that is known to be gone.
    pub(super) fn leave(&mut self, number: u32) -> Option<u16> {
        match self.states.get(number as usize) {
            Some(&(State::Used, slot)) => {
                self.states[number as usize] = (State::Leaving, slot);
                self.used -= 1;
                self.leaving += 1;
                None
            }
            Some(&(State::Orphaned, slot)) => {
                self.used -= 1;
                self.set_free(number);
                slot
            }
            _ => None,
        }
    }

    /// Notes that the kernel has reclaimed a number's port. The slot that the port had, if it is free for others now.
    pub(super) fn reclaimed(&mut self, number: u32) -> Option<u16> {
        match self.states.get(number as usize) {
            Some(&(State::Leaving, slot)) => {
                self.leaving -= 1;
                self.set_free(number);
                slot
            }
            Some(&(State::Used, slot)) => {
                self.states[number as usize] = (State::Orphaned, slot);
                None
            }
            _ => None,
        }
    }

    fn set_free(&mut self, number: u32) {
        self.states[number as usize] = (State::Free, None);
        self.free.push_back(number);
    }

    /// How many sandboxes there are.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// How many dropped sandboxes the kernel has not reclaimed yet.
    pub(super) const fn leaving(&self) -> u32 {
        self.leaving
    }

    /// The numbers that wait for the kernel.
    pub(super) fn all_leaving(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.states).filter(|(_, (state, _))| *state == State::Leaving).map(|(number, _)| number)
    }
}

#[cfg(test)]
mod tests;
