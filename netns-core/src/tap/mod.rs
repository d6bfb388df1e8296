//! TAPs and TUNs, the links whose other end is a program: a virtual machine, a user-space network stack, a VPN.
//!
//! rtnetlink describes and changes them as any link, but does not make them ("tun/tap creation via rtnetlink is not
//! supported"): that is done by ioctls of `/dev/net/tun`, and the descriptor is the program's end.

#![forbid(unsafe_code)]

use crate::error::{Operation, SystemCall};
use crate::sys::{self, tun::Setting};
use crate::{Error, IfName, Namespace, Result, RouteSocket, link};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

const DEVICE: &str = "/dev/net/tun";

/// What a program reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TapMode {
    /// Ethernet frames: `IFF_TAP`.
    #[default]
    Tap,
    /// IP packets: `IFF_TUN`.
    Tun,
}

/// A TAP to be made, or to be attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TapOptions {
    /// Its name.
    pub name: IfName,
    /// Frames or packets.
    pub mode: TapMode,
    /// Whether each begins with a `virtio_net_hdr`, so that checksums and segmentation can be left to the one that receives
    /// it (`IFF_VNET_HDR`).
    pub vnet_hdr: bool,
    /// Whether several descriptors can be attached, each a queue of its own (`IFF_MULTI_QUEUE`).
    pub multi_queue: bool,
    /// Whether each begins with four bytes of flags and the protocol: not `IFF_NO_PI`.
    pub packet_info: bool,
}

impl TapOptions {
    /// Ethernet frames, without any header, by one queue.
    #[must_use]
    pub const fn new(name: IfName) -> Self {
        Self { name, mode: TapMode::Tap, vnet_hdr: false, multi_queue: false, packet_info: false }
    }

    const fn flags(&self) -> libc::c_int {
        let mode = match self.mode {
            TapMode::Tap => libc::IFF_TAP,
            TapMode::Tun => libc::IFF_TUN,
        };
        let vnet_hdr = if self.vnet_hdr { libc::IFF_VNET_HDR } else { 0 };
        let multi_queue = if self.multi_queue { libc::IFF_MULTI_QUEUE } else { 0 };
        let packet_info = if self.packet_info { 0 } else { libc::IFF_NO_PI };
        mode | vnet_hdr | multi_queue | packet_info
    }
}

/// A program's end of a TAP: one queue. What is read from it is what the link sends; what is written to it is what the
/// link receives, a frame or packet a call.
///
/// The link goes with the last descriptor, unless it is persistent ([`Tap::set_persistent`]); that takes the kernel some
/// 16 ms. A `Tap` may be sent to and shared with other threads; a forked child has the same queue.
///
/// ```
/// use netns_core::tap::{Tap, TapOptions};
/// use netns_core::{IfName, Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() || !std::path::Path::new("/dev/net/tun").exists() { return Ok(()); }
/// let namespace = Namespace::anonymous()?;
/// let name = IfName::new("tap0")?;
/// let tap = Tap::create_in(&namespace, &TapOptions::new(name))?;
/// let mut socket = RouteSocket::open_in(&namespace)?;
/// assert_eq!(link::get(&mut socket, name)?.kind.as_deref(), Some("tun"));
/// drop(tap);
/// assert!(link::get(&mut socket, name).is_err());
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Tap {
    queue: OwnedFd,
    name: IfName,
}

impl Tap {
    /// Makes a TAP in the namespace of the calling thread.
    ///
    /// # Errors
    /// [`Busy`](crate::ErrorKind::Busy) if there is a TAP of this name, [`Exists`](crate::ErrorKind::Exists) or
    /// [`Invalid`](crate::ErrorKind::Invalid) if another link has it; [`NotFound`](crate::ErrorKind::NotFound) if there
    /// is no `/dev/net/tun`, [`Permission`](crate::ErrorKind::Permission) without `CAP_NET_ADMIN`.
    #[doc(alias = "TUNSETIFF")]
    pub fn create(options: &TapOptions) -> Result<Self> {
        let attached = open(Operation::CreateLink("tap"), options.name)?;
        set_interface(attached, options, Operation::CreateLink("tap"), libc::IFF_TUN_EXCL)
    }

