//! The tables' rules: as many for one container as for a thousand, since what belongs to a container is an element of a set.

use super::sets::{
    ADDRESSED, ALLOWED, APART, BARRED, CHECKED, HAIRPIN, HIDDEN, JUDGED, KEPT, LOCALNET, NEAR, NamedSet,
    PARTED, PORTS, SAME, SetPair, VEILED, WALLED,
};
use netns_core::nftables::{
    Base, Chain, Comparison, CtKey, DESTINATION_CHANGED, Expressions, Family, FibAddress, Header, InetHook,
    LOCAL_ADDRESS, MetaKey, NatFlags, NatKind, Register, RuleVerdict, Table, Transaction, chain, rule,
};

/// `dstnat` and `srcnat`, as `nft` calls them; and a priority between conntrack (-200) and `dstnat`, where a packet still has
/// its sender's destination.
const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;
const BEFORE_DSTNAT: i32 = -150;
/// `filter`.
const FILTER: i32 = 0;
/// As in the reference's filter of MAC addresses: before bridges process what came in.
const BRIDGE_FIRST: i32 = -300;
/// `NF_BR_FORWARD`.
const BRIDGE_FORWARD: u32 = 2;
/// The index of `lo` in every namespace.
const LOOPBACK: u32 = 1;

pub(super) const INET_SETS: [NamedSet; 18] = {
    let [a, b] = PORTS.both();
    let [c, d] = ADDRESSED.both();
    let [e, f] = HIDDEN.both();
    let [g, h] = NEAR.both();
    let [i, j] = HAIRPIN.both();
    let [k, l] = VEILED.both();
    let [m, n] = WALLED.both();
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, LOCALNET, KEPT, PARTED, SAME]
};
pub(super) const BRIDGE_SETS: [NamedSet; 5] = [CHECKED, ALLOWED, APART, BARRED, JUDGED];

/// A family of addresses: where they are in packets, and how many words of a register they take.
#[derive(Debug, Clone, Copy)]
struct AddressLayout {
    family: Family,
    source: u32,
    destination: u32,
    length: u32,
    words: u8,
}

const V4: AddressLayout =
    AddressLayout { family: Family::Ip, source: 12, destination: 16, length: 4, words: 1 };
const V6: AddressLayout =
    AddressLayout { family: Family::Ip6, source: 8, destination: 24, length: 16, words: 4 };

impl AddressLayout {
    const fn set(&self, sets: &SetPair) -> NamedSet {
        if self.words == 1 { sets.v4 } else { sets.v6 }
    }

    /// Goes on for packets of this family.
    fn only(&self, rule: &mut Expressions<'_, '_>) {
        rule.meta(MetaKey::Protocol, Register::One);
        rule.compare(Register::One, Comparison::Equal, &[self.family.number()]);
    }

    fn load(&self, rule: &mut Expressions<'_, '_>, offset: u32, word: u8) {
        rule.payload(Header::Network, offset, self.length, Register::Word(word));
    }

    /// Goes on for packets that are not for a multicast group.
    fn not_multicast(&self, rule: &mut Expressions<'_, '_>) {
        let group = if self.words == 1 { 0xe0 } else { 0xff };
        let mask = if self.words == 1 { 0xf0 } else { 0xff };
        rule.payload(Header::Network, self.destination, 1, Register::One);
        rule.mask(Register::One, [mask]);
        rule.compare(Register::One, Comparison::NotEqual, &[group]);
    }
}

