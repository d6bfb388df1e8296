//! The counters, mapped: the kernel's array as memory of this process. All of its unsafe code is here.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, ptr, slice};

use crate::layout::{PortCounters, Traffic};

/// The counters of one line, as 64-bit words.
const WORDS: usize = size_of::<PortCounters>() / size_of::<u64>();

/// A mapping of the counters' array, which lives as long as this does.
///
/// Reading it is loading from memory: no syscall, and never a wait for whoever writes.
#[derive(Debug)]
pub(super) struct MappedCounters {
    start: NonNull<AtomicU64>,
    /// How many lines there are.
    lines: usize,
}

// SAFETY: the memory belongs to the mapping, not to a thread, and everything that is done with it is atomic.
unsafe impl Send for MappedCounters {}
// SAFETY: as above.
unsafe impl Sync for MappedCounters {}

impl MappedCounters {
    /// Maps an array of `lines` counters that was made with `BPF_F_MMAPABLE`.
    pub(super) fn new(map: BorrowedFd<'_>, lines: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choosing touches nothing that exists; the kernel refuses
        // a length beyond the array.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                lines * size_of::<PortCounters>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))?;
        Ok(Self { start, lines })
    }

    /// One line's words.
    ///
    /// # Panics
    /// If there is no such line.
    fn words(&self, line: usize) -> &[AtomicU64] {
        assert!(line < self.lines, "line {line} of {} counter lines", self.lines);
        // SAFETY: the line lies within the mapping, which is valid for reads and writes until `self` is dropped, page
        // aligned and zeroed by the kernel at first. It changes under us (the program counts), which is why the
        // words are atomic: on 64-bit machines the program's stores to them are whole.
        unsafe { slice::from_raw_parts(self.start.as_ptr().add(line * WORDS), WORDS) }
    }

    /// What one line says now.
    pub(super) fn read(&self, line: usize) -> PortCounters {
        let words = self.words(line);
        let word = |index: usize| words[index].load(Ordering::Relaxed);
        PortCounters {
            rx: Traffic { packets: word(0), bytes: word(1), segments: word(2) },
            tx: Traffic { packets: word(3), bytes: word(4), segments: word(5) },
            reserved: [word(6), word(7)],
        }
    }

    /// Sets one line to zero. What the program counts in it at the same moment may be lost, or stay.
    pub(super) fn zero(&self, line: usize) {
        for word in self.words(line) {
            word.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for MappedCounters {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made, and no reference into it outlives `self`. A failure is not
        // possible for a range that is mapped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.lines * size_of::<PortCounters>()) };
    }
}
