//! The floor: the system calls that make a sandbox, from bytes prepared beforehand, and nothing else.
//!
//! The new namespace gets its id through the thread that is in it, so the floor runs in the thread that recorded.
//!
//! No plan, no encoding, no locks, no checks but whether a call failed: what is above it is the library's cost, what is
//! below it is the kernel's. The bytes are those that the library sends: see [`crate::record`].

use crate::record::{self, Sent};
use crate::samples::Samples;
use crate::sandboxes::{Kind, Maker};
use crate::sys::raw;
use crate::{Result, host};
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How many sandboxes are prepared: as many as a bridge has, so that all are made alike.
pub const PREPARED: usize = 256;
/// Room for an answer.
const REPLY: usize = 8 * 1024;

/// The system calls of one sandbox, in their order; with a name only those of named ones.
pub const STEPS: [&str; 8] = [
    "look which namespace this is (stat)",
    "take the name (mknod)",
    "make the namespace (unshare)",
    "open a socket inside",
    "bind the name (mount)",
    "make the veth pair, set up eth0 (send, receive)",
    "set up the port, synchronise (send, receive)",
    "go back (setns)",
];

/// Requests of one `send`.
#[derive(Debug)]
struct PreparedRequest {
    socket: RawFd,
    bytes: Vec<u8>,
    /// How many datagrams the kernel answers with if it refuses nothing.
    answers: usize,
}

/// What one sandbox takes.
#[derive(Debug)]
struct Prepared {
    path: Option<CString>,
    /// On the sandbox's socket, whichever descriptor it has: the pair, and `eth0`.
    eth0: PreparedRequest,
    /// On the network's own socket, from inside: the port, and the questions for both ends.
    port: PreparedRequest,
}

/// A sandbox that the floor made, and the descriptor that holds it.
#[derive(Debug)]
struct Made {
    number: usize,
    _socket: OwnedFd,
}

/// Makes sandboxes with system calls alone.
#[derive(Debug)]
pub struct Floor {
    /// It has the bridge, and the sockets that requests were recorded from. It makes no more sandboxes.
    _maker: Maker,
    home: OwnedFd,
    prepared: Vec<Prepared>,
    next: usize,
    made: Vec<Made>,
    buffers: [Vec<u8>; 2],
}

impl Floor {
    /// Lets the library make sandboxes of a kind and drop them, and keeps what it sent.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(number: u8, kind: Kind) -> Result<Self> {
        let links = host::links()?;
        let mut maker = Maker::new(number, kind)?;
        let bridges = host::links()?;
        let mut sandboxes = Vec::with_capacity(PREPARED);
        let mut prepared = Vec::with_capacity(PREPARED);
        for _ in 0..PREPARED {
            let (made, sent) = record::during(|| maker.make());
            let (sandbox, _) = made?;
            let path =
                sandbox.name().map(|name| CString::new(format!("/var/run/netns/{name}"))).transpose()?;
            let [eth0, port] = requests(sent)?;
            prepared.push(Prepared { path, eth0, port });
            sandboxes.push(sandbox);
        }
        drop(sandboxes);
        host::wait_for_links(bridges.max(links))?;
        let home = std::fs::File::open(Path::new("/proc/thread-self/ns/net"))?.into();
        Ok(Self {
            _maker: maker,
            home,
            prepared,
            next: 0,
            made: Vec::with_capacity(PREPARED),
            buffers: [vec![0; REPLY], vec![0; REPLY]],
        })
    }

    /// Makes a sandbox; returns how long that took.
    ///
    /// # Errors
    /// If a call fails.
    pub fn make(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        self.make_in_steps(|_| {})?;
        Ok(begin.elapsed())
    }

    /// Makes a sandbox and adds the time of each of [`STEPS`] to the samples of that step.
    ///
    /// # Errors
    /// If a call fails.
    pub fn time_steps(&mut self, steps: &mut [Samples; STEPS.len()]) -> Result<()> {
        let mut times = [None; STEPS.len()];
        let mut begin = Instant::now();
        self.make_in_steps(|step| {
            let now = Instant::now();
            times[step] = Some(now - begin);
            begin = now;
        })?;
        for (samples, time) in steps.iter_mut().zip(times) {
            if let Some(time) = time {
                samples.push(time);
            }
        }
        Ok(())
    }

    /// Makes a sandbox, and calls `done` with the number of each finished step.
    #[inline]
    fn make_in_steps(&mut self, mut done: impl FnMut(usize)) -> Result<()> {
        let number = self.next;
        self.next = (number + 1) % PREPARED;
        let Prepared { path, eth0, port } = &self.prepared[number];
        raw::stat(raw::CURRENT)?;
        done(0);
        if let Some(path) = path {
            raw::mknod(path)?;
            done(1);
        }
        raw::unshare()?;
        done(2);
        let socket = raw::route_socket()?;
        done(3);
        if let Some(path) = path {
            raw::bind_current(path)?;
            done(4);
        }
        exchange(socket.as_raw_fd(), eth0, &mut self.buffers)?;
        done(5);
        exchange(port.socket, port, &mut self.buffers)?;
        done(6);
        raw::setns(self.home.as_fd())?;
        done(7);
        self.made.push(Made { number, _socket: socket });
        Ok(())
    }

    /// Drops all that it made.
    ///
    /// # Errors
    /// If a name cannot be taken away.
    pub fn drop_all(&mut self) -> Result<()> {
        for made in self.made.drain(..) {
            if let Some(path) = &self.prepared[made.number].path {
                raw::unbind(path)?;
            }
        }
        Ok(())
    }

    /// Drops the oldest.
    ///
    /// # Errors
    /// If its name cannot be taken away.
    pub fn drop_oldest(&mut self) -> Result<()> {
        if !self.made.is_empty() {
            let made = self.made.remove(0);
            if let Some(path) = &self.prepared[made.number].path {
                raw::unbind(path)?;
            }
        }
        Ok(())
    }
}

