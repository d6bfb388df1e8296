//! Where an observer is, as its journal says it.

use netns_core::link::{self, Link};
use netns_core::record::{Line, NamespaceIdentity};
use netns_core::{IfName, Namespace, RouteSocket};

use crate::monitor::{Monitor, MonitorError};

/// Where an observer is, and what its filters are known by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalPlace {
    /// The namespace of the bridge.
    pub namespace: NamespaceIdentity,
    /// The bridge's index in that namespace, by which it is known: its name and its MAC address may change. `None` in
    /// what version 0.1.0 wrote.
    pub index: Option<u32>,
    /// The bridge's name when it was written down.
    pub bridge: IfName,
    /// The programs: [`Monitor::program_ids`](crate::Monitor::program_ids).
    pub programs: [u32; 2],
    /// The namespace's name, if it was opened by one, to find it by.
    pub name: Option<String>,
}

impl JournalPlace {
    /// The place of a bridge in `host`, which was opened by a name if there is one.
    ///
    /// # Errors
    /// [`MonitorError::Bridge`] if the namespace cannot be identified.
    pub fn of(
        host: &Namespace,
        bridge: &Link,
        monitor: &Monitor,
        name: Option<String>,
    ) -> Result<Self, MonitorError> {
        let identified = NamespaceIdentity::of(host);
        let namespace = identified.map_err(|source| MonitorError::Bridge { bridge: bridge.name, source })?;
        let (index, programs) = (Some(bridge.index), monitor.program_ids());
        Ok(Self { namespace, index, bridge: bridge.name, programs, name })
    }

    /// The namespace, if it is the calling thread's own or has a name.
    #[must_use]
    pub fn find(&self) -> Option<Namespace> {
        if let Some(current) = Namespace::current().ok().filter(|namespace| self.is_in(namespace)) {
            return Some(current);
        }
        // By the name that it had, and by any other: it may have another by now.
        let others = Namespace::list().unwrap_or_default();
        let names = self.name.iter().chain(&others);
        names.filter_map(|name| Namespace::open(name).ok()).find(|namespace| self.is_in(namespace))
    }

    /// Whether this is the place's namespace.
    #[must_use]
    pub fn is_in(&self, namespace: &Namespace) -> bool {
        match self.namespace.cookie {
            Some(_) => NamespaceIdentity::of(namespace).is_ok_and(|identity| identity.is(&self.namespace)),
            None => namespace.id().is_ok_and(|id| id == self.namespace.id),
        }
    }

    /// Whether somebody who says `bridge`, or has found it to be `found`, in the place's namespace means this bridge.
    /// A bridge that is gone is known by the name that it had.
    ///
    /// # Errors
    /// If the kernel does not say whether it is gone.
    pub fn is_of(
        &self,
        socket: &mut RouteSocket,
        bridge: &str,
        found: Option<&Link>,
    ) -> Result<bool, MonitorError> {
        let Some(index) = self.index else { return Ok(self.bridge.as_str() == bridge) };
        if found.is_some_and(|found| found.index == index) {
            return Ok(true);
        }
        if self.bridge.as_str() != bridge {
            return Ok(false);
        }
        match link::get(socket, index) {
            Ok(_) => Ok(false),
            Err(error) if error.errno() == Some(libc::ENODEV) => Ok(true),
            Err(source) => Err(MonitorError::Bridge { bridge: self.bridge, source }),
        }
    }

    pub(super) fn line(&self) -> Line {
        let Self { namespace, index, bridge, programs: [ingress, egress], name } = self;
        let line = Line::new("bridge").with_bytes(bridge.as_bytes()).with_option(*index).with(namespace);
        line.with(ingress).with(egress).with_option(name.as_ref())
    }

    pub(super) fn read(line: &Line) -> Option<Self> {
        Some(Self {
            bridge: IfName::reported(line.bytes(0)?)?,
            index: line.optional(1)?,
            namespace: line.parse(2)?,
            programs: [line.parse(3)?, line.parse(4)?],
            name: line.optional(5)?,
        })
    }
}
