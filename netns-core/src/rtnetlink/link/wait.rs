//! Waiting until a link carries packets.

use super::description::{Link, LinkId, OperationalState, get};
use crate::error::{Cause, Operation};
use crate::events::Events;
use crate::sys::deadline::Deadline;
use crate::{Error, Result, RouteSocket};
use std::time::Duration;

/// Waits until a link carries packets ([`OperationalState::Up`]), and describes it then.
///
/// Since Linux 6.8 the question itself makes the kernel catch up ([`encode_get`](super::encode_get)), so that a link that has a
/// carrier is up when the first answer comes, and nothing is waited for. Before, the kernel does it in its own time,
/// which it announces: some milliseconds, or up to a second for a link that is not in a hurry
/// (`linkwatch_schedule_work` in <https://github.com/torvalds/linux/blob/v6.1/net/core/link_watch.c>).
///
/// # Errors
/// [`Cause::TimedOut`] if it does not within `limit`: it is down, or its other end is. `ENODEV` if there is no such
/// link, `EPERM` if the kernel has to be listened to and the thread may not enter the socket's namespace.
///
/// ```
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, Namespace, RouteSocket, link};
/// use std::time::Duration;
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// let (a, b) = (IfName::new("a")?, IfName::new("b")?);
/// veth::create(&mut socket, &Veth::new(a, b))?;
/// link::set_up(&mut socket, a)?;
/// assert!(link::wait_up(&mut socket, a, Duration::ZERO).is_err());
/// link::set_up(&mut socket, b)?;
/// link::wait_up(&mut socket, a, Duration::from_secs(5))?;
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn wait_up(socket: &mut RouteSocket, link: impl Into<LinkId>, limit: Duration) -> Result<Link> {
    let link = link.into();
    let mut deadline = Deadline::new(limit);
    let first = get(socket, link)?;
    if first.state == OperationalState::Up {
        return Ok(first);
    }
    // Listen before asking again: what happens between the two is then noticed by one of them.
    let mut events = Events::open_in(&socket.namespace()?)?;
    loop {
        let now = get(socket, link)?;
        if now.state == OperationalState::Up {
            return Ok(now);
        }
        let left = deadline.left();
        if left.is_zero() {
            return Err(Error::new(Operation::WaitForLink, now.name.to_string(), Cause::TimedOut(limit)));
        }
        events.next(left)?;
    }
}
