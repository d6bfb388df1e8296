//! A million networks that may not be sent to: how long it takes until the refusal holds, and what each frame costs, as
//! an egress policy and as an nft set.
//!
//! The frames are real: a packet socket sends them into a veth pair, at whose other end they are refused, by our
//! program or by a rule at the netdev hook; both are called at ingress of the same link. Destinations are uniformly
//! random among the networks, so what each CPU remembers of destinations is of no use. Both include the cost of
//! sending, which is measured beside them, with everything refused and nothing looked up. What is measured is processor
//! time, which excludes others on the machine: a frame is received by the thread that sends it.

use crate::packet::frames;
use crate::samples::Samples;
use crate::{Result, sys};
use netns_core::veth::{self, Veth};
use netns_core::{IfName, Namespace, RouteSocket, link};
use netns_ebpf::attack::FrameSocket;
use netns_ebpf::packet::{EgressPrefix, EgressRule};
use netns_ebpf::{EgressRules, Mode, Monitor, MonitorOptions};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TURNS: usize = 9;
/// How many frames there are, each to another destination.
const FRAMES: usize = 50_000;
/// Networks of 16 addresses, from 16.0.0.0 to 79.255.255.255, in which no list has anything.
const BITS: u8 = 28;
/// The ifindex of both ends.
const LINK: u32 = 10;

/// How long something took.
#[derive(Clone, Copy, Debug)]
pub struct LoadTime {
    /// On the clock.
    pub wall: Duration,
    /// Processor time.
    pub processor: Duration,
}

/// What was measured of a way to refuse networks.
#[derive(Clone, Debug)]
pub struct RefusingWay {
    /// What it is.
    pub name: String,
    /// How long it took until it held; `None` if there is nothing to load.
    pub load: Option<LoadTime>,
    /// The processor time for a frame.
    pub frame: Samples,
}

/// Numbers that look random and are the same every time: Marsaglia's xorshift of 64 bits.
fn xorshift(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    }
}

/// This many networks, in order, that look random and are the same every time.
fn networks(count: usize) -> Vec<u32> {
    let mut next = xorshift(0x2545_F491_4F6C_DD1D);
    let mut networks = BTreeSet::new();
    while networks.len() < count {
        networks.insert(0x1000_0000 + ((next() as u32 & 0x3FF_FFFF) << (32 - BITS)));
    }
    networks.into_iter().collect()
}

/// A link to a namespace that refuses.
struct Refusing {
    namespace: Namespace,
    sender: FrameSocket,
}

impl Refusing {
    fn new(number: usize) -> Result<Self> {
        let namespace = Namespace::anonymous()?;
        let index = LINK + u32::try_from(number)?;
        let link = Veth {
            index: Some(index),
            peer_index: Some(LINK),
            up: true,
            peer_namespace: Some(namespace.as_fd()),
            ..Veth::new(IfName::new(&format!("way{number}"))?, IfName::new("port")?)
        };
        veth::create(&mut RouteSocket::open()?, &link)?;
        link::set_up(&mut RouteSocket::open_in(&namespace)?, LINK)?;
        Ok(Self { namespace, sender: FrameSocket::open(index)? })
    }

    /// Sends all frames; returns the processor time for one.
    fn send(&self, frames: &[Vec<u8>]) -> Result<Duration> {
        let before = sys::processor_time(sys::WhoseTime::Thread)?;
        for frame in frames {
            self.sender.send(frame)?;
        }
        let time = sys::processor_time(sys::WhoseTime::Thread)?.saturating_sub(before);
        Ok(time / u32::try_from(frames.len())?)
    }

    /// Loads rules into nft; returns how long that took.
    fn nft(&self, rules: &str) -> Result<LoadTime> {
        let (began, before) = (Instant::now(), sys::processor_time(sys::WhoseTime::Children)?);
        self.namespace.enter(|| -> Result<()> {
            let mut child = Command::new("nft").args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
            child.stdin.take().ok_or("no pipe to nft")?.write_all(rules.as_bytes())?;
            if child.wait()?.success() { Ok(()) } else { Err("nft failed".into()) }
        })??;
        let processor = sys::processor_time(sys::WhoseTime::Children)?.saturating_sub(before);
        Ok(LoadTime { wall: began.elapsed(), processor })
    }
}

