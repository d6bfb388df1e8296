//! What is wanted, and missing or different. Downwards: namespaces, settings, links, addresses, routes, commands.

use super::{Change, Planner};
use crate::options::{defaults, differing};
use crate::topology::{AddressSpec, Cable, CableEnd, LinkName, Place, PortPolicy, RouteSpec, SingleLink};
use netns_core::bridge::{BridgeOptions, PortOptions};
use netns_core::link::{AddrGenMode, Link};
use netns_core::{IfName, IpNet, MacAddress};
use netns_ebpf::{EgressTable, Mode, Policy};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// Who made what is in the way.
const NOT_OURS: &str = "and was not made by this topology: remove it, or choose another name";

impl Planner<'_> {
    pub(super) fn add(&mut self) {
        self.add_namespaces();
        // Settings for links to come have to be there before the links; those of a link only exist with it.
        self.set_sysctls(false);
        self.add_bridges();
        // Before ports join them, and after ports have left them: a port is in no group that is not yet kept apart.
        self.part_groups();
        self.judge_hosts();
        self.add_cables();
        self.add_singles();
        self.join_groups();
        self.leave_hosts();
        self.set_sysctls(true);
        self.add_addresses();
        self.add_link_locals();
        self.open_ways_out();
        self.add_routes();
        for command in &self.topology.commands {
            let known =
                |namespace: &str, text: &str| namespace == command.namespace && text == command.command;
            let started = self.has_namespace(&command.namespace)
                && (self.record.commands.iter().any(|started| known(&started.namespace, &started.command))
                    || self.observed.running.iter().any(|(namespace, text)| known(namespace, text)));
            if !started {
                self.changes.push(Change::Start(command.clone()));
            }
        }
    }

    fn add_namespaces(&mut self) {
        for name in &self.topology.namespaces {
            if self.has_namespace(name) {
                if let Ok(lo) = IfName::new("lo") {
                    self.raise(&LinkName { place: Place::Namespace(name.clone()), name: lo });
                }
                continue;
            }
            if self.observed.namespaces.contains_key(name) && !self.is_unfinished(name) {
                let whose = self.owner_of_namespace(name).unwrap_or_else(|| NOT_OURS.to_owned());
                self.conflicts.push(format!("namespace {name} exists {whose}"));
            }
            self.changes.push(Change::AddNamespace(name.clone()));
        }
    }

    /// Sets the settings that differ: those of interfaces, or the others.
    fn set_sysctls(&mut self, of_interfaces: bool) {
        for sysctl in &self.topology.sysctls {
            let now = self.observed.inside(&sysctl.place).and_then(|inside| inside.sysctls.get(&sysctl.key));
            let now = now.cloned().flatten();
            if sysctl.is_of_interface() == of_interfaces && now.as_ref() != Some(&sysctl.value) {
                self.changes.push(Change::SetSysctl { sysctl: sysctl.clone(), from: now });
            }
        }
    }

    fn add_bridges(&mut self) {
        for bridge in &self.topology.bridges {
            if !self.keeps_bridge(bridge) {
                self.refuse_taken(&bridge.link);
                self.changes.push(Change::AddBridge(bridge.clone()));
                continue;
            }
            let now = self.observed.link(&bridge.link).and_then(Link::bridge).unwrap_or_default();
            let options = differing(&bridge.options, &now);
            if options != BridgeOptions::default() {
                self.changes.push(Change::SetBridge { link: bridge.link.clone(), options });
            }
            self.set_mtu(&bridge.link, bridge.mtu);
            self.silence(&bridge.link);
            self.raise(&bridge.link);
        }
    }

    /// Each after the one that it is on.
    fn add_singles(&mut self) {
        let mut left: Vec<&SingleLink> = self.topology.links.iter().collect();
        while !left.is_empty() {
            let waits = |single: &SingleLink, all: &[&SingleLink]| {
                let below = |other: &&SingleLink| {
                    other.link.place == single.link.place && Some(other.link.name) == single.on
                };
                all.iter().any(below)
            };
            let (later, mut now): (Vec<_>, Vec<_>) = left.iter().partition(|single| waits(single, &left));
            if now.is_empty() {
                // In a circle, which the kernel refuses.
                now.clone_from(&later);
                left.clear();
            } else {
                left = later;
            }
            for single in now {
                self.add_single(single);
            }
        }
    }

    fn add_single(&mut self, single: &SingleLink) {
        if !self.keeps_single(single) {
            self.refuse_taken(&single.link);
            self.changes.push(Change::AddSingle(single.clone()));
            return;
        }
        if let Some(mtu) = single.mtu {
            self.set_mtu(&single.link, mtu);
        }
        self.silence(&single.link);
        self.raise(&single.link);
    }

    fn add_cables(&mut self) {
        for cable in &self.topology.cables {
            if self.keeps_cable(cable) {
                for end in &cable.ends {
                    self.change_end(end);
                }
                self.judge(cable);
            } else {
                self.add_cable(cable);
            }
        }
    }

    /// Sets the policy of a port that is there, if it differs.
    fn judge(&mut self, cable: &Cable) {
        let [port, inside] = &cable.ends;
        let judged = self.observed.judged.get(&port.link);
        // Whichever number its egress policy has.
        let now = judged.map(|judged| Policy { egress: None, ..judged.policy });
        let egress_now = judged.and_then(|judged| judged.egress.clone());
        let counts = judged.is_some_and(|judged| judged.counts_verdicts);
        let mac = self.observed.link(&inside.link).and_then(|link| link.mac).unwrap_or_default();
        let (port, inside) = (port.link.clone(), inside.link.clone());
        let stale = self.observed.stale.contains(&port);
        match &cable.policy {
            None if now.is_some() || stale => self.changes.push(Change::RemovePolicy { port }),
            None => {}
            Some(policy) => match policy.of(mac, policy.group.number(&self.groups).unwrap_or_default()) {
                Ok(wanted)
                    if Some(wanted) == now
                        && egress(policy) == egress_now
                        && (counts || !policy.verdicts)
                        && !stale =>
                {
                    self.refuse_hidden(&port, &inside, policy);
                }
                Ok(_) => {
                    let (policy, again) = (policy.clone(), now.is_some());
                    self.changes.push(Change::SetPolicy { port, inside, policy, again });
                }
                Err(full) => self.conflicts.push(format!("{inside}: {full}")),
            },
        }
    }

    /// What is enforced is to be reached. What others have put before it stays, so there is nothing that could be changed.
    fn refuse_hidden(&mut self, port: &LinkName, inside: &LinkName, policy: &PortPolicy) {
        let ahead = self.observed.ahead.get(port).into_iter().flatten();
        for other in ahead.filter(|_| policy.mode == Mode::Enforce) {
            self.conflicts.push(format!(
                "{port}: {other}, which this topology did not make, runs before the filter that enforces the policy of \
                 {inside}, and may hide frames from it: remove it"
            ));
        }
    }

    fn add_cable(&mut self, cable: &Cable) {
        for end in &cable.ends {
            self.refuse_taken(&end.link);
        }
        self.changes.push(Change::AddCable(Box::new(cable.clone())));
    }

    fn refuse_taken(&mut self, link: &LinkName) {
        if let Some(now) = self.observed.link(link)
            && !self.is_ours(link)
        {
            let whose = self.owner_of_link(link, now.mac).or_else(|| self.is_other(link, now.mac));
            let what = format!("link {link} exists {}", whose.as_deref().unwrap_or(NOT_OURS));
            self.is_in_the_way(&link.place, what);
        }
    }

    fn change_end(&mut self, end: &CableEnd) {
        let Some(now) = self.observed.link(&end.link) else { return };
        self.set_mtu(&end.link, end.mtu);
        let on_bridge = |bridge: IfName| {
            let bridge = LinkName { place: end.link.place.clone(), name: bridge };
            let index = self.observed.link(&bridge).map(|bridge| bridge.index);
            index.is_some() && index == now.master
        };
        if let Some(port) = &end.port {
            let present = if on_bridge(port.bridge) {
                now.port.unwrap_or_default()
            } else {
                self.changes.push(Change::Attach { link: end.link.clone(), bridge: port.bridge });
                defaults()
            };
            let options = differing(&port.options, &present);
            if options != PortOptions::default() {
                self.changes.push(Change::SetPort { link: end.link.clone(), options });
            }
        }
        self.silence(&end.link);
        self.raise(&end.link);
    }

    /// Keeps the kernel from giving a link addresses, and takes away the one that it has given: somebody switched that
    /// on, or we were killed between making the link and switching it off. The address goes first, so that a kill
    /// between the two leaves a difference that is seen.
    fn silence(&mut self, link: &LinkName) {
        let Some(now) = self.observed.link(link) else { return };
        let Some(from) = now.addrgenmode.filter(|mode| *mode != AddrGenMode::None) else { return };
        let of_link = |address: &&AddressSpec| address.link == *link && address.net.address().is_ipv6();
        if self.topology.addresses.iter().find(of_link).is_none()
            && let Ok(net) = IpNet::new(link_local(now.mac.unwrap_or_default()).into(), 64)
        {
            let address = AddressSpec { link: link.clone(), net };
            if self.has_address(&address) {
                self.changes.push(Change::RemoveAddress(address));
            }
        }
        self.changes.push(Change::Silence { link: link.clone(), from });
    }

    fn set_mtu(&mut self, link: &LinkName, to: u32) {
        if let Some(from) = self.observed.link(link).map(|now| now.mtu).filter(|&from| from != to) {
            self.changes.push(Change::SetMtu { link: link.clone(), from, to });
        }
    }

    fn raise(&mut self, link: &LinkName) {
        if self.observed.link(link).is_some_and(|now| !now.is_up()) {
            self.changes.push(Change::Raise(link.clone()));
        }
    }

    fn add_addresses(&mut self) {
        for address in &self.topology.addresses {
            if self.keeps_link(&address.link) && self.has_address(address) {
                continue;
            }
            if address.link.place.is_host() {
                self.refuse_overlap(address);
            }
            self.changes.push(Change::AddAddress(address.clone()));
        }
    }

    /// Every link with an IPv6 address has one of its own making: with the kernel's, it would wait for a second or two
    /// whether somebody else has it.
    fn add_link_locals(&mut self) {
        let with_ipv6 = self.topology.addresses.iter().filter(|address| address.net.address().is_ipv6());
        let links: BTreeSet<&LinkName> = with_ipv6.map(|address| &address.link).collect();
        for link in links {
            let given = self
                .topology
                .addresses
                .iter()
                .any(|address| is_link_local(address.net.address()) && address.link == *link);
            let index = self.observed.link(link).map(|now| now.index);
            let present = self.observed.inside(&link.place).is_some_and(|inside| {
                inside
                    .addresses
                    .iter()
                    .any(|known| Some(known.index) == index && is_link_local(known.net.address()))
            });
            if !given && (!present || !self.keeps_link(link)) {
                self.changes.push(Change::AddLinkLocal(link.clone()));
            }
        }
    }

    /// The host's own networks are not to be cut in two.
    fn refuse_overlap(&mut self, address: &AddressSpec) {
        let Some(host) = self.observed.inside(&Place::Host) else { return };
        let net = address.net.network();
        let known = host
            .addresses
            .iter()
            .find(|known| known.net.overlaps(&net) && !self.is_ours_on_host(known.index));
        let route = host.routes.iter().find(|route| {
            !route.destination.is_default()
                && route.destination.overlaps(&net)
                && route.index.is_none_or(|index| !self.is_ours_on_host(index))
        });
        let of = match (known, route) {
            (Some(known), _) => format!("address {}", known.net),
            (None, Some(route)) => format!("route {}", route.destination),
            (None, None) => return,
        };
        self.conflicts
            .push(format!("{}: {} overlaps the host's {of}: choose another", address.link, address.net));
    }

    fn add_routes(&mut self) {
        // Those to what is on a link first: others may lead to a router by them.
        let (on_link, by_router): (Vec<_>, Vec<_>) =
            self.topology.routes.iter().partition(|route| route.via.is_none());
        for route in on_link.into_iter().chain(by_router) {
            let present = self.rivals(route).find(|other| self.is_route(route, other));
            if let Some(present) = present {
                let index = present.index.unwrap_or(0);
                if route.place.is_host() && !self.record.has_route(route) && !self.is_ours_on_host(index) {
                    self.conflicts.push(format!("{}: route {route} exists {NOT_OURS}", route.place));
                }
                continue;
            }
            if self.rivals(route).any(|other| !self.is_to_go(route, other)) {
                let message = format!("{}: another route to {} exists {NOT_OURS}", route.place, route.to);
                self.is_in_the_way(&route.place, message);
            }
            self.changes.push(Change::AddRoute(route.clone()));
        }
    }

    /// Whether the kernel's route `other` is one that this plan removes, by itself or with its link.
    fn is_to_go(&self, wanted: &RouteSpec, other: &netns_core::route::Route) -> bool {
        let removed = |change: &Change| match change {
            Change::RemoveRoute(route) => route.place == wanted.place && self.is_route(route, other),
            Change::RemoveLink { link, index, .. } | Change::RemoveSingle { link, index } => {
                link.place == wanted.place && other.index == Some(*index)
            }
            _ => false,
        };
        self.changes.iter().any(removed)
    }
}

/// The link-local address that goes with a MAC address: the modified EUI-64 of RFC 4291, appendix A.
pub(crate) fn link_local(mac: MacAddress) -> Ipv6Addr {
    let [first, rest @ ..] = mac.0;
    let mut bytes = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, first ^ 2, 0, 0, 0xff, 0xfe, 0, 0, 0];
    bytes[9..11].copy_from_slice(&rest[..2]);
    bytes[13..].copy_from_slice(&rest[2..]);
    Ipv6Addr::from(bytes)
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

/// Where a port may send to that has this policy, as the program has it. (That there is room was found when the file was read.)
fn egress(policy: &PortPolicy) -> Option<EgressTable> {
    policy.egress.as_ref()?.rules().compile().ok()
}
