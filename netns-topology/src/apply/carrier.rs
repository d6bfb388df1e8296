//! Waiting until what was made carries packets.

use super::Executor;
use crate::error::Result;
use netns_core::ErrorKind;
use netns_core::link::{self, OperationalState};
use std::time::Duration;

/// How long a link may take to carry packets once both its ends are up. Milliseconds are usual; a kernel before 6.8
/// may let a link wait for a second.
const PATIENCE: Duration = Duration::from_secs(10);

impl Executor<'_, '_> {
    /// Waits for those links that did not carry packets when they were asked, which is how a kernel before 6.8 has it, for new
    /// ports, and for their bridges: what the host sends is not to wait for those either.
    pub(super) fn wait_for_carriers(&mut self) -> Result<()> {
        let mut slow = std::mem::take(&mut self.slow);
        for (place, bridge) in std::mem::take(&mut self.new_ports) {
            let socket = self.socket(&place)?;
            let mut links = link::list_ports(socket, bridge)?;
            // One with a spanning tree carries nothing until a port forwards, which is waited for in the end.
            let itself = link::get(socket, bridge)?;
            if itself.bridge().is_none_or(|options| options.stp_state != Some(true)) {
                links.push(itself);
            }
            let waits = links.iter().filter(|link| link.is_up() && link.state != OperationalState::Up);
            slow.extend(waits.map(|link| (place.clone(), link.index)));
        }
        for (place, index) in slow {
            match link::wait_up(self.socket(&place)?, index, PATIENCE) {
                // Somebody has put it or its other end down.
                Err(error) if error.kind() == ErrorKind::TimedOut => log::warn!("{error}"),
                other => drop(other?),
            }
        }
        Ok(())
    }
}
