//! The steps of judging that are functions of their own in the kernel too.
//!
//! They are [global functions]: the verifier looks at each once, for whatever arguments, instead of at every call on
//! every path. Arguments and results are numbers, beside the context that the verifier knows; what is more than one
//! number is packed into one.
//!
//! [global functions]: https://docs.ebpf.io/linux/concepts/functions/#global-functions

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_skb_pull_data;
use netns_packet::layout::{NO_SLOT, control};
use netns_packet::{
    Below, Bytes, Carried, ChecksumPlace, Facts, Ipv4Options, Mac, Owners, Reason, Rules, Span, Steps,
    Verdict,
};

use crate::rules;
use crate::skb::Skb;

/// A frame that is being judged, and by which rules: a port's slot and its policy's control word.
///
/// Bytes that are not in the frame's first piece are pulled into it before they are read, so that what was judged is a
/// copy that nobody else has, and is what is delivered.
pub(crate) struct Judged {
    pub(crate) skb: Skb,
    pub(crate) slot: u32,
    pub(crate) control: u32,
}

impl Bytes for Judged {
    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        let is_held = self.skb.direct(at, N).is_some() || pull(self.skb.0, at + N as u32) == 0;
        if is_held { self.skb.load(at) } else { None }
    }

    #[inline(always)]
    fn words<const N: usize, const LENGTH: usize>(&self, at: u32) -> Option<[u32; N]> {
        if self.skb.direct(at, LENGTH).is_none() {
            pull(self.skb.0, at + LENGTH as u32);
        }
        self.skb.words::<N, LENGTH>(at)
    }
}

/// A frame whose bytes before a place are in its first piece; `None` if that cannot be.
#[inline(always)]
pub(crate) fn held(context: *mut __sk_buff, end: u32) -> Option<Skb> {
    let skb = Skb(context);
    (skb.direct(end, 0).is_some() || pull(context, end) == 0).then_some(skb)
}

/// The headers of a frame, of which what follows them can be long, and stays where it is.
struct Headers {
    skb: Skb,
    /// From here on nothing is read.
    end: u32,
}

impl Headers {
    /// How long headers can be that are not in a frame's first piece. Where they are there is no limit.
    const LONGEST: u32 = 1024;

    #[inline(always)]
    fn hold(context: *mut __sk_buff, start: u32, end: u32) -> Self {
        let skb = Skb(context);
        let end = if skb.direct(end, 0).is_some() {
            end
        } else {
            let end = end.min(start.saturating_add(Self::LONGEST));
            if pull(context, end) == 0 { end } else { 0 }
        };
        Self { skb, end }
    }
}

impl Bytes for Headers {
    #[inline(always)]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        if at + N as u32 <= self.end { self.skb.load(at) } else { None }
    }

    #[inline(always)]
    fn words<const N: usize, const LENGTH: usize>(&self, at: u32) -> Option<[u32; N]> {
        if at + LENGTH as u32 <= self.end { self.skb.words::<N, LENGTH>(at) } else { None }
    }
}

/// Pulls a frame's bytes up to `end`, and some more, into its first piece, which is then nobody else's
/// ([`skb_ensure_writable`]). 0 if it could be done.
///
/// [`skb_ensure_writable`]: https://github.com/torvalds/linux/blob/v6.12/net/core/skbuff.c
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn pull(context: *mut __sk_buff, end: u32) -> u32 {
    // SAFETY: as in `Frame::read`.
    let length = unsafe { (*context).len };
    if end > length {
        return 1;
    }
    // Headers follow each other, and each pull may copy all that was pulled before.
    let end = length.min(end.saturating_add(PULLED));
    // SAFETY: the helper takes any length; nobody keeps a pointer into the frame meanwhile.
    (unsafe { bpf_skb_pull_data(context, end) }) as u32
}

/// How much more is pulled than is asked for.
const PULLED: u32 = 128;

