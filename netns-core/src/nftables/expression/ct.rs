//! `ct`: what the kernel knows of the packet's connection.

use super::super::constants::{NFTA_CT_DREG, NFTA_CT_KEY};
use super::{Expressions, Register};

/// What is asked for. Values are in host order, four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CtKey {
    /// One bit, of [`CtState`].
    State,
    /// Bits, `IPS_*`: [`DESTINATION_CHANGED`].
    Status,
    /// The connection's mark.
    Mark,
}

impl CtKey {
    const fn number(self) -> u32 {
        (match self {
            Self::State => libc::NFT_CT_STATE,
            Self::Status => libc::NFT_CT_STATUS,
            Self::Mark => libc::NFT_CT_MARK,
        }) as u32
    }
}

/// The state of a connection, as a bit of [`CtKey::State`]
/// (`NF_CT_STATE_BIT` in
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nf_conntrack_common.h>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CtState {
    /// The packet belongs to no connection, and can open none.
    Invalid,
    /// There were packets in both directions.
    Established,
    /// The packet is about another connection, as an ICMP error is.
    Related,
    /// The packet opens it.
    New,
}

impl CtState {
    /// Its bit.
    #[must_use]
    pub const fn bit(self) -> u32 {
        match self {
            Self::Invalid => 1 << 0,
            Self::Established => 1 << 1,
            Self::Related => 1 << 2,
            Self::New => 1 << 3,
        }
    }
}

/// `IPS_DST_NAT`, a bit of [`CtKey::Status`]: the connection's destination was changed. Its replies have the bit, too.
pub const DESTINATION_CHANGED: u32 = 1 << 5;

impl Expressions<'_, '_> {
    /// Loads what is known of the packet's connection; a packet that has none does not match the rule, except by
    /// [`CtKey::State`].
    pub fn connection(&mut self, key: CtKey, to: Register) {
        self.add("ct", |data| {
            data.value(NFTA_CT_KEY, key.number().to_be());
            data.value(NFTA_CT_DREG, to.number());
        });
    }

    /// Goes on if the connection has one of these bits of `key`; else the packet does not match the rule.
    pub fn connection_has(&mut self, key: CtKey, bits: u32) {
        self.connection(key, Register::One);
        self.mask(Register::One, bits.to_ne_bytes());
        self.compare(Register::One, super::Comparison::NotEqual, &[0; 4]);
    }
}
