//! `bitwise`: bits of a register.

use super::super::constants::{
    NFTA_BITWISE_DREG, NFTA_BITWISE_LEN, NFTA_BITWISE_MASK, NFTA_BITWISE_OP, NFTA_BITWISE_SREG,
    NFTA_BITWISE_XOR,
};
use super::{Expressions, Register, value};

impl Expressions<'_, '_> {
    /// Keeps those bits of a register that are set in `mask`, which has the register's length.
    pub fn mask<const N: usize>(&mut self, register: Register, mask: [u8; N]) {
        self.add("bitwise", |data| {
            data.value(NFTA_BITWISE_SREG, register.number());
            data.value(NFTA_BITWISE_DREG, register.number());
            data.value(NFTA_BITWISE_LEN, (N as u32).to_be());
            data.value(NFTA_BITWISE_OP, 0_u32);
            value(data, NFTA_BITWISE_MASK, &mask);
            value(data, NFTA_BITWISE_XOR, &[0; N]);
        });
    }
}
