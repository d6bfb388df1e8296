//! The program's counters, held against the kernel's own.

use std::time::Duration;
use std::{fmt, thread};

use netns_core::link::LinkStats;

use super::{Monitor, Slot};
use crate::layout::{PortCounters, Traffic};

/// How often it is tried to read both while nothing passes, and the time in between.
const ATTEMPTS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Something that both the program and the kernel count of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Counter {
    /// Frames from the namespace.
    RxPackets,
    /// Bytes from the namespace.
    RxBytes,
    /// Frames to the namespace.
    TxPackets,
    /// Bytes to the namespace.
    TxBytes,
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RxPackets => "received packets",
            Self::RxBytes => "received bytes",
            Self::TxPackets => "sent packets",
            Self::TxBytes => "sent bytes",
        })
    }
}

/// A counter of a port that the program and the kernel disagree about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The port.
    pub port: Slot,
    /// Which counter.
    pub counter: Counter,
    /// What the program counted.
    pub program: u64,
    /// What the kernel counted.
    pub kernel: u64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counter, program, kernel, .. } = self;
        write!(f, "{counter}: the program counted {program}, the kernel {kernel}")
    }
}

/// How the program's counters compare with the kernel's: [`Monitor::compare`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CounterComparison {
    /// They are equal: packets and bytes of every port, both ways.
    Exact,
    /// They are not; these are not equal.
    Different(Vec<Difference>),
    /// Not known: something passed whenever they were read.
    Busy,
}

/// The kernel's counters of a port as the program has them. The kernel does not count segments; they are 0.
pub(super) fn kernel_counters(stats: &LinkStats) -> PortCounters {
    PortCounters {
        rx: Traffic { packets: stats.rx_packets, bytes: stats.rx_bytes, segments: 0 },
        tx: Traffic { packets: stats.tx_packets, bytes: stats.tx_bytes, segments: 0 },
        ..PortCounters::default()
    }
}

impl Monitor {
    /// Holds the counters of ports against the kernel's own, which `kernel` asks for: `stats64` of each of `ports`, in
    /// the same order.
    ///
    /// Both can only be compared while nothing passes between reading the one and the other. So the kernel's are read
    /// before and after the program's, until they are the same, and until all are equal: a frame on its way may have been
    /// counted by one of them and not yet by the other. A frame that was counted wrongly stays counted wrongly, however
    /// often one looks. That takes a second at most, and hardly any time while nothing passes.
    ///
    /// The program counts from when the port was assigned, the kernel from when the link was made; of a port that was
    /// there before, `kernel` has to subtract what it had by then. Of frames with a VLAN tag inside the program counts
    /// four bytes fewer than the kernel ([`Traffic`] says why).
    ///
    /// ```no_run
    /// use netns_core::{RouteSocket, link};
    /// use netns_ebpf::{Comparison, Monitor, Slot};
    ///
    /// fn check(monitor: &Monitor, socket: &mut RouteSocket) -> netns_core::Result<()> {
    ///     let (slots, ports): (Vec<Slot>, Vec<u32>) = monitor.ports().into_iter().unzip();
    ///     let kernel = || ports.iter().map(|&port| link::stats(socket, port)).collect();
    ///     match monitor.compare(&slots, kernel)? {
    ///         Comparison::Exact => println!("equal to the kernel's"),
    ///         Comparison::Different(all) => all.iter().for_each(|one| println!("slot {}: {one}", one.port)),
    ///         Comparison::Busy => println!("the ports are never quiet"),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// What `kernel` returns.
    ///
    /// # Panics
    /// If a slot is not one of this monitor's, or `kernel` tells of more ports or fewer.
    pub fn compare<E>(
        &self,
        ports: &[Slot],
        kernel: impl FnMut() -> Result<Vec<LinkStats>, E>,
    ) -> Result<CounterComparison, E> {
        compare(ports, |slot| self.counters(slot), kernel, || thread::sleep(PAUSE))
    }
}

/// As [`Monitor::compare`], whatever `program` counted, and however one waits.
fn compare<E>(
    ports: &[Slot],
    program: impl Fn(Slot) -> PortCounters,
    mut kernel: impl FnMut() -> Result<Vec<LinkStats>, E>,
    wait: impl Fn(),
) -> Result<CounterComparison, E> {
    let mut comparison = CounterComparison::Busy;
    for _ in 0..ATTEMPTS {
        let before = kernel()?;
        let counters: Vec<PortCounters> = ports.iter().map(|&slot| program(slot)).collect();
        let after = kernel()?;
        assert_eq!(after.len(), ports.len(), "the kernel's counters are those of the ports");
        if before == after {
            let all = ports.iter().zip(&counters).zip(&after);
            let different: Vec<Difference> =
                all.flat_map(|((&port, counters), stats)| differences(port, counters, stats)).collect();
            if different.is_empty() {
                return Ok(CounterComparison::Exact);
            }
            comparison = CounterComparison::Different(different);
        }
        wait();
    }
    Ok(comparison)
}

fn differences(port: Slot, counters: &PortCounters, stats: &LinkStats) -> Vec<Difference> {
    [
        (Counter::RxPackets, counters.rx.packets, stats.rx_packets),
        (Counter::RxBytes, counters.rx.bytes, stats.rx_bytes),
        (Counter::TxPackets, counters.tx.packets, stats.tx_packets),
        (Counter::TxBytes, counters.tx.bytes, stats.tx_bytes),
    ]
    .into_iter()
    .filter(|(_, program, kernel)| program != kernel)
    .map(|(counter, program, kernel)| Difference { port, counter, program, kernel })
    .collect()
}

#[cfg(test)]
mod tests;
