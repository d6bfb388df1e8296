//! From a sandbox that is ready to its first connection.

use crate::Result;
use crate::samples::Samples;
use crate::sandboxes::Maker;
use netns_core::network::Sandbox;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Longer than the second that a lost first packet costs.
const LIMIT: Duration = Duration::from_secs(5);
/// Where the others listen.
const PORT: u16 = 7;

/// Times of the first connections of fresh sandboxes.
#[derive(Debug, Clone, Default)]
pub struct FirstPacket {
    /// To a sandbox that has been there for long.
    pub to_old: Samples,
    /// From one that was fresh a moment ago to a fresh one.
    pub to_fresh: Samples,
    /// From the call that makes the sandbox to its connection to the old one.
    pub from_nothing: Samples,
}

/// Makes `count` fresh sandboxes, of which `alive` stay, and connects each to one that is old and to the one before it.
///
/// # Errors
/// If the kernel refuses, or a connection cannot be made within five seconds.
pub fn first_packet(maker: &mut Maker, alive: usize, count: usize) -> Result<FirstPacket> {
    let (old, _) = maker.make()?;
    let _listener = listen(&old)?;
    let target = address(&old)?;
    let mut there: VecDeque<(Sandbox, TcpListener)> = VecDeque::with_capacity(alive + 2);
    let mut times = FirstPacket::default();
    for number in 0..alive + count {
        let begin = Instant::now();
        let (fresh, _) = maker.make()?;
        let connected = connect(&fresh, target)?;
        if number >= alive {
            times.to_old.push(connected);
            times.from_nothing.push(begin.elapsed());
        }
        let listener = listen(&fresh)?;
        if let Some((before, _)) = there.back()
            && number >= alive
        {
            times.to_fresh.push(connect(before, address(&fresh)?)?);
        }
        there.push_back((fresh, listener));
        if there.len() > alive + 1 {
            there.pop_front();
        }
    }
    Ok(times)
}

fn address(sandbox: &Sandbox) -> Result<SocketAddr> {
    let address = sandbox.address_v4().ok_or("the sandbox has no address")?;
    Ok(SocketAddr::new(IpAddr::from(address.address()), PORT))
}

fn listen(sandbox: &Sandbox) -> Result<TcpListener> {
    Ok(sandbox.enter(|| TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, PORT)))??)
}

/// How long it takes from outside the sandbox until its connection is there: going in and coming back is in it.
fn connect(sandbox: &Sandbox, target: SocketAddr) -> Result<Duration> {
    let begin = Instant::now();
    let stream: io::Result<TcpStream> = sandbox.enter(|| TcpStream::connect_timeout(&target, LIMIT))?;
    let time = begin.elapsed();
    let stream = stream.map_err(|error| format!("the first connection to {target}: {error}"))?;
    // Without state that outlives it.
    let _ = stream.shutdown(Shutdown::Both);
    Ok(time)
}
