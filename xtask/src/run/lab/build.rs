//! Building: links, addresses, routes and programs.

use super::super::plan::{Plan, PlannedMember};
use super::super::report::Report;
use super::{Lab, Member};
use crate::cli::Topology;
use crate::failure::Failure;
use crate::signals::Stop;
use netns_core::address::{self, Address};
use netns_core::bridge::{self, Bridge, PortOptions};
use netns_core::neighbour::{self, FdbEntry, Neighbour};
use netns_core::record::{RecordedForwarding, RecordedLink};
use netns_core::route::{self, Route};
use netns_core::sysctl::Ipv4Forwarding;
use netns_core::tc;
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_core::{IfName, IpNet, MacAddress, Namespace, RouteSocket, link};
use netns_ebpf::Slot;
use std::os::fd::AsFd;
use std::time::Instant;

/// How far above the host's highest interface index ours begin: what others make meanwhile is numbered upwards one by
/// one.
const INDEX_GAP: u32 = 1000;

impl Lab<'_> {
    /// Makes all of it, telling each step.
    pub(crate) fn build(&mut self, plan: &Plan, report: &mut Report, stop: &Stop) -> Result<(), Failure> {
        match plan.topology {
            Topology::Bridge => self.build_bridge(plan, report, stop),
            Topology::Pair => self.build_pair(plan, report),
        }
    }

    fn build_bridge(&mut self, plan: &Plan, report: &mut Report, stop: &Stop) -> Result<(), Failure> {
        let links = link::list(&mut self.socket)?;
        let bridge = links.iter().map(|link| link.index).max().unwrap_or(0) + INDEX_GAP;

        let started = Instant::now();
        let ports = plan.members.iter().zip(bridge + 1..).map(|(planned, index)| RecordedLink {
            name: planned.port,
            index: Some(index),
            mac: port_mac(planned),
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
        link::encode_set(&mut batch, bridge, &SILENT);
        for subnet in &plan.subnets {
            let net = IpNet::new(subnet.host, subnet.net.prefix())?;
            address::encode_add(&mut batch, &Address::new(bridge, net));
            address::encode_local_route(&mut batch, bridge, subnet.host);
        }
        self.socket.execute(&mut batch)?;
        report.step(&format!("bridge {}", plan.bridge), started.elapsed());

        let started = Instant::now();
        let before = Ipv4Forwarding::observe(&self.host)?;
        if let Some(record) = &mut self.record {
            record.note_forwarding(&before)?;
        }
        self.forwarding = RecordedForwarding::of(&before);
        Ipv4Forwarding::enable(&self.host)?;
        report.step("ip_forward on", started.elapsed());

        for (planned, index) in plan.members.iter().zip(bridge + 1..) {
            if stop.requested() {
                break;
            }
            let started = Instant::now();
            self.plug_in(plan, planned, bridge, index)?;
            report.namespace(planned, started.elapsed());
        }
        // The bridge's own carrier came with that of its first port: what the host sends is not to wait for it either.
        link::get(&mut self.socket, bridge)?;
        Ok(())
    }

    /// Makes a namespace and its cable to the bridge, program included.
    fn plug_in(
        &mut self,
        plan: &Plan,
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
                mac: Some(port_mac(planned)),
                peer_mac: Some(planned.mac),
                bridge: Some(bridge),
                peer_namespace: Some(namespace.as_fd()),
                ..Veth::new(planned.port, IfName::new("eth0")?)
            },
        );
        self.encode_program(&mut batch, index, slot);
        link::encode_set(&mut batch, index, &SILENT);
        encode_known(&mut batch, plan, planned, bridge, index);
        self.socket.execute(&mut batch)?;

        let mut batch = Batch::new();
        encode_inside(&mut batch, plan, planned, INNER_INDEX);
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
        link::get(&mut inner, INNER_INDEX)?;
        Ok(())
    }

    /// Two namespaces and a cable. There is no host's end, so the port of each namespace is the far end of its cable,
    /// `eth0` of the other: what it receives is what the namespace sent.
    fn build_pair(&mut self, plan: &Plan, report: &mut Report) -> Result<(), Failure> {
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
            encode_inside(&mut batch, plan, &plan.members[far], member.port_index);
            sockets[far].execute(&mut batch)?;
        }
        // Both ends are up now: both forward.
        for (member, far) in self.members.iter().zip([1, 0]) {
            link::get(&mut sockets[far], member.port_index)?;
        }
        report.step("the cable between them", started.elapsed());
        Ok(())
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

    /// The program, if there is one, on both hooks of a port.
    fn encode_program(&self, batch: &mut Batch, index: u32, slot: Option<Slot>) {
        let (Some(monitor), Some(slot)) = (self.monitor, slot) else { return };
        tc::encode_add_clsact(batch, index);
        for filter in monitor.filters(index, slot) {
            tc::encode_add_filter(batch, &filter);
        }
    }
}

/// The MAC address of a port: that of its namespace's end, with a bit that no namespace's number reaches. It tells the
/// port from a later link of its name.
fn port_mac(planned: &PlannedMember) -> MacAddress {
    let mut mac = planned.mac;
    mac.0[4] |= 0x80;
    mac
}

/// Tells the bridge and the host who is behind a port. Of many namespaces, each port also gets multicast only where
/// somebody listens to it: the reports with which every interface tells what it listens to would be copied to all.
fn encode_known(batch: &mut Batch, plan: &Plan, planned: &PlannedMember, bridge: u32, port: u32) {
    neighbour::encode_set_fdb(batch, &FdbEntry::fixed(port, planned.mac));
    for &address in &planned.addresses {
        neighbour::encode_set(batch, &Neighbour::permanent(bridge, address, planned.mac));
    }
    if plan.is_large() {
        let options = PortOptions { mcast_flood: Some(false), ..PortOptions::default() };
        bridge::encode_set_port(batch, port, &options);
    }
}

/// No IPv6 addresses but those that we give. Otherwise every new interface would announce itself to the whole bridge,
/// and a few of those announcements, copied to hundreds of ports at once, are more than a CPU's receive queue holds
/// (`net.core.netdev_max_backlog`): the kernel would drop some behind the program's back.
const SILENT: link::LinkChange<'static> =
    link::LinkChange { addrgenmode: Some(link::AddrGenMode::None), ..link::LinkChange::NONE };

const UP: link::LinkChange<'static> = link::LinkChange { up: Some(true), ..link::LinkChange::NONE };

/// `eth0`'s index in its namespace; `lo` has 1.
const INNER_INDEX: u32 = 2;

/// Links, addresses and default routes inside a namespace.
fn encode_inside(batch: &mut Batch, plan: &Plan, planned: &PlannedMember, index: u32) {
    link::encode_set(batch, 1, &UP);
    // In a request of its own: the kernel raises a link before it looks at the rest.
    link::encode_set(batch, index, &SILENT);
    link::encode_set(batch, index, &UP);
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
