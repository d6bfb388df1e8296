//! The table of pairs, read and cleared where the program counts: see [`crate::layout`].

use std::sync::atomic::{AtomicU64, Ordering};

use super::mapped::MappedArray;
use super::slots::Slots;
use super::{Lost, Pair};
use crate::layout::{PAIR_GROUP, PairKey, pair_share};

/// The table, mapped.
#[derive(Debug)]
pub(super) struct PairTable {
    lines: MappedArray,
    /// `None` of a program of an earlier version, which bounds no sender.
    bounds: Option<Bounds>,
}

/// What bounds the senders of a table.
#[derive(Debug)]
pub(super) struct Bounds {
    /// An element ([`PairSender`](crate::layout::PairSender)) for each.
    pub(super) senders: MappedArray,
    /// A single one ([`PairUse`](crate::layout::PairUse)).
    pub(super) all: MappedArray,
}

impl Bounds {
    fn sender(&self, sender: u32) -> Option<&[AtomicU64]> {
        let sender = sender as usize;
        (sender < self.senders.len()).then(|| self.senders.words(sender))
    }

    /// How many lines a sender has.
    pub(super) fn lines_of(&self, sender: u32) -> u64 {
        self.sender(sender).map_or(0, |words| words[0].load(Ordering::Relaxed))
    }

    /// How many lines all have.
    pub(super) fn lines(&self) -> u64 {
        self.all.words(0)[0].load(Ordering::Relaxed)
    }

    /// Shares a table of so many lines among so many ports, and the host.
    pub(super) fn share(&self, lines: usize, ports: usize) {
        self.all.words(0)[1].store(pair_share(lines as u64, ports as u64), Ordering::Relaxed);
    }

    /// What a sender sent that is in no line.
    pub(super) fn lost_of(&self, sender: u32) -> Lost {
        let Some([_, packets, bytes, _]) = self.sender(sender) else { return Lost::default() };
        Lost { packets: packets.load(Ordering::Relaxed), bytes: bytes.load(Ordering::Relaxed) }
    }

    /// Sets that to zero, for another port that has the slot from now on. The lines of the one before are taken back when
    /// they are cleared.
    pub(super) fn forget_lost_of(&self, sender: u32) {
        let Some([_, packets, bytes, _]) = self.sender(sender) else { return };
        packets.store(0, Ordering::Relaxed);
        bytes.store(0, Ordering::Relaxed);
    }

    /// A line of this sender was cleared.
    pub(super) fn give_back(&self, sender: u32) {
        for lines in [self.sender(sender), Some(self.all.words(0))].into_iter().flatten() {
            lines[0].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl PairTable {
    pub(super) const fn new(lines: MappedArray, bounds: Option<Bounds>) -> Self {
        Self { lines, bounds }
    }

    /// Shares the table among so many ports, and the host.
    pub(super) fn share(&self, ports: usize) {
        if let Some(bounds) = &self.bounds {
            bounds.share(self.lines.len(), ports);
        }
    }

    /// What a sender (0 is the host) sent that is in no pair.
    pub(super) fn lost_of(&self, sender: u32) -> Lost {
        self.bounds.as_ref().map_or_else(Lost::default, |bounds| bounds.lost_of(sender))
    }

    /// Sets that to zero, for another port that has the slot from now on.
    pub(super) fn forget_lost_of(&self, sender: u32) {
        if let Some(bounds) = &self.bounds {
            bounds.forget_lost_of(sender);
        }
    }

    /// The pairs of ports that are there, in no order; the lines of the others are cleared.
    ///
    /// A pair that is new may be among them or not; one that was there before and stays is among them once.
    pub(super) fn sweep(&self, slots: &Slots) -> Vec<Pair> {
        let mut pairs = Vec::new();
        let mut group = 0;
        for number in 0..self.lines.len() {
            if number.is_multiple_of(PAIR_GROUP as usize) {
                group = pairs.len();
            }
            let [word, packets, bytes, _] = self.lines.read(number);
            let Some(key) = PairKey::from_word(word) else { continue };
            match slots.ends(key) {
                Some((from, to)) => add(&mut pairs, group, Pair { from, to, packets, bytes }),
                None => {
                    if clear(self.lines.words(number), word)
                        && let Some(bounds) = &self.bounds
                    {
                        bounds.give_back(key.from);
                    }
                }
            }
        }
        pairs
    }
}

/// Adds what a line says, to the pair's other line if it has one in the same group: two CPUs may each have made one.
fn add(pairs: &mut Vec<Pair>, group: usize, line: Pair) {
    match pairs[group..].iter_mut().find(|pair| (pair.from, pair.to) == (line.from, line.to)) {
        Some(pair) => {
            pair.packets = pair.packets.wrapping_add(line.packets);
            pair.bytes = pair.bytes.wrapping_add(line.bytes);
        }
        None => pairs.push(line),
    }
}

/// Clears a line, unless somebody else does; whether it did. It is nobody's while its counters are set to zero, so that
/// its next pair begins there. A frame that the program has just found it for may still be counted in it: slots are reused
/// late.
pub(super) fn clear(line: &[AtomicU64], word: u64) -> bool {
    let [key, counters @ ..] = line else { return false };
    if key.compare_exchange(word, PairKey::CLEARING, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return false;
    }
    for counter in counters {
        counter.store(0, Ordering::Relaxed);
    }
    key.store(PairKey::NONE, Ordering::Release);
    true
}

/// What all CPUs had no room for.
pub(super) fn sum(lost: &MappedArray) -> Lost {
    (0..lost.len()).fold(Lost::default(), |sum, cpu| {
        let [packets, bytes] = lost.read(cpu);
        Lost { packets: sum.packets.wrapping_add(packets), bytes: sum.bytes.wrapping_add(bytes) }
    })
}

#[cfg(test)]
mod tests;