impl Steps for Judged {
    #[inline(always)]
    fn ipv4_options(&self, options: Span) -> Ipv4Options {
        let packed = ipv4_options(self.skb.0, options.start, options.end);
        Ipv4Options { sum: packed as u32, wrong: unpack((packed >> 32) as u8).err() }
    }

    #[inline(always)]
    fn extensions(&self, payload: Span, next: u8) -> Result<Carried, Reason> {
        let packed = ipv6_extensions(self.skb.0, payload.start, payload.end, u32::from(next));
        unpack((packed >> 56) as u8)?;
        let at = packed as u32 & 0x1FFFF;
        Ok(Carried {
            protocol: (packed >> 48) as u8,
            at,
            fragment: (packed >> 47 & 1 != 0).then_some((packed >> 32) as u16 & 0x3FFF),
            part: at - (packed >> 17 & 0x7FFF) as u32,
            is_routed: packed >> 46 & 1 != 0,
        })
    }

    #[inline(always)]
    fn discovery_options(&self, options: Span, owners: Owners, mac: Mac) -> Verdict {
        let flags = u64::from(owners.source) << 48 | u64::from(owners.target) << 49;
        unpack(discovery_options(self.skb.0, options.start, options.end, mac.0 | flags) as u8)
    }

    #[inline(always)]
    fn ipv4(&self, at: u32, facts: Facts, _: &Rules) -> Verdict {
        unpack(ipv4_packet(self.skb.0, pack_place(at, facts), facts.length, self.slot, self.control) as u8)
    }

    #[inline(always)]
    fn ipv6(&self, at: u32, facts: Facts, _: &Rules) -> Verdict {
        unpack(ipv6_packet(self.skb.0, pack_place(at, facts), facts.length, self.slot, self.control) as u8)
    }

    #[inline(always)]
    fn message(&self, payload: Span, number: u8, below: Below, _: &Rules) -> Verdict {
        let span = u64::from(payload.start) | u64::from(payload.end) << 32;
        unpack(message(self.skb.0, span, pack_below(number, below), self.slot, self.control) as u8)
    }

    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        let packed = word(self.skb.0, at);
        (packed >> 32 != 0).then_some(packed as u32)
    }

    #[inline(always)]
    fn dhcp_options(&self, options: Span) -> Result<Option<u32>, Reason> {
        let packed = dhcp_options(self.skb.0, options.start, options.end);
        unpack((packed >> 56) as u8)?;
        Ok((packed >> 32 & 1 != 0).then_some(packed as u32))
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
    let options = match held(context, end) {
        Some(frame) => netns_packet::ipv4_options(&frame, Span { start, end }),
        None => Ipv4Options { sum: 0, wrong: Some(Reason::Ipv4Options) },
    };
    let Ipv4Options { sum, wrong } = options;
    u64::from(sum) | u64::from(pack(wrong.map_or(Ok(()), Err))) << 32
}

/// [`Steps::extensions`]: the code of what is wrong, or a place and how far the fragment's beginning is before it, the
/// fragment's field, whether there is one, and the protocol.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ipv6_extensions(context: *mut __sk_buff, start: u32, end: u32, next: u32) -> u64 {
    let frame = Headers::hold(context, start, end);
    match netns_packet::ipv6_extensions(&frame, Span { start, end }, next as u8) {
        Ok(Carried { protocol, at, fragment, part, is_routed }) => {
            u64::from(at & 0x1FFFF)
                | u64::from((at - part) & 0x7FFF) << 17
                | u64::from(fragment.unwrap_or(0) & 0x3FFF) << 32
                | u64::from(is_routed) << 46
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
    let Some(frame) = held(context, end) else { return pack(Err(Reason::NdMalformed)).into() };
    pack(netns_packet::discovery_options(&frame, Span { start, end }, owners, mac)).into()
}

/// A place, and the facts beside the length.
const fn pack_place(at: u32, facts: Facts) -> u64 {
    let left = facts.checksum_at.to_bits() as u64;
    at as u64 & 0xFFF_FFFF | (facts.is_train as u64) << 28 | (facts.has_tag as u64) << 29 | left << 32
}

/// What [`pack_place`] packed, and the length.
const fn unpack_place(place: u64, length: u32) -> (u32, Facts) {
    let checksum_at = ChecksumPlace::from_bits((place >> 32) as u32);
    let facts = Facts { length, is_train: place >> 28 & 1 != 0, has_tag: place >> 29 & 1 != 0, checksum_at };
    (place as u32 & 0xFFF_FFFF, facts)
}

/// [`Steps::ipv4`]: a place and facts, the frame's length, and by whose rules it is judged; the code of what is wrong.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ipv4_packet(context: *mut __sk_buff, place: u64, length: u32, slot: u32, control: u32) -> u64 {
    let (at, facts) = unpack_place(place, length);
    // Those by which the frame is being judged, so that there are some. So it is below.
    let Some(rules) = rules::rules_at(slot, control) else { return pack(Ok(())).into() };
    pack(netns_packet::ipv4(&Judged { skb: Skb(context), slot, control }, at, facts, rules)).into()
}

