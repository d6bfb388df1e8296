//! The names of dropped sandboxes.

use crate::error::{Operation, SystemCall};
use crate::sys::socket::namespace_of;
use crate::{Error, Namespace, Result};
use std::os::fd::{BorrowedFd, OwnedFd};

/// The name of a dropped sandbox that could not be removed.
#[derive(Debug)]
pub(super) struct LeftName {
    pub(super) name: Box<str>,
    /// A socket of its namespace, which distinguishes it from one that somebody else gave the name to since; `None` if there
    /// was no descriptor left for it, and then it is never removed.
    pub(super) socket: Option<OwnedFd>,
}

/// Removes a name if it is that of the namespace that `socket` is in.
pub(super) fn remove(name: &str, socket: BorrowedFd<'_>) -> Result<()> {
    let namespace = namespace_of(socket).map(Namespace::from_kernel);
    let namespace =
        namespace.map_err(Error::system(Operation::DeleteNamespace, name, SystemCall::IoctlNamespace))?;
    namespace.unbind(name)?;
    Ok(())
}
