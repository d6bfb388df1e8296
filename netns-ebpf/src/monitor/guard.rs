//! A monitor as the program of a network whose sandboxes are judged from their birth.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use netns_core::barrier::Unjudged;
use netns_core::network::{PortInfo, PortProgram};
use netns_core::tc::{self, Direction};
use netns_core::{Cause, Error, Namespace, Result, RouteSocket};

use super::attach::NAME;
use super::{EgressPolicy, Mode, Monitor, MonitorError, Policy, Slot};
use crate::packet::{Rules, RulesFull};

/// Changes what a sandbox may send, or which group it is in, before any of it holds.
type Amend = Box<dyn Fn(&PortInfo, Policy) -> std::result::Result<Policy, RulesFull> + Send + Sync>;

/// Judges every sandbox of a network from its first frame: it may send from the addresses that the network gave it, and
/// from its link-local address. The rules hold before the sandbox's port exists, and take no system call more than counting
/// does.
///
/// ```no_run
/// use netns_core::network::{Network, NetworkOptions};
/// use netns_ebpf::{NetworkGuard, Mode, Monitor, MonitorOptions};
/// use std::sync::Arc;
///
/// let monitor = Arc::new(Monitor::load(&MonitorOptions { barrier: true, ..MonitorOptions::default() })?);
/// let network = Network::create(&NetworkOptions {
///     subnet_v4: Some("10.99.0.0/16".parse()?),
///     program: Some(Arc::new(NetworkGuard::new(monitor.clone(), Mode::Enforce))),
///     ..NetworkOptions::new("sandboxes".parse()?)
/// })?;
/// let sandbox = network.create_sandbox()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It is shared between threads as its monitor is, of which everything can be asked and changed meanwhile.
pub struct NetworkGuard {
    monitor: Arc<Monitor>,
    mode: Mode,
    amend: Option<Amend>,
    egress: Option<EgressPolicy>,
    /// The bridge where the host receives.
    bridge: Mutex<Option<HostBridge>>,
}

/// The first bridge of a network, and whether the program is on it.
struct HostBridge {
    home: Namespace,
    index: u32,
    slot: Option<Slot>,
}

impl NetworkGuard {
    /// What the sandboxes of a network may not send is observed or dropped.
    #[must_use]
    pub const fn new(monitor: Arc<Monitor>, mode: Mode) -> Self {
        Self { monitor, mode, amend: None, egress: None, bridge: Mutex::new(None) }
    }

    /// With policies that this function makes of those that the addresses give: other groups, more networks, permissions. It
    /// is called while a sandbox is made, from whichever thread makes it; if it answers an error, there is no sandbox.
    ///
    /// What it says of the host ([`Rules::with_host`] and its like) is held by the program at the network's bridge, which is
    /// put there before the first sandbox with such a policy is made ([`Monitor::attach_host`]).
    ///
    /// ```no_run
    /// # use netns_ebpf::{NetworkGuard, Mode, Monitor, Policy};
    /// # let monitor = std::sync::Arc::new(Monitor::load(&Default::default())?);
    /// // Two tenants, who do not reach each other.
    /// for (one, other) in [(1, 2), (2, 1)] {
    ///     monitor.set_group_pair(one, other, false)?;
    /// }
    /// let guard = NetworkGuard::new(monitor, Mode::Enforce)
    ///     .with_policies(|port, policy| Ok(Policy { group: 1 + (port.index % 2) as u8, ..policy }));
    /// # Ok::<(), netns_ebpf::MonitorError>(())
    /// ```
    #[must_use]
    pub fn with_policies(
        mut self,
        amend: impl Fn(&PortInfo, Policy) -> std::result::Result<Policy, RulesFull> + Send + Sync + 'static,
    ) -> Self {
        self.amend = Some(Box::new(amend));
        self
    }

    /// With an egress policy for every sandbox ([`Monitor::add_egress`]), in the guard's mode. What the host and other sandboxes are
    /// to be reached for, its rules allow: the network's own subnets.
    #[must_use]
    pub const fn with_egress(mut self, policy: EgressPolicy) -> Self {
        self.egress = Some(policy);
        self
    }

