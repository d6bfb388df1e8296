//! Egress policies: where ports may send to. Objects of their own, which any number of ports share.

mod held;
mod rules;
mod temporary;
mod trie;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aya::maps::{ArrayOfMaps, MapData, MapError};

pub(super) use held::HeldEgress;
pub use rules::{EgressRules, EgressTable};

use super::egress_policy::EgressPolicy;
use super::load::Maps;
use super::mapped::MappedArray;
use super::{Mode, Monitor, MonitorError, Slot};
use crate::layout::{self, EgressEntry, EgressPort, EgressSlot, NO_SLOT};
use crate::packet::{EgressList, EgressPrefix};
use temporary::TemporaryAddresses;
use trie::EgressTrie;

/// How many temporary entries a policy has room for beside those that it is made of.
const TEMPORARY: u32 = 65_536;

/// The maps of egress policies, and what is known of each policy.
#[derive(Debug)]
pub(super) struct Egress {
    ports: EgressPorts,
    policies: Mutex<EgressTries>,
}

#[derive(Debug)]
struct EgressTries {
    array: ArrayOfMaps<MapData, EgressTrie>,
    /// How often each was changed.
    epochs: MappedArray,
    known: HashMap<EgressPolicy, KnownEgress>,
}

/// A policy.
#[derive(Debug)]
struct KnownEgress {
    trie: EgressTrie,
    lists: Vec<EgressList>,
    temporary: TemporaryAddresses,
}

impl Egress {
    /// Takes the maps; `None` if no policies are looked for.
    pub(super) fn take(maps: &mut Maps) -> Result<Option<Self>, MonitorError> {
        let Some(ports) = EgressPorts::take(maps)? else { return Ok(None) };
        let array: ArrayOfMaps<MapData, EgressTrie> = maps.take(layout::EGRESS_POLICIES)?;
        let Some(epochs) = maps.take_mapped_if_there(layout::EGRESS_EPOCHS, size_of::<u64>())? else {
            return Ok(None);
        };
        // Those of the process before.
        let mut known = HashMap::new();
        for number in 1..=u16::try_from(array.len()).unwrap_or(u16::MAX) {
            let policy = EgressPolicy(number);
            match array.get(&policy.place(), 0) {
                // Which lists it refuses is not known any more: in doubt, all of them.
                Ok(trie) => {
                    let lists = EgressList::ALL.to_vec();
                    known.insert(policy, KnownEgress { trie, lists, temporary: TemporaryAddresses::new() });
                }
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(failed("open an egress policy", error)),
            }
        }
        Ok(Some(Self { ports, policies: Mutex::new(EgressTries { array, epochs, known }) }))
    }

    /// Forgets what was of a slot, and what others began with its port.
    pub(super) fn reset(&self, slot: Slot) {
        self.ports.reset(slot);
    }

    fn port(&self, slot: usize) -> EgressPort {
        self.ports.port(slot)
    }

    fn set_port(&self, slot: usize, port: EgressPort) {
        self.ports.set_port(slot, port);
    }

    fn lock(&self) -> MutexGuard<'_, EgressTries> {
        // A policy is known before it is in the kernel's array and after it is in it; nothing in between panics.
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which policy each port has.
#[derive(Debug)]
struct EgressPorts {
    /// An [`EgressSlot`] for each slot.
    slots: MappedArray,
    /// How many of them have a policy.
    sharers: MappedArray,
}

impl EgressPorts {
    /// Takes the maps; `None` if no policies are looked for.
    fn take(maps: &mut Maps) -> Result<Option<Self>, MonitorError> {
        let slots = maps.take_mapped_if_there(layout::EGRESS_PORTS, size_of::<EgressSlot>())?;
        let sharers = maps.take_mapped_if_there(layout::EGRESS_SHARERS, size_of::<u64>())?;
        let slots = slots.filter(|slots| slots.len() > 1);
        Ok(slots.zip(sharers).map(|(slots, sharers)| Self { slots, sharers }))
    }

