//! What building a run reports as it proceeds.

use super::plan::PlannedMember;
use std::time::Duration;

/// Called after each step.
pub(crate) trait BuildSteps {
    /// A namespace was set up, and its time.
    fn namespace(&mut self, planned: &PlannedMember, time: Duration);

    /// A step was taken, and its time. If there are many, the later ones are summed up at the end.
    fn step(&mut self, name: &str, time: Duration);
}
