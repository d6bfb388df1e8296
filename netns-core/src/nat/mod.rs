//! The way out of a network's sandboxes, and the way in to them, by nftables.
//!
//! Sandboxes have addresses that nobody but their host knows. [`Nat`] lets them out under the host's own address
//! (masquerading), and lets others in by ports of the host that are published. Both are one table of nftables for each
//! bridge, with rules whose number does not depend on how many sandboxes there are; a published port is an element of a
//! map. [`Forwarding`] has the settings of the host without which it forwards nothing.
//!
//! ```
//! use netns_core::nat::{Nat, NatOptions, PortProtocol, Publication};
//! use netns_core::{IfName, MacAddress, Namespace, RouteSocket, bridge, nat};
//!
//! # if !netns_core::is_privileged() { return Ok(()); }
//! # let host = Namespace::anonymous()?;
//! # let mut socket = RouteSocket::open_in(&host)?;
//! let mac = MacAddress([2, 0, 0, 0, 0, 1]);
//! let br0 = bridge::Bridge { index: Some(7), ..bridge::Bridge::new(IfName::new("br0")?, mac) };
//! bridge::create(&mut socket, &br0)?;
//! let subnets = vec!["10.99.0.0/24".parse()?];
//! let options = NatOptions { masquerade: true, ..NatOptions::new(7, mac, subnets) };
//! let name = nat::unused_name();
//! let made = Nat::create(&host, &name, options);
//! # let made = match made { Err(error) if error.kind() == netns_core::ErrorKind::Unsupported => return Ok(()), other => other };
//! let mut nat = made?;
//! let web = Publication::new(PortProtocol::Tcp, 8080, "10.99.0.2:80".parse().unwrap());
//! nat.publish(&web, "web")?;
//! assert_eq!(nat.published()?.len(), 1);
//! // Nobody takes away what is another's.
//! assert!(nat.withdraw(&web, "somebody else").is_err());
//! nat.withdraw(&web, "web")?;
//! nat.delete()?;
//! # Ok::<(), netns_core::Error>(())
//! ```
//!
//! # What passes
//!
//! The table has a chain at the forward hook, which judges what comes from the bridge or goes to it, and nothing else:
//!
//! - from the bridge: replies; what goes elsewhere from an address of the subnets, if it is let out; what was sent to a
//!   published port. Not from one sandbox to another by the host as a router, which isolated ports could be passed by with.
//! - to the bridge: replies, and what was sent to a published port.
//!
//! So a host that forwards because of this network does not let others route to its sandboxes. The table is made by one
//! transaction before anything is switched on, and taken away after it is switched off again: a process that is killed leaves
//! all of it or none. It stays then, as the sandboxes may, so its name belongs on record before it is made.
//!
//! # What does not
//!
//! - What others' rules drop: a packet that any chain drops is gone, whatever others say. [`Nat::blocks`] has the chains whose
//!   policy it is, with the commands that help; [`Nat::open_blocks`] puts rules of ours into them.
//! - `[::1]`: the kernel does not let packets from or to it leave the host. 127.0.0.1 only with [`NatOptions::loopback`].
//! - A port that a process of the host listens at cannot be published, but one can begin to listen at a port that is. It
//!   gets nothing.
#![forbid(unsafe_code)]

mod conflict;
mod forwarding;
mod key;
mod legacy;
mod obstacle;
mod options;
mod ports;
mod publication;
mod publish;
mod redirect;
mod rules;
mod stale;

pub use forwarding::{Forwarding, ForwardingNeeds};
pub use obstacle::ForwardBlock;
pub use options::NatOptions;
pub use ports::NatPorts;
pub use publication::{PortProtocol, Publication, Published};
pub use redirect::Redirect;

use crate::error::{Cause, Operation, SystemCall};
use crate::nftables::{Family, NftSocket, RuleNotices, Table, Transaction, rule, table};
use crate::{Error, ErrorKind, IfName, Namespace, Result, RouteSocket, link};
use std::hash::{BuildHasher, Hasher, RandomState};

/// What the names of all tables begin with.
const PREFIX: &str = "netns-nat-";