    /// Makes a TAP in `namespace`.
    ///
    /// # Errors
    /// As [`Tap::create`] and [`Namespace::enter`].
    pub fn create_in(namespace: &Namespace, options: &TapOptions) -> Result<Self> {
        namespace.enter(|| Self::create(options))?
    }

    /// Attaches to a TAP that is there, in the namespace of the calling thread: to a persistent one that nobody is
    /// attached to, or by one more queue to one with several. Options have to be those that it was made with.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none; [`Busy`](crate::ErrorKind::Busy) if it has one queue
    /// and somebody has it; [`Invalid`](crate::ErrorKind::Invalid) if it is of another mode, or another kind of link;
    /// [`Permission`](crate::ErrorKind::Permission) if it belongs to somebody else.
    pub fn attach(options: &TapOptions) -> Result<Self> {
        // The same ioctl makes one where there is none, and it cannot be asked not to. So it is looked for before and
        // compared after; what was made in between goes with the descriptor.
        let mut socket = RouteSocket::open()?;
        let before = link::get(&mut socket, options.name)?.index;
        let queue = open(Operation::AttachToTap, options.name)?;
        let tap = set_interface(queue, options, Operation::AttachToTap, 0)?;
        if link::get(&mut socket, options.name)?.index == before {
            return Ok(tap);
        }
        let why = "it was replaced by another link meanwhile";
        Err(Error::new(Operation::AttachToTap, options.name.to_string(), crate::Cause::Changed(why.into())))
    }

    /// Attaches to a TAP in `namespace`.
    ///
    /// # Errors
    /// As [`Tap::attach`] and [`Namespace::enter`].
    pub fn attach_in(namespace: &Namespace, options: &TapOptions) -> Result<Self> {
        namespace.enter(|| Self::attach(options))?
    }

    /// Its name when it was made or attached to.
    #[must_use]
    pub const fn name(&self) -> IfName {
        self.name
    }

    /// Whether the link stays when no descriptor is left: `ip tuntap add` makes such ones.
    ///
    /// # Errors
    /// If the kernel refuses.
    #[doc(alias = "TUNSETPERSIST")]
    pub fn set_persistent(&self, on: bool) -> Result<()> {
        self.set(Setting::Persist(on))
    }

    /// Lets a user attach to it without `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// If the kernel refuses.
    #[doc(alias = "TUNSETOWNER")]
    pub fn set_owner(&self, user: u32) -> Result<()> {
        self.set(Setting::Owner(user))
    }

    /// Lets a group attach to it without `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// If the kernel refuses.
    #[doc(alias = "TUNSETGROUP")]
    pub fn set_group(&self, group: u32) -> Result<()> {
        self.set(Setting::Group(group))
    }

    fn set(&self, setting: Setting) -> Result<()> {
        let call = match setting {
            Setting::Persist(_) => "ioctl(TUNSETPERSIST)",
            Setting::Owner(_) => "ioctl(TUNSETOWNER)",
            Setting::Group(_) => "ioctl(TUNSETGROUP)",
        };
        let failed = Error::system(Operation::SetTap, self.name.to_string(), SystemCall::Other(call));
        sys::tun::set(self.queue.as_fd(), setting).map_err(failed)
    }
}

fn open(operation: Operation, name: IfName) -> Result<File> {
    let opened = OpenOptions::new().read(true).write(true).open(DEVICE);
    opened.map_err(|error: io::Error| {
        Error::system(operation, format!("{name} by {DEVICE}"), SystemCall::Open)(error)
    })
}

fn set_interface(device: File, options: &TapOptions, operation: Operation, more: libc::c_int) -> Result<Tap> {
    let name = options.name;
    let failed = Error::system(operation, name.to_string(), SystemCall::Other("ioctl(TUNSETIFF)"));
    sys::tun::set_interface(device.as_fd(), name.padded(), options.flags() | more).map_err(failed)?;
    Ok(Tap { queue: device.into(), name })
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl AsRawFd for Tap {
    fn as_raw_fd(&self) -> RawFd {
        self.queue.as_raw_fd()
    }
}

impl From<Tap> for OwnedFd {
    fn from(tap: Tap) -> Self {
        tap.queue
    }
}
