//! ICMP echo from inside a namespace: `ip netns exec NS ping ADDRESS`.
#![forbid(unsafe_code)]

use crate::error::{Operation, SystemCall};
use crate::sys::socket::{set_option, socket, take_queued_error};
use crate::{Error, Namespace, Result};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6, UdpSocket};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

/// `ICMP_ECHO` and `ICMP_ECHOREPLY`, and those of `ICMPv6`.
const ECHO_V4: (u8, u8) = (8, 0);
const ECHO_V6: (u8, u8) = (128, 129);
/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
/// How long a request to stop may go unnoticed.
const TICK: Duration = Duration::from_millis(50);
/// A number that only we know, so that answers to somebody else's echo requests are not taken for ours.
const NONCE: usize = 8;
/// The largest payload that fits in an IPv4 packet.
const MAX_PAYLOAD: usize = 65_507;

/// What to ask for.
#[derive(Debug, Clone)]
pub struct Ping {
    /// Whom.
    pub destination: IpAddr,
    /// The interface's index, for IPv6 link-local destinations.
    pub interface: Option<u32>,
    /// How many requests.
    pub count: u32,
    /// How long to wait between them.
    pub interval: Duration,
    /// How long to wait for each answer.
    pub timeout: Duration,
    /// Bytes of data in each, 8 to 65,507.
    pub payload: usize,
}

impl Ping {
    /// One request with `ping`'s usual 56 bytes, and a second to answer it.
    #[must_use]
    pub const fn new(destination: IpAddr) -> Self {
        Self {
            destination,
            interface: None,
            count: 1,
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            payload: 56,
        }
    }
}

/// What became of one request.
#[derive(Debug)]
pub enum PingOutcome {
    /// It was answered, after this time.
    Reply(Duration),
    /// It was not answered in time.
    TimedOut,
    /// The kernel said that it cannot be delivered: "No route to host".
    Unreachable(io::Error),
}

/// What became of all of them, in order.
#[derive(Debug)]
pub struct PingReport {
    /// One for each request.
    pub outcomes: Vec<PingOutcome>,
}

impl PingReport {
    /// The round-trip times of those that were answered.
    pub fn round_trips(&self) -> impl Iterator<Item = Duration> {
        self.outcomes.iter().filter_map(|outcome| match outcome {
            PingOutcome::Reply(time) => Some(*time),
            _ => None,
        })
    }

    /// How many were answered.
    #[must_use]
    pub fn received(&self) -> usize {
        self.round_trips().count()
    }

    /// Whether all were answered.
    #[must_use]
    pub fn all_received(&self) -> bool {
        self.received() == self.outcomes.len()
    }
}

/// Sends ICMP echo requests from inside `namespace` and waits for the answers. Needs `CAP_NET_RAW` over it.
///
/// # Errors
/// `ENETUNREACH` if there is no route; `EPERM` without the capability. That nobody answers is no error: see
/// [`PingReport`].
///
/// ```
/// use netns_core::ping::{Ping, ping};
/// use netns_core::{Namespace, RouteSocket, link};
///
/// # if !netns_core::is_privileged() { return Ok(()); }
/// let namespace = Namespace::anonymous()?;
/// link::set_up(&mut RouteSocket::open_in(&namespace)?, 1)?;
/// let report = ping(&namespace, &Ping::new("127.0.0.1".parse().unwrap()))?;
/// assert!(report.all_received());
/// # Ok::<(), netns_core::Error>(())
/// ```
pub fn ping(namespace: &Namespace, request: &Ping) -> Result<PingReport> {
    let mut outcomes = Vec::new();
    let report = |outcome| {
        outcomes.push(outcome);
        ControlFlow::Continue(())
    };
    ping_each(namespace, request, || false, report)?;
    Ok(PingReport { outcomes })
}

/// As [`ping`], and reports what becomes of each request as soon as it is known. It ends early if `report` says so, or
/// `is_stopped`, which is asked every 50 ms while it waits: the request that it waits for then counts as not answered.
///
/// # Errors
/// As [`ping`].
pub fn ping_each(
    namespace: &Namespace,
    request: &Ping,
    is_stopped: impl Fn() -> bool,
    mut report: impl FnMut(PingOutcome) -> ControlFlow<()>,
) -> Result<()> {
    let Ping { destination, payload, .. } = *request;
    if !(NONCE..=MAX_PAYLOAD).contains(&payload) {
        let why = format!("a payload of {payload} bytes is not between {NONCE} and {MAX_PAYLOAD}");
        return Err(Error::invalid(Operation::Ping, destination.to_string(), why));
    }
    let failed = |call| Error::system(Operation::Ping, destination.to_string(), call);
    let socket = namespace.enter(|| open(destination))?.map_err(failed(SystemCall::Socket))?;
    // std's datagram socket is but connect, send and receive with a time limit: what a raw socket needs.
    let socket = UdpSocket::from(socket);
    let address = match destination {
        IpAddr::V4(address) => SocketAddr::from((address, 0)),
        IpAddr::V6(address) => SocketAddrV6::new(address, 0, 0, request.interface.unwrap_or(0)).into(),
    };
    socket.connect(address).map_err(failed(SystemCall::Connect))?;

    let mut exchange = Exchange::new(socket, destination, payload);
    for sequence in 0..request.count {
        let sent = Instant::now();
        let outcome = match exchange.once(sequence as u16, request.timeout, &is_stopped) {
            Err(error) if is_unreachable(&error) => PingOutcome::Unreachable(error),
            other => other.map_err(failed(SystemCall::Send))?,
        };
        if report(outcome).is_break() {
            break;
        }
        while sequence + 1 < request.count && sent.elapsed() < request.interval && !is_stopped() {
            thread::sleep(request.interval.saturating_sub(sent.elapsed()).min(TICK));
        }
        if is_stopped() {
            break;
        }
    }
    Ok(())
}

