//! The signals that the calling thread takes.

use std::io;
use std::mem::MaybeUninit;
use std::ptr;

/// A set of signals.
pub(crate) struct SignalSet(libc::sigset_t);

/// Has all signals that can wait do so, and returns those that waited before. Those of the thread's own making, a wild
/// pointer's for instance, cannot: they end the process.
pub(crate) fn block_all() -> io::Result<SignalSet> {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: both pointers are to room for a set, which outlives the calls. The first call fills `all`; the second reads it
    // and, if it returns 0, has filled `before`.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        match libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) {
            0 => Ok(SignalSet(before.assume_init())),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }
}

/// Has these wait, and no others.
pub(crate) fn block(set: &SignalSet) {
    // SAFETY: the pointer is to a set that the kernel filled, and outlives the call; nothing is written. It can only fail
    // for another first argument.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set.0, ptr::null_mut()) };
}
