//! Letting a container's packets past other programs' chains.
//!
//! No rule in our own table can accept what another chain drops, so the rules are in the others' tables: in the filter table of
//! iptables, in the form that iptables writes, as with the reference; and in native nftables chains that drop what reaches their
//! end. A container's rules have its name as their comment, by which they are found again; what all containers share is marked
//! as ours if it was made here.

use super::config::FirewallConfig;
use super::foreign::{ALLOW, FILTER, FORWARD, Passage, SHARED, chains, family_of, filter, gates};
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::{ElementOwner, FilterSearch, KeptSocket, note_opening, note_rules};
use crate::request::PluginRequest;
use netns_core::nftables::chain::{self, ChainInfo};
use netns_core::nftables::rule::{self, RuleInfo};
use netns_core::nftables::{Base, Chain, Family, InetHook, NftSocket, RuleVerdict, Transaction, table};
use netns_core::record::RecordFile;
use netns_core::{ErrorKind, nat};
use std::net::IpAddr;

/// The comment of what all containers share.
const OURS: &str = "netns-cni";
/// How often others may change the tables while we do.
const ATTEMPTS: u32 = 64;
const FAMILIES: [Family; 3] = [Family::Ip, Family::Ip6, Family::Inet];

/// Where a container's rules are.
pub(super) const SEARCH: FilterSearch = FilterSearch::Rules(encode_closing);

/// A chain of the filter table, as one that others jump to.
const fn plain(family: Family, name: &str) -> Chain<'_> {
    Chain { table: filter(family), name, base: None }
}

/// The comment of the rule that leads to an administrator's chain.
fn admin_mark(chain: &str) -> String {
    format!("{OURS} {chain}")
}

fn has(rules: &[RuleInfo], comment: &str) -> bool {
    rules.iter().any(|rule| rule.comment.as_deref() == Some(comment))
}

/// The families of these addresses' tables.
fn families(addresses: &[IpAddr]) -> impl Iterator<Item = Family> + '_ {
    let has = |family| addresses.iter().any(|&address| family_of(address) == family);
    [Family::Ip, Family::Ip6].into_iter().filter(move |&family| has(family))
}