    /// Sees to it that the program is where the host receives.
    fn watch_host(&self) -> std::result::Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let mut bridge = self.lock_bridge();
        let Some(HostBridge { home, index, slot }) = &mut *bridge else {
            // It is the program of no network.
            return if self.monitor.has_host() {
                Ok(())
            } else {
                Err("its policy says what may reach the host, and no bridge is known (Monitor::attach_host)"
                    .into())
            };
        };
        if self.monitor.slot(*index).is_some() {
            return Ok(());
        }
        let mut socket = RouteSocket::open_in(home)?;
        // Of a network that is opened again, the program of the process before, which knows other slots.
        let before = tc::list_filters(&mut socket, *index, Direction::Ingress)?;
        let attachment = self.monitor.attach_host(&mut socket, *index)?;
        *slot = Some(attachment.slot());
        for filter in before.into_iter().filter(|filter| filter.name.as_deref() == Some(NAME)) {
            tc::delete_filter(&mut socket, *index, Direction::Ingress, filter.priority, filter.handle)?;
        }
        Ok(())
    }

    fn lock_bridge(&self) -> MutexGuard<'_, Option<HostBridge>> {
        // Nothing in between panics.
        self.bridge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a sandbox may send.
    fn policy(&self, port: &PortInfo) -> std::result::Result<Policy, RulesFull> {
        let mut rules = Rules::new(port.mac.0);
        if let Some(address) = port.address_v4 {
            rules = rules.with_ipv4(address, 32)?;
        }
        if let Some(address) = port.address_v6 {
            rules = rules.with_ipv6(address, 128)?;
        }
        let policy = Policy { mode: self.mode, ..Policy::new(rules) };
        self.amend.as_ref().map_or(Ok(policy), |amend| amend(port, policy))
    }
}

impl fmt::Debug for NetworkGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NetworkGuard")
            .field("monitor", &self.monitor)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl PortProgram for NetworkGuard {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.monitor.ingress_program()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.monitor.egress_program()
    }

    fn assign(&self, port: &PortInfo) -> Result<u16> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::new("judge port", port.name.to_string(), Cause::Program(error))
        };
        // Before the slot, so that nothing is to be taken back.
        let policy = self.policy(port).map_err(|full| failed(full.into()))?;
        if policy.rules.restricts_host() {
            self.watch_host().map_err(failed)?;
        }
        let number = PortProgram::assign(&*self.monitor, port)?;
        let judged = Slot::new(number).ok_or(MonitorError::NoSlots);
        let judged = judged.and_then(|slot| {
            self.monitor.set_policy(slot, &policy)?;
            self.egress.map_or(Ok(()), |egress| self.monitor.set_egress(slot, Some((egress, self.mode))))
        });
        if let Err(error) = judged {
            PortProgram::release(&*self.monitor, number);
            return Err(failed(error.into()));
        }
        Ok(number)
    }

    fn stamp(&self) -> Option<u32> {
        PortProgram::stamp(&*self.monitor)
    }

    fn unjudged(&self, found: &[Unjudged]) {
        PortProgram::unjudged(&*self.monitor, found);
    }

    fn join(&self, ends: [u32; 2]) -> Result<Option<BorrowedFd<'_>>> {
        PortProgram::join(&*self.monitor, ends)
    }

    fn bridge(&self, home: &Namespace, bridge: u32) -> Result<()> {
        let home = home.try_clone()?;
        *self.lock_bridge() = Some(HostBridge { home, index: bridge, slot: None });
        Ok(())
    }

    fn bridge_gone(&self, bridge: u32) {
        if let Some(HostBridge { slot: Some(slot), .. }) =
            self.lock_bridge().take_if(|known| known.index == bridge)
        {
            PortProgram::release(&*self.monitor, slot.get());
        }
    }

    fn part(&self, ends: [u32; 2]) {
        PortProgram::part(&*self.monitor, ends);
    }

    fn release(&self, slot: u16) {
        PortProgram::release(&*self.monitor, slot);
    }
}
