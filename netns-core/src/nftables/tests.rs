//! Requests compared with those of `nft`, byte for byte, and answers that make no sense.
//!
//! `tests/golden` holds what `nft` sends; `tests/kernel/nftables.rs` of the workspace captures it:
//! `RECAPTURE=1 cargo test -p tests --test kernel nftables`.

mod nat;

use super::{
    ByteOrder, Chain, Comparison, Family, MetaKey, Register, Table, Transaction, element, rule, table,
};
use crate::barrier::{self, BarrierPorts};
use crate::wire::{Attributes, Message, Messages, NfGenMsg, Random, align};

/// The bytes of a golden file; what follows `#` is for readers.
fn bytes_of(file: &str) -> Vec<u8> {
    let hex = file.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace);
    hex.map(|byte| u8::from_str_radix(byte, 16).expect("two digits")).collect()
}

/// Attributes that hold attributes have the flag.
fn lines(message: Message<'_>) -> Vec<String> {
    let header = message.family_header::<NfGenMsg>().expect("a header");
    let kind = message.header.kind;
    let mut lines = vec![format!(
        "type {kind:#x} flags {:#06x} family {} resource {}",
        message.header.flags,
        header.family,
        u16::from_be(header.resource)
    )];
    attributes(message.payload.get(4..).expect("a header"), "", &mut lines);
    lines
}

fn attributes(mut bytes: &[u8], path: &str, lines: &mut Vec<String>) {
    while let Some(&[a, b, c, d]) = bytes.first_chunk() {
        let (length, kind) = (usize::from(u16::from_ne_bytes([a, b])), u16::from_ne_bytes([c, d]));
        let path = format!("{path}/{}", kind & !(libc::NLA_F_NESTED as u16));
        if kind & libc::NLA_F_NESTED as u16 == 0 {
            lines.push(format!("{path} {:02x?}", &bytes[4..length]));
        } else {
            attributes(&bytes[4..length], &path, lines);
        }
        bytes = &bytes[align(length).min(bytes.len())..];
    }
}

/// Compares what we send with a golden file, message by message; `meant` are lines that only one has (`-` theirs, `+`
/// ours), with the reason.
#[track_caller]
fn compare(file: &str, encode: impl FnOnce(&mut Transaction), meant: &[(&str, &str)]) {
    let theirs = bytes_of(file);
    let mut transaction = Transaction::new();
    encode(&mut transaction);
    let ours = transaction.seal(0).to_vec();
    let mut different = Vec::new();
    let (mut left, mut right) = (Messages::new(&theirs), Messages::new(&ours));
    loop {
        let (one, other) = match (left.next(), right.next()) {
            (Some(one), Some(other)) => (lines(one), lines(other)),
            (None, None) => break,
            (one, other) => panic!("{one:?} against {other:?}"),
        };
        let mut missing: Vec<_> = one.clone();
        for line in &other {
            match missing.iter().position(|theirs| theirs == line) {
                Some(place) => drop(missing.remove(place)),
                None => different.push(format!("+ {line}")),
            }
        }
        different.extend(missing.into_iter().map(|line| format!("- {line}")));
    }
    different.sort();
    different.dedup();
    let mut expected: Vec<_> = meant.iter().map(|(line, _)| (*line).to_owned()).collect();
    expected.sort();
    assert_eq!(different, expected);
}

const CREATED: &str = "nft add takes what is there; ours is refused then";

const LAST: &str = "the last request asks for an acknowledgement";

const NAME: &str = "netns-barrier-0123456789abcdef";
const STAMP: u32 = 0x6e65_7430;

#[test]
fn a_barrier_is_what_nft_makes_of_its_rules() {
    compare(
        include_str!("tests/golden/barrier.golden"),
        |transaction| barrier::encode(transaction, NAME, &BarrierPorts::Listed, STAMP),
        &[
            ("- type 0xa00 flags 0x0001 family 7 resource 0", CREATED),
            ("+ type 0xa00 flags 0x0601 family 7 resource 0", CREATED),
            ("- type 0xa03 flags 0x0401 family 7 resource 0", CREATED),
            ("+ type 0xa03 flags 0x0601 family 7 resource 0", CREATED),
            ("- type 0xa09 flags 0x0401 family 7 resource 0", CREATED),
            ("+ type 0xa09 flags 0x0601 family 7 resource 0", CREATED),
            ("- type 0xa06 flags 0x0c01 family 7 resource 0", LAST),
            ("+ type 0xa06 flags 0x0c05 family 7 resource 0", LAST),
        ],
    );
}

