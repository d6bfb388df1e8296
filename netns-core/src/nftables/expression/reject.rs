//! `reject`: the sender is answered that the packet did not arrive.

use super::super::constants::{NFTA_REJECT_ICMP_CODE, NFTA_REJECT_TYPE};
use super::Expressions;

/// What the sender is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// A TCP reset.
    TcpReset,
    /// An ICMP error, by the packet's family: the port is unreachable.
    PortUnreachable,
    /// Likewise: it is forbidden.
    Prohibited,
}

/// `NFT_REJECT_ICMPX_*` of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nf_tables.h>.
const ICMPX_PORT_UNREACH: u8 = 1;
const ICMPX_ADMIN_PROHIBITED: u8 = 3;

impl Expressions<'_, '_> {
    /// Drops the packet and answers its sender, in a chain at input, forward or output (prerouting: Linux 5.9).
    pub fn reject(&mut self, rejection: Rejection) {
        let (kind, code) = match rejection {
            Rejection::TcpReset => (libc::NFT_REJECT_TCP_RST, 0),
            Rejection::PortUnreachable => (libc::NFT_REJECT_ICMPX_UNREACH, ICMPX_PORT_UNREACH),
            Rejection::Prohibited => (libc::NFT_REJECT_ICMPX_UNREACH, ICMPX_ADMIN_PROHIBITED),
        };
        self.add("reject", |data| {
            data.value(NFTA_REJECT_TYPE, (kind as u32).to_be());
            data.value(NFTA_REJECT_ICMP_CODE, code);
        });
    }
}
