//! Where a checksum was left to a later hop. No field of the program's context says that, so it is read out of the
//! kernel's own structure, `sk_buff`, at the places that user space found in the kernel's types.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use core::arch::asm;
use core::mem::MaybeUninit;
use netns_packet::ChecksumPlace;
use netns_packet::layout::{CAST_MARK, ChecksumFields, SkbAccess};

use crate::maps::CHECKSUM_FIELDS;

/// `CHECKSUM_PARTIAL` of [skbuff.h](https://github.com/torvalds/linux/blob/v6.18/include/linux/skbuff.h).
const PARTIAL: u8 = 3;

/// Where in the frame a checksum was left to be written: a [`ChecksumPlace`]'s bits.
///
/// Places in a frame the structure counts from where its memory begins (`csum_start`), and where the frame begins as well
/// (`mac_header`, which is set at the ingress hook: `skb_reset_mac_len` in [dev.c]).
///
/// [dev.c]: https://github.com/torvalds/linux/blob/v6.18/net/core/dev.c
#[inline(always)]
pub(crate) fn left(context: *mut __sk_buff) -> u32 {
    let word = CHECKSUM_FIELDS.load();
    if word == 0 {
        return ChecksumPlace::NONE.to_bits();
    }
    let fields = ChecksumFields::from_word(word);
    if fields.access == SkbAccess::Copied {
        return left_by_copy(context);
    }
    // SAFETY: the fields lie in the structure, aligned, as user space has read in the kernel's types, and the verifier has
    // proven it for each read: to it, all of the fields are constants.
    unsafe { place(kernel_skb(context).add(usize::from(fields.start)), fields) }
}

/// As [`left`], where the structure is to be copied.
///
/// The context is the structure itself, whatever the verifier lets a program see of it. A function of its own in the kernel
/// too, because of its stack.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn left_by_copy(context: *mut __sk_buff) -> u32 {
    let fields = ChecksumFields::from_word(CHECKSUM_FIELDS.load());
    let mut copy = MaybeUninit::<Copied>::uninit();
    let start = context.cast::<u8>().wrapping_add(usize::from(fields.start));
    // SAFETY: there is room for what is copied, and the helper answers an error where nothing can be read.
    if unsafe { bpf_probe_read_kernel(copy.as_mut_ptr().cast(), ChecksumFields::SPAN as u32, start.cast()) }
        < 0
    {
        // Linux 5.12 refuses here what later kernels refuse when the program is loaded (lockdown).
        return ChecksumPlace::at(u32::MAX).to_bits();
    }
    // SAFETY: all of it was written, and user space has seen to it that the fields are in it, aligned.
    unsafe { place(copy.as_ptr().cast(), fields) }
}

/// Room for a copy, aligned as the structure is.
#[repr(align(8))]
struct Copied(#[expect(dead_code, reason = "it is read by place")] [u8; ChecksumFields::SPAN]);

/// Where a checksum was left: see [`left`].
///
/// # Safety
/// `start` points at the bytes that the fields count from, and all of the fields can be read there; two bytes are aligned.
#[inline(always)]
unsafe fn place(start: *const u8, fields: ChecksumFields) -> u32 {
    // SAFETY: by the caller's promise. Volatile: the verifier takes reads of just these widths.
    let number = |at: u8| unsafe { u32::from(start.add(usize::from(at)).cast::<u16>().read_volatile()) };
    // SAFETY: as above.
    let kind = unsafe { start.add(usize::from(fields.kind)).read_volatile() };
    if kind >> (fields.kind_shift & 7) & 3 != PARTIAL {
        return ChecksumPlace::NONE.to_bits();
    }
    let place = number(fields.sum_start) + number(fields.sum_offset);
    ChecksumPlace::at(place.wrapping_sub(number(fields.frame))).to_bits()
}

/// The kernel's own structure, which the context stands for, as the verifier knows it.
///
/// User space makes the second instruction a call of [`bpf_cast_to_kern_ctx`], of which the verifier makes this same
/// instruction again. Where it does not, nothing reads by the result.
///
/// [`bpf_cast_to_kern_ctx`]: https://docs.kernel.org/bpf/kfuncs.html#core-kfuncs
#[inline(always)]
fn kernel_skb(context: *mut __sk_buff) -> *const u8 {
    let skb: *const u8;
    // SAFETY: a call may write to these registers, and to nothing else. (Without `nomem`, what is read of the context before
    // is read again after it, and takes no room on the stack meanwhile.)
    unsafe {
        asm!(
            "r0 = {mark}",
            "r0 = r1",
            mark = const CAST_MARK,
            out("r0") skb,
            inlateout("r1") context => _,
            out("r2") _,
            out("r3") _,
            out("r4") _,
            out("r5") _,
            options(nostack),
        );
    }
    skb
}
