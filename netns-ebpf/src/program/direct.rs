//! Reading a frame where it lies. Headers may lie at any address, and to Rust a pointer to a word that is not aligned is
//! none; to the machine it is, and to BPF where the machine is one of those. The verifier refuses it elsewhere
//! (`CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS`).

use core::arch::asm;

/// A word.
///
/// # Safety
/// There are four bytes at `at`.
#[inline(always)]
pub(crate) unsafe fn word(at: *const u8) -> u32 {
    let word: u64;
    // SAFETY: the caller's promise; nothing is written.
    unsafe {
        asm!(
            "{word} = *(u32 *)({at} + 0)",
            word = lateout(reg) word,
            at = in(reg) at,
            options(nostack, readonly, preserves_flags),
        );
    }
    word as u32
}

/// A word whose second half is zero, from two bytes.
///
/// # Safety
/// There are two bytes at `at`.
#[inline(always)]
pub(crate) unsafe fn half(at: *const u8) -> u32 {
    let half: u64;
    // SAFETY: as in `word`.
    unsafe {
        asm!(
            "{half} = *(u16 *)({at} + 0)",
            half = lateout(reg) half,
            at = in(reg) at,
            options(nostack, readonly, preserves_flags),
        );
    }
    // The object is little-endian.
    half as u32
}
