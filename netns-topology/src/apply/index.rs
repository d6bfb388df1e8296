//! The indexes that links are going to have. They are chosen, so that none has to be asked for.

use super::Executor;
use crate::observe::Observed;
use crate::plan::Change;
use crate::topology::LinkName;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

/// Where ours are: above those that the kernel gives, counting from 1, on any machine that makes fewer than half a billion links,
/// and below the windows of sandbox networks, which begin at 2^30.
const INDEXES: Range<u32> = 1 << 29..1 << 30;

impl Executor<'_, '_> {
    /// Chooses the indexes of the bridges and cables that are going to be made: one after the other, from a random one on, so that no
    /// other topology chooses the same and no later link gets them: see `LinkEntry::index`.
    pub(super) fn choose_indexes(&mut self, changes: &[Change], observed: &Observed) {
        let links = changes.iter().flat_map(|change| match change {
            Change::AddBridge(bridge) => vec![&bridge.link],
            Change::AddCable(cable) => cable.ends.iter().map(|end| &end.link).collect(),
            _ => Vec::new(),
        });
        let links: Vec<&LinkName> = links.collect();
        let there = observed.places.values().flat_map(|inside| inside.links.values());
        let mut free =
            free(there.map(|link| link.index).collect(), RandomState::new().build_hasher().finish());
        // No two have the same, wherever they are, so that a program that knows ports by their index can serve both ends of a cable.
        self.chosen.extend(links.into_iter().cloned().zip(&mut free));
    }
}

/// All indexes of ours that are free, each once, from a random one on.
fn free(taken: BTreeSet<u32>, random: u64) -> impl Iterator<Item = u32> {
    let first = INDEXES.start + (random % u64::from(INDEXES.end - INDEXES.start)) as u32;
    (first..INDEXES.end).chain(INDEXES.start..first).filter(move |index| !taken.contains(index))
}

#[cfg(test)]
mod tests {
    use super::{INDEXES, free};

    #[test]
    fn indexes_are_free_ones_of_the_range_and_differ() {
        let last = INDEXES.end - 1;
        let near_the_end = u64::from(last - INDEXES.start - 1);
        let taken = [1, last, INDEXES.start + 1, INDEXES.end].into();
        let first: Vec<u32> = free(taken, near_the_end).take(4).collect();
        assert_eq!(first, [last - 1, INDEXES.start, INDEXES.start + 2, INDEXES.start + 3]);
        assert_eq!(free([].into(), u64::MAX).next().map(|index| INDEXES.contains(&index)), Some(true));
    }
}
