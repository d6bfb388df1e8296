//! Quotas as they are reached: the ring buffer of that.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

use crate::layout::QuotaKind;
use crate::monitor::{Monitor, MonitorError, Slot};

/// A quota was reached: a frame came that would have crossed it, and was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaEvent {
    /// When, on `CLOCK_MONOTONIC`.
    pub time: Duration,
    /// The port; `None` if it has no slot.
    pub slot: Option<Slot>,
    /// Which of its quotas.
    pub quota: QuotaKind,
}

impl QuotaEvent {
    /// Out of what the program wrote: a [`QuotaRecord`](crate::layout::QuotaRecord).
    fn parse(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
        let quota = match word(12)? {
            0 => QuotaKind::Out,
            1 => QuotaKind::In,
            2 => QuotaKind::Total,
            _ => return None,
        };
        Some(Self {
            time: Duration::from_nanos(u64::from_ne_bytes(*bytes.first_chunk()?)),
            slot: u16::try_from(word(8)?).ok().and_then(Slot::new),
            quota,
        })
    }
}

/// The ring buffer.
pub(in crate::monitor) struct QuotaReader {
    ring: Mutex<RingBuf<MapData>>,
    /// The ring buffer's, beside the reader's own behind its lock.
    fd: OwnedFd,
}

impl QuotaReader {
    pub(in crate::monitor) fn new(ring: RingBuf<MapData>) -> Result<Self, MonitorError> {
        let fd = ring.as_fd().try_clone_to_owned();
        let failed =
            |source| MonitorError::Kernel { operation: "keep the ring buffer of quotas".into(), source };
        Ok(Self { fd: fd.map_err(failed)?, ring: Mutex::new(ring) })
    }
}

impl fmt::Debug for QuotaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaReader").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl Monitor {
    /// Hands the quotas that were reached since the last call to `each`, in their order, and says how many.
    ///
    /// Each is reported once, and again when it was changed ([`Self::set_quota`]) or begun anew ([`Self::reset_quota`]). Of two
    /// processes that have opened the programs, one gets an event.
    ///
    /// Other threads that call it meanwhile wait. `each` must not call it, since it would wait for itself.
    pub fn quota_events(&self, mut each: impl FnMut(&QuotaEvent)) -> usize {
        let Some(reader) = &self.quota_events else { return 0 };
        let mut ring = reader.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        while let Some(item) = ring.next() {
            if let Some(event) = QuotaEvent::parse(&item) {
                each(&event);
                count += 1;
            }
        }
        count
    }

    /// A file descriptor that is readable when a quota was reached: when [`Self::quota_events`] has something to do. `None`
    /// if ports have no limits here ([`Self::has_limits`]).
    #[must_use]
    pub fn quota_fd(&self) -> Option<BorrowedFd<'_>> {
        self.quota_events.as_ref().map(|reader| reader.fd.as_fd())
    }
}
