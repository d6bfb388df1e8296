//! Chains of others that drop what the host forwards. No rule of ours can let pass what one of theirs drops; one in their chain
//! can.

use super::{Nat, legacy, table_of};
use crate::error::{Operation, SystemCall};
use crate::nftables::{
    Chain, Comparison, Family, InetHook, MetaKey, NftSocket, Register, RuleVerdict, Table, Transaction,
    chain, rule,
};
use crate::{Error, ErrorKind, IfName, Result};
use std::fmt;

/// A chain of somebody else that drops what the host forwards unless one of its rules lets it pass.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForwardBlock {
    /// The chain in words: `chain FORWARD of the table ip filter`.
    pub chain: String,
    /// The commands that let pass what comes from the bridge or goes to it; the rules of the bridge's own table say what
    /// of that is meant.
    pub commands: Vec<String>,
    /// Where to put rules of ours, if that is possible.
    place: Option<(Family, String, String)>,
}

impl ForwardBlock {
    /// Whether [`Nat::open_blocks`] can let the bridge's packets pass: not in tables of iptables-legacy, nor in those of
    /// firewalld, which makes its own anew.
    #[must_use]
    pub const fn can_be_opened(&self) -> bool {
        self.place.is_some()
    }
}

/// `chain FORWARD of the table ip filter drops what is forwarded; this lets it pass: ...`
impl fmt::Display for ForwardBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} drops what is forwarded; this lets it pass: {}", self.chain, self.commands.join("; "))
    }
}

const DOCKER_USER: &str = "DOCKER-USER";
const FIREWALLD: &str = "firewalld";
/// How often rules of ours are looked for and taken away, if others take some of them away at the same time.
const ATTEMPTS: usize = 16;

impl Nat {
    /// The chains of others that drop what comes from the bridge or goes to it, and have no rule of ours: those whose policy is
    /// to drop, at the forward hook, of nftables (Docker's by iptables-nft among them) and of iptables-legacy; and firewalld's.
    /// Whether a rule of theirs lets it pass is not looked at.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn blocks(&mut self, bridge: IfName) -> Result<Vec<ForwardBlock>> {
        let mut blocks = self.nft_blocks(bridge)?;
        for (is_ipv4, command) in [(true, "iptables-legacy"), (false, "ip6tables-legacy")] {
            if !self.has_family(is_ipv4) {
                continue;
            }
            let failed = Error::system(Operation::LookAtChains, command, SystemCall::Other("getsockopt"));
            let drops = self.ports.namespace.enter(|| legacy::drops(is_ipv4))?.map_err(failed)?;
            if let Some(has_docker) = drops {
                let chain = if has_docker { DOCKER_USER } else { "FORWARD" };
                blocks.push(ForwardBlock {
                    chain: format!("chain FORWARD of {command}"),
                    commands: iptables(command, chain, bridge),
                    place: None,
                });
            }
        }
        Ok(blocks)
    }

    /// Puts rules into the chains of others that drop what comes from the bridge or goes to it, at their beginning, or into
    /// Docker's DOCKER-USER: the packets pass there, and the rules of the bridge's own table decide. They are marked with the
    /// table's name and go with it. Returns the chains that this is not possible in.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn open_blocks(&mut self, bridge: IfName) -> Result<Vec<ForwardBlock>> {
        let mut left = Vec::new();
        for block in self.blocks(bridge)? {
            let Some((family, table, name)) = &block.place else {
                left.push(block);
                continue;
            };
            let chain = Chain { table: Table { family: *family, name: table }, name, base: None };
            let mut transaction = Transaction::new();
            for key in [MetaKey::OutputName, MetaKey::InputName] {
                rule::encode_insert(&mut transaction, &chain, &self.ports.name, |rule| {
                    rule.meta(key, Register::One);
                    rule.compare(Register::One, Comparison::Equal, &bridge.padded());
                    rule.counter();
                    rule.verdict(RuleVerdict::Accept);
                });
            }
            self.ports.socket.commit(&mut transaction)?;
        }
        Ok(left)
    }

    fn has_family(&self, is_ipv4: bool) -> bool {
        self.options.subnets.iter().any(|subnet| subnet.address().is_ipv4() == is_ipv4)
    }

    fn nft_blocks(&mut self, bridge: IfName) -> Result<Vec<ForwardBlock>> {
        let mut blocks = Vec::new();
        for family in [Family::Ip, Family::Ip6, Family::Inet] {
            let concerned = match family {
                Family::Ip => self.has_family(true),
                Family::Ip6 => self.has_family(false),
                _ => true,
            };
            if !concerned {
                continue;
            }
            let chains = chain::list(&mut self.ports.socket, family)?;
            for chain in &chains {
                let Some((hook, drops)) = chain.hook else { continue };
                let firewalld = chain.table == FIREWALLD;
                if hook != InetHook::Forward.number()
                    || !(drops || firewalld)
                    || chain.table == self.ports.name
                {
                    continue;
                }
                let words = format!("chain {} of the table {} {}", chain.name, family.name(), chain.table);
                if firewalld {
                    let commands = vec![format!("firewall-cmd --zone=trusted --add-interface={bridge}")];
                    blocks.push(ForwardBlock { chain: words, commands, place: None });
                    continue;
                }
                let of_docker =
                    chains.iter().any(|other| other.table == chain.table && other.name == DOCKER_USER);
                let name = if of_docker { DOCKER_USER } else { &chain.name };
                let table = Table { family, name: &chain.table };
                if marked(&mut self.ports.socket, table, name, &self.ports.name)? {
                    continue;
                }
                // What iptables-nft has made it reads as its own.
                let command = match (family, &*chain.table) {
                    (Family::Ip, "filter") => Some("iptables-nft"),
                    (Family::Ip6, "filter") => Some("ip6tables-nft"),
                    _ => None,
                };
                let commands = command.map_or_else(
                    || {
                        let rule = |key: &str| {
                            let family = family.name();
                            format!("nft insert rule {family} {} {name} {key} {bridge} accept", chain.table)
                        };
                        vec![rule("iifname"), rule("oifname")]
                    },
                    |command| iptables(command, name, bridge),
                );
                let place = Some((family, chain.table.clone(), name.to_owned()));
                blocks.push(ForwardBlock { chain: words, commands, place });
            }
        }
        Ok(blocks)
    }
}

