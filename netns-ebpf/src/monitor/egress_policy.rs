//! The number of an egress policy.

/// An egress policy in the kernel. Of meaning to the monitor that made it, and to one that opens that one's programs again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EgressPolicy(pub(super) u16);

impl EgressPolicy {
    /// The policy of this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// Its number, from 1.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Its place in the kernel's array.
    pub(super) fn place(self) -> u32 {
        u32::from(self.0).wrapping_sub(1)
    }
}
