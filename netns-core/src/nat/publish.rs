//! Publishing ports, and withdrawing them.

use super::key::{self, MAPS, PortMap};
use super::{ELEMENTS_AT_ONCE, Nat, NatPorts, Publication, Published, conflict, stale, table_of};
use crate::error::{Cause, Operation};
use crate::nftables::{Transaction, comment, element};
use crate::{Error, Result};

/// How often a removal is tried anew, if somebody else changes rules at the same time.
const ATTEMPTS: u32 = 64;

impl NatPorts {
    /// As [`Nat::publish`](super::Nat::publish), wherever the port leads: whether the table's subnets have that address, and
    /// whether ports of 127.0.0.1 are reached, is the caller's to know.
    ///
    /// # Errors
    /// If the publication makes no sense, or the host has no such address;
    /// [`crate::ErrorKind::Exists`] if one of the ports is published already, here or by another network, or a process of
    /// the host listens at it; what the kernel refused. None of the ports is published then.
    pub fn publish(&mut self, publication: &Publication, owner: &str) -> Result<()> {
        publication.check()?;
        if owner.len() > comment::MAX {
            let why = "the owner has more than 127 bytes";
            return Err(Error::invalid(Operation::PublishPort, publication.to_string(), why));
        }
        conflict::check(self, publication)?;
        let published: Vec<_> = publication
            .each()
            .map(|publication| Published { publication, owner: owner.to_owned() })
            .collect();
        for (number, some) in published.chunks(ELEMENTS_AT_ONCE).enumerate() {
            if let Err(error) = self.add(some) {
                // Those before it. The reason that matters is the first one.
                let before = &published[..number * ELEMENTS_AT_ONCE];
                let _ = before.chunks(ELEMENTS_AT_ONCE).try_for_each(|some| self.take_back(some));
                return Err(match error.errno() {
                    Some(libc::EEXIST) => {
                        let why = "one of the ports was published meanwhile";
                        Error::new(Operation::PublishPort, publication.to_string(), Cause::Exists(why.into()))
                    }
                    _ => error,
                });
            }
        }
        if let Err(error) = stale::forget_unpublished(self, publication) {
            // As above.
            let _ = published.chunks(ELEMENTS_AT_ONCE).try_for_each(|some| self.take_back(some));
            return Err(error);
        }
        self.ours.extend(published);
        Ok(())
    }

    /// Adds elements, as many at a time as a datagram has room for.
    pub(super) fn add(&mut self, published: &[Published]) -> Result<()> {
        for some in published.chunks(ELEMENTS_AT_ONCE) {
            let mut transaction = Transaction::new();
            for published in some {
                key::encode_create(&mut transaction, self.table(), published);
            }
            self.socket.commit(&mut transaction)?;
        }
        Ok(())
    }

    /// Removes elements that this call has made.
    fn take_back(&mut self, published: &[Published]) -> Result<()> {
        let mut transaction = Transaction::new();
        for one in published {
            key::encode_remove(&mut transaction, self.table(), &one.publication);
        }
        self.socket.commit(&mut transaction)
    }

    /// Withdraws ports that `owner` has published so. Connections by them end as far as they can: those of UDP at once, those of
    /// TCP when the sandbox ends.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if one of them is not published so; [`crate::ErrorKind::Busy`] if it is another's or
    /// leads elsewhere; what the kernel refused. None of the ports is withdrawn then, unless it is connections that it did not
    /// list or forget ([`Operation::ListConnections`], [`Operation::ForgetConnection`]): the ports are withdrawn then, and the
    /// next withdrawal tries again to end connections by them.
    pub fn withdraw(&mut self, publication: &Publication, owner: &str) -> Result<()> {
        publication.check()?;
        let failed = |cause| Error::new(Operation::UnpublishPort, publication.to_string(), cause);
        self.remove(|ports| {
            let mut found = Vec::new();
            for one in publication.each() {
                let map = PortMap::of(&one);
                let element =
                    element::get(&mut ports.socket, table_of(&ports.name), map.name, &key::key(&one))?;
                let published = element.and_then(|element| map.read(&element));
                match published {
                    None => return Err(failed(Cause::NotFound("it is not published".into()))),
                    Some(other) if other.owner != owner => {
                        let why = format!("port {} is published by {:?}", one.port, other.owner);
                        return Err(failed(Cause::Busy(why.into())));
                    }
                    Some(other) if other.publication.to != one.to => {
                        let why = format!("port {} leads to {}", one.port, other.publication.to);
                        return Err(failed(Cause::Busy(why.into())));
                    }
                    Some(published) => found.push(published),
                }
            }
            Ok(found)
        })
        .map(drop)
    }

    /// Withdraws all ports that `owner` has published; which those were.
    ///
    /// # Errors
    /// What the kernel refused, as of [`Self::withdraw`].
    pub fn withdraw_all(&mut self, owner: &str) -> Result<Vec<Published>> {
        self.remove(|ports| {
            let mut all = ports.published()?;
            all.retain(|published| published.owner == owner);
            Ok(all)
        })
    }

