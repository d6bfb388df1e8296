//! Egress policies of programs that a bridge holds: without what a process would have to remember between two calls.

use std::sync::atomic::Ordering;

use aya::maps::{ArrayOfMaps, MapData, MapError};

use super::rules::{EgressRules, EgressTable};
use super::trie::{self, EgressTrie};
use super::{EgressPorts, TEMPORARY, failed};
use crate::layout::{self, EgressEntry, EgressPort};
use crate::monitor::egress_policy::EgressPolicy;
use crate::monitor::load::Maps;
use crate::monitor::mapped::MappedArray;
use crate::monitor::{MonitorError, Slot};
use crate::packet::EgressPrefix;

/// The maps of egress policies, of which a process of some milliseconds reads and writes a word or two.
pub(in crate::monitor) struct HeldEgress {
    ports: EgressPorts,
    array: ArrayOfMaps<MapData, EgressTrie>,
    epochs: MappedArray,
}

impl HeldEgress {
    /// Takes the maps; `None` if no policies are looked for.
    pub(in crate::monitor) fn take(maps: &mut Maps) -> Result<Option<Self>, MonitorError> {
        let Some(ports) = EgressPorts::take(maps)? else { return Ok(None) };
        let array = maps.take(layout::EGRESS_POLICIES)?;
        let epochs = maps.take_mapped_if_there(layout::EGRESS_EPOCHS, size_of::<u64>())?;
        Ok(epochs.map(|epochs| Self { ports, array, epochs }))
    }

    /// Forgets what was of a slot, and what others began with its port.
    pub(in crate::monitor) fn reset(&self, slot: Slot) {
        self.ports.reset(slot);
    }

    /// How many policies there can be.
    pub(in crate::monitor) fn limit(&self) -> u16 {
        u16::try_from(self.array.len()).unwrap_or(u16::MAX)
    }

    /// Puts a policy into a place that there is.
    pub(in crate::monitor) fn install(
        &mut self,
        place: EgressPolicy,
        rules: &EgressRules,
    ) -> Result<(), MonitorError> {
        let table = rules.compile().map_err(|full| MonitorError::EgressFull { prefix: full })?;
        let failed = |error| failed("replace an egress policy", error);
        let room = u32::try_from(table.entries().len()).unwrap_or(u32::MAX).saturating_add(TEMPORARY);
        let trie = trie::create(room, table.entries()).map_err(failed)?;
        self.array.set(place.place(), &trie, 0).map_err(failed)?;
        // The kernel has waited until no program reads the trie of before.
        self.epochs.words(place.place() as usize)[0].fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// What a policy says, read back from the kernel.
    pub(in crate::monitor) fn table(&self, place: EgressPolicy) -> Result<EgressTable, MonitorError> {
        let trie = match self.array.get(&place.place(), 0) {
            Err(MapError::KeyNotFound) => {
                return Err(MonitorError::NoEgressPolicy { policy: place.get() });
            }
            other => other.map_err(|error| failed("open an egress policy", error))?,
        };
        let entry = |element: Result<_, MapError>| {
            let (key, words) = element?;
            Ok((EgressPrefix::from_key(trie::key_of(&key)), EgressEntry::from_words(words)))
        };
        let entries: Result<Vec<_>, MapError> = trie.iter().map(entry).collect();
        Ok(EgressTable::lasting(entries.map_err(|error| failed("read an egress policy", error))?))
    }

    /// The policy of a slot's port, by its number, 0 for none; and whether it is enforced.
    pub(in crate::monitor) fn of(&self, slot: Slot) -> (u16, bool) {
        let port = self.ports.port(slot.get().into());
        (port.policy, port.is_enforced)
    }

    /// Gives a slot's port a policy, as [`Self::of`] has it.
    pub(in crate::monitor) fn give(&self, slot: Slot, (policy, is_enforced): (u16, bool)) {
        let before = self.ports.port(slot.get().into());
        self.ports.set_port(slot.get().into(), EgressPort { policy, is_enforced, ..before });
    }
}
