//! The namespaces, the bridge and the cables of a run, until they are taken down.

mod build;
mod enforcement;
mod topology;
mod way_out;

use super::plan::RunPlan;
use crate::cli::RunShape;
use crate::failure::Failure;
use crate::messages::say;
use crate::name;
use enforcement::Enforcement;
use netns_core::barrier::{Barrier, FORWARDED};
use netns_core::bridge::{self, BridgeOptions, PortOptions, PortState};
use netns_core::link::{Link, LinkStats};
use netns_core::tap::{Tap, TapOptions};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
use netns_ebpf::packet::Reason;
use netns_ebpf::{Limits, Mode, Monitor, Policy, Slot};
use netns_topology::HeldLab;
use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};
use way_out::KeptWayOut;

/// How long a port may take to forward once the spanning tree protocol is on: two seconds twice, and some more.
const SPANNING_LIMIT: Duration = Duration::from_secs(10);
/// How long to sleep between two checks.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A namespace that was made.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) namespace: Arc<Namespace>,
    /// The link that the program counts on: the host's end of the cable.
    pub(crate) port: IfName,
    pub(crate) port_index: u32,
    /// Its slot, if there is a program.
    pub(crate) slot: Option<Slot>,
    pub(crate) mac: MacAddress,
    pub(crate) addresses: Vec<IpAddr>,
}

/// What a run has made so far. Dropping it takes everything down.
#[derive(Debug)]
pub(crate) struct RunLab<'a> {
    monitor: Option<&'a Monitor>,
    /// What happens to violations.
    mode: Mode,
    /// The limits of each port.
    limits: Limits,
    topology: RunShape,
    host: Namespace,
    socket: RouteSocket,
    /// What was made, once there is anything.
    lab: Option<HeldLab<'a>>,
    members: Vec<Member>,
    /// The bridge's index and MAC address.
    bridge: Option<(u32, MacAddress)>,
    enforcement: Enforcement,
    /// The policy of the first member, while its guard is removed.
    put_away: Option<Policy>,
    way_out: KeptWayOut,
    /// Whether everything is in a host namespace that ends with the process. Then there is no record for `netns clean`.
    private: bool,
}

impl<'a> RunLab<'a> {
    /// An empty lab.
    pub(crate) fn begin(
        host: Namespace,
        plan: &RunPlan,
        monitor: Option<&'a Monitor>,
        mode: Mode,
        private: bool,
    ) -> Result<Self, Failure> {
        let mut socket = RouteSocket::open_in(&host)?;
        // `lo` has an address if the kernel has IPv6.
        let has_ipv6 = link::get(&mut socket, LO)?.addrgenmode.is_some();
        if let Some(subnet) = plan.subnets.iter().find(|subnet| !has_ipv6 && subnet.net.address().is_ipv6()) {
            return Err(Failure::usage(format!(
                "--subnet6 {}: this kernel has no IPv6 (CONFIG_IPV6, or ipv6.disable=1 on its command line)",
                subnet.net
            )));
        }
        Ok(Self {
            monitor,
            mode,
            limits: plan.limits,
            topology: plan.topology,
            host,
            socket,
            lab: None,
            members: Vec::new(),
            bridge: None,
            enforcement: Enforcement::new(),
            put_away: None,
            way_out: KeptWayOut::new(),
            private,
        })
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// What a namespace with these addresses may send.
    pub(crate) fn policy(&self, mac: MacAddress, addresses: &[IpAddr]) -> Result<Policy, Failure> {
        let policy = Policy::of_host(mac, addresses).map_err(|full| Failure::usage(full.to_string()))?;
        Ok(Policy { mode: self.mode, limits: self.limits, ..policy })
    }

    pub(crate) fn topology(&self) -> RunShape {
        self.topology
    }

    /// The program, unless the kernel alone counts.
    pub(crate) fn monitor(&self) -> Option<&'a Monitor> {
        self.monitor
    }

    /// Whether everything is in a host namespace of its own, which ends with the process.
    pub(crate) fn is_private(&self) -> bool {
        self.private
    }

    /// Hands on the program's log.
    pub(crate) fn flush_log(&self) {
        if let Some(monitor) = self.monitor {
            monitor.flush_log();
        }
    }

    /// Whether a barrier keeps frames from getting past the program.
    pub(crate) fn has_barrier(&mut self) -> bool {
        self.barrier().is_some()
    }

    fn barrier(&mut self) -> Option<&mut Barrier> {
        self.lab.as_mut()?.barrier()
    }

    /// The bridge's index and MAC address; `None` for two namespaces joined by a cable.
    pub(crate) fn bridge(&self) -> Option<(u32, MacAddress)> {
        self.bridge
    }

