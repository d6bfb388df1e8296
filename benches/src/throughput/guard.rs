//! What a world can have on its ports.

use netns_ebpf::Mode;
use std::net::Ipv4Addr;

/// What is on the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    Nothing,
    /// A program that does nothing, at both hooks: what running any program costs.
    Empty,
    Counters,
    Ours(Mode),
    /// Enforcing, without pairs: [`MonitorOptions::pairs`] is 0.
    WithoutPairs,
    /// Enforcing, with a barrier after the ports, as in `run`, `observe` and topologies.
    Barrier,
    /// Enforcing, by TCX links instead of filters.
    Tcx,
    /// A set of rules for each port, which the rules of one chain jump to, as with libvirt.
    Nftables,
    /// The same, found by a verdict map: the best that nftables can do.
    VerdictMap,
}

impl Guard {
    pub(super) const ALL: [Self; 10] = [
        Self::Nothing,
        Self::Empty,
        Self::Counters,
        Self::Ours(Mode::Observe),
        Self::Ours(Mode::Enforce),
        Self::WithoutPairs,
        Self::Barrier,
        Self::Tcx,
        Self::Nftables,
        Self::VerdictMap,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no program",
            Self::Empty => "an empty program",
            Self::Counters => "counters",
            Self::Ours(Mode::Observe) => "observe",
            Self::Ours(Mode::Enforce) => "enforce",
            Self::WithoutPairs => "enforce, no pairs",
            Self::Barrier => "enforce, barrier",
            Self::Tcx => "enforce, TCX",
            Self::Nftables => "nftables, a rule set a port",
            Self::VerdictMap => "nftables, verdict map",
        }
    }
}

/// The address behind a port.
pub(super) fn address_of(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}
