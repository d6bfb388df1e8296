//! Our own sandboxes, by kind.

use crate::Result;
use netns_core::network::{Network, NetworkOptions, PortInfo, PortProgram, Sandbox};
use netns_core::{Error, IfName};
use netns_ebpf::packet::Rules;
use netns_ebpf::{Monitor, MonitorOptions, Policy, Slot};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// What a sandbox is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// What it is called in tables.
    pub name: &'static str,
    /// Whether its namespace has a name.
    pub named: bool,
    /// Whether its port has the counting program.
    pub observed: bool,
    /// Whether the program has a policy to judge its frames by.
    pub validated: bool,
}

impl Kind {
    /// Held only by descriptors.
    pub const ANONYMOUS: Self = Self { name: "anonymous", named: false, observed: false, validated: false };
    /// With a name that `ip netns` sees too.
    pub const NAMED: Self = Self { name: "named", named: true, observed: false, validated: false };
    /// Anonymous, with the counting program on its port.
    pub const OBSERVED: Self =
        Self { name: "anonymous, program", named: false, observed: true, validated: false };
    /// Named, with the counting program on its port.
    pub const NAMED_OBSERVED: Self =
        Self { name: "named, program", named: true, observed: true, validated: false };
    /// Anonymous, with the program and a policy.
    pub const VALIDATED: Self =
        Self { name: "anonymous, validation", named: false, observed: true, validated: true };
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::ANONYMOUS, Self::NAMED, Self::OBSERVED, Self::NAMED_OBSERVED, Self::VALIDATED];
}

/// Counts what passes the ports of a network. Pairs are not counted: see [`MonitorOptions::pairs`].
struct ObservedNetwork {
    monitor: Monitor,
    /// Whether ports get a policy, which is enforced.
    validated: bool,
}

impl PortProgram for ObservedNetwork {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.monitor.ingress_program()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.monitor.egress_program()
    }

    fn assign(&self, port: &PortInfo) -> netns_core::Result<u16> {
        let failed = |why| Error::invalid("assign slot", port.name.to_string(), why);
        let slot = self.monitor.assign(port.index).map_err(|error| failed(error.to_string()))?;
        if self.validated {
            let rules = Rules::new(port.mac.0).with_link_local();
            let rules = match port.address_v4 {
                Some(address) => rules.and_then(|rules| rules.with_ipv4(address, 32)),
                None => rules,
            };
            let policy = Policy::new(rules.map_err(|full| failed(full.to_string()))?).enforced();
            self.monitor.set_policy(slot, &policy).map_err(|error| failed(error.to_string()))?;
        }
        Ok(slot.get())
    }

    fn release(&self, slot: u16) {
        // It was assigned.
        let _ = Slot::new(slot).map(|slot| self.monitor.release(slot));
    }
}

/// A network of up to 16,382 sandboxes, the `number`-th of the process, in the namespace of the calling thread.
///
/// # Errors
/// If the kernel refuses.
pub fn network(number: u8, kind: Kind) -> Result<Network> {
    let program: Option<Arc<dyn PortProgram>> = if kind.observed {
        let options = MonitorOptions { slots: 16_384, pairs: 0, ..MonitorOptions::default() };
        Some(Arc::new(ObservedNetwork { monitor: Monitor::load(&options)?, validated: kind.validated }))
    } else {
        None
    };
    let options = NetworkOptions {
        subnet_v4: Some(format!("10.{}.0.0/18", 100 + number).parse()?),
        program,
        ..NetworkOptions::new(IfName::new(&format!("n{number}"))?)
    };
    Ok(Network::create(&options)?)
}

/// Makes sandboxes of a kind, with names that no other has.
#[derive(Debug)]
pub struct Maker {
    network: Network,
    kind: Kind,
    prefix: u8,
    serial: u32,
}

impl Maker {
    /// In a network of its own: see [`network`].
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(number: u8, kind: Kind) -> Result<Self> {
        let network = network(number, kind)?;
        Ok(Self { network, kind, prefix: number, serial: 0 })
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> &Network {
        &self.network
    }

    /// The name of the next sandbox, if it gets one: made beforehand, since a name is the caller's.
    fn name(&mut self) -> Option<String> {
        self.serial += 1;
        self.kind.named.then(|| format!("box{}-{}", self.prefix, self.serial))
    }

    /// Makes one; returns how long that took.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn make(&mut self) -> Result<(Sandbox, std::time::Duration)> {
        let name = self.name();
        let begin = std::time::Instant::now();
        let sandbox = match &name {
            Some(name) => self.network.create_named_sandbox(name),
            None => self.network.create_sandbox(),
        }?;
        Ok((sandbox, begin.elapsed()))
    }
}
