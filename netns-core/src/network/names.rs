//! The names of dropped sandboxes.

use super::shared::Shared;
use crate::error::{Operation, SystemCall};
use crate::sys::socket::namespace_of;
use crate::{Error, Namespace, Result};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::PoisonError;

/// The name of a dropped sandbox that could not be removed.
#[derive(Debug)]
pub(super) struct LeftName {
    name: Box<str>,
    /// A socket of its namespace, which distinguishes it from one that somebody else gave the name to since; `None` if there
    /// was no descriptor left for it, and then it is never removed.
    socket: Option<OwnedFd>,
}

impl Shared {
    /// Removes the name of the namespace that `socket` is in, or remembers to do so later.
    pub(super) fn remove_name(&self, name: Box<str>, socket: BorrowedFd<'_>) {
        if !self.is_ours() {
            return;
        }
        if remove(&name, socket).is_err() {
            let socket = socket.try_clone_to_owned().ok();
            let mut left = self.left_names.lock().unwrap_or_else(PoisonError::into_inner);
            left.push(LeftName { name, socket });
        }
    }

    /// Tries again to remove names that could not be removed.
    ///
    /// # Errors
    /// Why one of them cannot be removed now.
    pub(super) fn remove_left_names(&self) -> Result<()> {
        let mut outcome = Ok(());
        let mut left = self.left_names.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|LeftName { name, socket }| {
            let removed = match socket {
                Some(socket) => remove(name, std::os::fd::AsFd::as_fd(socket)),
                None => Err(Error::invalid(
                    Operation::DeleteNamespace,
                    &**name,
                    "it is not known whether it is ours",
                )),
            };
            let remains = removed.is_err();
            if outcome.is_ok() {
                outcome = removed;
            }
            remains
        });
        outcome
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
