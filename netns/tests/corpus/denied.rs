//! Ways to destinations that an egress policy refuses: each is tried without any policy, to see that it arrives, and
//! with everything on. A provider outside stands for the internet; the host lets its sandboxes out.

use crate::checks::take;
use crate::everything::{self, COUNTED};
use crate::lab::{self, Sandbox};
use crate::observed::Observed;
use crate::sender::{Receiver, Sender, python};
use std::fmt::Write;
use std::net::UdpSocket;
use std::process::Command;
use std::time::{Duration, Instant};
use tests::{in_host, ip_json, needs_kernel, only, oracle, provider, run};

/// How often each way is tried.
pub(crate) const COUNT: usize = 3;
/// How long to wait for a frame that should arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// The sandboxes' networks, the provider's end of a tunnel whose protocol is allowed, and what a rule refuses besides the lists.
const EGRESS: &str = r#"
rules = [
    "allow 10.1.1.0/24", "allow fd00:1::/64", "allow 192.0.2.3 protocol/47",
    "deny 192.0.2.0/24 udp/4789", "deny 192.0.2.0/24 udp/7000",
]
"#;
/// A host that routes whatever it is asked to, as some do; its sandboxes' way out; a service of its own; and a
/// neighbour that forwards under its own address.
const WORLD: &str = r#"
    sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
    for device in all br0; do
        sysctl -qw net.ipv4.conf.$device.accept_source_route=1 net.ipv4.conf.$device.bc_forwarding=1
        sysctl -qw net.ipv6.conf.$device.seg6_enabled=1
    done
    sysctl -qw net.ipv4.conf.br0.send_redirects=0 net.ipv4.conf.all.send_redirects=0
    ip addr add fd00:1::fe/64 dev br0 nodad
    ip link set lo up
    ip addr add 169.254.170.2/32 dev lo
    ip addr add 192.168.7.254/24 dev up0
    ip -n provider addr add 192.0.2.3/24 dev eth0
    ip netns exec victim sysctl -qw net.ipv4.ip_forward=1
    ip -n victim route add default via 10.1.1.254
    ip netns exec victim nft -f - <<.
    table ip forwarder {
        chain after { type nat hook postrouting priority 100; oifname "eth0" masquerade; }
    }
.
"#;
/// What a way sets up in its sandbox first, and how that is undone.
const NOTHING: [&str; 2] = ["", ""];
const IFB: [&str; 2] = [
    "ip link add i0 type ifb; ip link set i0 up; nft add table netdev way; nft 'add chain netdev way c { type filter hook \
     egress device eth0 priority 0; }'; nft add rule netdev way c fwd to i0",
    "nft delete table netdev way; ip link del i0",
];

/// Frames that belong together, and what should become of them.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) name: &'static str,
    /// Expressions of scapy, in which MARK is what the packet ends with.
    frames: &'static [&'static str],
    /// The reason by which all of them are counted; `None` for those that may be sent.
    pub(crate) reason: Option<&'static str>,
    around: [&'static str; 2],
    /// Whether it is for the host itself.
    at_host: bool,
}

