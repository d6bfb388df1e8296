//! A monitor out of what is in the kernel: just loaded, or still there because filters hold it.

use std::collections::HashSet;
use std::os::fd::AsFd;

use aya::maps::{HashMap as BpfHashMap, Map, MapData, MapError, MapInfo, MapType};
use aya::programs::loaded_programs;

use super::egress::Egress;
use super::events::EventReader;
use super::load::{Loaded, LoadedProgram, Maps};
use super::log::LogReader;
use super::mapped::MappedArray;
use super::meter::{Meters, QuotaReader};
use super::pairs::{Bounds, PairTable};
use super::policy::Validation;
use super::scope::Scopes;
use super::slots::Slots;
use super::verdicts::VerdictTable;
use super::{AttachedPorts, Monitor, MonitorError};
use crate::layout::{
    self, EgressSlot, PairLine, PairSender, PairUse, PortCounters, PortMeter, PortRules, ScopeCounters,
    VerdictLine, Violations,
};
use std::sync::Mutex;

impl Monitor {
    /// Opens what another monitor loaded and filters hold since: the same programs, counters, policies and violations,
    /// with nothing pinned in a file system. [`Self::program_ids`] are what it is known by; filters show theirs
    /// (`tc filter show`).
    ///
    /// The ports that have a slot are read from the kernel. Two monitors of the same programs do not know of each
    /// other: only one of them may give out slots. Takes `CAP_SYS_ADMIN`; of a program's maps the kernel tells by
    /// [`bpf_prog_info`](https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/bpf.h), since Linux 4.15.
    ///
    /// # Errors
    /// [`MonitorError::Gone`] if the programs are there no more; [`MonitorError::OtherLayout`] if another version loaded
    /// them, which has other maps: new ones take their place. [`MonitorError::Load`] if they are not ours.
    ///
    /// ```no_run
    /// use netns_ebpf::Monitor;
    ///
    /// let programs = Monitor::load(&Default::default())?.program_ids();
    /// // ... filters hold the programs; the process that loaded them is gone ...
    /// let monitor = Monitor::reopen(programs)?;
    /// for (slot, ifindex) in monitor.ports() {
    ///     println!("{ifindex}: {} violations", monitor.violations(slot).total());
    /// }
    /// # Ok::<(), netns_ebpf::MonitorError>(())
    /// ```
    pub fn reopen(programs: [u32; 2]) -> Result<Self, MonitorError> {
        let [ingress, egress] = [open_program(programs[0])?, open_program(programs[1])?];
        let mut maps = std::collections::HashMap::new();
        // The egress program alone knows of pairs.
        for id in ingress.1.into_iter().chain(egress.1) {
            if let Some((name, map)) =
                open_map(id).map_err(|error| unreadable(&format!("map {id}"), error))?
            {
                maps.insert(name, map);
            }
        }
        let is_laid_out = |(name, size)| {
            let Some(Map::Array(map)) = maps.get(name) else { return true };
            map.info().is_ok_and(|info| info.value_size() as usize == size)
        };
        let sizes = [
            (layout::COUNTERS, size_of::<PortCounters>()),
            (layout::POLICIES, size_of::<PortRules>()),
            (layout::VIOLATIONS, size_of::<Violations>()),
            (layout::EGRESS_PORTS, size_of::<EgressSlot>()),
            (layout::METERS, size_of::<PortMeter>()),
            (layout::SCOPE_COUNTERS, size_of::<ScopeCounters>()),
            (layout::VERDICTS, size_of::<VerdictLine>()),
        ];
        if !sizes.into_iter().all(is_laid_out) {
            return Err(MonitorError::OtherLayout { program: programs[0] });
        }
        let log = LogReader::of_program(programs[1])?;
        let (ingress, egress) = (ingress.0, egress.0);
        Self::assemble(Loaded { maps: Maps(maps), ingress, egress, trunk: None, tcx: None, log })
    }

