//! Where interfaces may send to.

use super::Executor;
use super::step::Step;
use crate::error::{Error, Result};
use crate::plan::Change;
use crate::topology::{Place, PortPolicy};
use netns_ebpf::{EgressPolicy, EgressTable, Mode, Monitor, MonitorError};

/// How many different egress policies the programs of a place have room for.
pub(super) const MOST_POLICIES: u16 = 64;

/// An egress policy of the programs of a place, and what it says.
#[derive(Debug)]
pub(super) struct KnownPolicy {
    place: Place,
    policy: EgressPolicy,
    table: EgressTable,
}

impl Executor<'_, '_> {
    /// Notes whether these steps give any port an egress policy: programs that are loaded then look for those.
    pub(super) fn expect_egress(&mut self, steps: &[Step<'_>]) {
        let policy = |change: &Change| match change {
            Change::AddCable(cable) => cable.policy.as_ref().is_some_and(|policy| policy.egress.is_some()),
            Change::SetPolicy { policy, .. } => policy.egress.is_some(),
            _ => false,
        };
        self.wants_egress |= steps.iter().flat_map(|step| &step.changes).any(|change| policy(change));
    }

    /// The egress policy of the programs of a place that says what an interface's does, and its mode; a new one if there is none.
    pub(super) fn egress(
        &mut self,
        place: &Place,
        policy: &PortPolicy,
    ) -> Result<Option<(EgressPolicy, Mode)>> {
        let Some(egress) = &policy.egress else { return Ok(None) };
        let rules = egress.rules();
        let table = rules.compile().map_err(|prefix| MonitorError::EgressFull { prefix })?;
        let is_it = |known: &&KnownPolicy| known.place == *place && known.table == table;
        if let Some(known) = self.known_egress.iter().find(is_it) {
            return Ok(Some((known.policy, policy.mode)));
        }
        let (monitor, _) = self.monitor(place)?;
        let found = match find(monitor, &table)? {
            Some(found) => found,
            None => match monitor.add_egress(rules) {
                Err(MonitorError::EgressPolicies { .. }) => {
                    remove_unused(monitor)?;
                    let added = monitor.add_egress(rules)?;
                    self.known_egress.clear();
                    added
                }
                other => other?,
            },
        };
        self.known_egress.push(KnownPolicy { place: place.clone(), policy: found, table });
        Ok(Some((found, policy.mode)))
    }
}

fn find(monitor: &Monitor, table: &EgressTable) -> Result<Option<EgressPolicy>> {
    for policy in monitor.egress_policies() {
        if monitor.egress_table(policy)? == *table {
            return Ok(Some(policy));
        }
    }
    Ok(None)
}

/// Takes the policies away that no port has.
fn remove_unused(monitor: &Monitor) -> Result<()> {
    for policy in monitor.egress_policies() {
        match monitor.remove_egress(policy) {
            Ok(()) | Err(MonitorError::EgressInUse { .. }) => {}
            Err(error) => return Err(Error::from(error)),
        }
    }
    Ok(())
}
