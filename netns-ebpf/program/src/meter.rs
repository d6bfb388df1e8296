//! Limits: rates and quotas of ports. What is over them is dropped; nothing waits.

use aya_ebpf::bindings::__sk_buff;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::programs::TcContext;
use netns_packet::layout::{
    Bucket, CLOCK_TRIES, PortMeter, PortWay, QuotaKind, QuotaWords, TICK_SHIFT, WayMeter, metering,
    verdict_note,
};

use crate::Fate;
use crate::atomic;
use crate::frame::Frame;
use crate::maps::{METERED, METERS, QUOTA_EVENTS};
use crate::verdicts;
use crate::violation::drop_counted;

/// Holds a frame that is about to pass against the limits of its port. Asked last, so that what is dropped for another
/// reason uses up nothing.
#[inline(always)]
pub(crate) fn passing(context: &TcContext, frame: &Frame, way: PortWay, fate: Fate) -> Fate {
    if METERED.load() == 0 || matches!(fate, Fate::Drop) {
        return fate;
    }
    let Some(meter) = METERS.get_ptr(frame.slot) else { return fate };
    let control = control_of(meter);
    if control & (metering::RATES << way as u32 | metering::QUOTAS) == 0 {
        return fate;
    }
    if metered(context.skb.skb, frame.slot, way as u32) == 0 { Fate::Pass } else { Fate::Drop }
}

/// Not 0 if a frame is over a limit of the port of this slot, which it is counted for then.
///
/// A function of its own in the kernel too, so that its stack is not in between what runs for every port.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn metered(skb: *mut __sk_buff, slot: u32, way: u32) -> u32 {
    let frame = Frame::read(&TcContext::new(skb), slot);
    let Some(meter) = METERS.get_ptr_mut(slot) else { return 0 };
    let control = control_of(meter);
    let is_in = way == PortWay::In as u32;
    let place = usize::from(is_in);
    // SAFETY: `meter` points at an element of the map, valid while the program runs, its fields aligned by their layout. User
    // space writes to the rates that do not hold only; clocks and quotas are changed by whole words.
    unsafe {
        let active = usize::from(control & metering::ACTIVE != 0);
        let rates = &raw mut (*meter).rates[active][place];
        let clocks = Clocks { slot, way: (active as u32) << 1 | place as u32 };
        if control & metering::RATES << place != 0 && !within_rates(rates, clocks, &frame) {
            drop_counted(&raw mut (*meter).limited[place], &frame);
            verdicts::note(skb, verdict_note::OVER_RATE);
            return 1;
        }
        if control & metering::QUOTAS != 0 && !within_quotas(meter, slot, is_in, &frame) {
            drop_counted(&raw mut (*meter).over_quota[place], &frame);
            verdicts::note(skb, verdict_note::OVER_QUOTA);
            return 1;
        }
    }
    0
}

#[inline(always)]
fn control_of(meter: *const PortMeter) -> u64 {
    // SAFETY: `meter` points at an element of the map; the word is aligned, and user space stores it whole.
    unsafe { (&raw const (*meter).control).read_volatile() }
}

/// Where the clocks of a port are: which rates (the second bit) and which way (the first).
#[derive(Clone, Copy)]
struct Clocks {
    slot: u32,
    way: u32,
}

impl Clocks {
    const BYTES: u32 = 0;
    const PACKETS: u32 = 1 << 2;

    #[inline(always)]
    fn take(self, of: u32, now: u64, amount: u32) -> bool {
        meter_takes(self.slot, self.way | of, now, amount) != 0
    }
}

