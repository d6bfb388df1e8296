//! Expressions: what a rule is made of. Each loads a register, tests one, or decides.

mod bitwise;
mod byteorder;
mod cmp;
mod counter;
mod dynset;
mod fwd;
mod immediate;
mod lookup;
mod meta;
mod payload;

pub use byteorder::ByteOrder;
pub use cmp::Comparison;
pub use immediate::RuleVerdict;
pub use meta::MetaKey;
pub use payload::Header;

use super::constants::{NESTED, NFTA_DATA_VALUE, NFTA_EXPR_DATA, NFTA_EXPR_NAME, NFTA_LIST_ELEM};
use crate::wire::AttributeWriter;

/// One of the four registers of 16 bytes that expressions pass values in.
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
}

impl Register {
    /// `NFT_REG_*`, in network order.
    const fn number(self) -> u32 {
        (match self {
            Self::One => libc::NFT_REG_1,
            Self::Two => libc::NFT_REG_2,
            Self::Three => libc::NFT_REG_3,
            Self::Four => libc::NFT_REG_4,
        } as u32)
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
