//! `--attack --enforce`: ways around the program on a port, each tried with the guard away and with it.

use super::attack::open;
use super::lab::Lab;
use super::report::RunReport;
use crate::failure::Failure;
use netns_core::{IfName, MacAddress, RouteSocket, neighbour};
use netns_ebpf::attack::{Around, Case, FrameSocket, Party, cases};
use netns_ebpf::packet::Reason;
use std::time::Duration;

/// How many frames each way is tried with.
const SENT: u64 = 10;
/// How long to wait for one that may arrive.
const WAIT: Duration = Duration::from_millis(30);

/// What became of a way.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    /// How many frames had their effect with the guard away: arrived, or were learnt from.
    pub(crate) unguarded: u64,
    /// The same with the guard.
    pub(crate) guarded: u64,
    /// How many of those that the guard stopped were counted as `unjudged`.
    pub(crate) counted: u64,
    /// Whether they are: nothing sees what only the bridge itself refuses to learn from.
    is_counted: bool,
}

impl Way {
    pub(crate) const SENT: u64 = SENT;

    /// An attack that does not work proves nothing.
    pub(crate) fn is_ok(&self) -> bool {
        self.unguarded > 0 && self.guarded == 0 && (!self.is_counted || self.counted == SENT)
    }
}

/// What the kernel counted at the attacker's port and the program did not see.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Unseen {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

/// Where the effect of a frame shows.
enum WayEffect {
    /// It arrives at this socket.
    Arrives(FrameSocket),
    /// The bridge learns its source.
    Learnt,
}

/// Tries all ways; whether the guard stopped every one, and what nobody saw meanwhile. Without a guard there is nothing to
/// try.
pub(crate) fn ways(lab: &mut Lab<'_>, report: &mut RunReport) -> Result<(bool, Unseen), Failure> {
    let mut unseen = Unseen::default();
    if !lab.has_barrier() {
        return Ok((true, unseen));
    }
    let [attacker, victim, ..] = lab.members() else { return Ok((true, unseen)) };
    let [us, them] = [attacker, victim].map(|member| Party::new(member.mac, &member.addresses));
    let (sender, receiver) = (open(attacker)?, open(victim)?);
    let eth0 = IfName::new("eth0")?;
    let inside = attacker.namespace.try_clone()?;
    let host = lab.host()?;
    let Some((bridge, host_mac)) = lab.bridge() else { return Ok((true, unseen)) };
    let at_host = host.enter(|| FrameSocket::open(bridge))?;
    let at_host = at_host.map_err(|error| Failure::Kernel(format!("listen to the bridge: {error}")))?;
    let around = match Around::begin(&inside, eth0) {
        Ok(around) => around,
        Err(error) => {
            report.no_ways(&error.to_string())?;
            return Ok((true, unseen));
        }
    };
    let lie = cases(&us, &them).into_iter().find(|case| case.reason == Reason::Ipv4SourceForeign);
    let lie = lie.or_else(|| cases(&us, &them).into_iter().next()).map(|Case { frame, .. }| frame);
    let lie = lie.unwrap_or_default();
    let to = |mac: [u8; 6]| [&mac[..], &lie[6..]].concat();
    let all = [
        ("ifb, to a neighbour", lie.clone(), WayEffect::Arrives(receiver), true),
        ("ifb, to the host", to(host_mac.0), WayEffect::Arrives(at_host), true),
        ("ifb, a foreign source is learnt", to(them.mac), WayEffect::Learnt, true),
        ("ifb, learnt from EAPOL", to(reserved(3)), WayEffect::Learnt, true),
        ("ifb, learnt from LLDP", to(reserved(0xe)), WayEffect::Learnt, false),
    ];
    report.ways()?;
    let mut all_stopped = true;
    for (number, (name, frame, effect, is_counted)) in (0_u8..).zip(all) {
        let mut way = Way { name, unguarded: 0, guarded: 0, counted: 0, is_counted };
        for is_guarded in [false, true] {
            lab.guard(is_guarded)?;
            // There is nothing to read of a guard that is away.
            let before = if is_guarded { lab.unjudged()? } else { 0 };
            let mut frame = frame.clone();
            if matches!(effect, WayEffect::Learnt) {
                // One that nobody has learnt yet.
                frame[6..12].copy_from_slice(&[2, 0x66, 0, 0, number, u8::from(is_guarded)]);
            }
            let had_effect = attempt(&sender, &effect, &frame, &mut RouteSocket::open_in(&host)?, bridge)?;
            (unseen.packets, unseen.bytes) =
                (unseen.packets + SENT, unseen.bytes + SENT * frame.len() as u64);
            if is_guarded {
                (way.guarded, way.counted) = (had_effect, lab.unjudged()? - before);
            } else {
                way.unguarded = had_effect;
            }
        }
        all_stopped &= way.is_ok();
        report.way(&way)?;
    }
    around.end()?;
    Ok((all_stopped, unseen))
}

/// An address that bridges keep for themselves.
const fn reserved(last: u8) -> [u8; 6] {
    [0x01, 0x80, 0xc2, 0, 0, last]
}

/// Sends the frame some times; how many had their effect. To be learnt is one.
fn attempt(
    sender: &FrameSocket,
    effect: &WayEffect,
    frame: &[u8],
    socket: &mut RouteSocket,
    bridge: u32,
) -> Result<u64, Failure> {
    let failed = |what: &str, error: std::io::Error| Failure::Kernel(format!("{what} a frame: {error}"));
    if let WayEffect::Arrives(receiver) = effect {
        while receiver.receive(Duration::ZERO).map_err(|error| failed("hear", error))?.is_some() {}
    }
    for _ in 0..SENT {
        sender.send(frame).map_err(|error| failed("send", error))?;
    }
    match effect {
        WayEffect::Arrives(receiver) => {
            let mut arrived = 0;
            while let Some(heard) = receiver.receive(WAIT).map_err(|error| failed("hear", error))? {
                arrived += u64::from(heard == frame);
            }
            Ok(arrived)
        }
        WayEffect::Learnt => {
            std::thread::sleep(WAIT);
            let source: Option<[u8; 6]> = frame.get(6..12).and_then(|mac| mac.try_into().ok());
            let entries = neighbour::list_fdb(socket, bridge)?;
            Ok(u64::from(entries.iter().any(|entry| Some(entry.mac) == source.map(MacAddress))))
        }
    }
}
