//! What became of what was tried, for those who try it and for the report.

use netns_ebpf::Mode;
use netns_ebpf::attack::TrialOutcome;
use netns_ebpf::packet::Reason;

/// What became of a frame.
#[derive(Debug)]
pub(crate) struct Attacked {
    pub(crate) reason: Reason,
    pub(crate) outcome: TrialOutcome,
    /// Whether it was to arrive.
    pub(crate) expected: bool,
    /// What is done about violations.
    pub(super) mode: Mode,
}

impl Attacked {
    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == TrialOutcome { seen: 1, arrived: self.expected }
    }

    pub(crate) fn is_stopped_by_bridge(&self) -> bool {
        self.mode == Mode::Observe && !self.expected
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
    pub(super) reason: Option<Reason>,
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
