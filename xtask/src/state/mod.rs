//! What a run makes in the machine's own network, written down before it makes it, so that `cargo xtask clean` can
//! remove exactly that after a run that was killed or kept.

use crate::failure::Failure;
use netns_core::sysctl::Ipv4Forwarding;
use netns_core::{Folder, IfName, MacAddress};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;

const PATH: &str = "/run/netns-xtask.json";

/// The record. A name in it was not taken when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Names of namespaces.
    pub(crate) namespaces: Vec<String>,
    /// Host ends of veth pairs.
    pub(crate) ports: Vec<String>,
    /// The bridge, if there is one, and the MAC address that tells it from a later one of the same name.
    pub(crate) bridge: Option<(String, String)>,
    /// The folder of named namespaces: whether it was there, whether it was mounted.
    pub(crate) folder: (bool, bool),
    /// If IPv4 forwarding was off: the interfaces that forwarded all the same.
    pub(crate) forwarding: Option<Vec<String>>,
}

impl State {
    pub(crate) fn new(
        namespaces: Vec<String>,
        ports: &[IfName],
        bridge: Option<(IfName, MacAddress)>,
        folder: Folder,
    ) -> Self {
        Self {
            namespaces,
            ports: ports.iter().map(ToString::to_string).collect(),
            bridge: bridge.map(|(name, mac)| (name.to_string(), mac.to_string())),
            folder: (folder.existed, folder.mounted),
            forwarding: None,
        }
    }

    pub(crate) fn folder(&self) -> Folder {
        Folder { existed: self.folder.0, mounted: self.folder.1 }
    }

    pub(crate) fn forwarding(&self) -> Ipv4Forwarding {
        Ipv4Forwarding { interfaces: self.forwarding.clone() }
    }
}

/// The file, locked for as long as this is held. A lock goes with its process, even by SIGKILL.
#[derive(Debug)]
pub(crate) struct StateFile {
    file: File,
}

impl StateFile {
    /// Begins a record.
    ///
    /// Refuses if another run is going on, or has left something.
    pub(crate) fn begin(state: &State) -> Result<Self, Failure> {
        let mut file = Self::open(true)?.ok_or_else(|| Failure::Kernel(format!("{PATH} is gone")))?;
        if file.read()?.is_some() {
            return Err(Failure::usage(
                "an earlier run was kept or killed and is still there; `cargo xtask clean` removes it",
            ));
        }
        file.write(state)?;
        Ok(file)
    }

    /// The record of a run that has ended; `None` if there is none.
    pub(crate) fn ended() -> Result<Option<Self>, Failure> {
        Self::open(false)
    }

    fn open(create: bool) -> Result<Option<Self>, Failure> {
        let mut options = OpenOptions::new();
        let file = match options.read(true).write(true).create(create).mode(0o600).open(PATH) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Failure::Kernel(format!("open {PATH}: {error}")))?,
        };
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Err(Failure::usage("another `cargo xtask run` is going on")),
            Err(TryLockError::Error(error)) => Err(Failure::Kernel(format!("lock {PATH}: {error}"))),
        }
    }

    /// The record; `None` if it is empty.
    pub(crate) fn read(&mut self) -> Result<Option<State>, Failure> {
        let mut text = String::new();
        let read = self.file.rewind().and_then(|()| self.file.read_to_string(&mut text));
        read.map_err(|error| Failure::Kernel(format!("read {PATH}: {error}")))?;
        if text.is_empty() {
            return Ok(None);
        }
        let state = serde_json::from_str(&text);
        state.map(Some).map_err(|error| Failure::Kernel(format!("read {PATH}: {error}")))
    }

    /// Replaces the record.
    pub(crate) fn write(&mut self, state: &State) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::Kernel(format!("write {PATH}: {error}"));
        let text = serde_json::to_string(state).map_err(|error| failed(error.into()))?;
        self.file.rewind().map_err(failed)?;
        self.file.write_all(text.as_bytes()).map_err(failed)?;
        self.file.set_len(text.len() as u64).map_err(failed)
    }

    /// Ends the record: nothing is left of what it says.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        fs::remove_file(PATH).map_err(|error| Failure::Kernel(format!("remove {PATH}: {error}")))?;
        // Unlocked only now, when nobody can open it any more.
        drop(self.file);
        Ok(())
    }
}
