//! Building: links, addresses, routes and programs.

use super::super::plan::{PlannedMember, RunPlan};
use super::super::steps::BuildSteps;
use super::{Member, RunLab};
use crate::cli::RunShape;
use crate::failure::Failure;
use crate::messages::say;
use crate::signals::Stop;
use crate::state::forwarding_of;
use netns_core::address::{self, Address};
use netns_core::barrier::{self, Barrier, BarrierPorts, FORWARDED};
use netns_core::bridge::{self, Bridge, PortOptions};
use netns_core::link::OperationalState;
use netns_core::neighbour::{self, FdbEntry, Neighbour};
use netns_core::record::{RecordedForwarding, RecordedLink, SettingBefore};
use netns_core::route::{self, Route};
use netns_core::sysctl::Ipv4Forwarding;
use netns_core::tc;
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_core::{IfName, IpNet, Namespace, RouteSocket, link};
use netns_ebpf::{Monitor, Slot};
use std::ops::RangeInclusive;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How far above the host's highest interface index ours begin: what others make meanwhile is numbered upwards one by
/// one.
const INDEX_GAP: u32 = 1000;

impl RunLab<'_> {
    /// Makes all of it, telling each step.
    pub(crate) fn build(
        &mut self,
        plan: &RunPlan,
        report: &mut dyn BuildSteps,
        stop: &Stop,
    ) -> Result<(), Failure> {
        match plan.topology {
            RunShape::Bridge => self.build_bridge(plan, report, stop),
            RunShape::Pair => self.build_pair(plan, report),
        }
    }

    fn build_bridge(
        &mut self,
        plan: &RunPlan,
        report: &mut dyn BuildSteps,
        stop: &Stop,
    ) -> Result<(), Failure> {
        let links = link::list(&mut self.socket)?;
        let bridge = links.iter().map(|link| link.index).max().unwrap_or(0) + INDEX_GAP;

        let started = Instant::now();
        let ports = plan.members.iter().zip(bridge + 1..).map(|(planned, index)| RecordedLink {
            name: planned.port,
            index: Some(index),
            mac: planned.port_mac,
        });
        let itself = RecordedLink { name: plan.bridge, index: Some(bridge), mac: plan.bridge_mac };
        self.links = ports.chain([itself]).collect();
        // Written down before any of it is made.
        if let Some(record) = &mut self.record {
            record.note_links(&self.links)?;
        }
        let mut batch = Batch::new();
        let spec = Bridge { index: Some(bridge), up: true, ..Bridge::new(plan.bridge, plan.bridge_mac) };
        bridge::encode_create(&mut batch, &spec);
        self.encode_silent(&mut batch, bridge);
        for subnet in &plan.subnets {
            let net = IpNet::new(subnet.host, subnet.net.prefix())?;
            address::encode_add(&mut batch, &Address::new(bridge, net));
            address::encode_local_route(&mut batch, bridge, subnet.host);
        }
        self.socket.execute(&mut batch)?;
        report.step(&format!("bridge {}", plan.bridge), started.elapsed());

        self.raise_barrier(bridge + 1..=bridge + u32::try_from(plan.members.len()).unwrap_or(0))?;
        self.enable_forwarding(report)?;

        for (planned, index) in plan.members.iter().zip(bridge + 1..) {
            if stop.requested() {
                break;
            }
            let started = Instant::now();
            self.plug_in(plan, planned, bridge, index)?;
            report.namespace(planned, started.elapsed());
        }
        // Before Linux 6.8 the question does not make a port forward; then it is waited for here.
        for port in link::list_ports(&mut self.socket, bridge)? {
            if port.state != OperationalState::Up {
                link::wait_up(&mut self.socket, port.index, CARRIER_LIMIT)?;
            }
        }
        // The bridge's own carrier came with that of its first port: what the host sends is not to wait for it either.
        if !self.members.is_empty() {
            link::wait_up(&mut self.socket, bridge, CARRIER_LIMIT)?;
        }
        Ok(())
    }

    /// Makes the barrier behind the ports that have these indexes, before there is any.
    fn raise_barrier(&mut self, ports: RangeInclusive<u32>) -> Result<(), Failure> {
        let Some(stamp) = self.monitor.and_then(Monitor::stamp) else { return Ok(()) };
        let name = barrier::unused_name();
        if let Some(record) = &mut self.record {
            record.note_barrier(&name)?;
        }
        self.barrier = Some(Barrier::create(&self.host, &name, BarrierPorts::Indexes(ports), stamp)?);
        Ok(())
    }

    /// Switches IPv4 forwarding on, if it can be. No ping of a run is routed: it is for what is tried by hand meanwhile. So
    /// where `/proc/sys` is read-only, as in a container, the run goes on without.
    fn enable_forwarding(&mut self, report: &mut dyn BuildSteps) -> Result<(), Failure> {
        let started = Instant::now();
        let enabled = match &mut self.record {
            // Nobody else is on a host of our own.
            None => {
                let before = Ipv4Forwarding::enable(&self.host);
                before.map(|before| self.forwarding = RecordedForwarding::of(&before))
            }
            Some(record) => match forwarding_of(&self.host).before() {
                Ok(SettingBefore { interfaces, .. }) => {
                    // Written down before it is done. What could not be done is put back all the same: it has the value of
                    // before, and stays.
                    self.forwarding = interfaces.map(|interfaces| RecordedForwarding { interfaces });
                    record.note_forwarding(self.forwarding.as_ref())?;
                    forwarding_of(&self.host).claim("1")
                }
                Err(error) => Err(error),
            },
        };
        match enabled {
            Ok(()) => report.step("ip_forward on", started.elapsed()),
            Err(error) => {
                say(format_args!("warning: ip_forward stays off; the host routes nothing for them: {error}"));
            }
        }
        Ok(())
    }

    /// Makes a namespace and its cable to the bridge, program included.
    fn plug_in(
        &mut self,
        plan: &RunPlan,
        planned: &PlannedMember,
        bridge: u32,
        index: u32,
    ) -> Result<(), Failure> {
        let mut inner = self.make_namespace(planned, index)?;
        let slot = self.assign(index, planned)?;
        let Some(member) = self.members.last_mut() else { return Ok(()) };
        member.slot = slot;
        let namespace = &member.namespace;

        let mut batch = Batch::new();
        veth::encode_create(
            &mut batch,
            &Veth {
                index: Some(index),
                peer_index: Some(INNER_INDEX),
                mac: Some(planned.port_mac),
                peer_mac: Some(planned.mac),
                bridge: Some(bridge),
                peer_namespace: Some(namespace.as_fd()),
                ..Veth::new(planned.port, IfName::new("eth0")?)
            },
        );
        self.encode_program(&mut batch, index, slot);
        self.encode_silent(&mut batch, index);
        encode_known(&mut batch, planned, bridge, index);
        self.encode_port(&mut batch, plan, index);
        self.socket.execute(&mut batch)?;

        let mut batch = Batch::new();
        self.encode_up(&mut batch, INNER_INDEX);
        encode_addresses(&mut batch, plan, planned, INNER_INDEX);
        inner.execute(&mut batch)?;

        // The port is raised last. A port that is up while its peer is not counts as forwarding until the kernel's link
        // watch finds that it has no carrier (`netif_oper_up` is true of a state that is not known yet), and what the
        // bridge floods to it meanwhile passes the program and is dropped behind it.
        let mut batch = Batch::new();
        link::encode_set(&mut batch, index, &UP);
        // Asking for a link makes the link watch run for it at once, instead of up to a second later: the port forwards
        // from then on, and what `eth0` sends is not dropped for want of the carrier that has just come.
        link::encode_get(&mut batch, index, false);
        self.socket.execute(&mut batch)?;
        link::wait_up(&mut inner, INNER_INDEX, CARRIER_LIMIT)?;
        Ok(())
    }

    /// Two namespaces and a cable. There is no host's end, so the port of each namespace is the far end of its cable,
    /// `eth0` of the other: what it receives is what the namespace sent.
    fn build_pair(&mut self, plan: &RunPlan, report: &mut dyn BuildSteps) -> Result<(), Failure> {
        let started = Instant::now();
        let mut sockets = Vec::with_capacity(plan.members.len());
        for (planned, far_index) in plan.members.iter().zip([INNER_INDEX + 1, INNER_INDEX]) {
            sockets.push(self.make_namespace(planned, far_index)?);
            let slot = self.assign(far_index, planned)?;
            if let Some(member) = self.members.last_mut() {
                member.slot = slot;
            }
        }
        report.step("two namespaces", started.elapsed());

        let started = Instant::now();
        let [first, second] = &self.members[..] else { return Ok(()) };
        let veth = Veth {
            index: Some(second.port_index),
            peer_index: Some(first.port_index),
            mac: Some(plan.members[0].mac),
            peer_mac: Some(plan.members[1].mac),
            peer_namespace: Some(second.namespace.as_fd()),
            ..Veth::new(first.port, second.port)
        };
        veth::create(&mut sockets[0], &veth)?;
        for (member, far) in self.members.iter().zip([1, 0]) {
            let mut batch = Batch::new();
            self.encode_program(&mut batch, member.port_index, member.slot);
            self.encode_up(&mut batch, member.port_index);
            sockets[far].execute(&mut batch)?;
        }
        // Addresses wait until both ends carry packets. A new IPv6 address announces itself at once (an MLD report), and
        // what an interface sends without a carrier meets the program, and then `noop_qdisc`, which drops it uncounted
        // (`dev_activate` in <https://github.com/torvalds/linux/blob/v6.12/net/sched/sch_generic.c>).
        for (member, far) in self.members.iter().zip([1, 0]) {
            link::wait_up(&mut sockets[far], member.port_index, CARRIER_LIMIT)?;
        }
        for (member, far) in self.members.iter().zip([1, 0]) {
            let mut batch = Batch::new();
            encode_addresses(&mut batch, plan, &plan.members[far], member.port_index);
            sockets[far].execute(&mut batch)?;
        }
        report.step("the cable between them", started.elapsed());
        Ok(())
    }

    /// Links inside a namespace.
    fn encode_up(&self, batch: &mut Batch, index: u32) {
        link::encode_set(batch, 1, &UP);
        // In a request of its own: the kernel brings a link up before it looks at the rest.
        self.encode_silent(batch, index);
        link::encode_set(batch, index, &UP);
    }

    /// No IPv6 addresses but those that we give. Otherwise every new interface would announce itself to the whole bridge,
    /// and a few of those announcements, copied to hundreds of ports at once, are more than a CPU's receive queue holds
    /// (`net.core.netdev_max_backlog`): the kernel would drop some behind the program's back.
    fn encode_silent(&self, batch: &mut Batch, index: u32) {
        if self.ipv6 {
            let silent =
                link::LinkChange { addrgenmode: Some(link::AddrGenMode::None), ..link::LinkChange::NONE };
            link::encode_set(batch, index, &silent);
        }
    }

    /// Makes a namespace, with a name unless all is private, and takes it among the members, so that it is taken down
    /// with the rest whatever happens next; a socket in it.
    ///
    /// It is written down before it has its name: until then it goes with this process.
    fn make_namespace(&mut self, planned: &PlannedMember, port_index: u32) -> Result<RouteSocket, Failure> {
        let namespace = Namespace::anonymous()?;
        let mut socket = RouteSocket::open_in(&namespace)?;
        if let Some(record) = &mut self.record {
            record.note_namespace(&planned.name, &namespace, &mut socket)?;
            namespace.bind(&planned.name)?;
        }
        self.members.push(Member {
            name: planned.name.clone(),
            namespace,
            port: planned.port,
            port_index,
            slot: None,
            mac: planned.mac,
            addresses: planned.addresses.clone(),
        });
        Ok(socket)
    }

    /// A slot for the port with this index, if there is a program, and what may be sent by it.
    fn assign(&self, index: u32, planned: &PlannedMember) -> Result<Option<Slot>, Failure> {
        let Some(monitor) = self.monitor else { return Ok(None) };
        let slot = monitor.assign(index)?;
        monitor.set_policy(slot, &self.policy(planned.mac, &planned.addresses)?)?;
        Ok(Some(slot))
    }

    /// A port's options. What is to meet a barrier is forwarded. Of many namespaces, each port gets multicast only where
    /// somebody listens to it: the reports with which every interface says what it listens to would be copied to all.
    fn encode_port(&self, batch: &mut Batch, plan: &RunPlan, port: u32) {
        let options = PortOptions {
            mcast_flood: plan.is_large().then_some(false),
            group_fwd_mask: self.barrier.as_ref().map(|_| FORWARDED),
            ..PortOptions::default()
        };
        if options != PortOptions::default() {
            bridge::encode_set_port(batch, port, &options);
        }
    }

    /// The program, if there is one, on both hooks of a port.
    fn encode_program(&self, batch: &mut Batch, index: u32, slot: Option<Slot>) {
        let (Some(monitor), Some(slot)) = (self.monitor, slot) else { return };
        tc::encode_add_clsact(batch, index);
        for filter in monitor.filters(index, slot) {
            tc::encode_add_filter(batch, &filter);
        }
    }
}