    /// Withdraws what this handle has published for `owner`.
    pub(super) fn withdraw_ours(&mut self, owner: &str) -> Result<()> {
        self.forget_stale()?;
        if self.ours.iter().all(|ours| ours.owner != owner) {
            return Ok(());
        }
        let removed = self.remove(|ports| {
            let mut found = Vec::new();
            for ours in ports.ours.iter().filter(|ours| ours.owner == owner) {
                let map = PortMap::of(&ours.publication);
                let key = key::key(&ours.publication);
                let element = element::get(&mut ports.socket, table_of(&ports.name), map.name, &key)?;
                found.extend(element.and_then(|element| map.read(&element)).filter(|there| there == ours));
            }
            Ok(found)
        });
        removed?;
        self.ours.retain(|ours| ours.owner != owner);
        Ok(())
    }

    /// Everything that is published, each port by itself.
    ///
    /// # Errors
    /// `ENOENT` if somebody took the table away.
    pub fn published(&mut self) -> Result<Vec<Published>> {
        let mut all = Vec::new();
        for map in MAPS {
            let elements = element::list(&mut self.socket, table_of(&self.name), map.name)?;
            all.extend(elements.iter().filter_map(|element| map.read(element)));
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Removes what `find` finds, unless somebody changes rules between the look and the removal: then it looks again.
    fn remove(&mut self, find: impl Fn(&mut Self) -> Result<Vec<Published>>) -> Result<Vec<Published>> {
        for attempt in 0.. {
            let generation = self.socket.generation()?;
            let found = find(self)?;
            if found.is_empty() {
                return Ok(found);
            }
            let mut transaction = Transaction::for_generation(generation);
            for published in &found {
                key::encode_remove(&mut transaction, self.table(), &published.publication);
            }
            match self.socket.commit(&mut transaction) {
                Err(error) if error.errno() == Some(libc::ERESTART) && attempt < ATTEMPTS => continue,
                other => other?,
            }
            self.ours.retain(|ours| !found.contains(ours));
            self.stale.extend(found.iter().map(|published| published.publication));
            return self.forget_stale().map(|()| found);
        }
        Ok(Vec::new())
    }

    /// Has the kernel forget connections by ports that are withdrawn, those that it did not forget before included.
    fn forget_stale(&mut self) -> Result<()> {
        let mut outcome = Ok(());
        for publication in std::mem::take(&mut self.stale) {
            if let Err(error) = stale::forget_withdrawn(self, &publication) {
                self.stale.push(publication);
                outcome = outcome.and(Err(error));
            }
        }
        outcome
    }

    /// Whether what this handle has published is there.
    pub(super) fn has_ours(&mut self) -> Result<bool> {
        if self.ours.is_empty() {
            return Ok(true);
        }
        match self.published() {
            Err(error) if error.errno() == Some(libc::ENOENT) => Ok(false),
            other => other.map(|all| self.ours.iter().all(|ours| all.contains(ours))),
        }
    }
}

impl Nat {
    /// Publishes ports of the host. They stay published until they are withdrawn or the table is taken away.
    ///
    /// The owner is a word of the caller's, at most 127 bytes, by which nobody else withdraws them; `nft` shows it.
    ///
    /// # Errors
    /// If the publication makes no sense, or it leads to none of the subnets, or the host has no such address;
    /// [`crate::ErrorKind::Exists`] if one of the ports is published already, here or by another network, or a process of
    /// the host listens at it; what the kernel refused. None of the ports is published then.
    pub fn publish(&mut self, publication: &Publication, owner: &str) -> Result<()> {
        self.check(publication)?;
        self.ports.publish(publication, owner)
    }

    /// Withdraws ports that `owner` has published so. Connections by them end as far as they can: those of UDP at once, those of
    /// TCP when the sandbox ends.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] if one of them is not published so; [`crate::ErrorKind::Busy`] if it is another's or
    /// leads elsewhere; what the kernel refused. None of the ports is withdrawn then, unless it is connections that it did not
    /// list or forget ([`Operation::ListConnections`], [`Operation::ForgetConnection`]): the ports are withdrawn then, and the
    /// next withdrawal tries again to end connections by them.
    pub fn withdraw(&mut self, publication: &Publication, owner: &str) -> Result<()> {
        self.ports.withdraw(publication, owner)
    }

    /// Withdraws all ports that `owner` has published; which those were.
    ///
    /// # Errors
    /// What the kernel refused, as of [`Self::withdraw`].
    pub fn withdraw_all(&mut self, owner: &str) -> Result<Vec<Published>> {
        self.ports.withdraw_all(owner)
    }

    /// Withdraws what this handle has published for `owner`.
    pub(crate) fn withdraw_ours(&mut self, owner: &str) -> Result<()> {
        self.ports.withdraw_ours(owner)
    }

    /// Everything that is published, each port by itself.
    ///
    /// # Errors
    /// `ENOENT` if somebody took the table away.
    pub fn published(&mut self) -> Result<Vec<Published>> {
        self.ports.published()
    }

    /// Whether a publication makes sense here.
    fn check(&self, publication: &Publication) -> Result<()> {
        publication.check()?;
        let refused =
            |why: &'static str| Err(Error::invalid(Operation::PublishPort, publication.to_string(), why));
        if !self.options.subnets.iter().any(|subnet| subnet.contains(publication.to.ip())) {
            return refused("it leads to none of the network's subnets");
        }
        match publication.address {
            Some(address) if address.is_loopback() && !self.options.loopback => {
                refused("it takes the option that published ports are reached at 127.0.0.1")
            }
            _ => Ok(()),
        }
    }
}
