//! A batch of nftables requests in hex, one structure a line, each with its meaning.

use netns_core::wire::{Messages, NfGenMsg, NlAttr, NlMsgHdr, align};
use std::fmt::Write;

/// For each attribute: its context and number, its name, and the context of what is inside ("" for a value).
const NAMES: &[(&str, u16, &str, &str)] = &[
    ("table", 1, "NFTA_TABLE_NAME", ""),
    ("table", 2, "NFTA_TABLE_FLAGS", ""),
    ("set", 1, "NFTA_SET_TABLE", ""),
    ("set", 2, "NFTA_SET_NAME", ""),
    ("set", 3, "NFTA_SET_FLAGS", ""),
    ("set", 4, "NFTA_SET_KEY_TYPE", ""),
    ("set", 5, "NFTA_SET_KEY_LEN", ""),
    ("set", 6, "NFTA_SET_DATA_TYPE", ""),
    ("set", 7, "NFTA_SET_DATA_LEN", ""),
    ("set", 9, "NFTA_SET_DESC", "desc"),
    ("set", 10, "NFTA_SET_ID", ""),
    ("set", 11, "NFTA_SET_TIMEOUT", ""),
    ("set", 13, "NFTA_SET_USERDATA", ""),
    ("desc", 1, "NFTA_SET_DESC_SIZE", ""),
    ("desc", 2, "NFTA_SET_DESC_CONCAT", "fields"),
    ("fields", 1, "NFTA_LIST_ELEM", "field"),
    ("field", 1, "NFTA_SET_FIELD_LEN", ""),
    ("chain", 1, "NFTA_CHAIN_TABLE", ""),
    ("chain", 3, "NFTA_CHAIN_NAME", ""),
    ("chain", 4, "NFTA_CHAIN_HOOK", "hook"),
    ("chain", 5, "NFTA_CHAIN_POLICY", ""),
    ("chain", 7, "NFTA_CHAIN_TYPE", ""),
    ("chain", 10, "NFTA_CHAIN_FLAGS", ""),
    ("hook", 1, "NFTA_HOOK_HOOKNUM", ""),
    ("hook", 2, "NFTA_HOOK_PRIORITY", ""),
    ("rule", 1, "NFTA_RULE_TABLE", ""),
    ("rule", 2, "NFTA_RULE_CHAIN", ""),
    ("rule", 3, "NFTA_RULE_HANDLE", ""),
    ("rule", 7, "NFTA_RULE_USERDATA", ""),
    ("rule", 4, "NFTA_RULE_EXPRESSIONS", "list"),
    ("elements", 1, "NFTA_SET_ELEM_LIST_TABLE", ""),
    ("elements", 2, "NFTA_SET_ELEM_LIST_SET", ""),
    ("elements", 3, "NFTA_SET_ELEM_LIST_ELEMENTS", "members"),
    ("elements", 4, "NFTA_SET_ELEM_LIST_SET_ID", ""),
    ("members", 1, "NFTA_LIST_ELEM", "member"),
    ("member", 1, "NFTA_SET_ELEM_KEY", "data"),
    ("member", 2, "NFTA_SET_ELEM_DATA", "data"),
    ("member", 3, "NFTA_SET_ELEM_FLAGS", ""),
    ("member", 4, "NFTA_SET_ELEM_TIMEOUT", ""),
    ("member", 6, "NFTA_SET_ELEM_USERDATA", ""),
    ("member", 10, "NFTA_SET_ELEM_KEY_END", "data"),
    ("list", 1, "NFTA_LIST_ELEM", "expression"),
    ("expression", 1, "NFTA_EXPR_NAME", ""),
    ("expression", 2, "NFTA_EXPR_DATA", "?"),
    ("meta", 1, "NFTA_META_DREG", ""),
    ("meta", 2, "NFTA_META_KEY", ""),
    ("cmp", 1, "NFTA_CMP_SREG", ""),
    ("cmp", 2, "NFTA_CMP_OP", ""),
    ("cmp", 3, "NFTA_CMP_DATA", "data"),
    ("payload", 1, "NFTA_PAYLOAD_DREG", ""),
    ("payload", 2, "NFTA_PAYLOAD_BASE", ""),
    ("payload", 3, "NFTA_PAYLOAD_OFFSET", ""),
    ("payload", 4, "NFTA_PAYLOAD_LEN", ""),
    ("bitwise", 1, "NFTA_BITWISE_SREG", ""),
    ("bitwise", 2, "NFTA_BITWISE_DREG", ""),
    ("bitwise", 3, "NFTA_BITWISE_LEN", ""),
    ("bitwise", 4, "NFTA_BITWISE_MASK", "data"),
    ("bitwise", 5, "NFTA_BITWISE_XOR", "data"),
    ("bitwise", 6, "NFTA_BITWISE_OP", ""),
    ("byteorder", 1, "NFTA_BYTEORDER_SREG", ""),
    ("byteorder", 2, "NFTA_BYTEORDER_DREG", ""),
    ("byteorder", 3, "NFTA_BYTEORDER_OP", ""),
    ("byteorder", 4, "NFTA_BYTEORDER_LEN", ""),
    ("byteorder", 5, "NFTA_BYTEORDER_SIZE", ""),
    ("lookup", 1, "NFTA_LOOKUP_SET", ""),
    ("lookup", 2, "NFTA_LOOKUP_SREG", ""),
    ("lookup", 3, "NFTA_LOOKUP_DREG", ""),
    ("lookup", 4, "NFTA_LOOKUP_SET_ID", ""),
    ("dynset", 1, "NFTA_DYNSET_SET_NAME", ""),
    ("dynset", 2, "NFTA_DYNSET_SET_ID", ""),
    ("dynset", 3, "NFTA_DYNSET_OP", ""),
    ("dynset", 4, "NFTA_DYNSET_SREG_KEY", ""),
    ("dynset", 7, "NFTA_DYNSET_EXPR", "expression"),
    ("ct", 1, "NFTA_CT_DREG", ""),
    ("ct", 2, "NFTA_CT_KEY", ""),
    ("connlimit", 1, "NFTA_CONNLIMIT_COUNT", ""),
    ("connlimit", 2, "NFTA_CONNLIMIT_FLAGS", ""),
    ("fib", 1, "NFTA_FIB_DREG", ""),
    ("fib", 2, "NFTA_FIB_RESULT", ""),
    ("fib", 3, "NFTA_FIB_FLAGS", ""),
    ("limit", 1, "NFTA_LIMIT_RATE", ""),
    ("limit", 2, "NFTA_LIMIT_UNIT", ""),
    ("limit", 3, "NFTA_LIMIT_BURST", ""),
    ("limit", 4, "NFTA_LIMIT_TYPE", ""),
    ("limit", 5, "NFTA_LIMIT_FLAGS", ""),
    ("nat", 1, "NFTA_NAT_TYPE", ""),
    ("nat", 2, "NFTA_NAT_FAMILY", ""),
    ("nat", 3, "NFTA_NAT_REG_ADDR_MIN", ""),
    ("nat", 4, "NFTA_NAT_REG_ADDR_MAX", ""),
    ("nat", 5, "NFTA_NAT_REG_PROTO_MIN", ""),
    ("nat", 6, "NFTA_NAT_REG_PROTO_MAX", ""),
    ("nat", 7, "NFTA_NAT_FLAGS", ""),
    ("masq", 1, "NFTA_MASQ_FLAGS", ""),
    ("redir", 1, "NFTA_REDIR_REG_PROTO_MIN", ""),
    ("redir", 2, "NFTA_REDIR_REG_PROTO_MAX", ""),
    ("redir", 3, "NFTA_REDIR_FLAGS", ""),
    ("reject", 1, "NFTA_REJECT_TYPE", ""),
    ("reject", 2, "NFTA_REJECT_ICMP_CODE", ""),
    ("tproxy", 1, "NFTA_TPROXY_FAMILY", ""),
    ("tproxy", 2, "NFTA_TPROXY_REG_ADDR", ""),
    ("tproxy", 3, "NFTA_TPROXY_REG_PORT", ""),
    ("counter", 1, "NFTA_COUNTER_BYTES", ""),
    ("counter", 2, "NFTA_COUNTER_PACKETS", ""),
    ("immediate", 1, "NFTA_IMMEDIATE_DREG", ""),
    ("immediate", 2, "NFTA_IMMEDIATE_DATA", "data"),
    ("data", 1, "NFTA_DATA_VALUE", ""),
    ("data", 2, "NFTA_DATA_VERDICT", "verdict"),
    ("verdict", 1, "NFTA_VERDICT_CODE", ""),
    ("verdict", 2, "NFTA_VERDICT_CHAIN", ""),
];

