//! User space: loads the programs, hands out slots, reads what was counted.

mod ahead;
mod assign;
mod attach;
mod bpf_call;
mod byte_order;
mod cast;
mod compare;
mod count;
mod egress;
mod egress_policy;
mod ends;
mod error;
mod events;
mod grace;
mod guard;
mod held;
mod held_egress;
mod hook;
mod kernel_answer;
mod kernel_types;
mod load;
mod log;
mod machine;
mod mapped;
mod meter;
mod network;
mod observe;
mod pairs;
mod policy;
mod probe;
mod reading;
mod refusal;
mod reopen;
mod scope;
mod settle;
mod since;
mod slots;
mod succession;
mod tcx;
mod test_run;
mod turn;
mod verdicts;
mod violation;

use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::maps::{HashMap, MapData};

pub use ahead::Ahead;
pub use attach::Attachment;
pub use compare::{CountedApart, Counter, CounterComparison, Difference};
pub use egress::{EgressRules, EgressTable};
pub use egress_policy::EgressPolicy;
pub use ends::Ends;
pub use error::MonitorError;
pub use events::ViolationEvent;
pub use guard::NetworkGuard;
pub use held::HeldMonitor;
pub use meter::{Limits, NoLimit, OverLimits, PortRate, Quota, QuotaEvent};
pub use observe::{
    Barred, Clsact, Inheritance, Journal, JournalClaims, JournalFile, JournalPlace, Judging, Observer,
    PolicyOf, PortChange, Station, StrayFilter, StrayFilters, Trace, programs_of_processes, stations,
};
pub use policy::{Mode, Policy};
pub use reading::{Behind, CountedBy, PortIdentity, PortReading, Reading};
pub use reopen::are_loaded;
pub use scope::scopes_of;
pub use since::{PortRates, Rate};
pub use slots::Slot;
pub use succession::Predecessors;
pub use tcx::TcxAttachment;
pub use test_run::{TestRun, test_run};
pub use verdicts::DestinationVerdict;
pub use violation::Violation;

pub use crate::layout::Lost;
use crate::layout::{self, DEFAULT_PAIRS, DEFAULT_SLOTS, PortCounters, Violations};
use egress::Egress;
use events::EventReader;
use load::LoadedProgram;
use log::LogReader;
use mapped::MappedArray;
use meter::{Meters, QuotaReader};
use pairs::PairTable;
use policy::Validation;
use scope::Scopes;
use slots::Slots;
use verdicts::VerdictTable;

