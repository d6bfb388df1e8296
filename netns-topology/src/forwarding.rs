//! Ports of bridges with the spanning tree protocol listen and learn for a while before they forward: 30 s by default.

use crate::error::Result;
use crate::topology::{BridgeSpec, LinkName, Place, Topology};
use netns_core::bridge::PortState;
use netns_core::link::{self, Link};
use netns_core::{Namespace, RouteSocket};
use std::thread;
use std::time::{Duration, Instant};

/// What the kernel may take beyond the time that the protocol asks for.
const PATIENCE: Duration = Duration::from_secs(5);
/// After so long we say what we wait for.
const SOON: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);

/// Waits until no port of the topology's bridges is on its way to forwarding. A port that the protocol blocks, because there
/// is another way, is where it is to be.
pub(crate) fn wait(topology: &Topology) -> Result<()> {
    let with_stp = |bridge: &&BridgeSpec| bridge.options.stp_state == Some(true);
    topology.bridges.iter().filter(with_stp).try_for_each(|bridge| wait_for(&bridge.link))
}

fn wait_for(bridge: &LinkName) -> Result<()> {
    let namespace = match &bridge.place {
        Place::Host => Namespace::current()?,
        Place::Namespace(name) => Namespace::open(name)?,
    };
    let mut socket = RouteSocket::open_in(&namespace)?;
    let itself = link::get(&mut socket, bridge.name)?;
    // It listens for this long, and learns for as long (IEEE 802.1D, 8.4.3 and 8.4.4).
    let delay = itself.bridge().and_then(|options| options.forward_delay).unwrap_or_default();
    let (began, mut said) = (Instant::now(), false);
    loop {
        let ports = link::list_ports(&mut socket, itself.index)?;
        let Some(port) = ports.iter().find(|port| is_on_its_way(port)) else { return Ok(()) };
        let waited = began.elapsed();
        if waited > 2 * delay + PATIENCE {
            log::warn!("port {} of {bridge} does not forward yet: the bridge has a spanning tree", port.name);
            return Ok(());
        }
        if !said && waited > SOON {
            said = true;
            let seconds = (2 * delay).as_secs();
            log::warn!(
                "waiting until the ports of {bridge} forward: its spanning tree (`stp`) takes {seconds} s"
            );
        }
        thread::sleep(TICK);
    }
}

fn is_on_its_way(port: &Link) -> bool {
    let state = port.port.and_then(|options| options.state);
    matches!(state, Some(PortState::LISTENING | PortState::LEARNING))
}
