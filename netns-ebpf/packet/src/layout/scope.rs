//! What passes a port by where it comes from or goes to.

use crate::Scope;

/// The map from prefixes to scopes: a [`Scope`]'s number by an IPv6 prefix, an IPv4 one as that which it is mapped to.
pub const SCOPES: &str = "SCOPES";
/// The map of what was counted: one [`ScopeCounters`] per slot and CPU, as the ports' counters are laid out, or a single one
/// where [`SCOPED`] is 0.
pub const SCOPE_COUNTERS: &str = "SCOPE_COUNTERS";
/// The read-only global (`u8`) that says whether scopes are counted.
pub const SCOPED: &str = "SCOPED";
/// For how many prefixes there is room in [`SCOPES`].
pub const MAX_SCOPES: u32 = 4096;

/// Frames that passed, and their bytes with Ethernet headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Passed {
    /// Frames, counted as in [`Traffic`](super::Traffic).
    pub packets: u64,
    /// Bytes with their Ethernet header.
    pub bytes: u64,
}

/// What passed a port, by [`Way`](super::Way) and [`Scope`]. In the map: by one CPU, in cache lines that no other CPU writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct ScopeCounters {
    /// By way, then by scope.
    pub passed: [[Passed; Scope::COUNT]; 2],
    /// Zero.
    pub reserved: [u64; 4],
}

impl ScopeCounters {
    /// From the namespace to places of a scope.
    #[must_use]
    pub const fn to(&self, scope: Scope) -> Passed {
        self.passed[0][scope as usize]
    }

    /// To the namespace from places of a scope.
    #[must_use]
    pub const fn from(&self, scope: Scope) -> Passed {
        self.passed[1][scope as usize]
    }
}

const _: () = {
    assert!(size_of::<Passed>() == 16 && size_of::<ScopeCounters>() == 192);
    assert!(core::mem::offset_of!(ScopeCounters, reserved) == 160);
};
