//! Groups that are kept apart.
//!
//! They are kept apart by the program that judges the ports of a place, so there, and only of groups which ports of that
//! place are in: without a port that is judged there is no program.

use super::{Change, Planner};
use crate::group::Group;
use crate::topology::Place;
use std::collections::{BTreeMap, BTreeSet};

impl Planner<'_> {
    /// Keeps groups apart that are to be.
    pub(super) fn part_groups(&mut self) {
        for (place, groups) in self.groups_by_place() {
            // Said twice in the file, it is done once.
            let mut seen = BTreeSet::new();
            for [one, other] in &self.topology.apart {
                let Some(numbers) = self.numbers([one, other]).filter(|pair| both_in(*pair, &groups)) else {
                    continue;
                };
                let missing = both_ways(numbers).iter().any(|way| !self.is_apart(&place, *way));
                if missing && seen.insert(in_order(numbers)) {
                    let groups = [one.clone(), other.clone()];
                    self.changes.push(Change::PartGroups { place: place.clone(), groups, numbers });
                }
            }
        }
    }

    /// Lets groups talk to each other again that are not to be kept apart any more.
    pub(super) fn join_groups(&mut self) {
        for (place, groups) in self.groups_by_place() {
            let wanted = self.topology.apart.iter().filter_map(|[one, other]| self.numbers([one, other]));
            let wanted: BTreeSet<(u8, u8)> =
                wanted.filter(|pair| both_in(*pair, &groups)).flat_map(both_ways).collect();
            let there = self.observed.apart.get(&place).into_iter().flatten();
            let unwanted: BTreeSet<(u8, u8)> = there
                .filter(|pair| !wanted.contains(pair))
                .map(|&(one, other)| in_order([one, other]))
                .collect();
            for (one, other) in unwanted {
                let numbers = [one, other];
                let groups = numbers.map(|number| self.name_of(number));
                self.changes.push(Change::JoinGroups { place: place.clone(), groups, numbers });
            }
        }
    }

    /// The groups that ports which are to be judged are in, place by place.
    fn groups_by_place(&self) -> BTreeMap<Place, BTreeSet<u8>> {
        let mut places: BTreeMap<Place, BTreeSet<u8>> = BTreeMap::new();
        for cable in &self.topology.cables {
            let group = cable.policy.as_ref().and_then(|policy| policy.group.number(&self.groups));
            if let Some(group) = group {
                places.entry(cable.ends[0].link.place.clone()).or_default().insert(group);
            }
        }
        places
    }

    fn numbers(&self, [one, other]: [&Group; 2]) -> Option<[u8; 2]> {
        Some([one.number(&self.groups)?, other.number(&self.groups)?])
    }

    fn is_apart(&self, place: &Place, way: (u8, u8)) -> bool {
        self.observed.apart.get(place).is_some_and(|apart| apart.contains(&way))
    }

    /// The group that had this number when it was kept apart from another.
    fn name_of(&self, number: u8) -> Group {
        let found = self.record.groups.iter().find(|(_, known)| **known == number);
        found.map_or(Group::Number(number), |(name, _)| Group::Name(name.clone()))
    }
}

fn both_in([one, other]: [u8; 2], groups: &BTreeSet<u8>) -> bool {
    groups.contains(&one) && groups.contains(&other)
}

fn in_order([one, other]: [u8; 2]) -> (u8, u8) {
    (one.min(other), one.max(other))
}

const fn both_ways([one, other]: [u8; 2]) -> [(u8, u8); 2] {
    [(one, other), (other, one)]
}
