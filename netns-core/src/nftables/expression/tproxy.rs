//! `tproxy`: a local socket gets the packet, which stays as it is.

use super::super::Family;
use super::super::constants::{NFTA_TPROXY_FAMILY, NFTA_TPROXY_REG_ADDR, NFTA_TPROXY_REG_PORT};
use super::{Expressions, Register};

impl Expressions<'_, '_> {
    /// Hands the packet to the transparent socket of this address and port, in network order, in a chain of
    /// [`super::super::Base::filter`] at prerouting. A register that is absent stands for the packet's own.
    pub fn transparent_proxy(&mut self, family: Family, address: Option<Register>, port: Option<Register>) {
        self.add("tproxy", |data| {
            data.value(NFTA_TPROXY_FAMILY, u32::from(family.number()).to_be());
            data.optional(NFTA_TPROXY_REG_ADDR, address.map(Register::number));
            data.optional(NFTA_TPROXY_REG_PORT, port.map(Register::number));
        });
    }
}
