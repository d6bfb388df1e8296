//! Arrays of the program's, mapped: the kernel's memory as memory of this process. All of its unsafe code is here.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, ptr, slice};

/// A mapping of an array whose elements are 64-bit words, which lives as long as this does.
///
/// Reading it is loading from memory: no syscall, and never a wait for a writer.
#[derive(Debug)]
pub(super) struct MappedArray {
    start: NonNull<AtomicU64>,
    /// How many elements there are.
    elements: usize,
    /// How many words each has.
    words: usize,
}

// SAFETY: the memory belongs to the mapping, not to a thread, and everything that is done with it is atomic.
unsafe impl Send for MappedArray {}
// SAFETY: as above.
unsafe impl Sync for MappedArray {}

impl MappedArray {
    /// Maps an array of `elements`, of `size` bytes each, that was made with `BPF_F_MMAPABLE`. The size is a multiple of
    /// 8, so nothing is between the elements.
    pub(super) fn new(map: BorrowedFd<'_>, elements: usize, size: usize) -> io::Result<Self> {
        assert!(size.is_multiple_of(size_of::<AtomicU64>()), "elements of {size} bytes");
        // SAFETY: a new mapping at an address of the kernel's choosing touches nothing that exists; the kernel refuses
        // a length beyond the array.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                elements * size,
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
        Ok(Self { start, elements, words: size / size_of::<AtomicU64>() })
    }

    /// How many elements there are.
    pub(super) const fn len(&self) -> usize {
        self.elements
    }

    /// One element's words.
    ///
    /// # Panics
    /// If there is no such element.
    pub(super) fn words(&self, element: usize) -> &[AtomicU64] {
        assert!(element < self.elements, "element {element} of {}", self.elements);
        // SAFETY: the element lies within the mapping, which is valid for reads and writes until `self` is dropped,
        // page aligned and zeroed by the kernel at first. It changes under us (the program counts), which is why the
        // words are atomic: on 64-bit machines the program's stores to them are whole.
        unsafe { slice::from_raw_parts(self.start.as_ptr().add(element * self.words), self.words) }
    }

    /// What an element's first words say now.
    ///
    /// # Panics
    /// If there is no such element, or it has not as many words.
    pub(super) fn read<const N: usize>(&self, element: usize) -> [u64; N] {
        let words = self.words(element);
        std::array::from_fn(|word| words[word].load(Ordering::Relaxed))
    }

    /// Sets one element to zero. What the program counts in it at the same moment may be lost, or stay.
    pub(super) fn zero(&self, element: usize) {
        for word in self.words(element) {
            word.store(0, Ordering::Relaxed);
        }
    }
}

impl Drop for MappedArray {
    fn drop(&mut self) {
        let size = self.elements * self.words * size_of::<AtomicU64>();
        // SAFETY: this is the mapping that `new` made, and no reference into it outlives `self`. A failure is not
        // possible for a range that is mapped.
        unsafe { libc::munmap(self.start.as_ptr().cast(), size) };
    }
}
