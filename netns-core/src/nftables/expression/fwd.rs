//! `fwd`: a packet goes to another device.

use super::super::constants::{NFTA_FWD_SREG_DEV, NFTA_IMMEDIATE_DATA, NFTA_IMMEDIATE_DREG};
use super::{Expressions, Register, value};

impl Expressions<'_, '_> {
    /// Loads bytes, at most 16, into a register.
    pub fn load(&mut self, to: Register, bytes: &[u8]) {
        self.add("immediate", |data| {
            data.value(NFTA_IMMEDIATE_DREG, to.number());
            value(data, NFTA_IMMEDIATE_DATA, bytes);
        });
    }

    /// Hands the packet to the device whose index a register has, in a chain of [`super::super::Family::Netdev`].
    pub fn forward(&mut self, device: Register) {
        self.add("fwd", |data| data.value(NFTA_FWD_SREG_DEV, device.number()));
    }
}
