//! What is on record, still there, and not wanted any more. Upwards: commands, routes, addresses, settings, links,
//! namespaces.

use super::{Change, Planner};
use crate::record::{LinkEntry, RecordedRoute};
use crate::topology::{AddressSpec, LinkName, Place, ShellCommand};
use netns_core::{IfName, IpNet};

impl Planner<'_> {
    pub(super) fn remove(&mut self) {
        self.close_ways_out();
        self.stop_commands();
        self.remove_routes();
        self.remove_addresses();
        self.restore_sysctls();
        self.remove_links();
        for name in self.observed.namespaces.keys().rev() {
            let unwanted = self.has_namespace(name) && !self.topology.namespaces.contains(name);
            if self.is_unfinished(name) || unwanted {
                self.changes.push(Change::RemoveNamespace(name.clone()));
            }
        }
    }

    fn stop_commands(&mut self) {
        for (namespace, command) in &self.observed.running {
            let command = ShellCommand { namespace: namespace.clone(), command: command.clone() };
            if !self.topology.commands.contains(&command) || !self.has_namespace(namespace) {
                self.changes.push(Change::Stop(command));
            }
        }
    }

    fn remove_routes(&mut self) {
        for recorded in &self.record.routes {
            let Some(route) = recorded.route() else { continue };
            let is_wanted = self.topology.routes.iter().any(|wanted| RecordedRoute::new(wanted) == *recorded);
            let unwanted = self.stays(&route.place) && !is_wanted;
            // The file may say the same route in other words now, with or without `dev`.
            let stays = |other: &netns_core::route::Route| {
                let wanted = self.topology.routes.iter().filter(|wanted| wanted.place == route.place);
                wanted.into_iter().any(|wanted| {
                    self.is_route(wanted, other) && self.rivals(wanted).any(|rival| rival == other)
                })
            };
            if unwanted && self.rivals(&route).any(|other| self.is_route(&route, other) && !stays(other)) {
                self.changes.push(Change::RemoveRoute(route));
            }
        }
    }

    fn remove_addresses(&mut self) {
        for (link, net) in &self.record.addresses {
            let (Ok(name), Ok(net)) = (link.name.parse::<IfName>(), net.parse::<IpNet>()) else { continue };
            let address = AddressSpec { link: LinkName { place: link.place.clone(), name }, net };
            if self.keeps_link(&address.link)
                && !self.topology.addresses.contains(&address)
                && self.has_address(&address)
            {
                self.changes.push(Change::RemoveAddress(address));
            }
        }
    }

    /// Whether the kernel has this address.
    pub(super) fn has_address(&self, address: &AddressSpec) -> bool {
        let Some(link) = self.observed.link(&address.link) else { return false };
        let inside = self.observed.inside(&address.link.place);
        inside.is_some_and(|inside| {
            inside.addresses.iter().any(|known| known.index == link.index && known.net == address.net)
        })
    }

    /// A setting that somebody has changed since is left as it is; one that others need becomes what they need.
    fn restore_sysctls(&mut self) {
        for recorded in &self.record.sysctls {
            let wanted = self.topology.sysctls.iter().any(|sysctl| recorded.is(sysctl));
            let now =
                self.observed.inside(&recorded.place).and_then(|inside| inside.sysctls.get(&recorded.key));
            let unchanged = now.is_some_and(|now| now.as_ref() == Some(&recorded.value));
            let needed = self.observed.needed_by_others.get(&recorded.key);
            let before = needed.filter(|_| recorded.is_shared()).unwrap_or(&recorded.before);
            if before == &recorded.value {
                continue;
            }
            if self.stays(&recorded.place) && !wanted && unchanged {
                let sysctl = recorded.sysctl();
                self.changes.push(Change::RestoreSysctl { sysctl, before: before.clone() });
            }
        }
    }

    fn remove_links(&mut self) {
        // Before what they are on.
        for single in self.record.links.iter().rev() {
            if !self.topology.links.iter().any(|wanted| self.is_single(single, wanted))
                && let (Some(link), Some(found)) = (single.link(), self.observed.ours(single))
            {
                self.changes.push(Change::RemoveSingle { link, index: found.index });
            }
        }
        let kept: Vec<&[LinkEntry; 2]> = self
            .record
            .cables
            .iter()
            .filter(|cable| self.topology.cables.iter().any(|wanted| self.is_cable(cable, wanted)))
            .collect();
        for cable in &self.record.cables {
            // What has an end in common with a cable that stays was that cable before it was made anew.
            let has = |end: &LinkEntry| cable.iter().any(|one| one.is_same(end));
            let made_anew = kept.iter().any(|other| other.iter().any(has));
            if !made_anew && !self.topology.cables.iter().any(|wanted| self.is_cable(cable, wanted)) {
                let [one, other] = cable;
                // One end takes the other with it. That of a place that stays is removed at once, wherever the other
                // is; it may be gone with its namespace already.
                let (first, second) = if one.place == Place::Host { (one, other) } else { (other, one) };
                if !self.remove_link(first, second.link()) {
                    self.remove_link(second, first.link());
                }
            }
        }
        for bridge in &self.record.bridges {
            if !self.topology.bridges.iter().any(|wanted| self.is_bridge(bridge, wanted)) {
                self.remove_link(bridge, None);
            }
        }
    }

    fn remove_link(&mut self, recorded: &LinkEntry, other: Option<LinkName>) -> bool {
        let (Some(link), Some(found)) = (recorded.link(), self.observed.ours(recorded)) else { return false };
        self.changes.push(Change::RemoveLink { link, index: found.index, other });
        true
    }
}
