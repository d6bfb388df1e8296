//! Signals that arrive while something waits.

use crate::sys::Interrupter;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Runs `f` while a signal arrives every `interval` at the calling thread and at no other, for at most `longest`, so
/// that even a wait that signals prolong comes to an end. The signal's handler does nothing, and the kernel does not
/// restart the system call that it interrupts.
///
/// # Panics
/// If the kernel does not allow it, or `f` panics.
pub fn interrupted<T>(interval: Duration, longest: Duration, f: impl FnOnce() -> T) -> T {
    let interrupter = Interrupter::of_this_thread().expect("a signal handler");
    let (done, is_done) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let begun = Instant::now();
            while begun.elapsed() < longest
                && is_done.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
            {
                interrupter.interrupt().expect("a thread that lives");
            }
        });
        // Dropped when `f` panics, too.
        let _done = done;
        f()
    })
}
