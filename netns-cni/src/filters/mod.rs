//! Containers in the host's packet filter: published ports, masquerading, MAC addresses.
//!
//! There is one table for IP packets and one for bridges' frames; their rules stay the same. A container has elements in their
//! sets, each with the container's name as its comment. So the kernel itself knows what belongs to a container, a transaction adds
//! all of it or nothing, and `DEL` and `GC` remove what has its comment. Where to look for that an attachment's record says.

mod kept_socket;
mod layout;
mod owner;
mod recorded;
mod removal;
mod sets;

pub(crate) use kept_socket::KeptSocket;
use owner::is_of_network;
pub(crate) use owner::{ElementOwner, StaleOwners};
pub(crate) use recorded::{begin, beginning, note_elements, note_opening, note_rules};
pub(crate) use removal::{FilterRemoval, FilterSearch};
pub(crate) use sets::{
    ADDRESSED, ALLOWED, APART, BARRED, CHECKED, HAIRPIN, HIDDEN, JUDGED, KEPT, LOCALNET, NEAR, NamedSet,
    PARTED, PORTS, SAME, SetEntry, VEILED, WALLED,
};

use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::localnet;
use netns_core::nftables::element::{self, Element, ElementInfo};
use netns_core::nftables::{Chain, Family, NftSocket, Table, Transaction, chain, set, table};
use netns_core::{Error, ErrorKind};

/// The name of both tables.
pub(crate) const NAME: &str = "netns-cni";
/// How often others may change the tables while we do.
const ATTEMPTS: u32 = 64;

/// One of the two tables, in the namespace of the calling thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FilterTable {
    /// For IP packets.
    Inet,
    /// For bridges' frames.
    Bridge,
}

