//! Programs that a bridge holds, and that one short process after the other puts onto ports: a network plugin's.
//!
//! A filter keeps its program, and the program its maps. So two filters of the bridge itself, in a chain that no packet comes
//! to ([`tc::encode_add_held_filter`]), hold both programs for as long as there is the bridge, with no port and no process and
//! nothing in a file system. A process finds them there by the bridge's index.
//!
//! A slot belongs to whichever process writes its port into the map of policies first, by one exchange in memory that all of them
//! have mapped. So processes need no lock among each other.

use std::collections::BTreeSet;
use std::fmt;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

use aya::maps::{Array, HashMap as BpfHashMap, IterableMap, MapData, MapError};
use netns_core::tc::{self, Direction, Filter, FilterInfo};
use netns_core::wire::Batch;
use netns_core::{Error, RouteSocket};

use super::egress::HeldEgress;
use super::load::{LoadedProgram, Maps};
use super::mapped::MappedArray;
use super::meter::Meters;
use super::policy::{MappedPolicies, PORT_AT};
use super::reopen::{map_array, open_map, open_program, unreadable};
use super::{Limits, Monitor, MonitorError, Policy, Slot, settle};
use crate::layout::{self, PortCounters, PortMeter, PortRules, Traffic, Violations};

/// The chain of the filters that hold: any but 0 up to `TC_ACT_EXT_VAL_MASK` of
/// <https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/pkt_cls.h>.
const CHAIN: u32 = 0x0e65_7473;
/// The lowest of priorities, so that no other filter of the bridge seems to be after them.
const PRIORITY: u16 = u16::MAX;
/// Of the filters at ports: after the first, which an observer of the bridge takes, so that it sees what is dropped here.
const AT_PORTS: u16 = 2;
/// The bit of the filters' class id that says that the programs see where checksums will be written; the others have
/// [`layout::VERSION`].
const SEES_CHECKSUMS: u16 = 1;

/// A port's counters, as the map has them, and its violations.
type CounterWords = [u64; size_of::<PortCounters>() / size_of::<u64>()];
type ViolationWords = [u64; size_of::<Violations>() / size_of::<u64>()];
/// Its limits, and what was over them.
type MeterWords = [u64; size_of::<PortMeter>() / size_of::<u64>()];

/// Programs that a bridge holds.
///
/// Any number of processes may have those of a bridge open, and threads may share one of these. It is not dropped with the
/// programs: [`HeldMonitor::let_go`] ends the holding.
pub struct HeldMonitor {
    programs: [LoadedProgram; 2],
    /// Mapped. The others are read and written by system calls: a process of some milliseconds needs a line of each.
    policies: MappedArray,
    violations: Array<MapData, ViolationWords>,
    counters: Array<MapData, CounterWords>,
    /// `None` if the programs know no limits.
    meters: Option<Array<MapData, MeterWords>>,
    /// `None` if the programs look for no egress policies.
    egress: Option<HeldEgress>,
    ports: BpfHashMap<MapData, u32, u32>,
    /// How many slots there are, without slot 0.
    slots: u16,
    /// Counter lines per slot.
    cpus: u32,
    sees_checksums: bool,
}

const NO_VIOLATIONS: ViolationWords = [0; size_of::<Violations>() / size_of::<u64>()];

impl HeldMonitor {
    /// Opens the programs that a bridge holds; `None` if it holds none of this name.
    ///
    /// It takes `CAP_SYS_ADMIN`, as [`Monitor::reopen`].
    ///
    /// # Errors
    /// [`MonitorError::OtherLayout`] if a version put them there whose maps are laid out in another way; what the kernel
    /// refused.
    pub fn open(socket: &mut RouteSocket, bridge: u32, name: &str) -> Result<Option<Self>, MonitorError> {
        let held = held_by(socket, bridge, name)?;
        let find = |handle: u32| held.iter().find(|filter| filter.handle == handle);
        // The second one is put there last, so there are both.
        let [Some(ingress), Some(egress)] = [find(1), find(2)] else { return Ok(None) };
        let (Some(first), Some(second)) = (ingress.program_id, egress.program_id) else { return Ok(None) };
        let mark = egress.class_id.unwrap_or(0) as u16;
        if mark & !SEES_CHECKSUMS != layout::VERSION << 1 {
            return Err(MonitorError::OtherLayout { program: first });
        }
        Self::of_programs([first, second], mark & SEES_CHECKSUMS != 0).map(Some)
    }

