//! `payload`: bytes of a packet.

use super::super::constants::{NFTA_PAYLOAD_BASE, NFTA_PAYLOAD_DREG, NFTA_PAYLOAD_LEN, NFTA_PAYLOAD_OFFSET};
use super::{Expressions, Register};

/// Where bytes are counted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The Ethernet header.
    Link,
    /// The IP header.
    Network,
    /// The TCP, UDP or other header.
    Transport,
}

impl Header {
    const fn number(self) -> u32 {
        (match self {
            Self::Link => libc::NFT_PAYLOAD_LL_HEADER,
            Self::Network => libc::NFT_PAYLOAD_NETWORK_HEADER,
            Self::Transport => libc::NFT_PAYLOAD_TRANSPORT_HEADER,
        }) as u32
    }
}

impl Expressions<'_, '_> {
    /// Loads bytes of the packet into a register; a packet that has not so many does not match the rule.
    pub fn payload(&mut self, header: Header, offset: u32, length: u32, to: Register) {
        self.add("payload", |data| {
            data.value(NFTA_PAYLOAD_DREG, to.number());
            data.value(NFTA_PAYLOAD_BASE, header.number().to_be());
            data.value(NFTA_PAYLOAD_OFFSET, offset.to_be());
            data.value(NFTA_PAYLOAD_LEN, length.to_be());
        });
    }
}
