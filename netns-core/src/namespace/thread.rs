//! Which thread this is.
//!
//! A request can name a namespace by a thread that is in it (`IFLA_NET_NS_PID`), which takes no descriptor. A thread's
//! id does not change while it lives, so it is asked for once. But a fork copies what a thread has remembered, and the
//! id then is another thread's, or after that one has ended anybody's: an interface would end up in a stranger's
//! namespace. So what is remembered holds only in the process that it was remembered in, which a word of memory shows
//! that is wiped in every fork.

use crate::sys::fork;
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What distinguishes this process from those that it was forked from; 0 while it has not been set since the fork.
/// `None` where the kernel has no such memory: then every thread asks every time.
static PROCESS: OnceLock<Option<&'static AtomicU64>> = OnceLock::new();
/// The highest number that a process had in the line from the first one down to this: forks inherit it, so that none
/// has the number of a forebear.
static LATEST: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The number of the process that this thread's id was asked for in, and the id.
    static KNOWN: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
    /// The number of the process in which it was asked whether this is the main thread, and the answer.
    static MAIN: Cell<(u64, bool)> = const { Cell::new((0, false)) };
}

/// The id of the calling thread: no system call if it asked before.
pub(crate) fn this_thread() -> u32 {
    let Some(process) = this_process() else { return fork::thread_id() };
    match KNOWN.get() {
        (known, id) if known == process => id,
        _ => {
            let id = fork::thread_id();
            KNOWN.set((process, id));
            id
        }
    }
}

/// Whether the calling thread is its process's first one, which after a fork is the one that forked: no system call if it
/// asked before.
pub(crate) fn is_main_thread() -> bool {
    let ask = || this_thread() == std::process::id();
    let Some(process) = this_process() else { return ask() };
    match MAIN.get() {
        (known, is_main) if known == process => is_main,
        _ => {
            let is_main = ask();
            MAIN.set((process, is_main));
            is_main
        }
    }
}

/// A number by which this process knows itself from those that it was forked from, without a system call; `None` where
/// the kernel has nothing to distinguish them by.
pub(crate) fn this_process() -> Option<u64> {
    let word = (*PROCESS.get_or_init(|| fork::word_wiped_on_fork().ok()))?;
    match word.load(Relaxed) {
        0 => {
            let new = LATEST.fetch_add(1, Relaxed) + 1;
            // Another thread may have been quicker; then its number is the process's.
            Some(word.compare_exchange(0, new, Relaxed, Relaxed).map_or_else(|theirs| theirs, |_| new))
        }
        number => Some(number),
    }
}

/// Notices a fork without asking for the thread's id.
#[cfg(test)]
pub(crate) fn notice_fork() {
    let _ = this_process();
}
