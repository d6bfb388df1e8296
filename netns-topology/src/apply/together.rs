//! Changes that are made by as few exchanges with the kernel as have room for them: addresses and routes of a place.

use super::Executor;
use crate::error::Result;
use crate::plan::{Change, link_local};
use crate::topology::{AddressSpec, LinkName, Place};
use netns_core::address::{self, Address};
use netns_core::wire::{BATCH_CAPACITY, Batch};
use netns_core::{IpNet, MacAddress, route};

/// More bytes than any request of ours for an address, a route or a neighbour takes.
const ROOM: usize = 256;

impl Executor<'_, '_> {
    /// Makes changes of one place. Should one be refused, others are made all the same: what is undone then is what is on
    /// record, so it makes no difference.
    pub(super) fn make_together(&mut self, changes: &[&Change]) -> Result<()> {
        let mut batch = Batch::new();
        let mut place = None;
        for change in changes {
            if let Some(place) = place {
                self.make_room(&mut batch, place)?;
            }
            match change {
                Change::AddAddress(AddressSpec { link, net }) => {
                    address::encode_add(&mut batch, &Address::new(self.index(link)?, *net));
                    place = Some(&link.place);
                }
                Change::AddRoute(route) => {
                    route::encode_add(&mut batch, &self.request(route)?);
                    place = Some(&route.place);
                }
                _ => {}
            }
        }
        place.map_or(Ok(()), |place| Ok(self.socket(place)?.execute(&mut batch)?))
    }

    /// Sends what is in the batch if one more request may not fit into it.
    pub(super) fn make_room(&mut self, batch: &mut Batch, place: &Place) -> Result<()> {
        if batch.bytes().len() + ROOM > BATCH_CAPACITY {
            self.socket(place)?.execute(batch)?;
            batch.clear();
        }
        Ok(())
    }

    /// Appends what a link that was just made, and has this MAC address, is given: its addresses, its link-local one, routes.
    /// What has no room in the batch is sent before.
    pub(super) fn encode_given(
        &mut self,
        batch: &mut Batch,
        link: &LinkName,
        mac: MacAddress,
        changes: &[&Change],
    ) -> Result<()> {
        let index = self.index(link)?;
        for change in changes {
            self.make_room(batch, &link.place)?;
            let net = match change {
                Change::AddAddress(AddressSpec { net, .. }) => *net,
                Change::AddLinkLocal(_) => IpNet::new(link_local(mac).into(), 64)?,
                Change::AddRoute(route) => {
                    route::encode_add(batch, &self.request(route)?);
                    continue;
                }
                _ => continue,
            };
            address::encode_add(batch, &Address::new(index, net));
            address::encode_local_route(batch, index, net.address());
        }
        Ok(())
    }
}
