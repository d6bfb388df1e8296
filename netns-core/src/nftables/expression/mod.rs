//! Expressions: what a rule is made of. Each loads a register, tests one, or decides.

mod bitwise;
mod byteorder;
mod cmp;
mod connlimit;
mod counter;
mod ct;
mod dynset;
mod fib;
mod fwd;
mod immediate;
mod limit;
mod lookup;
mod masq;
mod matching;
mod meta;
mod nat;
mod notrack;
mod payload;
mod redir;
mod reject;
mod tproxy;

pub use byteorder::ByteOrder;
pub use cmp::Comparison;
pub use ct::{CtKey, CtState, DESTINATION_CHANGED};
pub use fib::{FibAddress, LOCAL_ADDRESS};
pub use immediate::RuleVerdict;
pub use limit::RateLimit;
pub use meta::MetaKey;
pub use nat::{NatFlags, NatKind};
pub use payload::Header;
pub use reject::Rejection;

use super::constants::{NESTED, NFTA_DATA_VALUE, NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_LIST_ELEM};
use crate::wire::AttributeWriter;

/// A register that expressions pass values in: four of 16 bytes, or the same as words of four bytes, in which the parts of
/// a concatenation lie one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// `NFT_REG_1`.
    One,
    /// `NFT_REG_2`.
    Two,
    /// `NFT_REG_3`.
    Three,
    /// `NFT_REG_4`.
    Four,
    /// `NFT_REG32_00` and what follows: a word of four bytes, from 0 to 15. Word 0 begins where [`Register::One`] does,
    /// word 4 where [`Register::Two`] does. There is no word past the last: the kernel refuses the rule.
    Word(u8),
}

impl Register {
    /// `NFT_REG_*`, in network order. A word that begins a register of 16 bytes has that one's number, as with `nft`.
    const fn number(self) -> u32 {
        (match self {
            Self::One => libc::NFT_REG_1 as u32,
            Self::Two => libc::NFT_REG_2 as u32,
            Self::Three => libc::NFT_REG_3 as u32,
            Self::Four => libc::NFT_REG_4 as u32,
            Self::Word(word @ (0 | 4 | 8 | 12)) => libc::NFT_REG_1 as u32 + word as u32 / 4,
            Self::Word(word) => libc::NFT_REG32_00 as u32 + word as u32,
        })
        .to_be()
    }
}

/// Appends expressions to a rule.
#[derive(Debug)]
pub struct Expressions<'a, 'w> {
    list: &'a mut AttributeWriter<'w>,
}

impl<'a, 'w> Expressions<'a, 'w> {
    pub(super) const fn new(list: &'a mut AttributeWriter<'w>) -> Self {
        Self { list }
    }

    /// Appends one by its name, with what `data` writes.
    fn add(&mut self, name: &str, data: impl FnOnce(&mut AttributeWriter<'_>)) {
        self.list.nest(NFTA_LIST_ELEM | NESTED, |expression| named(expression, name, data));
    }
}

/// An expression's name and data.
fn named(expression: &mut AttributeWriter<'_>, name: &str, data: impl FnOnce(&mut AttributeWriter<'_>)) {
    expression.text(NFTA_EXPR_NAME, name);
    expression.nest(NFTA_EXPR_DATA | NESTED, data);
}

/// An attribute that holds a value.
fn value(attributes: &mut AttributeWriter<'_>, kind: u16, bytes: &[u8]) {
    attributes.nest(kind | NESTED, |data| data.bytes(NFTA_DATA_VALUE, bytes));
}
