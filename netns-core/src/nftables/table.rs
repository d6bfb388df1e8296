//! Tables: what holds chains and sets, and goes with all of them.

use super::comment;
use super::constants::{
    NFTA_TABLE_FLAGS, NFTA_TABLE_HANDLE, NFTA_TABLE_NAME, NFTA_TABLE_OWNER, NFTA_TABLE_USERDATA,
};
use super::socket::NftSocket;
use super::transaction::Transaction;
use super::{Family, family_of};
use crate::Result;

/// A table by its family and name, which identify it in its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table<'a> {
    /// Which packets it sees.
    pub family: Family,
    /// Its name, at most 255 bytes.
    pub name: &'a str,
}

/// A table as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableInfo {
    /// Which packets it sees.
    pub family: Family,
    /// Its name.
    pub name: String,
    /// Its number, which no other table of its namespace ever has, not even a later one of its name (Linux 4.15).
    pub handle: Option<u64>,
    /// The port id of the socket that it ends with, if it does ([`encode_create_owned`]).
    pub owner: Option<u32>,
    /// What its maker wrote beside it.
    pub comment: Option<String>,
}

/// Appends the making of a table; refused with `EEXIST` if there is one of its name.
pub fn encode_create(transaction: &mut Transaction, table: Table<'_>) {
    encode(transaction, table, None);
}

/// The same, with a comment of at most [`comment::MAX`] bytes, which `nft` shows and Linux keeps from 5.10 on.
pub fn encode_create_with(transaction: &mut Transaction, table: Table<'_>, comment: &str) {
    encode(transaction, table, Some(comment));
}

fn encode(transaction: &mut Transaction, table: Table<'_>, comment: Option<&str>) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    transaction.request(libc::NFT_MSG_NEWTABLE, flags, table.family, |attributes| {
        attributes.text(NFTA_TABLE_NAME, table.name);
        attributes.value(NFTA_TABLE_FLAGS, 0_u32);
        if let Some(text) = comment {
            attributes.bytes(NFTA_TABLE_USERDATA, &comment::encode(text));
        }
    });
}

/// Appends the making of a table that is the socket's which sends this: nobody else can change it, and it goes when the socket
/// is closed, by whatever that happens (`NFT_TABLE_F_OWNER`, Linux 5.12).
pub fn encode_create_owned(transaction: &mut Transaction, table: Table<'_>) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    transaction.request(libc::NFT_MSG_NEWTABLE, flags, table.family, |attributes| {
        attributes.text(NFTA_TABLE_NAME, table.name);
        attributes.value(NFTA_TABLE_FLAGS, OWNER.to_be());
    });
}

/// `NFT_TABLE_F_OWNER` of
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter/nf_tables.h>.
const OWNER: u32 = 1 << 1;

/// Appends the making of a table unless there is one of its name.
pub fn encode_ensure(transaction: &mut Transaction, table: Table<'_>) {
    transaction.request(libc::NFT_MSG_NEWTABLE, libc::NLM_F_CREATE, table.family, |attributes| {
        attributes.text(NFTA_TABLE_NAME, table.name);
        attributes.value(NFTA_TABLE_FLAGS, 0_u32);
    });
}

/// Appends the deletion of a table if there is one: what the transaction makes after it comes in its place between two
/// packets. ([`encode_delete`] is refused where there is nothing.)
pub fn encode_clear(transaction: &mut Transaction, table: Table<'_>) {
    encode_ensure(transaction, table);
    encode_delete(transaction, table);
}

/// Appends the deletion of a table with all that is in it; refused with `ENOENT` if there is none.
pub fn encode_delete(transaction: &mut Transaction, table: Table<'_>) {
    transaction.request(libc::NFT_MSG_DELTABLE, 0, table.family, |attributes| {
        attributes.text(NFTA_TABLE_NAME, table.name);
    });
}

/// Appends the deletion of the table with this number, whatever its name; refused with `ENOENT` if there is none
/// ([`TableInfo::handle`]).
pub fn encode_delete_handle(transaction: &mut Transaction, family: Family, handle: u64) {
    transaction.request(libc::NFT_MSG_DELTABLE, 0, family, |attributes| {
        attributes.value(NFTA_TABLE_HANDLE, handle.to_be());
    });
}

/// Deletes a table with all that is in it.
///
/// # Errors
/// `ENOENT` if there is none.
pub fn delete(socket: &mut NftSocket, table: Table<'_>) -> Result<()> {
    let mut transaction = Transaction::new();
    encode_delete(&mut transaction, table);
    socket.commit(&mut transaction)
}

/// Lists the tables of a family.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
pub fn list(socket: &mut NftSocket, family: Family) -> Result<Vec<TableInfo>> {
    socket.dump(
        libc::NFT_MSG_GETTABLE,
        family,
        |_| {},
        |message, tables| {
            let Some(family) = family_of(message, libc::NFT_MSG_NEWTABLE) else { return };
            let attributes = message.attributes_after::<crate::wire::NfGenMsg>();
            let Some(name) = attributes.find(NFTA_TABLE_NAME).and_then(|name| name.text()) else { return };
            let handle = attributes.find(NFTA_TABLE_HANDLE).and_then(|handle| handle.value::<u64>());
            let owner = attributes.find(NFTA_TABLE_OWNER).and_then(|owner| owner.value::<u32>());
            let (handle, owner) = (handle.map(u64::from_be), owner.map(u32::from_be));
            let comment = attributes.find(NFTA_TABLE_USERDATA).and_then(|data| comment::decode(data.bytes));
            tables.push(TableInfo { family, name: name.to_owned(), handle, owner, comment });
        },
    )
}
