//! nftables by hand: tables, chains, rules, sets and their elements, in atomic batches over nfnetlink.
//!
//! A [`Transaction`] holds the requests; [`NftSocket::commit`] sends them, and the kernel carries out all of them or
//! none. A rule is a list of [`Expressions`], of which each kind is a file of its own. [`conntrack`] has the connections
//! that the kernel keeps track of.
//!
//! ```
//! use netns_core::Namespace;
//! use netns_core::nftables::{
//!     Base, Chain, Comparison, Family, MetaKey, NftSocket, Register, Table, Transaction, RuleVerdict, chain, rule, table,
//! };
//!
//! # if !netns_core::is_privileged() { return Ok(()); }
//! let mut socket = NftSocket::open_in(&Namespace::anonymous()?)?;
//! let table = Table { family: Family::Inet, name: "example" };
//! let input = Chain { table, name: "input", base: Some(Base::input(0)) };
//! let mut transaction = Transaction::new();
//! table::encode_create(&mut transaction, table);
//! chain::encode_create(&mut transaction, &input);
//! // meta mark 7 counter drop
//! rule::encode_append(&mut transaction, &input, |rule| {
//!     rule.meta(MetaKey::Mark, Register::One);
//!     rule.compare(Register::One, Comparison::Equal, &7_u32.to_ne_bytes());
//!     rule.counter();
//!     rule.verdict(RuleVerdict::Drop);
//! });
//! # let outcome =
//! socket.commit(&mut transaction)
//! # ; match outcome { Err(error) if error.kind() == netns_core::ErrorKind::Unsupported => return Ok(()), other => other? };
//! # assert_eq!(table::list(&mut socket, Family::Inet)?.len(), 1);
//! # Ok::<(), netns_core::Error>(())
//! ```
//!
//! Nothing here reads or changes what is not named in the request. Two processes may use one namespace's tables at the
//! same time: the kernel takes their batches one after the other.
#![forbid(unsafe_code)]

pub mod chain;
pub mod comment;
pub mod conntrack;
mod constants;
mod describe;
pub mod element;
mod expression;
mod notices;
pub mod rule;
pub mod set;
mod socket;
pub mod table;
mod transaction;

#[cfg(test)]
mod tests;

pub use chain::{Base, Chain, InetHook};
pub use element::Element;
pub use expression::{
    ByteOrder, Comparison, CtKey, CtState, DESTINATION_CHANGED, Expressions, FibAddress, Header,
    LOCAL_ADDRESS, MetaKey, NatFlags, NatKind, RateLimit, Register, Rejection, RuleVerdict,
};
pub use notices::RuleNotices;
pub use set::{KeyType, MapData, Set, SetOptions};
pub use socket::NftSocket;
pub use table::Table;
pub use transaction::Transaction;

use crate::wire::{Message, NfGenMsg};

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Family {
    /// IPv4 and IPv6.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// What passes bridges.
    Bridge,
    /// What passes one device, at its ingress or egress.
    Netdev,
}

impl Family {
    /// `NFPROTO_*`.
    #[must_use]
    pub const fn number(self) -> u8 {
        (match self {
            Self::Inet => libc::NFPROTO_INET,
            Self::Ip => libc::NFPROTO_IPV4,
            Self::Ip6 => libc::NFPROTO_IPV6,
            Self::Bridge => libc::NFPROTO_BRIDGE,
            Self::Netdev => libc::NFPROTO_NETDEV,
        }) as u8
    }

    /// What `nft` calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
            Self::Bridge => "bridge",
            Self::Netdev => "netdev",
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        [Self::Inet, Self::Ip, Self::Ip6, Self::Bridge, Self::Netdev]
            .into_iter()
            .find(|family| family.number() == number)
    }
}

/// The type of a message: the subsystem above, `NFT_MSG_*` below.
const fn kind(message: libc::c_int) -> u16 {
    (libc::NFNL_SUBSYS_NFTABLES as u16) << 8 | message as u16
}

/// The header of a message about something of this family.
fn header(family: Family) -> NfGenMsg {
    NfGenMsg { family: family.number(), ..NfGenMsg::default() }
}

/// The family of what a message describes, if it is of this type and of a family that we know.
fn family_of(message: &Message<'_>, expected: libc::c_int) -> Option<Family> {
    let header: NfGenMsg = message.family_header()?;
    Family::from_number(header.family).filter(|_| message.header.kind == kind(expected))
}
