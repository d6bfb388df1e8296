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
    /// Slots that are free, and that the program has not been given back yet. It is not called while this is locked, so that
    /// it may use the network. There is room for all of them.
    pub(super) released: Vec<u16>,
}

impl Books {
    pub(super) fn new(capacity: u32, per_bridge: u32, has_slots: bool) -> Self {
        let bridges = capacity.div_ceil(per_bridge) as usize;
        let ledger = Ledger::new(capacity, per_bridge);
        let released = Vec::with_capacity(if has_slots { capacity as usize } else { 0 });
        Self { ledger, taken: 0, reclaimed: None, unsure: vec![false; bridges].into(), released }
    }

    /// Whether reading notices of a bridge can tell anything that matters.
    pub(super) fn is_interesting(&self, bridge: u32) -> bool {
        self.ledger.leaving_on(bridge) > 0 || self.unsure[bridge as usize]
    }
}
