//! `immediate`: a verdict, or bytes.

use super::super::constants::{
    NESTED, NFTA_DATA_VERDICT, NFTA_IMMEDIATE_DATA, NFTA_IMMEDIATE_DREG, NFTA_VERDICT_CHAIN,
    NFTA_VERDICT_CODE,
};
use super::{Expressions, Register, value};
use crate::wire::AttributeWriter;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleVerdict<'a> {
    /// It passes this hook's chain.
    Accept,
    /// It is dropped.
    Drop,
    /// It goes through the chain of this name, in the same table, and does not come back.
    GoTo(&'a str),
    /// It goes through the chain of this name, in the same table, and comes back if that does not decide.
    Jump(&'a str),
    /// It goes back to the chain that it came from; from a chain at a hook, to that chain's policy.
    Return,
}

impl Expressions<'_, '_> {
    /// Decides.
    pub fn verdict(&mut self, verdict: RuleVerdict<'_>) {
        self.add("immediate", |data| {
            data.value(NFTA_IMMEDIATE_DREG, (libc::NFT_REG_VERDICT as u32).to_be());
            data.nest(NFTA_IMMEDIATE_DATA | NESTED, |data| verdict.encode(data));
        });
    }

    /// Loads bytes, at most 16, into a register.
    pub fn load(&mut self, to: Register, bytes: &[u8]) {
        self.add("immediate", |data| {
            data.value(NFTA_IMMEDIATE_DREG, to.number());
            value(data, NFTA_IMMEDIATE_DATA, bytes);
        });
    }
}

impl RuleVerdict<'_> {
    /// As the data of a rule, or of an element of a map of verdicts.
    pub(in super::super) fn encode(self, data: &mut AttributeWriter<'_>) {
        let (code, chain) = match self {
            Self::Accept => (libc::NF_ACCEPT, None),
            Self::Drop => (libc::NF_DROP, None),
            Self::GoTo(chain) => (libc::NFT_GOTO, Some(chain)),
            Self::Jump(chain) => (libc::NFT_JUMP, Some(chain)),
            Self::Return => (libc::NFT_RETURN, None),
        };
        data.nest(NFTA_DATA_VERDICT | NESTED, |verdict| {
            verdict.value(NFTA_VERDICT_CODE, code.to_be());
            if let Some(chain) = chain {
                verdict.text(NFTA_VERDICT_CHAIN, chain);
            }
        });
    }
}
