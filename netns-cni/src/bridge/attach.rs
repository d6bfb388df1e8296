//! `ADD`: attaching a container to a bridge.

use super::config::{BridgeConfig, Ipam};
use super::detach::{self, PLUGIN, address_line};
use super::egress::NetworkEgress;
use super::guard::{self, GuardedPort};
use super::hiding;
use super::neighbours::{self, Acquaintance, KnownNeighbours};
use super::shared_bridge;
use crate::attachment_result::{AttachmentResult, ResultInterface, ResultRoute};
use crate::delegate::{self, delegate};
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::host_local::HostLocal;
use crate::request::PluginRequest;
use crate::{attachments, container, filters, random};
use netns_core::announce::{Announcement, announce, announce_link};
use netns_core::bridge::{self, PortOptions};
use netns_core::link::{self, Link};
use netns_core::neighbour;
use netns_core::record::{RecordFile, RecordedLink};
use netns_core::veth::{self, Veth};
use netns_core::{ErrorKind, IfName, IpNet, MacAddress, Namespace, RouteSocket};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// How long the kernel may take until a port forwards, on kernels before 6.8 (`link::wait_up`).
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a random name may turn out to be taken.
const ATTEMPTS: u32 = 8;

/// `NUD_PERMANENT`.
const PERMANENT: u16 = 0x80;

/// The container's position among the interfaces of the result: after the bridge and the port.
const CONTAINER: u32 = 2;

pub(super) fn attach(request: &PluginRequest) -> Outcome<AttachmentResult> {
    let config = BridgeConfig::read(request)?;
    let addresses = match config.ipam {
        // Errors in it are reported before anything is made.
        Ipam::HostLocal => Some(HostLocal::read(request)?),
        Ipam::Foreign(ref plugin) => delegate::find(request, plugin).map(|_| None)?,
        Ipam::Without => None,
    };
    let egress = NetworkEgress::read(&config)?;
    let inside = container::open(request)?;
    let mut attaching = Attaching {
        request,
        config: &config,
        egress,
        addresses,
        inside_socket: RouteSocket::open_in(&inside)?,
        inside: &inside,
        name: container::interface(request)?,
        socket: RouteSocket::open()?,
        record: attachments::begin(request, PLUGIN)?,
        asked_ipam: false,
    };
    let done = attaching.record.append(&[filters::beginning()]).map_err(CniFailure::from);
    match done.and_then(|()| attaching.run()) {
        Ok(result) => Ok(result),
        Err(failure) => {
            let Attaching { record, mut socket, asked_ipam, .. } = attaching;
            let ipam = asked_ipam.then_some(&config.ipam);
            Err(detach::roll_back(request, &mut socket, record, ipam, failure))
        }
    }
}

struct Attaching<'a> {
    request: &'a PluginRequest,
    config: &'a BridgeConfig,
    egress: Option<NetworkEgress>,
    /// Our own IPAM, if the configuration names it.
    addresses: Option<HostLocal>,
    inside: &'a Namespace,
    inside_socket: RouteSocket,
    /// The interface's name in the container.
    name: IfName,
    socket: RouteSocket,
    record: RecordFile,
    /// Whether there may be addresses to return.
    asked_ipam: bool,
}