/// How many elements go into one transaction: some 60 KiB, of the 200 KiB that a socket takes at once by default.
const ELEMENTS_AT_ONCE: usize = 512;

/// The way out and in of the sandboxes on a bridge. It stays when this is dropped; [`Nat::delete`] takes it away.
///
/// It may be sent to other threads. Several processes may have the same one open and publish ports in it.
#[derive(Debug)]
pub struct Nat {
    ports: NatPorts,
    options: NatOptions,
    /// Notices of changes since it was last found whole; `None` if it is not known to be.
    notices: Option<RuleNotices>,
}

/// A name for a table that no other has: it ends with 64 random bits.
#[must_use]
pub fn unused_name() -> String {
    format!("{PREFIX}{:016x}", RandomState::new().build_hasher().finish())
}

/// The name of the table of a network that has an identity of its own.
pub(crate) fn name_of(identity: &str) -> String {
    format!("{PREFIX}{identity}")
}

impl Nat {
    /// Makes the table of this name ([`unused_name`]) in `namespace`, where the bridge is.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the kernel cannot change addresses by nftables in tables of both families (Linux 5.10);
    /// what it refused. Nothing is left then.
    pub fn create(namespace: &Namespace, name: &str, options: NatOptions) -> Result<Self> {
        let mut nat = Self::new(namespace, name, options)?;
        let mut transaction = Transaction::new();
        rules::encode(&mut transaction, table_of(name), &nat.options, Some(nat.device()?));
        let made = nat.ports.socket.commit(&mut transaction).map_err(explain);
        if made
            .as_ref()
            .is_err_and(|error| !matches!(error.cause(), Cause::Refused { .. } | Cause::Unsupported(_)))
        {
            // The answer was lost, and it may be there. The reason that matters is the first one.
            let _ = remove_from(&mut nat.ports.socket, name);
        }
        made.map(|()| nat)
    }

    /// Opens the one that another process has made by this name and with these options; `None` if there is none.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn open(namespace: &Namespace, name: &str, options: NatOptions) -> Result<Option<Self>> {
        options.check()?;
        let ports = NatPorts::open(namespace, name)?;
        Ok(ports.map(|ports| Self { ports, options, notices: None }))
    }

    /// As [`Nat::create`], in place of the one of this name, if there is one, between two packets; with what was published in
    /// that as far as it is to be kept. In a user namespace a request has a limit (`net.core.wmem_max`): what is published
    /// beyond that follows the rest.
    ///
    /// # Errors
    /// As [`Nat::create`].
    pub fn replace(
        namespace: &Namespace,
        name: &str,
        options: NatOptions,
        keep: impl Fn(&Published) -> bool,
    ) -> Result<Self> {
        let mut nat = Self::new(namespace, name, options)?;
        let mut published = match nat.published() {
            Err(error) if error.errno() == Some(libc::ENOENT) => Vec::new(),
            other => other?,
        };
        published.retain(keep);
        nat.remake(&published)?;
        nat.ports.ours = published;
        Ok(nat)
    }

    fn new(namespace: &Namespace, name: &str, options: NatOptions) -> Result<Self> {
        options.check()?;
        Ok(Self { ports: NatPorts::new(namespace, name)?, options, notices: None })
    }

    /// The name of its table, of nftables' family "inet".
    #[must_use]
    pub fn name(&self) -> &str {
        &self.ports.name
    }

    /// How it is.
    #[must_use]
    pub const fn options(&self) -> &NatOptions {
        &self.options
    }

    /// What the bridge is called now.
    fn device(&self) -> Result<IfName> {
        Ok(link::get(&mut RouteSocket::open_in(&self.ports.namespace)?, self.options.bridge)?.name)
    }

    /// Whether its rules are there, and what this handle has published. Unless somebody else changed rules of the namespace
    /// since the last call, this only looks whether there are notices.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn is_whole(&mut self) -> Result<bool> {
        let ports = &mut self.ports;
        let Some(notices) = RuleNotices::resume(&mut self.notices, &ports.socket)? else { return Ok(true) };
        let rules = rule::list(&mut ports.socket, table_of(&ports.name))?.len();
        let whole = rules == rules::count(&self.options) && ports.has_ours()?;
        self.notices = whole.then_some(notices);
        Ok(whole)
    }

    /// Makes it anew with all that is published in it, after somebody took it away or changed it (`nft flush ruleset`, a
    /// firewall that was started again), in one step as [`Nat::replace`]. What is published of others is kept if it is still
    /// there.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn restore(&mut self) -> Result<()> {
        let mut all = match self.published() {
            Err(error) if error.errno() == Some(libc::ENOENT) => Vec::new(),
            other => other?,
        };
        let missing: Vec<_> = self.ports.ours.iter().filter(|ours| !all.contains(ours)).cloned().collect();
        all.extend(missing);
        self.remake(&all)
    }

    /// Makes the table anew, with nothing else published in it than this.
    fn remake(&mut self, all: &[Published]) -> Result<()> {
        match self.remake_with(all) {
            // In a user namespace a socket's buffer has a limit.
            Err(error) if error.errno() == Some(libc::EMSGSIZE) => {
                let (first, rest) = all.split_at(all.len().min(ELEMENTS_AT_ONCE));
                self.remake_with(first)?;
                self.ports.add(rest)
            }
            other => other,
        }
    }

    /// As [`Self::remake`], between two packets.
    fn remake_with(&mut self, all: &[Published]) -> Result<()> {
        let (mut transaction, device) = (Transaction::new(), self.device()?);
        let ports = &mut self.ports;
        table::encode_clear(&mut transaction, table_of(&ports.name));
        rules::encode(&mut transaction, table_of(&ports.name), &self.options, Some(device));
        for published in all {
            key::encode_create(&mut transaction, table_of(&ports.name), published);
        }
        ports.socket.commit(&mut transaction).map_err(explain)
    }

    /// Takes it away for good. That somebody did so before is no error.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn delete(mut self) -> Result<()> {
        remove_from(&mut self.ports.socket, &self.ports.name).map(drop)
    }
}

