//! What of a plan is made at once: changes that exchanges with the kernel can carry together, and all that a new namespace on a
//! bridge is given, so that making one takes no longer than it has to.

use crate::plan::Change;
use crate::topology::{LinkName, Place};
use std::collections::{HashMap, HashSet};

/// How a step is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepKind {
    /// A change by itself.
    Single,
    /// Addresses or routes of one place.
    Together,
    /// A bridge and its addresses.
    Bridge,
    /// A namespace whose only link is a cable to a bridge, that cable, its addresses and routes.
    Member,
}

/// Changes that are made at once.
#[derive(Debug)]
pub(super) struct Step<'c> {
    pub(super) kind: StepKind,
    pub(super) changes: Vec<&'c Change>,
}

/// The steps of a plan, in its order. What is part of an earlier step is made with that.
pub(super) fn steps(changes: &[Change]) -> Vec<Step<'_>> {
    let (members, bridges) = (members(changes), bridges(changes));
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(changes.len());
    // New namespaces that wait for their cable.
    let mut waiting: HashMap<&str, &Change> = HashMap::new();
    let (mut of_member, mut of_bridge) = (HashMap::new(), HashMap::new());
    for change in changes {
        match change {
            Change::AddNamespace(name) if members.contains(name.as_str()) => {
                waiting.insert(name, change);
                continue;
            }
            Change::AddCable(cable) => {
                let [_, far] = &cable.ends;
                if let Some(name) = name_of(&far.link.place)
                    && let Some(namespace) = waiting.remove(name)
                {
                    of_member.insert(name, steps.len());
                    steps.push(Step { kind: StepKind::Member, changes: vec![namespace, change] });
                    continue;
                }
            }
            Change::AddBridge(bridge) if bridges.contains(&bridge.link) => {
                of_bridge.insert(&bridge.link, steps.len());
                steps.push(Step { kind: StepKind::Bridge, changes: vec![change] });
                continue;
            }
            _ => {}
        }
        let inside = part_of(change);
        let step = inside.and_then(|(place, _)| of_member.get(name_of(place)?));
        let step = step.or_else(|| of_bridge.get(inside?.1?));
        if let Some(&step) = step {
            steps[step].changes.push(change);
            continue;
        }
        let is_many = matches!(change, Change::AddAddress(_) | Change::AddRoute(_));
        let place = |change| part_of(change).map(|(place, _)| place);
        match steps.last_mut() {
            Some(last)
                if is_many && last.kind == StepKind::Together && place(last.changes[0]) == place(change) =>
            {
                last.changes.push(change);
            }
            _ => {
                let kind = if is_many { StepKind::Together } else { StepKind::Single };
                steps.push(Step { kind, changes: vec![change] });
            }
        }
    }
    steps
}

/// The names of new namespaces that get one link, which is the far end of a cable to a bridge, and no setting of that.
fn members(changes: &[Change]) -> HashSet<&str> {
    // What each gets: a cable to a bridge counts one, and anything else that is a link, or a setting of one, too many.
    let mut gets: HashMap<&str, usize> = HashMap::new();
    for change in changes {
        if let Change::AddNamespace(name) = change {
            gets.insert(name, 0);
        }
    }
    let mut count = |place: &Place, links: usize| {
        if let Some(got) = name_of(place).and_then(|name| gets.get_mut(name)) {
            *got += links;
        }
    };
    for change in changes {
        match change {
            Change::AddCable(cable) => {
                let [near, far] = &cable.ends;
                count(&near.link.place, 2);
                let is_plain = near.port.is_some() && near.link.place != far.link.place;
                count(&far.link.place, if is_plain { 1 } else { 2 });
            }
            Change::AddBridge(bridge) => count(&bridge.link.place, 2),
            Change::AddSingle(single) => count(&single.link.place, 2),
            Change::SetSysctl { sysctl, .. } if sysctl.is_of_interface() => count(&sysctl.place, 2),
            _ => {}
        }
    }
    gets.into_iter().filter(|(_, links)| *links == 1).map(|(name, _)| name).collect()
}