/// [`Steps::ipv6`]: as [`ipv4_packet`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn ipv6_packet(context: *mut __sk_buff, place: u64, length: u32, slot: u32, control: u32) -> u64 {
    let (at, facts) = unpack_place(place, length);
    let Some(rules) = rules::rules_at(slot, control) else { return pack(Ok(())).into() };
    pack(netns_packet::ipv6(&Judged { skb: Skb(context), slot, control }, at, facts, rules)).into()
}

/// A protocol's number, the hop limit, four facts, where the IP header is, in 20 bits, and where a checksum is left.
const fn pack_below(number: u8, below: Below) -> u64 {
    let facts = below.is_v6 as u64
        | (below.is_unspecified as u64) << 1
        | (below.is_train as u64) << 2
        | (below.is_fragment as u64) << 3;
    let places = below.at as u64 & 0xF_FFFF | (below.checksum_at.to_bits() as u64) << 20;
    number as u64 | (below.hop_limit as u64) << 8 | facts << 16 | places << 20
}

/// [`Steps::message`]: where it is, what is below it, and by whose rules it is judged; the code of what is wrong.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn message(context: *mut __sk_buff, span: u64, below: u64, slot: u32, control: u32) -> u64 {
    let payload = Span { start: span as u32, end: (span >> 32) as u32 };
    let is = |fact: u32| below >> (16 + fact) & 1 != 0;
    let (number, hop_limit, at) = (below as u8, (below >> 8) as u8, (below >> 20) as u32 & 0xF_FFFF);
    let (is_v6, is_unspecified, is_train, is_fragment) = (is(0), is(1), is(2), is(3));
    let checksum_at = ChecksumPlace::from_bits((below >> 40) as u32);
    let below = Below { is_v6, is_unspecified, is_train, is_fragment, hop_limit, at, checksum_at };
    let Some(rules) = rules::rules_at(slot, control) else { return pack(Ok(())).into() };
    let frame = Judged { skb: Skb(context), slot, control };
    pack(netns_packet::message(&frame, payload, number, below, rules)).into()
}

/// [`Steps::word`]: the word, and above it whether there is one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn word(context: *mut __sk_buff, at: u32) -> u64 {
    let frame = Judged { skb: Skb(context), slot: NO_SLOT, control: control::OFF };
    frame.words::<1, 4>(at).map_or(0, |[word]| u64::from(word) | 1 << 32)
}

/// [`Steps::dhcp_options`]: the address that is declined, whether one is, and the code of what is wrong.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn dhcp_options(context: *mut __sk_buff, start: u32, end: u32) -> u64 {
    let options = match held(context, end) {
        Some(frame) => netns_packet::dhcp_options(&frame, Span { start, end }),
        None => Err(Reason::DhcpClient),
    };
    match options {
        Ok(declined) => {
            u64::from(declined.unwrap_or(0))
                | u64::from(declined.is_some()) << 32
                | u64::from(pack(Ok(()))) << 56
        }
        Err(reason) => u64::from(pack(Err(reason))) << 56,
    }
}
