//! The socket to the packet filter, which is closed once a process and not once a step.

use netns_core::Result;
use netns_core::nftables::NftSocket;
use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static KEPT: RefCell<Option<NftSocket>> = const { RefCell::new(None) };
}

/// A socket that is kept for the thread's next step when it is dropped.
///
/// Closing one waits until the kernel has freed what was removed before, after a grace period of RCU, some 7 ms
/// (`nft_rcv_nl_event` in <https://github.com/torvalds/linux/blob/v6.12/net/netfilter/nf_tables_api.c>). `DEL` removes from tables
/// and then deletes a link, which takes longer than that: with one socket nothing is left to wait for.
/// The plugin does not leave its namespace for good, so a kept socket is always of the right one.
#[derive(Debug)]
pub(crate) struct KeptSocket(Option<NftSocket>);

impl KeptSocket {
    /// The one that was kept, or a new one.
    pub(crate) fn open() -> Result<Self> {
        let kept = KEPT.with_borrow_mut(Option::take);
        Ok(Self(Some(match kept {
            Some(socket) => socket,
            None => NftSocket::open()?,
        })))
    }
}

impl Deref for KeptSocket {
    type Target = NftSocket;

    fn deref(&self) -> &NftSocket {
        match &self.0 {
            Some(socket) => socket,
            None => unreachable!("it is taken when this is dropped"),
        }
    }
}

impl DerefMut for KeptSocket {
    fn deref_mut(&mut self) -> &mut NftSocket {
        match &mut self.0 {
            Some(socket) => socket,
            None => unreachable!("it is taken when this is dropped"),
        }
    }
}

impl Drop for KeptSocket {
    fn drop(&mut self) {
        let socket = self.0.take();
        // When the thread ends there is nowhere to keep it, and it is closed.
        let _ = KEPT.try_with(|kept| kept.replace(socket));
    }
}
