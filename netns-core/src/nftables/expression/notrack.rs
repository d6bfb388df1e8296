//! `notrack`: the packet belongs to no connection.

use super::Expressions;

impl Expressions<'_, '_> {
    /// Keeps the kernel from tracking the packet, in a chain at prerouting or output before priority -200.
    pub fn no_tracking(&mut self) {
        self.add("notrack", |_| {});
    }
}
