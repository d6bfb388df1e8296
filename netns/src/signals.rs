//! Ctrl-C, `kill` and a closed terminal end a command in an orderly way.

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU, SIGXFSZ,
};
use std::ffi::c_int;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Signals whose default action ends the process at once and would leave behind what it made: requests to stop
/// ([signal(7)](https://man7.org/linux/man-pages/man7/signal.7.html)). Not those that mean that the process itself is
/// broken (SIGSEGV, SIGILL, SIGFPE, SIGBUS, SIGABRT, SIGTRAP, SIGSYS), nor SIGPIPE, which a write reports as an error.
const DEADLY: [c_int; 14] = [
    SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGVTALRM, SIGPROF, SIGIO, SIGXCPU, SIGXFSZ,
    SIGPWR, SIGSTKFLT,
];
/// Power failure: signal-hook has no name for it. <https://github.com/torvalds/linux/blob/v6.12/include/uapi/asm-generic/signal.h>
const SIGPWR: c_int = 30;
/// Only people send it.
const SIGSTKFLT: c_int = 16;
/// Real-time signals are deadly too. The C library keeps the first for itself and refuses them: glibc two, musl three.
const REAL_TIME: std::ops::RangeInclusive<c_int> = 34..=64;

/// Whether we were asked to stop.
#[derive(Debug, Clone)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on, signals that would end the process at once are requests to stop.
    ///
    /// # Errors
    /// `sigaction(2)` refused.
    pub fn on_signals() -> io::Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in DEADLY {
            signal_hook::flag::register(signal, Arc::clone(&flag))?;
        }
        for signal in REAL_TIME {
            match signal_hook::flag::register(signal, Arc::clone(&flag)) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                other => drop(other?),
            }
        }
        Ok(Self(flag))
    }

    /// Whether one has arrived.
    #[must_use]
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