impl FilterTable {
    const fn table(self) -> Table<'static> {
        let family = match self {
            Self::Inet => Family::Inet,
            Self::Bridge => Family::Bridge,
        };
        Table { family, name: NAME }
    }

    /// Its word in records.
    const fn word(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Bridge => "bridge",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Inet, Self::Bridge].into_iter().find(|table| table.word() == word)
    }

    const fn sets(self) -> &'static [NamedSet] {
        match self {
            Self::Inet => &layout::INET_SETS,
            Self::Bridge => &layout::BRIDGE_SETS,
        }
    }

    /// Adds a container's elements, all or none; makes the table if necessary.
    ///
    /// # Errors
    /// Code 100 if one of them belongs to another container: the port is already published.
    pub(crate) fn add(self, owner: &ElementOwner, network: &str, entries: &[SetEntry]) -> Outcome<()> {
        self.add_with(owner, network, entries, &[])
    }

    /// The same, with shared elements that may already be there.
    pub(crate) fn add_with(
        self,
        owner: &ElementOwner,
        network: &str,
        entries: &[SetEntry],
        common: &[SetEntry],
    ) -> Outcome<()> {
        let mut socket = KeptSocket::open()?;
        let mut replaced: Vec<&SetEntry> = Vec::new();
        for _ in 0..ATTEMPTS {
            let mut transaction = Transaction::new();
            for entry in &replaced {
                self.encode_remove(&mut transaction, entry.set, entry.key.bytes());
            }
            for entry in entries {
                let element = Element {
                    key: entry.key.bytes(),
                    data: entry.data.as_ref().map(sets::Parts::bytes),
                    comment: Some(owner.comment()),
                    ..Element::default()
                };
                element::encode_create(&mut transaction, self.table(), entry.set.name, [element].into_iter());
            }
            for entry in common {
                let key = [entry.key.bytes()];
                element::encode_add(&mut transaction, self.table(), entry.set.name, key.into_iter());
            }
            match socket.commit(&mut transaction) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    self.ensure(&mut socket)?;
                    replaced.clear();
                }
                Err(error) if error.kind() == ErrorKind::Exists => {
                    replaced = self.stale(&mut socket, owner, network, entries)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(busy())
    }

    /// The elements that are already there and may be replaced.
    fn stale<'e>(
        self,
        socket: &mut NftSocket,
        owner: &ElementOwner,
        network: &str,
        entries: &'e [SetEntry],
    ) -> Outcome<Vec<&'e SetEntry>> {
        let mut stale = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            if entries[..position].iter().any(|other| (other.set, &other.key) == (entry.set, &entry.key)) {
                let why = format!("{} is there twice", entry.words);
                return Err(CniFailure::new(FailureCode::InvalidConfig, why));
            }
            let Some(found) = self.get(socket, entry)? else { continue };
            let whose = found.comment.unwrap_or_default();
            if whose != owner.comment() && !(entry.set.replaces && is_of_network(&whose, network)) {
                let why = format!("{} is taken by {whose}", entry.words);
                return Err(CniFailure::new(FailureCode::Exists, why));
            }
            stale.push(entry);
        }
        Ok(stale)
    }

    fn get(self, socket: &mut NftSocket, entry: &SetEntry) -> Outcome<Option<ElementInfo>> {
        Ok(element::get(socket, self.table(), entry.set.name, entry.key.bytes())?)
    }

    /// Makes the table with its rules, or completes one of an earlier version.
    fn ensure(self, socket: &mut NftSocket) -> Outcome<()> {
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, self.table());
        self.encode(&mut transaction, self.sets().iter());
        match socket.commit(&mut transaction) {
            Err(error) if error.kind() == ErrorKind::Exists => self.complete(socket),
            other => Ok(other?),
        }
    }

    /// Makes the sets that the table does not have, and all rules anew, between two packets. If somebody changes any table
    /// meanwhile, it stays as it is.
    fn complete(self, socket: &mut NftSocket) -> Outcome<()> {
        let generation = socket.generation()?;
        let mut missing = Vec::new();
        for set in self.sets() {
            match element::list(socket, self.table(), set.name) {
                Err(error) if is_nothing(&error) => missing.push(set),
                other => drop(other?),
            }
        }
        if missing.is_empty() {
            // Another call has just made it.
            return Ok(());
        }
        let mut chains = chain::list(socket, self.table().family)?;
        chains.retain(|chain| chain.table == NAME);
        // Those at hooks lead to the others.
        chains.sort_by_key(|chain| chain.hook.is_none());
        let mut transaction = Transaction::for_generation(generation);
        for chain in &chains {
            let chain = Chain { table: self.table(), name: &chain.name, base: None };
            chain::encode_delete(&mut transaction, &chain);
        }
        self.encode(&mut transaction, missing.into_iter());
        match socket.commit(&mut transaction) {
            Err(error) if is_nothing(&error) || error.kind() == ErrorKind::Interrupted => Ok(()),
            other => Ok(other?),
        }
    }

    /// Appends the making of these sets, and of all rules.
    fn encode<'s>(self, transaction: &mut Transaction, sets: impl Iterator<Item = &'s NamedSet>) {
        for set in sets {
            set::encode_create_with(transaction, &set.set(self.table()), &set.options());
        }
        match self {
            Self::Inet => layout::encode_inet(transaction, self.table()),
            Self::Bridge => layout::encode_bridge(transaction, self.table()),
        }
    }

    /// The description of the first element that is missing, or has another destination.
    pub(crate) fn missing(self, owner: &ElementOwner, entries: &[SetEntry]) -> Outcome<Option<String>> {
        let mut socket = KeptSocket::open()?;
        for entry in entries {
            let found = self.get(&mut socket, entry)?;
            let is_ours = found.is_some_and(|found| {
                found.comment.as_deref() == Some(owner.comment())
                    && found.data.as_deref() == entry.data.as_ref().map(sets::Parts::bytes)
            });
            if !is_ours {
                return Ok(Some(entry.words.clone()));
            }
        }
        Ok(None)
    }

    /// The same for shared elements.
    pub(crate) fn missing_common(self, entries: &[SetEntry]) -> Outcome<Option<String>> {
        let mut socket = KeptSocket::open()?;
        for entry in entries {
            if self.get(&mut socket, entry)?.is_none() {
                return Ok(Some(entry.words.clone()));
            }
        }
        Ok(None)
    }

    /// Removes the elements of these sets whose comment is meant.
    pub(crate) fn remove(self, sets: &[NamedSet], is_meant: impl Fn(&str) -> bool) -> Outcome<()> {
        let mut socket = KeptSocket::open()?;
        removal::remove(&mut socket, |socket, transaction| {
            self.encode_removal(socket, transaction, sets, &is_meant)
        })
    }

    /// Appends the removal of the elements of these sets whose comment is meant.
    fn encode_removal(
        self,
        socket: &mut NftSocket,
        transaction: &mut Transaction,
        sets: &[NamedSet],
        is_meant: &dyn Fn(&str) -> bool,
    ) -> Outcome<()> {
        for set in sets {
            let elements = match element::list(socket, self.table(), set.name) {
                // There is no table, or it is of a version that had no such set.
                Err(error) if is_nothing(&error) => continue,
                other => other?,
            };
            for element in elements.iter().filter(|element| element.comment.as_deref().is_some_and(is_meant))
            {
                self.encode_remove(transaction, *set, &element.key);
            }
        }
        Ok(())
    }

    /// Removes from these sets the shared links that no element of `used` has at the end of its key. If somebody changes any
    /// table meanwhile, they stay.
    pub(crate) fn remove_unused(self, common: &[NamedSet], used: &[NamedSet]) -> Outcome<()> {
        let mut socket = KeptSocket::open()?;
        let generation = socket.generation()?;
        let list =
            |socket: &mut NftSocket, set: &NamedSet| match element::list(socket, self.table(), set.name) {
                Err(error) if is_nothing(&error) => Ok(Vec::new()),
                other => other,
            };
        let mut links = Vec::new();
        for set in used {
            links.extend(list(&mut socket, set)?.into_iter().filter_map(|element| link_of(&element.key)));
        }
        let mut transaction = Transaction::for_generation(generation);
        for set in common {
            for element in list(&mut socket, set)? {
                if link_of(&element.key).is_some_and(|link| !links.contains(&link)) {
                    self.encode_remove(&mut transaction, *set, &element.key);
                }
            }
        }
        if transaction.requests() == 0 {
            return Ok(());
        }
        match socket.commit(&mut transaction) {
            Err(error) if is_nothing(&error) || error.kind() == ErrorKind::Interrupted => Ok(()),
            other => Ok(other?),
        }
    }

    fn encode_remove(self, transaction: &mut Transaction, set: NamedSet, key: &[u8]) {
        element::encode_remove(transaction, self.table(), set.name, [key].into_iter());
    }

    /// Removes the table if no container has an element in it. If somebody changes any table meanwhile, it stays; so it does
    /// where a link would let packets to 127.0.0.0/8 in without it.
    pub(crate) fn tidy(self) -> Outcome<()> {
        let localnets = if self == Self::Inet { localnet::lock()? } else { Vec::new() };
        let mut links = Vec::new();
        let mut socket = KeptSocket::open()?;
        let generation = socket.generation()?;
        for set in self.sets() {
            match element::list(&mut socket, self.table(), set.name) {
                // There is no table, or it is of a version that had no such set.
                Err(error) if is_nothing(&error) => {}
                Err(error) => return Err(error.into()),
                Ok(elements) if elements.iter().any(|element| element.comment.is_some()) => return Ok(()),
                Ok(elements) if *set == LOCALNET => {
                    let indexes = elements.iter().filter_map(|element| link_of(&element.key));
                    links.extend(indexes.map(u32::from_ne_bytes));
                }
                Ok(_) => {}
            }
        }
        if self == Self::Inet && !localnet::shut(localnets, &links)? {
            return Ok(());
        }
        let mut transaction = Transaction::for_generation(generation);
        table::encode_delete(&mut transaction, self.table());
        match socket.commit(&mut transaction) {
            Err(error) if is_nothing(&error) || error.kind() == ErrorKind::Interrupted => Ok(()),
            other => Ok(other?),
        }
    }
}

/// The link at the end of a key.
fn link_of(key: &[u8]) -> Option<[u8; 4]> {
    key.last_chunk().copied()
}

/// No such table, or a kernel without any.
fn is_nothing(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Unsupported)
}

fn busy() -> CniFailure {
    CniFailure::new(FailureCode::TryLater, "the tables of the packet filter kept changing")
}

/// Code 50 where the kernel has no packet filter.
pub(crate) fn unavailable_without_filters() -> Outcome<()> {
    let asked = KeptSocket::open().and_then(|mut socket| socket.generation());
    asked.map(drop).map_err(|error| CniFailure::new(FailureCode::Unavailable, error.to_string()))
}
