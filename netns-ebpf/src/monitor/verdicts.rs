//! What was decided of the frames that ports sent, by destination: see [`crate::layout::VerdictLine`].

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::mapped::MappedArray;
use super::pairs::{Bounds, clear};
use super::slots::Slots;
use super::{Lost, Monitor, Slot};
use crate::layout::{Decision, PAIR_GROUP, VerdictKey, VerdictLine, first_come};

/// Frames that a port sent to a destination, and what was decided of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationVerdict {
    /// The port that they came in by.
    pub from: Slot,
    /// Where they were sent, and the number of the protocol; `None` of what is neither IPv4 nor IPv6. Of an IPv6 address that
    /// a translator makes an IPv4 address of, or that one is mapped to, it is that one.
    pub to: Option<(IpAddr, u8)>,
    /// The port of TCP, UDP or SCTP, or the type of a message of ICMP; `None` of other protocols and of later fragments, which
    /// show none.
    pub port: Option<u16>,
    /// What was decided.
    pub decision: Decision,
    /// Frames, counted as the kernel's `stats64` count packets.
    pub packets: u64,
    /// Bytes with their Ethernet headers.
    pub bytes: u64,
    /// When the first of them came, on the kernel's monotonic clock, to a tick of it.
    pub first: Duration,
    /// When the last of them came.
    pub last: Duration,
}

impl DestinationVerdict {
    fn of(key: &VerdictKey, [packets, bytes, first, last]: [u64; 4]) -> Option<Self> {
        let address = |octets: [u8; 16]| IpAddr::V6(Ipv6Addr::from(octets)).to_canonical();
        Some(Self {
            from: Slot::new(key.slot())?,
            to: key.packet().map(|(octets, protocol)| (address(octets), protocol)),
            port: key.port(),
            decision: key.decision()?,
            packets,
            bytes,
            first: Duration::from_nanos(first),
            last: Duration::from_nanos(last),
        })
    }

    /// Whether these are frames of the same port to the same destination, of which the same was decided.
    fn is_alike(&self, other: &Self) -> bool {
        (self.from, self.to, self.port, self.decision) == (other.from, other.to, other.port, other.decision)
    }

    /// Those of which most was sent, most bytes first, at most so many.
    #[must_use]
    pub fn busiest(verdicts: impl IntoIterator<Item = Self>, most: usize) -> Vec<Self> {
        let mut verdicts: Vec<Self> = verdicts.into_iter().collect();
        let rank = |verdict: &Self| {
            let Self { from, to, port, decision, .. } = *verdict;
            (std::cmp::Reverse(verdict.bytes), from, to, port, decision)
        };
        verdicts.sort_unstable_by_key(rank);
        verdicts.truncate(most);
        verdicts
    }
}

/// The table, mapped.
#[derive(Debug)]
pub(super) struct VerdictTable {
    lines: MappedArray,
    bounds: Bounds,
    /// How many lines are at least of ports that are gone.
    ended: AtomicU64,
}

impl VerdictTable {
    pub(super) const fn new(lines: MappedArray, bounds: Bounds) -> Self {
        Self { lines, bounds, ended: AtomicU64::new(0) }
    }

    /// Gives a slot to another port, of which nothing is known. If there is something of the one before, it is forgotten, and so
    /// is what is of the slots that have waited as long to be given out again: the table is gone through once for many.
    pub(super) fn begin(&self, slot: Slot, slots: &Slots) {
        if self.bounds.lines_of(slot.get().into()) > 0 {
            let gone: HashSet<u16> = slots.waiting().chain([slot]).map(Slot::get).collect();
            self.forget(|slot| gone.contains(&slot));
        }
        self.bounds.forget_lost_of(slot.get().into());
    }

    /// Shares the table among so many ports.
    pub(super) fn share(&self, ports: usize) {
        self.bounds.share(self.lines.len(), ports);
    }

    /// A port is gone. What is of it stays while there is room.
    pub(super) fn end(&self, slot: Slot, slots: &Slots) {
        let lines = self.bounds.lines_of(slot.get().into());
        let ended = self.ended.fetch_add(lines, Ordering::Relaxed).saturating_add(lines);
        let all = self.lines.len() as u64;
        if self.bounds.lines() > first_come(all) && ended > all / 8 {
            let used: HashSet<u16> = slots.used().map(|(slot, _)| slot.get()).collect();
            self.forget(|slot| !used.contains(&slot));
            self.ended.store(0, Ordering::Relaxed);
        }
    }

