//! `fwd`: a packet goes to another device.

use super::super::constants::NFTA_FWD_SREG_DEV;
use super::{Expressions, Register};

impl Expressions<'_, '_> {
    /// Hands the packet to the device whose index a register has, in a chain of [`super::super::Family::Netdev`].
    pub fn forward(&mut self, device: Register) {
        self.add("fwd", |data| data.value(NFTA_FWD_SREG_DEV, device.number()));
    }
}
