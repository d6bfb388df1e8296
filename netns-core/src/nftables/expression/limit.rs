//! `limit`: so many packets or bytes in a time.

use super::super::constants::{
    NFTA_LIMIT_BURST, NFTA_LIMIT_FLAGS, NFTA_LIMIT_RATE, NFTA_LIMIT_TYPE, NFTA_LIMIT_UNIT,
};
use super::Expressions;

/// A rate, by a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// How many in [`RateLimit::seconds`].
    pub rate: u64,
    /// In how many seconds.
    pub seconds: u64,
    /// How many more may come at once.
    pub burst: u32,
    /// Whether bytes are meant, and not packets.
    pub bytes: bool,
    /// Whether the rule goes on for what is above the rate, and not for what is below it.
    pub over: bool,
}

const INVERTED: u32 = 1 << 0;

impl Expressions<'_, '_> {
    /// Goes on for packets within the rate, or for those above it; else the packet does not match the rule.
    pub fn limit(&mut self, limit: RateLimit) {
        self.add("limit", |data| {
            data.value(NFTA_LIMIT_RATE, limit.rate.to_be());
            data.value(NFTA_LIMIT_UNIT, limit.seconds.to_be());
            data.value(NFTA_LIMIT_BURST, limit.burst.to_be());
            data.value(NFTA_LIMIT_TYPE, u32::from(limit.bytes).to_be());
            data.value(NFTA_LIMIT_FLAGS, if limit.over { INVERTED } else { 0 }.to_be());
        });
    }
}
