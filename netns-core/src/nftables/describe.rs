//! Putting a request into words, from its bytes, when it was refused.

use super::constants::{
    NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_CHAIN, NFTA_SET_ELEM_LIST_SET, NFTA_SET_NAME,
    NFTA_TABLE_NAME,
};
use super::{Family, kind};
use crate::wire::{Description, Message, NfGenMsg};

/// What a request asks for, and of what: "create chain", "bridge netns prerouting".
pub(super) fn describe(request: &Message<'_>) -> Description {
    let (operation, object) = match request.header.kind {
        other if other == kind(libc::NFT_MSG_NEWTABLE) => ("create table", NFTA_TABLE_NAME),
        other if other == kind(libc::NFT_MSG_DELTABLE) => ("delete table", NFTA_TABLE_NAME),
        other if other == kind(libc::NFT_MSG_GETTABLE) => ("list tables", NFTA_TABLE_NAME),
        other if other == kind(libc::NFT_MSG_NEWCHAIN) => ("create chain", NFTA_CHAIN_NAME),
        other if other == kind(libc::NFT_MSG_NEWRULE) => ("add rule", NFTA_RULE_CHAIN),
        other if other == kind(libc::NFT_MSG_GETRULE) => ("list rules", NFTA_RULE_CHAIN),
        other if other == kind(libc::NFT_MSG_NEWSET) => ("create set", NFTA_SET_NAME),
        other if other == kind(libc::NFT_MSG_NEWSETELEM) => ("add elements", NFTA_SET_ELEM_LIST_SET),
        other if other == kind(libc::NFT_MSG_DELSETELEM) => ("remove elements", NFTA_SET_ELEM_LIST_SET),
        other if other == kind(libc::NFT_MSG_GETSETELEM) => ("list elements", NFTA_SET_ELEM_LIST_SET),
        other if other == kind(libc::NFT_MSG_GETGEN) => ("get the generation of rules", NFTA_TABLE_NAME),
        _ => ("change nftables", NFTA_TABLE_NAME),
    };
    let family = request.family_header::<NfGenMsg>().and_then(|header| Family::from_number(header.family));
    let attributes = request.attributes_after::<NfGenMsg>();
    let text = |kind| attributes.find(kind).and_then(|name| name.text());
    // The table's name is the first attribute of all of them.
    let table = text(NFTA_CHAIN_TABLE);
    let object = if object == NFTA_TABLE_NAME { None } else { text(object) };
    let words = family.map(Family::name).filter(|_| table.is_some());
    let object = words.into_iter().chain(table).chain(object).collect::<Vec<_>>().join(" ");
    Description { operation: operation.to_owned(), object }
}
