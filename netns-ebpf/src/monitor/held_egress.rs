//! Egress policies of programs that a bridge holds. Places for them are numbered, and nobody but the caller knows what is in
//! which.

use super::{EgressPolicy, EgressRules, EgressTable, HeldMonitor, Mode, MonitorError, Slot};

impl HeldMonitor {
    /// How many egress policies there can be: 0 if the programs were loaded without any
    /// ([`MonitorOptions::egress`](crate::MonitorOptions::egress)).
    #[must_use]
    pub fn egress_limit(&self) -> u16 {
        let Ok(egress) = self.egress() else { return 0 };
        egress.limit()
    }

    /// Puts a policy into this place, for all ports that have it, as [`Monitor::replace_egress`](crate::Monitor::replace_egress).
    /// Places are the caller's business: from 1 to [`Self::egress_limit`], and only one process at a time may write to one.
    /// What was allowed for a while ([`Monitor::allow_egress_for`](crate::Monitor::allow_egress_for)) is allowed no more.
    ///
    /// # Errors
    /// [`MonitorError::EgressOff`] if the programs were loaded without policies, [`MonitorError::NoEgressPolicy`] if there is
    /// no such place, [`MonitorError::EgressFull`] if there are more ranges for a network than there is room for, and what the
    /// kernel says.
    pub fn install_egress(&mut self, place: EgressPolicy, rules: &EgressRules) -> Result<(), MonitorError> {
        let egress = self.egress_mut()?;
        if !(1..=egress.limit()).contains(&place.get()) {
            return Err(MonitorError::NoEgressPolicy { policy: place.get() });
        }
        egress.install(place, rules)
    }

    /// What the policy in this place says, as [`Monitor::egress_table`](crate::Monitor::egress_table).
    ///
    /// # Errors
    /// [`MonitorError::EgressOff`], [`MonitorError::NoEgressPolicy`] if nothing is there, and what the kernel says.
    pub fn egress_table(&self, place: EgressPolicy) -> Result<EgressTable, MonitorError> {
        self.egress()?.table(place)
    }

    /// Gives a port the policy in this place, and says what is done about what it refuses; `None` takes it away.
    ///
    /// # Errors
    /// [`MonitorError::EgressOff`], and what the kernel says.
    pub fn set_egress(
        &mut self,
        slot: Slot,
        egress: Option<(EgressPolicy, Mode)>,
    ) -> Result<(), MonitorError> {
        let given = egress.map_or((0, false), |(policy, mode)| (policy.get(), mode == Mode::Enforce));
        self.egress()?.give(slot, given);
        Ok(())
    }

    /// Which policy a port has, and what is done about what it refuses; `None` without one.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn egress_of(&self, slot: Slot) -> Result<Option<(EgressPolicy, Mode)>, MonitorError> {
        let Ok(egress) = self.egress() else { return Ok(None) };
        let (policy, is_enforced) = egress.of(slot);
        let mode = if is_enforced { Mode::Enforce } else { Mode::Observe };
        Ok((policy != 0).then_some((EgressPolicy::new(policy), mode)))
    }
}
