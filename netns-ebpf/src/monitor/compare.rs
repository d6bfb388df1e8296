//! The program's counters, held against the kernel's own.

use std::collections::BTreeSet;
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

/// Why the kernel's counters of a port are others than the program's, though both are right: the kernel counts at another
/// place than the program is at. `docs/counting.md` has the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CountedApart {
    /// What the port sends it counts once trains are cut into segments, each with its headers.
    Cut,
    /// Of what the port sends it counts only some trains cut: those that are longer than the port takes (`gso_max_size`, 64 KiB
    /// unless somebody set it). A namespace may make longer ones (BIG TCP). Which trains those were the program does not know,
    /// so the numbers have bounds: no more segments than it counted, with no more bytes of headers.
    CutInPart,
    /// What the port receives it counts before segments are joined into trains. Of the bytes the program then knows only
    /// that they are no fewer.
    Joined,
    /// It counts bytes without Ethernet headers, 14 a frame (`veth_xdp_rcv` in
    /// <https://github.com/torvalds/linux/blob/v6.18/drivers/net/veth.c>).
    Headless,
    /// Tags that the namespace wrote into the bytes of its frames it counts, four bytes each.
    Tagged,
    /// Frames that end within a VLAN tag, or with so little after it that no EtherType can follow, it counts, and drops before
    /// the program or anybody else sees them (`skb_vlan_untag` in
    /// <https://github.com/torvalds/linux/blob/v6.18/net/core/skbuff.c>). Each has 14 to 19 bytes.
    Truncated,
    /// It does not count what it drops on the way to the namespace, after the program (`tx_dropped`): the receive queue of a
    /// processor, which all namespaces share, or the namespace's was full, or its `eth0` takes no frames of that length (`veth_xmit`
    /// in <https://github.com/torvalds/linux/blob/v6.18/drivers/net/veth.c>).
    Dropped,
}

impl fmt::Display for CountedApart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => {
                "the kernel counts what goes to the namespace cut into segments (tso or tx off, or XDP inside)"
            }
            Self::CutInPart => "the kernel counts long trains to the namespace cut into segments (gso_max_size)",
            Self::Joined => {
                "the kernel counts what comes from the namespace before it is joined into trains (gro on)"
            }
            Self::Headless => "the kernel counts bytes without Ethernet headers (XDP inside, or gro on)",
            Self::Tagged => "the kernel counts the VLAN tags that the namespace writes into its frames",
            Self::Truncated => "the kernel counts frames that end within a VLAN tag, and drops them unseen",
            Self::Dropped => "the kernel dropped frames on their way into the namespace (tx_dropped)",
        })
    }
}

/// How the program's counters compare with the kernel's: [`Monitor::compare`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum CounterComparison {
    /// They are equal: packets and bytes of every port, both ways.
    Exact,
    /// They are equal but for where the kernel counts these ports at another place, and there they differ by just that.
    Apart(Vec<(Slot, CountedApart)>),
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
    /// there before, `kernel` has to subtract what it had by then.
    ///
    /// ```no_run
    /// use netns_core::{RouteSocket, link};
    /// use netns_ebpf::{CounterComparison, Monitor, Slot};
    ///
    /// fn check(monitor: &Monitor, socket: &mut RouteSocket) -> netns_core::Result<()> {
    ///     let (slots, ports): (Vec<Slot>, Vec<u32>) = monitor.ports().into_iter().unzip();
    ///     let kernel = || ports.iter().map(|&port| link::stats(socket, port)).collect();
    ///     match monitor.compare(&slots, kernel)? {
    ///         CounterComparison::Exact => println!("equal to the kernel's"),
    ///         CounterComparison::Apart(all) => all.iter().for_each(|(slot, why)| println!("slot {slot}: {why}")),
    ///         CounterComparison::Different(all) => all.iter().for_each(|one| println!("slot {}: {one}", one.port)),
    ///         CounterComparison::Busy => println!("the ports are never quiet"),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// What `kernel` returns.
    ///
    /// # Panics
    /// If a slot is not one of this monitor's, or `kernel` has more ports or fewer.
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
            let (mut different, mut apart) = (Vec::new(), BTreeSet::new());
            for ((&port, counters), stats) in ports.iter().zip(&counters).zip(&after) {
                match explained(counters, stats) {
                    Some(reasons) => apart.extend(reasons.into_iter().map(|why| (port, why))),
                    None => different.extend(differences(port, counters, stats)),
                }
            }
            if different.is_empty() {
                let apart: Vec<_> = apart.into_iter().collect();
                return Ok(if apart.is_empty() {
                    CounterComparison::Exact
                } else {
                    CounterComparison::Apart(apart)
                });
            }
            comparison = CounterComparison::Different(different);
        }
        wait();
    }
    Ok(comparison)
}