/// How large a [`Monitor`] is made.
#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own to ask for")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonitorOptions {
    /// How many ports can be watched at once: 1 to 65,535, by default [`DEFAULT_SLOTS`].
    ///
    /// The kernel keeps about 1,200 bytes for each slot, and 64 more for each *possible* CPU: those that the machine could
    /// ever have, not those that it has (`/sys/devices/system/cpu/possible`). In all it is about, in bytes,
    ///
    /// ```text
    /// slots * (1,200 + 64 * possible CPUs) + 64 * pairs + 1,000,000
    /// ```
    ///
    /// so 4,096 slots take 4.6 MB on 2 possible CPUs and 38 MB on 128 (`memlock` in `/proc/PID/fdinfo` of the maps). If you
    /// know how many ports there will be, ask for so many; a bridge has at most
    /// [`MAX_PORTS`](netns_core::bridge::MAX_PORTS).
    pub slots: u16,
    /// How many pairs of ports can be distinguished, by default [`DEFAULT_PAIRS`]; 0 switches the counting of pairs off.
    ///
    /// The kernel keeps 64 bytes per pair, to the next power of two, and 2 KiB at least. N ports that all talk to each
    /// other and the host make N² pairs (a broadcast is enough). What has no room is counted: [`Monitor::lost_pairs`].
    /// Where ports come and go by the hundred each second, switching pairs off saves the work of clearing the table of
    /// those that went.
    pub pairs: u32,
    /// How many egress policies there can be ([`Monitor::add_egress`]), by default 0: then the programs look for none.
    ///
    /// With any, the kernel keeps some 6 MB for what others begin with ports, 32 KiB for each possible CPU, 80 bytes for each slot,
    /// and some 150 bytes for each network that a policy names.
    pub egress: u16,
    /// Whether the programs of [`Monitor::attach_tcx`] are loaded as well, by default not: loading takes twice as long.
    pub tcx: bool,
    /// Whether ports can have limits ([`Monitor::set_limits`]), by default not: then the programs have no code for it, and the
    /// kernel keeps 448 bytes less for each slot.
    pub limits: bool,
    /// Whether it is counted what passes ports by where it comes from and goes to ([`Monitor::scope_counters`]), by default not:
    /// then the programs have no code for it, and the kernel keeps 192 bytes less for each slot and possible CPU.
    pub scopes: bool,
    /// For how many destinations it is counted what was decided of the frames that ports sent ([`Monitor::verdicts`]), by default
    /// 0: then the programs have no code for it. [`DEFAULT_VERDICTS`](layout::DEFAULT_VERDICTS) is a good number.
    ///
    /// The kernel keeps 128 bytes for each, to the next power of two, and 32 for each slot. What has no room is counted:
    /// [`Monitor::lost_verdicts_of`].
    pub verdicts: u32,
    /// Whether every frame that the programs see at a port is marked, so that a
    /// [`Barrier`](netns_core::barrier::Barrier) can drop those that got past them; by default not.
    ///
    /// Without it, root of a user namespace inside can send what is never judged ([`netns_core::barrier`] says how). With
    /// it, a [`Network`](netns_core::network::Network) that this monitor is the program of has a barrier behind all its
    /// ports, and an [`Observer`] behind those on which a policy is enforced; a kernel without nftables for bridges
    /// refuses both. For ports of one's own there is [`Monitor::stamp`].
    ///
    /// The mark is `skb->priority`, which is 0 at a port whatever the inside sets. At the egress hook of the monitor's
    /// ports it is made 0 again. On a link of the bridge that is not one of those, and on the bridge itself, the frames
    /// have it: a `prio` or `pfifo_fast` qdisc treats it as it treats 0, and `htb` as a class that there is not.
    pub barrier: bool,
    /// Programs whose place these are to take at the ports that have them, so that each frame is judged by those or by
    /// these; by default none. It takes [`Self::barrier`], and [`JournalFile::take_over`].
    pub predecessors: Predecessors,
    /// Programs of this crate that others have on the same ports ([`Monitor::program_ids`]), as those of a topology that is up; by
    /// default none. They drop frames or pass them on, and decide on none, so what runs behind them is not hidden from: they
    /// are not [`Ahead`].
    pub beside: Vec<[u32; 2]>,
}

impl Default for MonitorOptions {
    fn default() -> Self {
        let (slots, pairs, predecessors) = (DEFAULT_SLOTS, DEFAULT_PAIRS, Predecessors::default());
        Self {
            slots,
            pairs,
            egress: 0,
            limits: false,
            scopes: false,
            verdicts: 0,
            tcx: false,
            barrier: false,
            predecessors,
            beside: Vec::new(),
        }
    }
}

/// What passed from one port to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The port that the frames came in by; `None` for the host itself and for ports without a slot.
    pub from: Option<Slot>,
    /// The port that they went to.
    pub to: Slot,
    /// Frames, counted as the kernel's `stats64` count packets.
    pub packets: u64,
    /// Bytes with their Ethernet headers.
    pub bytes: u64,
}

/// A port, and what was counted of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountedPort {
    /// Its slot.
    pub slot: Slot,
    /// Its ifindex, in the monitor's namespace.
    pub ifindex: u32,
    /// What passed since it was assigned.
    pub counters: PortCounters,
    /// What was found wrong since then, by reason: as [`Monitor::violations`].
    pub violations: Violations,
}

