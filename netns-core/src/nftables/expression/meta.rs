//! `meta`: what the kernel knows of a packet beside its bytes.

use super::super::constants::{NFTA_META_DREG, NFTA_META_KEY};
use super::{Expressions, Register};

/// What is asked for. Values are in host order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaKey {
    /// `skb->priority`, four bytes.
    Priority,
    /// `skb->mark`, four bytes.
    Mark,
    /// The index of the link that the packet came in by, four bytes.
    InputIndex,
    /// The index of the link that it goes out by, four bytes.
    OutputIndex,
    /// The name of the bridge that the packet came in by a port of, 16 bytes; of [`super::super::Family::Bridge`].
    InputBridge,
    /// `NFPROTO_*` of the packet, one byte.
    Protocol,
    /// `IPPROTO_*` of what the IP packet carries, one byte, after IPv6's extension headers.
    Transport,
    /// The name of the link that the packet came in by, 16 bytes.
    InputName,
    /// The name of the link that it goes out by, 16 bytes.
    OutputName,
    /// To whom it was sent, as seen from the link that it came in by: `PACKET_HOST`, `PACKET_OTHERHOST` and so on, one byte.
    PacketType,
}

impl MetaKey {
    const fn number(self) -> u32 {
        (match self {
            Self::Priority => libc::NFT_META_PRIORITY,
            Self::Mark => libc::NFT_META_MARK,
            Self::InputIndex => libc::NFT_META_IIF,
            Self::OutputIndex => libc::NFT_META_OIF,
            Self::InputBridge => libc::NFT_META_BRI_IIFNAME,
            Self::Protocol => libc::NFT_META_NFPROTO,
            Self::Transport => libc::NFT_META_L4PROTO,
            Self::InputName => libc::NFT_META_IIFNAME,
            Self::OutputName => libc::NFT_META_OIFNAME,
            Self::PacketType => libc::NFT_META_PKTTYPE,
        }) as u32
    }
}

impl Expressions<'_, '_> {
    /// Loads what the kernel knows into a register.
    pub fn meta(&mut self, key: MetaKey, to: Register) {
        self.add("meta", |data| {
            data.value(NFTA_META_KEY, key.number().to_be());
            data.value(NFTA_META_DREG, to.number());
        });
    }
}