/// Appends the making of the chains and rules for IP packets.
pub(super) fn encode_inet(transaction: &mut Transaction, table: Table<'_>) {
    let published = Chain { table, name: "published", base: None };
    chain::encode_create(transaction, &published);
    for layout in [V4, V6] {
        for (sets, is_addressed) in [(ADDRESSED, true), (PORTS, false)] {
            rule::encode_append(transaction, &published, |rule| {
                look_up_port(rule, layout, layout.set(&sets), is_addressed, table);
            });
        }
    }
    for (name, hook) in [("prerouting", InetHook::Prerouting), ("output", InetHook::Output)] {
        let chain = Chain { table, name, base: Some(Base::nat(hook, DSTNAT)) };
        chain::encode_create(transaction, &chain);
        rule::encode_append(transaction, &chain, |rule| {
            rule.address_type(FibAddress::Destination, Register::One);
            rule.compare(Register::One, Comparison::Equal, &LOCAL_ADDRESS.to_ne_bytes());
            rule.verdict(RuleVerdict::Jump(published.name));
        });
    }
    encode_postrouting(transaction, table);
    let guard = Chain { table, name: "guard", base: Some(Base::inet(InetHook::Prerouting, BEFORE_DSTNAT)) };
    chain::encode_create(transaction, &guard);
    // What `route_localnet` would let in: the host's services at 127.0.0.1 are not for containers.
    rule::encode_append(transaction, &guard, |rule| {
        V4.only(rule);
        rule.meta(MetaKey::InputIndex, Register::One);
        rule.compare(Register::One, Comparison::NotEqual, &LOOPBACK.to_ne_bytes());
        rule.lookup(Register::One, &LOCALNET.set(table));
        rule.payload(Header::Network, V4.destination, 1, Register::One);
        rule.compare(Register::One, Comparison::Equal, &[127]);
        rule.verdict(RuleVerdict::Drop);
    });
    encode_forward(transaction, table);
}

/// What `ingressPolicy` keeps out. If two networks give a link both policies, the stricter one holds.
fn encode_forward(transaction: &mut Transaction, table: Table<'_>) {
    let chain = Chain { table, name: "forward", base: Some(Base::inet(InetHook::Forward, FILTER)) };
    chain::encode_create(transaction, &chain);
    for (set, verdict) in [(PARTED, RuleVerdict::Drop), (SAME, RuleVerdict::Return)] {
        rule::encode_append(transaction, &chain, |rule| {
            rule.meta(MetaKey::InputIndex, Register::Word(0));
            rule.meta(MetaKey::OutputIndex, Register::Word(1));
            rule.lookup(Register::One, &set.set(table));
            rule.verdict(verdict);
        });
    }
    rule::encode_append(transaction, &chain, |rule| {
        for link in [MetaKey::InputIndex, MetaKey::OutputIndex] {
            rule.meta(link, Register::One);
            rule.lookup(Register::One, &KEPT.set(table));
        }
        rule.counter();
        rule.verdict(RuleVerdict::Drop);
    });
}

/// The parts of a map's key lie one after the other in the registers; the value replaces them.
fn look_up_port(
    rule: &mut Expressions<'_, '_>,
    layout: AddressLayout,
    map: NamedSet,
    is_addressed: bool,
    table: Table<'_>,
) {
    layout.only(rule);
    let mut next = 0;
    if is_addressed {
        layout.load(rule, layout.destination, 0);
        next = layout.words;
    }
    rule.meta(MetaKey::Transport, Register::Word(next));
    rule.payload(Header::Transport, 2, 2, Register::Word(next + 1));
    rule.lookup_data(Register::One, &map.set(table), Register::One);
    let port = Some(Register::Word(layout.words));
    rule.nat(NatKind::Destination, layout.family, Register::One, port, NatFlags::default());
}

fn encode_postrouting(transaction: &mut Transaction, table: Table<'_>) {
    let chain = Chain { table, name: "postrouting", base: Some(Base::nat(InetHook::Postrouting, SRCNAT)) };
    chain::encode_create(transaction, &chain);
    for layout in [V4, V6] {
        let near = layout.set(&NEAR).set(table);
        let is_near = |rule: &mut Expressions<'_, '_>| {
            layout.only(rule);
            layout.load(rule, layout.source, 0);
            rule.meta(MetaKey::OutputIndex, Register::Word(layout.words));
            rule.lookup(Register::One, &near);
        };
        let was_published = |rule: &mut Expressions<'_, '_>| {
            rule.connection_has(CtKey::Status, DESTINATION_CHANGED);
            layout.only(rule);
        };
        rule::encode_append(transaction, &chain, |rule| {
            was_published(rule);
            layout.load(rule, layout.source, 0);
            layout.load(rule, layout.destination, layout.words);
            rule.lookup(Register::One, &layout.set(&HAIRPIN).set(table));
            rule.masquerade(NatFlags::default());
        });
        rule::encode_append(transaction, &chain, |rule| {
            was_published(rule);
            layout.load(rule, layout.destination, 0);
            rule.lookup(Register::One, &layout.set(&VEILED).set(table));
            rule.masquerade(NatFlags::default());
        });
        // From one container to another in its network by a published port: otherwise the reply would go there directly, from
        // an address that the sender did not contact.
        rule::encode_append(transaction, &chain, |rule| {
            rule.connection_has(CtKey::Status, DESTINATION_CHANGED);
            is_near(rule);
            rule.masquerade(NatFlags::default());
        });
        rule::encode_append(transaction, &chain, |rule| {
            is_near(rule);
            rule.verdict(RuleVerdict::Accept);
        });
        rule::encode_append(transaction, &chain, |rule| {
            layout.only(rule);
            layout.not_multicast(rule);
            layout.load(rule, layout.source, 0);
            rule.lookup(Register::One, &layout.set(&HIDDEN).set(table));
            rule.masquerade(NatFlags::default());
        });
    }
}