/// All that a monitor knows at one time. No port comes or goes between its parts; frames may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The ports that have a slot, in the slots' order.
    pub ports: Vec<CountedPort>,
    /// What passed between them: as [`Monitor::pairs`].
    pub pairs: Vec<Pair>,
    /// What passed between them and is in no pair: as [`Monitor::lost_pairs`].
    pub lost: Lost,
}

/// The programs in the kernel and the maps they count in.
///
/// [`Self::assign`] and [`Self::filters`] are for ports that are made with the programs on them, [`Self::attach`] is for
/// ports that exist, [`Self::attach_tcx`] for those of them that stay. All methods take `&self`; a monitor can be shared
/// between threads. Dropping it closes the programs and the maps; filters that still carry a program keep both alive in
/// the kernel until they are gone.
pub struct Monitor {
    ingress: LoadedProgram,
    egress: LoadedProgram,
    /// `None` in a monitor that was opened again: nothing says which program it was.
    trunk: Option<LoadedProgram>,
    /// For TCX links, ingress first; `None` unless asked for.
    tcx: Option<[LoadedProgram; 2]>,
    counters: MappedArray,
    /// Counter lines per slot.
    cpus: u32,
    ports: Mutex<AttachedPorts>,
    /// Held by the thread that waits until no program reads the rules of before, and never taken with `ports` held.
    settling: Mutex<()>,
    /// `None` if pairs are not counted.
    pairs: Option<PairTable>,
    lost: MappedArray,
    validation: Validation,
    /// `None` if no egress policies are looked for.
    destinations: Option<Egress>,
    /// `None` if ports can have no limits.
    meters: Option<Meters>,
    quota_events: Option<QuotaReader>,
    /// `None` if they are not counted.
    scopes: Option<Scopes>,
    /// `None` if they are not counted.
    verdicts: Option<VerdictTable>,
    events: EventReader,
    log: LogReader,
    /// The programs whose place ours take, where they are.
    predecessors: Vec<[u32; 2]>,
    /// Those of others that hide nothing.
    beside: Vec<[u32; 2]>,
}

/// The slots, and the kernel's map from ports to them. They change together.
#[derive(Debug)]
struct AttachedPorts {
    slots: Slots,
    limit: u16,
    map: HashMap<MapData, u32, u32>,
    /// Where the programs of TCX links look first; `None` in a monitor that was opened again.
    near: Option<MappedArray>,
    /// Ports that have a slot and a policy and are about to be attached to.
    prepared: HashSet<u32>,
}

impl AttachedPorts {
    /// Writes a port to where the programs of TCX links look first, or takes it from there.
    fn set_near(&self, ifindex: u32, slot: Option<Slot>) {
        let Some(near) = &self.near else { return };
        let [place, ..] = near.words((ifindex % layout::NEAR_LINKS) as usize) else { return };
        let word = |slot: Slot| u64::from(ifindex) << 32 | u64::from(slot.get());
        let is_its = (place.load(Ordering::Relaxed) >> 32) == u64::from(ifindex);
        match slot {
            Some(slot) if place.load(Ordering::Relaxed) == 0 => place.store(word(slot), Ordering::Relaxed),
            None if is_its => place.store(0, Ordering::Relaxed),
            _ => {}
        }
    }
}