    fn of_programs(ids: [u32; 2], sees_checksums: bool) -> Result<Self, MonitorError> {
        let (ingress, mut of_both) = open_program(ids[0])?;
        let (egress, of_egress) = open_program(ids[1])?;
        of_both.extend(of_egress);
        of_both.sort_unstable();
        of_both.dedup();
        let mut maps = std::collections::HashMap::new();
        for id in of_both {
            let opened = open_map(id).map_err(|error| unreadable(&format!("map {id}"), error))?;
            maps.extend(opened);
        }
        let mut maps = Maps(maps);
        let (policies, elements) =
            maps.take_with(layout::POLICIES, |map| map_array(&map, size_of::<PortRules>()))?;
        let violations = maps.take(layout::VIOLATIONS)?;
        let counters: Array<MapData, CounterWords> = maps.take(layout::COUNTERS)?;
        // Without limits it has one element.
        let meters: Array<MapData, MeterWords> = maps.take(layout::METERS)?;
        let meters = Some(meters).filter(|meters| meters.len() > 1);
        let slots = u16::try_from(elements.saturating_sub(1)).unwrap_or(u16::MAX);
        let cpus = counters.len() / (u32::from(slots) + 1);
        let ports = maps.take(layout::PORTS)?;
        let programs = [ingress, egress];
        let egress = HeldEgress::take(&mut maps)?;
        Ok(Self {
            programs,
            policies,
            violations,
            counters,
            meters,
            egress,
            ports,
            slots,
            cpus,
            sees_checksums,
        })
    }

    pub(super) fn egress(&self) -> Result<&HeldEgress, MonitorError> {
        self.egress.as_ref().ok_or(MonitorError::EgressOff)
    }

    pub(super) fn egress_mut(&mut self) -> Result<&mut HeldEgress, MonitorError> {
        self.egress.as_mut().ok_or(MonitorError::EgressOff)
    }