    /// What a port sent that is in no line.
    pub(super) fn lost_of(&self, slot: Slot) -> Lost {
        self.bounds.lost_of(slot.get().into())
    }

    /// The lines of some slots, in no order.
    fn of(&self, is_wanted: impl Fn(u16) -> bool) -> Vec<DestinationVerdict> {
        let mut verdicts = Vec::new();
        let mut group = 0;
        for number in 0..self.lines.len() {
            if number.is_multiple_of(PAIR_GROUP as usize) {
                group = verdicts.len();
            }
            let Some(key) = self.key(number).filter(|key| is_wanted(key.slot())) else { continue };
            let [_, _, _, counted @ .., _] = self.lines.read::<WORDS>(number);
            if let Some(verdict) = DestinationVerdict::of(&key, counted) {
                add(&mut verdicts, group, verdict);
            }
        }
        verdicts
    }

    /// The key of a line, if it has one.
    fn key(&self, number: usize) -> Option<VerdictKey> {
        let [what, high, low, ..] = self.lines.words(number) else { return None };
        // The destination is written before it.
        let what = what.load(Ordering::Acquire);
        let destination = [high, low].map(|word| word.load(Ordering::Relaxed));
        (what > VerdictKey::CLAIMED).then_some(VerdictKey { what, destination })
    }

    /// Clears the lines of some slots.
    fn forget(&self, is_gone: impl Fn(u16) -> bool) {
        for number in 0..self.lines.len() {
            let Some(key) = self.key(number).filter(|key| is_gone(key.slot())) else { continue };
            if clear(self.lines.words(number), key.what) {
                self.bounds.give_back(key.slot().into());
            }
        }
    }
}

const WORDS: usize = size_of::<VerdictLine>() / size_of::<u64>();

/// Adds what a line says, to the other line of the same key if there is one in the same group: two CPUs may each have made one.
fn add(verdicts: &mut Vec<DestinationVerdict>, group: usize, line: DestinationVerdict) {
    match verdicts[group..].iter_mut().find(|verdict| verdict.is_alike(&line)) {
        Some(verdict) => {
            verdict.packets = verdict.packets.wrapping_add(line.packets);
            verdict.bytes = verdict.bytes.wrapping_add(line.bytes);
            verdict.first = verdict.first.min(line.first);
            verdict.last = verdict.last.max(line.last);
        }
        None => verdicts.push(line),
    }
}

impl Monitor {
    /// What was decided of the frames that the ports sent, by destination, in no order; nothing if
    /// [`MonitorOptions::verdicts`](super::MonitorOptions::verdicts) asked for none. Ports that were released are left out.
    ///
    /// Each frame of a port's `rx` is in one of its lines, once, or in [`Self::lost_verdicts_of`], those apart of which
    /// [`Decision::is_later`] is true: they are of frames that have passed their port, and are in another line for that. While frames
    /// pass, numbers can be a frame apart.
    ///
    /// Loads from memory, all of the table, and no system call.
    #[must_use]
    pub fn verdicts(&self) -> Vec<DestinationVerdict> {
        let Some(table) = &self.verdicts else { return Vec::new() };
        let ports: HashSet<u16> = self.lock().slots.used().map(|(slot, _)| slot.get()).collect();
        table.of(|slot| ports.contains(&slot))
    }

    /// As [`Self::verdicts`], of one port. It can be read after the port was released: until its slot, or one that has waited
    /// nearly as long, is given out again; or, if the table is more than half full, until its lines are needed for others.
    #[must_use]
    pub fn verdicts_of(&self, slot: Slot) -> Vec<DestinationVerdict> {
        self.verdicts.as_ref().map_or_else(Vec::new, |table| table.of(|number| number == slot.get()))
    }

    /// Whether verdicts are counted: [`MonitorOptions::verdicts`](super::MonitorOptions::verdicts).
    #[must_use]
    pub const fn has_verdicts(&self) -> bool {
        self.verdicts.is_some()
    }

    /// What a port sent that is in no line of [`Self::verdicts`], because the table had no room; `None` if there is no table.
    ///
    /// A port that sends to very many destinations, as one that scans does, takes a line for each. Half of the table is first
    /// come, first served; of the other half each port has an equal share, which nobody else can take. What it sends beyond that
    /// is counted here.
    #[must_use]
    pub fn lost_verdicts_of(&self, slot: Slot) -> Option<Lost> {
        self.verdicts.as_ref().map(|table| table.lost_of(slot))
    }
}
