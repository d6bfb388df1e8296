//! The files that records of networks are in, and their folder, which goes with the last of them.

use crate::record::{NamespaceIdentity, RecordFile, make_folder, undo_twice};
use crate::{Error, IfName, Operation, Result, SystemCall};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The kind of these records.
pub(super) const KIND: &str = "network";
/// How often to make the folder anew, should others remove it, which they do when it is empty.
const ATTEMPTS: usize = 16;

/// The records in a folder, which need not be there.
pub(super) fn records(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| {
        Error::system(Operation::ListNetworks, folder.display().to_string(), SystemCall::Readdir)(error)
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "record") {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Where the record of a network is. A bridge's name is one of its namespace only.
pub(super) fn path_of(folder: &Path, name: IfName, namespace: &NamespaceIdentity) -> PathBuf {
    let place = match namespace.cookie {
        Some(cookie) => cookie.to_string(),
        None => format!("inode{}", namespace.id.inode),
    };
    folder.join(format!("{name}.{place}.record"))
}

/// Opens the record at `path`, which is locked until it is dropped; its folder is made if need be.
pub(super) fn begin_file(folder: &Path, path: &Path) -> Result<RecordFile> {
    let mut outcome = None;
    for _ in 0..ATTEMPTS {
        make_folder(folder)?;
        match RecordFile::create(path, KIND) {
            // The folder was removed meanwhile.
            Err(error) if error.errno() == Some(libc::ENOENT) => outcome = Some(Err(error)),
            Err(error) => {
                // Others' records are in it, or will be, or it was made for nothing.
                let _ = fs::remove_dir(folder);
                return Err(error);
            }
            Ok(file) => return Ok(file),
        }
    }
    outcome.unwrap_or_else(|| {
        Err(Error::invalid(Operation::MakeFolder, folder.display().to_string(), "it vanishes"))
    })
}

/// Removes a record, and its folder if that is empty then.
pub(super) fn remove_file(file: RecordFile) -> Result<()> {
    let folder = file.path().parent().map(Path::to_owned);
    file.remove()?;
    if let Some(folder) = folder {
        // Others' records are in it, or will be.
        let removed = || {
            fs::remove_dir(&folder).map_err(Error::system(
                Operation::RemoveRecord,
                "",
                SystemCall::Other("rmdir"),
            ))
        };
        let _ = undo_twice(removed);
    }
    Ok(())
}

/// Whether a file cannot be there because of where this process runs, and not for want of anything.
pub(super) fn is_unwritable(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::EACCES | libc::EPERM | libc::EROFS | libc::ENOENT | libc::ENOTDIR))
}