fn iptables(command: &str, chain: &str, bridge: IfName) -> Vec<String> {
    ["-i", "-o"].iter().map(|side| format!("{command} -I {chain} {side} {bridge} -j ACCEPT")).collect()
}

/// Whether a chain has rules of ours.
fn marked(socket: &mut NftSocket, table: Table<'_>, chain: &str, mark: &str) -> Result<bool> {
    let rules = rule::list(socket, table)?;
    Ok(rules.iter().any(|rule| rule.chain == chain && rule.comment.as_deref() == Some(mark)))
}

/// Takes away the rules that are marked with the name of a table of ours, wherever they are.
pub(super) fn close(socket: &mut NftSocket, mark: &str) -> Result<()> {
    [Family::Ip, Family::Ip6, Family::Inet].into_iter().try_for_each(|family| close_in(socket, family, mark))
}

fn close_in(socket: &mut NftSocket, family: Family, mark: &str) -> Result<()> {
    let mut outcome = Ok(());
    for _ in 0..ATTEMPTS {
        let rules = match rule::list_family(socket, family) {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(()),
            other => other?,
        };
        let ours = rules.iter().filter(|rule| rule.comment.as_deref() == Some(mark));
        let mut transaction = Transaction::new();
        for rule in ours.filter(|rule| rule.table != table_of(mark).name) {
            // A number is given once in a table, so this can be no other rule.
            rule::encode_delete(
                &mut transaction,
                Table { family, name: &rule.table },
                &rule.chain,
                rule.handle,
            );
        }
        if transaction.requests() == 0 {
            return Ok(());
        }
        match socket.commit(&mut transaction) {
            // Somebody took one of them or its chain away between the look and now, and the others are still there.
            Err(error) if error.errno() == Some(libc::ENOENT) => outcome = Err(error),
            other => return other,
        }
    }
    outcome
}
