//! An eBPF program that counts what passes the ports of a bridge, and the user space beside it.
//!
//! The program ([`layout`] is what it shares with us) sits at both hooks of a port, the host's end of a veth pair. It
//! is compiled into this library as an object, so using it takes no eBPF toolchain. A [`Monitor`] loads it, hands out
//! slots to ports and reads what was counted:
//!
//! ```no_run
//! use netns_ebpf::{Monitor, MonitorOptions};
//!
//! let monitor = Monitor::load(&MonitorOptions::default())?;
//! let port = 7; // the ifindex that a port has or will have
//! let slot = monitor.assign(port)?;
//! // ... a filter with `monitor.ingress_program()` and one with `monitor.egress_program()`,
//! // both with the class id `slot`, is put on the port; frames pass ...
//! let counters = monitor.counters(slot);
//! println!("{} packets from the namespace, {} to it", counters.rx.packets, counters.tx.packets);
//! for pair in monitor.pairs() {
//!     println!("{:?} -> {:?}: {} bytes", pair.from, pair.to, pair.bytes);
//! }
//! monitor.release(slot)?;
//! # Ok::<(), netns_ebpf::MonitorError>(())
//! ```
//!
//! Everything that `cargo xtask run` and `observe` show is made of these:
//!
//! - [`Observer`] follows the ports of a bridge that somebody else made, as they come and go, and knows who is behind each;
//!   by a [`JournalFile`] what it puts onto them can be removed should it be killed.
//! - [`Monitor::read`] and [`Observer::read`] take a [`Reading`]: ports with names, and pairs. Two readings have differences
//!   and rates ([`Reading::since`], [`Reading::rates`]), one has titles for the ends of its pairs ([`Reading::ends`]) and its
//!   busiest ones ([`Pair::busiest`]). A [`Snapshot`] is the same without names.
//! - [`Monitor::compare`] holds the counters against the kernel's own.
//! - [`Monitor::set_policy`] says what a port may send: a [`Policy`] of [`packet::Rules`]. What it sent and may not
//!   [`Monitor::violations`] has counted and [`Monitor::events`] hands out, as a [`Violation`] that can be kept, or into a file
//!   ([`pcapng`]). [`attack`] has such frames, and tries them.

pub mod attack;
mod monitor;
pub mod pcapng;

pub use netns_packet as packet;
pub use netns_packet::layout;

pub use monitor::{
    Ahead, Attachment, Barred, Behind, Clsact, CountedApart, CountedBy, CountedPort, Counter,
    CounterComparison, DestinationVerdict, Difference, EgressPolicy, EgressRules, EgressTable, Ends,
    HeldMonitor, Inheritance, Journal, JournalClaims, JournalFile, JournalPlace, Judging, Limits, Lost, Mode,
    Monitor, MonitorError, MonitorOptions, NetworkGuard, NoLimit, Observer, OverLimits, Pair, Policy,
    PolicyOf, PortChange, PortIdentity, PortRate, PortRates, PortReading, Predecessors, Quota, QuotaEvent,
    Rate, Reading, Slot, Snapshot, Station, StrayFilter, StrayFilters, TcxAttachment, TestRun, Trace,
    Violation, ViolationEvent, are_loaded, programs_of_processes, scopes_of, stations, test_run,
};
