//! Where a checksum was left to a later hop. No field of the program's context says that, so it is read out of the
//! kernel's own structure, `sk_buff`, at the places that user space found in the kernel's types.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use core::mem::MaybeUninit;
use netns_packet::ChecksumPlace;
use netns_packet::layout::ChecksumFields;

use crate::maps::CHECKSUM_FIELDS;

/// `CHECKSUM_PARTIAL` of [skbuff.h](https://github.com/torvalds/linux/blob/v6.18/include/linux/skbuff.h).
const PARTIAL: u8 = 3;

/// Where in the frame a checksum was left to be written: a [`ChecksumPlace`]'s bits.
///
/// The context is the kernel's structure itself, whatever the verifier lets a program see of it. Places in a frame the
/// structure counts from where its memory begins (`csum_start`), and where the frame begins as well (`mac_header`, which is
/// set at the ingress hook: `skb_reset_mac_len` in [dev.c]).
///
/// A function of its own in the kernel too, because of its stack.
///
/// [dev.c]: https://github.com/torvalds/linux/blob/v6.18/net/core/dev.c
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn left(context: *mut __sk_buff) -> u32 {
    let word = CHECKSUM_FIELDS.load();
    if word == 0 {
        return ChecksumPlace::NONE.to_bits();
    }
    let fields = ChecksumFields::from_word(word);
    let mut copy = MaybeUninit::<[u8; ChecksumFields::SPAN]>::uninit();
    let start = context.cast::<u8>().wrapping_add(usize::from(fields.start));
    // SAFETY: there is room for what is copied, and the helper answers an error where nothing can be read.
    if unsafe { bpf_probe_read_kernel(copy.as_mut_ptr().cast(), ChecksumFields::SPAN as u32, start.cast()) }
        < 0
    {
        // Linux 5.12 refuses here what later kernels refuse when the program is loaded (lockdown).
        return ChecksumPlace::at(u32::MAX).to_bits();
    }
    let copy = copy.as_ptr().cast::<u8>();
    // SAFETY: all of it was written, and user space has seen to it that the fields are in it.
    let number = |at: u8| unsafe { u32::from(copy.add(usize::from(at)).cast::<u16>().read_unaligned()) };
    // SAFETY: as above.
    let kind = unsafe { copy.add(usize::from(fields.kind)).read() };
    if kind >> (fields.kind_shift & 7) & 3 != PARTIAL {
        return ChecksumPlace::NONE.to_bits();
    }
    let place = number(fields.sum_start) + number(fields.sum_offset);
    ChecksumPlace::at(place.wrapping_sub(number(fields.frame))).to_bits()
}
