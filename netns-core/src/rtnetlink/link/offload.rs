//! What a link leaves to its device: `ethtool -k`.

use crate::error::{Operation, SystemCall};
use crate::{Error, IfName, Result, RouteSocket, sys};
use std::os::fd::AsFd;

/// Commands of <https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/ethtool.h>.
const ETHTOOL_GTSO: u32 = 0x1E;
const ETHTOOL_GGRO: u32 = 0x2B;

/// Which work on segments a link leaves to its device, or does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Offloads {
    /// Whether trains of TCP segments are sent as they are. Without, they are cut before the link sends and counts them.
    pub tso: bool,
    /// Whether segments that were received are joined into trains.
    pub gro: bool,
}

/// What the link of this name leaves to its device. Two system calls.
///
/// # Errors
/// `ENODEV` if there is no such link in the socket's namespace.
///
/// ```
/// use netns_core::veth::{self, Veth};
/// use netns_core::{IfName, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let mut socket = RouteSocket::open_in(&Namespace::anonymous()?)?;
/// let (a, b) = (IfName::new("a")?, IfName::new("b")?);
/// veth::create(&mut socket, &Veth::new(a, b))?;
/// let offloads = link::offloads(&socket, a)?;
/// assert!(offloads.tso && !offloads.gro, "as every veth begins");
/// # Ok::<(), netns_core::Error>(())
/// ```
#[doc(alias = "ethtool")]
pub fn offloads(socket: &RouteSocket, link: IfName) -> Result<Offloads> {
    let name = link.padded();
    let get = |command| {
        let failed =
            Error::system(Operation::GetLink, link.to_string(), SystemCall::Other("ioctl(SIOCETHTOOL)"));
        sys::ethtool::get(socket.as_fd(), name, command).map_err(failed)
    };
    Ok(Offloads { tso: get(ETHTOOL_GTSO)? != 0, gro: get(ETHTOOL_GGRO)? != 0 })
}
