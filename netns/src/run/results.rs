//! What a run has to say: of its pings, its counters, its attacks and the ways around.

use netns_core::Namespace;
use netns_core::ping::{Ping, PingOutcome, ping};
use netns_ebpf::Mode;
use netns_ebpf::attack::TrialOutcome;
use netns_ebpf::packet::Reason;
use std::net::IpAddr;
use std::time::Duration;

/// What became of a frame.
#[derive(Debug)]
pub(crate) struct Attacked {
    pub(crate) reason: Reason,
    pub(crate) outcome: TrialOutcome,
    /// Whether it was to arrive.
    pub(crate) expected: bool,
    /// What is done about violations.
    pub(crate) mode: Mode,
}

impl Attacked {
    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == TrialOutcome { seen: 1, arrived: self.expected }
    }

    pub(crate) fn is_stopped_by_bridge(&self) -> bool {
        self.mode == Mode::Observe && !self.expected
    }
}

/// Whether the program counted what the kernel counted.
#[derive(Debug)]
pub(crate) struct CountersVerdict {
    /// What differs, in words; nothing if all is exact.
    pub(crate) differences: Vec<String>,
    /// Where the kernel counts at another place, in words.
    pub(crate) apart: Vec<String>,
    /// How many ports were compared; `None` if there is no program to compare with.
    pub(crate) ports: Option<usize>,
}

impl CountersVerdict {
    /// `None` if there was nothing to compare.
    pub(crate) fn exact(&self) -> Option<bool> {
        self.ports.map(|_| self.differences.is_empty())
    }
}

/// One ping to be sent.
#[derive(Debug)]
pub(crate) struct PingRoute {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) address: IpAddr,
    pub(crate) namespace: Namespace,
}

impl PingRoute {
    pub(crate) fn ping(&self) -> PingResult {
        let report = match ping(&self.namespace, &Ping::new(self.address)) {
            Ok(report) => report,
            // No route is an answer too: not reached.
            Err(error) => return PingResult { rtt: None, why: error.to_string() },
        };
        match report.outcomes.into_iter().next() {
            Some(PingOutcome::Reply(rtt)) => PingResult { rtt: Some(rtt), why: String::new() },
            Some(PingOutcome::Unreachable(why)) => PingResult { rtt: None, why: why.to_string() },
            Some(PingOutcome::TimedOut) | None => PingResult { rtt: None, why: "no answer".to_owned() },
        }
    }
}

/// What became of it.
#[derive(Debug)]
pub(crate) struct PingResult {
    pub(crate) rtt: Option<Duration>,
    pub(crate) why: String,
}

impl PingResult {
    pub(crate) const fn is_ok(&self) -> bool {
        self.rtt.is_some()
    }
}

/// What became of a way.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// How many frames had their effect with the guard away: arrived, or were learnt from.
    pub(crate) unguarded: u64,
    /// The same with the guard.
    pub(crate) guarded: u64,
    /// How many of those that the guard stopped were counted as what they are.
    pub(crate) counted: u64,
    /// As what; of what is made harmless nothing is wrong.
    pub(crate) reason: Option<Reason>,
}

impl Way {
    /// How many frames each way is tried with.
    pub(crate) const SENT: u64 = 10;

    /// An attack that does not work proves nothing.
    pub(crate) fn is_ok(&self) -> bool {
        let counted = if self.reason.is_some() { Self::SENT } else { 0 };
        self.unguarded > 0 && self.guarded == 0 && self.counted == counted
    }
}

/// What the kernel counted at the attacker's port and the program did not see.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Unseen {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}
