//! What changes addresses, and what stands beside it: maps, connections, limits, comments.

use super::super::{
    Base, Chain, Comparison, CtKey, CtState, DESTINATION_CHANGED, Element, Family, FibAddress, InetHook,
    KeyType, LOCAL_ADDRESS, MapData, MetaKey, NatFlags, NatKind, RateLimit, Register, Rejection, RuleVerdict,
    Set, SetOptions, Table, Transaction, chain, comment, element, rule, set, table,
};
use super::{CREATED, LAST, compare};
use crate::nftables::{Expressions, Header};
use std::time::Duration;

const SET_NUMBER: &str = "nft has a number for the set, which matters in the set's own transaction only";

const TABLE: Table<'_> = Table { family: Family::Inet, name: "n" };
const ADDRESS_AND_PORT: KeyType =
    KeyType::Concatenation(&[KeyType::Ipv4Address, KeyType::InternetProtocol, KeyType::Port]);
const V6_ADDRESS_AND_PORT: KeyType =
    KeyType::Concatenation(&[KeyType::Ipv6Address, KeyType::InternetProtocol, KeyType::Port]);

fn set(name: &'static str, id: u32, key: KeyType) -> Set<'static> {
    Set { table: TABLE, name, id, key, size: None, is_dynamic: false }
}

fn chain(name: &'static str, base: Option<Base<'static>>) -> Chain<'static> {
    Chain { table: TABLE, name, base }
}

/// The rules of `nat.golden`, in its order.
fn encode(transaction: &mut Transaction) {
    let c4 = Set { size: Some(65535), is_dynamic: true, ..set("c4", 1, KeyType::Ipv4Address) };
    let m4 = set("m4", 2, ADDRESS_AND_PORT);
    let m6 = set("m6", 3, V6_ADDRESS_AND_PORT);
    let verdicts = set("v", 4, KeyType::Port);
    let ranges = set("i", 5, KeyType::Concatenation(&[KeyType::Ipv4Address, KeyType::Port]));
    let times = set("t", 6, KeyType::Ipv4Address);
    let value = |parts| SetOptions {
        data: Some(MapData::Value(KeyType::Concatenation(parts))),
        ..SetOptions::default()
    };
    table::encode_create(transaction, TABLE);
    set::encode_create(transaction, &c4);
    set::encode_create_with(transaction, &m4, &value(&[KeyType::Ipv4Address, KeyType::Port]));
    set::encode_create_with(transaction, &m6, &value(&[KeyType::Ipv6Address, KeyType::Port]));
    let verdict = SetOptions { data: Some(MapData::Verdict), ..SetOptions::default() };
    set::encode_create_with(transaction, &verdicts, &verdict);
    let intervals = SetOptions { intervals: true, ..SetOptions::default() };
    set::encode_create_with(transaction, &ranges, &intervals);
    let default_timeout = Some(Duration::from_secs(10));
    set::encode_create_with(
        transaction,
        &times,
        &SetOptions { timeouts: true, default_timeout, ..intervals },
    );
    let pre = chain("pre", Some(Base::nat(InetHook::Prerouting, -100)));
    let post = chain("post", Some(Base::nat(InetHook::Postrouting, 100)));
    let forward = chain("forward", Some(Base::inet(InetHook::Forward, 0)));
    let raw = chain("raw", Some(Base::inet(InetHook::Prerouting, -300)));
    for chain in [&pre, &post, &forward, &raw, &chain("sub", None)] {
        chain::encode_create(transaction, chain);
    }
    destinations(transaction, &pre, &m4, &m6);
    sources(transaction, &post);
    limits(transaction, &forward, &verdicts);
    rule::encode_append(transaction, &raw, |rule| {
        transport(rule, libc::IPPROTO_UDP);
        rule.no_tracking();
    });
    rule::encode_append(transaction, &raw, |rule| {
        transport(rule, libc::IPPROTO_TCP);
        rule.load(Register::One, &[127, 0, 0, 1]);
        rule.load(Register::Two, &9000_u16.to_be_bytes());
        rule.transparent_proxy(Family::Ip, Some(Register::One), Some(Register::Two));
    });
    rule::encode_insert(transaction, &forward, "ours", |rule| {
        rule.meta(MetaKey::InputName, Register::One);
        rule.compare(Register::One, Comparison::Equal, b"br0\0\0\0\0\0\0\0\0\0\0\0\0\0");
        rule.counter();
        rule.verdict(RuleVerdict::Accept);
    });
}

fn protocol(rule: &mut Expressions<'_, '_>, family: Family) {
    rule.meta(MetaKey::Protocol, Register::One);
    rule.compare(Register::One, Comparison::Equal, &[family.number()]);
}

fn transport(rule: &mut Expressions<'_, '_>, protocol: i32) {
    rule.meta(MetaKey::Transport, Register::One);
    rule.compare(Register::One, Comparison::Equal, &[protocol as u8]);
}