/// Accepts what the addresses send, and replies to them.
pub(super) fn open(
    request: &PluginRequest,
    record: &mut RecordFile,
    config: &FirewallConfig,
    addresses: &[IpAddr],
) -> Outcome<()> {
    let owner = ElementOwner::of(request);
    let mut socket = KeptSocket::open()?;
    note_opening(record)?;
    for _ in 0..ATTEMPTS {
        let mut transaction = Transaction::new();
        for family in families(addresses) {
            let chains = chains(&mut socket, family)?;
            share(&mut socket, &mut transaction, family, &chains, &config.admin_chain)?;
            let is_mine = |&address: &IpAddr| family_of(address) == family;
            let mine: Vec<IpAddr> = addresses.iter().copied().filter(is_mine).collect();
            for &address in &mine {
                for passage in Passage::BOTH {
                    let allow = plain(family, ALLOW);
                    rule::encode_append_with(&mut transaction, &allow, owner.comment(), |rule| {
                        passage.write(rule, &allow, address);
                    });
                }
            }
            pass_gates(&mut transaction, &chains, owner.comment(), &mine);
        }
        let both = chains(&mut socket, Family::Inet)?;
        pass_gates(&mut transaction, &both, owner.comment(), addresses);
        match rule::commit(&mut socket, &mut transaction) {
            Ok(mut rules) => {
                rules.retain(|rule| rule.comment.as_deref() == Some(owner.comment()));
                note_rules(record, &rules)?;
                warn_of_legacy(request, addresses);
                return Ok(());
            }
            // Another call, or somebody else, made or took away one of the chains since the look.
            Err(error) if matches!(error.kind(), ErrorKind::Exists | ErrorKind::NotFound) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let why = "the chains of the packet filter kept changing, or the kernel has not what iptables-nft needs \
               (CONFIG_NFT_COMPAT, CONFIG_NETFILTER_XT_MATCH_CONNTRACK)";
    Err(CniFailure::new(FailureCode::TryLater, why))
}

/// Appends rules that let these addresses past chains that drop what reaches their end.
fn pass_gates(transaction: &mut Transaction, chains: &[ChainInfo], comment: &str, addresses: &[IpAddr]) {
    for (gate, _) in gates(chains).filter(|(_, drops)| *drops) {
        for &address in addresses {
            for passage in Passage::BOTH {
                rule::encode_insert(transaction, &gate, comment, |rule| passage.write(rule, &gate, address));
            }
        }
    }
}

/// Appends the missing parts of what all containers share, as the reference makes them: `FORWARD` of the filter table, and
/// jumps from it to the administrator's chain and then to the containers' rules.
fn share(
    socket: &mut NftSocket,
    transaction: &mut Transaction,
    family: Family,
    chains: &[ChainInfo],
    admin_chain: &str,
) -> Outcome<()> {
    let is_there = |name: &str| chains.iter().any(|chain| chain.table == FILTER && chain.name == name);
    if !is_there(FORWARD) {
        if table::list(socket, family)?.iter().all(|table| table.name != FILTER) {
            table::encode_create_with(transaction, filter(family), OURS);
        }
        let base = Some(Base::inet(InetHook::Forward, 0));
        chain::encode_create_with(transaction, &Chain { base, ..plain(family, FORWARD) }, OURS);
    }
    for name in [SHARED, ALLOW, admin_chain] {
        if !is_there(name) {
            chain::encode_create_with(transaction, &plain(family, name), OURS);
        }
    }
    let shared = rule::list_chain(socket, filter(family), SHARED)?;
    let jump = |transaction: &mut Transaction, from: &str, comment: &str, to: &str| {
        rule::encode_insert(transaction, &plain(family, from), comment, |rule| {
            rule.counter();
            rule.verdict(RuleVerdict::Jump(to));
        });
    };
    if !has(&shared, OURS) {
        rule::encode_append_with(transaction, &plain(family, SHARED), OURS, |rule| {
            rule.counter();
            rule.verdict(RuleVerdict::Jump(ALLOW));
        });
    }
    let mark = admin_mark(admin_chain);
    if !has(&shared, &mark) {
        jump(transaction, SHARED, &mark, admin_chain);
    }
    if !has(&rule::list_chain(socket, filter(family), FORWARD)?, OURS) {
        jump(transaction, FORWARD, OURS, SHARED);
    }
    Ok(())
}

/// No nftables rule can accept what chains of iptables-legacy drop. Whether one of their own rules accepts it is not checked,
/// so this is no failure.
fn warn_of_legacy(request: &PluginRequest, addresses: &[IpAddr]) {
    for family in families(addresses) {
        let is_ipv4 = family == Family::Ip;
        if nat::legacy_drops_forwarded(is_ipv4).unwrap_or(false) {
            let command = if is_ipv4 { "iptables-legacy" } else { "ip6tables-legacy" };
            request.note(format_args!(
                "firewall: chain FORWARD of {command} drops what is forwarded unless a rule of its own lets it pass, and has no \
                 rule of ours"
            ));
        }
    }
}

/// The description of the first rule or chain that is missing.
pub(super) fn missing(
    request: &PluginRequest,
    config: &FirewallConfig,
    addresses: &[IpAddr],
) -> Outcome<Option<String>> {
    let owner = ElementOwner::of(request);
    let mut socket = KeptSocket::open()?;
    for family in families(addresses) {
        let words = |chain: &str| format!("a rule of chain {chain} of the table {} {FILTER}", family.name());
        let mut rules = |chain: &str| rule::list_chain(&mut socket, filter(family), chain);
        let shared = rules(SHARED)?;
        if !has(&rules(FORWARD)?, OURS) {
            return Ok(Some(words(FORWARD)));
        }
        if !has(&shared, OURS) || !has(&shared, &admin_mark(&config.admin_chain)) {
            return Ok(Some(words(SHARED)));
        }
        let wanted = addresses.iter().filter(|&&address| family_of(address) == family).count();
        if count(&rules(ALLOW)?, &owner) < wanted * Passage::BOTH.len() {
            return Ok(Some(words(ALLOW)));
        }
    }
    for family in families(addresses).chain([Family::Inet]) {
        let chains = chains(&mut socket, family)?;
        for (gate, _) in gates(&chains).filter(|(_, drops)| *drops) {
            if count(&rule::list_chain(&mut socket, gate.table, gate.name)?, &owner) == 0 {
                let (family, table) = (gate.table.family.name(), gate.table.name);
                return Ok(Some(format!("a rule of chain {} of the table {family} {table}", gate.name)));
            }
        }
    }
    Ok(None)
}

fn count(rules: &[RuleInfo], owner: &ElementOwner) -> usize {
    rules.iter().filter(|rule| rule.comment.as_deref() == Some(owner.comment())).count()
}

/// Removes the rules whose comment is meant.
pub(super) fn close(is_meant: impl Fn(&str) -> bool) -> Outcome<()> {
    let mut socket = match KeptSocket::open() {
        // A kernel without such tables has no rules.
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
        other => other?,
    };
    for _ in 0..ATTEMPTS {
        let mut transaction = Transaction::new();
        encode_closing(&mut socket, &mut transaction, &is_meant)?;
        if transaction.requests() == 0 {
            return Ok(());
        }
        match socket.commit(&mut transaction) {
            // Somebody removed one meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return Ok(other?),
        }
    }
    Err(CniFailure::new(FailureCode::TryLater, "the chains of the packet filter kept changing"))
}

/// Appends the removal of the rules whose comment is meant.
fn encode_closing(
    socket: &mut NftSocket,
    transaction: &mut Transaction,
    is_meant: &dyn Fn(&str) -> bool,
) -> Outcome<()> {
    for family in FAMILIES {
        let chains = chains(socket, family)?;
        // Even in chains that no longer drop: a rule stays when a policy changes.
        let mut all: Vec<Chain<'_>> = gates(&chains).map(|(gate, _)| gate).collect();
        if family != Family::Inet && chains.iter().any(|chain| chain.table == FILTER && chain.name == ALLOW) {
            all.push(plain(family, ALLOW));
        }
        for chain in all {
            for rule in rule::list_chain(socket, chain.table, chain.name)? {
                if rule.comment.as_deref().is_some_and(is_meant) {
                    rule::encode_delete(transaction, chain.table, chain.name, rule.handle);
                }
            }
        }
    }
    Ok(())
}

/// Removes what containers share, if none has rules. What others have put into it stays, as do jumps to that. If somebody
/// changes any table meanwhile, everything stays.
pub(super) fn tidy() -> Outcome<()> {
    let mut socket = match KeptSocket::open() {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
        other => other?,
    };
    for family in [Family::Ip, Family::Ip6] {
        // A rule of somebody else's may lead to an administrator's chain that was made here.
        for with_admins in [true, false] {
            let generation = socket.generation()?;
            let Some(mut transaction) = tidying(&mut socket, family, generation, with_admins)? else { break };
            match socket.commit(&mut transaction) {
                Err(error) if error.kind() == ErrorKind::Busy => {}
                Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::NotFound) => break,
                other => {
                    other?;
                    break;
                }
            }
        }
    }
    Ok(())
}

fn tidying(
    socket: &mut NftSocket,
    family: Family,
    generation: u32,
    with_admins: bool,
) -> Outcome<Option<Transaction>> {
    let mut chains = chains(socket, family)?;
    chains.retain(|chain| chain.table == FILTER);
    let mut transaction = Transaction::for_generation(generation);
    if chains.iter().all(|chain| chain.name != SHARED) || !rules(socket, family, ALLOW)?.is_empty() {
        return Ok(None);
    }
    let forward = rules(socket, family, FORWARD)?;
    for rule in forward.iter().filter(|rule| is_ours(rule.comment.as_deref())) {
        rule::encode_delete(&mut transaction, filter(family), FORWARD, rule.handle);
    }
    let mut left = Vec::new();
    // The first leads to the others.
    chains.sort_by_key(|chain| chain.name != SHARED);
    for chain in &chains {
        let goes = match &*chain.name {
            SHARED | ALLOW => true,
            FORWARD => {
                let is_empty = forward.iter().all(|rule| is_ours(rule.comment.as_deref()));
                let drops = chain.hook.is_some_and(|(_, drops)| drops);
                is_ours(chain.comment.as_deref()) && is_empty && !drops
            }
            name => {
                with_admins && is_ours(chain.comment.as_deref()) && rules(socket, family, name)?.is_empty()
            }
        };
        if goes {
            chain::encode_delete(&mut transaction, &plain(family, &chain.name));
        } else {
            left.push(&chain.name);
        }
    }
    let tables = table::list(socket, family)?;
    let made = tables.iter().any(|table| table.name == FILTER && is_ours(table.comment.as_deref()));
    if made && left.is_empty() {
        table::encode_delete(&mut transaction, filter(family));
    }
    Ok(Some(transaction))
}

fn rules(socket: &mut NftSocket, family: Family, chain: &str) -> Outcome<Vec<RuleInfo>> {
    Ok(rule::list_chain(socket, filter(family), chain)?)
}

fn is_ours(comment: Option<&str>) -> bool {
    comment == Some(OURS)
}
