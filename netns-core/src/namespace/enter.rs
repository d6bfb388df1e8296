//! Bringing a thread back to where it was.

use super::Namespace;
use crate::Result;
use crate::sys;
use std::marker::PhantomData;
use std::os::fd::AsFd;

/// Brings the thread that made it back to its network namespace when dropped, panics included.
///
/// It never leaves this crate, so that it can be neither forgotten nor dropped out of order; and it is not `Send`, so
/// that it cannot bring back another thread.
#[derive(Debug)]
pub(crate) struct Return {
    origin: Namespace,
    not_send: PhantomData<*const ()>,
}

impl Return {
    /// To the namespace that the calling thread is in now.
    pub(crate) fn to_current() -> Result<Self> {
        Ok(Self { origin: Namespace::current()?, not_send: PhantomData })
    }
}

impl Drop for Return {
    fn drop(&mut self) {
        if let Err(error) = sys::namespace::setns(self.origin.as_fd(), libc::CLONE_NEWNET) {
            // Whoever was not permitted to leave is not permitted to return either, and is there.
            if is_current(&self.origin) {
                return;
            }
            eprintln!(
                "netns-core: cannot return to the thread's own network namespace: setns: {error}; aborting"
            );
            std::process::abort();
        }
    }
}

fn is_current(namespace: &Namespace) -> bool {
    let current = Namespace::current().and_then(|current| current.id());
    matches!((current, namespace.id()), (Ok(current), Ok(id)) if current == id)
}
