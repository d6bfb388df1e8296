//! `byteorder`: numbers in the other order, so that they can be compared.

use super::super::constants::{
    NFTA_BYTEORDER_DREG, NFTA_BYTEORDER_LEN, NFTA_BYTEORDER_OP, NFTA_BYTEORDER_SIZE, NFTA_BYTEORDER_SREG,
};
use super::{Expressions, Register};

/// Which order to change to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// From network order to the host's.
    Host,
    /// From the host's order to network order.
    Network,
}

impl Expressions<'_, '_> {
    /// Changes the order of a number of four bytes in a register.
    pub fn byte_order(&mut self, register: Register, to: ByteOrder) {
        let operation = match to {
            ByteOrder::Host => libc::NFT_BYTEORDER_NTOH,
            ByteOrder::Network => libc::NFT_BYTEORDER_HTON,
        } as u32;
        self.add("byteorder", |data| {
            data.value(NFTA_BYTEORDER_SREG, register.number());
            data.value(NFTA_BYTEORDER_DREG, register.number());
            data.value(NFTA_BYTEORDER_OP, operation.to_be());
            data.value(NFTA_BYTEORDER_LEN, 4_u32.to_be());
            data.value(NFTA_BYTEORDER_SIZE, 4_u32.to_be());
        });
    }
}
