//! `match`: what iptables' own modules test. iptables-nft writes its rules so, and refuses a table that has others.

use super::super::constants::{NFTA_MATCH_INFO, NFTA_MATCH_NAME, NFTA_MATCH_REV};
use super::{CtState, Expressions};

/// `struct xt_conntrack_mtinfo3` of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/xt_conntrack.h>: where what is used of it is,
/// and its length, which `XT_ALIGN` makes a multiple of eight.
const MATCH_FLAGS: usize = 146;
const STATE_MASK: usize = 150;
const LENGTH: usize = 168;
/// `XT_CONNTRACK_STATE`.
const STATE: u16 = 1 << 0;

impl Expressions<'_, '_> {
    /// Goes on if the packet's connection is in one of these states, as `iptables -m conntrack --ctstate` has it, in a
    /// table of iptables-nft: [`Self::connection_has`] does the same, and makes iptables refuse the table.
    ///
    /// It takes `CONFIG_NFT_COMPAT` and `CONFIG_NETFILTER_XT_MATCH_CONNTRACK`, as iptables-nft does; without them the rule
    /// is refused with `ENOENT`.
    pub fn iptables_connection_state(&mut self, states: &[CtState]) {
        // `XT_CONNTRACK_STATE_BIT` and `XT_CONNTRACK_STATE_INVALID` are the same bits as nftables' own.
        let mask = states.iter().fold(0, |mask, state| mask | state.bit() as u16);
        let mut info = [0; LENGTH];
        info[MATCH_FLAGS..][..2].copy_from_slice(&STATE.to_ne_bytes());
        info[STATE_MASK..][..2].copy_from_slice(&mask.to_ne_bytes());
        self.add("match", |data| {
            data.text(NFTA_MATCH_NAME, "conntrack");
            data.value(NFTA_MATCH_REV, 3_u32.to_be());
            data.bytes(NFTA_MATCH_INFO, &info);
        });
    }
}
