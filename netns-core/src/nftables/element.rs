//! Elements of sets.

use super::constants::{
    NESTED, NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_DATA_VALUE, NFTA_EXPR_DATA, NFTA_EXPR_NAME,
    NFTA_LIST_ELEM, NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_EXPRESSIONS, NFTA_SET_ELEM_KEY,
    NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET, NFTA_SET_ELEM_LIST_TABLE,
};
use super::family_of;
use super::socket::NftSocket;
use super::table::Table;
use super::transaction::Transaction;
use crate::Result;
use crate::wire::{Attribute, NfGenMsg};

/// An element as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElementInfo {
    /// Its value.
    pub key: Vec<u8>,
    /// What it has counted, if it counts.
    pub counter: Option<CounterInfo>,
}

/// A counter as the kernel describes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CounterInfo {
    /// Packets.
    pub packets: u64,
    /// Bytes, as `skb->len` counts them at the hook: without the Ethernet header at a bridge's.
    pub bytes: u64,
}

/// Appends the addition of elements to a set of the table. One that is there already is no error.
pub fn encode_add<'k>(
    transaction: &mut Transaction,
    table: Table<'_>,
    set: &str,
    keys: impl Iterator<Item = &'k [u8]>,
) {
    encode(transaction, libc::NFT_MSG_NEWSETELEM, libc::NLM_F_CREATE, table, set, keys);
}

/// Appends the removal of elements; refused with `ENOENT` if one is not there.
pub fn encode_remove<'k>(
    transaction: &mut Transaction,
    table: Table<'_>,
    set: &str,
    keys: impl Iterator<Item = &'k [u8]>,
) {
    encode(transaction, libc::NFT_MSG_DELSETELEM, 0, table, set, keys);
}

fn encode<'k>(
    transaction: &mut Transaction,
    message: libc::c_int,
    flags: i32,
    table: Table<'_>,
    set: &str,
    keys: impl Iterator<Item = &'k [u8]>,
) {
    transaction.request(message, flags, table.family, |attributes| {
        attributes.text(NFTA_SET_ELEM_LIST_TABLE, table.name);
        attributes.text(NFTA_SET_ELEM_LIST_SET, set);
        attributes.nest(NFTA_SET_ELEM_LIST_ELEMENTS | NESTED, |list| {
            for key in keys {
                list.nest(NFTA_LIST_ELEM | NESTED, |element| {
                    element.nest(NFTA_SET_ELEM_KEY | NESTED, |data| data.bytes(NFTA_DATA_VALUE, key));
                });
            }
        });
    });
}

/// Lists the elements of a set.
///
/// # Errors
/// `ENOENT` if there is no such table or set; if the list kept changing.
pub fn list(socket: &mut NftSocket, table: Table<'_>, set: &str) -> Result<Vec<ElementInfo>> {
    socket.dump(
        libc::NFT_MSG_GETSETELEM,
        table.family,
        |attributes| {
            attributes.text(NFTA_SET_ELEM_LIST_TABLE, table.name);
            attributes.text(NFTA_SET_ELEM_LIST_SET, set);
        },
        |message, elements| {
            if family_of(message, libc::NFT_MSG_NEWSETELEM).is_none() {
                return;
            }
            let list = message.attributes_after::<NfGenMsg>().find(NFTA_SET_ELEM_LIST_ELEMENTS);
            elements.extend(list.iter().flat_map(Attribute::nested).filter_map(|element| parse(&element)));
        },
    )
}

pub(super) fn parse(element: &Attribute<'_>) -> Option<ElementInfo> {
    let attributes = element.nested();
    let key = attributes.find(NFTA_SET_ELEM_KEY)?.nested().find(NFTA_DATA_VALUE)?.bytes.to_vec();
    let one = attributes.find(NFTA_SET_ELEM_EXPR);
    let several = attributes.find(NFTA_SET_ELEM_EXPRESSIONS);
    let mut expressions = one.into_iter().chain(several.iter().flat_map(Attribute::nested));
    Some(ElementInfo { key, counter: expressions.find_map(|expression| counter(&expression)) })
}

fn counter(expression: &Attribute<'_>) -> Option<CounterInfo> {
    let attributes = expression.nested();
    if attributes.find(NFTA_EXPR_NAME)?.text()? != "counter" {
        return None;
    }
    let data = attributes.find(NFTA_EXPR_DATA)?.nested();
    let number = |kind| data.find(kind)?.value::<u64>().map(u64::from_be);
    Some(CounterInfo { packets: number(NFTA_COUNTER_PACKETS)?, bytes: number(NFTA_COUNTER_BYTES)? })
}
