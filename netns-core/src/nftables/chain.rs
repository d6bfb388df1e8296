//! Chains: lists of rules, at a hook of the kernel or for others to jump to.

use super::comment;
use super::constants::{
    NESTED, NFTA_CHAIN_HOOK, NFTA_CHAIN_NAME, NFTA_CHAIN_POLICY, NFTA_CHAIN_TABLE, NFTA_CHAIN_TYPE,
    NFTA_CHAIN_USERDATA, NFTA_HOOK_DEV, NFTA_HOOK_HOOKNUM, NFTA_HOOK_PRIORITY,
};
use super::socket::NftSocket;
use super::table::Table;
use super::transaction::Transaction;
use super::{Family, family_of};
use crate::wire::{Attribute, NfGenMsg};
use crate::{IfName, Result};

/// A chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain<'a> {
    /// The table that it is in.
    pub table: Table<'a>,
    /// Its name in that.
    pub name: &'a str,
    /// Where the kernel calls it; `None` of one that other chains jump to.
    pub base: Option<Base<'a>>,
}

/// Where the kernel calls a chain, and what becomes of packets that reach its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base<'a> {
    /// "filter", "nat", "route".
    pub kind: &'a str,
    /// The hook's number in the table's family: `NF_INET_*`, `NF_BR_*`, `NF_NETDEV_*`.
    pub hook: u32,
    /// Chains of a hook run in the order of their priorities, lowest first.
    pub priority: i32,
    /// The device, of a chain of [`super::Family::Netdev`] or at [`InetHook::Ingress`].
    pub device: Option<IfName>,
    /// Whether a packet that reaches the end of the chain is dropped; else it goes on.
    pub drops: bool,
}

impl Base<'_> {
    /// A filter at a hook.
    #[must_use]
    pub const fn filter(hook: u32, priority: i32) -> Self {
        Self { kind: "filter", hook, priority, device: None, drops: false }
    }

    /// A chain that says where the first packet of a connection goes, or comes from, and with it all others: it sees no
    /// others. In a table of [`super::Family::Inet`] from Linux 5.2 on.
    #[must_use]
    pub const fn nat(hook: InetHook, priority: i32) -> Self {
        Self { kind: "nat", ..Self::filter(hook.number(), priority) }
    }

    /// A filter of IP packets at a hook.
    #[must_use]
    pub const fn inet(hook: InetHook, priority: i32) -> Self {
        Self::filter(hook.number(), priority)
    }

    /// A filter of what comes in, before it is known where it goes: `NF_INET_PRE_ROUTING`, `NF_BR_PRE_ROUTING`.
    #[must_use]
    pub const fn prerouting(priority: i32) -> Self {
        Self::filter(0, priority)
    }

    /// A filter of what is for this host: `NF_INET_LOCAL_IN`, `NF_BR_LOCAL_IN`.
    #[must_use]
    pub const fn input(priority: i32) -> Self {
        Self::filter(1, priority)
    }

    /// A filter of what a device has received, in a table of [`super::Family::Netdev`]: `NF_NETDEV_INGRESS`.
    #[must_use]
    pub const fn ingress(device: IfName, priority: i32) -> Self {
        Self { device: Some(device), ..Self::filter(0, priority) }
    }

    /// A filter of IP packets that a device has received, in a table of [`super::Family::Inet`].
    #[must_use]
    pub const fn inet_ingress(device: IfName, priority: i32) -> Self {
        Self { device: Some(device), ..Self::inet(InetHook::Ingress, priority) }
    }

    /// A filter of what a device is about to send, in a table of [`super::Family::Netdev`]: `NF_NETDEV_EGRESS`
    /// (Linux 5.16).
    #[must_use]
    pub const fn egress(device: IfName, priority: i32) -> Self {
        Self { device: Some(device), ..Self::filter(1, priority) }
    }
}

/// Where IP packets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InetHook {
    /// What comes in.
    Prerouting,
    /// What is for this host.
    Input,
    /// What goes through.
    Forward,
    /// What this host sends.
    Output,
    /// What goes out.
    Postrouting,
    /// What one device has received, before anything else looks at it (Linux 5.10).
    Ingress,
}

/// Of <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/netfilter.h>.
const NF_INET_INGRESS: libc::c_int = 5;

