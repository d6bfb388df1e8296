//! `--attack --enforce`: ways past the guard, each tried with the guard away and with it.

use super::attack::open;
use super::lab::RunLab;
use super::outcomes::{Unseen, Way};
use super::report::RunReport;
use super::trunk;
use crate::failure::Failure;
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, neighbour};
use netns_ebpf::attack::{
    Around, Case, FrameSocket, LeftChecksum, Party, SharedPages, bpdu, cases, checksum_cases,
};
use netns_ebpf::packet::Reason;
use std::fs;
use std::io;
use std::time::Duration;

const SENT: u64 = Way::SENT;
/// The way of a sender that keeps access to the memory that it sends.
const PAGE: &str = "a page written to once it is sent";
/// How long to wait for a frame that may arrive.
const WAIT: Duration = Duration::from_millis(30);
/// What goes around the program is marked, so that it is known how much that is: the kernel inside sends frames of its own.
const MARK: u32 = 7;
/// What the sockets listen for: LLDP, and frames with a length in place of a type (`ETH_P_802_2`), such as BPDUs.
const LLDP: u16 = 0x88CC;
const LLC: u16 = 4;

/// How a frame is sent.
enum WaySend<'a> {
    /// Unchanged, by an `ifb` device, so that the program does not see it.
    Around,
    /// With a checksum that a later hop must write.
    Unsummed(LeftChecksum),
    /// From memory that is overwritten with a lie once the frame is sent.
    Shared(&'a SharedPages, &'a [u8]),
}

/// Where the effect of a frame shows.
enum WayEffect<'a> {
    /// These bytes arrive at this socket.
    Arrives(&'a FrameSocket, Vec<u8>),
    /// The bridge learns its source.
    Learnt,
}

/// What is sent, how, and what effect it should have.
struct WayAttempt<'a> {
    name: &'static str,
    frame: &'a [u8],
    send: WaySend<'a>,
    effect: WayEffect<'a>,
    reason: Option<Reason>,
}

/// Tries the ways, and holds the results so far.
struct WayAttacker<'a, 'm> {
    lab: &'a mut RunLab<'m>,
    report: &'a mut RunReport,
    sender: FrameSocket,
    host: Namespace,
    bridge: u32,
    tried: u8,
    all_stopped: bool,
    unseen: Unseen,
}

/// Tries all ways; returns whether the guard stopped every one, and what went unseen meanwhile. Without a guard there is
/// nothing to try. Whether destinations are counted decides whether a page is written to.
pub(crate) fn ways(
    lab: &mut RunLab<'_>,
    report: &mut RunReport,
    counts_destinations: bool,
) -> Result<(bool, Unseen), Failure> {
    let nothing = (true, Unseen::default());
    if !lab.has_barrier() {
        return Ok(nothing);
    }
    let (Some((bridge, host_mac)), [attacker, victim, ..]) = (lab.bridge(), lab.members()) else {
        return Ok(nothing);
    };
    let [us, them] = [attacker, victim].map(|member| Party::new(member.mac, &member.addresses));
    let (sender, receiver, port) = (open(attacker)?, open(victim)?, attacker.port_index);
    let inside = attacker.namespace.try_clone()?;
    let host = lab.host()?;
    let sockets = host.enter(|| -> io::Result<[FrameSocket; 3]> {
        let of = |ether_type: u16| FrameSocket::open_for(port, ether_type);
        Ok([FrameSocket::open(bridge)?, of(LLDP)?, of(LLC)?])
    })?;
    let sockets = sockets.map_err(|error| Failure::Kernel(format!("listen to the bridge: {error}")));
    let [at_host, of_lldp, of_bpdus] = sockets?;
    report.ways()?;
    let mut attacker =
        WayAttacker { lab, report, sender, host, bridge, tried: 0, all_stopped: true, unseen: nothing.1 };
    let lies = cases(&us, &them);
    let lie = lies.iter().find(|case| case.reason == Reason::Ipv4SourceForeign).or_else(|| lies.first());
    let lie = lie.map(|case| case.frame.clone()).unwrap_or_default();
    attacker.around(
        &inside,
        &lie,
        [us.mac, them.mac, host_mac.0],
        [&receiver, &at_host, &of_lldp, &of_bpdus],
    )?;
    attacker.checksum(&us)?;
    if counts_destinations {
        // To read them it pulls the headers into memory of the frame's own.
        attacker
            .report
            .way_left_out(PAGE, "the program copies what it counts destinations by, guarded or not")?;
    } else {
        attacker.pages(&inside, &lies, &receiver)?;
    }
    attacker.trunk()?;
    Ok((attacker.all_stopped, attacker.unseen))
}