/// Enters into the bridge's and the host's tables who is at a port.
fn encode_known(batch: &mut Batch, planned: &PlannedMember, bridge: u32, port: u32) {
    neighbour::encode_set_fdb(batch, &FdbEntry::fixed(port, planned.mac));
    for &address in &planned.addresses {
        neighbour::encode_set(batch, &Neighbour::permanent(bridge, address, planned.mac));
    }
}

const UP: link::LinkChange<'static> = link::LinkChange { up: Some(true), ..link::LinkChange::NONE };

/// How long a link may take to carry packets once both its ends are up. Milliseconds are usual; a kernel before 6.8
/// may let a link wait for a second.
const CARRIER_LIMIT: Duration = Duration::from_secs(10);

/// `eth0`'s index in its namespace; `lo` has 1.
const INNER_INDEX: u32 = 2;

/// Addresses, routes and neighbours inside a namespace.
fn encode_addresses(batch: &mut Batch, plan: &RunPlan, planned: &PlannedMember, index: u32) {
    for (subnet, &address) in plan.subnets.iter().zip(&planned.addresses) {
        if let Ok(net) = IpNet::new(address, subnet.net.prefix()) {
            address::encode_add(batch, &Address::new(index, net));
            address::encode_local_route(batch, index, address);
        }
        if plan.has_host() {
            route::encode_add(batch, &Route::default_via(subnet.host));
            neighbour::encode_set(batch, &Neighbour::permanent(index, subnet.host, plan.bridge_mac));
        }
    }
    for other in plan.talks_with(planned) {
        for &address in &other.addresses {
            neighbour::encode_set(batch, &Neighbour::permanent(index, address, other.mac));
        }
    }
}