    const fn table(&self) -> MappedPolicies<'_> {
        MappedPolicies(&self.policies)
    }

    /// Whether [`Mode::Enforce`](super::Mode::Enforce) holds: the kernel let the programs see where checksums will be written.
    #[must_use]
    pub const fn can_enforce(&self) -> bool {
        self.sees_checksums
    }

    /// As [`Monitor::stamp`].
    #[must_use]
    pub fn stamp(&self) -> Option<u32> {
        Some(self.table().stamp()).filter(|stamp| *stamp != 0)
    }

    /// The ids of both programs, ingress first.
    #[must_use]
    pub fn program_ids(&self) -> [u32; 2] {
        [self.programs[0].id, self.programs[1].id]
    }

    /// Gives a port a slot, with counters at zero and without limits, in which it is judged by this policy, or counted alone.
    /// The port has to exist; if its first frame is to meet the programs ([`Self::encode_filters`]), it has to be down.
    ///
    /// # Errors
    /// [`MonitorError::SlotsExhausted`]; what the kernel refused.
    pub fn claim(&mut self, ifindex: u32, policy: Option<&Policy>) -> Result<Slot, MonitorError> {
        // Indexes are given one after the other, so mostly the first one is free.
        let first = ifindex % u32::from(self.slots.max(1));
        let tried = (0..u32::from(self.slots)).map(|step| 1 + (first + step) % u32::from(self.slots));
        let slots = || tried.clone().filter_map(|number| Slot::new(number as u16));
        let free = slots().find(|&slot| self.take(slot, 0, ifindex));
        // Before there is none left, those are taken that a process was releasing when it was killed.
        let Some(slot) = free.or_else(|| slots().find(|&slot| self.take_released(slot, ifindex))) else {
            return Err(MonitorError::SlotsExhausted { limit: self.slots });
        };
        self.table().turn_off(slot.get().into());
        self.violations
            .set(slot.get().into(), NO_VIOLATIONS, 0)
            .map_err(|error| unreadable(layout::VIOLATIONS, error))?;
        let lines = u32::from(slot.get()) * self.cpus;
        for line in lines..lines + self.cpus {
            self.counters
                .set(line, CounterWords::default(), 0)
                .map_err(|error| unreadable(layout::COUNTERS, error))?;
        }
        if let Some(meters) = &mut self.meters {
            let nothing = [0; size_of::<PortMeter>() / size_of::<u64>()];
            meters.set(slot.get().into(), nothing, 0).map_err(|error| unreadable(layout::METERS, error))?;
        }
        if let Some(egress) = &self.egress {
            egress.reset(slot);
        }
        if let Some(policy) = policy {
            self.set_policy(slot, policy)?;
        }
        self.ports
            .insert(ifindex, u32::from(slot.get()), 0)
            .map_err(|error| unreadable(layout::PORTS, error))?;
        Ok(slot)
    }

    /// Takes a slot whose word is this; whether this was the one to get it.
    fn take(&self, slot: Slot, word: u64, ifindex: u32) -> bool {
        let place = &self.policies.words(slot.get().into())[PORT_AT];
        place.compare_exchange(word, port_word(ifindex), Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn take_released(&self, slot: Slot, ifindex: u32) -> bool {
        let word = self.policies.words(slot.get().into())[PORT_AT].load(Ordering::Acquire);
        word.to_ne_bytes()[4] != 0 && self.take(slot, word, ifindex)
    }

    /// Judges a port by another policy from the next frame on. Limits and an egress policy, which it may name, are not looked at
    /// here: [`Self::set_limits`] and [`Self::set_egress`] set them. It may wait as [`Monitor::set_policy`] does. Two processes may
    /// not say it of one port at once.
    ///
    /// # Errors
    /// [`MonitorError::Kernel`] as there.
    pub fn set_policy(&self, slot: Slot, policy: &Policy) -> Result<(), MonitorError> {
        if !self.table().is_free(slot.get().into()) {
            self.table().settle().map_err(settle::unsettled)?;
        }
        self.table().write(slot.get().into(), policy);
        Ok(())
    }

    /// What a port may send; `None` if it is not judged.
    #[must_use]
    pub fn policy(&self, slot: Slot) -> Option<Policy> {
        self.table().policy(slot)
    }

    /// As [`Monitor::set_limits`].
    ///
    /// # Errors
    /// [`MonitorError::Unlimited`] if the programs were loaded without limits; what the kernel refused.
    pub fn set_limits(&self, slot: Slot, limits: &Limits) -> Result<(), MonitorError> {
        let meters = self.map_meters()?;
        if !meters.is_free(slot.get().into(), limits) {
            meters.settle().map_err(settle::unsettled)?;
        }
        meters.write(slot.get().into(), limits);
        Ok(())
    }

    /// As [`Monitor::limits`].
    ///
    /// # Errors
    /// As [`Self::set_limits`].
    pub fn limits(&self, slot: Slot) -> Result<Limits, MonitorError> {
        Ok(self.map_meters()?.limits(slot.get().into()))
    }

    /// Few processes need it.
    fn map_meters(&self) -> Result<Meters, MonitorError> {
        let Some(meters) = &self.meters else { return Err(MonitorError::Unlimited) };
        let mapped =
            MappedArray::new(meters.map().fd().as_fd(), meters.len() as usize, size_of::<PortMeter>());
        mapped.map(Meters).map_err(|error| unreadable(layout::METERS, error.into()))
    }

    /// The slot of a port, if it has one.
    #[must_use]
    pub fn slot(&self, ifindex: u32) -> Option<Slot> {
        let number = self.ports.get(&ifindex, 0).ok()?;
        let slot = Slot::new(u16::try_from(number).ok()?).filter(|slot| slot.get() <= self.slots)?;
        (self.port(slot) == Some(ifindex)).then_some(slot)
    }

    fn port(&self, slot: Slot) -> Option<u32> {
        let word = self.policies.words(slot.get().into())[PORT_AT].load(Ordering::Acquire);
        let [a, b, c, d, released, ..] = word.to_ne_bytes();
        Some(u32::from_ne_bytes([a, b, c, d])).filter(|&ifindex| ifindex != 0 && released == 0)
    }

    /// The ports that have a slot, in the slots' order, those that are gone and were not released among them.
    #[must_use]
    pub fn ports(&self) -> Vec<(Slot, u32)> {
        let slots = (1..=self.slots).filter_map(Slot::new);
        slots.filter_map(|slot| Some((slot, self.port(slot)?))).collect()
    }

    /// Takes the slots of a port back, which is gone. One that has none is no error.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn release(&mut self, ifindex: u32) -> Result<(), MonitorError> {
        // A process may have been killed between the claim and the map.
        let slots = match self.slot(ifindex) {
            Some(slot) => vec![slot],
            None => {
                self.ports().into_iter().filter(|(_, port)| *port == ifindex).map(|(slot, _)| slot).collect()
            }
        };
        match self.ports.remove(&ifindex) {
            Err(MapError::KeyNotFound) | Ok(()) => {}
            Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(unreadable(layout::PORTS, error)),
        }
        for slot in slots {
            // Another process may release it as well: the one that marks it clears it, so that nobody clears what has been
            // claimed since.
            let word = &self.policies.words(slot.get().into())[PORT_AT];
            let marked = released_word(ifindex);
            if word.compare_exchange(port_word(ifindex), marked, Ordering::AcqRel, Ordering::Relaxed).is_err()
            {
                continue;
            }
            self.table().turn_off(slot.get().into());
            self.table().forget_readers(slot.get().into());
            if let Some(egress) = &self.egress {
                egress.reset(slot);
            }
            let _ = word.compare_exchange(marked, 0, Ordering::AcqRel, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Appends the clsact qdisc and both filters of a port. Their name is what [`Self::open`] was given.
    pub fn encode_filters(&self, batch: &mut Batch, ifindex: u32, slot: Slot, name: &str) {
        tc::encode_add_clsact(batch, ifindex);
        for (direction, program) in Direction::BOTH.into_iter().zip(&self.programs) {
            let filter = Filter {
                index: ifindex,
                direction,
                priority: AT_PORTS,
                handle: 1,
                program: program.fd.as_fd(),
                name,
                class_id: slot.get(),
            };
            tc::encode_add_filter(batch, &filter);
        }
    }

    /// Whether a port has both programs, with its slot.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn is_on(&self, socket: &mut RouteSocket, ifindex: u32) -> Result<bool, MonitorError> {
        let Some(slot) = self.slot(ifindex) else { return Ok(false) };
        for (direction, program) in Direction::BOTH.into_iter().zip(&self.programs) {
            let failed = |source| MonitorError::Port { operation: "look at", ifindex, source };
            let filters = tc::list_filters(socket, ifindex, direction).map_err(failed)?;
            let is_its = |filter: &FilterInfo| {
                filter.chain == 0
                    && filter.program_id == Some(program.id)
                    && filter.class_id == Some(slot.get().into())
            };
            if !filters.iter().any(is_its) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What passed a port since it was given its slot.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn counters(&self, slot: Slot) -> Result<PortCounters, MonitorError> {
        let mut sum = PortCounters::default();
        let first = u32::from(slot.get()) * self.cpus;
        for line in first..first + self.cpus {
            let words = self.counters.get(&line, 0).map_err(|error| unreadable(layout::COUNTERS, error))?;
            let [a, b, c, d, e, f, cut, tagged] = words;
            let add = |to: &mut Traffic, packets: u64, bytes: u64, segments: u64| {
                to.packets += packets;
                to.bytes += bytes;
                to.segments += segments;
            };
            add(&mut sum.rx, a, b, c);
            add(&mut sum.tx, d, e, f);
            sum.cut += cut;
            sum.tagged += tagged;
        }
        Ok(sum)
    }

    /// What was found wrong at a port since then.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn violations(&self, slot: Slot) -> Result<Violations, MonitorError> {
        let words = self.violations.get(&slot.get().into(), 0);
        words
            .map(|words| Violations::from_words(&words))
            .map_err(|error| unreadable(layout::VIOLATIONS, error))
    }

    /// The names under which a bridge holds programs: whose they are that may judge its ports.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn holders(socket: &mut RouteSocket, bridge: u32) -> Result<BTreeSet<String>, MonitorError> {
        let held = held_filters(socket, bridge)?;
        Ok(held.into_iter().filter_map(|filter| filter.name).collect())
    }

    /// Ends the holding: the programs are gone when no port has them. One that ended before is no error.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn let_go(socket: &mut RouteSocket, bridge: u32, name: &str) -> Result<(), MonitorError> {
        let mut batch = Batch::new();
        for filter in held_by(socket, bridge, name)? {
            tc::encode_delete_held_filter(&mut batch, bridge, Direction::Ingress, &filter);
        }
        if batch.messages() == 0 {
            return Ok(());
        }
        match socket.execute(&mut batch) {
            Err(error) if !matches!(error.errno(), Some(libc::ENOENT | libc::ENODEV)) => {
                Err(failed_hold(bridge, error))
            }
            _ => Ok(()),
        }
    }
}

impl Monitor {
    /// Lets a bridge hold the programs, which has a clsact qdisc ([`tc::add_clsact`]), under a name that says whose they are,
    /// so that [`HeldMonitor::open`] finds them when this monitor is dropped. What it holds of this name is let go.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn hold(&self, socket: &mut RouteSocket, bridge: u32, name: &str) -> Result<(), MonitorError> {
        HeldMonitor::let_go(socket, bridge, name)?;
        let mut batch = Batch::new();
        let mark = layout::VERSION << 1 | if Self::can_enforce() { SEES_CHECKSUMS } else { 0 };
        for (handle, program) in [(1, &self.ingress), (2, &self.egress)] {
            let program = program.fd();
            let filter = Filter {
                index: bridge,
                direction: Direction::Ingress,
                priority: PRIORITY,
                handle,
                program,
                name,
                class_id: mark,
            };
            tc::encode_add_held_filter(&mut batch, &filter, CHAIN);
        }
        socket.execute(&mut batch).map_err(|error| failed_hold(bridge, error))
    }
}

