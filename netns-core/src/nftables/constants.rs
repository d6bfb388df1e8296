//! Numbers of [nf_tables.h] that libc does not declare: the attributes. `NFT_*` beside them are libc's.
//!
//! [nf_tables.h]: https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nf_tables.h

/// The flag of attributes that hold attributes: netfilter's tools set it, and the kernel does not look at it.
pub(super) const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// Numbers attributes from 1 in the order of the kernel's enumeration; `_` leaves one out.
macro_rules! attributes {
    (@ $number:expr, ) => {};
    (@ $number:expr, _ $($rest:tt)*) => { attributes!(@ $number + 1, $($rest)*); };
    (@ $number:expr, $name:ident $($rest:tt)*) => {
        pub(super) const $name: u16 = $number;
        attributes!(@ $number + 1, $($rest)*);
    };
    ($($name:tt)*) => { attributes!(@ 1, $($name)*); };
}

attributes!(NFTA_LIST_ELEM);
attributes!(NFTA_HOOK_HOOKNUM NFTA_HOOK_PRIORITY NFTA_HOOK_DEV);
attributes!(NFTA_TABLE_NAME NFTA_TABLE_FLAGS _ NFTA_TABLE_HANDLE _ NFTA_TABLE_USERDATA NFTA_TABLE_OWNER);
attributes!(NFTA_CHAIN_TABLE _ NFTA_CHAIN_NAME NFTA_CHAIN_HOOK NFTA_CHAIN_POLICY _ NFTA_CHAIN_TYPE
    _ _ _ _ NFTA_CHAIN_USERDATA);
attributes!(NFTA_RULE_TABLE NFTA_RULE_CHAIN NFTA_RULE_HANDLE NFTA_RULE_EXPRESSIONS _ _ NFTA_RULE_USERDATA);
attributes!(NFTA_SET_TABLE NFTA_SET_NAME NFTA_SET_FLAGS NFTA_SET_KEY_TYPE NFTA_SET_KEY_LEN NFTA_SET_DATA_TYPE
    NFTA_SET_DATA_LEN _ NFTA_SET_DESC NFTA_SET_ID NFTA_SET_TIMEOUT _ NFTA_SET_USERDATA);
attributes!(NFTA_SET_DESC_SIZE NFTA_SET_DESC_CONCAT);
attributes!(NFTA_SET_FIELD_LEN);
attributes!(NFTA_SET_ELEM_KEY NFTA_SET_ELEM_DATA NFTA_SET_ELEM_FLAGS NFTA_SET_ELEM_TIMEOUT
    _ NFTA_SET_ELEM_USERDATA NFTA_SET_ELEM_EXPR _ _ NFTA_SET_ELEM_KEY_END);
/// `NFTA_SET_ELEM_EXPRESSIONS`, where an element has more than one (Linux 5.11).
pub(super) const NFTA_SET_ELEM_EXPRESSIONS: u16 = 11;
attributes!(NFTA_SET_ELEM_LIST_TABLE NFTA_SET_ELEM_LIST_SET NFTA_SET_ELEM_LIST_ELEMENTS);
attributes!(NFTA_DATA_VALUE NFTA_DATA_VERDICT);
attributes!(NFTA_VERDICT_CODE NFTA_VERDICT_CHAIN);
attributes!(NFTA_EXPR_NAME NFTA_EXPR_DATA);
attributes!(NFTA_IMMEDIATE_DREG NFTA_IMMEDIATE_DATA);
attributes!(NFTA_BITWISE_SREG NFTA_BITWISE_DREG NFTA_BITWISE_LEN NFTA_BITWISE_MASK NFTA_BITWISE_XOR
    NFTA_BITWISE_OP);
attributes!(NFTA_BYTEORDER_SREG NFTA_BYTEORDER_DREG NFTA_BYTEORDER_OP NFTA_BYTEORDER_LEN NFTA_BYTEORDER_SIZE);
attributes!(NFTA_CMP_SREG NFTA_CMP_OP NFTA_CMP_DATA);
attributes!(NFTA_CONNLIMIT_COUNT NFTA_CONNLIMIT_FLAGS);
attributes!(NFTA_CT_DREG NFTA_CT_KEY);
attributes!(NFTA_LOOKUP_SET NFTA_LOOKUP_SREG NFTA_LOOKUP_DREG NFTA_LOOKUP_SET_ID);
attributes!(NFTA_DYNSET_SET_NAME NFTA_DYNSET_SET_ID NFTA_DYNSET_OP NFTA_DYNSET_SREG_KEY _ _ NFTA_DYNSET_EXPR);
attributes!(NFTA_FIB_DREG NFTA_FIB_RESULT NFTA_FIB_FLAGS);
attributes!(NFTA_LIMIT_RATE NFTA_LIMIT_UNIT NFTA_LIMIT_BURST NFTA_LIMIT_TYPE NFTA_LIMIT_FLAGS);
attributes!(NFTA_NAT_TYPE NFTA_NAT_FAMILY NFTA_NAT_REG_ADDR_MIN _ NFTA_NAT_REG_PROTO_MIN _ NFTA_NAT_FLAGS);
attributes!(NFTA_MASQ_FLAGS);
attributes!(NFTA_REDIR_REG_PROTO_MIN _ NFTA_REDIR_FLAGS);
attributes!(NFTA_REJECT_TYPE NFTA_REJECT_ICMP_CODE);
attributes!(NFTA_TPROXY_FAMILY NFTA_TPROXY_REG_ADDR NFTA_TPROXY_REG_PORT);
attributes!(NFTA_PAYLOAD_DREG NFTA_PAYLOAD_BASE NFTA_PAYLOAD_OFFSET NFTA_PAYLOAD_LEN);
attributes!(NFTA_META_DREG NFTA_META_KEY);
attributes!(NFTA_COUNTER_BYTES NFTA_COUNTER_PACKETS);
attributes!(NFTA_FWD_SREG_DEV);
attributes!(NFTA_MATCH_NAME NFTA_MATCH_REV NFTA_MATCH_INFO);

/// `NFTA_GEN_ID`, of the answer to a question for the generation.
pub(super) const NFTA_GEN_ID: u16 = 1;
/// `NFNL_BATCH_GENID`, of the generation that a batch is meant for.
pub(super) const NFNL_BATCH_GENID: u16 = 1;

/// The types of messages about connections, of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nfnetlink_conntrack.h>, whose subsystem is 1.
pub(super) const IPCTNL_MSG_CT_NEW: u16 = 1 << 8;
pub(super) const IPCTNL_MSG_CT_GET: u16 = 1 << 8 | 1;
pub(super) const IPCTNL_MSG_CT_DELETE: u16 = 1 << 8 | 2;
