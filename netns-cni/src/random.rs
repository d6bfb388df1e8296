//! Random numbers.

use netns_core::MacAddress;
use std::hash::{BuildHasher, Hasher, RandomState};

/// 64 random bits: the standard library keys its hashes by the kernel's random numbers.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A locally administered MAC address.
pub(crate) fn mac() -> MacAddress {
    MacAddress::local(number())
}
