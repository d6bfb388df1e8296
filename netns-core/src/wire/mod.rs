//! Netlink messages as bytes: writing them, reading them, naming their attributes.
//!
//! Nothing here knows a file descriptor or allocates on the way out; [`Batch`] is a fixed buffer on the stack
//! or in its owner. The layout is that of <https://docs.kernel.org/userspace-api/netlink/intro.html>.
#![forbid(unsafe_code)]

mod attribute;
mod constants;
mod message;
mod names;
mod writer;

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::Random;

pub use crate::sys::abi::{
    IfAddrMsg, IfInfoMsg, IfaCacheInfo, LinkStats64, NdMsg, NfGenMsg, NlAttr, NlMsgErr, NlMsgHdr, RtGenMsg,
    RtMsg, RtaCacheInfo, TcMsg,
};
pub use attribute::{Attribute, Attributes};
/// Its traits say which values an attribute can hold, in the version that [`AttributeWriter`] and [`Attribute`] ask for.
pub use bytemuck;
pub use constants::*;
pub use message::{Message, Messages};
pub(crate) use names::{Name, leaf, name, nest, path};
pub use writer::{AttributeWriter, BATCH_CAPACITY, Batch};

/// Messages and attributes begin at multiples of four bytes (`NLMSG_ALIGNTO`, `NLA_ALIGNTO`). The largest lengths, which
/// a header can state and no message has, become the largest multiple of four.
#[must_use]
pub const fn align(length: usize) -> usize {
    // With 32 bits a length from a header can be `usize::MAX`.
    length.saturating_add(3) & !3
}
