//! When a wait ends.

use std::time::{Duration, Instant};

/// The end of a wait that may take `limit`, counted from the first time that somebody asks what is left of it.
///
/// What is left is computed anew at each question, so that a wait that a signal interrupts goes on with the rest of its
/// time and not with all of it. Nothing is added to a point in time, which would panic for long limits: every
/// [`Duration`] is fine. The clock is not read before the first question, because reading it is a system call on
/// machines without a clock for user space, and most waits are over before they begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    limit: Duration,
    begun: Option<Instant>,
}

impl Deadline {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, begun: None }
    }

    /// How long the wait may take in all.
    pub(crate) const fn limit(&self) -> Duration {
        self.limit
    }

    /// How long it may still take; zero when it is over.
    pub(crate) fn left(&mut self) -> Duration {
        if let Some(begun) = self.begun {
            return self.limit.saturating_sub(begun.elapsed());
        }
        self.begun = Some(Instant::now());
        self.limit
    }

    /// Sleeps for `time`, or for what is left if that is less; `false` if nothing is left.
    pub(crate) fn sleep(&mut self, time: Duration) -> bool {
        let left = self.left();
        std::thread::sleep(left.min(time));
        !left.is_zero()
    }
}

#[cfg(test)]
mod tests {
    use super::Deadline;
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn every_limit_is_fine() {
        let mut forever = Deadline::new(Duration::MAX);
        assert_eq!(forever.left(), Duration::MAX);
        assert!(forever.left() > Duration::MAX / 2);
        assert!(Deadline::new(Duration::ZERO).left().is_zero());
    }

    #[test]
    fn time_passes_from_the_first_question_on() {
        let mut deadline = Deadline::new(Duration::from_millis(20));
        sleep(Duration::from_millis(30));
        assert!(!deadline.left().is_zero());
        assert!(deadline.sleep(Duration::MAX));
        assert!(deadline.left().is_zero());
        assert!(!deadline.sleep(Duration::MAX));
    }
}