fn destinations(transaction: &mut Transaction, pre: &Chain<'_>, m4: &Set<'_>, m6: &Set<'_>) {
    let how = NatFlags::default();
    rule::encode_append(transaction, pre, |rule| {
        rule.address_type(FibAddress::Destination, Register::One);
        rule.compare(Register::One, Comparison::Equal, &LOCAL_ADDRESS.to_ne_bytes());
        rule.verdict(RuleVerdict::Jump("sub"));
    });
    rule::encode_append(transaction, pre, |rule| {
        protocol(rule, Family::Ip);
        rule.payload(Header::Network, 16, 4, Register::One);
        rule.meta(MetaKey::Transport, Register::Word(1));
        rule.payload(Header::Transport, 2, 2, Register::Word(2));
        rule.lookup_data(Register::One, m4, Register::One);
        rule.nat(NatKind::Destination, Family::Ip, Register::One, Some(Register::Word(1)), how);
    });
    rule::encode_append(transaction, pre, |rule| {
        protocol(rule, Family::Ip6);
        rule.payload(Header::Network, 24, 16, Register::One);
        rule.meta(MetaKey::Transport, Register::Word(4));
        rule.payload(Header::Transport, 2, 2, Register::Word(5));
        rule.lookup_data(Register::One, m6, Register::One);
        rule.nat(NatKind::Destination, Family::Ip6, Register::One, Some(Register::Word(4)), how);
    });
    rule::encode_append(transaction, pre, |rule| {
        transport(rule, libc::IPPROTO_TCP);
        rule.load(Register::One, &8080_u16.to_be_bytes());
        rule.redirect(Some(Register::One), how);
    });
}

fn sources(transaction: &mut Transaction, post: &Chain<'_>) {
    rule::encode_append(transaction, post, |rule| {
        rule.meta(MetaKey::OutputIndex, Register::One);
        rule.compare(Register::One, Comparison::NotEqual, &1_u32.to_ne_bytes());
        rule.masquerade(NatFlags::default());
    });
    rule::encode_append(transaction, post, |rule| {
        rule.masquerade(NatFlags { fully_random: true, ..NatFlags::default() });
    });
    rule::encode_append(transaction, post, |rule| {
        rule.load(Register::One, &[192, 0, 2, 1]);
        rule.nat(NatKind::Source, Family::Ip, Register::One, None, NatFlags::default());
    });
}

fn limits(transaction: &mut Transaction, forward: &Chain<'_>, verdicts: &Set<'_>) {
    rule::encode_append(transaction, forward, |rule| {
        rule.connection_has(CtKey::State, CtState::Established.bit() | CtState::Related.bit());
        rule.verdict(RuleVerdict::Accept);
    });
    rule::encode_append(transaction, forward, |rule| {
        rule.connection_has(CtKey::Status, DESTINATION_CHANGED);
        rule.verdict(RuleVerdict::Accept);
    });
    rule::encode_append(transaction, forward, |rule| {
        transport(rule, libc::IPPROTO_TCP);
        rule.reject(Rejection::TcpReset);
    });
    rule::encode_append(transaction, forward, |rule| rule.reject(Rejection::Prohibited));
    rule::encode_append(transaction, forward, |rule| {
        rule.limit(RateLimit { rate: 10, seconds: 1, burst: 5, bytes: false, over: false });
        rule.verdict(RuleVerdict::Return);
    });
    rule::encode_append(transaction, forward, |rule| {
        rule.limit(RateLimit { rate: 1000, seconds: 1, burst: 20, bytes: true, over: true });
        rule.verdict(RuleVerdict::Drop);
    });
    rule::encode_append(transaction, forward, |rule| {
        rule.more_connections_than(7);
        rule.verdict(RuleVerdict::Drop);
    });
    rule::encode_append(transaction, forward, |rule| {
        rule.payload(Header::Transport, 2, 2, Register::One);
        rule.lookup_verdict(Register::One, verdicts);
    });
}

#[test]
fn ways_in_and_out_are_what_nft_makes_of_its_rules() {
    compare(
        include_str!("golden/nat.golden"),
        encode,
        &[
            ("- type 0xa00 flags 0x0001 family 1 resource 0", CREATED),
            ("+ type 0xa00 flags 0x0601 family 1 resource 0", CREATED),
            ("- type 0xa03 flags 0x0401 family 1 resource 0", CREATED),
            ("+ type 0xa03 flags 0x0601 family 1 resource 0", CREATED),
            ("- type 0xa09 flags 0x0401 family 1 resource 0", CREATED),
            ("+ type 0xa09 flags 0x0601 family 1 resource 0", CREATED),
            ("- type 0xa06 flags 0x0401 family 1 resource 0", LAST),
            ("+ type 0xa06 flags 0x0405 family 1 resource 0", LAST),
            (
                "- /13 [00, 04, 00, 00, 00, 00, 01, 04, 00, 00, 00, 00, 03, 08, 00, 04, 0d, 00, 00, 00, 01, 00, 04, 08, 00, 04, 0d, 00, 00, 00, 01, 00, 06, 04, 00, 00, 00, 00]",
                "nft leaves itself a note of how the types were spelt",
            ),
            ("+ /13 [00, 04, 00, 00, 00, 00, 01, 04, 00, 00, 00, 00]", "as above"),
            ("- /13 [00, 04, 00, 00, 00, 00, 03, 08, 00, 04, 0d, 00, 00, 00, 01, 00]", "as above"),
            ("+ /13 [00, 04, 00, 00, 00, 00]", "as above"),
            ("- /13 [00, 04, 02, 00, 00, 00, 01, 04, 00, 00, 00, 00, 06, 04, 00, 00, 00, 00]", "as above"),
            ("+ /13 [00, 04, 02, 00, 00, 00]", "as above"),
            ("+ /4/1/2/6 [00, 00, 00, 00]", "of a mask nft leaves out that it is one where it tests flags"),
        ],
    );
}

