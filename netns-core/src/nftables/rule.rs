//! Rules: expressions that run one after the other until one of them ends the rule.

use super::chain::Chain;
use super::comment;
use super::constants::{
    NESTED, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_HANDLE, NFTA_RULE_TABLE, NFTA_RULE_USERDATA,
};
use super::expression::Expressions;
use super::socket::NftSocket;
use super::table::Table;
use super::transaction::Transaction;
use super::{Family, family_of};
use crate::Result;
use crate::wire::{AttributeWriter, Batch, Message, NfGenMsg};

/// A rule as the kernel describes it, without its expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleInfo {
    /// The family of its table.
    pub family: Family,
    /// The table that it is in.
    pub table: String,
    /// The chain that it is in.
    pub chain: String,
    /// Its number in the table.
    pub handle: u64,
    /// What its maker wrote beside it.
    pub comment: Option<String>,
}

/// Appends a rule to the end of a chain.
pub fn encode_append(
    transaction: &mut Transaction,
    chain: &Chain<'_>,
    expressions: impl FnOnce(&mut Expressions<'_, '_>),
) {
    encode(transaction, libc::NLM_F_APPEND, chain, None, expressions);
}

/// Appends a rule to the end of a chain, with a comment of at most [`comment::MAX`] bytes, which `nft` shows.
pub fn encode_append_with(
    transaction: &mut Transaction,
    chain: &Chain<'_>,
    comment: &str,
    expressions: impl FnOnce(&mut Expressions<'_, '_>),
) {
    encode(transaction, libc::NLM_F_APPEND, chain, Some(comment), expressions);
}

/// Appends a rule to the beginning of a chain, with a comment of at most [`comment::MAX`] bytes, which `nft` shows.
pub fn encode_insert(
    transaction: &mut Transaction,
    chain: &Chain<'_>,
    comment: &str,
    expressions: impl FnOnce(&mut Expressions<'_, '_>),
) {
    encode(transaction, 0, chain, Some(comment), expressions);
}

fn encode(
    transaction: &mut Transaction,
    flags: libc::c_int,
    chain: &Chain<'_>,
    comment: Option<&str>,
    expressions: impl FnOnce(&mut Expressions<'_, '_>),
) {
    let flags = libc::NLM_F_CREATE | flags;
    transaction.request(libc::NFT_MSG_NEWRULE, flags, chain.table.family, |attributes| {
        attributes.text(NFTA_RULE_TABLE, chain.table.name);
        attributes.text(NFTA_RULE_CHAIN, chain.name);
        attributes.nest(NFTA_RULE_EXPRESSIONS | NESTED, |list| expressions(&mut Expressions::new(list)));
        if let Some(text) = comment {
            attributes.bytes(NFTA_RULE_USERDATA, &comment::encode(text));
        }
    });
}

/// Appends the deletion of a rule by its number; refused with `ENOENT` if there is none in the chain.
pub fn encode_delete(transaction: &mut Transaction, table: Table<'_>, chain: &str, handle: u64) {
    transaction.request(libc::NFT_MSG_DELRULE, 0, table.family, |attributes| {
        attributes.text(NFTA_RULE_TABLE, table.name);
        attributes.text(NFTA_RULE_CHAIN, chain);
        attributes.value(NFTA_RULE_HANDLE, handle.to_be());
    });
}

/// Lists the rules of a table; none if there is no such table.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
pub fn list(socket: &mut NftSocket, table: Table<'_>) -> Result<Vec<RuleInfo>> {
    let mut rules = list_family(socket, table.family)?;
    rules.retain(|rule| rule.table == table.name);
    Ok(rules)
}

/// Lists the rules of the tables of a family.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
pub fn list_family(socket: &mut NftSocket, family: Family) -> Result<Vec<RuleInfo>> {
    dump(socket, family, |_| {})
}