#[test]
fn indexes_are_compared_in_network_order() {
    compare(
        include_str!("tests/golden/window.golden"),
        |transaction| {
            let table = Table { family: Family::Bridge, name: "t" };
            let chain = Chain { table, name: "c", base: None };
            table::encode_create(transaction, table);
            super::chain::encode_create(transaction, &chain);
            let bounds = [(Comparison::GreaterOrEqual, 1024_u32), (Comparison::LessOrEqual, 2048)];
            for (comparison, bound) in bounds {
                rule::encode_append(transaction, &chain, |rule| {
                    rule.meta(MetaKey::InputIndex, Register::One);
                    rule.byte_order(Register::One, ByteOrder::Network);
                    rule.compare(Register::One, comparison, &bound.to_be_bytes());
                });
            }
        },
        &[
            ("- type 0xa00 flags 0x0001 family 7 resource 0", CREATED),
            ("+ type 0xa00 flags 0x0601 family 7 resource 0", CREATED),
            ("- type 0xa03 flags 0x0401 family 7 resource 0", CREATED),
            ("+ type 0xa03 flags 0x0601 family 7 resource 0", CREATED),
            ("- type 0xa06 flags 0x0c01 family 7 resource 0", LAST),
            ("+ type 0xa06 flags 0x0c05 family 7 resource 0", LAST),
        ],
    );
}

#[test]
fn elements_and_deletions() {
    let table = Table { family: Family::Bridge, name: "t" };
    let keys = [7_u32.to_ne_bytes(), 8_u32.to_ne_bytes()];
    let of = |count| keys.iter().take(count).map(|key| &key[..]);
    compare(
        include_str!("tests/golden/elements.golden"),
        |transaction| element::encode_add(transaction, table, "s", of(2)),
        &[
            ("- type 0xa0c flags 0x0401 family 7 resource 0", LAST),
            ("+ type 0xa0c flags 0x0405 family 7 resource 0", LAST),
            ("- /3/2/1/1 [08, 00, 00, 00]", "libnftnl numbers elements; the kernel reads each by its place"),
            ("+ /3/1/1/1 [08, 00, 00, 00]", "as above"),
            (
                "- /4 [00, 00, 00, 01]",
                "nft has a number for the set, which matters in the set's own transaction only",
            ),
        ],
    );
    compare(
        include_str!("tests/golden/elements-removed.golden"),
        |transaction| element::encode_remove(transaction, table, "s", of(1)),
        &[
            ("- type 0xa0e flags 0x0001 family 7 resource 0", LAST),
            ("+ type 0xa0e flags 0x0005 family 7 resource 0", LAST),
        ],
    );
    compare(
        include_str!("tests/golden/table-deleted.golden"),
        |transaction| table::encode_delete(transaction, table),
        &[
            ("- type 0xa02 flags 0x0001 family 7 resource 0", LAST),
            ("+ type 0xa02 flags 0x0005 family 7 resource 0", LAST),
        ],
    );
}

#[test]
fn what_does_not_fit_is_noticed() {
    let mut transaction = Transaction::new();
    let table = Table { family: Family::Bridge, name: "t" };
    let keys = vec![[0; 4]; 1000];
    element::encode_add(&mut transaction, table, "s", keys.iter().map(|key| &key[..]));
    assert!(transaction.overflowed());
    assert_eq!(transaction.requests(), 0);
    transaction.clear();
    assert!(!transaction.overflowed());
}

/// Answers with bytes exchanged, cut off or made up are read without a panic, and no element is made of less than all of
/// its key.
#[test]
fn malformed_answers_are_read_to_their_end() {
    let golden = bytes_of(include_str!("tests/golden/elements.golden"));
    let mut random = Random::new(14);
    for _ in 0..20_000 {
        let mut bytes = golden.clone();
        for _ in 0..=random.below(8) {
            let at = random.below(bytes.len());
            bytes[at] = random.bytes(1)[0];
        }
        bytes.truncate(random.below(bytes.len() + 1));
        for message in Messages::new(&bytes) {
            let _ = super::describe::describe(&message);
            let list = message.attributes_after::<NfGenMsg>().find(3);
            for attribute in list.iter().flat_map(|list| Attributes::new(list.bytes)) {
                let _ = element::parse(&attribute);
            }
        }
    }
}

#[test]
fn a_transaction_that_is_sent_again_is_the_same() {
    let mut transaction = Transaction::new();
    for name in ["a", "b"] {
        table::encode_create(&mut transaction, Table { family: Family::Inet, name });
    }
    assert_eq!(transaction.requests(), 2);
    let first = transaction.seal(1).to_vec();
    assert_eq!(transaction.requests(), 2, "the end is none");
    assert_eq!(transaction.seal(1), first);
    let acknowledged: Vec<u32> = Messages::new(transaction.seal(7))
        .filter(|message| message.header.flags & libc::NLM_F_ACK as u16 != 0)
        .map(|message| message.header.sequence)
        .collect();
    assert_eq!(acknowledged, [9]);
}
