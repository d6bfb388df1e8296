//! `--attack`: one frame of each kind that no honest host sends, by raw socket from the first namespace to the second.

use super::lab::{Lab, Member};
use super::plan::{MESH, Plan};
use super::report::Report;
use crate::cli::{RunArguments, Topology};
use crate::failure::Failure;
use netns_core::{IfName, MacAddress, RouteSocket, link, sysctl};
use netns_ebpf::attack::{Case, Forwarded, FrameSocket, Party, cases};
use netns_ebpf::packet::{Reason, Rules};
use netns_ebpf::{Mode, Monitor, Policy, Slot};
use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

/// How long a frame is waited for: one that arrives is there at once.
const WAIT: Duration = Duration::from_millis(30);
/// The group that the receiver is in while a frame is sent that it may not get.
const APART: u8 = 1;

/// What became of a frame.
#[derive(Debug)]
pub(crate) struct Attacked {
    pub(crate) reason: Reason,
    /// How often the program counted the reason.
    pub(crate) seen: u64,
    /// Whether the frame arrived.
    pub(crate) reached: bool,
    /// Whether it was to.
    pub(crate) expected: bool,
    /// What is done about violations.
    mode: Mode,
}

impl Attacked {
    pub(crate) fn is_ok(&self) -> bool {
        self.seen == 1 && self.reached == self.expected
    }

    pub(crate) fn is_stopped_by_bridge(&self) -> bool {
        self.mode == Mode::Observe && !self.expected
    }
}

/// Whether the arguments allow an attack.
pub(crate) fn check(arguments: &RunArguments, plan: &Plan) -> Result<(), Failure> {
    if !arguments.attack {
        return Ok(());
    }
    if !(2..=MESH).contains(&plan.members.len()) {
        return Err(Failure::usage(format!("--attack takes 2 to {MESH} namespaces")));
    }
    if plan.topology == Topology::Pair {
        // A raw socket hears a frame before the program at the same end of the cable drops it.
        return Err(Failure::usage("--attack takes a bridge between the namespaces"));
    }
    Ok(())
}

/// Sends the frames; whether all became what they should.
pub(crate) fn attack(lab: &Lab<'_>, report: &mut Report) -> Result<bool, Failure> {
    let (Some(monitor), [attacker, victim, ..]) = (lab.monitor(), lab.members()) else {
        return Err(Failure::usage("--attack takes the eBPF program, and that takes root"));
    };
    let (Some(from), Some(to)) = (attacker.slot, victim.slot) else {
        return Err(Failure::usage("--attack takes ports with the eBPF program"));
    };
    let field = Field { monitor, from, sender: open(attacker)?, receiver: open(victim)?, mode: lab.mode() };
    let (us, them) = (party(attacker), party(victim));
    report.attack(&attacker.name, &victim.name)?;
    let mut all = true;
    let mut done = HashSet::new();
    let cases = cases(&us, &them);
    for case in cases.iter().filter(|case| done.insert(case.reason)) {
        let outcome = field.send(case, is_forwarded(lab, case)?)?;
        all &= outcome.is_ok();
        report.attacked(&outcome)?;
    }

    // An honest frame, to a group that its sender may not talk to.
    if let Some(honest) = cases.first() {
        let policy = lab.policy(victim.mac, &victim.addresses)?;
        monitor.set_policy(to, &Policy { group: APART, ..policy })?;
        monitor.set_group_pair(0, APART, false)?;
        let case = Case { reason: Reason::Group, frame: honest.near.clone(), ..honest.clone() };
        let outcome = field.send(&case, true)?;
        monitor.set_group_pair(0, APART, true)?;
        monitor.set_policy(to, &policy)?;
        all &= outcome.is_ok();
        report.attacked(&outcome)?;
    }
    Ok(all)
}

/// Whether the bridge forwards a frame that nobody drops before.
fn is_forwarded(lab: &Lab<'_>, case: &Case) -> Result<bool, Failure> {
    Ok(match case.forwarded {
        Forwarded::Always => true,
        Forwarded::Never => false,
        Forwarded::UnlessFiltered => {
            let is_v6 = matches!(case.reason, Reason::Ipv6Version | Reason::Ipv6PayloadLength);
            let family = if is_v6 { "ip6tables" } else { "iptables" };
            // Not there if the kernel has no such filter.
            let setting = sysctl::get(&lab.host()?, &format!("net.bridge.bridge-nf-call-{family}"));
            setting.map_or(true, |value| value.trim() == "0")
        }
    })
}

/// How many bytes fewer the program counts of what the attacker sent than the kernel does: tags that the kernel takes
/// out of a frame before the program sees it.
pub(crate) const TAG_BYTES: u64 = 4;

/// Where frames are sent and heard.
struct Field<'a> {
    monitor: &'a Monitor,
    from: Slot,
    sender: FrameSocket,
    receiver: FrameSocket,
    mode: Mode,
}

impl Field<'_> {
    /// Sends a frame and looks what becomes of it.
    fn send(&self, case: &Case, is_forwarded: bool) -> Result<Attacked, Failure> {
        let failed = |what: &'static str| move |error: io::Error| Failure::Kernel(format!("{what}: {error}"));
        let seen = || self.monitor.violations(self.from).of(case.reason);
        while self.receiver.receive(Duration::ZERO).map_err(failed("hear frames"))?.is_some() {}
        let before = seen();
        self.sender.send(&case.frame).map_err(failed("send a frame"))?;
        // The kernel takes a tag out before a socket hears the frame.
        let untagged = [&case.frame[..12], case.frame.get(16..).unwrap_or_default()].concat();
        let is_it =
            |frame: &[u8]| frame == case.frame || (case.reason == Reason::VlanTag && frame == untagged);
        let deadline = Instant::now() + WAIT;
        let mut reached = false;
        while !reached {
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(frame) = self.receiver.receive(left).map_err(failed("hear frames"))? else { break };
            reached = is_it(&frame);
        }
        let expected = self.mode == Mode::Observe && is_forwarded;
        Ok(Attacked { reason: case.reason, seen: seen() - before, reached, expected, mode: self.mode })
    }
}

/// A raw socket on a namespace's `eth0`.
fn open(member: &Member) -> Result<FrameSocket, Failure> {
    let eth0 = link::get(&mut RouteSocket::open_in(&member.namespace)?, IfName::new("eth0")?)?.index;
    let socket = member.namespace.enter(|| FrameSocket::open(eth0))?;
    socket.map_err(|error| Failure::Kernel(format!("open a raw socket in {}: {error}", member.name)))
}

/// A namespace as the sender or receiver of a frame. One without an IPv6 address has the one made of its MAC address.
fn party(member: &Member) -> Party {
    let MacAddress(mac) = member.mac;
    let mut party = Party { mac, v4: Ipv4Addr::UNSPECIFIED, v6: Rules::new(mac).link_local() };
    for &address in &member.addresses {
        match address {
            IpAddr::V4(address) => party.v4 = address,
            IpAddr::V6(address) => party.v6 = address,
        }
    }
    party
}
