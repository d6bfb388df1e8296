//! The folder with a file for each reserved address, shared with the reference's `host-local`: the same folder, names,
//! contents and lock.
//!
//! A file is named by its address and contains the container and the interface that have it. It appears complete or not at
//! all: it is written under another name and linked, since a kill halfway would leave an address that belongs to nobody.

use crate::failure::{CniFailure, Outcome};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name under which a reservation is written before it gets its own; no address has this name.
const UNFINISHED: &str = ".netns-cni.new";
const LAST: &str = "last_reserved_ip.";

/// A network's reserved addresses, locked for as long as this lives.
#[derive(Debug)]
pub(super) struct AddressStore {
    folder: PathBuf,
    _lock: File,
}

/// The contents of a reservation.
pub(super) fn owner(container: &str, interface: &str) -> String {
    format!("{container}\r\n{interface}")
}

impl AddressStore {
    /// Opens a network's folder, making it if necessary, and waits for its lock.
    pub(super) fn open(data: &Path, network: &str) -> Outcome<Self> {
        let folder = data.join(network);
        let failed = |what: &str, error: &io::Error| CniFailure::of_file(what, &folder, error);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o755).create(&folder).map_err(|error| failed("make", &error))?;
        Self::lock(folder)
    }

    /// Opens a network's folder, if it exists.
    pub(super) fn find(data: &Path, network: &str) -> Outcome<Option<Self>> {
        let folder = data.join(network);
        if folder.is_dir() { Self::lock(folder).map(Some) } else { Ok(None) }
    }

    fn lock(folder: PathBuf) -> Outcome<Self> {
        let path = folder.join("lock");
        let opened = OpenOptions::new().read(true).create(true).append(true).mode(0o600).open(&path);
        let lock = opened.and_then(|file| file.lock().map(|()| file));
        let lock = lock.map_err(|error| CniFailure::of_file("lock", &path, &error))?;
        Ok(Self { folder, _lock: lock })
    }

    /// Reserves an address; false if somebody has it.
    pub(super) fn reserve(&self, address: IpAddr, owner: &str) -> Outcome<bool> {
        let path = self.folder.join(address.to_string());
        if path.symlink_metadata().is_ok() {
            return Ok(false);
        }
        let unfinished = self.folder.join(UNFINISHED);
        let made = (|| {
            remove_if_there(&unfinished)?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
            file.write_all(owner.as_bytes())?;
            // Not `rename`, which would replace another's reservation.
            let linked = fs::hard_link(&unfinished, &path);
            remove_if_there(&unfinished)?;
            linked
        })();
        match made {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(CniFailure::of_file("reserve", &path, &error)),
        }
    }

    /// The last address that was assigned from this set of ranges, if known.
    pub(super) fn last(&self, set: usize) -> Option<IpAddr> {
        fs::read_to_string(self.folder.join(format!("{LAST}{set}"))).ok()?.parse().ok()
    }

    /// Records the last address assigned from this set of ranges. If a kill leaves the file empty, the search begins at the
    /// first address again.
    pub(super) fn set_last(&self, set: usize, address: IpAddr) -> Outcome<()> {
        let path = self.folder.join(format!("{LAST}{set}"));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let written = options.open(&path).and_then(|mut file| file.write_all(address.to_string().as_bytes()));
        written.map_err(|error| CniFailure::of_file("write", &path, &error))
    }

    /// All reservations: each with its address and what its file contains.
    pub(super) fn reservations(&self) -> Outcome<Vec<(IpAddr, String)>> {
        let failed = |error: io::Error| CniFailure::of_file("read", &self.folder, &error);
        let mut reservations = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let Some(address) = name.to_str().and_then(|name| name.parse::<IpAddr>().ok()) else { continue };
            match fs::read_to_string(self.folder.join(&name)) {
                Ok(contents) => reservations.push((address, contents.trim().to_owned())),
                // A file that vanishes meanwhile is no reservation, nor is one of another form.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {}
                // Not to know is no reason to leave it.
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(reservations)
    }

    /// How many of the addresses that `is_meant` selects are reserved.
    pub(super) fn count(&self, is_meant: impl Fn(IpAddr) -> bool) -> Outcome<u128> {
        let failed = |error: io::Error| CniFailure::of_file("read", &self.folder, &error);
        let mut count = 0;
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            let address = name.to_str().and_then(|name| name.parse().ok());
            count += u128::from(address.is_some_and(&is_meant));
        }
        Ok(count)
    }

    /// Who has an address, if anybody.
    pub(super) fn owner_of(&self, address: IpAddr) -> Outcome<Option<String>> {
        let path = self.folder.join(address.to_string());
        match fs::read_to_string(&path) {
            Ok(contents) => Ok(Some(contents.trim().to_owned())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => Ok(None),
            Err(error) => Err(CniFailure::of_file("read", &path, &error)),
        }
    }

    /// Returns an address.
    pub(super) fn release(&self, address: IpAddr) -> Outcome<()> {
        let path = self.folder.join(address.to_string());
        remove_if_there(&path).map_err(|error| CniFailure::of_file("release", &path, &error))
    }

    /// Removes what a kill during a reservation left. We hold the lock, so nobody is writing it now.
    pub(super) fn sweep(&self) -> Outcome<()> {
        let path = self.folder.join(UNFINISHED);
        remove_if_there(&path).map_err(|error| CniFailure::of_file("remove", &path, &error))
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
