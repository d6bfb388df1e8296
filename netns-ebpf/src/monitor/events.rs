//! Violations as they happen: the ring buffer of events.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aya::maps::{MapData, RingBuf};

use super::{Monitor, MonitorError, Slot};
use crate::layout;
use crate::packet::Reason;

/// A violation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViolationEvent<'a> {
    /// When, on `CLOCK_MONOTONIC`.
    pub time: Duration,
    /// The port that sent the frame; `None` if it has no slot.
    pub slot: Option<Slot>,
    /// The reason.
    pub reason: Reason,
    /// Whether the frame was dropped.
    pub dropped: bool,
    /// How long the frame was, in bytes.
    pub length: u32,
    /// The VLAN tag that the kernel had taken out of the frame: its EtherType and its content.
    pub tag: Option<(u16, u16)>,
    /// The frame's first bytes, at most [`SNAPSHOT`](layout::SNAPSHOT).
    pub frame: &'a [u8],
}

impl<'a> ViolationEvent<'a> {
    /// Out of what the program wrote.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let field = |at: usize| bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes);
        let time = u64::from_ne_bytes(*bytes.first_chunk()?);
        let [a, b] = *bytes.get(20..)?.first_chunk()?;
        let &[reason, dropped] = bytes.get(22..)?.first_chunk()?;
        let tag = field(16)?;
        let frame = bytes.get(std::mem::offset_of!(layout::ViolationRecord, frame)..)?;
        Some(Self {
            time: Duration::from_nanos(time),
            slot: u16::try_from(field(8)?).ok().and_then(Slot::new),
            reason: Reason::from_code(reason)?,
            dropped: dropped != 0,
            length: field(12)?,
            tag: (tag != 0).then_some(((tag >> 16) as u16, tag as u16)),
            frame: frame.get(..usize::from(u16::from_ne_bytes([a, b])))?,
        })
    }
}

/// The ring buffer.
pub(super) struct EventReader {
    ring: Mutex<RingBuf<MapData>>,
    /// The ring buffer's, beside the reader's own behind its lock.
    fd: OwnedFd,
}

impl EventReader {
    pub(super) fn new(ring: RingBuf<MapData>) -> Result<Self, MonitorError> {
        let fd = ring.as_fd().try_clone_to_owned();
        let failed =
            |source| MonitorError::Kernel { operation: "keep the ring buffer of events".into(), source };
        Ok(Self { fd: fd.map_err(failed)?, ring: Mutex::new(ring) })
    }
}

impl fmt::Debug for EventReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventReader").field("fd", &self.fd).finish_non_exhaustive()
    }
}

impl Monitor {
    /// Hands the violations that were reported since the last call to `each`, in their order, and says how many.
    ///
    /// A port reports at most some hundred a second; those beyond, and those that the ring buffer had no room for because
    /// nobody called this, are counted: [`Violations`](layout::Violations).
    ///
    /// Other threads that call it meanwhile wait. `each` must not call it, since it would wait for itself.
    pub fn events(&self, mut each: impl FnMut(&ViolationEvent<'_>)) -> usize {
        let mut ring = self.events.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = 0;
        while let Some(item) = ring.next() {
            if let Some(event) = ViolationEvent::parse(&item) {
                each(&event);
                count += 1;
            }
        }
        count
    }

    /// A file descriptor that is readable when [`Self::events`] has something to do.
    #[must_use]
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.events.fd.as_fd()
    }
}
