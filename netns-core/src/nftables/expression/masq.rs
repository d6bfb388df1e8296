//! `masq`: the packet's source becomes the address of the link that it leaves by.

use super::super::constants::NFTA_MASQ_FLAGS;
use super::Expressions;
use super::nat::{NatFlags, flags};

impl Expressions<'_, '_> {
    /// Gives the packet's connection the first address of the link that it leaves by as its source, in a chain of
    /// [`super::super::Base::nat`] at postrouting. Replies find their way back.
    pub fn masquerade(&mut self, how: NatFlags) {
        self.add("masq", |data| flags(data, NFTA_MASQ_FLAGS, how.number()));
    }
}