impl InetHook {
    /// `NF_INET_*`.
    #[must_use]
    pub const fn number(self) -> u32 {
        (match self {
            Self::Prerouting => libc::NF_INET_PRE_ROUTING,
            Self::Input => libc::NF_INET_LOCAL_IN,
            Self::Forward => libc::NF_INET_FORWARD,
            Self::Output => libc::NF_INET_LOCAL_OUT,
            Self::Postrouting => libc::NF_INET_POST_ROUTING,
            Self::Ingress => NF_INET_INGRESS,
        }) as u32
    }
}

/// A chain as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChainInfo {
    /// Which packets its table sees.
    pub family: Family,
    /// The table that it is in.
    pub table: String,
    /// Its name in that.
    pub name: String,
    /// The hook that the kernel calls it at, and whether a packet that reaches its end is dropped; `None` of one that
    /// other chains jump to.
    pub hook: Option<(u32, bool)>,
    /// What its maker wrote beside it.
    pub comment: Option<String>,
}

/// Lists the chains of the tables of a family.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
pub fn list(socket: &mut NftSocket, family: Family) -> Result<Vec<ChainInfo>> {
    socket.dump(
        libc::NFT_MSG_GETCHAIN,
        family,
        |_| {},
        |message, chains| {
            let Some(family) = family_of(message, libc::NFT_MSG_NEWCHAIN) else { return };
            let attributes = message.attributes_after::<NfGenMsg>();
            let text = |kind| Some(attributes.find(kind)?.text()?.to_owned());
            let number = |attribute: Option<Attribute<'_>>| attribute?.value::<u32>().map(u32::from_be);
            let hook = attributes.find(NFTA_CHAIN_HOOK);
            let hook = number(hook.and_then(|hook| hook.nested().find(NFTA_HOOK_HOOKNUM)));
            let drops = number(attributes.find(NFTA_CHAIN_POLICY)) == Some(libc::NF_DROP as u32);
            let comment = attributes.find(NFTA_CHAIN_USERDATA).and_then(|data| comment::decode(data.bytes));
            if let (Some(table), Some(name)) = (text(NFTA_CHAIN_TABLE), text(NFTA_CHAIN_NAME)) {
                let hook = hook.map(|hook| (hook, drops));
                chains.push(ChainInfo { family, table, name, hook, comment });
            }
        },
    )
}

/// Appends the making of a chain; refused with `EEXIST` if there is one of its name.
pub fn encode_create(transaction: &mut Transaction, chain: &Chain<'_>) {
    encode(transaction, chain, None);
}

/// The same, with a comment of at most [`comment::MAX`] bytes, which `nft` shows and Linux keeps from 5.10 on.
pub fn encode_create_with(transaction: &mut Transaction, chain: &Chain<'_>, comment: &str) {
    encode(transaction, chain, Some(comment));
}

fn encode(transaction: &mut Transaction, chain: &Chain<'_>, comment: Option<&str>) {
    let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
    transaction.request(libc::NFT_MSG_NEWCHAIN, flags, chain.table.family, |attributes| {
        attributes.text(NFTA_CHAIN_TABLE, chain.table.name);
        attributes.text(NFTA_CHAIN_NAME, chain.name);
        if let Some(text) = comment {
            attributes.bytes(NFTA_CHAIN_USERDATA, &comment::encode(text));
        }
        let Some(base) = &chain.base else { return };
        attributes.text(NFTA_CHAIN_TYPE, base.kind);
        attributes.nest(NFTA_CHAIN_HOOK | NESTED, |hook| {
            hook.value(NFTA_HOOK_HOOKNUM, base.hook.to_be());
            hook.value(NFTA_HOOK_PRIORITY, base.priority.to_be());
            if let Some(device) = base.device {
                hook.name(NFTA_HOOK_DEV, device);
            }
        });
        let policy = if base.drops { libc::NF_DROP } else { libc::NF_ACCEPT };
        attributes.value(NFTA_CHAIN_POLICY, (policy as u32).to_be());
    });
}

/// Appends the deletion of a chain with its rules; refused with `ENOENT` if there is none, and with `EBUSY` if a rule of
/// another chain leads to it.
pub fn encode_delete(transaction: &mut Transaction, chain: &Chain<'_>) {
    transaction.request(libc::NFT_MSG_DELCHAIN, 0, chain.table.family, |attributes| {
        attributes.text(NFTA_CHAIN_TABLE, chain.table.name);
        attributes.text(NFTA_CHAIN_NAME, chain.name);
    });
}
