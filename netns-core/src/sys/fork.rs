//! Noticing that this process is a fork of the one that it was.

use super::check;
use std::io;
use std::mem::size_of;
use std::ptr;
use std::sync::atomic::AtomicU64;

/// A word of memory that is 0 now, and 0 again at the first look of every process that comes from this one by a fork,
/// however the fork was made (`MADV_WIPEONFORK`, Linux 4.14; `dup_mmap` in
/// <https://github.com/torvalds/linux/blob/v6.12/kernel/fork.c> does not copy such pages). It is never given back.
///
/// Only a child that shares its parent's memory (`vfork`) sees the parent's word; it may not run code like ours at all.
pub(crate) fn word_wiped_on_fork() -> io::Result<&'static AtomicU64> {
    const LENGTH: usize = size_of::<AtomicU64>();
    // SAFETY: a new private mapping without a wish for an address touches nothing that exists.
    let word = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(ptr::null_mut(), LENGTH, protection, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    };
    if word == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the pages are those that were mapped above, and nobody else knows them. The advice takes effect in
    // children only.
    if let Err(error) = check(unsafe { libc::madvise(word, LENGTH, libc::MADV_WIPEONFORK) }) {
        // SAFETY: as above; nothing points into them. It cannot fail for what was mapped just so.
        unsafe { libc::munmap(word, LENGTH) };
        return Err(error);
    }
    // SAFETY: the mapping is readable, writable, zero (which is a value of an atomic), begins at a page and so is
    // aligned, is long enough, and stays for the rest of the process; in a forked child it is there as well. It is only
    // ever accessed through this shared reference, atomically. That a fork changes the child's value is as if another
    // thread had stored it.
    Ok(unsafe { &*word.cast::<AtomicU64>() })
}

/// `gettid(2)`: the calling thread's number in its PID namespace.
pub(crate) fn thread_id() -> u32 {
    // SAFETY: no arguments, and it cannot fail.
    unsafe { libc::gettid() as u32 }
}

#[cfg(test)]
mod tests;
