//! Frames that no honest host sends: for every reason at least one that has exactly it, and beside each its nearest
//! neighbour that is honest.
//!
//! One table for all who need such frames: the tests of judging, the tests that hold the kernel's verdict against the
//! host's, and `cargo xtask run --attack`.

mod around;
mod cases;
mod checksum;
mod claims;
mod egress;
mod frame;
mod pages;
mod socket;
mod trial;
mod v6;

pub use around::Around;
pub use cases::{Case, Forwarded, cases};
pub use checksum::{ChecksumCase, LeftChecksum, checksum_cases};
pub use egress::{EgressCase, egress_cases};
pub use frame::{Party, bpdu};
pub use pages::{SharedFrame, SharedPages};
pub use socket::FrameSocket;
pub use trial::{Trial, TrialOutcome};

#[cfg(test)]
mod tests;
