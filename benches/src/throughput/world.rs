//! A bridge with guarded ports.

use super::guard::{Guard, address_of};
use super::nftables;
use crate::{Result, empty};
use netns_core::address::{self, Address};
use netns_core::barrier::{Barrier, BarrierPorts};
use netns_core::bridge::{self, Bridge, BridgeOptions};
use netns_core::tc::{self, Direction, Filter};
use netns_core::veth::{self, Veth};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
use netns_ebpf::layout::DEFAULT_PAIRS;
use netns_ebpf::packet::Rules;
use netns_ebpf::{Mode, Monitor, MonitorOptions, Policy, TcxAttachment};
use std::fs;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};

/// Index of the bridge, and of the first port.
const BRIDGE: u32 = 2;
const FIRST_PORT: u32 = 1000;

/// The programs that are on the ports.
enum GuardPrograms {
    None,
    Empty(OwnedFd),
    Ours(Box<Monitor>, Option<Mode>),
    /// With the ports' links.
    Tcx(Box<Monitor>, Vec<TcxAttachment>),
}

impl GuardPrograms {
    fn of(guard: Guard) -> Result<Self> {
        let ours = |mode, pairs| -> Result<Self> {
            let options = MonitorOptions { pairs, ..MonitorOptions::default() };
            Ok(Self::Ours(Box::new(Monitor::load(&options)?), mode))
        };
        match guard {
            Guard::Nothing | Guard::Nftables | Guard::VerdictMap => Ok(Self::None),
            Guard::Empty => Ok(Self::Empty(empty::load()?)),
            Guard::Counters => ours(None, DEFAULT_PAIRS),
            Guard::Ours(mode) => ours(Some(mode), DEFAULT_PAIRS),
            Guard::WithoutPairs => ours(Some(Mode::Enforce), 0),
            Guard::Barrier => {
                let options = MonitorOptions { barrier: true, ..MonitorOptions::default() };
                Ok(Self::Ours(Box::new(Monitor::load(&options)?), Some(Mode::Enforce)))
            }
            Guard::Tcx => {
                let monitor = Monitor::load(&MonitorOptions { tcx: true, ..MonitorOptions::default() })?;
                Ok(Self::Tcx(Box::new(monitor), Vec::new()))
            }
        }
    }

    /// Puts them on a port, the one with this number.
    fn attach(&mut self, socket: &mut RouteSocket, port: u32, number: u16) -> Result<()> {
        match self {
            Self::None => {}
            Self::Empty(program) => {
                tc::add_clsact(socket, port)?;
                for direction in Direction::BOTH {
                    let program = program.as_fd();
                    let (name, class_id) = ("empty", number);
                    let filter =
                        Filter { index: port, direction, priority: 1, handle: 1, program, name, class_id };
                    tc::add_filter(socket, &filter)?;
                }
            }
            Self::Ours(monitor, mode) => {
                let attachment = monitor.attach(socket, port)?;
                if let Some(mode) = *mode {
                    monitor.set_policy(attachment.slot(), &policy(number, mode)?)?;
                }
            }
            Self::Tcx(monitor, attachments) => {
                let policy = policy(number, Mode::Enforce)?;
                attachments.push(monitor.attach_tcx(socket, port, Some(&policy))?);
            }
        }
        Ok(())
    }
}

/// A bridge with guarded ports, and the namespaces at two of them.
pub(super) struct World {
    pub(super) guard: Guard,
    pub(super) ends: [(Namespace, Ipv4Addr); 2],
    /// The namespaces of the bridge and behind the other ports. They go with this value, the last one last.
    others: [Namespace; 2],
    _programs: GuardPrograms,
}

/// What may be sent behind a port.
fn policy(number: u16, mode: Mode) -> Result<Policy> {
    let rules = Rules::new(MacAddress::local(number.into()).0);
    Ok(Policy { mode, ..Policy::new(rules.with_ipv4(address_of(number), 32)?.with_link_local()?) })
}

impl World {
    pub(super) fn new(guard: Guard, ports: u16) -> Result<Self> {
        let host = quiet()?;
        let crowd = quiet()?;
        let ends = [(quiet()?, address_of(1)), (quiet()?, address_of(ports))];
        let mut socket = RouteSocket::open_in(&host)?;
        let name = IfName::new("br0")?;
        let bridge = Bridge {
            index: Some(BRIDGE),
            options: BridgeOptions { mcast_snooping: Some(false), ..BridgeOptions::NONE },
            up: true,
            ..Bridge::new(name, MacAddress::local(0xFFFF))
        };
        bridge::create(&mut socket, &bridge)?;
        let mut programs = GuardPrograms::of(guard)?;
        for number in 1..=ports {
            let inside = ends.iter().find(|end| end.1 == address_of(number)).map_or(&crowd, |end| &end.0);
            plug(&mut socket, inside, number, &mut programs)?;
        }
        match guard {
            Guard::Nftables | Guard::VerdictMap => {
                host.enter(|| nftables::load(&nftables::rules(guard, ports)))??;
            }
            Guard::Barrier => {
                if let GuardPrograms::Ours(monitor, _) = &programs
                    && let Some(stamp) = monitor.stamp()
                {
                    let all = BarrierPorts::Indexes(FIRST_PORT + 1..=FIRST_PORT + u32::from(ports));
                    let _ = Barrier::create(&host, "bench", all, stamp)?;
                }
            }
            Guard::Nothing
            | Guard::Empty
            | Guard::Counters
            | Guard::Ours(_)
            | Guard::WithoutPairs
            | Guard::Tcx => {}
        }
        Ok(Self { guard, ends, others: [host, crowd], _programs: programs })
    }

    /// Puts a link into the namespace of the calling thread that goes when this is reclaimed.
    pub(super) fn tie(&self) -> Result<()> {
        let [.., last] = &self.others;
        let veth = Veth {
            peer_namespace: Some(last.as_fd()),
            ..Veth::new(IfName::new("tie0")?, IfName::new("tie1")?)
        };
        Ok(veth::create(&mut RouteSocket::open()?, &veth)?)
    }
}

/// A namespace without IPv6: what IPv6 sends unasked goes to every port, so that hundreds of namespaces talk for
/// seconds.
fn quiet() -> Result<Namespace> {
    let namespace = Namespace::anonymous()?;
    namespace.enter(|| fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"))??;
    Ok(namespace)
}

/// Makes a port and the namespace behind it.
fn plug(
    socket: &mut RouteSocket,
    inside: &Namespace,
    number: u16,
    programs: &mut GuardPrograms,
) -> Result<()> {
    let port = FIRST_PORT + u32::from(number);
    let veth = Veth {
        index: Some(port),
        peer_index: Some(port),
        peer_mac: Some(MacAddress::local(number.into())),
        bridge: Some(BRIDGE),
        up: true,
        peer_namespace: Some(inside.as_fd()),
        ..Veth::new(IfName::new(&format!("port{number}"))?, IfName::new(&format!("eth{number}"))?)
    };
    veth::create(socket, &veth)?;
    programs.attach(socket, port, number)?;
    let mut inner = RouteSocket::open_in(inside)?;
    link::set_up(&mut inner, port)?;
    address::add(&mut inner, &Address::new(port, format!("{}/16", address_of(number)).parse()?))?;
    // Asking makes the kernel let both ends forward at once.
    link::get(&mut inner, port)?;
    link::get(socket, port)?;
    Ok(())
}
