//! Writing down what is going to be made.

use super::Executor;
use super::mac::MacSource;
use crate::error::Result;
use crate::observe::Observed;
use crate::plan::{Change, ChangeNature};
use crate::record::{LinkEntry, Record, RecordedName, RecordedRoute, SysctlEntry};
use crate::topology::{LinkName, Place, Sysctl};
use netns_core::record::SharedSetting;
use netns_core::sysctl::{self, Ipv4Forwarding};
use netns_core::{ErrorKind, MacAddress};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};

impl Executor<'_, '_> {
    /// Writes down what the changes are going to make; the changes, with the MAC addresses that were made up.
    ///
    /// Namespaces are written down when they are made, one by one, before they have a name: until then they go with us. Those
    /// with settings are made already: what the settings are at first is written down too. Entries of what is removed stay
    /// until all is done: they are of no consequence when it is gone.
    pub(super) fn note(&mut self, changes: &[Change], observed: &Observed) -> Result<Vec<Change>> {
        let mut changes = changes.to_vec();
        self.choose_macs(&mut changes)?;
        self.choose_indexes(&changes, observed);
        let with_settings: BTreeSet<&Place> = changes.iter().filter_map(set_in).collect();
        for change in &changes {
            if let Change::AddNamespace(name) = change {
                let place = Place::Namespace(name.clone());
                self.forget_inside(&place);
                if with_settings.contains(&place) && !self.unnamed.contains(name) {
                    self.make_unnamed(name)?;
                }
            }
        }
        let known = NotedBefore::of(self.record);
        for change in &mut changes {
            self.note_one(change, observed, &known)?;
        }
        for change in &changes {
            if let Change::SetSysctl { sysctl, from } = change {
                self.note_sysctl(sysctl, from.as_deref(), observed, &changes)?;
            }
        }
        match self.work.store.write(self.record) {
            // Taking down never needs space: what the record says beside it is of no consequence.
            Err(_) if changes.iter().all(|change| change.nature() != ChangeNature::Makes) => {}
            other => other?,
        }
        Ok(changes)
    }

    /// Gives what is made the MAC address that it had before, or always has, unless the file gives that to another: a
    /// neighbour that knew it goes on reaching it.
    fn choose_macs(&mut self, changes: &mut [Change]) -> Result<()> {
        if ends_of(changes).all(|(_, mac)| mac.is_some()) {
            return Ok(());
        }
        let file = self.record.file.clone();
        let (host, socket) = self.entry(&Place::Host)?;
        let source = MacSource::new(&file, host, socket)?;
        let mut known: BTreeMap<(&Place, &str), MacAddress> = BTreeMap::new();
        for link in self.record.every_link() {
            known.extend(link.mac.parse().ok().map(|mac| ((&link.place, link.name.as_str()), mac)));
        }
        let mut given: BTreeSet<MacAddress> = ends_of(changes).filter_map(|(_, mac)| *mac).collect();
        let others: BTreeSet<MacAddress> = known.values().copied().collect();
        for (link, mac) in ends_of(changes).filter(|(_, mac)| mac.is_none()) {
            let before = known.get(&(&link.place, link.name.as_str())).copied();
            let always = source.of(link);
            let always = Some(always).filter(|always| !others.contains(always));
            *mac = [before, always].into_iter().flatten().find(|mac| given.insert(*mac));
        }
        Ok(())
    }

    fn note_one(&mut self, change: &mut Change, observed: &Observed, before: &NotedBefore) -> Result<()> {
        match change {
            Change::AddBridge(bridge) => {
                let new = self.new_entry(&bridge.link, &mut bridge.mac);
                forget_gone(&mut self.record.bridges, &new, observed);
                self.record.bridges.push(new);
            }
            Change::AddSingle(single) => {
                let new = self.new_entry(&single.link, &mut single.mac);
                forget_gone(&mut self.record.links, &new, observed);
                self.record.links.push(new);
            }
            Change::AddCable(cable) => {
                let ends = cable.ends.each_mut().map(|end| self.new_entry(&end.link, &mut end.mac));
                if before.has_cables {
                    self.record.cables.retain(|known| {
                        let has_name = known.iter().any(|end| ends.iter().any(|new| new.has_name_of(end)));
                        let is_there = known.iter().any(|end| observed.ours(end).is_some());
                        let is_same = known.iter().zip(&ends).all(|(known, new)| known.is_same(new));
                        (!has_name || is_there) && !is_same
                    });
                }
                self.record.cables.push(ends);
            }
            Change::OpenWayOut { spec, .. } => self.note_way_out(spec)?,
            Change::AddAddress(address) if !(before.has_addresses && self.record.has_address(address)) => {
                self.record.addresses.push((RecordedName::new(&address.link), address.net.to_string()));
            }
            Change::AddRoute(route) if !(before.has_routes && self.record.has_route(route)) => {
                self.record.routes.push(RecordedRoute::new(route));
            }
            _ => {}
        }
        Ok(())
    }

    /// The entry of a link that is going to be made.
    fn new_entry(&self, link: &LinkName, mac: &mut Option<MacAddress>) -> LinkEntry {
        let entry = LinkEntry::new(link, *mac.get_or_insert_with(any_mac));
        LinkEntry { index: self.chosen.get(link).copied(), ..entry }
    }

