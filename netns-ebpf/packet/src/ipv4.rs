//! IPv4 ([RFC 791](https://www.rfc-editor.org/rfc/rfc791)).

use super::fragment::{Fragment, MORE, OFFSET};
use super::{Below, Bytes, Facts, Reason, Rules, Span, Steps, Verdict, transport};

/// A header without options.
const HEADER: u32 = 20;
const WORDS: usize = 5;

/// Judges the packet whose header begins at `at`.
///
/// # Errors
/// The reason why the port may not send it.
#[inline(always)]
pub fn judge<B: Steps + ?Sized>(frame: &B, at: u32, facts: Facts, rules: &Rules) -> Verdict {
    let header = frame.words::<WORDS, { HEADER as usize }>(at).ok_or(Reason::FrameShort)?;
    let [lengths, fragment, lifetime, source, destination] = header;
    let [first, _, l0, l1] = lengths.to_ne_bytes();
    let [_, _, f0, f1] = fragment.to_ne_bytes();
    let [ttl, protocol, _, _] = lifetime.to_ne_bytes();
    if first >> 4 != 4 {
        return Err(Reason::Ipv4Version);
    }
    let room = facts.length.saturating_sub(at);
    let header_length = u32::from(first & 0xF) * 4;
    if header_length < HEADER || header_length > room {
        return Err(Reason::Ipv4HeaderLength);
    }
    let total = match u32::from(u16::from_be_bytes([l0, l1])) {
        0 if facts.is_train => room,
        total => total,
    };
    if total < header_length || total > room {
        return Err(Reason::Ipv4TotalLength);
    }
    facts.checksum_at.after(at + header_length)?;
    // The sum of RFC 1071 before it is folded, which is the same in either byte order.
    let (mut sum, mut wrong_option) = (header.into_iter().map(u64::from).sum(), None);
    if header_length > HEADER {
        let options = Span { start: at + HEADER, end: at + header_length };
        let Ipv4Options { sum: more, wrong } = frame.ipv4_options(options);
        (sum, wrong_option) = (sum + u64::from(more), wrong);
    }
    if fold(sum) != 0xFFFF {
        return Err(Reason::Ipv4Checksum);
    }
    if ttl == 0 {
        return Err(Reason::Ipv4Ttl);
    }
    let is_unspecified = source == 0;
    if !is_unspecified && is_nobodys(source) {
        return Err(Reason::Ipv4SourceInvalid);
    }
    if source == destination {
        return Err(Reason::Ipv4Land);
    }
    if !is_unspecified && !rules.has_ipv4(source) {
        return Err(Reason::Ipv4SourceForeign);
    }
    if let Some(reason) = wrong_option {
        return Err(reason);
    }
    let payload = Span { start: at + header_length, end: at + total };
    let field = u16::from_be_bytes([f0, f1]);
    let is_fragment = field & (MORE | OFFSET) != 0;
    if is_fragment {
        let length = payload.end - payload.start;
        let fragment = Fragment { field, length, transport: length, before: header_length, protocol };
        if !fragment.is_honest() {
            return Err(Reason::Ipv4Fragment);
        }
        if fragment.is_later() {
            // Its transport header, and with it what 0.0.0.0 may say, was in another.
            return if is_unspecified { Err(Reason::Ipv4SourceInvalid) } else { Ok(()) };
        }
    }
    let Facts { is_train, checksum_at, .. } = facts;
    let below =
        Below { is_v6: false, is_unspecified, is_train, hop_limit: ttl, is_fragment, at, checksum_at };
    transport::judge(frame, payload, protocol, below, rules)
}

/// 0/8, 127/8, and everything from 224 on: multicast, reserved, broadcast.
#[inline(always)]
pub(super) const fn is_nobodys(address: u32) -> bool {
    matches!(address.to_ne_bytes(), [0 | 127 | 224.., ..])
}

/// The destination address of the packet whose header is at `at`.
#[inline(always)]
pub(super) fn destination<B: Bytes + ?Sized>(frame: &B, at: u32) -> Option<u32> {
    frame.words::<1, 4>(at + 16).map(|[address]| address)
}

/// Folds a sum of at most fifteen words to the 16 bits that are compared.
#[inline(always)]
pub(super) const fn fold(sum: u64) -> u64 {
    let sum = (sum >> 32) + (sum & 0xFFFF_FFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    let sum = (sum >> 16) + (sum & 0xFFFF);
    (sum >> 16) + (sum & 0xFFFF)
}

/// What is to be known of a header's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Options {
    /// Their sum, as far as the header's checksum needs it.
    pub sum: u32,
    /// What is wrong with them.
    pub wrong: Option<Reason>,
}

const END: u8 = 0;
const NOTHING: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;
/// As many words as there is room for in a header.
const MOST_WORDS: u32 = 10;
/// As many bytes, each of which can be an option.
const MOST_OPTIONS: u32 = 40;

/// Adds the options up, and walks them.
#[inline(always)]
pub fn options<B: Bytes + ?Sized>(frame: &B, options: Span) -> Ipv4Options {
    let Span { start, end } = options;
    let mut sum = 0;
    for word in 0..MOST_WORDS {
        let at = start + word * 4;
        if at < end
            && let Some([word]) = frame.words::<1, 4>(at)
        {
            sum += u64::from(word);
        }
    }
    // Ten words leave a carry of four bits, and adding it once leaves another.
    let sum = (sum >> 32) + (sum & 0xFFFF_FFFF);
    let sum = (sum >> 32) + (sum & 0xFFFF_FFFF);
    Ipv4Options { sum: sum as u32, wrong: walk(frame, options).err() }
}

/// Looks for options that are none, or not to be sent.
#[inline(always)]
fn walk<B: Bytes + ?Sized>(frame: &B, options: Span) -> Verdict {
    let Span { start: mut at, end } = options;
    for _ in 0..MOST_OPTIONS {
        if at >= end {
            break;
        }
        let [kind] = frame.load(at).ok_or(Reason::Ipv4Options)?;
        match kind {
            END => break,
            NOTHING => at += 1,
            LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => return Err(Reason::Ipv4SourceRoute),
            _ => {
                let [length] = frame.load(at + 1).ok_or(Reason::Ipv4Options)?;
                let length = u32::from(length);
                if length < 2 || length > end - at {
                    return Err(Reason::Ipv4Options);
                }
                at += length;
            }
        }
    }
    Ok(())
}