impl Attaching<'_> {
    fn run(&mut self) -> Outcome<AttachmentResult> {
        if container::find_link(&mut self.inside_socket, self.name)?.is_some() {
            return Err(self.taken());
        }
        // Other IPAM plugins find the interface there, with its MAC address.
        let early = match self.config.ipam {
            Ipam::HostLocal => Some(self.ask_for_addresses()?),
            Ipam::Foreign(_) | Ipam::Without => None,
        };
        let mac = self.mac(early.as_ref());
        // Until the port is there, `GC` of another network would take the bridge for unused.
        let place = self.config.bridge.as_str();
        let (bridge, port, guarded) = attachments::with_bridge(place, |record| self.make_port(record, mac))?;
        let interface = link::get(&mut self.inside_socket, self.name)?;
        let mut result = match early {
            Some(result) => result,
            None => self.ask_for_addresses()?,
        };
        if let Some(guarded) = guarded {
            guarded.allow(self.request, self.config, self.egress.as_ref(), &result)?;
        }
        result.interfaces = vec![
            described(&bridge, ""),
            described(&port, ""),
            described(&interface, &self.request.invocation.netns),
        ];
        if let Some(dns) = &self.config.dns {
            result.dns = dns.clone();
        }
        let gateways = self.find_gateways(&mut result)?;
        if self.config.without_interface {
            return Ok(result);
        }
        let known = KnownNeighbours::of(&bridge);
        let unknown = unacquainted(known.as_ref(), mac, &result);
        container::configure(self.inside, &mut self.inside_socket, &interface, &result)?;
        if self.config.is_gateway {
            shared_bridge::be_gateway(&mut self.socket, &bridge, &gateways, self.config.force_address)?;
        }
        if self.config.masquerade {
            hiding::hide(self.request, &mut self.record, bridge.index, &result)?;
        }
        link::wait_up(&mut self.socket, port.index, PATIENCE)?;
        // A bridge that existed before, and was given no MAC address, takes the lowest of its ports'.
        result.interfaces[0] = described(&link::get(&mut self.socket, bridge.index)?, "");
        if unknown.is_empty() {
            self.correct_the_host(bridge.index, mac, &result);
        } else if self.announce(&interface, mac, &result)
            && let Some(known) = known
        {
            for address in unknown {
                known.announced(address, mac);
            }
        }
        Ok(result)
    }

    /// The bridge, the port on it, and what judges the port.
    fn make_port(
        &mut self,
        of_bridge: &mut RecordFile,
        mac: MacAddress,
    ) -> Outcome<(Link, Link, Option<GuardedPort>)> {
        let bridge = shared_bridge::ensure(&mut self.socket, of_bridge, self.config)?;
        let held = match self.config.guard {
            None => None,
            Some(mode) => Some((guard::hold(&mut self.socket, &bridge, of_bridge, mode, self.config)?, mode)),
        };
        let port = self.make_pair(&bridge, mac)?;
        let guarded = match held {
            None => None,
            Some((held, mode)) => {
                let Self { request, config, socket, record, .. } = self;
                Some(GuardedPort::make(request, config, held, socket, record, (&port, mode, mac))?)
            }
        };
        Ok((bridge, port, guarded))
    }

    /// The MAC address of the container's interface.
    fn mac(&self, addresses: Option<&AttachmentResult>) -> MacAddress {
        let first = addresses.and_then(|result| result.ips.first());
        let derived = first.map(|ip| neighbours::mac_of(ip.address.address()));
        self.config.mac.or(derived).unwrap_or_else(random::mac)
    }

    /// Makes the pair, with its port on the bridge.
    fn make_pair(&mut self, bridge: &Link, mac: MacAddress) -> Outcome<Link> {
        let port = self.try_names(bridge, mac)?;
        let (hairpin, isolated) = (self.config.hairpin, self.config.isolated);
        if hairpin || isolated {
            let on = |option: bool| option.then_some(true);
            let options =
                PortOptions { hairpin: on(hairpin), isolated: on(isolated), ..PortOptions::default() };
            bridge::set_port(&mut self.socket, port.index, &options)?;
        }
        if self.config.spoof_check {
            hiding::check_source(self.request, &mut self.record, port.index, mac)?;
        }
        Ok(port)
    }

    fn try_names(&mut self, bridge: &Link, mac: MacAddress) -> Outcome<Link> {
        for attempt in 1.. {
            let name = IfName::new(&format!("veth{:08x}", random::number() as u32))?;
            let port_mac = random::mac();
            let link = RecordedLink { name, index: None, mac: port_mac };
            self.record.append(&[link.line()])?;
            let pair = Veth {
                mac: Some(port_mac),
                peer_mac: Some(mac),
                mtu: self.config.mtu,
                bridge: Some(bridge.index),
                // A guarded port comes up once the guard is on it.
                up: self.config.guard.is_none(),
                peer_namespace: Some(self.inside.as_fd()),
                ..Veth::new(name, self.name)
            };
            match veth::create(&mut self.socket, &pair) {
                Ok(()) => {
                    let port = link::get(&mut self.socket, name)?;
                    // From now on it is found whatever it is called.
                    self.record.append(&[RecordedLink { index: Some(port.index), ..link }.line()])?;
                    return Ok(port);
                }
                Err(error) if error.kind() == ErrorKind::Exists => {
                    if container::find_link(&mut self.inside_socket, self.name)?.is_some() {
                        return Err(self.taken());
                    }
                    if attempt == ATTEMPTS {
                        return Err(error.into());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Exhausted => {
                    return Err(match shared_bridge::fullness(&mut self.socket, bridge)? {
                        Some(why) => CniFailure::new(FailureCode::Unavailable, why),
                        None => error.into(),
                    });
                }
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("the last attempt returns")
    }

    fn taken(&self) -> CniFailure {
        let why =
            format!("CNI_IFNAME is {:?}: the container has an interface of this name", self.name.as_str());
        CniFailure::new(FailureCode::Exists, why)
    }

    fn ask_for_addresses(&mut self) -> Outcome<AttachmentResult> {
        let result = match &self.config.ipam {
            Ipam::Without => return Ok(AttachmentResult::default()),
            Ipam::HostLocal => {
                let Some(addresses) = &self.addresses else { return Ok(AttachmentResult::default()) };
                self.asked_ipam = true;
                addresses.reserve(self.request, true)?
            }
            Ipam::Foreign(plugin) => {
                self.asked_ipam = true;
                let json = delegate(self.request, plugin, "ADD")?.ok_or_else(|| {
                    CniFailure::new(FailureCode::Decoding, format!("the plugin {plugin:?} wrote no result"))
                })?;
                AttachmentResult::read("the IPAM plugin's result", &json)?
            }
        };
        if result.ips.is_empty() {
            return Err(CniFailure::new(FailureCode::Internal, "the IPAM plugin gave no address"));
        }
        let lines: Vec<_> = result.ips.iter().map(|ip| address_line(ip.address.address())).collect();
        self.record.append(&lines)?;
        Ok(result)
    }

    /// Sets which interface has the addresses, and returns the gateways that the bridge must be.
    fn find_gateways(&self, result: &mut AttachmentResult) -> Outcome<Vec<IpNet>> {
        let mut gateways = Vec::new();
        for position in 0..result.ips.len() {
            let ip = &mut result.ips[position];
            ip.interface = Some(CONTAINER);
            if ip.gateway.is_none() && self.config.is_gateway {
                ip.gateway = ip.address.host(1);
            }
            let (gateway, prefix) = (ip.gateway, ip.address.prefix());
            let everything = IpNet::everything(ip.address.address());
            if self.config.is_gateway
                && let Some(gateway) = gateway
            {
                gateways.push(IpNet::new(gateway, prefix)?);
            }
            let has_default = |route: &ResultRoute| route.dst == everything && route.gw.is_some();
            if self.config.is_default_gateway && !result.routes.iter().any(has_default) {
                // One without a gateway would be the same route.
                result.routes.retain(|route| route.dst != everything);
                result.routes.push(default_route(everything, gateway));
            }
        }
        Ok(gateways)
    }

    /// Replaces what neighbours remember of an earlier holder of the address. That is a help, and no reason to fail.
    fn announce(&mut self, interface: &Link, mac: MacAddress, result: &AttachmentResult) -> bool {
        // Where settings cannot be written, as in a container that mounts them read-only, the frames are sent from here.
        let announced = announce_link(&mut self.inside_socket, interface.name, mac).or_else(|_| {
            let one = |address: IpAddr| Announcement { index: interface.index, mac, address, router: false };
            let all: Vec<_> = result.ips.iter().map(|ip| one(ip.address.address())).collect();
            announce(self.inside, &all)
        });
        if let Err(error) = &announced {
            self.request.note(error);
        }
        announced.is_ok()
    }

    /// Without an announcement the host, if it has just asked for an address in vain, would ask again after up to a second.
    fn correct_the_host(&mut self, bridge: u32, mac: MacAddress, result: &AttachmentResult) {
        for ip in &result.ips {
            let address = ip.address.address();
            // Somebody may have made a permanent one; nearly always there is none.
            if let Ok(known) = neighbour::get(&mut self.socket, bridge, address, false)
                && known.mac != Some(mac)
                && known.state & PERMANENT == 0
            {
                let _ = neighbour::delete(&mut self.socket, bridge, address);
            }
        }
    }
}

/// The addresses that somebody may know by another MAC address than this.
fn unacquainted(known: Option<&KnownNeighbours>, mac: MacAddress, result: &AttachmentResult) -> Vec<IpAddr> {
    let is_known =
        |address: IpAddr| known.is_some_and(|known| known.give(address, mac) == Acquaintance::None);
    result.ips.iter().map(|ip| ip.address.address()).filter(|&address| !is_known(address)).collect()
}

fn default_route(everything: IpNet, gateway: Option<IpAddr>) -> ResultRoute {
    ResultRoute {
        dst: everything,
        gw: gateway,
        mtu: None,
        advmss: None,
        priority: None,
        table: None,
        scope: None,
    }
}

fn described(link: &Link, sandbox: &str) -> ResultInterface {
    ResultInterface {
        name: link.name.to_string(),
        mac: link.mac.map(|mac| mac.to_string()).unwrap_or_default(),
        mtu: Some(link.mtu),
        sandbox: sandbox.to_owned(),
    }
}