impl WayAttacker<'_, '_> {
    /// Past the hook of the port, by an `ifb` device.
    fn around(
        &mut self,
        inside: &Namespace,
        lie: &[u8],
        [own, neighbour, host]: [[u8; 6]; 3],
        [receiver, at_host, of_lldp, of_bpdus]: [&FrameSocket; 4],
    ) -> Result<(), Failure> {
        let marked = self.sender.set_mark(MARK);
        marked.map_err(|error| Failure::Kernel(format!("mark frames: {error}")))?;
        let around = match Around::begin_marked(inside, IfName::new("eth0")?, MARK) {
            Ok(around) => around,
            Err(error) => return self.report.no_ways(&error.to_string()),
        };
        let to = |mac: [u8; 6]| [&mac[..], lie.get(6..).unwrap_or_default()].concat();
        let mut lldp = [&reserved(0xE)[..], &own, &LLDP.to_be_bytes()].concat();
        lldp.resize(60, 0);
        let arrives = |socket, frame: &[u8]| WayEffect::Arrives(socket, frame.to_vec());
        let (host, neighbour) = (to(host), to(neighbour));
        let all = [
            ("ifb, to a neighbour", lie, arrives(receiver, lie)),
            ("ifb, to the host", &host[..], arrives(at_host, &host)),
            ("ifb, a foreign source is learnt", &neighbour, WayEffect::Learnt),
            ("ifb, learnt from EAPOL", &to(reserved(3)), WayEffect::Learnt),
            ("ifb, learnt from LLDP", &to(reserved(0xE)), WayEffect::Learnt),
            ("ifb, LLDP to the host", &lldp, arrives(of_lldp, &lldp)),
        ];
        let reason = Some(Reason::Unjudged);
        for (name, frame, effect) in all {
            self.attempt(&WayAttempt { name, frame, send: WaySend::Around, effect, reason })?;
        }
        let (name, frame) = ("ifb, a BPDU to the host, with STP", &bpdu(own)[..]);
        self.lab.span_tree(true)?;
        self.attempt(&WayAttempt {
            name,
            frame,
            send: WaySend::Around,
            effect: arrives(of_bpdus, frame),
            reason,
        })?;
        self.lab.span_tree(false)?;
        Ok(around.end()?)
    }

    /// A checksum that a TAP writes over bytes that were judged.
    fn checksum(&mut self, us: &Party) -> Result<(), Failure> {
        let tap = match self.lab.plug_in_tap() {
            Ok(tap) => tap,
            Err(error) => return self.report.no_ways(&error.to_string()),
        };
        let tap = FrameSocket::of_tap(&tap)
            .map_err(|error| Failure::Kernel(format!("open a TAP once more: {error}")))?;
        // An address that nobody has, so that the frame is flooded to the TAP.
        let unknown = Party { mac: [2, 0x66, 0, 0, 0xFF, 0xFF], ..*us };
        for case in checksum_cases(us, &unknown).into_iter().filter(|case| !case.is_honest).take(1) {
            self.attempt(&WayAttempt {
                name: "a checksum over an ARP sender, by a TAP",
                frame: &case.frame,
                send: WaySend::Unsummed(case.checksum),
                effect: WayEffect::Arrives(&tap, case.checksum.write(&case.frame)),
                reason: Some(Reason::ChecksumPlace),
            })?;
        }
        Ok(())
    }

    /// A write, after the frame was judged, into pages that the sender has kept. Before Linux 6.5 every such frame is copied
    /// on its way (the test `copies` of netns-ebpf shows the same).
    fn pages(&mut self, inside: &Namespace, lies: &[Case], receiver: &FrameSocket) -> Result<(), Failure> {
        if is_before(&fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default(), (6, 5)) {
            return self
                .report
                .no_ways("a page that is written to: before Linux 6.5 it is copied on its way");
        }
        let pages = match SharedPages::begin(inside, IfName::new("eth0")?) {
            Ok(pages) => pages,
            Err(error) => return self.report.way_left_out(PAGE, &error.to_string()),
        };
        // Headers up to the transport header are copied on the frame's way through the tunnel.
        let case = lies.iter().find(|case| case.reason == Reason::NdLinkLayer);
        if let Some(Case { frame, near, .. }) = case {
            self.attempt(&WayAttempt {
                name: PAGE,
                frame: near,
                send: WaySend::Shared(&pages, frame),
                effect: WayEffect::Arrives(receiver, frame.clone()),
                reason: None,
            })?;
        }
        Ok(pages.end()?)
    }