impl Monitor {
    /// Loads the programs into the kernel.
    ///
    /// Needs `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN` (or `CAP_SYS_ADMIN`) in the initial user namespace, and Linux 5.12.
    ///
    /// # Errors
    /// [`MonitorError::Privilege`], [`MonitorError::TooOld`], [`MonitorError::Missing`] and [`MonitorError::Verifier`] say
    /// what the kernel did not want or have; [`MonitorError::is_refusal`] is true of those, and of all others after which
    /// one may go on without the programs. Of the rest, [`MonitorError::NoSlots`] if `options.slots` is 0, and
    /// [`MonitorError::Descriptors`] if file descriptors ran out.
    pub fn load(options: &MonitorOptions) -> Result<Self, MonitorError> {
        if options.slots == 0 {
            return Err(MonitorError::NoSlots);
        }
        let before = options.predecessors.stamp.filter(|_| options.barrier);
        let stamp = before.unwrap_or_else(|| if options.barrier { new_stamp() } else { 0 });
        // The verifier gives up when a signal is pending.
        let loaded = netns_core::without_signals(|| load::load(options, stamp));
        let mut monitor = loaded.and_then(Self::assemble).map_err(refusal::without_descriptors)?;
        monitor.validation.set_stamp(stamp);
        monitor.beside.clone_from(&options.beside);
        if before.is_some() {
            monitor.predecessors.clone_from(&options.predecessors.programs);
            monitor.reserve_slots(&options.predecessors.programs);
        }
        Ok(monitor)
    }

    /// What the programs mark frames with that they see at a port; `None` unless
    /// [`MonitorOptions::barrier`] asked for it. A [`Barrier`](netns_core::barrier::Barrier) takes it.
    #[must_use]
    pub fn stamp(&self) -> Option<u32> {
        Some(self.validation.stamp()).filter(|stamp| *stamp != 0)
    }

    /// Counts what a barrier has dropped ([`Barrier::unjudged`](netns_core::barrier::Barrier::unjudged)) as violations of
    /// its ports, for the reason [`Unjudged`](crate::packet::Reason::Unjudged). They are not in `dropped_rx`, since the
    /// port's counters have never seen these frames; and there are no events of them. What came in by ports without a slot
    /// is counted for slot 0.
    pub fn count_unjudged(&self, found: &[netns_core::barrier::Unjudged]) {
        let ports = self.lock();
        for unjudged in found {
            let slot = ports.slots.of_port(unjudged.port).map_or(0, Slot::get);
            self.validation.count(slot.into(), crate::packet::Reason::Unjudged, unjudged.packets);
        }
    }

    /// The program for a port's ingress hook: frames that come from its namespace.
    ///
    /// It belongs into a direct-action classifier whose class id is the port's slot ([`Slot::get`]).
    #[must_use]
    pub fn ingress_program(&self) -> BorrowedFd<'_> {
        self.ingress.fd()
    }

    /// The program for a port's egress hook: frames that go to its namespace. As [`Self::ingress_program`].
    #[must_use]
    pub fn egress_program(&self) -> BorrowedFd<'_> {
        self.egress.fd()
    }

    /// Hands what the programs had to say since the last call to the `log` facade. Rare: a full table of pairs, a filter
    /// without a slot.
    ///
    /// No thread does it: a program with a loop calls this in it.
    pub fn flush_log(&self) {
        self.log.flush();
    }

    /// A file descriptor that is readable when [`Self::flush_log`] has something to do.
    #[must_use]
    pub fn log_fd(&self) -> BorrowedFd<'_> {
        self.log.fd()
    }

    fn lock(&self) -> MutexGuard<'_, AttachedPorts> {
        // Nothing between the lock and its release can panic and leave the ports half changed.
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("ingress", &self.ingress)
            .field("egress", &self.egress)
            .field("trunk", &self.trunk)
            .field("cpus", &self.cpus)
            .field("ports", &self.ports())
            .finish_non_exhaustive()
    }
}

/// A mark that no other monitor has, in all likelihood. Its last four bits are 0, so that qdiscs which look at those treat
/// it as priority 0 (`TC_PRIO_MAX` in <https://github.com/torvalds/linux/blob/v6.18/net/sched/sch_generic.c>); and it is
/// above the handles that people and the kernel give to qdiscs, of which `htb` would take it for a class.
fn new_stamp() -> u32 {
    let random = RandomState::new().build_hasher().finish() as u32;
    0x4000_0000 | random & 0x3FFF_FFF0
}
