//! What a port may send to the host that its bridge is on, and whether the host passes it on.
//!
//! This is asked where the host receives, not at the port: a broadcast goes to the host and to others, and only the
//! host's copy is its business. The port's own program has judged the frame before, so its headers are what they say.
//!
//! A copy of a frame to many that the host may not have is kept from it and is no violation: others may have theirs, and
//! every honest stack reports its groups and asks who has an address.

use super::fragment::OFFSET;
use super::service::{HostAccess, Service};
use super::{
    Facts, Permissions, Reason, Rules, Span, Steps, Verdict, dhcp, ethernet, icmp, ipv6, neighbour, protocol,
};

impl Rules {
    /// Whether the port is let to a service of the host, or, in a later fragment, which shows no port, to any of its
    /// protocol.
    #[inline(always)]
    #[must_use]
    pub fn lets(&self, service: Service, is_any_port: bool) -> bool {
        let all = service.to_word() & Service::PROTOCOL;
        let mask = if is_any_port { Service::PROTOCOL } else { u32::MAX };
        let is_it =
            |place: &Service| (place.to_word() ^ service.to_word()) & mask == 0 || place.to_word() == all;
        // An unused place has protocol 0. Every place is looked at, so that no loop is left: one whose body runs into its
        // head without a jump, Linux 6.1 refuses (`check_cfg` in
        // <https://github.com/torvalds/linux/blob/v6.1/kernel/bpf/verifier.c>).
        all != 0 && self.services().iter().fold(false, |found, place| found | is_it(place))
    }
}

/// What the host knows: its routes, and with whom it talks.
pub trait Host: Steps {
    /// Whether the host would pass the packet on to somebody else, rather than take it itself or drop it.
    fn passes_on(&self, flow: &Flow) -> bool;

    /// Whether the packet belongs to a connection that a socket of the host has, rather than to none or to one that it
    /// waits for.
    fn is_talking(&self, flow: &Flow) -> bool;

    /// Whether a service is one that the port is let to: [`Rules::lets`]. A step of its own, as those of [`Steps`].
    #[inline(always)]
    fn is_let(&self, service: Service, is_any_port: bool, rules: &Rules) -> bool {
        rules.lets(service, is_any_port)
    }
}

/// Where a packet comes from and goes to, as it lies in its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Whether it is IPv6. An IPv4 address is the first of the four words.
    pub is_v6: bool,
    /// The number of the transport protocol.
    pub protocol: u8,
    /// The source address.
    pub source: [u32; 4],
    /// The destination address.
    pub destination: [u32; 4],
    /// The ports of TCP and UDP, source first, in network byte order; 0 of other protocols and in later fragments.
    pub ports: [u16; 2],
}

impl Flow {
    /// Whether it goes to a multicast address, or to everybody (255.255.255.255): the host takes such a packet itself, whatever
    /// its routes say, which may have a default for all addresses (`ip_route_input_slow` in
    /// <https://github.com/torvalds/linux/blob/v6.18/net/ipv4/route.c>), also where the frame is for the host alone.
    #[inline(always)]
    const fn is_to_many(&self) -> bool {
        let [word, ..] = self.destination;
        let [first, ..] = word.to_ne_bytes();
        if self.is_v6 { first == 0xFF } else { first & 0xF0 == 0xE0 || word == u32::MAX }
    }
}

/// What becomes of a frame that is about to reach the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The host gets it.
    Admitted,
    /// The host does not get its copy of a frame to many. Nobody did wrong.
    Kept,
    /// The port may not send it to the host.
    Refused(Reason),
}

/// Judges a frame that is about to reach the host, by the rules of the port that it came in by.
#[inline(always)]
pub fn admit<B: Host + ?Sized>(frame: &B, facts: Facts, rules: &Rules) -> Admission {
    if !rules.restricts_host() {
        return Admission::Admitted;
    }
    let Some([first, ..]) = frame.words::<4, 14>(0) else { return Admission::Refused(Reason::Host) };
    let [first, ..] = first.to_ne_bytes();
    let is_to_many = first & 1 != 0;
    match ethernet(frame, facts, rules, is_to_many) {
        Ok(()) => Admission::Admitted,
        Err(_) if is_to_many => Admission::Kept,
        Err(reason) => Admission::Refused(reason),
    }
}

#[inline(always)]
fn ethernet<B: Host + ?Sized>(frame: &B, facts: Facts, rules: &Rules, is_to_many: bool) -> Verdict {
    let (ether_type, at) = ethernet::payload_of(frame, facts.has_tag).ok_or(Reason::Host)?;
    let (flow, carried) = match ether_type {
        ethernet::IPV4 => flow4(frame, at)?,
        ethernet::IPV6 => flow6(frame, at, facts)?,
        ethernet::ARP if rules.host_access() != HostAccess::Nothing => return Ok(()),
        _ if rules.host_access() == HostAccess::Everything => return Ok(()),
        _ => return Err(Reason::Host),
    };
    if !is_to_many && frame.passes_on(&flow) && !flow.is_to_many() {
        return if rules.forwards() { Ok(()) } else { Err(Reason::Forward) };
    }
    let may = match rules.host_access() {
        HostAccess::Everything => true,
        HostAccess::Nothing => false,
        HostAccess::Neighbours => is_neighbours(&flow, carried, rules),
        HostAccess::Services => {
            is_neighbours(&flow, carried, rules) || is_for_service(frame, &flow, carried, rules)
        }
    };
    if may { Ok(()) } else { Err(Reason::Host) }
}