    /// The sizes are those that the maps were made with.
    pub(super) fn assemble(loaded: Loaded) -> Result<Self, MonitorError> {
        let Loaded { mut maps, ingress, egress, trunk, tcx, log } = loaded;
        let mut mapped = |name, size| maps.take_with(name, |map| map_array(&map, size));
        let (counters, lines) = mapped(layout::COUNTERS, size_of::<PortCounters>())?;
        let (policies, slots) = mapped(layout::POLICIES, size_of::<PortRules>())?;
        let validation = Validation {
            policies,
            violations: mapped(layout::VIOLATIONS, size_of::<Violations>())?.0,
            groups: mapped(layout::GROUPS, size_of::<u64>())?.0,
        };
        let (pairs, pair_lines) = mapped(layout::PAIRS, size_of::<PairLine>())?;
        let lost = mapped(layout::LOST, size_of::<layout::Lost>())?.0;
        // The programs of filters do not look there, and so it is not found by them.
        let near = maps.take_mapped_if_there(layout::NEAR, size_of::<u64>())?;
        let senders = maps.take_mapped_if_there(layout::SENDERS, size_of::<PairSender>())?;
        let all = maps.take_mapped_if_there(layout::PAIR_USE, size_of::<PairUse>())?;
        let bounds = senders.zip(all).map(|(senders, all)| Bounds { senders, all });
        let verdicts = maps.take_mapped_if_there(layout::VERDICTS, size_of::<VerdictLine>())?;
        let senders = maps.take_mapped_if_there(layout::VERDICT_SENDERS, size_of::<PairSender>())?;
        let all = maps.take_mapped_if_there(layout::VERDICT_USE, size_of::<PairUse>())?;
        let verdicts = verdicts.filter(|lines| lines.len() > 1).zip(senders.zip(all));
        let verdicts =
            verdicts.map(|(lines, (senders, all))| VerdictTable::new(lines, Bounds { senders, all }));
        // Without limits it has one element, and programs of 0.1.0 have none.
        let meters = maps.take_mapped_if_there(layout::METERS, size_of::<PortMeter>())?;
        let meters = meters.filter(|meters| meters.len() > 1).map(Meters);
        let quota_events = match &meters {
            Some(_) => Some(QuotaReader::new(maps.take(layout::QUOTA_EVENTS)?)?),
            None => None,
        };
        let counted = maps.take_mapped_if_there(layout::SCOPE_COUNTERS, size_of::<ScopeCounters>())?;
        let scopes = match counted.filter(|counters| counters.len() > 1) {
            Some(counters) => Some(Scopes { prefixes: Mutex::new(maps.take(layout::SCOPES)?), counters }),
            None => None,
        };
        let map: BpfHashMap<MapData, u32, u32> = maps.take(layout::PORTS)?;
        let limit = u16::try_from(slots.saturating_sub(1)).unwrap_or(u16::MAX);
        let mut slots = Slots::new(limit);
        for entry in &map {
            let (ifindex, slot) = entry.map_err(|error| unreadable(layout::PORTS, error))?;
            if slot != layout::BY_TRUNK {
                slots.restore(slot & !layout::OF_HOST, ifindex);
            }
        }
        Ok(Self {
            ingress,
            egress,
            trunk,
            tcx,
            counters,
            cpus: lines / (u32::from(limit) + 1),
            ports: Mutex::new(AttachedPorts { slots, limit, map, near, prepared: HashSet::new() }),
            settling: Mutex::new(()),
            // Where pairs are not counted, the table is a line that no group has.
            pairs: (pair_lines > 1).then(|| PairTable::new(pairs, bounds)),
            lost,
            validation,
            destinations: Egress::take(&mut maps)?,
            meters,
            quota_events,
            scopes,
            verdicts,
            events: EventReader::new(maps.take(layout::EVENTS)?)?,
            log,
            predecessors: Vec::new(),
            beside: Vec::new(),
        })
    }
}

/// Whether one of these programs ([`Monitor::program_ids`]) is still in the kernel: something holds it.
#[must_use]
pub fn are_loaded(programs: [u32; 2]) -> bool {
    loaded_programs().flatten().any(|info| programs.contains(&info.id()))
}

impl Maps {
    /// A map that not every program has, mapped.
    pub(super) fn take_mapped_if_there(
        &mut self,
        name: &'static str,
        size: usize,
    ) -> Result<Option<MappedArray>, MonitorError> {
        if !self.0.contains_key(name) {
            return Ok(None);
        }
        self.take_with(name, |map| map_array(&map, size)).map(|(array, _)| Some(array))
    }
}

/// An array, mapped, if its elements have this size; and how many they are.
pub(super) fn map_array(map: &Map, size: usize) -> Result<(MappedArray, u32), MapError> {
    let Map::Array(map) = map else { return Err(MapError::InvalidMapType { map_type: 0 }) };
    let info = map.info()?;
    if info.value_size() as usize != size {
        return Err(MapError::InvalidValueSize { size, expected: info.value_size() as usize });
    }
    Ok((MappedArray::new(map.fd().as_fd(), info.max_entries() as usize, size)?, info.max_entries()))
}

/// A program in the kernel, and the ids of its maps.
pub(super) fn open_program(id: u32) -> Result<(LoadedProgram, Vec<u32>), MonitorError> {
    let gone = || MonitorError::Gone { program: id };
    // Others' programs come and go meanwhile.
    let info = loaded_programs().flatten().find(|info| info.id() == id).ok_or_else(gone)?;
    let operation = || format!("open the program {id}");
    let failed = |error: aya::programs::ProgramError| MonitorError::Load {
        operation: operation(),
        source: error.into(),
    };
    let fd = info.fd().map_err(|_| gone())?;
    let fd = fd.as_fd().try_clone_to_owned();
    let fd = fd.map_err(|source| MonitorError::Kernel { operation: operation(), source })?;
    Ok((LoadedProgram { fd, id }, info.map_ids().map_err(failed)?.unwrap_or_default()))
}

/// A map that we know, and its name.
pub(super) fn open_map(id: u32) -> Result<Option<(String, Map)>, MapError> {
    let info = MapInfo::from_id(id)?;
    // Not `name_as_str`, which first has aya find out what the kernel can do: two dozen calls, half of them loading something.
    let name = str::from_utf8(info.name()).ok().filter(|name| Maps::NAMES.contains(name));
    let Some(name) = name else { return Ok(None) };
    let data = MapData::from_id(id)?;
    let map = match info.map_type()? {
        MapType::Array => Map::Array(data),
        MapType::Hash => Map::HashMap(data),
        MapType::RingBuf => Map::RingBuf(data),
        MapType::ArrayOfMaps => Map::ArrayOfMaps(data),
        MapType::LpmTrie => Map::LpmTrie(data),
        other => return Err(MapError::InvalidMapType { map_type: other as u32 }),
    };
    Ok(Some((name.to_owned(), map)))
}

pub(super) fn unreadable(what: &str, error: MapError) -> MonitorError {
    MonitorError::Load { operation: format!("read {what}"), source: error.into() }
}
