//! Namespace ids: the small numbers by which a namespace knows others, as `ip netns list-id` shows them.
//!
//! [`super::link::Link::peer_namespace_id`] is one. The kernel cannot be asked which namespace an id stands for, only
//! which id a namespace has.

use super::socket::RouteSocket;
use crate::error::Operation;
use crate::wire::{Batch, Message, NETNSA_FD, NETNSA_NSID, NETNSA_PID, RtGenMsg};
use crate::{Cause, Error, Namespace, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// Appends the request for a namespace's id.
pub fn encode_get(batch: &mut Batch, namespace: BorrowedFd<'_>) {
    batch.message(libc::RTM_GETNSID, 0, &RtGenMsg::default(), |attributes| {
        attributes.value(NETNSA_FD, namespace.as_raw_fd());
    });
}

/// Appends the request to give the namespace that a thread is in this id, which is not another's.
pub(crate) fn encode_assign(batch: &mut Batch, thread: u32, id: i32) {
    batch.message(libc::RTM_NEWNSID, 0, &RtGenMsg::default(), |attributes| {
        attributes.value(NETNSA_NSID, id);
        attributes.value(NETNSA_PID, thread);
    });
}

/// The id by which the socket's namespace knows `namespace`; `None` if it has given it none, which it does when it
/// first has to report a link with an end in there.
///
/// An id is given to another namespace once the one that had it is gone.
///
/// # Errors
/// If the kernel refuses.
///
/// ```
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, Namespace, RouteSocket, link, nsid};
/// use std::os::fd::AsFd;
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let (here, there) = (Namespace::anonymous()?, Namespace::anonymous()?);
/// let mut socket = RouteSocket::open_in(&here)?;
/// let near = IfName::new("near")?;
/// let veth = Veth { peer_namespace: Some(there.as_fd()), ..Veth::new(near, IfName::new("far")?) };
/// veth::create(&mut socket, &veth)?;
/// let id = link::get(&mut socket, near)?.peer_namespace_id;
/// assert!(id.is_some());
/// assert_eq!(nsid::get(&mut socket, &there)?, id);
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "RTM_GETNSID")]
pub fn get(socket: &mut RouteSocket, namespace: &Namespace) -> Result<Option<i32>> {
    let mut batch = Batch::new();
    encode_get(&mut batch, namespace.as_fd());
    let id = socket.query(&mut batch, |message| parse(message).ok_or_else(malformed))?;
    // `NETNSA_NSID_NOT_ASSIGNED` is -1.
    Ok((id >= 0).then_some(id))
}

/// The ids by which the socket's namespace knows others, as `ip netns list-id` has them.
///
/// # Errors
/// If the kernel refuses, or the list kept changing.
pub fn list(socket: &mut RouteSocket) -> Result<Vec<i32>> {
    let mut batch = Batch::new();
    batch.message(libc::RTM_GETNSID, libc::NLM_F_DUMP, &RtGenMsg::default(), |_| {});
    socket.dump(&mut batch, |message| Ok(parse(message)))
}

/// Gives `namespace` an id in the socket's namespace: this one, or with `None` the first that is free.
///
/// # Errors
/// `EEXIST` if it has one, `ENOSPC` if another has this one.
#[doc(alias = "RTM_NEWNSID")]
pub fn assign(socket: &mut RouteSocket, namespace: &Namespace, id: Option<i32>) -> Result<()> {
    let mut batch = Batch::new();
    batch.message(libc::RTM_NEWNSID, 0, &RtGenMsg::default(), |attributes| {
        attributes.value(NETNSA_FD, namespace.as_fd().as_raw_fd());
        // `NETNSA_NSID_NOT_ASSIGNED` asks for a free one.
        attributes.value(NETNSA_NSID, id.unwrap_or(-1));
    });
    socket.execute(&mut batch)
}

/// The id in an `RTM_NEWNSID`.
fn parse(message: &Message<'_>) -> Option<i32> {
    if message.header.kind != libc::RTM_NEWNSID {
        return None;
    }
    message.attributes_after::<RtGenMsg>().find(NETNSA_NSID)?.value()
}

fn malformed() -> Error {
    Error::new(Operation::GetNamespaceId, "", Cause::Reply("the kernel's answer is malformed".into()))
}
