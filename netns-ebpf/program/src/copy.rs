//! Copying bytes out of a frame: the only file that calls the kernel's [`bpf_skb_load_bytes`].
//!
//! The verifier wants to know of each copy how long it is at most, and that it is not empty. Of a length that is a constant
//! it knows. Of one that depends on the frame it knows what a comparison has shown, but kernels before 6.9 know it of the
//! register that was compared and not of a copy of it made by a 32-bit move ([`check_alu_op`] clears the number by which
//! it would know that two registers are equal). The compiler is free to compare one copy and to hand over another. So a
//! length that is not constant is bounded in [`bounded`], where it cannot, and nowhere else.
//!
//! [`check_alu_op`]: https://github.com/torvalds/linux/blob/v6.1/kernel/bpf/verifier.c

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use core::arch::asm;

/// Copies `N` bytes from a place in the frame; false if the frame has not so many.
///
/// # Safety
/// `skb` is the program's context, and `to` is valid for writes.
#[inline(always)]
pub(crate) unsafe fn fixed<const N: usize>(skb: *mut __sk_buff, at: u32, to: *mut [u8; N]) -> bool {
    // SAFETY: by the caller's promise; the helper writes `N` bytes.
    unsafe { bpf_skb_load_bytes(skb.cast(), at, to.cast(), N as u32) >= 0 }
}

/// Copies the first bytes of a frame of this length, as many as there are and there is room for, but at least one. Returns
/// how many that is; 0 if the frame has not so many.
///
/// # Safety
/// `skb` is the program's context, and `to` is valid for writes.
#[inline(always)]
pub(crate) unsafe fn start<const N: usize>(skb: *mut __sk_buff, length: u32, to: *mut [u8; N]) -> u32 {
    let length = bounded::<N>(length);
    // SAFETY: by the caller's promise; the helper writes `length` bytes, which are at most `N`.
    let loaded = unsafe { bpf_skb_load_bytes(skb.cast(), 0, to.cast(), length) };
    if loaded >= 0 { length } else { 0 }
}

/// A number from 1 to `MAX`: the nearest to `number`.
///
/// One register is compared, set and handed out, in instructions that the compiler does not look into. Copies of the result
/// have its bounds, since they are the register's own. (A comparison with `!=` would not do: of that, kernels before 6.8 learn
/// no bound.)
#[inline(always)]
fn bounded<const MAX: usize>(number: u32) -> u32 {
    let mut number = u64::from(number);
    // SAFETY: a register is read and written; both jumps end in these instructions.
    unsafe {
        asm!(
            "if {number} <= {max} goto +1",
            "{number} = {max}",
            "if {number} >= 1 goto +1",
            "{number} = 1",
            number = inout(reg) number,
            max = const MAX,
            options(pure, nomem, nostack),
        );
    }
    number as u32
}
