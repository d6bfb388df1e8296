//! The ways out of bridges, and published ports.

use super::Executor;
use crate::error::Result;
use crate::plan::Change;
use crate::record::RecordedWayOut;
use crate::topology::{LinkName, Place, WayOutSpec};
use crate::way_out::fingerprint;
use netns_core::nat::{self, Forwarding, Nat, NatOptions, NatPorts, Publication};
use netns_core::{IfName, Namespace, link};

/// The owner of a topology's ports.
const OWNER: &str = "topology";

impl Executor<'_, '_> {
    /// Writes down the tables that are going to be made, and the settings of the host that are going to be set.
    pub(super) fn note_way_out(&mut self, spec: &WayOutSpec) -> Result<()> {
        let claimant = self.work.store.claimant(self.record);
        let bridge = spec.bridge.name;
        let host = self.entry(&Place::Host)?.0.try_clone()?;
        let forwarding = Forwarding::plan(&host, &spec.needs(), &claimant)?;
        match self.record.way_out_mut(bridge) {
            // What was needed by then is put back with the rest.
            Some(known) => {
                known.forwarding.forget_gone(&host, &claimant)?;
                known.forwarding.extend(forwarding);
            }
            None => self.record.ways_out.push(RecordedWayOut {
                bridge: bridge.to_string(),
                table: nat::unused_name(),
                fingerprint: None,
                forwarding,
            }),
        }
        Ok(())
    }

    /// Makes the rules, in place of those that are there unless those are whole, and sets the host's settings.
    pub(super) fn open_way_out(&mut self, spec: &WayOutSpec) -> Result<()> {
        let bridge = spec.bridge.name;
        let claimant = self.work.store.claimant(self.record);
        let (host, socket) = self.entry(&Place::Host)?;
        let link = link::get(socket, bridge)?;
        let options = spec.options(link.index, link.mac.unwrap_or_default());
        let (host, print) = (host.try_clone()?, fingerprint(&options));
        let Some(known) = self.record.way_out_mut(bridge) else { return Ok(()) };
        let mut nat = match whole(&host, known, &options, &print)? {
            Some(nat) => nat,
            None => Nat::replace(&host, &known.table, options, |_| false)?,
        };
        known.forwarding.claim(&host, &claimant)?;
        known.fingerprint = Some(print);
        let left = if spec.open_forward_chains { nat.open_blocks(bridge)? } else { nat.blocks(bridge)? };
        for block in left {
            log::warn!("nothing may pass the host from {bridge} or to it: {block}");
        }
        Ok(())
    }

    /// Sets the host's settings back that nothing else of the topology needs, and takes the rules away.
    pub(super) fn close_way_out(&mut self, bridge: IfName) -> Result<()> {
        let claimant = self.work.store.claimant(self.record);
        let host = self.entry(&Place::Host)?.0.try_clone()?;
        let (ours, others): (Vec<_>, Vec<_>) =
            self.record.ways_out.iter().partition(|way| way.bridge == bridge.as_str());
        for way in ours {
            let needless = way.forwarding.except(others.iter().map(|other| &other.forwarding));
            for left in needless.release(&host, &claimant)? {
                log::warn!("{left}: left as it is");
            }
            nat::remove(&host, &way.table)?;
        }
        // It is gone, and the next look is to find nothing to do.
        self.record.ways_out.retain(|way| way.bridge != bridge.as_str());
        Ok(())
    }

    /// Publishes a port, or withdraws it.
    pub(super) fn publish(&mut self, bridge: &LinkName, publication: &Publication, on: bool) -> Result<()> {
        let host = self.entry(&Place::Host)?.0.try_clone()?;
        let Some(known) = self.record.way_out_mut(bridge.name) else { return Ok(()) };
        // Where ports may lead was looked at when the topology was read.
        let Some(mut ports) = NatPorts::open(&host, &known.table)? else { return Ok(()) };
        if on {
            ports.publish(publication, OWNER)?;
        } else {
            ports.withdraw(publication, OWNER)?;
        }
        Ok(())
    }

    /// Makes one of these changes.
    pub(super) fn make_way_out(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::OpenWayOut { spec, .. } => self.open_way_out(spec),
            Change::CloseWayOut { bridge } => self.close_way_out(bridge.name),
            Change::Publish { bridge, publication } => self.publish(bridge, publication, true),
            Change::Withdraw { bridge, publication } => self.publish(bridge, publication, false),
            _ => Ok(()),
        }
    }
}

/// The table that is there, if it has these options and all of its rules: then the host forwards too little, since routes lead
/// elsewhere by now or somebody has changed a setting.
fn whole(host: &Namespace, known: &RecordedWayOut, options: &NatOptions, print: &str) -> Result<Option<Nat>> {
    if known.fingerprint.as_deref() != Some(print) {
        return Ok(None);
    }
    let Some(mut nat) = Nat::open(host, &known.table, options.clone())? else { return Ok(None) };
    Ok(nat.is_whole()?.then_some(nat))
}