/// What a packet carries.
#[derive(Clone, Copy)]
struct HostCarried {
    /// Whether it is the middle or the end of a packet, without a transport header.
    is_later: bool,
    /// Of ICMP and ICMPv6, the message's type.
    kind: u8,
}

#[inline(always)]
fn flow4<B: Host + ?Sized>(frame: &B, at: u32) -> Result<(Flow, HostCarried), Reason> {
    let [first, fragment, lifetime, source, destination] = frame.words::<5, 20>(at).ok_or(Reason::Host)?;
    let [first, ..] = first.to_ne_bytes();
    let [_, _, f0, f1] = fragment.to_ne_bytes();
    let [_, protocol, ..] = lifetime.to_ne_bytes();
    let start = at + u32::from(first & 0xF) * 4;
    let is_later = u16::from_be_bytes([f0, f1]) & OFFSET != 0;
    let flow = Flow {
        is_v6: false,
        protocol,
        source: [source, 0, 0, 0],
        destination: [destination, 0, 0, 0],
        ports: [0; 2],
    };
    carried(frame, flow, start, is_later)
}

#[inline(always)]
fn flow6<B: Host + ?Sized>(frame: &B, at: u32, facts: Facts) -> Result<(Flow, HostCarried), Reason> {
    let header = frame.words::<10, 40>(at).ok_or(Reason::Host)?;
    let [_, lengths, s0, s1, s2, s3, d0, d1, d2, d3] = header;
    let [_, _, next, _] = lengths.to_ne_bytes();
    let payload = Span { start: at + ipv6::HEADER, end: facts.length };
    let (mut protocol, mut start, mut is_later) = (next, payload.start, false);
    if ipv6::is_extension(next) {
        let found = frame.extensions(payload, next)?;
        (protocol, start) = (found.protocol, found.at);
        is_later = found.fragment.is_some_and(|field| field & OFFSET != 0);
    }
    let flow = Flow {
        is_v6: true,
        protocol,
        source: [s0, s1, s2, s3],
        destination: [d0, d1, d2, d3],
        ports: [0; 2],
    };
    carried(frame, flow, start, is_later)
}

/// Reads what of the transport header matters.
#[inline(always)]
fn carried<B: Host + ?Sized>(
    frame: &B,
    mut flow: Flow,
    start: u32,
    is_later: bool,
) -> Result<(Flow, HostCarried), Reason> {
    let mut kind = 0;
    if !is_later && matches!(flow.protocol, protocol::TCP | protocol::UDP | protocol::ICMP | protocol::ICMPV6)
    {
        let [word] = frame.words::<1, 4>(start).ok_or(Reason::Host)?;
        let [a, b, c, d] = word.to_ne_bytes();
        if matches!(flow.protocol, protocol::TCP | protocol::UDP) {
            flow.ports = [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])];
        }
        kind = a;
    }
    Ok((flow, HostCarried { is_later, kind }))
}

/// Whether it is what hosts of a link find each other by.
#[inline(always)]
fn is_neighbours(flow: &Flow, carried: HostCarried, rules: &Rules) -> bool {
    if carried.is_later {
        return false;
    }
    match flow.protocol {
        protocol::ICMPV6 if flow.is_v6 => neighbour::is_discovery(carried.kind),
        protocol::UDP => {
            let [from, to] = flow.ports.map(u16::from_be);
            let server = dhcp::server(flow.is_v6);
            // The host may be a client of a server that is behind the port.
            to == server || (from == server && rules.permits(Permissions::DHCP_SERVER))
        }
        _ => false,
    }
}

/// Whether it is for a service that the port may use, or an answer to the host.
#[inline(always)]
fn is_for_service<B: Host + ?Sized>(frame: &B, flow: &Flow, carried: HostCarried, rules: &Rules) -> bool {
    let is_icmp = flow.protocol == if flow.is_v6 { protocol::ICMPV6 } else { protocol::ICMP };
    let protocol = if is_icmp { protocol::ICMP } else { flow.protocol };
    let [_, to] = flow.ports.map(u16::from_be);
    if frame.is_let(Service::new(protocol, to), carried.is_later, rules) {
        return true;
    }
    if carried.is_later {
        return false;
    }
    match flow.protocol {
        protocol::TCP | protocol::UDP => frame.is_talking(flow),
        _ => is_icmp && icmp::is_answer(flow.is_v6, carried.kind),
    }
}
