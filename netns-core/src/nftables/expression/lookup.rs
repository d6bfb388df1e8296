//! `lookup`: whether a set has a register's value, and what a map has for it.

use super::super::constants::{NFTA_LOOKUP_DREG, NFTA_LOOKUP_SET, NFTA_LOOKUP_SET_ID, NFTA_LOOKUP_SREG};
use super::super::set::Set;
use super::{Expressions, Register};

impl Expressions<'_, '_> {
    /// Goes on if a set of the same transaction has the value of a register; else the packet does not match the rule.
    pub fn lookup(&mut self, register: Register, set: &Set<'_>) {
        self.add("lookup", |data| {
            data.value(NFTA_LOOKUP_SREG, register.number());
            data.text(NFTA_LOOKUP_SET, set.name);
            data.value(NFTA_LOOKUP_SET_ID, set.id.to_be());
        });
    }

    /// Goes on if a map of the same transaction has the value of a register, and loads what belongs to it into another;
    /// else the packet does not match the rule.
    pub fn lookup_data(&mut self, register: Register, map: &Set<'_>, to: Register) {
        self.look_up(register, map, to.number());
    }

    /// Decides what a map of verdicts of the same transaction says of the value of a register; if that is not in it, the
    /// packet does not match the rule.
    pub fn lookup_verdict(&mut self, register: Register, map: &Set<'_>) {
        self.look_up(register, map, (libc::NFT_REG_VERDICT as u32).to_be());
    }

    fn look_up(&mut self, register: Register, map: &Set<'_>, to: u32) {
        self.add("lookup", |data| {
            data.value(NFTA_LOOKUP_SREG, register.number());
            data.value(NFTA_LOOKUP_DREG, to);
            data.text(NFTA_LOOKUP_SET, map.name);
            data.value(NFTA_LOOKUP_SET_ID, map.id.to_be());
        });
    }
}