    /// What a setting was before is what it was before the first time.
    fn note_sysctl(
        &mut self,
        sysctl: &Sysctl,
        from: Option<&str>,
        observed: &Observed,
        changes: &[Change],
    ) -> Result<()> {
        let found = self.record.sysctls.iter_mut().find(|recorded| recorded.is(sysctl));
        if let Some(recorded) = found {
            recorded.value.clone_from(&sysctl.value);
            return Ok(());
        }
        if self.is_shared(sysctl) {
            return self.note_shared(sysctl);
        }
        let is_there = observed.places.contains_key(&sysctl.place);
        let interfaces = if sysctl.key == "net/ipv4/ip_forward" && is_there {
            Ipv4Forwarding::observe(self.entry(&sysctl.place)?.0)?.interfaces
        } else {
            None
        };
        let before = match from {
            Some(from) => from.to_owned(),
            // Of a setting that there is not, the error comes when it is set.
            None => match self.first_value(sysctl, changes)? {
                Some(first) => first,
                None => return Ok(()),
            },
        };
        self.record.sysctls.push(SysctlEntry {
            place: sysctl.place.clone(),
            key: sysctl.key.clone(),
            value: sysctl.value.clone(),
            before,
            interfaces,
        });
        Ok(())
    }

    /// A setting of the host was what it was before the first topology or run needed it.
    fn note_shared(&mut self, sysctl: &Sysctl) -> Result<()> {
        let claimant = self.work.store.claimant(self.record);
        let namespace = self.entry(&Place::Host)?.0;
        let before = SharedSetting { namespace, name: &sysctl.key, claimant: &claimant }.before();
        match before {
            // Of a setting that there is not, the error comes when it is set.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            before => self.record.sysctls.push(SysctlEntry::shared(sysctl, before?)),
        }
        Ok(())
    }

    /// What a setting is going to be at first that is made together with its namespace or link: a new link's is that of
    /// `default`, as that is going to be by then.
    fn first_value(&mut self, sysctl: &Sysctl, changes: &[Change]) -> Result<Option<String>> {
        if !sysctl.is_of_interface() {
            return self.present_value(sysctl, &sysctl.key);
        }
        let of_another = |interface: &str| {
            let mut parts: Vec<&str> = sysctl.key.split('/').collect();
            parts[Sysctl::INTERFACE] = interface;
            parts.join("/")
        };
        let default = of_another("default");
        let given = changes.iter().find_map(|change| match change {
            Change::SetSysctl { sysctl: other, .. }
                if other.place == sysctl.place && other.key == default =>
            {
                Some(other.value.clone())
            }
            _ => None,
        });
        if given.is_some() {
            return Ok(given);
        }
        match self.present_value(sysctl, &default)? {
            // Namespaces but the first have no `net/ipv4/neigh/default`: `lo` has what a new link gets there.
            None => self.present_value(sysctl, &of_another("lo")),
            value => Ok(value),
        }
    }

    fn present_value(&mut self, sysctl: &Sysctl, key: &str) -> Result<Option<String>> {
        match sysctl::get(self.entry(&sysctl.place)?.0, key) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => Ok(Some(crate::words(&other?))),
        }
    }

    /// What was in a namespace that is gone is gone with it.
    fn forget_inside(&mut self, place: &Place) {
        self.record.addresses.retain(|(link, _)| link.place != *place);
        self.record.routes.retain(|route| route.place != *place);
        // Another namespace counts from the beginning.
        self.record.every_link_mut().filter(|link| link.place == *place).for_each(|link| link.index = None);
        self.record.programs.remove(place);
        self.record.barriers.remove(place);
        self.record.sysctls.retain(|sysctl| sysctl.place != *place);
        self.record.commands.retain(|command| *place != Place::Namespace(command.namespace.clone()));
    }
}

/// What a record has before anything is noted: a plan makes nothing twice.
struct NotedBefore {
    has_cables: bool,
    has_addresses: bool,
    has_routes: bool,
}

impl NotedBefore {
    fn of(record: &Record) -> Self {
        Self {
            has_cables: !record.cables.is_empty(),
            has_addresses: !record.addresses.is_empty(),
            has_routes: !record.routes.is_empty(),
        }
    }
}

/// The place of a setting that is set.
fn set_in(change: &Change) -> Option<&Place> {
    if let Change::SetSysctl { sysctl, .. } = change { Some(&sysctl.place) } else { None }
}

/// Drops the entries of links of a name that is going to be another's: of what is gone nothing is to be found.
fn forget_gone(known: &mut Vec<LinkEntry>, new: &LinkEntry, observed: &Observed) {
    known.retain(|known| (!known.has_name_of(new) || observed.ours(known).is_some()) && !known.is_same(new));
}

/// The links that are going to be made, each with the MAC address that it is to have.
fn ends_of(changes: &mut [Change]) -> impl Iterator<Item = (&LinkName, &mut Option<MacAddress>)> {
    changes.iter_mut().flat_map(|change| match change {
        Change::AddBridge(bridge) => vec![(&bridge.link, &mut bridge.mac)],
        Change::AddSingle(single) => vec![(&single.link, &mut single.mac)],
        Change::AddCable(cable) => cable.ends.iter_mut().map(|end| (&end.link, &mut end.mac)).collect(),
        _ => Vec::new(),
    })
}

/// A MAC address that nobody else has, in all likelihood: 40 bits out of the standard library's source of randomness.
fn any_mac() -> MacAddress {
    MacAddress::local(RandomState::new().build_hasher().finish())
}
