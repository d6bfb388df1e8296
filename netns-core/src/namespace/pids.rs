//! Who is in a namespace: `ip netns pids`.

use super::{Namespace, NamespaceId};
use crate::error::{Operation, SystemCall};
use crate::{Error, Result};
use std::fs;

impl Namespace {
    /// The processes that are in the namespace, by the one that their main thread is in, in ascending order. Those
    /// that this process may not look at, and those that end meanwhile, are passed over.
    ///
    /// # Errors
    /// If `/proc` cannot be read.
    ///
    /// ```
    /// use netns_core::Namespace;
    ///
    /// assert!(Namespace::of_pid(std::process::id())?.pids()?.contains(&std::process::id()));
    /// # Ok::<(), netns_core::Error>(())
    /// ```
    pub fn pids(&self) -> Result<Vec<u32>> {
        let id = self.id()?;
        let failed = |call| Error::system(Operation::ListProcesses, "/proc", call);
        let mut pids = Vec::new();
        for entry in fs::read_dir("/proc").map_err(failed(SystemCall::Open))? {
            let name = entry.map_err(failed(SystemCall::Readdir))?.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let found = fs::metadata(format!("/proc/{pid}/ns/net"));
            if found.is_ok_and(|metadata| NamespaceId::of(&metadata) == id) {
                pids.push(pid);
            }
        }
        pids.sort_unstable();
        Ok(pids)
    }
}
