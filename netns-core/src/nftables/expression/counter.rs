//! `counter`: packets and bytes.

use super::Expressions;

impl Expressions<'_, '_> {
    /// Counts the packet.
    pub fn counter(&mut self) {
        // Without numbers it begins at zero.
        self.add("counter", |_| {});
    }
}