    /// Removes the first member's guard, or restores it: its policy, the barrier, and its port's forwarding of what must
    /// reach the barrier.
    pub(crate) fn guard(&mut self, is_guarded: bool) -> Result<(), Failure> {
        if let Some(barrier) = self.barrier() {
            if is_guarded { barrier.restore()? } else { barrier.lower()? }
        }
        let (Some(member), Some(monitor)) = (self.members.first(), self.monitor) else { return Ok(()) };
        match member.slot {
            Some(slot) if is_guarded => {
                if let Some(policy) = self.put_away.take() {
                    monitor.set_policy(slot, &policy)?;
                }
            }
            Some(slot) => {
                // The policy that the port has, with its limits and its egress policy.
                self.put_away = monitor.policy(slot).or(self.put_away);
                monitor.clear_policy(slot)?;
            }
            None => {}
        }
        let group_fwd_mask = Some(if is_guarded { FORWARDED } else { 0 });
        let options = PortOptions { group_fwd_mask, ..PortOptions::NONE };
        Ok(bridge::set_port(&mut self.socket, member.port_index, &options)?)
    }

    /// The first member's count of this reason.
    pub(crate) fn counted(&mut self, reason: Reason) -> Result<u64, Failure> {
        self.read_barrier()?;
        let slot = self.members.first().and_then(|member| member.slot);
        let violations = self.monitor.zip(slot).map(|(monitor, slot)| monitor.violations(slot));
        Ok(violations.map_or(0, |violations| violations.of(reason)))
    }

    /// Switches the spanning tree protocol on, and waits until the first member's port forwards; or off.
    pub(crate) fn span_tree(&mut self, on: bool) -> Result<(), Failure> {
        let (Some((bridge, _)), Some(member)) = (self.bridge(), self.members.first()) else { return Ok(()) };
        // As short as the kernel allows: a port listens for this long, and then learns for as long.
        let forward_delay = Some(Duration::from_secs(if on { 2 } else { 15 }));
        let options = BridgeOptions { stp_state: Some(on), forward_delay, ..BridgeOptions::NONE };
        bridge::set(&mut self.socket, bridge, &options)?;
        let deadline = Instant::now() + SPANNING_LIMIT;
        let forwards = |link: Link| link.port.is_some_and(|port| port.state == Some(PortState::FORWARDING));
        while !forwards(link::get(&mut self.socket, member.port_index)?) {
            if Instant::now() > deadline {
                return Err(Failure::Kernel(format!("{} does not forward with STP", member.port)));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// Puts a TAP without offloads on the bridge. It goes when it is closed.
    pub(crate) fn plug_in_tap(&mut self) -> Result<Tap, Failure> {
        let Some((bridge, _)) = self.bridge() else { return Err(Failure::usage("a TAP takes a bridge")) };
        let name = IfName::new(&format!("tap{bridge}"))?;
        let tap = Tap::create_in(&self.host, &TapOptions::new(name))?;
        bridge::attach(&mut self.socket, name, bridge)?;
        link::set_up(&mut self.socket, name)?;
        Ok(tap)
    }

    pub(crate) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Another handle on the host's namespace, for use after this is gone.
    pub(crate) fn host(&self) -> Result<Namespace, Failure> {
        Ok(self.host.try_clone()?)
    }

    /// The kernel's own counters of every port, in the order of the members.
    pub(crate) fn port_stats(&mut self) -> Result<Vec<LinkStats>, Failure> {
        let mut stats = Vec::with_capacity(self.members.len());
        if let (RunShape::Pair, [first, second]) = (self.topology, &self.members[..]) {
            for (member, far) in [(first, second), (second, first)] {
                let mut socket = RouteSocket::open_in(&far.namespace)?;
                stats.push(link::stats(&mut socket, member.port_index)?);
            }
            return Ok(stats);
        }
        let links = link::list(&mut self.socket)?;
        let by_index: HashMap<u32, LinkStats> =
            links.into_iter().map(|link| (link.index, link.stats)).collect();
        for member in &self.members {
            let port = by_index.get(&member.port_index);
            stats.push(*port.ok_or_else(|| Failure::Kernel(format!("port {} is gone", member.port)))?);
        }
        Ok(stats)
    }

    /// Leaves everything in place, and returns the names.
    pub(crate) fn keep(mut self) -> Vec<String> {
        drop(self.lab.take());
        let names = self.members.iter().map(|member| member.name.clone());
        names.collect()
    }

    /// Takes everything down.
    pub(crate) fn take_down(mut self) -> Result<(), Failure> {
        self.unmake()
    }

    fn unmake(&mut self) -> Result<(), Failure> {
        let Some(lab) = self.lab.take() else { return Ok(()) };
        // The lab holds the last handles on the namespaces.
        self.members.clear();
        match self.host.enter(|| lab.down(&mut |_| ControlFlow::Continue(())))? {
            Ok(done) => {
                for why in done.left {
                    say(format_args!("left alone: {why}"));
                }
                Ok(())
            }
            Err(error) => {
                if !self.private {
                    let program = name::name();
                    say(format_args!("what could not be removed is on record: `{program} clean` removes it"));
                }
                Err(error.into())
            }
        }
    }
}

impl Drop for RunLab<'_> {
    fn drop(&mut self) {
        if let Err(failure) = self.unmake() {
            say(format_args!("error: take down: {failure}"));
        }
    }
}

/// `lo` has the first index in every namespace.
const LO: u32 = 1;
