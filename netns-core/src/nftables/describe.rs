//! Putting a request into words, from its bytes, when it was refused.

use super::constants::{
    IPCTNL_MSG_CT_DELETE, IPCTNL_MSG_CT_GET, NFTA_CHAIN_NAME, NFTA_CHAIN_TABLE, NFTA_RULE_CHAIN,
    NFTA_SET_ELEM_LIST_SET, NFTA_SET_NAME, NFTA_TABLE_NAME,
};
use super::{Family, kind};
use crate::error::{Description, Operation};
use crate::wire::{Message, NfGenMsg};

/// What a request asks for, and of what: `create chain`, `bridge netns prerouting`.
pub(super) fn describe(request: &Message<'_>) -> Description {
    let (operation, object) = match request.header.kind {
        other if other == kind(libc::NFT_MSG_NEWTABLE) => (Operation::CreateTable, NFTA_TABLE_NAME),
        other if other == kind(libc::NFT_MSG_DELTABLE) => (Operation::DeleteTable, NFTA_TABLE_NAME),
        other if other == kind(libc::NFT_MSG_GETTABLE) => (Operation::ListTables, NFTA_TABLE_NAME),
        other if other == kind(libc::NFT_MSG_NEWCHAIN) => (Operation::CreateChain, NFTA_CHAIN_NAME),
        other if other == kind(libc::NFT_MSG_NEWRULE) => (Operation::AddRule, NFTA_RULE_CHAIN),
        other if other == kind(libc::NFT_MSG_GETRULE) => (Operation::ListRules, NFTA_RULE_CHAIN),
        other if other == kind(libc::NFT_MSG_NEWSET) => (Operation::CreateSet, NFTA_SET_NAME),
        other if other == kind(libc::NFT_MSG_NEWSETELEM) => (Operation::AddElements, NFTA_SET_ELEM_LIST_SET),
        other if other == kind(libc::NFT_MSG_DELSETELEM) => {
            (Operation::RemoveElements, NFTA_SET_ELEM_LIST_SET)
        }
        other if other == kind(libc::NFT_MSG_GETSETELEM) => (Operation::ListElements, NFTA_SET_ELEM_LIST_SET),
        other if other == kind(libc::NFT_MSG_GETCHAIN) => (Operation::ListChains, NFTA_CHAIN_NAME),
        other if other == kind(libc::NFT_MSG_DELRULE) => (Operation::DeleteRule, NFTA_RULE_CHAIN),
        other if other == kind(libc::NFT_MSG_DELSET) => (Operation::DeleteSet, NFTA_SET_NAME),
        other if other == IPCTNL_MSG_CT_GET => (Operation::ListConnections, NFTA_TABLE_NAME),
        other if other == IPCTNL_MSG_CT_DELETE => (Operation::ForgetConnection, NFTA_TABLE_NAME),
        other if other == kind(libc::NFT_MSG_GETGEN) => (Operation::GetGeneration, NFTA_TABLE_NAME),
        _ => (Operation::ChangeNftables, NFTA_TABLE_NAME),
    };
    let family = request.family_header::<NfGenMsg>().and_then(|header| Family::from_number(header.family));
    let attributes = request.attributes_after::<NfGenMsg>();
    let text = |kind| attributes.find(kind).and_then(|name| name.text());
    // The table's name is the first attribute of all of them.
    let table = text(NFTA_CHAIN_TABLE);
    let object = if object == NFTA_TABLE_NAME { None } else { text(object) };
    if matches!(request.header.kind, IPCTNL_MSG_CT_GET | IPCTNL_MSG_CT_DELETE) {
        // Its first attribute is no name.
        return Description { operation, object: String::new() };
    }
    let words = family.map(Family::name).filter(|_| table.is_some());
    let object = words.into_iter().chain(table).chain(object).collect::<Vec<_>>().join(" ");
    Description { operation, object }
}