/// Takes one away by its name, of which [`unused_name`] has made sure that it is nobody else's; whether there was one.
///
/// # Errors
/// What the kernel refused.
pub fn remove(namespace: &Namespace, name: &str) -> Result<bool> {
    match NftSocket::open_in(namespace) {
        Ok(mut socket) => remove_from(&mut socket, name),
        // Where there can be none there is none.
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

fn remove_from(socket: &mut NftSocket, name: &str) -> Result<bool> {
    let removed = match table::delete(socket, table_of(name)) {
        Ok(()) => Ok(true),
        Err(error) if error.errno() == Some(libc::ENOENT) => Ok(false),
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(false),
        Err(error) => Err(error),
    }?;
    obstacle::close(socket, name)?;
    Ok(removed)
}

/// Whether the policy of the chain FORWARD of iptables-legacy is to drop, in the namespace of the calling thread. No rule of
/// nftables lets pass what that drops.
///
/// # Errors
/// If the kernel does not say.
pub fn legacy_drops_forwarded(is_ipv4: bool) -> Result<bool> {
    let command = if is_ipv4 { "iptables-legacy" } else { "ip6tables-legacy" };
    let failed = Error::system(Operation::LookAtChains, command, SystemCall::Other("getsockopt"));
    Ok(legacy::drops(is_ipv4).map_err(failed)?.is_some())
}

const fn table_of(name: &str) -> Table<'_> {
    Table { family: Family::Inet, name }
}

/// The kernel answers `ENOENT` to kinds of chains and expressions that it was built without.
fn explain(error: Error) -> Error {
    match error.errno() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => {
            let why = format!(
                "the kernel refuses to {error}: it takes Linux 5.10 with CONFIG_NETFILTER_INGRESS, CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, \
                 CONFIG_NFT_MASQ, CONFIG_NFT_FIB_INET; for a limit of connections CONFIG_NFT_CONNLIMIT, and for ports \
                 that are redirected CONFIG_NFT_REDIR"
            );
            Error::new(Operation::MakeNat, "", Cause::Unsupported(why.into()))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests;
