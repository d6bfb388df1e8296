//! From a ready sandbox to its first connection.

use crate::Result;
use crate::samples::Samples;
use crate::sandboxes::Maker;
use netns_core::network::Sandbox;
use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// Longer than the second that a lost first packet costs.
const LIMIT: Duration = Duration::from_secs(5);
/// How many connect to an old sandbox before it is replaced.
const ACQUAINTANCES: usize = 100;
/// Where the others listen.
const PORT: u16 = 7;

/// Times of the first connections of fresh sandboxes.
#[derive(Debug, Clone, Default)]
pub struct FirstPacket {
    /// To a sandbox that has existed for long.
    pub to_old: Samples,
    /// From one that was fresh a moment ago to a fresh one.
    pub to_fresh: Samples,
    /// From the call that makes the sandbox to its connection to the old one.
    pub from_nothing: Samples,
    /// How often the machine's table of neighbours was full meanwhile.
    pub full_tables: u64,
}

/// Makes `count` fresh sandboxes beside `idle` ones, and connects each to an old one, and the previous fresh one to it.
///
/// Each is dropped soon after, and the old one is replaced now and then: all sandboxes of a machine share one table of
/// 1,024 neighbours (`net.ipv4.neigh.default.gc_thresh3`), which is the machine's to change, not ours. How often it was
/// full is noted: a connection that fails then, or waits, is not the network's fault.
///
/// # Errors
/// If the kernel refuses.
pub fn first_packet(maker: &mut Maker, idle: usize, count: usize) -> Result<FirstPacket> {
    let _idle = (0..idle).map(|_| Ok(maker.make()?.0)).collect::<Result<Vec<_>>>()?;
    let mut times = FirstPacket::default();
    let full = full_tables();
    let mut done = 0;
    while done < count {
        let (old, _) = maker.make()?;
        let _listener = listen(&old)?;
        let target = address(&old)?;
        let mut before: Option<Sandbox> = None;
        for _ in 0..ACQUAINTANCES.min(count - done) {
            let begin = Instant::now();
            let (fresh, _) = maker.make()?;
            times.to_old.push(connect(&fresh, target)?);
            times.from_nothing.push(begin.elapsed());
            let _listener = listen(&fresh)?;
            if let Some(before) = before {
                times.to_fresh.push(connect(&before, address(&fresh)?)?);
            }
            before = Some(fresh);
            done += 1;
        }
    }
    times.full_tables = full_tables().saturating_sub(full);
    Ok(times)
}

/// How often the machine's table of neighbours was full, as far as that can be seen: the twelfth column after the
/// number of entries, in hexadecimal, a line for each CPU. Only the machine's own namespace shows it.
fn full_tables() -> u64 {
    let text = fs::read_to_string("/proc/1/net/stat/arp_cache").unwrap_or_default();
    let full = |line: &str| u64::from_str_radix(line.split_whitespace().nth(12)?, 16).ok();
    text.lines().skip(1).filter_map(full).sum()
}

fn address(sandbox: &Sandbox) -> Result<SocketAddr> {
    let address = sandbox.address_v4().ok_or("the sandbox has no address")?;
    Ok(SocketAddr::new(address.address(), PORT))
}

fn listen(sandbox: &Sandbox) -> Result<TcpListener> {
    Ok(sandbox.enter(|| TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, PORT)))??)
}

/// How long a connection takes, at most [`LIMIT`], seen from outside the sandbox: entering and coming back included.
fn connect(sandbox: &Sandbox, target: SocketAddr) -> Result<Duration> {
    let begin = Instant::now();
    let stream: io::Result<TcpStream> = sandbox.enter(|| TcpStream::connect_timeout(&target, LIMIT))?;
    let time = begin.elapsed();
    match stream {
        Ok(stream) => {
            // Without state that outlives it.
            let _ = stream.shutdown(Shutdown::Both);
            Ok(time)
        }
        // It counts for as long as it was waited for.
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(time),
        Err(error) => Err(format!("the first connection to {target}: {error}").into()),
    }
}
