//! A frame's bytes, and the steps of judging that are functions of their own in the kernel too.
//!
//! Those are [global functions]: the verifier looks at each once, for whatever arguments, instead of at every call on
//! every path. Arguments and results are numbers, beside the context that the verifier knows; what is more than one
//! number is packed into one.
//!
//! [global functions]: https://docs.ebpf.io/linux/concepts/functions/#global-functions

use super::{copy, direct};
use aya_ebpf::bindings::__sk_buff;
use core::mem::MaybeUninit;
use netns_ebpf::packet::{self, Bytes, Carried, Mac, Options, Owners, Reason, Span, Steps, Verdict};

/// The bytes of the frame that the program was called for.
pub(crate) struct Skb(pub(crate) *mut __sk_buff);

impl Bytes for Skb {
    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let mut bytes = MaybeUninit::<[u8; N]>::uninit();
        // SAFETY: `bytes` is ours; if it was copied to, all of it was written.
        unsafe { copy::fixed(self.0, at, bytes.as_mut_ptr()).then(|| bytes.assume_init()) }
    }

    /// From where the kernel keeps the frame, if its beginning is in one piece there, as it nearly always is. Copying
    /// takes a call, and then loads that wait for its stores.
    #[inline(always)]
    fn words<const N: usize, const LENGTH: usize>(&self, at: u32) -> Option<[u32; N]> {
        const { assert!(LENGTH.is_multiple_of(HALF) && LENGTH <= N * WORD && LENGTH + WORD > N * WORD) };
        if let Some(start) = self.direct(at, LENGTH) {
            let word = |number: usize| {
                let (at, left) = (start.wrapping_add(number * WORD), LENGTH - number * WORD);
                // SAFETY: `LENGTH` bytes from `start` on are the frame's.
                unsafe { if left < WORD { direct::half(at) } else { direct::word(at) } }
            };
            return Some(core::array::from_fn(word));
        }
        let mut words = [0; N];
        // SAFETY: `words` has room for `LENGTH` bytes.
        let is_copied = unsafe { copy::fixed::<LENGTH>(self.0, at, words.as_mut_ptr().cast()) };
        is_copied.then_some(words)
    }
}

const WORD: usize = size_of::<u32>();
const HALF: usize = size_of::<u16>();
/// How far into a frame the verifier follows a pointer (`MAX_PACKET_OFF`).
const FARTHEST: u32 = 0xFFFF;

impl Skb {
    /// Where `length` bytes of the frame are in memory; `None` if they are not in its first piece.
    #[inline(always)]
    fn direct(&self, at: u32, length: usize) -> Option<*const u8> {
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

impl Steps for Skb {
    #[inline(always)]
    fn ipv4_options(&self, options: Span) -> Options {
        let packed = ipv4_options(self.0, options.start, options.end);
        Options { sum: packed as u32, wrong: unpack((packed >> 32) as u8).err() }
    }

    #[inline(always)]
    fn extensions(&self, payload: Span, next: u8) -> Result<Carried, Reason> {
        let packed = ipv6_extensions(self.0, payload.start, payload.end, u32::from(next));
        unpack((packed >> 56) as u8)?;
        let at = packed as u32 & 0x1FFFF;
        Ok(Carried {
            protocol: (packed >> 48) as u8,
            at,
            fragment: (packed >> 47 & 1 != 0).then_some((packed >> 32) as u16 & 0x3FFF),
            part: at - (packed >> 17 & 0x7FFF) as u32,
        })
    }

    #[inline(always)]
    fn discovery_options(&self, options: Span, owners: Owners, mac: Mac) -> Verdict {
        let flags = u64::from(owners.source) << 48 | u64::from(owners.target) << 49;
        unpack(discovery_options(self.0, options.start, options.end, mac.0 | flags) as u8)
    }
}

/// No reason, or a reason's code, in eight bits.
const fn pack(verdict: Verdict) -> u8 {
    match verdict {
        Ok(()) => u8::MAX,
        Err(reason) => reason.code(),
    }
}

#[inline(always)]
fn unpack(code: u8) -> Verdict {
    Reason::from_code(code).map_or(Ok(()), Err)
}

/// [`Steps::ipv4_options`]: the sum, and above it what is wrong.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ipv4_options(context: *mut __sk_buff, start: u32, end: u32) -> u64 {
    let Options { sum, wrong } = packet::ipv4_options(&Skb(context), Span { start, end });
    u64::from(sum) | u64::from(pack(wrong.map_or(Ok(()), Err))) << 32
}

/// [`Steps::extensions`]: the code of what is wrong, or a place and how far the fragment's beginning is before it, the
/// fragment's field, whether there is one, and the protocol.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ipv6_extensions(context: *mut __sk_buff, start: u32, end: u32, next: u32) -> u64 {
    match packet::ipv6_extensions(&Skb(context), Span { start, end }, next as u8) {
        Ok(Carried { protocol, at, fragment, part }) => {
            u64::from(at & 0x1FFFF)
                | u64::from((at - part) & 0x7FFF) << 17
                | u64::from(fragment.unwrap_or(0) & 0x3FFF) << 32
                | u64::from(fragment.is_some()) << 47
                | u64::from(protocol) << 48
                | u64::from(pack(Ok(()))) << 56
        }
        Err(reason) => u64::from(pack(Err(reason))) << 56,
    }
}

/// [`Steps::discovery_options`]: the MAC address with the owners' flags above it; the code of what is wrong.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn discovery_options(context: *mut __sk_buff, start: u32, end: u32, owners_and_mac: u64) -> u64 {
    let owners = Owners { source: owners_and_mac >> 48 & 1 != 0, target: owners_and_mac >> 49 & 1 != 0 };
    let mac = Mac(owners_and_mac & 0xFFFF_FFFF_FFFF);
    pack(packet::discovery_options(&Skb(context), Span { start, end }, owners, mac)).into()
}
