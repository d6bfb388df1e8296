//! How much may pass a port.

use crate::layout::{Bucket, QuotaKind, WayMeter};

/// What the kernel hands through the stack at once at most, as long as nobody asks for more (`GSO_MAX_SIZE` was this), with
/// an Ethernet header.
const TRAIN: u64 = 65_536 + 14;
/// How many segments such a train has where frames are as long as Ethernet's.
const TRAIN_SEGMENTS: u64 = 45;

/// How fast frames may pass one way. No limit at all by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PortRate {
    /// Bits a second, at least 8; of frames with their Ethernet headers, as [`Traffic`](crate::layout::Traffic) counts them.
    pub bits: Option<u64>,
    /// Packets a second, as they would be on a wire: a train of segments counts as so many.
    pub packets: Option<u64>,
    /// How many bytes may pass at once after a pause, of the limit by bits. `None` is what passes at the rate in 250 ms, and
    /// 256 KiB at least.
    ///
    /// TCP that is dropped stands still for 200 ms (`TCP_RTO_MIN`), and where the way is short, as over a bridge, even its
    /// smallest window is faster than most rates, so it comes to that again and again. With a burst of less, what the rate
    /// makes of that time is lost, and TCP does not come up to the rate.
    ///
    /// In any time no more passes than the rate makes of it and this. A frame is what the kernel hands through at once, a
    /// train of segments of up to 64 KiB, and passes while anything is left: so trains do not starve beside small frames. What
    /// they take too much is kept for that, 64 KiB of the burst or half of it, and is made up for before anything else passes.
    /// A train that is larger than the burst passes when the bucket is full.
    pub burst: Option<u64>,
    /// As [`Self::burst`], of the limit by packets: by default what passes in 250 ms, and 128 at least. Of those 45, or half, are
    /// kept for trains.
    pub packet_burst: Option<u64>,
}

impl PortRate {
    /// So many bits a second.
    #[must_use]
    pub const fn bits(bits: u64) -> Self {
        Self { bits: Some(bits), packets: None, burst: None, packet_burst: None }
    }

    /// So many packets a second.
    #[must_use]
    pub const fn packets(packets: u64) -> Self {
        Self { bits: None, packets: Some(packets), burst: None, packet_burst: None }
    }

    /// With a burst of so many bytes.
    #[must_use]
    pub const fn with_burst(self, bytes: u64) -> Self {
        Self { burst: Some(bytes), ..self }
    }
}

/// How many bytes may pass in all: of [`Limits`] the most, where `None` is no limit; of
/// [`OverLimits`](super::OverLimits) how many have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Quota<T = Option<u64>> {
    /// From the sandbox.
    pub outgoing: T,
    /// To the sandbox.
    pub incoming: T,
    /// Both together.
    pub total: T,
}

impl<T> Quota<T> {
    /// What a function says of each.
    pub(super) fn of(each: impl Fn(QuotaKind) -> T) -> Self {
        Self { outgoing: each(QuotaKind::Out), incoming: each(QuotaKind::In), total: each(QuotaKind::Total) }
    }

    /// All three.
    pub(super) fn kinds(self) -> [(QuotaKind, T); 3] {
        let Self { outgoing, incoming, total } = self;
        [(QuotaKind::Out, outgoing), (QuotaKind::In, incoming), (QuotaKind::Total, total)]
    }
}

impl Quota {
    /// What is left of each once so much has passed.
    pub(super) fn less(self, used: Quota<u64>) -> Self {
        let left = |all: Option<u64>, used: u64| all.map(|all| all.saturating_sub(used));
        Self {
            outgoing: left(self.outgoing, used.outgoing),
            incoming: left(self.incoming, used.incoming),
            total: left(self.total, used.total),
        }
    }

    /// The least of them; `None` if there is none.
    #[must_use]
    pub fn least(self) -> Option<u64> {
        [self.outgoing, self.incoming, self.total].into_iter().flatten().min()
    }
}

