//! What validation costs traffic: how fast two namespaces talk over a bridge with no program on its ports, with ours,
//! and with the same anti-spoofing rules in nftables' bridge family; with few ports and with many.
//!
//! Each contender has a bridge and ports of its own, all of them there at once, and they take turns.

use crate::report::Row;
use crate::samples::{Samples, count, micros};
use crate::{Result, goals};
use netns_core::address::{self, Address};
use netns_core::bridge::{self, Bridge};
use netns_core::veth::{self, Veth};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
use netns_ebpf::packet::Rules;
use netns_ebpf::{Mode, Monitor, MonitorOptions, Policy};
use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How many ports the bridges have.
pub const PORTS: [u16; 3] = [2, 64, 512];
/// How long traffic flows in a turn.
const TURN: Duration = Duration::from_millis(150);
/// What a small datagram carries.
const SMALL: usize = 64;
/// At least 95 % of the throughput without a program.
const SLOWER: f64 = 1.053;
/// Index of the bridge, and of the first port.
const BRIDGE: u32 = 2;
const FIRST_PORT: u32 = 1000;
const PORT: u16 = 9;

/// What is on the ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    Nothing,
    Counters,
    Ours(Mode),
    /// A rule set for each port, to which the rules of one chain jump, as libvirt's do.
    Nftables,
    /// The same, found by a verdict map: the best that nftables can do.
    VerdictMap,
}

impl Guard {
    const ALL: [Self; 6] = [
        Self::Nothing,
        Self::Counters,
        Self::Ours(Mode::Observe),
        Self::Ours(Mode::Enforce),
        Self::Nftables,
        Self::VerdictMap,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "no program",
            Self::Counters => "counters",
            Self::Ours(Mode::Observe) => "observe",
            Self::Ours(Mode::Enforce) => "enforce",
            Self::Nftables => "nftables, a rule set a port",
            Self::VerdictMap => "nftables, verdict map",
        }
    }
}

/// A bridge with guarded ports, and the namespaces at two of them.
struct World {
    guard: Guard,
    ends: [(Namespace, Ipv4Addr); 2],
    /// They go with it.
    _others: [Namespace; 2],
    _monitor: Option<Monitor>,
}

fn address_of(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 1, high, low)
}

impl World {
    fn new(guard: Guard, ports: u16) -> Result<Self> {
        let host = Namespace::anonymous()?;
        let crowd = Namespace::anonymous()?;
        let ends = [(Namespace::anonymous()?, address_of(1)), (Namespace::anonymous()?, address_of(ports))];
        let mut socket = RouteSocket::open_in(&host)?;
        let name = IfName::new("br0")?;
        let bridge = Bridge {
            index: Some(BRIDGE),
            multicast_snooping: Some(false),
            up: true,
            ..Bridge::new(name, MacAddress::local(0xFFFF))
        };
        bridge::create(&mut socket, &bridge)?;
        let monitor = match guard {
            Guard::Counters | Guard::Ours(_) => Some(Monitor::load(&MonitorOptions::default())?),
            Guard::Nothing | Guard::Nftables | Guard::VerdictMap => None,
        };
        for number in 1..=ports {
            let inside = ends.iter().find(|end| end.1 == address_of(number)).map_or(&crowd, |end| &end.0);
            plug(&mut socket, inside, number, guard, monitor.as_ref())?;
        }
        match guard {
            Guard::Nftables | Guard::VerdictMap => host.enter(|| nft(&rules(guard, ports)))??,
            Guard::Nothing | Guard::Counters | Guard::Ours(_) => {}
        }
        Ok(Self { guard, ends, _others: [host, crowd], _monitor: monitor })
    }

    /// A stream; how long a MiB of it takes.
    fn stream(&self) -> Result<Duration> {
        let [(from, _), (to, address)] = &self.ends;
        let listener = to.enter(|| TcpListener::bind((*address, PORT)))??;
        let mut sender = from.enter(|| TcpStream::connect((*address, PORT)))??;
        let mut receiver = listener.accept()?.0;
        let begin = Instant::now();
        let reader = thread::spawn(move || {
            let (mut buffer, mut bytes) = (vec![0; 1 << 18], 0);
            while let Ok(read @ 1..) = receiver.read(&mut buffer) {
                bytes += read;
            }
            bytes
        });
        let buffer = vec![0; 1 << 17];
        while begin.elapsed() < TURN {
            sender.write_all(&buffer)?;
        }
        drop(sender);
        let bytes = reader.join().map_err(|_| "the reader panicked")?;
        Ok(begin.elapsed().div_f64(count(bytes.max(1)) / f64::from(1 << 20)))
    }

    /// Small datagrams as fast as they go; how long each takes that arrives.
    fn datagrams(&self) -> Result<Duration> {
        let [(from, _), (to, address)] = &self.ends;
        let receiver = to.enter(|| UdpSocket::bind((*address, PORT)))??;
        receiver.set_read_timeout(Some(TURN / 4))?;
        let sender = from.enter(|| UdpSocket::bind(("0.0.0.0", 0)))??;
        sender.connect((*address, PORT))?;
        let is_over = AtomicBool::new(false);
        let begin = Instant::now();
        let (took, datagrams) = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut buffer, mut datagrams) = ([0; SMALL], 0_usize);
                // Nothing may come for a while because others have the CPU.
                loop {
                    match receiver.recv(&mut buffer) {
                        Ok(_) => datagrams += 1,
                        Err(_) if is_over.load(Ordering::Relaxed) => return datagrams,
                        Err(_) => {}
                    }
                }
            });
            let sent = send_for(TURN, &sender);
            is_over.store(true, Ordering::Relaxed);
            let took = begin.elapsed();
            let datagrams = reader.join().map_err(|_| "the reader panicked")?;
            sent.map(|()| (took, datagrams))
        })?;
        Ok(took.div_f64(count(datagrams.max(1))))
    }
}

