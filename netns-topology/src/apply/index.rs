//! The indexes that links are going to have. They are chosen, so that none has to be asked for, and what names a link by its index
//! goes into the request that makes it.

use super::Executor;
use crate::error::Result;
use crate::observe::Observed;
use crate::plan::Change;
use crate::topology::{LinkName, Place};
use netns_core::link;
use std::collections::BTreeMap;

/// How far above the highest index of a place ours begin: what others make there meanwhile is numbered upwards one by one.
const GAP: u32 = 1000;

impl Executor<'_, '_> {
    /// Chooses the indexes of the bridges and cables that are going to be made.
    pub(super) fn choose_indexes(&mut self, changes: &[Change], observed: &Observed) -> Result<()> {
        let mut next: BTreeMap<&Place, u32> = BTreeMap::new();
        let mut first_inside = None;
        for change in changes {
            let ends: Vec<&LinkName> = match change {
                Change::AddBridge(bridge) => vec![&bridge.link],
                Change::AddCable(cable) => cable.ends.iter().map(|end| &end.link).collect(),
                _ => continue,
            };
            // The two ends of a cable have different ones, so that a program that knows ports by their index can serve both.
            let mut other = 0;
            for link in ends {
                let first = match (next.get(&link.place), observed.inside(&link.place)) {
                    (Some(&index), _) => index,
                    (None, Some(inside)) => {
                        inside.links.values().map(|link| link.index).max().unwrap_or(0).saturating_add(GAP)
                    }
                    // A new namespace has `lo`, and as many tunnels as modules of the kernel put into each.
                    (None, None) => match first_inside {
                        Some(first) => first,
                        None => *first_inside.insert(self.first_index_inside(&link.place)?),
                    },
                };
                let index = if first == other { first.saturating_add(1) } else { first };
                other = index;
                next.insert(&link.place, index.saturating_add(1));
                self.chosen.insert(link.clone(), index);
            }
        }
        Ok(())
    }

    /// The first index that is free in a new namespace, which is made for that.
    fn first_index_inside(&mut self, place: &Place) -> Result<u32> {
        if let Place::Namespace(name) = place
            && !self.unnamed.contains(name)
        {
            self.make_unnamed(name)?;
        }
        let links = link::list(self.socket(place)?)?;
        Ok(links.iter().map(|link| link.index).max().unwrap_or(0).saturating_add(1))
    }
}
