//! `immediate`: a verdict.

use super::super::constants::{
    NESTED, NFTA_DATA_VERDICT, NFTA_IMMEDIATE_DATA, NFTA_IMMEDIATE_DREG, NFTA_VERDICT_CHAIN,
    NFTA_VERDICT_CODE,
};
use super::Expressions;

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
}

impl Expressions<'_, '_> {
    /// Decides.
    pub fn verdict(&mut self, verdict: RuleVerdict<'_>) {
        let (code, chain) = match verdict {
            RuleVerdict::Accept => (libc::NF_ACCEPT, None),
            RuleVerdict::Drop => (libc::NF_DROP, None),
            RuleVerdict::GoTo(chain) => (libc::NFT_GOTO, Some(chain)),
        };
        self.add("immediate", |data| {
            data.value(NFTA_IMMEDIATE_DREG, (libc::NFT_REG_VERDICT as u32).to_be());
            data.nest(NFTA_IMMEDIATE_DATA | NESTED, |data| {
                data.nest(NFTA_DATA_VERDICT | NESTED, |verdict| {
                    verdict.value(NFTA_VERDICT_CODE, code.to_be());
                    if let Some(chain) = chain {
                        verdict.text(NFTA_VERDICT_CHAIN, chain);
                    }
                });
            });
        });
    }
}
