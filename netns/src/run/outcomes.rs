//! The outcomes of an attack, for the attack and for the report.

use netns_ebpf::Mode;
use netns_ebpf::attack::TrialOutcome;
use netns_ebpf::packet::Reason;

/// The outcome of a frame.
#[derive(Debug)]
pub(crate) struct Attacked {
    pub(crate) reason: Reason,
    pub(crate) outcome: TrialOutcome,
    /// Whether it should arrive.
    pub(crate) expected: bool,
    /// What happens to violations.
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

/// The outcome of a way past the program.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// How many frames had their effect without the guard: they arrived, or were learnt from.
    pub(crate) unguarded: u64,
    /// The same with the guard.
    pub(crate) guarded: u64,
    /// How many of the frames that the guard stopped were counted under the right reason.
    pub(crate) counted: u64,
    /// That reason; `None` if the guard makes the frame harmless instead.
    pub(super) reason: Option<Reason>,
}

impl Way {
    /// How many frames each way sends.
    pub(crate) const SENT: u64 = 10;

    /// An attack that does not work even without the guard proves nothing.
    pub(crate) fn is_ok(&self) -> bool {
        let counted = if self.reason.is_some() { Self::SENT } else { 0 };
        self.unguarded > 0 && self.guarded == 0 && self.counted == counted
    }
}

/// What the kernel counted at the attacker's port while the program saw nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Unseen {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}
