//! Atomic operations, which `core` has not for a target without compare-and-swap, and BPF is declared as one.

use core::arch::asm;

/// Adds to a counter that other CPUs add to at the same time.
///
/// One instruction ([`BPF_ATOMIC | BPF_ADD`][isa]), understood by every kernel and without an order towards other
/// memory, which counters do not need.
///
/// # Safety
/// `counter` is aligned, points into a map's element and is valid while the program runs.
///
/// [isa]: https://docs.kernel.org/bpf/standardization/instruction-set.html#atomic-operations
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, amount: u64) {
    // SAFETY: the caller's promise covers the memory; the instruction touches nothing else.
    unsafe {
        asm!(
            "lock *(u64 *)({counter} + 0) += {amount}",
            counter = in(reg) counter,
            amount = in(reg) amount,
            options(nostack, preserves_flags),
        );
    }
}

/// Writes a word if it is `expected`, and says what it was.
///
/// One instruction ([`BPF_ATOMIC | BPF_CMPXCHG`][isa]), since Linux 5.12, ordered towards all other memory.
///
/// # Safety
/// `word` is aligned, points into a map's element and is valid while the program runs.
///
/// [isa]: https://docs.kernel.org/bpf/standardization/instruction-set.html#atomic-operations
#[inline(always)]
pub(crate) unsafe fn exchange_if(word: *mut u64, expected: u64, new: u64) -> u64 {
    let before;
    // SAFETY: the caller's promise covers the memory; the instruction touches nothing else.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inout("r0") expected => before,
            options(nostack, preserves_flags),
        );
    }
    before
}