/// Why the kernel's counters are what they are; nothing if they are the program's, `None` if there is no explanation.
fn explained(counters: &PortCounters, stats: &LinkStats) -> Option<BTreeSet<CountedApart>> {
    let received = received_apart(counters, (stats.rx_packets, stats.rx_bytes))?;
    let sent = sent_apart(counters, (stats.tx_packets, stats.tx_bytes))
        .or_else(|| sent_and_dropped(counters, stats))?;
    Some([received, sent].concat().into_iter().collect())
}

/// An Ethernet header, and a VLAN tag.
const HEADER: u64 = 14;
const TAG: u64 = 4;
/// How long frames can be, beside an Ethernet header, that end within a tag.
const TRUNCATED: u64 = TAG + 1;
/// Headers of the shortest segment: Ethernet, IPv4 and UDP.
const SEGMENT_HEADERS: u64 = 42;

/// Of what the port received.
fn received_apart(counters: &PortCounters, (packets, bytes): (u64, u64)) -> Option<Vec<CountedApart>> {
    let PortCounters { rx, tagged, .. } = counters;
    if (packets, bytes) == (rx.packets, rx.bytes) {
        return Some(Vec::new());
    }
    if packets == rx.segments && packets > rx.packets {
        // Then it counts them as `veth_xdp_rcv` gets them.
        let is_enough = bytes + HEADER * packets >= rx.bytes;
        return is_enough.then(|| vec![CountedApart::Joined, CountedApart::Headless]);
    }
    let truncated = packets.checked_sub(rx.packets)?;
    // Whether there are tags among what it counts more.
    let tags = |bytes: u64| {
        let more = bytes.checked_sub(rx.bytes)?.checked_sub(truncated * HEADER)?;
        let of_truncated = truncated * TRUNCATED;
        let is_whole = truncated > 0 || more % TAG == 0;
        (is_whole && more <= of_truncated + TAG * tagged).then_some(more > of_truncated)
    };
    let (of_tags, why) = match tags(bytes) {
        Some(of_tags) => (of_tags, None),
        None => (tags(bytes + HEADER * packets)?, Some(CountedApart::Headless)),
    };
    let reasons = [(truncated > 0, CountedApart::Truncated), (of_tags, CountedApart::Tagged)];
    Some(reasons.into_iter().filter(|(is, _)| *is).map(|(_, why)| why).chain(why).collect())
}

/// Of what it sent.
fn sent_apart(counters: &PortCounters, kernel: (u64, u64)) -> Option<Vec<CountedApart>> {
    let PortCounters { tx, cut, .. } = counters;
    let of_all = [(false, false), (true, false), (false, true), (true, true)].into_iter().find_map(
        |(is_cut, is_headless)| {
            let packets = if is_cut { tx.segments } else { tx.packets };
            let bytes = tx.bytes + if is_cut { *cut } else { 0 };
            let headers = if is_headless { HEADER * packets } else { 0 };
            let reasons = [(is_cut, CountedApart::Cut), (is_headless, CountedApart::Headless)];
            ((packets, bytes.saturating_sub(headers)) == kernel)
                .then(|| reasons.into_iter().filter(|(is, _)| *is).map(|(_, why)| why).collect())
        },
    );
    of_all.or_else(|| {
        let (packets, bytes) = kernel;
        let (segments, headers) = (packets.checked_sub(tx.packets)?, bytes.checked_sub(tx.bytes)?);
        let is_part = segments > 0 && packets < tx.segments;
        (is_part && headers >= SEGMENT_HEADERS * segments && headers < *cut)
            .then(|| vec![CountedApart::CutInPart])
    })
}

/// Of what it sent, if some of it was dropped on the way.
fn sent_and_dropped(counters: &PortCounters, stats: &LinkStats) -> Option<Vec<CountedApart>> {
    let missing = counters.tx.packets.checked_sub(stats.tx_packets)?;
    let bytes = counters.tx.bytes.checked_sub(stats.tx_bytes)?;
    let is_so = (1..=stats.tx_dropped).contains(&missing) && bytes >= missing * HEADER;
    is_so.then(|| vec![CountedApart::Dropped])
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