/// Sends small datagrams, one after the other.
fn send_for(time: Duration, sender: &UdpSocket) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < time {
        sender.send(&[0; SMALL])?;
    }
    Ok(())
}

/// Makes a port and what is behind it.
fn plug(
    socket: &mut RouteSocket,
    inside: &Namespace,
    number: u16,
    guard: Guard,
    monitor: Option<&Monitor>,
) -> Result<()> {
    let port = FIRST_PORT + u32::from(number);
    let mac = MacAddress::local(number.into());
    let veth = Veth {
        index: Some(port),
        peer_index: Some(port),
        peer_mac: Some(mac),
        bridge: Some(BRIDGE),
        up: true,
        peer_namespace: Some(inside.as_fd()),
        ..Veth::new(IfName::new(&format!("port{number}"))?, IfName::new(&format!("eth{number}"))?)
    };
    veth::create(socket, &veth)?;
    if let Some(monitor) = monitor {
        let attachment = monitor.attach(socket, port)?;
        if let Guard::Ours(mode) = guard {
            let rules = Rules::new(mac.0).with_ipv4(address_of(number), 32)?.with_link_local()?;
            monitor.set_policy(attachment.slot(), &Policy { mode, ..Policy::new(rules) })?;
        }
    }
    let mut inner = RouteSocket::open_in(inside)?;
    link::set_up(&mut inner, port)?;
    address::add(&mut inner, &Address::new(port, format!("{}/16", address_of(number)).parse()?))?;
    // Asking makes the kernel let both ends forward at once.
    link::get(&mut inner, port)?;
    link::get(socket, port)?;
    Ok(())
}

/// The rules: of a port's frames those pass that have its MAC and IPv4 addresses, in ARP as well, and nothing that only
/// routers and DHCP servers say. Less than our program looks at.
fn rules(guard: Guard, ports: u16) -> String {
    let mut text = "table bridge guard {\n".to_owned();
    let (mut jumps, mut map) = (String::new(), String::new());
    for number in 1..=ports {
        let (mac, address) = (MacAddress::local(number.into()), address_of(number));
        let _ = writeln!(
            text,
            "chain p{number} {{\nether saddr != {mac} drop\nether type arp arp saddr ether != {mac} drop\n\
             ether type arp arp saddr ip != {{ 0.0.0.0, {address} }} drop\n\
             ether type ip ip saddr != {address} drop\nether type ip udp sport 67 drop\n\
             ether type ip6 icmpv6 type {{ nd-router-advert, nd-redirect }} drop\n\
             ether type != {{ ip, arp, ip6 }} drop\n}}"
        );
        let _ = writeln!(jumps, "iifname \"port{number}\" jump p{number}");
        let _ = write!(map, "{}\"port{number}\" : jump p{number}", if number > 1 { ", " } else { "" });
    }
    let find = if guard == Guard::VerdictMap { format!("iifname vmap {{ {map} }}") } else { jumps };
    text + &format!("chain ports {{\ntype filter hook prerouting priority -300;\n{find}\n}}\n}}\n")
}

/// Has nft take rules into the namespace of the calling thread.
fn nft(rules: &str) -> Result<()> {
    let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no pipe to nft")?.write_all(rules.as_bytes())?;
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("nft: {status}").into()) }
}

/// Measures with `turns` turns for each; `progress` is told of every size.
///
/// # Errors
/// If the kernel refuses, or nft is not there.
pub fn throughput(turns: usize, mut progress: impl FnMut(u16)) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for ports in PORTS {
        progress(ports);
        let worlds = Guard::ALL.map(|guard| World::new(guard, ports));
        let worlds = worlds.into_iter().collect::<Result<Vec<_>>>()?;
        let mut results: Vec<[Samples; 2]> = worlds.iter().map(|_| Default::default()).collect();
        // The first turn is not counted: neighbours ask for each other in it.
        for turn in 0..=turns {
            for place in 0..worlds.len() {
                let who = (place + turn) % worlds.len();
                let world = &worlds[who];
                let failed = |error| format!("{}, {ports} ports: {error}", world.guard.name());
                let taken = [world.stream().map_err(failed)?, world.datagrams().map_err(failed)?];
                if turn > 0 {
                    results[who].iter_mut().zip(taken).for_each(|(samples, time)| samples.push(time));
                }
            }
        }
        rows.extend(compared(ports, &results));
    }
    Ok(rows)
}

/// The rows of one size.
fn compared(ports: u16, results: &[[Samples; 2]]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, what) in ["TCP, a MiB", "UDP, a datagram of 64 bytes"].into_iter().enumerate() {
        let of = |guard| {
            let place = Guard::ALL.iter().position(|other| *other == guard).unwrap_or_default();
            &results[place][kind]
        };
        let low = |samples: &Samples| micros(samples.quantile(0.25));
        for guard in [Guard::Counters, Guard::Ours(Mode::Observe), Guard::Ours(Mode::Enforce)] {
            let name = format!("{what}, {}, {ports} ports", guard.name());
            let bare = of(Guard::Nothing);
            rows.push(goals::samples_at_most(&name, of(guard), Guard::Nothing.name(), bare, Some(SLOWER)));
        }
        for peer in [Guard::Nftables, Guard::VerdictMap] {
            let ours = of(Guard::Ours(Mode::Enforce));
            let name = format!("{what}, enforce, {ports} ports");
            let row = goals::against(&name, ours.median_us(), peer.name(), of(peer).median_us(), Some(1.0));
            rows.push(Row { ratio_p25: Some(low(of(peer)) / low(ours)), ..row });
        }
    }
    rows
}
