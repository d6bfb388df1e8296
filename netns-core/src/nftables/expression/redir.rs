//! `redir`: the packet is for this host.

use super::super::constants::{NFTA_REDIR_FLAGS, NFTA_REDIR_REG_PROTO_MIN};
use super::nat::{NatFlags, PROTO_SPECIFIED, flags};
use super::{Expressions, Register};

impl Expressions<'_, '_> {
    /// Gives the packet's connection the address of the link that it came in by as its destination, and the port in a
    /// register, in a chain of [`super::super::Base::nat`] at prerouting or output.
    pub fn redirect(&mut self, port: Option<Register>, how: NatFlags) {
        self.add("redir", |data| {
            data.optional(NFTA_REDIR_REG_PROTO_MIN, port.map(Register::number));
            let specified = if port.is_some() { PROTO_SPECIFIED } else { 0 };
            flags(data, NFTA_REDIR_FLAGS, how.number() | specified);
        });
    }
}