impl Destination {
    const fn by(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    const fn around(self, around: [&'static str; 2]) -> Self {
        Self { around, ..self }
    }

    const fn at_host(self) -> Self {
        Self { at_host: true, ..self }
    }

    /// How many of its frames are counted.
    pub(crate) const fn counted(&self) -> usize {
        COUNT * self.frames.len()
    }
}

const fn denied(name: &'static str, frames: &'static [&'static str]) -> Destination {
    Destination { name, frames, reason: Some("egress"), around: NOTHING, at_host: false }
}

const fn honest(name: &'static str, frames: &'static [&'static str]) -> Destination {
    Destination { name, frames, reason: None, around: NOTHING, at_host: false }
}

/// All of them; the last ones are those that may be sent.
#[rustfmt::skip]
pub(crate) const DESTINATIONS: &[Destination] = &[
    denied("the metadata service", &["TO_HOST/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("the metadata service, IPv6", &["TO_HOST/IPv6(src=OWN6,dst='fd00:ec2::254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("a private network, by TCP", &["TO_HOST/IP(src=OWN4,dst='10.9.9.9')/TCP(sport=5000,dport=80,flags='S')/MARK"]),
    denied("a private network, IPv6, by a ping", &["TO_HOST/IPv6(src=OWN6,dst='fd07::7')/ICMPv6EchoRequest(data=MARK)"]),
    denied("shared addresses", &["TO_HOST/IP(src=OWN4,dst='100.64.0.1')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("reserved addresses", &["TO_HOST/IP(src=OWN4,dst='240.0.0.1')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("as if it were an answer: TCP without a SYN", &["TO_HOST/IP(src=OWN4,dst='169.254.169.254')/TCP(sport=80,dport=5000,flags='A')/MARK"]),
    denied("options (router alert)", &["TO_HOST/IP(src=OWN4,dst='169.254.169.254',options=IPOption_Router_Alert())/UDP(sport=5000,dport=6000)/MARK"]),
    // Fragments.
    denied("fragments", &["fragments()[0]", "fragments()[1]"]),
    denied("fragments, the later one first", &["fragments()[1]", "fragments()[0]"]),
    denied("fragments, IPv6", &["fragments6()[0]", "fragments6()[1]"]),
    denied("fragments, IPv6, the later one first", &["fragments6()[1]", "fragments6()[0]"]),
    denied("fragments to a port that is refused", &["fragments('192.0.2.2',7000)[0]", "fragments('192.0.2.2',7000)[1]"]),
    denied("a whole packet with a fragment header", &["TO_HOST/IPv6(src=OWN6,dst='fd00:ec2::254')/IPv6ExtHdrFragment(id=7)/UDP(sport=5000,dport=6000)/MARK"]),
    // Extension headers.
    denied("hop-by-hop options", &["TO_HOST/IPv6(src=OWN6,dst='fd00:ec2::254')/IPv6ExtHdrHopByHop()/UDP(sport=5000,dport=6000)/MARK"]),
    denied("destination options", &["TO_HOST/IPv6(src=OWN6,dst='fd00:ec2::254')/IPv6ExtHdrDestOpt()/UDP(sport=5000,dport=6000)/MARK"]),
    denied("four extension headers", &["TO_HOST/IPv6(src=OWN6,dst='fd00:ec2::254')/IPv6ExtHdrHopByHop()/IPv6ExtHdrDestOpt()/IPv6ExtHdrFragment(id=8)/IPv6ExtHdrDestOpt()/UDP(sport=5000,dport=6000)/MARK"]),
    denied("a routing header that is at its end", &["TO_HOST/IPv6(src=OWN6,dst='fd00:ec2::254')/IPv6ExtHdrRouting(type=4,addresses=[],segleft=0)/UDP(sport=5000,dport=6000)/MARK"]),
    // To somewhere else than the header says.
    denied("a source route by the host", &["TO_HOST/IP(src=OWN4,dst=HOST4,options=IPOption_LSRR(routers=['169.254.169.254']))/UDP(sport=5000,dport=6000)/MARK"]).by("ipv4-source-route"),
    denied("a source route by the internet", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',options=IPOption_LSRR(routers=['169.254.169.254']))/UDP(sport=5000,dport=6000)/MARK"]).by("ipv4-source-route"),
    denied("segment routing by the host", &["TO_HOST/IPv6(src=OWN6,dst='fd00:1::fe')/IPv6ExtHdrSegmentRouting(addresses=['fd00:ec2::254','fd00:1::fe'],segleft=1,lastentry=1)/UDP(sport=5000,dport=6000)/MARK"]),
    denied("segment routing by the internet", &["TO_HOST/IPv6(src=OWN6,dst='2001:db8::2')/IPv6ExtHdrSegmentRouting(addresses=['fd00:ec2::254','2001:db8::2'],segleft=1,lastentry=1)/UDP(sport=5000,dport=6000)/MARK"]),
    denied("a routing header of type 0, by the internet", &["TO_HOST/IPv6(src=OWN6,dst='2001:db8::2')/IPv6ExtHdrRouting(type=0,addresses=['fd00:ec2::254'],segleft=1)/UDP(sport=5000,dport=6000)/MARK"]).by("ipv6-routing"),
    // Addresses that stand for others.
    denied("IPv4-mapped IPv6", &["TO_HOST/IPv6(src=OWN6,dst='::ffff:169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("IPv4-compatible IPv6", &["TO_HOST/IPv6(src=OWN6,dst='::169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("IPv4-translated IPv6 (SIIT)", &["TO_HOST/IPv6(src=OWN6,dst='::ffff:0:169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("NAT64, to the metadata service", &["TO_HOST/IPv6(src=OWN6,dst='64:ff9b::169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("NAT64, to a private network", &["TO_HOST/IPv6(src=OWN6,dst='64:ff9b::10.9.9.9')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("NAT64 by a local prefix", &["TO_HOST/IPv6(src=OWN6,dst='64:ff9b:1::169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("6to4", &["TO_HOST/IPv6(src=OWN6,dst='2002:a9fe:a9fe::1')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("Teredo", &["TO_HOST/IPv6(src=OWN6,dst='2001:0:a9fe:a9fe::1')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("a relay of 6to4", &["TO_HOST/IP(src=OWN4,dst='192.88.99.1',proto=41)/IPv6(src=OWN6,dst='fd00:ec2::254')/UDP(sport=5000,dport=6000)/MARK"]),
    // Tunnels to an address of the internet.
    denied("IP in IP", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',proto=4)/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("IPv6 in IP (SIT)", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',proto=41)/IPv6(src=OWN6,dst='fd00:ec2::254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("GRE", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2')/GRE()/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("Ethernet in GRE", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2')/GRE(proto=0x6558)/TO_HOST/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("IPIP (94)", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',proto=94)/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("EtherIP", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',proto=97)/Raw(b'0\\0')/TO_HOST/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("ENCAP (98)", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',proto=98)/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("L2TP in IP", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',proto=115)/Raw(b'\\0\\0\\0\\7')/TO_HOST/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("MPLS in IP", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',proto=137)/Raw(b'\\0\\x01\\x01@')/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("IP in IPv6", &["TO_HOST/IPv6(src=OWN6,dst='2001:db8::2',nh=4)/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("IPv6 in IPv6", &["TO_HOST/IPv6(src=OWN6,dst='2001:db8::2',nh=41)/IPv6(src=OWN6,dst='fd00:ec2::254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("GRE in IPv6, after destination options", &["TO_HOST/IPv6(src=OWN6,dst='2001:db8::2')/IPv6ExtHdrDestOpt(nh=47)/GRE()/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("VXLAN, where a rule refuses its port", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2')/UDP(sport=5000,dport=4789)/VXLAN(vni=7)/TO_HOST/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    // Through others.
    denied("by the MAC address of a neighbour that forwards, as after an ICMP redirect", &["TO_PEER/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("redirected to an ifb", &["TO_HOST/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]).around(IFB).by("unjudged"),
    denied("the broadcast address of a private network", &["TO_HOST/IP(src=OWN4,dst='192.168.7.255')/UDP(sport=5000,dport=6000)/MARK"]),
    denied("a service of the host, by a frame to everybody", &["TO_ALL/IP(src=OWN4,dst='169.254.170.2')/UDP(sport=5000,dport=6000)/MARK"]).at_host(),
    denied("a service of the host, by a frame to a group", &["TO_GROUP('224.0.0.1')/IP(src=OWN4,dst='169.254.170.2')/UDP(sport=5000,dport=6000)/MARK"]).at_host(),
    // Frames like these that may be sent.
    honest("the internet", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2')/UDP(sport=5000,dport=6000)/MARK"]),
    honest("the internet, IPv6", &["TO_HOST/IPv6(src=OWN6,dst='2001:db8::2')/UDP(sport=5000,dport=6000)/MARK"]),
    honest("the internet, by TCP", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2')/TCP(sport=5001,dport=80,flags='S')/MARK"]),
    honest("the internet, with a router alert", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2',options=IPOption_Router_Alert())/UDP(sport=5000,dport=6000)/MARK"]),
    honest("fragments to the internet, IPv6", &["fragments6('2001:db8::2')[0]", "fragments6('2001:db8::2')[1]"]),
    honest("extension headers to the internet", &["TO_HOST/IPv6(src=OWN6,dst='2001:db8::2')/IPv6ExtHdrHopByHop()/IPv6ExtHdrDestOpt()/UDP(sport=5000,dport=6000)/MARK"]),
    honest("the internet by NAT64", &["TO_HOST/IPv6(src=OWN6,dst='64:ff9b::192.0.2.2')/UDP(sport=5000,dport=6000)/MARK"]),
    honest("GRE to where a rule allows it", &["TO_HOST/IP(src=OWN4,dst='192.0.2.3')/GRE()/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
    honest("VXLAN to the internet, by another port", &["TO_HOST/IP(src=OWN4,dst='192.0.2.2')/UDP(sport=5000,dport=8472)/VXLAN(vni=7)/TO_HOST/IP(src=OWN4,dst='169.254.169.254')/UDP(sport=5000,dport=6000)/MARK"]),
];

/// The host with its sandboxes, and the provider.
struct Outside {
    sender: Sender,
    provider: Receiver,
    /// A service of the host that only its own namespaces may use.
    service: UdpSocket,
    /// Whose frames the provider receives.
    uplink: [u8; 6],
    /// What has arrived there and at the service.
    at_provider: Vec<Vec<u8>>,
    at_service: Vec<Vec<u8>>,
}

/// What was sent by a way, and how many of its packets arrived.
struct Tried {
    frames: Vec<Vec<u8>>,
    arrived: usize,
}

impl Outside {
    fn new() -> Self {
        let _ = provider();
        let _ = run(Command::new("sh").args(["-ec", WORLD]));
        let service = UdpSocket::bind("169.254.170.2:6000").unwrap();
        service.set_nonblocking(true).unwrap();
        let mac = only(&ip_json("link show up0"))["address"].as_str().unwrap().to_owned();
        let bytes = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap());
        let uplink = bytes.collect::<Vec<_>>().try_into().unwrap();
        let sender = Sender::start(Sandbox::named("host"));
        Self {
            sender,
            provider: Receiver::open_in("provider"),
            service,
            uplink,
            at_provider: Vec::new(),
            at_service: Vec::new(),
        }
    }

    /// How many packets with this ending have arrived.
    fn arrived(&mut self, way: &Destination, mark: &str) -> usize {
        let mut packet = [0; 256];
        while let Ok(length) = self.service.recv(&mut packet) {
            self.at_service.push(packet[..length].to_vec());
        }
        // Errors of the provider quote what it was sent.
        let heard = self.provider.all().into_iter();
        self.at_provider.extend(heard.filter(|frame| frame.get(6..12) == Some(&self.uplink)));
        let there = if way.at_host { &self.at_service } else { &self.at_provider };
        there.iter().filter(|packet| packet.ends_with(mark.as_bytes())).count()
    }

    fn shell(words: &str) {
        if !words.is_empty() {
            let _ = run(oracle("ip").args(["netns", "exec", "host", "sh", "-ec", words]));
        }
    }

    /// Sends all frames of a way several times. Frames that should arrive are waited for, and sent again until they do.
    fn attempt(&mut self, way: &Destination, number: usize, is_to_arrive: bool) -> Tried {
        let [set, undo] = way.around;
        Self::shell(set);
        let mark = format!("denied {number:04}");
        let mut tried = Tried { frames: Vec::new(), arrived: 0 };
        let deadline = Instant::now() + PATIENCE;
        for _ in 0..COUNT {
            for frame in way.frames {
                tried.frames.push(self.sender.send_alone(&mark, frame));
            }
        }
        while is_to_arrive && tried.arrived < COUNT && Instant::now() < deadline {
            tried.arrived = self.arrived(way, &mark).min(COUNT);
            std::thread::sleep(Duration::from_millis(1));
        }
        Self::shell(undo);
        tried
    }
}

/// Tries all of them; each with its position among those that are tried.
fn try_all(
    outside: &mut Outside,
    ways: &[&'static Destination],
    first: usize,
    is_guarded: bool,
) -> Vec<Tried> {
    let attempt = |(number, way): (usize, &&'static Destination)| {
        let is_to_arrive = !is_guarded || way.reason.is_none();
        let mut tried = outside.attempt(way, first + number, is_to_arrive);
        // Namespaces share the processors' backlogs, so other work on the machine can drop frames here too.
        if !is_guarded && tried.arrived < COUNT {
            tried = outside.attempt(way, first + number, is_to_arrive);
        }
        tried
    };
    ways.iter().enumerate().map(attempt).collect()
}

#[test]
fn no_way_leads_to_a_refused_destination() {
    in_host(|_| {
        needs_kernel((5, 16), "nftables at egress");
        let _ = python();
        lab::make();
        let mut outside = Outside::new();
        everything::begin(EGRESS);
        let ways: Vec<_> = DESTINATIONS.iter().collect();
        // A way that does not lead there without a policy proves nothing.
        let unguarded = try_all(&mut outside, &ways, 0, false);
        let mut observed = Observed::start_with(true, COUNTED);
        let guarded = try_all(&mut outside, &ways, 1000, true);
        let last = observed.reading();
        let mut seen = observed.violations(0);
        let port = Sandbox::named("host").port();
        let mut wrong = String::new();
        for (number, ((way, unguarded), guarded)) in ways.iter().zip(&unguarded).zip(&guarded).enumerate() {
            let arrived = outside.arrived(way, &format!("denied {:04}", 1000 + number));
            let found: Vec<_> =
                guarded.frames.iter().filter_map(|frame| take(&mut seen, &port, frame)).collect();
            let is_of = |reason| found.iter().filter(|seen| seen.dropped && seen.reason == reason).count();
            let (expected, counted) = match way.reason {
                None => ((COUNT, COUNT, 0), found.len()),
                // The barrier counts it and reports nothing.
                Some("unjudged") => ((COUNT, 0, 0), found.len()),
                Some(reason) => ((COUNT, 0, way.counted()), is_of(reason)),
            };
            let became = (unguarded.arrived, arrived, counted);
            if became != expected {
                let reasons: Vec<_> = found.iter().map(|seen| &seen.reason).collect();
                let _ = writeln!(
                    wrong,
                    "{}: (arrived unguarded, guarded, counted) is {became:?}, not {expected:?} {reasons:?}",
                    way.name
                );
            }
        }
        for seen in &seen {
            let _ = writeln!(wrong, "nobody was to send this: {seen:?}");
        }
        assert!(wrong.is_empty(), "{wrong}");
        let ports = last["ports"].as_array().unwrap();
        let counted = &ports.iter().find(|other| other["port"] == port).unwrap()["violations"];
        for reason in ["egress", "unjudged", "ipv4-source-route", "ipv6-routing"] {
            let of_reason = ways.iter().filter(|way| way.reason == Some(reason));
            let sum: usize = of_reason.map(|way| way.counted()).sum();
            assert_eq!(counted[reason], sum, "{counted}");
        }
        observed.end();
    });
}
