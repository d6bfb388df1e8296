//! `fib`: what the routes say of an address of the packet.

use super::super::constants::{NFTA_FIB_DREG, NFTA_FIB_FLAGS, NFTA_FIB_RESULT};
use super::{Expressions, Register};

/// Which address the routes are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FibAddress {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// `RTN_LOCAL`: what [`Expressions::address_type`] loads for an address of this host, in host order.
pub const LOCAL_ADDRESS: u32 = libc::RTN_LOCAL as u32;

/// `NFTA_FIB_F_*` and `NFT_FIB_RESULT_*`, of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nf_tables.h>.
const SADDR: u32 = 1 << 0;
const DADDR: u32 = 1 << 1;
const RESULT_ADDRTYPE: u32 = 3;

impl Expressions<'_, '_> {
    /// Loads the type of an address, `RTN_*` in host order, four bytes: [`LOCAL_ADDRESS`] for one of this host.
    pub fn address_type(&mut self, address: FibAddress, to: Register) {
        let flags = match address {
            FibAddress::Source => SADDR,
            FibAddress::Destination => DADDR,
        };
        self.add("fib", |data| {
            data.value(NFTA_FIB_FLAGS, flags.to_be());
            data.value(NFTA_FIB_RESULT, RESULT_ADDRTYPE.to_be());
            data.value(NFTA_FIB_DREG, to.number());
        });
    }
}
