//! Where to look for what is there.

use crate::record::{Record, Store};
use crate::topology::Place;
use netns_core::Namespace;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Namespaces that are open.
pub(crate) type OpenNamespaces = BTreeMap<Place, Arc<Namespace>>;

/// Where to look for what is there.
pub(crate) struct Scope<'a> {
    /// Where namespaces that have no names are found; `None` where they have names.
    pub(crate) unnamed: Option<&'a OpenNamespaces>,
    /// The path under which settings are claimed that others may need.
    pub(crate) claimant: PathBuf,
    /// Whether commands may have been started.
    pub(crate) has_commands: bool,
}

impl Scope<'_> {
    /// That of a topology file.
    pub(crate) fn of_file(record: &Record) -> Self {
        Self { unnamed: None, claimant: Store::path(&record.file), has_commands: true }
    }
}
