//! What the program and user space agree on: names, sizes, layouts.
//!
//! Both sides compile this file, so a map's value can only change on both at once. What the compiler cannot see
//! (that the committed object was built from this very file) `cargo xtask ebpf check` compares.

mod checksum;
mod conversation;
mod egress;
mod meter;
mod pairs;
mod scope;
mod validation;
mod verdicts;
mod violations;

pub use checksum::{CAST_MARK, CHECKSUM_FIELDS, ChecksumFields, SkbAccess};
pub use conversation::{
    CONVERSATION_LINES, CONVERSATION_SEED, CONVERSATION_WAYS, CONVERSATIONS, ConversationLine,
    ConversationOwner, ConversationSeed, DATAGRAM_TIME, EGRESS_SHARERS, STREAM_TIME, conversation_home,
    conversation_ports, conversation_share, conversation_time,
};
pub use egress::{
    ASKED_PORTS, CachedDestination, EGRESS_BITS, EGRESS_CACHE, EGRESS_CACHE_LINES, EGRESS_EPOCHS,
    EGRESS_LIMIT, EGRESS_POLICIES, EGRESS_PORTS, EGRESS_RANGES, EgressEntry, EgressKey, EgressPort,
    EgressRange, EgressSlot, is_tunnel,
};
pub use meter::{
    Bucket, CLOCK_TRIES, COST_SHIFT, METERED, METERS, MOST_AMOUNT, PortMeter, PortWay, QUOTA_EVENTS,
    QuotaKind, QuotaRecord, QuotaWords, TICK_SHIFT, WayMeter, metering,
};
pub use pairs::{
    DEFAULT_PAIRS, LOST, Lost, PAIR_BITS, PAIR_GROUP, PAIR_USE, PAIRS, PairKey, PairLine, PairSender,
    PairUse, SENDERS, first_come, pair_bits, pair_home, pair_share,
};
pub use scope::{MAX_SCOPES, Passed, SCOPE_COUNTERS, SCOPED, SCOPES, ScopeCounters};
pub use validation::{
    Dropped, EVENT_LIMIT, EVENTS, GROUPS, MAX_GROUPS, POLICIES, PortRules, SNAPSHOT, VIOLATIONS,
    ViolationRecord, Violations, WINDOW_SHIFT, control,
};
pub use verdicts::{
    DEFAULT_VERDICTS, Decision, VERDICT_BITS, VERDICT_SEED, VERDICT_SENDERS, VERDICT_USE, VERDICTS,
    VerdictKey, VerdictLine, verdict_home, verdict_note,
};

/// The version of all this, below 2^15: another one where a process could not use what one of another version loaded and a
/// bridge holds.
pub const VERSION: u16 = 1;

/// The map of the ports' counters: one [`PortCounters`] per slot and CPU, see [`counter_index`].
pub const COUNTERS: &str = "COUNTERS";
/// The map from a port's ifindex (`u32`) to its slot (`u32`), or a trunk's to [`BY_TRUNK`], by which the sender of a
/// frame is known on egress.
pub const PORTS: &str = "PORTS";
/// The array that has the slots of most links of [`PORTS`]: at an ifindex's remainder, the ifindex in a word's upper half
/// and the slot in the lower. Of two that have the same place the first has it.
pub const NEAR: &str = "NEAR";
/// How many places [`NEAR`] has.
pub const NEAR_LINKS: u32 = 1 << 13;

/// The read-only global (`u32`) that says how many counter lines a slot has: one for each possible CPU.
pub const CPUS: &str = "CPUS";
/// The read-only global (`u8`) that is not 0 where a running program can be preempted by another run of itself.
pub const PREEMPTIBLE: &str = "PREEMPTIBLE";

/// The read-only global (`u32`) with which the programs at ingress mark each frame, in `skb->priority`; 0 for no mark.
pub const STAMP: &str = "STAMP";

