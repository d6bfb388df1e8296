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

/// The same number, of which the compiler does not know that it is. What the verifier learns of it by a comparison then
/// holds for what is added to a pointer, and not for a number that it was computed from. (Without any instruction, lines
/// of debug information would have the same place, which the kernel refuses.)
#[inline(always)]
pub(crate) fn opaque(mut number: u32) -> u32 {
    // SAFETY: a register is copied to itself.
    unsafe {
        asm!("{number} = {number}", number = inout(reg) number, options(pure, nomem, nostack, preserves_flags))
    };
    number
}
