//! The program's maps and globals. Their names are [`netns_packet::layout`]'s; the sizes given here are the smallest that
//! make sense, user space sets the real ones before it loads the program.

use aya_ebpf::Global;
use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, HashMap, LpmTrie, RingBuf};
use aya_ebpf::macros::btf_map;
use netns_packet::layout::{
    CachedDestination, EgressEntry, EgressSlot, Lost, MAX_GROUPS, NEAR_LINKS, PairLine, PortCounters,
    PortMeter, PortRules, QuotaRecord, ScopeCounters, ViolationRecord, Violations,
};

/// One line per slot and CPU. Mapped by user space, which so reads every port without a syscall.
#[btf_map]
pub(crate) static COUNTERS: Array<PortCounters, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The ports' slots by ifindex, written before a port exists.
#[btf_map]
pub(crate) static PORTS: HashMap<u32, u32, 1> = HashMap::new();

/// The slots of most of [`PORTS`], where the remainder of an ifindex says: the ifindex, and its slot in the lower half.
/// Mapped like [`COUNTERS`].
#[btf_map]
pub(crate) static NEAR: Array<u64, { NEAR_LINKS as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What passed between each pair. Mapped like [`COUNTERS`].
#[btf_map]
pub(crate) static PAIRS: Array<PairLine, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What [`PAIRS`] had no room for, per CPU. Mapped like [`COUNTERS`].
#[btf_map]
pub(crate) static LOST: Array<Lost, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What each port may send. Written by user space with plain stores, before the port exists and while it runs.
#[btf_map]
pub(crate) static POLICIES: Array<PortRules, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What was found wrong at each port. Mapped like [`COUNTERS`].
#[btf_map]
pub(crate) static VIOLATIONS: Array<Violations, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Which groups may not send to which. Mapped like [`POLICIES`].
#[btf_map]
pub(crate) static GROUPS: Array<u64, { MAX_GROUPS as usize }, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Which egress policy each port has, and what is known of it. Mapped like [`POLICIES`].
#[btf_map]
pub(crate) static EGRESS_PORTS: Array<EgressSlot, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// The egress policies. Each is made by user space, however large it is to be.
#[btf_map]
pub(crate) static EGRESS_POLICIES: ArrayOfMaps<LpmTrie<[u32; 4], EgressEntry, 1>, 1> = ArrayOfMaps::new();

/// How often each of them was changed. Mapped like [`POLICIES`].
#[btf_map]
pub(crate) static EGRESS_EPOCHS: Array<u64, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// What was looked up in them last, per CPU.
#[btf_map]
pub(crate) static EGRESS_CACHE: Array<CachedDestination, 1> = Array::new();

/// Events for violations.
#[btf_map]
pub(crate) static EVENTS: RingBuf<ViolationRecord, 4096> = RingBuf::new();

/// What limits each port. Mapped like [`POLICIES`].
#[btf_map]
pub(crate) static METERS: Array<PortMeter, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Events for quotas that were reached.
#[btf_map]
pub(crate) static QUOTA_EVENTS: RingBuf<QuotaRecord, 4096> = RingBuf::new();

/// Whether ports can have limits. A constant to the verifier, as [`PAIR_BITS`].
#[unsafe(no_mangle)]
pub(crate) static METERED: Global<u8> = Global::new(0);

/// Which scope addresses are of, by prefix. Written by user space while frames pass.
#[btf_map]
pub(crate) static SCOPES: LpmTrie<[u32; 4], u32, 1> = LpmTrie::new();

/// What passed each port, by scope. Mapped like [`COUNTERS`].
#[btf_map]
pub(crate) static SCOPE_COUNTERS: Array<ScopeCounters, 1, { BPF_F_MMAPABLE as usize }> = Array::new();

/// Whether scopes are counted. A constant to the verifier, as [`PAIR_BITS`].
#[unsafe(no_mangle)]
pub(crate) static SCOPED: Global<u8> = Global::new(0);

/// How many lines the table of verdicts has, as a power of two; 0 if verdicts are not counted. A constant to the verifier, as
/// [`PAIR_BITS`].
#[unsafe(no_mangle)]
pub(crate) static VERDICT_BITS: Global<u32> = Global::new(0);

/// Where that table's lines are depends on it. A constant to the verifier.
#[unsafe(no_mangle)]
pub(crate) static VERDICT_SEED: Global<u64> = Global::new(0);

/// Counter lines per slot: one for each CPU that can ever be.
#[unsafe(no_mangle)]
pub(crate) static CPUS: Global<u32> = Global::new(1);

/// How many lines [`PAIRS`] has, as a power of two; 0 if pairs are not counted. A constant to the verifier, so what is off
/// costs nothing.
#[unsafe(no_mangle)]
pub(crate) static PAIR_BITS: Global<u32> = Global::new(0);

/// Whether two runs can interleave on one CPU: see [`crate::count`].
#[unsafe(no_mangle)]
pub(crate) static PREEMPTIBLE: Global<u8> = Global::new(0);

/// What [`crate::frame::stamp`] writes; 0 for nothing. A constant to the verifier, as above.
#[unsafe(no_mangle)]
pub(crate) static STAMP: Global<u32> = Global::new(0);

/// Where the kernel keeps what is known of a frame's checksum: see [`netns_packet::layout::ChecksumFields`], whose words
/// these are; 0 if it cannot be read. Constants to the verifier.
#[unsafe(no_mangle)]
pub(crate) static CHECKSUM_FIELDS: Global<u64> = Global::new(0);

/// How many egress policies there can be; 0 if none is looked for. A constant to the verifier, as above.
#[unsafe(no_mangle)]
pub(crate) static EGRESS_LIMIT: Global<u32> = Global::new(0);

/// How many events of a port are reported in a window.
#[unsafe(no_mangle)]
pub(crate) static EVENT_LIMIT: Global<u32> = Global::new(100);
