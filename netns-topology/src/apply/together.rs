//! Changes that are made by one exchange with the kernel: addresses and routes of a place.

use super::Executor;
use crate::error::Result;
use crate::plan::Change;
use crate::topology::{self, Place};
use netns_core::address::{self, Address};
use netns_core::route;
use netns_core::wire::Batch;

/// So many requests fit into a batch with room to spare.
const MOST: usize = 32;

/// How many of these changes, from the first on, can be made together: one, if it has to be made by itself.
pub(super) fn count(changes: &[Change]) -> usize {
    let place = changes.first().and_then(place_of);
    let same = |change: &&Change| place.is_some() && place_of(change) == place;
    changes.iter().take(MOST).take_while(same).count().max(1)
}

fn place_of(change: &Change) -> Option<&Place> {
    match change {
        Change::AddAddress(address) => Some(&address.link.place),
        Change::AddRoute(route) => Some(&route.place),
        _ => None,
    }
}

impl Executor<'_> {
    /// Makes changes of one place. Should one be refused, the others are made all the same: what is undone then is what is on
    /// record, so it makes no difference.
    pub(super) fn make_together(&mut self, changes: &[Change]) -> Result<()> {
        let Some(place) = changes.first().and_then(place_of) else { return Ok(()) };
        let mut batch = Batch::new();
        for change in changes {
            match change {
                Change::AddAddress(topology::AddressSpec { link, net }) => {
                    address::encode_add(&mut batch, &Address::new(self.index(link)?, *net));
                }
                Change::AddRoute(route) => route::encode_add(&mut batch, &self.request(route)?),
                _ => {}
            }
        }
        Ok(self.socket(place)?.execute(&mut batch)?)
    }
}
