//! Rules that change while frames pass.
//!
//! A slot has room for two sets of rules, of which one holds. New ones are written to the other set, and one store lets them
//! hold; a program that read that word before goes on with the set of before. So a set that held is written again only after
//! all programs have ended that ran when it ceased to hold. The slot's own control word has a note of that, because the next
//! change may be another process's.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use super::grace;
use super::mapped::MappedArray;
use crate::layout::control::{ACTIVE, MODE, OFF, READ};

/// Which set new rules go to.
pub(super) const fn other_set(control: u32) -> usize {
    if control & ACTIVE == 0 { 1 } else { 0 }
}

/// Whether no program may be reading that set.
pub(super) const fn is_free(control: u32) -> bool {
    control & READ[other_set(control)] == 0
}

/// The bits of a control word by which a set holds from now on, and may be read.
pub(super) const fn holding(control: u32, set: usize) -> u32 {
    let active = if set == 1 { ACTIVE } else { 0 };
    control & (READ[0] | READ[1]) | READ[set] | active
}

/// A control word when no program runs any more that began before: what does not hold is not read.
pub(super) const fn settled(control: u32, holds: bool) -> u32 {
    let kept = if holds { READ[1 - other_set(control)] } else { 0 };
    control & !(READ[0] | READ[1]) | control & kept
}

/// Waits until new rules can be written to every slot of an array. A slot's control is the lower half of its first word, as
/// little-endian machines have it; others load no programs (`byte_order`).
pub(super) fn settle(array: &MappedArray, holds: fn(u32) -> bool) -> io::Result<()> {
    let after = |word: u64| word & !u64::from(u32::MAX) | u64::from(settled(word as u32, holds(word as u32)));
    let words = (0..array.len()).map(|slot| &array.words(slot)[0]);
    let seen: Vec<(&AtomicU64, u64)> = words
        .map(|word| (word, word.load(Ordering::Acquire)))
        .filter(|&(_, value)| after(value) != value)
        .collect();
    if seen.is_empty() {
        return Ok(());
    }
    grace::wait()?;
    for (word, value) in seen {
        // One that was changed meanwhile waits for the next time.
        let _ = word.compare_exchange(value, after(value), Ordering::AcqRel, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether a slot with this control has rules that hold.
pub(super) const fn has_policy(control: u32) -> bool {
    control & MODE != OFF
}

#[cfg(test)]
mod tests;