/// Sends requests and reads the answers, all with one call.
fn exchange(socket: RawFd, request: &PreparedRequest, buffers: &mut [Vec<u8>; 2]) -> Result<()> {
    raw::send(socket, &request.bytes)?;
    let [first, second] = buffers;
    let lengths = match request.answers {
        1 => [raw::receive(socket, first)?, 0],
        _ => raw::receive_two(socket, [first, second])?,
    };
    for (buffer, length) in buffers.iter().zip(lengths).take(request.answers) {
        check(&buffer[..length])?;
    }
    Ok(())
}

/// What was sent for `eth0`, and for the port.
fn requests(sent: Vec<Sent>) -> Result<[PreparedRequest; 2]> {
    let count = sent.len();
    let requests = sent.into_iter().map(|Sent { socket, bytes }| match answers(&bytes) {
        answers @ 1..=2 => Ok(PreparedRequest { socket, bytes, answers }),
        answers => Err(format!("requests have {answers} answers; the floor reads one or two")),
    });
    let requests: Vec<PreparedRequest> = requests.collect::<std::result::Result<_, _>>()?;
    requests.try_into().map_err(|_| format!("a sandbox takes {count} sends; the floor knows two").into())
}

/// How many datagrams the kernel answers with if it refuses nothing: one for each request that asks for an acknowledgement
/// or for a link.
fn answers(bytes: &[u8]) -> usize {
    let is_answered = |message: &netns_core::wire::Message<'_>| {
        let acknowledged = i32::from(message.header.flags) & libc::NLM_F_ACK != 0;
        acknowledged || message.header.kind == libc::RTM_GETLINK
    };
    netns_core::wire::Messages::new(bytes).filter(is_answered).count()
}

/// Whether the answer is a refusal.
fn check(answer: &[u8]) -> Result<()> {
    match netns_core::wire::Messages::new(answer).next() {
        Some(message) if i32::from(message.header.kind) == libc::NLMSG_ERROR => match message.error() {
            Some((0, _)) => Ok(()),
            Some((errno, _)) => Err(std::io::Error::from_raw_os_error(errno).into()),
            None => Err("the answer is too short".into()),
        },
        Some(_) => Ok(()),
        None => Err("there is no answer".into()),
    }
}

#[cfg(test)]
mod tests;
