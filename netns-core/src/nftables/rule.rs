//! Rules: expressions that run one after the other until one of them ends the rule.

use super::chain::Chain;
use super::constants::{NESTED, NFTA_RULE_CHAIN, NFTA_RULE_EXPRESSIONS, NFTA_RULE_HANDLE, NFTA_RULE_TABLE};
use super::expression::Expressions;
use super::socket::NftSocket;
use super::table::Table;
use super::transaction::Transaction;
use super::{Family, family_of};
use crate::Result;
use crate::wire::NfGenMsg;

/// A rule as the kernel describes it, without its expressions.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleInfo {
    /// The table that it is in.
    pub table: String,
    /// The chain that it is in.
    pub chain: String,
    /// Its number in the table.
    pub handle: u64,
}

/// Appends a rule to the end of a chain.
pub fn encode_append(
    transaction: &mut Transaction,
    chain: &Chain<'_>,
    expressions: impl FnOnce(&mut Expressions<'_, '_>),
) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
    transaction.request(libc::NFT_MSG_NEWRULE, flags, chain.table.family, |attributes| {
        attributes.text(NFTA_RULE_TABLE, chain.table.name);
        attributes.text(NFTA_RULE_CHAIN, chain.name);
        attributes.nest(NFTA_RULE_EXPRESSIONS | NESTED, |list| expressions(&mut Expressions::new(list)));
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

fn list_family(socket: &mut NftSocket, family: Family) -> Result<Vec<RuleInfo>> {
    socket.dump(
        libc::NFT_MSG_GETRULE,
        family,
        |_| {},
        |message, rules| {
            if family_of(message, libc::NFT_MSG_NEWRULE).is_none() {
                return;
            }
            let attributes = message.attributes_after::<NfGenMsg>();
            let text = |kind| Some(attributes.find(kind)?.text()?.to_owned());
            let handle = attributes.find(NFTA_RULE_HANDLE).and_then(|handle| handle.value::<u64>());
            if let (Some(table), Some(chain), Some(handle)) =
                (text(NFTA_RULE_TABLE), text(NFTA_RULE_CHAIN), handle)
            {
                rules.push(RuleInfo { table, chain, handle: u64::from_be(handle) });
            }
        },
    )
}
