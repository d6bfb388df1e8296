//! Writing down what is going to be made.

use super::Executor;
use crate::error::Result;
use crate::observe::Observed;
use crate::plan::Change;
use crate::record::{RecordedLink, RecordedName, RecordedRoute, RecordedSysctl};
use crate::topology::{Place, Sysctl};
use netns_core::record::NamespaceIdentity;
use netns_core::{MacAddress, Namespace, sysctl::Ipv4Forwarding};
use std::hash::{BuildHasher, Hasher, RandomState};

impl Executor<'_> {
    /// Writes down what the changes are going to make; the changes, with the MAC addresses that were made up.
    ///
    /// Namespaces are made already, without a name: their cookies are known then, and should we be killed now, they
    /// go with us. Entries of what is removed stay until all is done: they are of no consequence when it is gone.
    pub(super) fn note(&mut self, changes: &[Change], observed: &Observed) -> Result<Vec<Change>> {
        let mut changes = changes.to_vec();
        for change in &mut changes {
            self.note_one(change, observed)?;
        }
        match self.store.write(self.record) {
            // Taking down never needs space: what the record says beside it is of no consequence.
            Err(_) if changes.iter().all(removes) => {}
            other => other?,
        }
        Ok(changes)
    }

    fn note_one(&mut self, change: &mut Change, observed: &Observed) -> Result<()> {
        match change {
            Change::AddNamespace(name) => {
                let place = Place::Namespace(name.clone());
                self.enter(place.clone(), Namespace::anonymous()?)?;
                let (namespace, socket) = self.entry(&place)?;
                let identity = NamespaceIdentity::of_new(namespace, socket)?;
                self.unnamed.insert(name.clone());
                self.forget_inside(&place);
                self.record.namespaces.insert(name.clone(), identity);
            }
            Change::AddBridge(bridge) => {
                let mac = *bridge.mac.get_or_insert_with(any_mac);
                self.record.bridges.push(RecordedLink::new(&bridge.link, mac));
            }
            Change::AddSingle(single) => {
                let mac = *single.mac.get_or_insert_with(any_mac);
                self.record.links.push(RecordedLink::new(&single.link, mac));
            }
            Change::AddCable(cable) => {
                let ends = cable.ends.each_mut();
                let ends = ends.map(|end| RecordedLink::new(&end.link, *end.mac.get_or_insert_with(any_mac)));
                self.record.cables.push(ends);
            }
            Change::AddAddress(address) if !self.record.has_address(address) => {
                self.record.addresses.push((RecordedName::new(&address.link), address.net.to_string()));
            }
            Change::AddRoute(route) if !self.record.has_route(route) => {
                self.record.routes.push(RecordedRoute::new(route));
            }
            Change::SetSysctl { sysctl, from } => self.note_sysctl(sysctl, from.as_deref(), observed)?,
            _ => {}
        }
        Ok(())
    }

    /// What a setting was before is what it was before the first time.
    fn note_sysctl(&mut self, sysctl: &Sysctl, from: Option<&str>, observed: &Observed) -> Result<()> {
        let found = self.record.sysctls.iter_mut().find(|recorded| recorded.is(sysctl));
        if let Some(recorded) = found {
            recorded.value.clone_from(&sysctl.value);
            return Ok(());
        }
        let is_there = observed.places.contains_key(&sysctl.place);
        let interfaces = if sysctl.key == "net/ipv4/ip_forward" && is_there {
            Ipv4Forwarding::observe(&self.entry(&sysctl.place)?.0)?.interfaces
        } else {
            None
        };
        // Of a link or a namespace that is made with it, the value goes with it, or is the kernel's default.
        let Some(before) = from else { return Ok(()) };
        self.record.sysctls.push(RecordedSysctl {
            place: sysctl.place.clone(),
            key: sysctl.key.clone(),
            value: sysctl.value.clone(),
            before: before.to_owned(),
            interfaces,
        });
        Ok(())
    }

    /// What was in a namespace that is gone is gone with it.
    fn forget_inside(&mut self, place: &Place) {
        self.record.addresses.retain(|(link, _)| link.place != *place);
        self.record.routes.retain(|route| route.place != *place);
        self.record.programs.remove(place);
        self.record.barriers.remove(place);
        self.record.sysctls.retain(|sysctl| sysctl.place != *place);
        self.record.commands.retain(|command| *place != Place::Namespace(command.namespace.clone()));
    }
}

/// Whether a change makes nothing that would have to be found again.
const fn removes(change: &Change) -> bool {
    matches!(
        change,
        Change::Stop(_)
            | Change::RemoveRoute(_)
            | Change::RemoveAddress(_)
            | Change::RestoreSysctl { .. }
            | Change::RemoveLink { .. }
            | Change::RemoveSingle { .. }
            | Change::RemoveNamespace(_)
            | Change::RemovePolicy { .. }
            | Change::JoinGroups { .. }
    )
}

/// A MAC address that nobody else has, in all likelihood: 40 bits out of the standard library's source of randomness.
fn any_mac() -> MacAddress {
    MacAddress::local(RandomState::new().build_hasher().finish())
}
