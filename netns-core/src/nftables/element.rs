//! Elements of sets and maps.

use super::comment;
use super::constants::{
    NESTED, NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_DATA_VALUE, NFTA_EXPR_DATA, NFTA_EXPR_NAME,
    NFTA_LIST_ELEM, NFTA_SET_ELEM_DATA, NFTA_SET_ELEM_EXPR, NFTA_SET_ELEM_EXPRESSIONS, NFTA_SET_ELEM_FLAGS,
    NFTA_SET_ELEM_KEY, NFTA_SET_ELEM_KEY_END, NFTA_SET_ELEM_LIST_ELEMENTS, NFTA_SET_ELEM_LIST_SET,
    NFTA_SET_ELEM_LIST_TABLE, NFTA_SET_ELEM_TIMEOUT, NFTA_SET_ELEM_USERDATA,
};
use super::expression::RuleVerdict;
use super::family_of;
use super::set::milliseconds;
use super::socket::NftSocket;
use super::table::Table;
use super::transaction::Transaction;
use crate::Result;
use crate::wire::{Attribute, AttributeWriter, Batch, NfGenMsg};
use std::time::Duration;

/// An element as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ElementInfo {
    /// Its value.
    pub key: Vec<u8>,
    /// What it has counted, if it counts.
    pub counter: Option<CounterInfo>,
    /// Its data, of a map of values.
    pub data: Option<Vec<u8>>,
    /// What its maker wrote beside it.
    pub comment: Option<String>,
    /// After which time it goes, if it does.
    pub timeout: Option<Duration>,
}

/// An element of a set or a map.
#[derive(Debug, Clone, Copy, Default)]
pub struct Element<'a> {
    /// Its value; of a range, the first.
    pub key: &'a [u8],
    /// Of a range of concatenations, the last. A range of plain values is an element for its first value, and one with
    /// [`Element::is_end`] for the value past its last.
    pub key_end: Option<&'a [u8]>,
    /// Whether it is the value past the end of a range of plain values.
    pub is_end: bool,
    /// Its data, of a map of values.
    pub data: Option<&'a [u8]>,
    /// Its verdict, of a map of verdicts.
    pub verdict: Option<RuleVerdict<'a>>,
    /// After which time it goes; not later than after [`super::SetOptions::default_timeout`] if that is absent.
    pub timeout: Option<Duration>,
    /// A comment of at most [`super::comment::MAX`] bytes, which `nft` shows.
    pub comment: Option<&'a str>,
}

/// Appends the addition of elements with data; refused with `EEXIST` if one is there already. A set takes as many in one
/// request as fit into a [`crate::wire::Batch`], some 40.
pub fn encode_create<'e>(
    transaction: &mut Transaction,
    table: Table<'_>,
    set: &str,
    elements: impl Iterator<Item = Element<'e>>,
) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    transaction.request(libc::NFT_MSG_NEWSETELEM, flags, table.family, |attributes| {
        attributes.text(NFTA_SET_ELEM_LIST_TABLE, table.name);
        attributes.text(NFTA_SET_ELEM_LIST_SET, set);
        attributes.nest(NFTA_SET_ELEM_LIST_ELEMENTS | NESTED, |list| {
            for element in elements {
                list.nest(NFTA_LIST_ELEM | NESTED, |attributes| encode_element(attributes, &element));
            }
        });
    });
}

fn encode_element(attributes: &mut AttributeWriter<'_>, element: &Element<'_>) {
    if element.is_end {
        attributes.value(NFTA_SET_ELEM_FLAGS, (libc::NFT_SET_ELEM_INTERVAL_END as u32).to_be());
    }
    let timeout = element.timeout.map(milliseconds);
    attributes.optional(NFTA_SET_ELEM_TIMEOUT, timeout.map(u64::to_be));
    let mut value = |kind: u16, bytes: &[u8]| {
        attributes.nest(kind | NESTED, |data| data.bytes(NFTA_DATA_VALUE, bytes));
    };
    value(NFTA_SET_ELEM_KEY, element.key);
    if let Some(end) = element.key_end {
        value(NFTA_SET_ELEM_KEY_END, end);
    }
    if let Some(data) = element.data {
        value(NFTA_SET_ELEM_DATA, data);
    }
    if let Some(verdict) = element.verdict {
        attributes.nest(NFTA_SET_ELEM_DATA | NESTED, |data| verdict.encode(data));
    }
    if let Some(text) = element.comment {
        attributes.bytes(NFTA_SET_ELEM_USERDATA, &comment::encode(text));
    }
}

/// The element of a set or map with this value; `None` if there is none, or no such set.
///
/// # Errors
/// If the kernel refuses.
pub fn get(socket: &mut NftSocket, table: Table<'_>, set: &str, key: &[u8]) -> Result<Option<ElementInfo>> {
    let mut batch = Batch::new();
    batch.message(super::kind(libc::NFT_MSG_GETSETELEM), 0, &super::header(table.family), |attributes| {
        attributes.text(NFTA_SET_ELEM_LIST_TABLE, table.name);
        attributes.text(NFTA_SET_ELEM_LIST_SET, set);
        attributes.nest(NFTA_SET_ELEM_LIST_ELEMENTS | NESTED, |list| {
            list.nest(NFTA_LIST_ELEM | NESTED, |element| {
                element.nest(NFTA_SET_ELEM_KEY | NESTED, |data| data.bytes(NFTA_DATA_VALUE, key));
            });
        });
    });
    let found = socket.ask(&mut batch, |message| {
        family_of(message, libc::NFT_MSG_NEWSETELEM)?;
        let list = message.attributes_after::<NfGenMsg>().find(NFTA_SET_ELEM_LIST_ELEMENTS)?;
        parse(&list.nested().next()?)
    });
    match found {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
        other => other.map(Some),
    }
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
    let data = attributes.find(NFTA_SET_ELEM_DATA).and_then(|data| data.nested().find(NFTA_DATA_VALUE));
    let timeout = attributes.find(NFTA_SET_ELEM_TIMEOUT).and_then(|timeout| timeout.value::<u64>());
    Some(ElementInfo {
        key,
        counter: expressions.find_map(|expression| counter(&expression)),
        data: data.map(|data| data.bytes.to_vec()),
        comment: attributes.find(NFTA_SET_ELEM_USERDATA).and_then(|data| comment::decode(data.bytes)),
        timeout: timeout.map(|timeout| Duration::from_millis(u64::from_be(timeout))),
    })
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
