//! `cmp`: a register against a constant.

use super::super::constants::{NFTA_CMP_DATA, NFTA_CMP_OP, NFTA_CMP_SREG};
use super::{Expressions, Register, value};

/// How two values are compared: byte by byte, the first byte first. So it is an order of numbers in network order alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// The register is less.
    Less,
    /// The register is less, or the same.
    LessOrEqual,
    /// The register is greater.
    Greater,
    /// The register is greater, or the same.
    GreaterOrEqual,
}

impl Comparison {
    const fn number(self) -> u32 {
        (match self {
            Self::Equal => libc::NFT_CMP_EQ,
            Self::NotEqual => libc::NFT_CMP_NEQ,
            Self::Less => libc::NFT_CMP_LT,
            Self::LessOrEqual => libc::NFT_CMP_LTE,
            Self::Greater => libc::NFT_CMP_GT,
            Self::GreaterOrEqual => libc::NFT_CMP_GTE,
        }) as u32
    }
}

impl Expressions<'_, '_> {
    /// Goes on if a register compares so with these bytes; else the packet does not match the rule.
    pub fn compare(&mut self, register: Register, comparison: Comparison, bytes: &[u8]) {
        self.add("cmp", |data| {
            data.value(NFTA_CMP_SREG, register.number());
            data.value(NFTA_CMP_OP, comparison.number().to_be());
            value(data, NFTA_CMP_DATA, bytes);
        });
    }
}
