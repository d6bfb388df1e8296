//! The names of dropped sandboxes.

use super::shared::Shared;
use crate::error::{Cause, Operation, SystemCall};
use crate::namespace::UnfinishedName;
use crate::sys::socket::namespace_of;
use crate::{Error, Namespace, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::PoisonError;

/// The name of a dropped sandbox that could not be removed.
#[derive(Debug)]
pub(super) struct LeftName {
    name: Box<str>,
    what: Left,
}

/// What is left of a name.
#[derive(Debug)]
enum Left {
    /// The name of the namespace of this socket, which distinguishes it from one that somebody else gave the name to since.
    Name(OwnedFd),
    /// The name stands for nothing any more, and the file of it is there.
    File(UnfinishedName),
    /// There was no descriptor left that would tell whether it is ours later: it is never removed.
    Unknown,
}

impl Shared {
    /// Removes the name of the namespace that `socket` is in, or remembers to do so later.
    pub(super) fn remove_name(&self, name: Box<str>, socket: BorrowedFd<'_>) {
        if !self.is_ours() {
            return;
        }
        if let Err(error) = remove(&name, socket) {
            let what = Left::after(&error, &name)
                .or_else(|| socket.try_clone_to_owned().ok().map(Left::Name))
                .unwrap_or(Left::Unknown);
            let mut left = self.left_names.lock().unwrap_or_else(PoisonError::into_inner);
            left.push(LeftName { name, what });
        }
    }

    /// Tries again to remove names that could not be removed.
    ///
    /// # Errors
    /// Why one of them cannot be removed now.
    pub(super) fn remove_left_names(&self) -> Result<()> {
        let mut outcome = Ok(());
        let mut left = self.left_names.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain_mut(|LeftName { name, what }| {
            let removed = match what {
                Left::Name(socket) => remove(name, socket.as_fd()),
                Left::File(file) => file.delete().map(drop),
                Left::Unknown => Err(Error::invalid(
                    Operation::DeleteNamespace,
                    &**name,
                    "it is not known whether it is ours",
                )),
            };
            if let Some(less) = removed.as_ref().err().and_then(|error| Left::after(error, name)) {
                *what = less;
            }
            let remains = removed.is_err();
            if outcome.is_ok() {
                outcome = removed;
            }
            remains
        });
        outcome
    }
}

impl Left {
    /// What is left if the second of the two steps failed: by then the name stands for nothing.
    fn after(error: &Error, name: &str) -> Option<Self> {
        if !matches!(error.cause(), Cause::System { call: SystemCall::Unlink, .. }) {
            return None;
        }
        UnfinishedName::find(name).ok().flatten().map(Self::File)
    }
}

/// Removes a name if it is that of the namespace that `socket` is in.
fn remove(name: &str, socket: BorrowedFd<'_>) -> Result<()> {
    let namespace = namespace_of(socket).map(Namespace::from_kernel);
    let namespace =
        namespace.map_err(Error::system(Operation::DeleteNamespace, name, SystemCall::IoctlNamespace))?;
    namespace.unbind(name)?;
    Ok(())
}