/// What a message of this type is called, and the context of its attributes.
const KINDS: &[(u16, &str, &str)] = &[
    (0x10, "NFNL_MSG_BATCH_BEGIN", "?"),
    (0x11, "NFNL_MSG_BATCH_END", "?"),
    (0xa00, "NFT_MSG_NEWTABLE", "table"),
    (0xa02, "NFT_MSG_DELTABLE", "table"),
    (0xa03, "NFT_MSG_NEWCHAIN", "chain"),
    (0xa06, "NFT_MSG_NEWRULE", "rule"),
    (0xa09, "NFT_MSG_NEWSET", "set"),
    (0xa0c, "NFT_MSG_NEWSETELEM", "elements"),
    (0xa0e, "NFT_MSG_DELSETELEM", "elements"),
];

/// Hex on the left, words to the right of `#`.
#[must_use]
pub fn annotate_nft(datagram: &[u8]) -> String {
    let mut text = String::new();
    let mut at = 0;
    for message in Messages::new(datagram) {
        let bytes = &datagram[at..at + size_of::<NlMsgHdr>()];
        at += align(message.header.length as usize);
        let NlMsgHdr { kind, flags, .. } = message.header;
        let (_, name, context) = KINDS.iter().find(|(number, ..)| *number == kind).unwrap_or(&(0, "?", "?"));
        line(&mut text, 0, bytes, &format!("nlmsghdr {name}, flags {flags:#06x}"));
        let (header, rest) = message.payload.split_at(size_of::<NfGenMsg>().min(message.payload.len()));
        line(&mut text, 0, header, "nfgenmsg");
        attributes(&mut text, 1, rest, context);
    }
    text
}