    /// A frame over a trunk with another sender's slot.
    fn trunk(&mut self) -> Result<(), Failure> {
        match trunk::forged_sender() {
            Ok(way) => {
                self.all_stopped &= way.is_ok();
                self.report.way(&way)
            }
            Err(error) => self.report.way_left_out(trunk::FORGED, &error.to_string()),
        }
    }

    /// Tries a way without the guard and with it.
    fn attempt(&mut self, attempt: &WayAttempt<'_>) -> Result<(), Failure> {
        let WayAttempt { name, frame, send, effect, reason } = attempt;
        let mut way = Way { name, unguarded: 0, guarded: 0, counted: 0, reason: *reason };
        self.tried += 1;
        for is_guarded in [false, true] {
            self.lab.guard(is_guarded)?;
            // Without the guard there are no counters to read.
            let reason = reason.filter(|_| is_guarded);
            let before = reason.map(|reason| self.lab.counted(reason)).transpose()?;
            let mut frame = frame.to_vec();
            if let (WayEffect::Learnt, Some(source)) = (effect, frame.get_mut(6..12)) {
                // An address that the bridge has not learnt yet.
                source.copy_from_slice(&[2, 0x66, 0, 0, self.tried, u8::from(is_guarded)]);
            }
            let had_effect = self.send(send, effect, &frame)?;
            if matches!(send, WaySend::Around) {
                self.unseen.packets += SENT;
                self.unseen.bytes += SENT * frame.len() as u64;
            }
            if let (Some(reason), Some(before)) = (reason, before) {
                way.counted = self.lab.counted(reason)? - before;
            }
            *(if is_guarded { &mut way.guarded } else { &mut way.unguarded }) = had_effect;
        }
        self.all_stopped &= way.is_ok();
        self.report.way(&way)
    }

    /// Sends the frame several times; returns how many had their effect. Being learnt is an effect.
    fn send(&self, way: &WaySend<'_>, effect: &WayEffect<'_>, frame: &[u8]) -> Result<u64, Failure> {
        let failed = |what: &str, error: io::Error| Failure::Kernel(format!("{what} a frame: {error}"));
        if let WayEffect::Arrives(receiver, _) = effect {
            while receiver.receive(Duration::ZERO).map_err(|error| failed("hear", error))?.is_some() {}
        }
        for _ in 0..SENT {
            let sent = match way {
                WaySend::Around => self.sender.send(frame),
                WaySend::Unsummed(checksum) => self.sender.send_unsummed(frame, *checksum),
                WaySend::Shared(pages, lie) => pages.frame(frame).and_then(|shared| {
                    pages.send(&shared, frame.len())?;
                    shared.write(lie);
                    Ok(())
                }),
            };
            sent.map_err(|error| failed("send", error))?;
        }
        match effect {
            WayEffect::Arrives(receiver, expected) => {
                let mut arrived = 0;
                while let Some(heard) = receiver.receive(WAIT).map_err(|error| failed("hear", error))? {
                    arrived += u64::from(heard == *expected);
                }
                Ok(arrived)
            }
            WayEffect::Learnt => {
                std::thread::sleep(WAIT);
                let source: Option<[u8; 6]> = frame.get(6..12).and_then(|mac| mac.try_into().ok());
                let entries = neighbour::list_fdb(&mut RouteSocket::open_in(&self.host)?, self.bridge)?;
                Ok(u64::from(entries.iter().any(|entry| Some(entry.mac) == source.map(MacAddress))))
            }
        }
    }
}

/// An address that bridges keep for themselves.
const fn reserved(last: u8) -> [u8; 6] {
    [0x01, 0x80, 0xc2, 0, 0, last]
}

/// Whether a kernel's release is older than a version; a release without numbers counts as not older.
fn is_before(release: &str, version: (u32, u32)) -> bool {
    let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < version)
}

#[cfg(test)]
mod tests {
    use super::is_before;

    #[test]
    fn versions_are_compared_by_number() {
        assert!(is_before("6.1.0-56-amd64\n", (6, 5)) && is_before("5.10.0-32", (6, 5)));
        assert!(!is_before("6.18.44", (6, 5)) && !is_before("7.3", (6, 5)) && !is_before("", (6, 5)));
    }
}
