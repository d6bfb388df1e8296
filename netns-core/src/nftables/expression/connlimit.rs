//! `connlimit`: how many connections there are.

use super::super::constants::{
    NESTED, NFTA_CONNLIMIT_COUNT, NFTA_CONNLIMIT_FLAGS, NFTA_DYNSET_EXPR, NFTA_DYNSET_OP, NFTA_DYNSET_SET_ID,
    NFTA_DYNSET_SET_NAME, NFTA_DYNSET_SREG_KEY,
};
use super::super::set::Set;
use super::{Expressions, Register, named};
use crate::wire::AttributeWriter;

const INVERTED: u32 = 1 << 0;

impl Expressions<'_, '_> {
    /// Goes on if more connections than `count` have come this way; else the packet does not match the rule.
    pub fn more_connections_than(&mut self, count: u32) {
        self.add("connlimit", |data| more_than(data, count));
    }

    /// The same for each value of a register by itself, which is added to a dynamic set of the same transaction
    /// (Linux 4.18). If the set is full the packet does not match the rule.
    pub fn more_connections_each_than(&mut self, count: u32, register: Register, set: &Set<'_>) {
        self.add("dynset", |data| {
            data.value(NFTA_DYNSET_SREG_KEY, register.number());
            data.value(NFTA_DYNSET_OP, (libc::NFT_DYNSET_OP_ADD as u32).to_be());
            data.text(NFTA_DYNSET_SET_NAME, set.name);
            data.value(NFTA_DYNSET_SET_ID, set.id.to_be());
            data.nest(NFTA_DYNSET_EXPR | NESTED, |expression| {
                named(expression, "connlimit", |data| more_than(data, count));
            });
        });
    }
}

fn more_than(data: &mut AttributeWriter<'_>, count: u32) {
    data.value(NFTA_CONNLIMIT_COUNT, count.to_be());
    data.value(NFTA_CONNLIMIT_FLAGS, INVERTED.to_be());
}
