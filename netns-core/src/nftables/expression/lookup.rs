//! `lookup`: whether a set has a register's value.

use super::super::constants::{NFTA_LOOKUP_SET, NFTA_LOOKUP_SET_ID, NFTA_LOOKUP_SREG};
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
}
