//! Traffic between the two ends of a bridge. Sender and receiver have a CPU each, where there are two.
//!
//! The receiver does not sleep. Whether a sleeper has to be woken for a datagram depends on which of the two happens to
//! be quicker, and waking takes half as long as all the rest: two speeds, between which the same bridge would change at
//! random.

use super::world::World;
use crate::samples::count;
use crate::{Result, sys};
use std::hint;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How long traffic flows in a turn.
const TURN: Duration = Duration::from_millis(20);
/// What a small datagram carries.
const SMALL: usize = 64;
const PORT: u16 = 9;
/// The CPUs of sender and receiver, by the kernel's numbers.
const SENDER: usize = 0;
const RECEIVER: usize = 1;

impl World {
    /// A stream; returns how long a MiB of it takes.
    pub(super) fn stream(&self) -> Result<Duration> {
        let [(from, _), (to, address)] = &self.ends;
        let listener = to.enter(|| TcpListener::bind((*address, PORT)))??;
        let sender = from.enter(|| TcpStream::connect((*address, PORT)))??;
        let receiver = listener.accept()?.0;
        receiver.set_nonblocking(true)?;
        let begin = Instant::now();
        let bytes = thread::scope(|scope| {
            let reader = scope.spawn(|| read_all(receiver));
            let writer = scope.spawn(|| write_for(TURN, sender));
            writer.join().map_err(|_| "the writer panicked")??;
            reader.join().map_err(|_| "the reader panicked")?
        })?;
        Ok(begin.elapsed().div_f64(count(bytes.max(1)) / f64::from(1 << 20)))
    }

    /// Small datagrams as fast as possible; returns how long each that arrives takes.
    pub(super) fn datagrams(&self) -> Result<Duration> {
        let [(from, _), (to, address)] = &self.ends;
        let receiver = to.enter(|| UdpSocket::bind((*address, PORT)))??;
        receiver.set_nonblocking(true)?;
        let sender = from.enter(|| UdpSocket::bind(("0.0.0.0", 0)))??;
        sender.connect((*address, PORT))?;
        let (ready, is_over) = (Barrier::new(2), AtomicBool::new(false));
        thread::scope(|scope| {
            let reader = scope.spawn(|| receive_until(&is_over, &receiver, &ready));
            let writer = scope.spawn(|| send_for(TURN, &sender, &ready));
            let took = writer.join().map_err(|_| "the sender panicked");
            is_over.store(true, Ordering::Release);
            let datagrams = reader.join().map_err(|_| "the reader panicked")??;
            Ok(took??.div_f64(count(datagrams.max(1))))
        })
    }
}

/// Writes to a stream, and ends it.
fn write_for(time: Duration, mut stream: TcpStream) -> Result<()> {
    sys::stay_on_cpu(SENDER)?;
    let buffer = vec![0; 1 << 17];
    let begin = Instant::now();
    while begin.elapsed() < time {
        stream.write_all(&buffer)?;
    }
    Ok(())
}

/// Reads a stream to its end; returns the number of bytes.
fn read_all(mut stream: TcpStream) -> Result<usize> {
    sys::stay_on_cpu(RECEIVER)?;
    let (mut buffer, mut bytes) = (vec![0; 1 << 18], 0);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Ok(bytes),
            Ok(read) => bytes += read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => hint::spin_loop(),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Sends small datagrams, one after the other; returns for how long.
fn send_for(time: Duration, sender: &UdpSocket, ready: &Barrier) -> Result<Duration> {
    let placed = sys::stay_on_cpu(SENDER);
    ready.wait();
    placed?;
    let begin = Instant::now();
    while begin.elapsed() < time {
        sender.send(&[0; SMALL])?;
    }
    Ok(begin.elapsed())
}

/// Receives datagrams; returns how many came.
fn receive_until(is_over: &AtomicBool, receiver: &UdpSocket, ready: &Barrier) -> Result<usize> {
    let placed = sys::stay_on_cpu(RECEIVER);
    ready.wait();
    placed?;
    let (mut buffer, mut datagrams) = ([0; SMALL], 0);
    loop {
        // Read first: what was sent by then is there, and counted.
        let was_over = is_over.load(Ordering::Acquire);
        match receiver.recv(&mut buffer) {
            Ok(_) => datagrams += 1,
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if was_over => return Ok(datagrams),
            Err(_) => hint::spin_loop(),
        }
    }
}