fn is_unreachable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENETDOWN
                | libc::ECONNREFUSED
                | libc::ENOPROTOOPT
                | libc::EACCES
        )
    )
}

/// A raw socket that receives echo replies only, and gets every ICMP error: without `IP_RECVERR` the kernel keeps
/// "host unreachable" to itself, as one that may pass (`raw_err` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/raw.c>).
fn open(destination: IpAddr) -> io::Result<OwnedFd> {
    match destination {
        IpAddr::V4(_) => {
            let fd = socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
            // `struct icmp_filter`: a bit set is a type left out. `SOL_RAW` 255, `ICMP_FILTER` 1.
            set_option(fd.as_fd(), 255, 1, &!(1_u32 << ECHO_V4.1))?;
            set_option(fd.as_fd(), libc::IPPROTO_IP, libc::IP_RECVERR, &1_i32)?;
            Ok(fd)
        }
        IpAddr::V6(_) => {
            let fd = socket(libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6)?;
            // `struct icmp6_filter`, likewise. `ICMPV6_FILTER` 1. The kernel fills in and checks the checksums.
            let mut filter = [u32::MAX; 8];
            filter[usize::from(ECHO_V6.1 >> 5)] &= !(1 << (ECHO_V6.1 & 31));
            set_option(fd.as_fd(), libc::IPPROTO_ICMPV6, 1, &filter)?;
            set_option(fd.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &1_i32)?;
            Ok(fd)
        }
    }
}

/// Requests and answers of one socket.
struct Exchange {
    socket: UdpSocket,
    v4: bool,
    kinds: (u8, u8),
    identifier: u16,
    nonce: [u8; NONCE],
    packet: Vec<u8>,
    answer: Vec<u8>,
}

impl Exchange {
    fn new(socket: UdpSocket, destination: IpAddr, payload: usize) -> Self {
        // std seeds its hashers from the kernel's random numbers.
        let nonce = RandomState::new().build_hasher().finish();
        Self {
            socket,
            v4: destination.is_ipv4(),
            kinds: if destination.is_ipv4() { ECHO_V4 } else { ECHO_V6 },
            identifier: (nonce >> 48) as u16,
            nonce: nonce.to_be_bytes(),
            packet: vec![0; HEADER + payload],
            // An IPv4 header has up to 60 bytes.
            answer: vec![0; 60 + HEADER + payload],
        }
    }

    fn once(
        &mut self,
        sequence: u16,
        timeout: Duration,
        is_stopped: impl Fn() -> bool,
    ) -> io::Result<PingOutcome> {
        self.write_request(sequence);
        // What became of an earlier request too late to be reported.
        while take_queued_error(self.socket.as_fd()).is_ok() {}
        let sent = Instant::now();
        match self.socket.send(&self.packet) {
            // Dropped on this machine's way out: lost, as anywhere else.
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
            other => drop(other?),
        }
        loop {
            let left = timeout.saturating_sub(sent.elapsed());
            if left.is_zero() || is_stopped() {
                return Ok(PingOutcome::TimedOut);
            }
            self.socket.set_read_timeout(Some(left.min(TICK)))?;
            match self.socket.recv(&mut self.answer) {
                Ok(length) if self.is_answer(length, sequence) => {
                    return Ok(PingOutcome::Reply(sent.elapsed()));
                }
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn write_request(&mut self, sequence: u16) {
        self.packet[0] = self.kinds.0;
        self.packet[2..4].fill(0);
        self.packet[4..6].copy_from_slice(&self.identifier.to_be_bytes());
        self.packet[6..8].copy_from_slice(&sequence.to_be_bytes());
        self.packet[HEADER..HEADER + NONCE].copy_from_slice(&self.nonce);
        if self.v4 {
            let sum = checksum(&self.packet);
            self.packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
    }

    fn is_answer(&self, length: usize, sequence: u16) -> bool {
        let packet = &self.answer[..length];
        // A raw IPv4 socket receives the IP header too, an IPv6 one does not.
        let skip = if self.v4 { packet.first().map_or(0, |first| usize::from(first & 15) * 4) } else { 0 };
        let Some(echo) = packet.get(skip..) else { return false };
        echo.len() == self.packet.len()
            && echo[0] == self.kinds.1
            && echo[4..6] == self.identifier.to_be_bytes()
            && echo[6..8] == sequence.to_be_bytes()
            && echo[HEADER..HEADER + NONCE] == self.nonce
    }
}

/// The internet checksum, RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}
