//! Other programs' chains: those that drop what the host forwards, and those of administrators and iptables.

use crate::failure::Outcome;
use netns_core::nftables::chain::{self, ChainInfo};
use netns_core::nftables::{
    Chain, Comparison, CtKey, CtState, Expressions, Family, Header, InetHook, MetaKey, NftSocket, Register,
    RuleVerdict, Table, table,
};
use netns_core::{ErrorKind, Result};
use std::net::IpAddr;

/// The table of iptables, of either family.
pub(super) const FILTER: &str = "filter";
/// Its chain at the forward hook.
pub(super) const FORWARD: &str = "FORWARD";
/// Our chain in it, to which `FORWARD` jumps: it jumps to the administrators' chains, and then to [`ALLOW`].
pub(super) const SHARED: &str = "NETNS-CNI";
/// Our chain with the containers' rules.
pub(super) const ALLOW: &str = "NETNS-CNI-ALLOW";
const FIREWALLD: &str = "firewalld";
/// Tables with which iptables refuses to work if they contain a rule that it would not write.
const OF_IPTABLES: [&str; 5] = [FILTER, "nat", "mangle", "raw", "security"];

/// Whether a chain of the filter table already has this name, or a jump by this name would not lead to a chain.
pub(super) fn is_taken(name: &str) -> bool {
    ["INPUT", FORWARD, "OUTPUT", SHARED, ALLOW, "ACCEPT", "DROP", "RETURN", "QUEUE", "REJECT"].contains(&name)
}

/// Whether firewalld has tables here.
pub(super) fn has_firewalld(socket: &mut NftSocket) -> Outcome<bool> {
    for family in [Family::Inet, Family::Ip, Family::Ip6] {
        match table::list(socket, family) {
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) => return Err(error.into()),
            Ok(tables) if tables.iter().any(|table| table.name == FIREWALLD) => return Ok(true),
            Ok(_) => {}
        }
    }
    Ok(false)
}

/// The family of an address's tables.
pub(super) const fn family_of(address: IpAddr) -> Family {
    if address.is_ipv4() { Family::Ip } else { Family::Ip6 }
}

/// The table of iptables.
pub(super) const fn filter(family: Family) -> Table<'static> {
    Table { family, name: FILTER }
}

/// The chains of a family; none where the kernel has no such tables.
pub(super) fn chains(socket: &mut NftSocket, family: Family) -> Result<Vec<ChainInfo>> {
    match chain::list(socket, family) {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(Vec::new()),
        other => other,
    }
}

/// Others' chains at the forward hook, except `FORWARD` of iptables, which jumps to [`SHARED`], and firewalld's.
pub(super) fn gates(chains: &[ChainInfo]) -> impl Iterator<Item = (Chain<'_>, bool)> {
    chains.iter().filter_map(|chain| {
        let (hook, drops) = chain.hook?;
        let is_ours = chain.family == Family::Inet && chain.table == crate::filters::NAME;
        let is_served = chain.family != Family::Inet && chain.table == FILTER && chain.name == FORWARD;
        let is_theirs = hook == InetHook::Forward.number() && !is_ours && !is_served;
        let table = Table { family: chain.family, name: &chain.table };
        (is_theirs && chain.table != FIREWALLD)
            .then_some((Chain { table, name: &chain.name, base: None }, drops))
    })
}

/// What the reference accepts for a container: replies to it, and everything that it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Replies,
    Sent,
}

impl Passage {
    pub(super) const BOTH: [Self; 2] = [Self::Replies, Self::Sent];

    /// Writes the rule, in the form that the chain's table takes.
    pub(super) fn write(self, rule: &mut Expressions<'_, '_>, chain: &Chain<'_>, address: IpAddr) {
        if chain.table.family == Family::Inet {
            rule.meta(MetaKey::Protocol, Register::One);
            rule.compare(Register::One, Comparison::Equal, &[family_of(address).number()]);
        }
        let offset = match (address, self) {
            (IpAddr::V4(_), Self::Sent) => 12,
            (IpAddr::V4(_), Self::Replies) => 16,
            (IpAddr::V6(_), Self::Sent) => 8,
            (IpAddr::V6(_), Self::Replies) => 24,
        };
        let mut compare = |bytes: &[u8]| {
            rule.payload(Header::Network, offset, bytes.len() as u32, Register::One);
            rule.compare(Register::One, Comparison::Equal, bytes);
        };
        match address {
            IpAddr::V4(address) => compare(&address.octets()),
            IpAddr::V6(address) => compare(&address.octets()),
        }
        if self == Self::Replies {
            let states = [CtState::Established, CtState::Related];
            if chain.table.family != Family::Inet && OF_IPTABLES.contains(&chain.table.name) {
                rule.iptables_connection_state(&states);
            } else {
                rule.connection_has(CtKey::State, states[0].bit() | states[1].bit());
            }
        }
        rule.counter();
        rule.verdict(RuleVerdict::Accept);
    }
}
