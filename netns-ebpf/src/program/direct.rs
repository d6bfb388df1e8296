//! Reading a frame where it lies. Headers may lie at any address, and to Rust a pointer to a word that is not aligned is
//! none; to the machine it is, and to BPF where the machine is one of those. The verifier refuses it elsewhere
//! (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`).

use core::arch::asm;

/// Reads a number of this type, as BPF's assembler calls it.
macro_rules! read {
    ($kind:literal, $at:expr) => {{
        let value: u64;
        asm!(
            concat!("{value} = *(", $kind, " *)({at} + 0)"),
            value = lateout(reg) value,
            at = in(reg) $at,
            options(nostack, readonly, preserves_flags),
        );
        value as u32
    }};
}

/// A word.
///
/// # Safety
/// There are four bytes at `at`.
#[inline(always)]
pub(crate) unsafe fn word(at: *const u8) -> u32 {
    // SAFETY: the caller's promise; nothing is written.
    unsafe { read!("u32", at) }
}

/// A word whose second half is zero, from two bytes: the object is little-endian.
///
/// # Safety
/// There are two bytes at `at`.
#[inline(always)]
pub(crate) unsafe fn half(at: *const u8) -> u32 {
    // SAFETY: as in `word`.
    unsafe { read!("u16", at) }
}
