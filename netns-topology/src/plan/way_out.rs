//! Ways out of bridges, and published ports.

use super::{Change, Planner};
use crate::topology::{LinkName, Place};

impl Planner<'_> {
    /// What is on record and not wanted any more goes first: nothing is let out or in that is about to change.
    pub(super) fn close_ways_out(&mut self) {
        for known in &self.record.ways_out {
            let wanted = self.topology.ways_out.iter().any(|way| known.is(way.bridge.name));
            if let (false, Some(name)) = (wanted, known.name()) {
                self.changes.push(Change::CloseWayOut { bridge: LinkName { place: Place::Host, name } });
            }
        }
        for (bridge, published) in self.published() {
            let wanted = self.topology.ways_out.iter().filter(|way| way.bridge == bridge);
            let wanted: Vec<_> =
                wanted.flat_map(|way| way.published.iter().flat_map(|one| one.each())).collect();
            let gone = published.into_iter().filter(|one| !wanted.contains(one));
            self.changes
                .extend(gone.map(|publication| Change::Withdraw { bridge: bridge.clone(), publication }));
        }
    }

    /// What there is in tables that stay as they are.
    fn published(&self) -> Vec<(LinkName, Vec<netns_core::nat::Publication>)> {
        let whole = self.observed.ways_out.iter().filter(|(_, way)| way.has_rules);
        whole.map(|(bridge, way)| (bridge.clone(), way.published.clone())).collect()
    }

    pub(super) fn open_ways_out(&mut self) {
        for spec in &self.topology.ways_out {
            let now = self.observed.ways_out.get(&spec.bridge);
            if !now.is_some_and(|way| way.is_whole) {
                self.changes.push(Change::OpenWayOut { spec: spec.clone(), again: now.is_some() });
            }
            // A table that is whole stays: what is published in it is not away for a moment.
            let stays = now.filter(|way| way.has_rules);
            let there = stays.map(|way| &way.published[..]).unwrap_or_default();
            for one in &spec.published {
                if one.each().all(|port| there.contains(&port)) {
                    continue;
                }
                // Of a range of which a part is there, the rest one by one.
                let some = one.each().any(|port| there.contains(&port));
                let missing: Vec<_> =
                    if some { one.each().filter(|port| !there.contains(port)).collect() } else { vec![*one] };
                let publish = |publication| Change::Publish { bridge: spec.bridge.clone(), publication };
                self.changes.extend(missing.into_iter().map(publish));
            }
        }
    }
}
