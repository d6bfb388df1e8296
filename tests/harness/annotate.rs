//! A netlink request in hex, one structure a line, each with its meaning.

use netns_core::bridge::PortOptions;
use netns_core::link::LinkKind;
use netns_core::option::{OptionRow, Options};
use netns_core::wire::{IfAddrMsg, IfInfoMsg, NdMsg, NlAttr, NlMsgHdr, RtMsg, TcMsg, align};
use std::fmt::Write;

/// The attributes of one nesting level: number, name, and what is inside.
type Names = &'static [(u16, &'static str, Inside)];

#[derive(Clone, Copy)]
enum Inside {
    /// A value.
    Value,
    /// This many bytes, followed by attributes.
    Attributes(usize, Names),
    /// Like `Attributes`, with a link's attribute names.
    Link(usize),
    /// Options, named by their table.
    Rows(&'static [OptionRow]),
    /// Options of the link's kind, which the attribute before names.
    Data,
}

use Inside::{Attributes, Data, Link, Rows, Value};

const LINK: Names = &[
    (1, "IFLA_ADDRESS", Value),
    (3, "IFLA_IFNAME", Value),
    (4, "IFLA_MTU", Value),
    (5, "IFLA_LINK", Value),
    (10, "IFLA_MASTER", Value),
    (12, "IFLA_PROTINFO", Rows(PortOptions::ROWS)),
    (18, "IFLA_LINKINFO", Attributes(0, INFO)),
    (27, "IFLA_GROUP", Value),
    (28, "IFLA_NET_NS_FD", Value),
    (29, "IFLA_EXT_MASK", Value),
    (31, "IFLA_NUM_TX_QUEUES", Value),
    (32, "IFLA_NUM_RX_QUEUES", Value),
];
const INFO: Names = &[
    (1, "IFLA_INFO_KIND", Value),
    (2, "IFLA_INFO_DATA", Data),
    (4, "IFLA_INFO_SLAVE_KIND", Value),
    (5, "IFLA_INFO_SLAVE_DATA", Rows(PortOptions::ROWS)),
];
const VETH: Names = &[(1, "VETH_INFO_PEER", Link(size_of::<IfInfoMsg>()))];
const ADDRESS: Names = &[
    (1, "IFA_ADDRESS", Value),
    (2, "IFA_LOCAL", Value),
    (4, "IFA_BROADCAST", Value),
    (8, "IFA_FLAGS", Value),
];
const ROUTE: Names = &[
    (1, "RTA_DST", Value),
    (4, "RTA_OIF", Value),
    (5, "RTA_GATEWAY", Value),
    (6, "RTA_PRIORITY", Value),
    (15, "RTA_TABLE", Value),
];
const NEIGHBOUR: Names = &[(1, "NDA_DST", Value), (2, "NDA_LLADDR", Value), (9, "NDA_MASTER", Value)];
const TC: Names =
    &[(1, "TCA_KIND", Value), (2, "TCA_OPTIONS", Attributes(0, BPF)), (15, "TCA_DUMP_FLAGS", Value)];
const BPF: Names = &[
    (3, "TCA_BPF_CLASSID", Value),
    (6, "TCA_BPF_FD", Value),
    (7, "TCA_BPF_NAME", Value),
    (8, "TCA_BPF_FLAGS", Value),
];

/// What a message of this type is called, and the size of its family's header, with the names of the attributes after
/// it.
fn family(kind: u16) -> (&'static str, usize, Names) {
    match kind {
        16..20 => ("ifinfomsg", size_of::<IfInfoMsg>(), LINK),
        20..24 => ("ifaddrmsg", size_of::<IfAddrMsg>(), ADDRESS),
        24..28 => ("rtmsg", size_of::<RtMsg>(), ROUTE),
        28..32 => ("ndmsg", size_of::<NdMsg>(), NEIGHBOUR),
        _ => ("tcmsg", size_of::<TcMsg>(), TC),
    }
}

fn kind_name(kind: u16) -> String {
    let verb = ["NEW", "DEL", "GET", "SET"][usize::from(kind % 4)];
    let objects = ["LINK", "ADDR", "ROUTE", "NEIGH", "RULE", "QDISC", "TCLASS", "TFILTER"];
    let object = objects.get(usize::from(kind / 4).wrapping_sub(4)).unwrap_or(&"?");
    format!("RTM_{verb}{object}")
}

/// Hex on the left, words to the right of `#`.
#[must_use]
pub fn annotate(message: &[u8]) -> String {
    let mut text = String::new();
    let (header, rest) = message.split_at(size_of::<NlMsgHdr>());
    let kind = u16::from_ne_bytes([header[4], header[5]]);
    let flags = u16::from_ne_bytes([header[6], header[7]]);
    line(&mut text, 0, header, &format!("nlmsghdr {}, flags {flags:#06x}", kind_name(kind)));
    let (name, length, names) = family(kind);
    let (header, rest) = rest.split_at(length.min(rest.len()));
    line(&mut text, 0, header, name);
    attributes(&mut text, 0, rest, names);
    text
}

fn attributes(text: &mut String, depth: usize, mut bytes: &[u8], names: Names) {
    const HEADER: usize = size_of::<NlAttr>();
    let mut link_kind = None;
    while bytes.len() >= HEADER {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]) & !(libc::NLA_F_NESTED as u16);
        let (attribute, rest) = bytes.split_at(align(length).clamp(HEADER, bytes.len()));
        bytes = rest;
        let known = names.iter().find(|(number, ..)| *number == kind);
        let (name, inside) = known.map_or(("?", Value), |(_, name, inside)| (*name, *inside));
        if name == "IFLA_INFO_KIND" {
            let word = &attribute[HEADER..];
            let end = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
            link_kind = std::str::from_utf8(&word[..end]).ok().and_then(LinkKind::named);
        }
        let (skip, names) = match inside {
            Value => {
                line(text, depth, attribute, name);
                continue;
            }
            Data if !matches!(link_kind, Some(LinkKind::Veth(_)) | None) => {
                rows(text, depth, attribute, name, link_kind.map_or(&[], |kind| kind.rows()));
                continue;
            }
            Rows(table) => {
                rows(text, depth, attribute, name, table);
                continue;
            }
            Data => (0, VETH),
            Attributes(skip, names) => (skip, names),
            Link(skip) => (skip, LINK),
        };
        let (header, inner) = attribute.split_at((HEADER + skip).min(attribute.len()));
        line(text, depth, header, name);
        attributes(text, depth + 1, inner, names);
    }
}

/// An attribute that holds options.
fn rows(text: &mut String, depth: usize, attribute: &[u8], name: &str, rows: &[OptionRow]) {
    const HEADER: usize = size_of::<NlAttr>();
    let (header, mut bytes) = attribute.split_at(HEADER);
    line(text, depth, header, name);
    while bytes.len() >= HEADER {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]);
        let (option, rest) = bytes.split_at(align(length).clamp(HEADER, bytes.len()));
        bytes = rest;
        let row = rows.iter().find(|row| row.attribute.1 == kind);
        line(text, depth + 1, option, row.map_or("?", |row| row.attribute.0));
    }
}

fn line(text: &mut String, depth: usize, bytes: &[u8], words: &str) {
    let mut hex = "  ".repeat(depth);
    for byte in bytes {
        let _ = write!(hex, "{byte:02x} ");
    }
    let _ = writeln!(text, "{hex:<72}# {words}");
}