/// Takes what a frame costs, of bytes and of segments; false if one of them has not enough, and then of none.
///
/// # Safety
/// `meter` points into a map's element that is valid while the program runs, and nobody else writes its buckets. Its clocks are
/// `clocks`.
#[inline(always)]
unsafe fn within_rates(meter: *mut WayMeter, clocks: Clocks, frame: &Frame) -> bool {
    // SAFETY: the helper has no preconditions.
    let now = unsafe { bpf_ktime_get_ns() } << TICK_SHIFT;
    let (bytes, segments) = (charged(frame) as u32, segments(frame));
    // SAFETY: by the caller's promise.
    unsafe {
        let (byte_bucket, packet_bucket) = (&(*meter).bytes, &(*meter).packets);
        let counts_packets = packet_bucket.cost != 0;
        let packet_clock = (&raw const (*meter).packet_clock).read_volatile();
        if counts_packets && packet_bucket.pass(packet_clock, now, segments).is_none() {
            return false;
        }
        if byte_bucket.cost == 0 {
            return clocks.take(Clocks::PACKETS, now, segments);
        }
        if !clocks.take(Clocks::BYTES, now, bytes) {
            return false;
        }
        if counts_packets && !clocks.take(Clocks::PACKETS, now, segments) {
            // Another CPU took it since it was asked. If this one stood still meanwhile for longer than the frame takes,
            // the bucket is now fuller than full by that one frame.
            atomic::add(&raw mut (*meter).byte_clock, byte_bucket.taken(bytes).wrapping_neg());
            return false;
        }
    }
    true
}

/// Moves a clock on by a frame; 0 if that is too early.
///
/// A function of its own in the kernel too: the verifier follows its loop once, and not once for each way in which the loops
/// before it can end. With all of them in one function it followed 630,000 instructions, of a million that it ever does.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn meter_takes(slot: u32, clock: u32, now: u64, amount: u32) -> u32 {
    if METERED.load() == 0 {
        return 1;
    }
    let Some(meter) = METERS.get_ptr_mut(slot) else { return 1 };
    let (active, place) = ((clock >> 1 & 1) as usize, (clock & 1) as usize);
    // SAFETY: as in `metered`.
    unsafe {
        let rates = &raw mut (*meter).rates[active][place];
        let (bucket, clock) = if clock & Clocks::PACKETS == 0 {
            (&(*rates).bytes, &raw mut (*rates).byte_clock)
        } else {
            (&(*rates).packets, &raw mut (*rates).packet_clock)
        };
        u32::from(take(bucket, clock, now, amount))
    }
}

/// Moves a clock on by a frame.
///
/// # Safety
/// `clock` is an aligned word of a map's element that is valid while the program runs.
#[inline(always)]
unsafe fn take(bucket: &Bucket, clock: *mut u64, now: u64, amount: u32) -> bool {
    for _ in 0..CLOCK_TRIES {
        // SAFETY: by the caller's promise.
        let seen = unsafe { clock.read_volatile() };
        let Some(next) = bucket.pass(seen, now, amount) else { return false };
        // SAFETY: as above.
        if unsafe { atomic::exchange_if(clock, seen, next) } == seen {
            return true;
        }
    }
    false
}

/// How many bytes a frame counts as. A train of segments so small that no honest stack makes them (TCP's are 536 bytes and
/// more, RFC 9293) counts with a header for each: with segments of one byte, fifty times as much goes over a wire as is in
/// the train.
#[inline(always)]
fn charged(frame: &Frame) -> u64 {
    const HONEST: u32 = 536;
    const HEADERS: u64 = 54;
    if frame.segment_bytes == 0 || frame.segment_bytes >= HONEST {
        return frame.bytes;
    }
    frame.bytes + u64::from(segments(frame)).saturating_sub(1) * HEADERS
}

/// What a frame would be cut into on a wire. Of a train that a packet socket made (`PACKET_VNET_HDR`) the kernel has not
/// counted that, so it is worked out too.
#[inline(always)]
fn segments(frame: &Frame) -> u32 {
    let counted = frame.segments as u32;
    if frame.segment_bytes == 0 { counted } else { counted.max(frame.bytes as u32 / frame.segment_bytes) }
}

