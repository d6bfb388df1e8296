//! The rules of a barrier, and the sets that they look up.

use super::{BarrierPorts, table_of};
use crate::IfName;
use crate::nftables::{
    Base, ByteOrder, Chain, Comparison, Expressions, Header, KeyType, MetaKey, Register, RuleVerdict, Set,
    Transaction, chain, rule, set, table,
};

/// Before all other chains at the hook.
const FIRST: i32 = i32::MIN;
/// For how many ports frames are counted one by one: more than a network has. The rest is in the rule's own counter.
const COUNTED_PORTS: u32 = 1 << 16;

/// The set of the ports that the barrier is behind.
pub(super) const PORTS: &str = "ports";
/// The set of what it dropped, by port.
pub(super) const UNJUDGED: &str = "unjudged";
/// The set of the ports that pass.
pub(super) const OPEN: &str = "open";
/// The set of the bridge whose other ports are closed, by name: there is no other way to ask for a frame's bridge
/// (`nft_meta_bridge_get_eval` in
/// <https://github.com/torvalds/linux/blob/v6.18/net/bridge/netfilter/nft_meta_bridge.c>).
pub(super) const BRIDGES: &str = "bridges";

/// How many rules there are: in the chain that drops, at prerouting, and at input.
pub(super) const fn count(ports: &BarrierPorts) -> usize {
    match ports {
        BarrierPorts::Indexes(_) | BarrierPorts::Listed => 2 + 1 + 1,
        BarrierPorts::ListedAndNew => 2 + 4 + 5,
    }
}

/// A bridge's name as the set has it.
pub(super) fn bridge_key(bridge: IfName) -> [u8; libc::IFNAMSIZ] {
    bridge.padded()
}

/// The name that is meant by an element of the set.
pub(super) fn bridge_of(key: &[u8]) -> Option<IfName> {
    let end = key.iter().position(|&byte| byte == 0).unwrap_or(key.len());
    IfName::reported(&key[..end])
}

/// Appends the making of a barrier.
pub(crate) fn encode(transaction: &mut Transaction, name: &str, ports: &BarrierPorts, stamp: u32) {
    let table = table_of(name);
    let listed =
        Set { table, name: PORTS, id: 1, key: KeyType::InterfaceIndex, size: None, is_dynamic: false };
    let unjudged = Set { name: UNJUDGED, id: 2, size: Some(COUNTED_PORTS), is_dynamic: true, ..listed };
    let drop = Chain { table, name: UNJUDGED, base: None };
    let prerouting = Chain { table, name: "prerouting", base: Some(Base::prerouting(FIRST)) };
    let input = Chain { table, name: "input", base: Some(Base::input(FIRST)) };
    table::encode_create(transaction, table);
    if !matches!(ports, BarrierPorts::Indexes(_)) {
        set::encode_create(transaction, &listed);
    }
    set::encode_create(transaction, &unjudged);
    for chain in [&drop, &prerouting, &input] {
        chain::encode_create(transaction, chain);
    }
    // Two rules: one that finds the set full ends there, and the frame is to be dropped all the same.
    rule::encode_append(transaction, &drop, |rule| {
        rule.meta(MetaKey::InputIndex, Register::One);
        rule.update(Register::One, &unjudged);
    });
    rule::encode_append(transaction, &drop, |rule| {
        rule.counter();
        rule.verdict(RuleVerdict::Drop);
    });
    if *ports == BarrierPorts::ListedAndNew {
        return encode_with_new(transaction, &listed, [&prerouting, &input], stamp);
    }
    let unstamped = |rule: &mut Expressions<'_, '_>| {
        rule.meta(MetaKey::Priority, Register::One);
        rule.compare(Register::One, Comparison::NotEqual, &stamp.to_ne_bytes());
        rule.meta(MetaKey::InputIndex, Register::One);
        match ports {
            BarrierPorts::Indexes(indexes) => {
                rule.byte_order(Register::One, ByteOrder::Network);
                let (first, last) = (indexes.start().to_be_bytes(), indexes.end().to_be_bytes());
                rule.compare(Register::One, Comparison::GreaterOrEqual, &first);
                rule.compare(Register::One, Comparison::LessOrEqual, &last);
            }
            BarrierPorts::Listed | BarrierPorts::ListedAndNew => rule.lookup(Register::One, &listed),
        }
        rule.verdict(RuleVerdict::GoTo(UNJUDGED));
    };
    rule::encode_append(transaction, &prerouting, unstamped);
    rule::encode_append(transaction, &input, |rule| {
        // What others' rules did to a frame's priority since prerouting is not to be held against it.
        reserved(rule, Comparison::Equal);
        unstamped(rule);
    });
}

/// The rules where new ports of a bridge are closed. How many there are does not depend on the ports.
fn encode_with_new(transaction: &mut Transaction, listed: &Set<'_>, chains: [&Chain<'_>; 2], stamp: u32) {
    let open = Set { name: OPEN, id: 3, ..*listed };
    let bridges = Set { name: BRIDGES, id: 4, key: KeyType::InterfaceName, ..*listed };
    set::encode_create(transaction, &open);
    set::encode_create(transaction, &bridges);
    let [_, input] = chains;
    // As above.
    rule::encode_append(transaction, input, |rule| {
        reserved(rule, Comparison::NotEqual);
        rule.verdict(RuleVerdict::Accept);
    });
    for chain in chains {
        rule::encode_append(transaction, chain, |rule| {
            rule.meta(MetaKey::Priority, Register::One);
            rule.compare(Register::One, Comparison::Equal, &stamp.to_ne_bytes());
            rule.verdict(RuleVerdict::Accept);
        });
        for (set, verdict) in [(listed, RuleVerdict::GoTo(UNJUDGED)), (&open, RuleVerdict::Accept)] {
            rule::encode_append(transaction, chain, |rule| {
                rule.meta(MetaKey::InputIndex, Register::One);
                rule.lookup(Register::One, set);
                rule.verdict(verdict);
            });
        }
        // What a port sent before anybody looked at it is no violation of its: counted here alone.
        rule::encode_append(transaction, chain, |rule| {
            rule.meta(MetaKey::InputBridge, Register::One);
            rule.lookup(Register::One, &bridges);
            rule.counter();
            rule.verdict(RuleVerdict::Drop);
        });
    }
}

/// Whether a frame is for an address that bridges keep for themselves.
fn reserved(rule: &mut Expressions<'_, '_>, comparison: Comparison) {
    rule.payload(Header::Link, 0, 6, Register::One);
    rule.mask(Register::One, [0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]);
    rule.compare(Register::One, comparison, &[0x01, 0x80, 0xc2, 0, 0, 0]);
}
