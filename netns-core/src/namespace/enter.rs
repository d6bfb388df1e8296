//! Bringing a thread back to where it was.

use super::{Namespace, NamespaceId, is_main_thread, this_process};
use crate::error::{Operation, SystemCall};
use crate::sys;
use crate::{Error, Result};
use std::cell::Cell;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::fd::AsFd;

/// Brings the thread that made it back to its network namespace when dropped, panics included.
///
/// It never leaves this crate, so that it can be neither forgotten nor dropped out of order; and it is not `Send`, so
/// that it cannot bring back another thread.
#[derive(Debug)]
pub(crate) struct Return<'a> {
    origin: Origin<'a>,
    not_send: PhantomData<*const ()>,
}

thread_local! {
    /// The process and the namespace to which the calling thread tried the way back, and found it open for good.
    static TRIED: Cell<Option<(Option<u64>, NamespaceId)>> = const { Cell::new(None) };
}

#[derive(Debug)]
enum Origin<'a> {
    Opened(Namespace),
    Known(&'a Namespace),
}

impl<'a> Return<'a> {
    /// To the namespace that the calling thread is in now, which it is about to leave for `operation`.
    ///
    /// The way back is tried before anybody leaves: in a user namespace a thread may be permitted to leave a network
    /// namespace that belongs to another user, and not to return.
    pub(crate) fn to_current(operation: Operation) -> Result<Self> {
        let origin = Namespace::current()?;
        sys::namespace::setns(origin.as_fd(), libc::CLONE_NEWNET).map_err(Error::system(
            operation,
            "",
            SystemCall::SetnsBack,
        ))?;
        Ok(Self::to(Origin::Opened(origin)))
    }

    /// To the namespace that the calling thread is in now, which is `known`, whose id is `id`, more often than not:
    /// then it need not be opened.
    ///
    /// The way back is tried when the thread leaves for the first time. It can be closed afterwards only by entering a user
    /// namespace, which the kernel permits to the main thread alone, and to that only while it has no other threads
    /// (`thread_group_empty` in <https://github.com/torvalds/linux/blob/v6.12/include/linux/sched/signal.h>, which `unshare`
    /// and `setns` ask). So the main thread tries it every time, which is one system call more, of some 2 of the 1,100
    /// microseconds that a sandbox takes.
    ///
    /// The id cannot be another namespace's as long as `known` is open.
    pub(crate) fn to_known(known: &'a Namespace, id: NamespaceId) -> Result<Self> {
        if NamespaceId::current()? != id {
            return Self::to_current(Operation::EnterNamespace);
        }
        let tried = Some((this_process(), id));
        if TRIED.get() != tried {
            let back = sys::namespace::setns(known.as_fd(), libc::CLONE_NEWNET);
            back.map_err(Error::system(Operation::EnterNamespace, "", SystemCall::SetnsBack))?;
            if !is_main_thread() {
                TRIED.set(tried);
            }
        }
        Ok(Self::to(Origin::Known(known)))
    }

    const fn to(origin: Origin<'a>) -> Self {
        Self { origin, not_send: PhantomData }
    }
}

impl Drop for Return<'_> {
    fn drop(&mut self) {
        let origin = match &self.origin {
            Origin::Opened(namespace) => namespace,
            Origin::Known(namespace) => namespace,
        };
        if let Err(error) = sys::namespace::setns(origin.as_fd(), libc::CLONE_NEWNET) {
            // Not `eprintln`, which panics if nobody reads stderr: then the thread would go on in the wrong namespace.
            let _ = writeln!(
                io::stderr(),
                "netns-core: cannot return to the thread's own network namespace: setns: {error}; aborting"
            );
            std::process::abort();
        }
    }
}
