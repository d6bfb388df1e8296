//! `nat`: the packet's source or destination becomes another.

use super::super::Family;
use super::super::constants::{
    NFTA_NAT_FAMILY, NFTA_NAT_FLAGS, NFTA_NAT_REG_ADDR_MIN, NFTA_NAT_REG_PROTO_MIN, NFTA_NAT_TYPE,
};
use super::{Expressions, Register};
use crate::wire::AttributeWriter;

/// Which side of a connection is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatKind {
    /// The source, in a chain of [`super::super::Base::nat`] at postrouting or input.
    Source,
    /// The destination, in one at prerouting or output.
    Destination,
}

/// How a port or an address is chosen where there are several.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NatFlags {
    /// A port by a hash that others do not know the key of (`random`).
    pub random: bool,
    /// A port by chance each time (`fully-random`).
    pub fully_random: bool,
    /// For one client always the same address (`persistent`).
    pub persistent: bool,
}

/// `NF_NAT_RANGE_*` of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nf_nat.h>.
pub(super) const PROTO_SPECIFIED: u32 = 1 << 1;
const PROTO_RANDOM: u32 = 1 << 2;
const PERSISTENT: u32 = 1 << 3;
const PROTO_RANDOM_FULLY: u32 = 1 << 4;

impl NatFlags {
    pub(super) const fn number(self) -> u32 {
        let mut number = 0;
        if self.random {
            number |= PROTO_RANDOM;
        }
        if self.fully_random {
            number |= PROTO_RANDOM_FULLY;
        }
        if self.persistent {
            number |= PERSISTENT;
        }
        number
    }
}

/// An attribute of flags, unless there are none.
pub(super) fn flags(data: &mut AttributeWriter<'_>, kind: u16, number: u32) {
    data.optional(kind, Some(number).filter(|&number| number != 0).map(u32::to_be));
}

impl Expressions<'_, '_> {
    /// Gives the packet's connection another source or destination: the address of `family`, [`Family::Ip`] or
    /// [`Family::Ip6`], in one register, and the port, in network order, in another.
    pub fn nat(
        &mut self,
        kind: NatKind,
        family: Family,
        address: Register,
        port: Option<Register>,
        how: NatFlags,
    ) {
        let number = match kind {
            NatKind::Source => libc::NFT_NAT_SNAT,
            NatKind::Destination => libc::NFT_NAT_DNAT,
        } as u32;
        self.add("nat", |data| {
            data.value(NFTA_NAT_TYPE, number.to_be());
            data.value(NFTA_NAT_FAMILY, u32::from(family.number()).to_be());
            data.value(NFTA_NAT_REG_ADDR_MIN, address.number());
            // That an address and a port are given, the kernel sees by the registers.
            data.optional(NFTA_NAT_REG_PROTO_MIN, port.map(Register::number));
            flags(data, NFTA_NAT_FLAGS, how.number());
        });
    }
}