/// Lists the rules of one chain; none if there is no such chain.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
pub fn list_chain(socket: &mut NftSocket, table: Table<'_>, chain: &str) -> Result<Vec<RuleInfo>> {
    dump(socket, table.family, |attributes| {
        attributes.text(NFTA_RULE_TABLE, table.name);
        attributes.text(NFTA_RULE_CHAIN, chain);
    })
}

/// The rule of a chain with this number; `None` if there is none, or no such chain.
///
/// # Errors
/// If the kernel refuses.
pub fn get(socket: &mut NftSocket, table: Table<'_>, chain: &str, handle: u64) -> Result<Option<RuleInfo>> {
    let mut batch = Batch::new();
    batch.message(super::kind(libc::NFT_MSG_GETRULE), 0, &super::header(table.family), |attributes| {
        attributes.text(NFTA_RULE_TABLE, table.name);
        attributes.text(NFTA_RULE_CHAIN, chain);
        attributes.value(NFTA_RULE_HANDLE, handle.to_be());
    });
    match socket.ask(&mut batch, parse) {
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(None),
        other => other.map(Some),
    }
}

fn dump(
    socket: &mut NftSocket,
    family: Family,
    which: impl Fn(&mut AttributeWriter<'_>),
) -> Result<Vec<RuleInfo>> {
    socket.dump(libc::NFT_MSG_GETRULE, family, which, |message, rules| rules.extend(parse(message)))
}

/// As [`NftSocket::commit`]; the rules that it made, with their numbers, by which they are found without a list of all
/// ([`get`]). The kernel describes them in answers of their own (`NLM_F_ECHO`).
///
/// # Errors
/// As [`NftSocket::commit`]. If an answer was lost (`ENOBUFS`), the transaction may have been carried out.
///
/// ```
/// use netns_core::Namespace;
/// use netns_core::nftables::{Chain, Family, NftSocket, RuleVerdict, Table, Transaction, chain, rule, table};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = NftSocket::open_in(&Namespace::anonymous()?)?;
/// let table = Table { family: Family::Inet, name: "example" };
/// let chain = Chain { table, name: "chain", base: None };
/// let mut transaction = Transaction::new();
/// table::encode_create(&mut transaction, table);
/// chain::encode_create(&mut transaction, &chain);
/// for comment in ["one", "two"] {
///     rule::encode_append_with(&mut transaction, &chain, comment, |rule| rule.verdict(RuleVerdict::Accept));
/// }
/// let made = rule::commit(&mut socket, &mut transaction);
/// # if made.as_ref().is_err_and(|error| error.kind() == netns_core::ErrorKind::Unsupported) { return Ok(()); }
/// let made = made?;
/// assert_eq!(made.len(), 2);
/// let found = rule::get(&mut socket, table, "chain", made[1].handle)?;
/// assert_eq!(found.as_ref().and_then(|rule| rule.comment.as_deref()), Some("two"));
/// assert_eq!(found.as_ref(), made.get(1));
/// assert_eq!(rule::get(&mut socket, table, "chain", 77)?, None);
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn commit(socket: &mut NftSocket, transaction: &mut Transaction) -> Result<Vec<RuleInfo>> {
    transaction.report_rules();
    let mut rules = Vec::new();
    socket.carry_out(transaction, |message| rules.extend(parse(message)))?;
    Ok(rules)
}

/// A rule that a message describes; `None` of another message.
fn parse(message: &Message<'_>) -> Option<RuleInfo> {
    let family = family_of(message, libc::NFT_MSG_NEWRULE)?;
    let attributes = message.attributes_after::<NfGenMsg>();
    let text = |kind| Some(attributes.find(kind)?.text()?.to_owned());
    let handle: u64 = attributes.find(NFTA_RULE_HANDLE)?.value()?;
    let comment = attributes.find(NFTA_RULE_USERDATA).and_then(|data| comment::decode(data.bytes));
    Some(RuleInfo {
        family,
        table: text(NFTA_RULE_TABLE)?,
        chain: text(NFTA_RULE_CHAIN)?,
        handle: u64::from_be(handle),
        comment,
    })
}
