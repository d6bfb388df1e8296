//! What the program and user space agree on for validation.

use crate::{REASONS, Rules};

/// The map of the ports' policies: one [`PortRules`] per slot.
pub const POLICIES: &str = "POLICIES";
/// The map of the ports' violations: one [`Violations`] per slot.
pub const VIOLATIONS: &str = "VIOLATIONS";
/// The map of which groups may not send to which: one word per group of receivers, a bit for each group of senders.
pub const GROUPS: &str = "GROUPS";
/// The ring buffer of [`ViolationRecord`]s.
pub const EVENTS: &str = "EVENTS";

/// The read-only global (`u32`) that says how many events of a port are reported in a [`WINDOW_SHIFT`] window.
pub const EVENT_LIMIT: &str = "EVENT_LIMIT";
/// The window of the rate limit: 2^30 nanoseconds, a little more than a second.
pub const WINDOW_SHIFT: u32 = 30;

/// How many groups there are, numbered from 0, in which ports are unless a policy says otherwise.
pub const MAX_GROUPS: u32 = 64;
/// How many bytes of a frame an event carries at most.
pub const SNAPSHOT: usize = 128;

/// What is done about a violation: bits of [`PortRules::control`].
pub mod control {
    /// No policy: the port is counted and not judged.
    pub const OFF: u32 = 0;
    /// Violations are counted, reported and passed.
    pub const OBSERVE: u32 = 1;
    /// Violations are counted, reported and dropped.
    pub const ENFORCE: u32 = 2;
    /// The slot is a bridge's own: what reaches its hook is about to reach the host, and is judged by the rules of the port
    /// that it came in by, for what that port may send to the host.
    pub const HOST: u32 = 3;
    /// The bits of these.
    pub const MODE: u32 = 3;
    /// Which of the two rules hold.
    pub const ACTIVE: u32 = 1 << 8;
    /// Of each of the two, whether a program may be reading it: it holds, or did when one may have begun that still runs. User
    /// space's note to itself.
    pub const READ: [u32; 2] = [1 << 9, 1 << 10];
}

/// A port's policy in the map, and which link the port is.
///
/// It has room for two sets of rules, of which one holds. New ones are written to the other when no program reads it any more,
/// and then [`control`] is changed in one store: the program never sees half of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PortRules {
    /// Mode and active rules: see [`control`].
    pub control: u32,
    /// The port's group, below [`MAX_GROUPS`].
    pub group: u32,
    /// The port's ifindex, 0 while the slot has no port: who sent a frame is known by the slot that the frame carries, if
    /// that slot's port is the one it came in by.
    pub ifindex: u32,
    /// Of slot 0, which is no port's: the programs' stamp, for those who open them again. Else zero.
    pub stamp: u32,
    /// The rules, those that hold and the others.
    pub rules: [Rules; 2],
}

/// Frames that were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Dropped {
    /// Frames, counted as in [`super::Traffic`].
    pub packets: u64,
    /// Bytes with their Ethernet header.
    pub bytes: u64,
}

/// What was found wrong at a port. Violations are rare, so all CPUs share a port's counters and add to them atomically:
/// one line for each CPU would take half a KiB of every cache, for a port that may never send a wrong frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Violations {
    /// Frames by the code of their reason. Those of reason [`Group`](crate::Reason::Group) count for the
    /// sender, once for every port that they were on their way to.
    pub packets: [u64; REASONS],
    /// Of what the namespace sent and the port's `rx` counts, what was dropped.
    pub dropped_rx: Dropped,
    /// What was on its way to the namespace and was dropped. In `tx` it is not counted, neither here nor by the kernel.
    pub dropped_tx: Dropped,
    /// Events that were handed out.
    pub reported: u64,
    /// Events that the rate limit kept back.
    pub suppressed: u64,
    /// Events that the ring buffer had no room for.
    pub lost: u64,
    /// The rate limit's window (upper 48 bits) and how many were reported in it (lower 16).
    pub window: u64,
}

/// A violation event.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ViolationRecord {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// The slot of the port that sent the frame.
    pub slot: u32,
    /// How long the frame was.
    pub length: u32,
    /// The VLAN tag that the kernel had taken out, with its EtherType in the upper half; 0 for none.
    pub tag: u32,
    /// How many bytes of the frame are in `frame`.
    pub captured: u16,
    /// The reason's code.
    pub reason: u8,
    /// 1 if the frame was dropped, 0 if it passed.
    pub dropped: u8,
    /// The frame's first bytes.
    pub frame: [u8; SNAPSHOT],
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<PortRules>() == 448 && align_of::<PortRules>() == 8);
    assert!(offset_of!(PortRules, group) == 4 && offset_of!(PortRules, ifindex) == 8);
    assert!(offset_of!(PortRules, stamp) == 12);
    assert!(offset_of!(PortRules, rules) == 16);
    assert!(size_of::<Violations>() == 576 && align_of::<Violations>() == 8);
    assert!(offset_of!(Violations, dropped_rx) == 512 && offset_of!(Violations, dropped_tx) == 528);
    assert!(offset_of!(Violations, reported) == 544 && offset_of!(Violations, window) == 568);
    assert!(size_of::<ViolationRecord>() == 152 && align_of::<ViolationRecord>() == 8);
    assert!(offset_of!(ViolationRecord, captured) == 20 && offset_of!(ViolationRecord, frame) == 24);
};