/// How much may pass a port. Nothing waits: what is over a limit is dropped, as a policer drops it, and is counted.
///
/// Of a rate frames are dropped until there is enough for one again. Of a quota the frame that would cross it is dropped, and
/// every later one that would; a smaller frame may still pass. A port that is judged has its limits for what its policy lets
/// pass, so that nobody uses up a neighbour's with frames that are dropped.
///
/// As text it has `tc`'s words, [`FromStr`](std::str::FromStr) and [`Display`](std::fmt::Display): `100mbit` both ways,
/// `in=1gbit,out=100mbit,out=20kpps,burst=1mb,quota=10gb,quota-in=8gb`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// What the sandbox sends: the port's `rx`.
    pub outgoing: PortRate,
    /// What the sandbox receives: the port's `tx`.
    pub incoming: PortRate,
    /// Bytes in all, with Ethernet headers.
    pub quota: Quota,
}

impl Limits {
    /// No limits at all, as by default.
    pub const NONE: Self =
        Self::both(PortRate { bits: None, packets: None, burst: None, packet_burst: None });

    /// The same both ways.
    #[must_use]
    pub const fn both(rate: PortRate) -> Self {
        let quota = Quota { outgoing: None, incoming: None, total: None };
        Self { outgoing: rate, incoming: rate, quota }
    }

    /// With a quota of so many bytes, both ways together.
    #[must_use]
    pub const fn with_total(self, bytes: u64) -> Self {
        Self { quota: Quota { total: Some(bytes), ..self.quota }, ..self }
    }

    /// Whether nothing is limited.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// With every burst as it is chosen where it was left to choose: as [`Monitor::limits`](crate::Monitor::limits) reads
    /// them.
    #[must_use]
    pub fn chosen(self) -> Self {
        let [outgoing, incoming] = [self.outgoing, self.incoming].map(|rate| Asked::of(rate).limit());
        Self { outgoing, incoming, ..self }
    }
}

/// A rate as the map has it, for itself to be read again: bits, packets, and how many bytes and packets at once, 0 for no
/// limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked(pub(super) [u64; 4]);

impl Asked {
    /// So many parts of a second may pass at once unless it is said otherwise.
    const BURSTS: u64 = 4;
    const LEAST_BYTES: u64 = 256 * 1024;
    const LEAST_PACKETS: u64 = 128;

    pub(super) fn of(rate: PortRate) -> Self {
        let bits = rate.bits.map_or(0, |bits| bits.max(8));
        let packets = rate.packets.map_or(0, |packets| packets.max(1));
        let burst = rate.burst.unwrap_or((bits / 8 / Self::BURSTS).max(Self::LEAST_BYTES)).max(1);
        let packet_burst =
            rate.packet_burst.unwrap_or((packets / Self::BURSTS).max(Self::LEAST_PACKETS)).max(1);
        let of = |limit: u64, burst: u64| if limit == 0 { 0 } else { burst };
        Self([bits, packets, of(bits, burst), of(packets, packet_burst)])
    }

    pub(super) const fn is_some(self) -> bool {
        let Self([bits, packets, ..]) = self;
        bits != 0 || packets != 0
    }

    pub(super) fn limit(self) -> PortRate {
        let [bits, packets, burst, packet_burst] = self.0.map(|number| (number != 0).then_some(number));
        PortRate { bits, packets, burst, packet_burst }
    }

    /// As the program reads it, with full buckets.
    pub(super) fn meter(self) -> [u64; size_of::<WayMeter>() / size_of::<u64>()] {
        let Self([bits, packets, burst, packet_burst]) = self;
        let bucket = |a_second, burst, largest| {
            if a_second == 0 { Bucket::default() } else { Bucket::new(a_second, burst, largest) }
        };
        let (bytes, packets) =
            (bucket(bits / 8, burst, TRAIN), bucket(packets, packet_burst, TRAIN_SEGMENTS));
        [bytes.cost, bytes.depth, bytes.spare, packets.cost, packets.depth, packets.spare, 0, 0]
    }
}
