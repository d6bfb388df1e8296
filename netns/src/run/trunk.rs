//! A way past the guard that takes two bridges: the sender's slot is forged in frames that cross the trunk between them.

use super::outcomes::Way;
use crate::failure::Failure;
use netns_core::network::{Network, NetworkOptions, PortProgram, Sandbox};
use netns_core::{IfName, Namespace, RouteSocket, link, sysctl};
use netns_ebpf::attack::{Around, FrameSocket, Party, cases};
use netns_ebpf::packet::Reason;
use netns_ebpf::{Mode, Monitor, MonitorOptions, NetworkGuard, Slot};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Its name in the report.
pub(super) const FORGED: &str = "ifb, a forged sender, over a trunk";
/// How long to wait for a frame that may arrive.
const WAIT: Duration = Duration::from_millis(100);

/// Tries it in networks of its own, which it removes: with nothing enforced, and with the guard.
pub(super) fn forged_sender() -> Result<Way, Failure> {
    let ((unguarded, _), (guarded, counted)) = (attempt(false)?, attempt(true)?);
    Ok(Way { name: FORGED, unguarded, guarded, counted, reason: Some(Reason::Unjudged) })
}

/// How many frames arrive at a sandbox on another bridge, and how many are counted as having passed the hook of the
/// attacker's port.
fn attempt(is_guarded: bool) -> Result<(u64, u64), Failure> {
    let options = MonitorOptions { slots: 16, pairs: 0, barrier: is_guarded, ..MonitorOptions::default() };
    let monitor = Arc::new(Monitor::load(&options)?);
    let program: Arc<dyn PortProgram> = if is_guarded {
        Arc::new(NetworkGuard::new(monitor.clone(), Mode::Enforce))
    } else {
        monitor.clone()
    };
    let host = Namespace::anonymous()?;
    for name in ["all", "default"] {
        // A kernel without IPv6 has no such settings.
        let _ = sysctl::set(&host, &format!("net/ipv6/conf/{name}/disable_ipv6"), "1");
    }
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/24".parse()?),
        per_bridge: 1,
        program: Some(program),
        ..NetworkOptions::new(IfName::new("fg")?)
    };
    host.enter(|| {
        let network = Network::create(&options)?;
        let [attacker, victim, innocent] =
            [network.create_sandbox()?, network.create_sandbox()?, network.create_sandbox()?];
        let mut around = Around::begin(attacker.namespace()?, IfName::new("eth0")?)?;
        around.forge(innocent.slot().unwrap_or_default())?;
        let arrived = send(&attacker, &victim)?;
        around.end()?;
        network.take_unjudged()?;
        let slot = attacker.slot().and_then(Slot::new);
        let counted = slot.map_or(0, |slot| monitor.violations(slot).of(Reason::Unjudged));
        Ok((arrived, counted))
    })?
}

/// Sends a lie from one to the other several times; returns how many arrive.
fn send(attacker: &Sandbox, victim: &Sandbox) -> Result<u64, Failure> {
    let party = |sandbox: &Sandbox| {
        let address = sandbox.address_v4().map(|address| address.address());
        Party::new(sandbox.mac(), address.as_slice())
    };
    let lies = cases(&party(attacker), &party(victim));
    let lie = lies.iter().find(|case| case.reason == Reason::Ipv4SourceForeign);
    let lie = lie.map(|case| &case.frame[..]).unwrap_or_default();
    let failed = |error: io::Error| Failure::Kernel(format!("send frames over a trunk: {error}"));
    let (sender, receiver) = (socket(attacker)?, socket(victim)?);
    while receiver.receive(Duration::ZERO).map_err(failed)?.is_some() {}
    for _ in 0..Way::SENT {
        sender.send(lie).map_err(failed)?;
    }
    let mut arrived = 0;
    while let Some(heard) = receiver.receive(WAIT).map_err(failed)? {
        arrived += u64::from(heard == lie);
    }
    Ok(arrived)
}

fn socket(sandbox: &Sandbox) -> Result<FrameSocket, Failure> {
    let namespace = sandbox.namespace()?;
    let eth0 = link::get(&mut RouteSocket::open_in(namespace)?, IfName::new("eth0")?)?;
    let socket = namespace.enter(|| FrameSocket::open(eth0.index))?;
    socket.map_err(|error| Failure::Kernel(format!("listen inside: {error}")))
}
