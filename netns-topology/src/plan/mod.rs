//! What to change, so that what is there becomes what is to be there: no system call, only a comparison of three
//! things. What is wanted and missing is added; what is on record and not wanted any more is removed; what is there
//! and not on record is somebody else's: left alone, and a conflict if it is in the way.

mod add;
mod apart;
mod change;
mod host;
mod left;
mod owner;
mod remove;
mod way_out;

#[cfg(test)]
mod tests;

pub(crate) use add::link_local;
pub use change::Change;
pub(crate) use change::ChangeNature;
pub(crate) use left::left;

use crate::error::{Error, Result};
use crate::group::{GroupNumbers, number};
use crate::observe::Observed;
use crate::record::{LinkEntry, Record};
use crate::topology::{BridgeSpec, Cable, LinkName, Place, RouteSpec, SingleLink, Topology};
use netns_core::link::LinkKind;
use netns_core::option::Options;
use netns_core::route;

/// The changes that make of what was observed what the topology says, in the order in which they can be made.
///
/// # Errors
/// [`Error::Conflict`]: everything that is in the way and was not made for this topology.
pub fn plan(topology: &Topology, record: &Record, observed: &Observed) -> Result<Vec<Change>> {
    let TopologyPlan { changes, inside } = plan_around(topology, record, observed)?;
    if inside.is_empty() { Ok(changes) } else { Err(Error::Conflict(inside)) }
}

/// As [`plan`], and does not fail if all that is in the way is inside namespaces of the topology, where a guest may have put
/// it. Not each of the changes can be made then.
///
/// # Errors
/// [`Error::Conflict`]: as above, if anything else is in the way.
pub(crate) fn plan_around(topology: &Topology, record: &Record, observed: &Observed) -> Result<TopologyPlan> {
    let groups = number_groups(topology, record)?;
    let (changes, conflicts, inside) = (Vec::new(), Vec::new(), Vec::new());
    let mut planner = Planner { topology, record, observed, groups, changes, conflicts, inside };
    planner.restore_identities();
    planner.remove();
    planner.add();
    let Planner { changes, mut conflicts, inside, .. } = planner;
    if conflicts.is_empty() {
        return Ok(TopologyPlan { changes, inside });
    }
    conflicts.extend(inside);
    Err(Error::Conflict(conflicts))
}

/// The changes that make ways out whole again whose bridges are there. Of the rest of the topology nothing is asked.
///
/// # Errors
/// As [`number_groups`].
pub(crate) fn plan_ways_out(
    topology: &Topology,
    record: &Record,
    observed: &Observed,
) -> Result<Vec<Change>> {
    let groups = number_groups(topology, record)?;
    let (changes, conflicts, inside) = (Vec::new(), Vec::new(), Vec::new());
    let mut planner = Planner { topology, record, observed, groups, changes, conflicts, inside };
    planner.open_ways_out();
    let mut plan = TopologyPlan { changes: planner.changes, inside: Vec::new() };
    plan.keep_policies(record, observed);
    Ok(plan.changes)
}

/// What to change, and what is in the way of some of it.
pub(crate) struct TopologyPlan {
    pub(crate) changes: Vec<Change>,
    /// What is in the way inside namespaces of the topology.
    pub(crate) inside: Vec<String>,
}

impl TopologyPlan {
    /// Leaves what judges interfaces that are there, and the rules of ways out: a guest that stands in the way of the rest is
    /// no reason to judge it, or others, less.
    pub(crate) fn keep_policies(&mut self, record: &Record, observed: &Observed) {
        let is_there = |link: &LinkName| {
            record.every_link().any(|known| known.is(link) && observed.ours(known).is_some())
        };
        self.changes.retain(|change| match change {
            // A port that is gone is not the policy's to bring back.
            Change::SetPolicy { port, inside, .. } => is_there(port) && is_there(inside),
            Change::JudgeHost { bridge } | Change::Publish { bridge, .. } => is_there(bridge),
            Change::PartGroups { .. } => true,
            // Without it the host, which goes on forwarding, is a router for everybody.
            Change::OpenWayOut { spec, .. } => is_there(&spec.bridge),
            _ => false,
        });
    }
}

