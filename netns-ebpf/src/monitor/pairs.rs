//! The table of pairs, read and cleared where the program counts: see [`crate::layout`].

use std::sync::atomic::{AtomicU64, Ordering};

use super::mapped::MappedArray;
use super::slots::Slots;
use super::{Lost, Pair};
use crate::layout::{PAIR_GROUP, PairKey};

/// The table, mapped.
#[derive(Debug)]
pub(super) struct PairTable {
    lines: MappedArray,
}

impl PairTable {
    pub(super) const fn new(lines: MappedArray) -> Self {
        Self { lines }
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
                None => clear(self.lines.words(number), word),
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

/// Clears a line, unless somebody else does. It is nobody's while its counters are set to zero, so that whoever takes it
/// next begins there. A frame that the program has just found it for may still be counted in it: slots are reused late.
fn clear(line: &[AtomicU64], word: u64) {
    let [key, counters @ ..] = line else { return };
    if key.compare_exchange(word, PairKey::CLEARING, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return;
    }
    for counter in counters {
        counter.store(0, Ordering::Relaxed);
    }
    key.store(PairKey::NONE, Ordering::Release);
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
