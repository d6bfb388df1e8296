//! A frame's bytes.

use crate::{copy, direct};
use aya_ebpf::bindings::__sk_buff;
use core::mem::MaybeUninit;
use netns_packet::Bytes;

/// The bytes of the frame that the program was called for, as far as they are in its first piece: nearly always all of
/// them, and of a longer frame its headers.
///
/// Of the other pieces nothing is read. They can be pages that the sender still writes to (`PACKET_TX_RING`, `vmsplice`),
/// so that what is delivered is not what was judged; the first piece is the kernel's own memory. What is to be judged is
/// pulled into it: see [`Judged`](crate::steps::Judged).
pub(crate) struct Skb(pub(crate) *mut __sk_buff);

impl Bytes for Skb {
    /// Of bytes that are known to be in the first piece: the helper would copy them from the others as well.
    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: `bytes` is ours; if it was copied to, all of it was written.
        unsafe { copy::fixed(self.0, at, bytes.as_mut_ptr()).then(|| bytes.assume_init()) }
    }

    /// From where the kernel keeps them: copying takes a call, and then loads that wait for its stores.
    #[inline(always)]
    fn words<const N: usize, const LENGTH: usize>(&self, at: u32) -> Option<[u32; N]> {
        const { assert!(LENGTH.is_multiple_of(HALF) && LENGTH <= N * WORD && LENGTH + WORD > N * WORD) };
        let start = self.direct(at, LENGTH)?;
        let word = |number: usize| {
            let (at, left) = (start.wrapping_add(number * WORD), LENGTH - number * WORD);
            // SAFETY: `LENGTH` bytes from `start` on are the frame's.
            unsafe { if left < WORD { direct::half(at) } else { direct::word(at) } }
        };
        Some(core::array::from_fn(word))
    }
}

const WORD: usize = size_of::<u32>();
const HALF: usize = size_of::<u16>();
/// How far into a frame the verifier follows a pointer (`MAX_PACKET_OFF`).
const FARTHEST: u32 = 0xFFFF;

impl Skb {
    /// Where `length` bytes of the frame are in memory; `None` if they are not in its first piece.
    #[inline(always)]
    pub(crate) fn direct(&self, at: u32, length: usize) -> Option<*const u8> {
        // SAFETY: as in `Frame::read`. The kernel gives two pointers in place of these numbers.
        let (start, end) =
            unsafe { ((*self.0).data as usize as *const u8, (*self.0).data_end as usize as *const u8) };
        let at = direct::opaque(at);
        if at > FARTHEST - length as u32 {
            return None;
        }
        let start = start.wrapping_add(at as usize);
        (start.wrapping_add(length) <= end).then_some(start)
    }
}