/// The numbers of the topology's groups, which a plan counts with.
///
/// # Errors
/// [`Error::Conflict`] if there are more groups than numbers; a file has never that many.
pub(crate) fn number_groups(topology: &Topology, record: &Record) -> Result<GroupNumbers> {
    let full = |name| Error::Conflict(vec![format!("group {name}: every other number is another group's")]);
    number(topology.groups(), &record.groups).map_err(full)
}

struct Planner<'a> {
    topology: &'a Topology,
    record: &'a Record,
    observed: &'a Observed,
    groups: GroupNumbers,
    changes: Vec<Change>,
    conflicts: Vec<String>,
    /// Conflicts inside namespaces of the topology.
    inside: Vec<String>,
}

impl Planner<'_> {
    /// Notes what is in the way in a place.
    fn is_in_the_way(&mut self, place: &Place, what: String) {
        let is_guests = matches!(place, Place::Namespace(name) if self.has_namespace(name));
        let conflicts = if is_guests { &mut self.inside } else { &mut self.conflicts };
        conflicts.push(what);
    }

    /// Whether the namespace of this name is there and ours.
    fn has_namespace(&self, name: &str) -> bool {
        let there = self.observed.namespaces.get(name).copied().flatten();
        there.is_some_and(|there| self.record.namespaces.get(name).is_some_and(|ours| ours.is(&there)))
    }

    /// Whether a name that is on record stands for no namespace: we were killed while making it.
    fn is_unfinished(&self, name: &str) -> bool {
        self.observed.namespaces.get(name) == Some(&None) && self.record.namespaces.contains_key(name)
    }

    /// Whether this place is there, and is to stay.
    fn stays(&self, place: &Place) -> bool {
        match place {
            Place::Host => true,
            Place::Namespace(name) => self.has_namespace(name) && self.topology.namespaces.contains(name),
        }
    }

    /// Whether the link of this name was made by us.
    fn is_ours(&self, link: &LinkName) -> bool {
        self.record.every_link().any(|end| end.is(link) && self.observed.ours(end).is_some())
    }

    /// Whether the link with this index on the host was made by us.
    fn is_ours_on_host(&self, index: u32) -> bool {
        self.record
            .every_link()
            .filter(|end| end.place.is_host())
            .any(|end| self.observed.ours(end).is_some_and(|link| link.index == index))
    }

    /// Gives links of ours their names and MAC addresses back that somebody has changed. First of all: the rest knows
    /// them by those.
    fn restore_identities(&mut self) {
        let mut renamed = Vec::new();
        for known in self.record.every_link() {
            let (Some(link), Some(now)) = (known.link(), self.observed.ours(known)) else { continue };
            let is_as_made = now.name == link.name && known.has_mac(now.mac);
            if is_as_made || !self.keeps_link(&link) {
                continue;
            }
            if now.name != link.name {
                if self.observed.link(&link).is_some_and(|there| there.index != now.index) {
                    let what = format!(
                        "link {link} exists and was not made by this topology, whose own is called {} by now: remove it, or \
                         give it another name",
                        now.name
                    );
                    self.is_in_the_way(&link.place, what);
                    continue;
                }
                renamed.push(Change::Rename { link: link.clone(), index: now.index, from: now.name });
            }
            if let Ok(to) = known.mac.parse()
                && now.mac != Some(to)
            {
                self.changes.push(Change::SetMac { link, from: now.mac, to });
            }
        }
        self.changes.splice(..0, renamed);
    }

    /// Whether this bridge is there already.
    fn keeps_bridge(&self, bridge: &BridgeSpec) -> bool {
        self.record.bridges.iter().any(|recorded| self.is_bridge(recorded, bridge))
    }

    fn is_bridge(&self, recorded: &LinkEntry, bridge: &BridgeSpec) -> bool {
        self.is_end(recorded, &bridge.link, bridge.mac.map(|mac| mac.to_string()).as_deref())
    }

    /// Whether this link is there already, with these options. Most of them cannot be changed, so one with others is made
    /// anew.
    fn keeps_single(&self, single: &SingleLink) -> bool {
        self.record.links.iter().any(|recorded| self.is_single(recorded, single))
    }

    fn is_single(&self, recorded: &LinkEntry, single: &SingleLink) -> bool {
        let mac = single.mac.map(|mac| mac.to_string());
        let on = |name| self.observed.link(&LinkName { place: single.link.place.clone(), name });
        self.is_end(recorded, &single.link, mac.as_deref())
            && self.observed.ours(recorded).is_some_and(|now| {
                let below = single.on.map(|name| on(name).map(|below| below.index));
                now.details.is_some_and(|details| has(&details, &single.kind))
                    && (!single.kind.needs_link() || below == Some(now.peer))
            })
    }

    /// Whether this cable is there already.
    fn keeps_cable(&self, cable: &Cable) -> bool {
        self.record.cables.iter().any(|recorded| self.is_cable(recorded, cable))
    }

    fn is_cable(&self, [one, other]: &[LinkEntry; 2], cable: &Cable) -> bool {
        let [near, far] = &cable.ends;
        let is = |recorded, end: &crate::topology::CableEnd| {
            self.is_end(recorded, &end.link, end.mac.map(|mac| mac.to_string()).as_deref())
        };
        (is(one, near) && is(other, far)) || (is(one, far) && is(other, near))
    }

    /// Whether a recorded link is there, has this name, and the MAC address that it is to have, if it is to have one.
    fn is_end(&self, recorded: &LinkEntry, link: &LinkName, mac: Option<&str>) -> bool {
        recorded.is(link)
            && mac.is_none_or(|mac| mac == recorded.mac)
            && self.stays(&link.place)
            && self.observed.ours(recorded).is_some()
    }

    /// Whether a link that is wanted is there already.
    fn keeps_link(&self, link: &LinkName) -> bool {
        if !self.record.has_links() {
            return false;
        }
        let bridges = self.topology.bridges.iter().filter(|bridge| bridge.link == *link);
        let mut cables =
            self.topology.cables.iter().filter(|cable| cable.ends.iter().any(|end| end.link == *link));
        let mut single = self.topology.links.iter().filter(|single| single.link == *link);
        single.any(|single| self.keeps_single(single))
            || bridges.into_iter().any(|bridge| self.keeps_bridge(bridge))
            || cables.any(|cable| self.keeps_cable(cable))
    }

    /// The routes of its place that have its destination and metric, of which the kernel takes one.
    fn rivals(&self, route: &RouteSpec) -> impl Iterator<Item = &route::Route> {
        let inside = self.observed.inside(&route.place);
        let metric = metric(route.metric, route);
        inside.into_iter().flat_map(|inside| &inside.routes).filter(move |other| {
            other.table == MAIN && other.destination == route.to && other.metric.unwrap_or(0) == metric
        })
    }

    /// Whether it is this route that the kernel has.
    fn is_route(&self, route: &RouteSpec, other: &route::Route) -> bool {
        let index = |name: netns_core::IfName| {
            self.observed.link(&LinkName { place: route.place.clone(), name }).map(|link| link.index)
        };
        other.gateway == route.via
            && route.dev.is_none_or(|dev| index(dev).is_some_and(|index| other.index == Some(index)))
    }
}

/// Whether a link is of this kind and has these options.
fn has(now: &LinkKind, wanted: &LinkKind) -> bool {
    let rows = 0..wanted.rows().len();
    now.name() == wanted.name()
        && rows.into_iter().all(|row| wanted.get(row).is_none_or(|value| now.get(row) == Some(value)))
}

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;

/// The metric that the kernel gives a route: `IP6_RT_PRIO_USER` for IPv6, 0 for IPv4.
fn metric(metric: Option<u32>, route: &RouteSpec) -> u32 {
    metric.unwrap_or(if route.to.address().is_ipv6() { 1024 } else { 0 })
}
