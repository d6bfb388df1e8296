//! Frames whose bytes stay the sender's to write to, on their way and after.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use netns_core::link::{LinkKind, NewLink, VxlanOptions};
use netns_core::nftables::{
    Base, Chain, Expressions, Family, NftSocket, Register, Table, Transaction, chain, rule, table,
};
use netns_core::{IfName, Namespace, Result, RouteSocket, link};

const PAGE: usize = 4096;
const TABLE: Table<'static> = Table { family: Family::Netdev, name: "pages" };
const TUNNEL: &str = "pages0";
/// Where the tunnel's datagrams go: of VXLAN.
const PORT: u16 = 4789;
/// The header of VXLAN, whose network is 1.
const HEADER: [u8; 8] = [8, 0, 0, 0, 0, 0, 1, 0];

/// Memory that is sent without being copied, and stays ours to write to. Its writes from several threads at once are
/// meant to be seen half done.
#[derive(Debug)]
struct Page(NonNull<u8>);

// SAFETY: nobody has a reference into the page; it is written to and sent by its address alone.
unsafe impl Send for Page {}
// SAFETY: as above. Two threads that write at once leave bytes of either, which is all that is asked of it.
unsafe impl Sync for Page {}

impl Page {
    fn new() -> io::Result<Self> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping at an address of the kernel's choosing.
        let page = unsafe { libc::mmap(ptr::null_mut(), PAGE, access, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        NonNull::new(page.cast()).map(Self).ok_or_else(|| io::Error::other("mapped at address 0"))
    }

    /// Writes as much of it as there is room for.
    fn write(&self, at: usize, bytes: &[u8]) {
        let length = bytes.len().min(PAGE.saturating_sub(at));
        for (place, byte) in (at..).zip(&bytes[..length]) {
            // SAFETY: it is in the page, which is mapped for as long as this lives; nobody has a reference into it.
            unsafe { self.0.as_ptr().add(place).write_volatile(*byte) };
        }
    }

    /// Sends so much of it as a datagram. The kernel takes the page itself: [`vmsplice`] puts it into a pipe, [`splice`] from
    /// there into the socket.
    ///
    /// [`vmsplice`]: https://man7.org/linux/man-pages/man2/vmsplice.2.html
    /// [`splice`]: https://man7.org/linux/man-pages/man2/splice.2.html
    fn send(&self, socket: &UdpSocket, length: usize) -> io::Result<()> {
        let mut ends = [0; 2];
        // SAFETY: there is room for two descriptors.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: both were opened just now, and nobody else has them.
        let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
        let part = libc::iovec { iov_base: self.0.as_ptr().cast(), iov_len: length.min(PAGE) };
        // SAFETY: the page is mapped, and no shorter.
        let put = unsafe { libc::vmsplice(write.as_raw_fd(), &raw const part, 1, 0) };
        let (from, to) = (read.as_raw_fd(), socket.as_raw_fd());
        // SAFETY: neither end has an offset.
        let sent = unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), length, 0) };
        let whole = isize::try_from(length).ok();
        if Some(put) == whole && Some(sent) == whole { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made.
        unsafe { libc::munmap(self.0.as_ptr().cast(), PAGE) };
    }
}

/// A way out of a namespace for frames that lie in memory of this process, until it is ended or the namespace is gone: what
/// is sent into a tunnel from the namespace to itself comes out of it, and is forwarded to a link without being copied.
/// All of it takes root of a user namespace, and from Linux 6.5 on the kernel takes a page as it is (`MSG_SPLICE_PAGES`).
#[derive(Debug)]
pub struct SharedPages {
    socket: RouteSocket,
    nft: NftSocket,
    tunnel: u32,
    datagrams: UdpSocket,
}

/// A frame on its way: its bytes are still ours.
#[derive(Debug, Clone)]
pub struct SharedFrame(Arc<Page>);

impl SharedFrame {
    /// Writes other bytes over it.
    pub fn write(&self, frame: &[u8]) {
        self.0.write(HEADER.len(), frame);
    }
}

impl SharedPages {
    /// Makes the tunnel, in this namespace alone, whose `lo` it brings up.
    ///
    /// # Errors
    /// What the kernel refused: [`netns_core::ErrorKind::Unsupported`] if it has no `vxlan`. Nothing is left then but that
    /// `lo` may be up.
    pub fn begin(namespace: &Namespace, to: IfName) -> Result<Self> {
        let mut socket = RouteSocket::open_in(namespace)?;
        let nft = NftSocket::open_in(namespace)?;
        let to = link::get(&mut socket, to)?.index;
        link::set_up(&mut socket, 1)?;
        let here = std::net::Ipv4Addr::LOCALHOST;
        let options = VxlanOptions {
            id: Some(1),
            local: Some(here),
            group: Some(here),
            dev: Some(1),
            dstport: Some(PORT),
            learning: Some(false),
            ..VxlanOptions::default()
        };
        let name = IfName::new(TUNNEL)?;
        let datagrams = namespace.enter(|| {
            let socket = UdpSocket::bind((here, 0))?;
            socket.connect((here, PORT))?;
            Ok(socket)
        })?;
        let datagrams = datagrams.map_err(|error: io::Error| {
            netns_core::Error::invalid("open a socket", TUNNEL.to_owned(), error.to_string())
        })?;
        link::create(&mut socket, &NewLink::new(name, LinkKind::Vxlan(options)))?;
        let tunnel = link::get(&mut socket, name)?.index;
        let mut pages = Self { socket, nft, tunnel, datagrams };
        match pages.forward(name, to) {
            Ok(()) => Ok(pages),
            Err(error) => {
                pages.end()?;
                Err(error)
            }
        }
    }

    fn forward(&mut self, name: IfName, to: u32) -> Result<()> {
        link::set_up(&mut self.socket, self.tunnel)?;
        let ingress = Chain { table: TABLE, name: "ingress", base: Some(Base::ingress(name, 0)) };
        let mut transaction = Transaction::new();
        table::encode_create(&mut transaction, TABLE);
        chain::encode_create(&mut transaction, &ingress);
        let to = to.to_ne_bytes();
        rule::encode_append(&mut transaction, &ingress, |rule: &mut Expressions<'_, '_>| {
            rule.load(Register::One, &to);
            rule.forward(Register::One);
        });
        self.nft.commit(&mut transaction)
    }

    /// A frame in memory of its own, not yet sent.
    ///
    /// # Errors
    /// The kernel's, if there is no memory.
    pub fn frame(&self, frame: &[u8]) -> io::Result<SharedFrame> {
        let page = Page::new()?;
        page.write(0, &HEADER);
        let shared = SharedFrame(Arc::new(page));
        shared.write(frame);
        Ok(shared)
    }

    /// Sends the frame, of this length, as its bytes are. It stays where it is: what is written afterwards is what arrives,
    /// unless somebody on the way has made a copy.
    ///
    /// # Errors
    /// The kernel's: `EINVAL` for more than a page.
    pub fn send(&self, frame: &SharedFrame, length: usize) -> io::Result<()> {
        if HEADER.len() + length > PAGE {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        frame.0.send(&self.datagrams, HEADER.len() + length)
    }

    /// Ends it.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn end(mut self) -> Result<()> {
        let table = table::delete(&mut self.nft, TABLE);
        let link = link::delete(&mut self.socket, self.tunnel);
        match table {
            // It was never made.
            Err(error) if error.errno() == Some(libc::ENOENT) => link,
            other => other.and(link),
        }
    }
}
