//! What a run's building reports as it goes on.

use super::plan::PlannedMember;
use std::time::Duration;

/// Is called after each step.
pub(crate) trait BuildSteps {
    /// A namespace was set up, and its time.
    fn namespace(&mut self, planned: &PlannedMember, time: Duration);

    /// A step that was taken, and its time. Of many, the later ones are summed up in the end.
    fn step(&mut self, name: &str, time: Duration);
}