impl fmt::Debug for HeldMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldMonitor")
            .field("programs", &self.program_ids())
            .field("slots", &self.slots)
            .field("cpus", &self.cpus)
            .finish_non_exhaustive()
    }
}

/// The filters by which a bridge holds programs of this name.
fn held_by(socket: &mut RouteSocket, bridge: u32, name: &str) -> Result<Vec<FilterInfo>, MonitorError> {
    let mut filters = held_filters(socket, bridge)?;
    filters.retain(|filter| filter.name.as_deref() == Some(name));
    Ok(filters)
}

/// Those of any name.
fn held_filters(socket: &mut RouteSocket, bridge: u32) -> Result<Vec<FilterInfo>, MonitorError> {
    let filters = tc::list_filters(socket, bridge, Direction::Ingress);
    let mut filters = filters.map_err(|error| failed_hold(bridge, error))?;
    filters.retain(|filter| filter.chain == CHAIN);
    Ok(filters)
}

const fn failed_hold(ifindex: u32, source: Error) -> MonitorError {
    MonitorError::Port { operation: "hold programs on", ifindex, source }
}

/// The word of the map of policies that says which port a slot is of.
fn port_word(ifindex: u32) -> u64 {
    let [a, b, c, d] = ifindex.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0])
}

/// The same while a process clears the slot.
fn released_word(ifindex: u32) -> u64 {
    let [a, b, c, d] = ifindex.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, 1, 0, 0, 0])
}
