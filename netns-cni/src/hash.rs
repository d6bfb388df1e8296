//! A hash that stays the same from version to version.

/// FNV-1a: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>.
pub(crate) fn hash(bytes: impl IntoIterator<Item = u8>) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}
