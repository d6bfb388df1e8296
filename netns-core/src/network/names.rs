//! The names of dropped sandboxes.

use crate::error::{Cause, Operation, SystemCall};
use crate::namespace::UnfinishedName;
use crate::record::undo_twice;
use crate::sys::socket::namespace_of;
use crate::{Error, Namespace, Result, RouteSocket};
use std::os::fd::{AsFd, BorrowedFd};

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
    /// It is the sandbox's own: another one takes a descriptor, and those may be what has run out.
    Name(RouteSocket),
    /// The name stands for nothing any more, and the file of it is there.
    File(UnfinishedName),
}

impl LeftName {
    /// What is left of a name that could not be removed, and why.
    pub(super) fn new(name: Box<str>, socket: RouteSocket, error: &Error) -> Self {
        let what = Leftover::after(error, &name).unwrap_or(Leftover::Name(socket));
        Self { name, what }
    }

    /// Tries again.
    pub(super) fn remove(&mut self) -> Result<()> {
        let removed = match &self.what {
            Leftover::Name(socket) => remove(&self.name, socket.as_fd()),
            Leftover::File(file) => file.delete().map(drop),
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
    let namespace = undo_twice(|| {
        let namespace = namespace_of(socket).map(Namespace::from_kernel);
        namespace.map_err(Error::system(Operation::DeleteNamespace, name, SystemCall::IoctlNamespace))
    })?;
    let mut left = None;
    undo_twice(|| {
        // The name stands for nothing since the first attempt, which could not remove its file.
        if let Some(Leftover::File(file)) = &left {
            return file.delete().map(drop);
        }
        let unbound = namespace.unbind(name).map(drop);
        left = unbound.as_ref().err().and_then(|error| Leftover::after(error, name));
        unbound
    })
}
