//! Waiting for what the kernel does in its own time.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// Asks until there is an answer.
///
/// # Panics
/// If there is none within five minutes.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Asks until the condition holds.
///
/// # Panics
/// If it does not within five minutes.
pub fn eventually(what: &str, mut ask: impl FnMut() -> bool) {
    until(what, || ask().then_some(()));
}