/// Appends the making of the chains and rules for bridges' frames.
pub(super) fn encode_bridge(transaction: &mut Transaction, table: Table<'_>) {
    let chain = Chain { table, name: "prerouting", base: Some(Base::prerouting(BRIDGE_FIRST)) };
    chain::encode_create(transaction, &chain);
    rule::encode_append(transaction, &chain, |rule| {
        rule.meta(MetaKey::InputIndex, Register::Word(0));
        // The source address, after the destination's six bytes.
        rule.payload(Header::Link, 6, 6, Register::Word(1));
        rule.lookup(Register::One, &ALLOWED.set(table));
        rule.verdict(RuleVerdict::Accept);
    });
    rule::encode_append(transaction, &chain, |rule| {
        rule.meta(MetaKey::InputIndex, Register::One);
        rule.lookup(Register::One, &CHECKED.set(table));
        rule.counter();
        rule.verdict(RuleVerdict::Drop);
    });
    // Without br_netfilter, frames that stay on a bridge meet no rule of IP packets.
    let chain = Chain { table, name: "forward", base: Some(Base::filter(BRIDGE_FORWARD, FILTER)) };
    chain::encode_create(transaction, &chain);
    rule::encode_append(transaction, &chain, |rule| {
        for link in [MetaKey::InputIndex, MetaKey::OutputIndex] {
            rule.meta(link, Register::One);
            rule.lookup(Register::One, &APART.set(table));
        }
        rule.counter();
        rule.verdict(RuleVerdict::Drop);
    });
    encode_barrier(transaction, table);
}

/// What a port sent and no program has seen: the rules of [`netns_core::barrier`], with the mark in a set.
fn encode_barrier(transaction: &mut Transaction, table: Table<'_>) {
    let unjudged = |rule: &mut Expressions<'_, '_>| {
        rule.meta(MetaKey::InputIndex, Register::One);
        rule.lookup(Register::One, &BARRED.set(table));
        rule.counter();
        rule.verdict(RuleVerdict::Drop);
    };
    for (name, base) in [("barrier", Base::prerouting(i32::MIN)), ("reserved", Base::input(i32::MIN))] {
        let chain = Chain { table, name, base: Some(base) };
        chain::encode_create(transaction, &chain);
        if name == "reserved" {
            // At this hook others' rules may have changed the priority of all but those that bridges keep for themselves,
            // 01:80:c2:00:00:00 to 0f.
            rule::encode_append(transaction, &chain, |rule| {
                rule.payload(Header::Link, 0, 6, Register::One);
                rule.mask(Register::One, [0xff, 0xff, 0xff, 0xff, 0xff, 0xf0]);
                rule.compare(Register::One, Comparison::NotEqual, &[0x01, 0x80, 0xc2, 0, 0, 0]);
                rule.verdict(RuleVerdict::Accept);
            });
        }
        rule::encode_append(transaction, &chain, |rule| {
            rule.meta(MetaKey::InputIndex, Register::Word(0));
            rule.meta(MetaKey::Priority, Register::Word(1));
            rule.lookup(Register::One, &JUDGED.set(table));
            rule.verdict(RuleVerdict::Accept);
        });
        rule::encode_append(transaction, &chain, unjudged);
    }
}
