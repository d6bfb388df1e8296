//! Work that signals do not interrupt.
#![forbid(unsafe_code)]

use crate::sys::signals::{SignalSet, block, block_all};

/// Has the signals wait again that waited before, panics included.
struct Unblock(SignalSet);

impl Drop for Unblock {
    fn drop(&mut self) {
        block(&self.0);
    }
}

/// Runs `f` while signals to the calling thread wait; those to the process are taken by another thread, or wait too. `f` is
/// to be short: Ctrl-C does nothing meanwhile.
///
/// For what the kernel does not begin, or gives up, while a signal is pending, such as verifying an eBPF program
/// (`do_check` in <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/verifier.c>): where a profiler's signal arrives
/// each millisecond, it would never succeed.
///
/// ```
/// let loaded = netns_core::without_signals(|| 7);
/// assert_eq!(loaded, 7);
/// ```
pub fn without_signals<T>(f: impl FnOnce() -> T) -> T {
    // If the kernel does not let them wait, they may interrupt.
    let _unblock = block_all().ok().map(Unblock);
    f()
}
