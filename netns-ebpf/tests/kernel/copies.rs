//! What is delivered is what was judged, also where the sender can still write to the frame.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;
use std::ptr::{self, NonNull};
use std::time::Duration;

use netns_core::MacAddress;
use netns_ebpf::attack::{FrameSocket, Party, cases};
use netns_ebpf::{Monitor, MonitorOptions, Policy};

use crate::harness::{Network, installed, privileged};

/// A page that is sent without being copied, and stays ours to write to.
struct Page(NonNull<u8>);

const PAGE: usize = 4096;

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

    fn write(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= PAGE);
        // SAFETY: it fits into the page, which is mapped for as long as this lives; nobody has a reference into it.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.as_ptr().add(at), bytes.len()) };
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
        let part = libc::iovec { iov_base: self.0.as_ptr().cast(), iov_len: length };
        // SAFETY: the page is mapped, and longer.
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

/// What the sender sets up for itself: what comes out of a tunnel from itself to itself goes out by eth0, without a copy.
const TUNNEL: &str = "
    ip link set lo up &&
    ip link add vx0 type vxlan id 1 local 127.0.0.1 remote 127.0.0.1 dev lo dstport 4789 nolearning &&
    ip link set vx0 up &&
    nft 'add table netdev t; add chain netdev t c { type filter hook ingress device vx0 priority 0; }; \
         add rule netdev t c fwd to eth0'";
/// The header of VXLAN, whose network is 1.
const VXLAN: [u8; 8] = [8, 0, 0, 0, 0, 0, 1, 0];

/// The kernel's version. From 6.5 on a socket takes the pages of a pipe themselves (`MSG_SPLICE_PAGES`).
fn release() -> (u32, u32) {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn what_the_sender_writes_after_judging_is_not_delivered() {
    if !privileged("what_the_sender_writes_after_judging_is_not_delivered") {
        return;
    }
    let name = "what_the_sender_writes_after_judging_is_not_delivered";
    if !installed(name, &["/usr/sbin/ip", "/usr/sbin/nft"], "iproute2 nftables") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    let port = network.add(Some(&monitor)).unwrap();
    network.add(None);
    network.introduce();
    let inside = |place: usize| &network.insides[place].namespace;
    let receiver = inside(1).enter(|| FrameSocket::open(2)).unwrap().unwrap();
    let [us, them] = [1, 2].map(|number: u64| {
        let address = network.insides[number as usize - 1].address;
        Party::new(MacAddress::local(number), &[address.into()])
    });
    let policy = Policy::of_host(MacAddress(us.mac), &[us.v4.into()]).unwrap().enforced();
    // An honest frame, and the lie of the same length that becomes of it once it is on its way.
    let pairs: Vec<_> = cases(&us, &them)
        .into_iter()
        .filter(|case| case.frame.len() == case.near.len() && case.frame[..14] == case.near[..14])
        .collect();
    assert!(pairs.len() > 60, "{}", pairs.len());
    let status = inside(0).run(Command::new("sh").args(["-c", TUNNEL])).unwrap();
    assert!(status.success(), "{status}");
    let socket = inside(0).enter(|| UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    socket.connect("127.0.0.1:4789").unwrap();
    let deliver = |honest: &[u8], lie: &[u8]| {
        let page = Page::new().unwrap();
        while receiver.receive(Duration::ZERO).unwrap().is_some() {}
        page.write(0, &VXLAN);
        page.write(VXLAN.len(), honest);
        page.send(&socket, VXLAN.len() + honest.len()).unwrap();
        // The frame waits at the receiver by now.
        page.write(VXLAN.len(), lie);
        let mut heard = std::iter::from_fn(|| receiver.receive(Duration::from_millis(300)).unwrap());
        heard.find(|frame| frame == honest || frame == lie)
    };
    // Some headers the kernel has copied on the frame's way through the tunnel.
    let lies: Vec<_> =
        pairs.iter().filter(|case| deliver(&case.near, &case.frame).as_ref() == Some(&case.frame)).collect();
    if lies.is_empty() && release() < (6, 5) {
        // In one piece: other tests write too.
        let why = format!("SKIPPED: {name}: no page arrives here as it was sent, it takes Linux 6.5\n");
        let _ = io::stderr().write_all(why.as_bytes());
        return;
    }
    let reasons: BTreeSet<_> = lies.iter().map(|case| case.reason.name()).collect();
    let some = ["nd-link-layer", "nd-target", "dhcp-client", "icmp-error"];
    assert!(some.iter().all(|reason| reasons.contains(reason)), "where nothing is judged: {reasons:?}");
    monitor.set_policy(port, &policy).unwrap();
    for case in &lies {
        let arrived = deliver(&case.near, &case.frame);
        assert_eq!(arrived.as_ref(), Some(&case.near), "{}: {}", case.reason, case.what);
    }
    // The datagrams to the tunnel stay inside.
    assert_eq!(monitor.violations(port).iter().collect::<Vec<_>>(), []);
}
