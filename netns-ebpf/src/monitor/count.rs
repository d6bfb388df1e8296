//! What was counted: of ports, of pairs of them, of all at one moment.

use std::ops::Range;

use super::pairs;
use super::slots::Slots;
use super::{CountedPort, Monitor, Pair, Slot, Snapshot};
use crate::layout::{self, Lost, PortCounters, Traffic};

impl Monitor {
    /// What was counted for a port since it was assigned; zero for a slot that no port ever had.
    ///
    /// Loads from memory, one cache line per CPU, and no system call. While frames pass, its numbers can be a frame
    /// apart: packets are counted after bytes.
    ///
    /// # Panics
    /// If the slot is not one of this monitor's.
    #[must_use]
    pub fn counters(&self, slot: Slot) -> PortCounters {
        self.sum(self.lines(slot))
    }

    /// What was counted of frames that passed a filter of ours whose class id was no slot. Always zero, unless somebody
    /// else uses our programs.
    #[must_use]
    pub fn unassigned(&self) -> PortCounters {
        self.sum(0..self.cpus as usize)
    }

    /// What passed between each pair of ports, in no order; nothing if pairs are not counted.
    ///
    /// Loads from memory, all of the table, and no system call. Pairs of ports that were released are left out, and
    /// their lines are free again.
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        self.sweep(&self.lock().slots)
    }

    /// Everything at once, without a system call.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let ports = self.lock();
        Snapshot {
            ports: ports
                .slots
                .used()
                .filter(|(slot, _)| !self.is_of_host(*slot))
                .map(|(slot, ifindex)| CountedPort {
                    slot,
                    ifindex,
                    counters: self.counters(slot),
                    violations: self.violations(slot),
                })
                .collect(),
            pairs: self.sweep(&ports.slots),
            lost: self.lost_pairs(),
        }
    }

    /// What was counted for its port and for no pair, because the table had no room: [`MonitorOptions::pairs`](super::MonitorOptions::pairs) makes it
    /// larger.
    #[must_use]
    pub fn lost_pairs(&self) -> Lost {
        pairs::sum(&self.lost)
    }

    /// As [`Self::lost_pairs`], of what one port sent, or the host (`None`, which ports without a slot count as).
    ///
    /// A port that sends to very many others, as a broadcast does, takes a line of the table for each. Half of the table is
    /// first come, first served; of the other half each port has an equal share, which nobody else can take. What a port
    /// sends beyond that is counted here, and for no pair.
    #[must_use]
    pub fn lost_pairs_of(&self, from: Option<Slot>) -> Lost {
        let sender = from.map_or(layout::NO_SLOT, |slot| slot.get().into());
        self.pairs.as_ref().map_or_else(Lost::default, |pairs| pairs.lost_of(sender))
    }

    pub(super) fn sweep(&self, slots: &Slots) -> Vec<Pair> {
        self.pairs.as_ref().map_or_else(Vec::new, |pairs| pairs.sweep(slots))
    }

    /// Where a slot's counters are: one line per CPU.
    pub(super) fn lines(&self, slot: Slot) -> Range<usize> {
        let first = usize::from(slot.get()) * self.cpus as usize;
        first..first + self.cpus as usize
    }

    pub(super) fn sum(&self, lines: Range<usize>) -> PortCounters {
        lines.fold(PortCounters::default(), |sum, line| {
            let [a, b, c, d, e, f, cut, tagged] = self.counters.read(line);
            let line = PortCounters {
                rx: Traffic { packets: a, bytes: b, segments: c },
                tx: Traffic { packets: d, bytes: e, segments: f },
                cut,
                tagged,
            };
            PortCounters {
                rx: add(sum.rx, line.rx),
                tx: add(sum.tx, line.tx),
                cut: sum.cut + line.cut,
                tagged: sum.tagged + line.tagged,
            }
        })
    }
}

/// Counters wrap, as the kernel's do; after 2⁶⁴ bytes.
fn add(a: Traffic, b: Traffic) -> Traffic {
    Traffic {
        packets: a.packets.wrapping_add(b.packets),
        bytes: a.bytes.wrapping_add(b.bytes),
        segments: a.segments.wrapping_add(b.segments),
    }
}
