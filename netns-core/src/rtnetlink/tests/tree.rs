//! A request as lines of text, and the differences between two of them.

use crate::rtnetlink::describe::attribute_path;
use crate::wire::{IfAddrMsg, IfInfoMsg, Message, NdMsg, NlAttr, NlMsgHdr, RtMsg, TcMsg, align};

/// What a line has instead of a descriptor's number.
pub(super) const DESCRIPTOR: &str = "a descriptor";

/// What is inside attributes that hold others: by the last part of the path, and how many bytes come first.
const NESTS: [(&str, usize); 5] = [
    ("IFLA_LINKINFO", 0),
    ("IFLA_INFO_DATA", 0),
    ("VETH_INFO_PEER", size_of::<IfInfoMsg>()),
    ("IFLA_PROTINFO", 0),
    ("TCA_OPTIONS", 0),
];

fn family_header(kind: u16) -> usize {
    match kind {
        libc::RTM_NEWLINK..libc::RTM_NEWADDR => size_of::<IfInfoMsg>(),
        libc::RTM_NEWADDR..libc::RTM_NEWROUTE => size_of::<IfAddrMsg>(),
        libc::RTM_NEWROUTE..libc::RTM_NEWNEIGH => size_of::<RtMsg>(),
        libc::RTM_NEWNEIGH..libc::RTM_NEWRULE => size_of::<NdMsg>(),
        _ => size_of::<TcMsg>(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Type, flags, the family's header, and a line for each attribute: `PATH: VALUE`.
pub(super) fn lines(message: Message<'_>) -> Vec<String> {
    let header = message.payload.split_at(family_header(message.header.kind));
    let mut lines = vec![
        format!("type {}", message.header.kind),
        format!("flags {:#06x}", message.header.flags),
        format!("header {}", hex(header.0)),
    ];
    attributes(message, size_of::<NlMsgHdr>() + header.0.len(), header.1, &mut lines);
    lines
}

/// `at` is the offset of `bytes` in the message.
fn attributes(message: Message<'_>, mut at: usize, mut bytes: &[u8], lines: &mut Vec<String>) {
    const HEADER: usize = size_of::<NlAttr>();
    while !bytes.is_empty() {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let nested =
            if u16::from_ne_bytes([bytes[2], bytes[3]]) & libc::NLA_F_NESTED as u16 == 0 { "" } else { "!" };
        let path = attribute_path(&message, at).expect("an attribute where one begins");
        let last = path.rsplit('/').next().unwrap_or_default();
        let value = &bytes[HEADER..length];
        match NESTS.iter().find(|(name, _)| *name == last) {
            Some((_, skip)) => {
                lines.push(format!("{path}{nested}: {}", hex(&value[..*skip])));
                attributes(message, at + HEADER + skip, &bytes[HEADER + skip..align(length)], lines);
            }
            None if last.ends_with("_FD") => lines.push(format!("{path}: {DESCRIPTOR}")),
            None => lines.push(format!("{path}{nested}: {}", hex(value))),
        }
        at += align(length);
        bytes = &bytes[align(length)..];
    }
}

/// Lines that only one has, and the order of the common lines if it differs.
pub(super) fn differences(theirs: &[String], ours: &[String]) -> Vec<String> {
    let missing = theirs.iter().filter(|line| !ours.contains(line)).map(|line| format!("- {line}"));
    let extra = ours.iter().filter(|line| !theirs.contains(line)).map(|line| format!("+ {line}"));
    let mut differences: Vec<_> = missing.chain(extra).collect();
    let common = |from: &[String], other: &[String]| -> Vec<String> {
        from.iter().filter(|line| other.contains(line)).cloned().collect()
    };
    let (their_order, our_order) = (common(theirs, ours), common(ours, theirs));
    if their_order != our_order {
        let names = our_order[3..].iter().filter_map(|line| line.split(':').next()?.rsplit('/').next());
        differences.push(format!("order {}", names.collect::<Vec<_>>().join(" ")));
    }
    differences
}

#[test]
fn every_kind_of_difference_is_found() {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let base = lines(&["type 16", "flags 0x0005", "header 00", "A: 01", "B: 02", "A/C: 03"]);
    assert_eq!(differences(&base, &base), [""; 0]);
    let other = lines(&["type 17", "flags 0x0005", "header 00", "B: 02", "A: 01", "A/C: 04", "D: 05"]);
    let found = differences(&base, &other);
    assert_eq!(found[..5], ["- type 16", "- A/C: 03", "+ type 17", "+ A/C: 04", "+ D: 05"]);
    assert!(found[5].starts_with("order "));
}
