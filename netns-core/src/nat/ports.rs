//! The ports that a table publishes: elements of its maps.

use super::{Publication, Published, table_of};
use crate::nftables::{Family, NftSocket, Table, table};
use crate::{ErrorKind, Namespace, Result};

/// The ports that a table publishes, for somebody who publishes some and need not know how else the table is: a
/// [`Nat`](super::Nat) is the whole of it. It stays when this is dropped.
///
/// It may be sent to other threads. Several processes may have those of the same table open.
#[derive(Debug)]
pub struct NatPorts {
    pub(super) socket: NftSocket,
    pub(super) namespace: Namespace,
    pub(super) name: String,
    /// What this handle has published, to be made anew with the table.
    pub(super) ours: Vec<Published>,
    /// What was withdrawn, and whose connections the kernel did not forget.
    pub(super) stale: Vec<Publication>,
}

impl NatPorts {
    /// Opens those of the table of this name; `None` if there is no such table.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn open(namespace: &Namespace, name: &str) -> Result<Option<Self>> {
        let mut ports = Self::new(namespace, name)?;
        let tables = match table::list(&mut ports.socket, Family::Inet) {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            other => other?,
        };
        Ok(tables.iter().any(|table| table.name == name).then_some(ports))
    }

    /// Those of a table that there may be or not.
    pub(super) fn new(namespace: &Namespace, name: &str) -> Result<Self> {
        let socket = NftSocket::open_in(namespace)?;
        let (namespace, name) = (namespace.try_clone()?, name.to_owned());
        Ok(Self { socket, namespace, name, ours: Vec::new(), stale: Vec::new() })
    }

    pub(super) fn table(&self) -> Table<'_> {
        table_of(&self.name)
    }
}