/// New bridges that get no setting of their own.
fn bridges(changes: &[Change]) -> HashSet<&LinkName> {
    let mut bridges: HashSet<&LinkName> = HashSet::new();
    for change in changes {
        if let Change::AddBridge(bridge) = change {
            bridges.insert(&bridge.link);
        }
    }
    for change in changes {
        if let Change::SetSysctl { sysctl, .. } = change
            && sysctl.is_of_interface()
        {
            bridges.retain(|link| link.place != sysctl.place);
        }
    }
    bridges
}

/// The place, and of an address the link, that a change gives something to.
const fn part_of(change: &Change) -> Option<(&Place, Option<&LinkName>)> {
    match change {
        Change::AddAddress(address) => Some((&address.link.place, Some(&address.link))),
        Change::AddLinkLocal(link) => Some((&link.place, Some(link))),
        Change::AddRoute(route) => Some((&route.place, None)),
        _ => None,
    }
}

fn name_of(place: &Place) -> Option<&str> {
    match place {
        Place::Host => None,
        Place::Namespace(name) => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::{StepKind, steps};
    use crate::observe::{Observed, ObservedInside};
    use crate::plan::plan;
    use crate::record::Record;
    use crate::topology::Place;
    use std::path::{Path, PathBuf};

    const LAB: &str = r#"
[bridge.br0]
addresses = ["10.0.0.254/24"]
[namespace.plain]
interface.eth0 = { bridge = "br0", addresses = ["10.0.0.1/24", "fd00::1/64"] }
routes = [{ to = "default", via = "10.0.0.254" }]
[namespace.set]
interface.eth0 = { bridge = "br0", addresses = ["10.0.0.2/24"] }
sysctl = { "net.ipv4.conf.eth0.rp_filter" = 1 }
[namespace.two]
interface.eth0 = { bridge = "br0", addresses = ["10.0.0.3/24"] }
interface.eth1 = { bridge = "br0", addresses = ["10.0.0.4/24"] }
routes = [{ to = "default", via = "10.0.0.254" }]
[namespace.inner]
interface.eth0 = { bridge = "br1" }
[namespace.outer]
[bridge.br1]
namespace = "outer"
"#;

    #[test]
    fn what_a_namespace_on_a_bridge_gets_is_made_with_it_unless_something_has_to_come_between() {
        let topology = crate::parse(Path::new("lab.toml"), LAB).unwrap();
        let mut observed = Observed::default();
        observed.places.insert(Place::Host, ObservedInside::default());
        let changes = plan(&topology, &Record::empty(PathBuf::from("/lab.toml")), &observed).unwrap();
        let steps = steps(&changes);
        let all: usize = steps.iter().map(|step| step.changes.len()).sum();
        assert_eq!(all, changes.len(), "each is made once");
        let of = |kind: StepKind| -> Vec<Vec<String>> {
            let of_kind = steps.iter().filter(|step| step.kind == kind);
            of_kind.map(|step| step.changes.iter().map(ToString::to_string).collect()).collect()
        };
        assert_eq!(
            of(StepKind::Member),
            [
                vec![
                    "+ namespace plain",
                    "+ cable plain/eth0 - host/plain-eth0 (on br0)",
                    "+ plain/eth0: address 10.0.0.1/24",
                    "+ plain/eth0: address fd00::1/64",
                    "+ plain/eth0: link-local address",
                    "+ plain: route default via 10.0.0.254",
                ],
                vec!["+ namespace inner", "+ cable inner/eth0 - outer/inner-eth0 (on br1)"],
            ]
        );
        let bridges = of(StepKind::Bridge);
        assert!(
            bridges.contains(&vec![
                "+ bridge host/br0".to_owned(),
                "+ host/br0: address 10.0.0.254/24".to_owned()
            ])
        );
        assert_eq!(
            of(StepKind::Together),
            [
                vec!["+ set/eth0: address 10.0.0.2/24"],
                vec![
                    "+ two/eth0: address 10.0.0.3/24",
                    "+ two/eth1: address 10.0.0.4/24",
                    "+ two: route default via 10.0.0.254",
                ],
            ]
        );
    }
}