fn attributes(text: &mut String, depth: usize, mut bytes: &[u8], context: &str) {
    const HEADER: usize = size_of::<NlAttr>();
    let mut expression = "?".to_owned();
    while bytes.len() >= HEADER {
        let length = usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]));
        let kind = u16::from_ne_bytes([bytes[2], bytes[3]]) & !(libc::NLA_F_NESTED as u16);
        let (attribute, rest) = bytes.split_at(align(length).clamp(HEADER, bytes.len()));
        bytes = rest;
        let known = NAMES.iter().find(|(place, number, ..)| *place == context && *number == kind);
        let (name, inside) = known.map_or(("?", ""), |(_, _, name, inside)| (*name, *inside));
        if name == "NFTA_EXPR_NAME" {
            expression = String::from_utf8_lossy(&attribute[HEADER..length - 1]).into_owned();
        }
        if inside.is_empty() {
            line(text, depth, attribute, name);
            continue;
        }
        let (header, inner) = attribute.split_at(HEADER);
        line(text, depth, header, name);
        attributes(text, depth + 1, inner, if inside == "?" { &expression } else { inside });
    }
}

fn line(text: &mut String, depth: usize, bytes: &[u8], words: &str) {
    let mut hex = "  ".repeat(depth);
    for byte in bytes {
        let _ = write!(hex, "{byte:02x} ");
    }
    let _ = writeln!(text, "{hex:<72}# {words}");
}
