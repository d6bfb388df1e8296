//! `dynset`: a rule adds to a set.

use super::super::constants::{
    NESTED, NFTA_DYNSET_EXPR, NFTA_DYNSET_OP, NFTA_DYNSET_SET_ID, NFTA_DYNSET_SET_NAME, NFTA_DYNSET_SREG_KEY,
};
use super::super::set::Set;
use super::{Expressions, Register, named};

impl Expressions<'_, '_> {
    /// Adds the value of a register to a dynamic set of the same transaction, with a counter, and counts the packet there.
    ///
    /// If the set is full the packet does not match the rule from here on: what is to happen to it in any case belongs
    /// into a rule of its own (`nft_dynset_eval` in
    /// <https://github.com/torvalds/linux/blob/v6.12/net/netfilter/nft_dynset.c>).
    pub fn update(&mut self, register: Register, set: &Set<'_>) {
        self.add("dynset", |data| {
            data.value(NFTA_DYNSET_SREG_KEY, register.number());
            data.value(NFTA_DYNSET_OP, (libc::NFT_DYNSET_OP_UPDATE as u32).to_be());
            data.text(NFTA_DYNSET_SET_NAME, set.name);
            data.value(NFTA_DYNSET_SET_ID, set.id.to_be());
            data.nest(NFTA_DYNSET_EXPR | NESTED, |expression| named(expression, "counter", |_| {}));
        });
    }
}
