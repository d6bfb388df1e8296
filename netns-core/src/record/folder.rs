//! The folders that records are in.

use crate::error::{Operation, SystemCall};
use crate::{Error, Result, sys};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

/// Makes a folder for records, and those that it is in, if they are not there. Others may read it and not write to it,
/// whatever the umask is: what is on record is believed.
///
/// # Errors
/// If it cannot be made; `EACCES` if it belongs to another user than root and this one, who could put any record there.
///
/// ```
/// let folder = std::env::temp_dir().join(format!("netns-folder-doc-{}", std::process::id()));
/// netns_core::record::make_folder(&folder)?;
/// // And again, which changes nothing.
/// netns_core::record::make_folder(&folder)?;
/// # std::fs::remove_dir(&folder).unwrap();
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn make_folder(folder: impl AsRef<Path>) -> Result<()> {
    let folder = folder.as_ref();
    let failed = |call| Error::system(Operation::MakeFolder, folder.display().to_string(), call);
    DirBuilder::new().recursive(true).mode(0o755).create(folder).map_err(failed(SystemCall::Mkdir))?;
    let owner = fs::metadata(folder).map_err(failed(SystemCall::Stat))?.uid();
    let (ours, _) = sys::namespace::effective_ids();
    if owner == 0 || owner == ours {
        return Ok(());
    }
    let object = format!("{}, which belongs to user {owner}", folder.display());
    let refused = io::Error::from_raw_os_error(libc::EACCES);
    Err(Error::system(Operation::MakeFolder, object, SystemCall::Stat)(refused))
}
