//! What a network knows of its numbers.

use super::ledger::Ledger;
use std::time::Instant;

/// The ledger, and what is known of the notices that it is kept by.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) ledger: Ledger,
    /// How many numbers were taken since the notices were read.
    pub(super) taken: u32,
    /// When it was last noticed that the kernel has reclaimed something.
    pub(super) reclaimed: Option<Instant>,
    /// By bridge: whether notices do not say everything, so that somebody has to look which ports are there.
    pub(super) unsure: Box<[bool]>,
    /// Numbers that are free, and whose slots the program has not been given back yet. It is not called while this is locked,
    /// so that it may use the network. There is room for all of them.
    released: Vec<(u32, u16)>,
    /// How many numbers nobody can take because the program has not been given back their slots: it would be asked for a
    /// slot for a port that has one.
    held: u32,
}

impl Books {
    pub(super) fn new(capacity: u32, per_bridge: u32, has_slots: bool) -> Self {
        let bridges = capacity.div_ceil(per_bridge) as usize;
        let ledger = Ledger::new(capacity, per_bridge);
        let released = Vec::with_capacity(if has_slots { capacity as usize } else { 0 });
        Self { ledger, taken: 0, reclaimed: None, unsure: vec![false; bridges].into(), released, held: 0 }
    }

    /// How many numbers will be free: the kernel has not reclaimed them, or the program has not been given back their slots.
    pub(super) const fn coming(&self) -> u32 {
        self.ledger.leaving() + self.held
    }

    /// Notes that a number is free, if there was a slot for it and so something to do before somebody takes it.
    pub(super) fn hold(&mut self, number: u32, slot: Option<u16>) {
        if let Some(slot) = slot {
            self.ledger.hold(number);
            self.released.push((number, slot));
            self.held += 1;
        }
    }

    /// A number whose slot is to be given back.
    pub(super) fn next_released(&mut self) -> Option<(u32, u16)> {
        self.released.pop()
    }

    /// The slot of a number was given back.
    pub(super) fn let_go(&mut self, number: u32) {
        self.ledger.let_go(number);
        self.held -= 1;
    }

    /// Whether reading notices of a bridge can show anything that matters.
    pub(super) fn is_interesting(&self, bridge: u32) -> bool {
        self.ledger.leaving_on(bridge) > 0 || self.unsure[bridge as usize]
    }
}
