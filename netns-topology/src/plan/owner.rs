//! Whose what is in the way is.

use super::Planner;
use crate::record::Record;
use crate::topology::LinkName;
use netns_core::MacAddress;

impl Planner<'_> {
    /// The topology that a namespace of this name is of, as the end of a sentence; `None` if it is of none.
    pub(super) fn owner_of_namespace(&self, name: &str) -> Option<String> {
        let there = self.observed.namespaces.get(name).copied().flatten()?;
        let is_its = |record: &&Record| record.namespaces.get(name).is_some_and(|known| known.is(&there));
        self.observed.others.iter().find(is_its).map(of)
    }

    /// The same of a link.
    pub(super) fn owner_of_link(&self, link: &LinkName, mac: Option<MacAddress>) -> Option<String> {
        let mac = mac?.to_string();
        let is_its = |record: &&Record| record.every_link().any(|known| known.is(link) && known.mac == mac);
        self.observed.others.iter().find(is_its).map(of)
    }

    /// What differs between this link and the one that this topology made, as the end of a sentence; `None` if it made
    /// none of this name.
    pub(super) fn is_other(&self, link: &LinkName, mac: Option<MacAddress>) -> Option<String> {
        let known = self.record.every_link().filter(|known| known.is(link)).last()?;
        let now = mac.map_or_else(|| "no MAC address".to_owned(), |mac| format!("the MAC address {mac}"));
        Some(format!(
            "with {now}, and what this topology made had {0}: if it is the same, set it back (`ip link set {1} address \
             {0}`), if not, remove it",
            known.mac, link.name
        ))
    }
}

fn of(record: &Record) -> String {
    let file = record.file.display();
    format!(
        "and is of the topology {file}, which is up: take that down (`netns down {file}`), or choose another name"
    )
}
