//! A little traffic of our own, so that there is something to see: datagrams around the ring of namespaces, and a TCP
//! stream from the first to the second. It goes only to addresses of the run's own namespaces.

use super::lab::Member;
use crate::failure::Failure;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How many namespaces send; each takes two sockets.
const SENDERS: usize = 32;
/// The time between two rounds.
const ROUND: Duration = Duration::from_millis(20);
/// Datagrams come in waves, so that there is something to see over time: each step of a wave takes this many rounds.
const STEP: usize = 25;
const WAVE: [usize; 10] = [1, 1, 2, 3, 4, 5, 4, 3, 2, 1];
/// What the TCP stream carries in a round: some 400 kB a second.
const CHUNK: usize = 8 * 1024;

/// The traffic, until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct RunTraffic {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// What could not be started, and why.
    failed: Vec<String>,
}

impl RunTraffic {
    /// Starts what can be started. What hinders it hinders the pings too, and is reported with them.
    pub(crate) fn start(members: &[Member]) -> Self {
        let mut failed = Vec::new();
        let members = &members[..members.len().min(SENDERS)];
        let mut datagrams = Vec::new();
        for (number, member) in members.iter().enumerate() {
            let next = &members[(number + 1) % members.len()];
            if members.len() > 1 {
                match Datagrams::open(member, next, number) {
                    Ok(opened) => datagrams.push(opened),
                    Err(error) => failed.push(format!("datagrams {} -> {}: {error}", member.name, next.name)),
                }
            }
        }
        let mut stream = None;
        if let [from, to, ..] = members {
            match Stream::open(from, to) {
                Ok(opened) => stream = Some(opened),
                Err(error) => failed.push(format!("TCP {} -> {}: {error}", from.name, to.name)),
            }
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("traffic".to_owned()).spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            for round in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                // Nothing is sent again: a queue may be full, or somebody may have removed a namespace.
                for datagrams in &datagrams {
                    let _ = datagrams.round(round, &mut buffer);
                }
                if let Some(stream) = &mut stream {
                    let _ = stream.round(&mut buffer);
                }
                thread::sleep(ROUND);
            }
        });
        let thread = match thread {
            Ok(thread) => Some(thread),
            Err(error) => {
                failed.push(format!("all of it: start thread: {error}"));
                None
            }
        };
        Self { stop, thread, failed }
    }

    /// What of it could not be started, and why.
    pub(crate) fn failed(&self) -> &[String] {
        &self.failed
    }

    /// Stops it. What is in flight still arrives.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        self.halt().map_err(|()| Failure::Kernel("the traffic thread panicked".to_owned()))
    }

    fn halt(&mut self) -> Result<(), ()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map_or(Ok(()), |thread| thread.join().map_err(drop))
    }
}

impl Drop for RunTraffic {
    fn drop(&mut self) {
        // Its thread has already reported a panic.
        let _ = self.halt();
    }
}

/// Datagrams from one namespace to the next.
struct Datagrams {
    sender: UdpSocket,
    receiver: UdpSocket,
    /// Where in the wave it begins.
    phase: usize,
    /// How long each is.
    length: usize,
}

impl Datagrams {
    fn open(from: &Member, to: &Member, number: usize) -> io::Result<Self> {
        let any = SocketAddr::from(([0, 0, 0, 0], 0));
        let receiver = to.namespace.enter(|| UdpSocket::bind(SocketAddr::new(to.addresses[0], 0)))??;
        let sender = from.namespace.enter(|| UdpSocket::bind(any))??;
        sender.connect(receiver.local_addr()?)?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        // A different size for each port, so that the numbers differ visibly.
        Ok(Self { sender, receiver, phase: 3 * number, length: 100 * (1 + number % 12) })
    }

    fn round(&self, round: usize, buffer: &mut [u8]) -> io::Result<()> {
        for _ in 0..WAVE[(self.phase + round / STEP) % WAVE.len()] {
            self.sender.send(&buffer[..self.length])?;
        }
        while until_blocked(self.receiver.recv(buffer))? > 0 {}
        Ok(())
    }
}

/// A stream from one namespace to another.
struct Stream {
    sender: TcpStream,
    receiver: TcpStream,
}

impl Stream {
    fn open(from: &Member, to: &Member) -> io::Result<Self> {
        let listener = to.namespace.enter(|| TcpListener::bind(SocketAddr::new(to.addresses[0], 0)))??;
        let address = listener.local_addr()?;
        let limit = Duration::from_secs(5);
        let sender = from.namespace.enter(|| TcpStream::connect_timeout(&address, limit))??;
        let (receiver, _) = listener.accept()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        Ok(Self { sender, receiver })
    }

    fn round(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        until_blocked(self.sender.write(&buffer[..CHUNK]))?;
        while until_blocked(self.receiver.read(buffer))? > 0 {}
        Ok(())
    }
}

/// Returns 0 if the write would block.
fn until_blocked(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