#[test]
fn elements_with_data_are_what_nft_makes_of_its_rules() {
    compare(
        include_str!("golden/nat-elements.golden"),
        |transaction| {
            let published = Element {
                key: &[192, 0, 2, 1, 6, 0, 0, 0, 0x1f, 0x90, 0, 0],
                data: Some(&[10, 99, 0, 2, 0, 80, 0, 0]),
                comment: Some("me"),
                ..Element::default()
            };
            element::encode_create(transaction, TABLE, "m4", std::iter::once(published));
            let verdict = Element { key: &[0, 22], verdict: Some(RuleVerdict::Drop), ..Element::default() };
            element::encode_create(transaction, TABLE, "v", std::iter::once(verdict));
            let range = Element {
                key: &[10, 0, 0, 0, 0, 80, 0, 0],
                key_end: Some(&[10, 255, 255, 255, 0, 90, 0, 0]),
                ..Element::default()
            };
            element::encode_create(transaction, TABLE, "i", std::iter::once(range));
            let timed = [
                Element { key: &[0; 4], is_end: true, ..Element::default() },
                Element { key: &[10, 0, 0, 0], timeout: Some(Duration::from_secs(5)), ..Element::default() },
                Element { key: &[11, 0, 0, 0], is_end: true, ..Element::default() },
            ];
            element::encode_create(transaction, TABLE, "t", timed.into_iter());
        },
        &[
            ("- type 0xa0c flags 0x0401 family 1 resource 0", CREATED),
            ("+ type 0xa0c flags 0x0601 family 1 resource 0", CREATED),
            ("+ type 0xa0c flags 0x0605 family 1 resource 0", LAST),
            ("- /4 [00, 00, 00, 02]", SET_NUMBER),
            ("- /4 [00, 00, 00, 04]", SET_NUMBER),
            ("- /4 [00, 00, 00, 05]", SET_NUMBER),
            ("- /4 [00, 00, 00, 06]", SET_NUMBER),
            ("- /3/2/1/1 [0a, 00, 00, 00]", "libnftnl numbers elements; the kernel reads each by its place"),
            ("+ /3/1/1/1 [0a, 00, 00, 00]", "as above"),
            ("- /3/2/4 [00, 00, 00, 00, 00, 00, 13, 88]", "as above"),
            ("+ /3/1/4 [00, 00, 00, 00, 00, 00, 13, 88]", "as above"),
            ("- /3/3/1/1 [0b, 00, 00, 00]", "as above"),
            ("+ /3/1/1/1 [0b, 00, 00, 00]", "as above"),
            ("- /3/3/3 [00, 00, 00, 01]", "as above"),
            ("+ /3/1/3 [00, 00, 00, 01]", "as above"),
        ],
    );
}

#[test]
fn deletions_by_number_and_of_sets() {
    compare(
        include_str!("golden/rule-deleted.golden"),
        |transaction| rule::encode_delete(transaction, TABLE, "pre", 3),
        &[
            ("- type 0xa08 flags 0x0001 family 1 resource 0", LAST),
            ("+ type 0xa08 flags 0x0005 family 1 resource 0", LAST),
        ],
    );
    compare(
        include_str!("golden/set-deleted.golden"),
        |transaction| set::encode_delete(transaction, TABLE, "c4"),
        &[
            ("- type 0xa0b flags 0x0001 family 1 resource 0", LAST),
            ("+ type 0xa0b flags 0x0005 family 1 resource 0", LAST),
        ],
    );
}

#[test]
fn comments_are_read_as_they_were_written() {
    for text in ["", "me", "größer", &"ä".repeat(100)] {
        let read = comment::decode(&comment::encode(text)).unwrap();
        assert!(text.starts_with(&read) && read.len() + 1 >= text.len().min(comment::MAX), "{read}");
    }
    for nonsense in [&[][..], &[0], &[0, 9, b'x'], &[1, 1, 0], &[0, 2, 0xff, 0]] {
        assert_eq!(comment::decode(nonsense), None, "{nonsense:?}");
    }
}