/// The nft rules: what is in this set is dropped, or everything.
fn nft_rules(networks: Option<&[u32]>) -> String {
    let mut set = String::new();
    let refuse = if let Some(networks) = networks {
        set.push_str("set refused {\ntype ipv4_addr\nflags interval\nelements = {");
        for &network in networks {
            let _ = write!(set, "{}/{BITS},", Ipv4Addr::from(network));
        }
        set.push_str("}\n}\n");
        "ip daddr @refused counter drop"
    } else {
        // What the kernel's IPv6 sends by itself is not among the frames.
        "meta protocol ip counter drop"
    };
    format!(
        "table netdev bench {{\n{set}chain port {{\ntype filter hook ingress device port priority 0;\n{refuse}\n}}\n}}\n"
    )
}

/// Measures this many networks as a policy and as a set, and both ways with nothing to look up.
///
/// # Errors
/// If the kernel refuses, or a frame was not refused.
pub fn sets(count: usize) -> Result<Vec<RefusingWay>> {
    let networks = networks(count);
    let frames = random_frames(&networks);
    let mut ways = Vec::new();
    let mut monitors = Vec::new();
    for (number, of) in [None, Some(&networks)].into_iter().enumerate() {
        let way = Refusing::new(number)?;
        let monitor =
            Monitor::load(&MonitorOptions { slots: 1, pairs: 0, egress: 1, ..MonitorOptions::default() })?;
        let policy = monitor.add_egress(&EgressRules::new())?;
        let rules = match of {
            None => EgressRules::new().refusing_others(),
            Some(of) => {
                let deny = |&network| EgressRule::deny(EgressPrefix::v4(Ipv4Addr::from(network), BITS));
                EgressRules::new().with_all(of.iter().map(deny))
            }
        };
        let (began, before) = (Instant::now(), sys::processor_time(sys::WhoseTime::Thread)?);
        monitor.replace_egress(policy, &rules)?;
        let processor = sys::processor_time(sys::WhoseTime::Thread)?.saturating_sub(before);
        let load = of.map(|_| LoadTime { wall: began.elapsed(), processor });
        let attachment = monitor.attach(&mut RouteSocket::open_in(&way.namespace)?, LINK)?;
        monitor.set_egress(attachment.slot(), Some((policy, Mode::Enforce)))?;
        monitors.push((monitor, attachment.slot()));
        let what = if of.is_some() {
            format!("a policy of {count} networks")
        } else {
            "a policy that refuses all".to_owned()
        };
        ways.push((way, RefusingWay { name: what, load, frame: Samples::default() }));
    }
    for of in [None, Some(&networks[..])] {
        let way = Refusing::new(ways.len())?;
        let load = way.nft(&nft_rules(of))?;
        let name = if of.is_some() {
            format!("nft, a set of {count} networks")
        } else {
            "nft, a rule that drops all".to_owned()
        };
        ways.push((way, RefusingWay { name, load: of.map(|_| load), frame: Samples::default() }));
    }
    for _ in 0..TURNS {
        for (way, measured) in &mut ways {
            measured.frame.push(way.send(&frames)?);
        }
    }
    let sent = u64::try_from(TURNS * frames.len())?;
    for (monitor, slot) in &monitors {
        let dropped = monitor.violations(*slot).dropped_rx.packets;
        if dropped != sent {
            return Err(format!("{dropped} of {sent} frames were refused by a policy").into());
        }
    }
    for (way, measured) in &ways[monitors.len()..] {
        let listed = way
            .namespace
            .enter(|| Command::new("nft").args(["list", "chain", "netdev", "bench", "port"]).output())??;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        if !listed.contains(&format!("packets {sent} ")) {
            return Err(format!("{}: not all of {sent} frames were dropped: {listed}", measured.name).into());
        }
    }
    Ok(ways.into_iter().map(|(_, measured)| measured).collect())
}

/// A frame to each of this many destinations, in networks far from each other.
fn random_frames(networks: &[u32]) -> Vec<Vec<u8>> {
    let [(_, tcp), ..] = frames();
    let mut next = xorshift(0x9E37_79B9_7F4A_7C15);
    let mut frame = || {
        let state = next();
        let network = networks[(state >> 16) as usize % networks.len()];
        let mut frame = tcp.clone();
        frame[30..34].copy_from_slice(&(network | state as u32 & 0xF).to_be_bytes());
        frame
    };
    (0..FRAMES).map(|_| frame()).collect()
}