/// The program for frames that a port receives from its namespace (the ingress hook of the host's end).
pub const INGRESS: &str = "port_ingress";
/// The program for frames that go to the namespace (the egress hook of the host's end).
pub const EGRESS: &str = "port_egress";
/// As [`INGRESS`], for a TCX link.
pub const TCX_INGRESS: &str = "tcx_ingress";
/// As [`EGRESS`], for a TCX link.
pub const TCX_EGRESS: &str = "tcx_egress";
/// The program for frames that leave a bridge of a network for another one (the egress hook of either end of a trunk).
pub const TRUNK: &str = "trunk_egress";

/// The slot of whatever has none: frames of a filter without a class id count here, and as a pair's end it stands
/// for the host itself and for ports that nobody assigned.
pub const NO_SLOT: u32 = 0;
/// What [`PORTS`] has in place of a slot for both ends of a trunk, which joins two bridges of a network: who sent a
/// frame that came in by it the frame carries, in `tc_index`.
pub const BY_TRUNK: u32 = u32::MAX;
/// The bit that [`PORTS`] has beside the slot of a bridge, at which the host receives. What comes from it comes from the
/// host.
pub const OF_HOST: u32 = 1 << 31;
/// For how many trunks [`PORTS`] has room beside the slots; a network has at most 339.
pub const MAX_TRUNKS: u32 = 1024;
/// How many slots there are unless asked otherwise.
pub const DEFAULT_SLOTS: u16 = 4096;
/// How many slots there can be: a class id has 16 bits in [`__sk_buff.tc_classid`], and slot 0 is [`NO_SLOT`].
///
/// [`__sk_buff.tc_classid`]: https://github.com/torvalds/linux/blob/v6.18/include/net/sch_generic.h
pub const MAX_SLOTS: u16 = u16::MAX;

/// Frames that passed one way.
///
/// A frame here is what the kernel hands through the stack at once. With segmentation offload that can be a train of
/// up to 64 KiB, of which the kernel's own `stats64` also count one packet; `segments` counts what it would be cut
/// into on a wire. Where the kernel itself counts at another place, [`PortCounters::cut`] and [`PortCounters::tagged`] say
/// by how much the two differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Traffic {
    /// Frames, as `stats64` counts packets.
    pub packets: u64,
    /// Bytes with their Ethernet header, as `stats64` counts them.
    pub bytes: u64,
    /// Segments: at least one per frame.
    pub segments: u64,
}

/// What was counted of one port. In the map: by one CPU, a cache line that no other CPU writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PortCounters {
    /// What the port received from its namespace: what the namespace sent.
    pub rx: Traffic,
    /// What went through the port to its namespace: what the namespace receives. A frame that the veth pair itself
    /// then drops, because the other end is down or its queue full, is in here and in `stats64`'s `tx_dropped`.
    pub tx: Traffic,
    /// How many bytes more `tx` would be if its trains were cut into their segments: the headers of all but the first. The
    /// kernel counts so where the port's link cuts them (`ethtool -K PORT tso off`, `tx off`, or native XDP inside).
    pub cut: u64,
    /// How many of the frames in `rx` had a VLAN tag. Where the sender wrote it into their bytes the kernel counted its four
    /// bytes, before it took them out; where the sender left it to its link, they never were in the bytes.
    pub tagged: u64,
}

/// Where in [`COUNTERS`] a CPU counts for a slot, with `cpus` lines per slot.
///
/// `None` if there is no such line; an index past the end of the map is for the look-up to refuse.
#[inline]
#[must_use]
pub const fn counter_index(slot: u32, cpu: u32, cpus: u32) -> Option<u32> {
    let index = slot as u64 * cpus as u64 + cpu as u64;
    if cpu < cpus && index <= u32::MAX as u64 { Some(index as u32) } else { None }
}

// The kernel sees only sizes; these hold the rest of the contract.
const _: () = {
    assert!(size_of::<Traffic>() == 24 && align_of::<Traffic>() == 8);
    assert!(size_of::<PortCounters>() == 64 && align_of::<PortCounters>() == 8);
    assert!(core::mem::offset_of!(PortCounters, rx) == 0);
    assert!(core::mem::offset_of!(PortCounters, tx) == 24);
    assert!(core::mem::offset_of!(PortCounters, cut) == 48);
    assert!(core::mem::offset_of!(PortCounters, tagged) == 56);
};

#[cfg(test)]
mod tests;