    /// Forgets what was of a slot, and what others began with its port.
    fn reset(&self, slot: Slot) {
        let generation = self.port(slot.get().into()).generation.wrapping_add(1);
        self.set_port(slot.get().into(), EgressPort { generation, ..EgressPort::default() });
        // Of the generation before, nothing is taken back any more.
        for word in &self.slots.words(slot.get().into())[1..] {
            word.store(0, Ordering::Relaxed);
        }
    }

    fn port(&self, slot: usize) -> EgressPort {
        EgressPort::from_word(self.slots.words(slot)[0].load(Ordering::Relaxed))
    }

    fn set_port(&self, slot: usize, port: EgressPort) {
        let before = EgressPort::from_word(self.slots.words(slot)[0].swap(port.to_word(), Ordering::AcqRel));
        // What others began is shared by those that have a policy.
        let sharers = &self.sharers.words(0)[0];
        match (before.policy, port.policy) {
            (0, 1..) => sharers.fetch_add(1, Ordering::Relaxed),
            (1.., 0) => sharers.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

impl EgressTries {
    /// What the programs remember of a policy is of no use any more.
    fn changed(&self, policy: EgressPolicy) {
        self.epochs.words(policy.place() as usize)[0].fetch_add(1, Ordering::SeqCst);
    }

    /// Puts a policy's trie where the program looks for it, in the place of the one that was there.
    fn install(&mut self, policy: EgressPolicy, rules: &EgressRules) -> Result<(), MonitorError> {
        let table = rules.compile().map_err(|full| MonitorError::EgressFull { prefix: full })?;
        let room = u32::try_from(table.entries().len()).unwrap_or(u32::MAX).saturating_add(TEMPORARY);
        let failed = |error| failed("replace an egress policy", error);
        let mut trie = trie::create(room, table.entries()).map_err(failed)?;
        let (now, mut temporary) = (trie::now(), TemporaryAddresses::new());
        for (&address, known) in self.known.get(&policy).iter().flat_map(|known| &known.temporary) {
            if known.until > now && !rules.lists_contain(address) {
                let until = (address, known.until);
                temporary::allow(&mut trie, &mut temporary, until, rules.refuses_tunnels())
                    .map_err(failed)?;
            }
        }
        self.array.set(policy.place(), &trie, 0).map_err(failed)?;
        // The kernel has waited until no program reads the trie of before.
        self.changed(policy);
        self.known.insert(policy, KnownEgress { trie, lists: rules.lists().collect(), temporary });
        Ok(())
    }
}

fn failed(operation: &str, error: MapError) -> MonitorError {
    MonitorError::Load { operation: operation.to_owned(), source: error.into() }
}

impl Monitor {
    fn destinations(&self) -> Result<&Egress, MonitorError> {
        self.destinations.as_ref().ok_or(MonitorError::EgressOff)
    }

    /// Makes an egress policy: where ports may send to that are given it ([`Policy::egress`](super::Policy::egress)).
    ///
    /// ```no_run
    /// use netns_ebpf::{EgressRules, Mode, Monitor, MonitorOptions};
    ///
    /// let monitor = Monitor::load(&MonitorOptions { egress: 16, ..MonitorOptions::default() })?;
    /// let rules = EgressRules::new()
    ///     .with("allow 10.1.1.0/24".parse()?) // the bridge: the host there, and the other ports
    ///     .with("deny any tcp/25".parse()?);
    /// let policy = monitor.add_egress(&rules)?;
    /// let slot = monitor.assign(7)?;
    /// monitor.set_egress(slot, Some((policy, Mode::Enforce)))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`MonitorError::EgressOff`] unless [`MonitorOptions::egress`](super::MonitorOptions::egress) asked for policies,
    /// [`MonitorError::EgressPolicies`] if there are as many as it asked for, [`MonitorError::EgressFull`] if there are more
    /// ranges for a network than there is room for, and what the kernel says.
    pub fn add_egress(&self, rules: &EgressRules) -> Result<EgressPolicy, MonitorError> {
        let mut policies = self.destinations()?.lock();
        let limit = u16::try_from(policies.array.len()).unwrap_or(u16::MAX);
        let free = (1..=limit).map(EgressPolicy).find(|policy| !policies.known.contains_key(policy));
        let policy = free.ok_or(MonitorError::EgressPolicies { limit })?;
        policies.install(policy, rules)?;
        Ok(policy)
    }

    /// Replaces a policy, for all ports that have it, while frames pass: each is judged by all of the old one or by all of the
    /// new one. When this returns, none is judged by the old one any more. What is allowed for a while stays so, unless the new
    /// one refuses it by a list.
    ///
    /// # Errors
    /// [`MonitorError::NoEgressPolicy`] if there is no such policy; else as [`Self::add_egress`], and then the old one holds.
    pub fn replace_egress(&self, policy: EgressPolicy, rules: &EgressRules) -> Result<(), MonitorError> {
        let mut policies = self.destinations()?.lock();
        if !policies.known.contains_key(&policy) {
            return Err(MonitorError::NoEgressPolicy { policy: policy.get() });
        }
        policies.install(policy, rules)
    }

    /// Takes a policy away that no port has. What [`Self::set_unassigned_egress`] gave it to is refused everything then.
    ///
    /// # Errors
    /// [`MonitorError::NoEgressPolicy`] if there is none, [`MonitorError::EgressInUse`] if a port has it.
    pub fn remove_egress(&self, policy: EgressPolicy) -> Result<(), MonitorError> {
        let ports = self.lock();
        let egress = self.destinations()?;
        let user = ports.slots.used().find(|(slot, _)| egress.port(slot.get().into()).policy == policy.get());
        if let Some((slot, _)) = user {
            return Err(MonitorError::EgressInUse { policy: policy.get(), slot });
        }
        let mut policies = egress.lock();
        policies.known.remove(&policy).ok_or(MonitorError::NoEgressPolicy { policy: policy.get() })?;
        // An array of maps forgets none by aya; an empty one refuses everything and is small.
        let empty = trie::create(1, &[]).map_err(|error| failed("empty an egress policy", error))?;
        let emptied = policies.array.set(policy.place(), &empty, 0);
        policies.changed(policy);
        emptied.map_err(|error| failed("empty an egress policy", error))
    }

    /// What a policy says, read back from the kernel, without what is allowed for a while: what [`EgressRules::compile`] made of
    /// its rules. Two system calls for each network in it.
    ///
    /// # Errors
    /// [`MonitorError::NoEgressPolicy`] if there is no such policy, and what the kernel says.
    pub fn egress_table(&self, policy: EgressPolicy) -> Result<EgressTable, MonitorError> {
        let policies = self.destinations()?.lock();
        let known =
            policies.known.get(&policy).ok_or(MonitorError::NoEgressPolicy { policy: policy.get() })?;
        let entry = |element: Result<_, MapError>| {
            let (key, words) = element?;
            Ok((EgressPrefix::from_key(trie::key_of(&key)), EgressEntry::from_words(words)))
        };
        let entries: Result<Vec<_>, MapError> = known.trie.iter().map(entry).collect();
        Ok(EgressTable::lasting(entries.map_err(|error| failed("read an egress policy", error))?))
    }

    /// The egress policies that there are.
    #[must_use]
    pub fn egress_policies(&self) -> Vec<EgressPolicy> {
        let Some(destinations) = &self.destinations else { return Vec::new() };
        let mut policies: Vec<_> = destinations.lock().known.keys().copied().collect();
        policies.sort_unstable();
        policies
    }

    /// Whether egress policies are looked for: [`MonitorOptions::egress`](super::MonitorOptions::egress) asked for some.
    #[must_use]
    pub const fn has_egress(&self) -> bool {
        self.destinations.is_some()
    }

    /// Allows what goes to these addresses for a while, whatever the protocol, as somebody needs who learns addresses from
    /// answers of the DNS. It ends by itself; until then a later call can make it longer. All other rules stay.
    ///
    /// Returns the addresses that were not allowed, because they are in a list that the policy refuses
    /// ([`EgressList`]): nobody may open `metadata` or `private` by a name that resolves to it. A monitor that was opened again does
    /// not know which lists that are, and takes it to be all until the policy is replaced.
    ///
    /// # Errors
    /// [`MonitorError::NoEgressPolicy`] if there is no such policy; what the kernel says, of more than 65,536 addresses at a
    /// time `ENOSPC`. Those before the one that failed are allowed.
    pub fn allow_egress_for(
        &self,
        policy: EgressPolicy,
        addresses: &[IpAddr],
        time: Duration,
    ) -> Result<Vec<IpAddr>, MonitorError> {
        let mut policies = self.destinations()?.lock();
        let known =
            policies.known.get_mut(&policy).ok_or(MonitorError::NoEgressPolicy { policy: policy.get() })?;
        let now = trie::now();
        let until = now.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)).max(1);
        let is_listed = |address: &IpAddr| rules::are_listed(&known.lists, *address);
        let (refused, allowed): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.iter().partition(|address| is_listed(address));
        let no_tunnels = known.lists.contains(&EgressList::Tunnels);
        let allow = || {
            let KnownEgress { trie, temporary, .. } = known;
            if temporary.len() + allowed.len() > TEMPORARY as usize {
                // What is over is taken out only when there is need for room.
                temporary::sweep(trie, temporary, now)?;
            }
            for address in allowed {
                let until = temporary.get(&address).map_or(until, |known| until.max(known.until));
                temporary::allow(trie, temporary, (address, until), no_tunnels)?;
            }
            Ok(())
        };
        let outcome = allow();
        policies.changed(policy);
        outcome.map_err(|error| failed("allow addresses in an egress policy", error))?;
        Ok(refused)
    }

    /// Gives a port an egress policy, and says what is done about what it refuses; `None` takes it away. A store to memory, and no
    /// system call. Of a port that is about to be made it is said between [`Self::assign`] and the making.
    ///
    /// For ports that are not judged, and for a mode of its own: a [`Policy`](super::Policy) names one itself
    /// ([`Policy::egress`](super::Policy::egress)), and [`Self::set_policy`] and [`Self::clear_policy`] take away what was given here.
    ///
    /// # Errors
    /// [`MonitorError::EgressOff`], [`MonitorError::NotAssigned`] and [`MonitorError::NoEgressPolicy`].
    pub fn set_egress(&self, slot: Slot, egress: Option<(EgressPolicy, Mode)>) -> Result<(), MonitorError> {
        let ports = self.lock();
        ports.slots.port(slot).ok_or(MonitorError::NotAssigned { slot })?;
        self.write_egress(slot.get().into(), egress)
    }

    /// As [`Self::set_egress`], for frames of filters of ours whose class id is 0: those of [`Self::test_run`].
    ///
    /// # Errors
    /// [`MonitorError::EgressOff`] and [`MonitorError::NoEgressPolicy`].
    pub fn set_unassigned_egress(&self, egress: Option<(EgressPolicy, Mode)>) -> Result<(), MonitorError> {
        self.write_egress(NO_SLOT as usize, egress)
    }

    pub(super) fn write_egress(
        &self,
        slot: usize,
        policy: Option<(EgressPolicy, Mode)>,
    ) -> Result<(), MonitorError> {
        if policy.is_none() && self.destinations.is_none() {
            return Ok(());
        }
        let egress = self.destinations()?;
        let before = egress.port(slot);
        // As long as this is held, nobody takes the policy away.
        let policies = egress.lock();
        let port = match policy {
            None => EgressPort { policy: 0, ..before },
            Some((policy, mode)) => {
                if !policies.known.contains_key(&policy) {
                    return Err(MonitorError::NoEgressPolicy { policy: policy.get() });
                }
                EgressPort { policy: policy.get(), is_enforced: mode == Mode::Enforce, ..before }
            }
        };
        egress.set_port(slot, port);
        drop(policies);
        Ok(())
    }

    /// Which egress policy a port has, and what is done about what it refuses. Loads from memory, and no system call.
    ///
    /// # Panics
    /// If the slot is not one of this monitor's.
    #[must_use]
    pub fn egress_of(&self, slot: Slot) -> Option<(EgressPolicy, Mode)> {
        self.egress_at(slot.get().into())
    }

    pub(super) fn egress_at(&self, slot: usize) -> Option<(EgressPolicy, Mode)> {
        let EgressPort { policy, is_enforced, .. } = self.destinations.as_ref()?.port(slot);
        let mode = if is_enforced { Mode::Enforce } else { Mode::Observe };
        (policy != 0).then_some((EgressPolicy(policy), mode))
    }
}