/// Uses up quotas; false if the frame would cross one, and then it uses up none.
///
/// # Safety
/// As for [`within_rates`].
#[inline(always)]
unsafe fn within_quotas(meter: *mut PortMeter, slot: u32, is_in: bool, frame: &Frame) -> bool {
    let kind = if is_in { QuotaKind::In } else { QuotaKind::Out };
    let bytes = charged(frame);
    // SAFETY: by the caller's promise.
    unsafe {
        let quotas = &raw mut (*meter).quotas;
        let total = (&raw mut (*quotas)[QuotaKind::Total as usize]).cast::<QuotaWords>();
        let own = (&raw mut (*quotas)[usize::from(is_in)]).cast::<QuotaWords>();
        if meter_uses_up(slot, QuotaKind::Total as u32, bytes) == 0 {
            reach(meter, total, QuotaKind::Total, frame);
            return false;
        }
        if meter_uses_up(slot, u32::from(is_in), bytes) == 0 {
            give_back(total, bytes);
            reach(meter, own, kind, frame);
            return false;
        }
    }
    true
}

/// Adds a frame to what a quota has had, if that does not cross it; 0 if it would. What has none counts all the same. A function
/// of its own in the kernel for the reason that [`meter_takes`] is one.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn meter_uses_up(slot: u32, quota: u32, bytes: u64) -> u32 {
    if METERED.load() == 0 {
        return 1;
    }
    let Some(meter) = METERS.get_ptr_mut(slot) else { return 1 };
    // SAFETY: as in `metered`.
    unsafe {
        let quotas = &raw mut (*meter).quotas;
        let place =
            if quota == QuotaKind::Total as u32 { QuotaKind::Total as usize } else { (quota & 1) as usize };
        let words = (&raw mut (*quotas)[place]).cast::<QuotaWords>();
        u32::from(use_up(words, bytes))
    }
}

/// Adds a frame to what a quota has had, if that does not cross it.
///
/// # Safety
/// As for [`within_rates`].
#[inline(always)]
unsafe fn use_up(quota: *mut QuotaWords, bytes: u64) -> bool {
    for _ in 0..CLOCK_TRIES {
        // SAFETY: by the caller's promise.
        unsafe {
            let used = (&raw const (*quota).used).read_volatile();
            if crosses(quota, used, bytes) {
                return false;
            }
            if atomic::exchange_if(&raw mut (*quota).used, used, used.wrapping_add(bytes)) == used {
                return true;
            }
        }
    }
    false
}

/// Takes a frame off what a quota has had, unless that was begun anew since it was added.
///
/// # Safety
/// As for [`within_rates`].
#[inline(always)]
unsafe fn give_back(quota: *mut QuotaWords, bytes: u64) {
    for _ in 0..CLOCK_TRIES {
        // SAFETY: by the caller's promise.
        unsafe {
            let used = (&raw const (*quota).used).read_volatile();
            if used < bytes || atomic::exchange_if(&raw mut (*quota).used, used, used - bytes) == used {
                return;
            }
        }
    }
}

/// Whether a frame would cross a quota that has had so much.
///
/// # Safety
/// As for [`within_rates`].
#[inline(always)]
unsafe fn crosses(quota: *const QuotaWords, used: u64, bytes: u64) -> bool {
    // SAFETY: by the caller's promise.
    let limit = unsafe { (&raw const (*quota).limit).read_volatile() };
    limit != 0 && used.wrapping_add(bytes) >= limit
}

/// Reports a reached quota once, until user space changes it. One that only was too busy is not reached.
///
/// # Safety
/// As for [`within_rates`].
#[inline(always)]
unsafe fn reach(meter: *mut PortMeter, quota: *const QuotaWords, kind: QuotaKind, frame: &Frame) {
    // SAFETY: by the caller's promise; the entry is room for one record that nobody else has.
    unsafe {
        let reached = &raw mut (*meter).reached;
        let seen = reached.read_volatile();
        let used = (&raw const (*quota).used).read_volatile();
        if seen >> kind as u32 & 1 != 0 || !crosses(quota, used, charged(frame)) {
            return;
        }
        // Without room in the buffer the next frame reports it.
        let Some(mut entry) = QUOTA_EVENTS.reserve(0) else { return };
        let event = entry.as_mut_ptr();
        (&raw mut (*event).time).write(bpf_ktime_get_ns());
        (&raw mut (*event).slot).write(frame.slot);
        (&raw mut (*event).quota).write(kind as u32);
        if atomic::exchange_if(reached, seen, seen | 1 << kind as u32) == seen {
            entry.submit(0);
        } else {
            entry.discard(0);
        }
    }
}
