//! The names of dropped sandboxes.

use crate::error::{Cause, Operation, SystemCall};
use crate::namespace::UnfinishedName;
use crate::sys::socket::namespace_of;
use crate::{Error, Namespace, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The name of a dropped sandbox that could not be removed.
#[derive(Debug)]
pub(super) struct LeftName {
    name: Box<str>,
    what: Leftover,
}

/// What is left of a name.
#[derive(Debug)]
enum Leftover {
    /// The name of the namespace of this socket, which distinguishes it from one that somebody else gave the name to since.
    Name(OwnedFd),
    /// The name stands for nothing any more, and the file of it is there.
    File(UnfinishedName),
    /// There was no descriptor left that would tell whether it is ours later: it is never removed.
    Unknown,
}

impl LeftName {
    /// What is left of a name that could not be removed, and why.
    pub(super) fn new(name: Box<str>, socket: BorrowedFd<'_>, error: &Error) -> Self {
        let what = Leftover::after(error, &name)
            .or_else(|| socket.try_clone_to_owned().ok().map(Leftover::Name))
            .unwrap_or(Leftover::Unknown);
        Self { name, what }
    }

    /// Tries again.
    pub(super) fn remove(&mut self) -> Result<()> {
        let removed = match &self.what {
            Leftover::Name(socket) => remove(&self.name, socket.as_fd()),
            Leftover::File(file) => file.delete().map(drop),
            Leftover::Unknown => Err(Error::invalid(
                Operation::DeleteNamespace,
                &*self.name,
                "it is not known whether it is ours",
            )),
        };
        if let Some(less) = removed.as_ref().err().and_then(|error| Leftover::after(error, &self.name)) {
            self.what = less;
        }
        removed
    }
}

impl Leftover {
    /// What is left if the second of the two steps failed: by then the name stands for nothing.
    fn after(error: &Error, name: &str) -> Option<Self> {
        if !matches!(error.cause(), Cause::System { call: SystemCall::Unlink, .. }) {
            return None;
        }
        UnfinishedName::find(name).ok().flatten().map(Self::File)
    }
}

/// Removes a name if it is that of the namespace that `socket` is in.
pub(super) fn remove(name: &str, socket: BorrowedFd<'_>) -> Result<()> {
    let namespace = namespace_of(socket).map(Namespace::from_kernel);
    let namespace =
        namespace.map_err(Error::system(Operation::DeleteNamespace, name, SystemCall::IoctlNamespace))?;
    namespace.unbind(name)?;
    Ok(())
}
