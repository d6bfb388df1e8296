//! What honest programs and kernels send, however odd it looks: all of it arrives, and none of it is counted.

use crate::everything::{self, COUNTED, HONEST};
use crate::lab::{self, NETFILTER, Sandbox, VICTIM};
use crate::observed::Observed;
use crate::sender::{Receiver, python};
use std::fmt::Write;
use std::process::{Child, Command, Stdio};
use tests::{in_host, oracle, run};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/honest.py");
/// What the command of a row can use: `py NAME` is one of the senders in `honest.py`, `flap` takes the link down and
/// up.
const WORDS: &str = r#"
py() { python3 "$SCRIPT" "$@"; }
settle() { until ip -o link show eth0 | grep -q 'state UP'; do sleep 0.05; done; sleep 2.5; }
flap() { ip link set eth0 down; ip link set eth0 up; ip addr replace $OWN6/64 dev eth0 nodad; settle; }
set4() { sysctl -qw net.ipv4.$1; }
set6() { sysctl -qw net.ipv6.conf.eth0.$1; }
"#;

/// A kind of traffic.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The shell command that sends it; empty if the previous row's command sends this as well.
    how: &'static str,
    /// What the receiver sees of it, in tcpdump's words.
    seen: &'static str,
    from: &'static str,
    /// The tool that sends it, if not every Debian has it.
    tool: Option<&'static str>,
}

const fn kind(name: &'static str, how: &'static str, seen: &'static str) -> Kind {
    Kind { name, how, seen, from: "host", tool: None }
}

const fn tool(tool: &'static str, name: &'static str, how: &'static str, seen: &'static str) -> Kind {
    Kind { name, how, seen, from: "host", tool: Some(tool) }
}

/// What a sandbox answers when the victim's command asks.
const fn answer(name: &'static str, how: &'static str, seen: &'static str) -> Kind {
    Kind { name, how, seen, from: "victim", tool: None }
}

const fn slaac(name: &'static str, how: &'static str, seen: &'static str) -> Kind {
    Kind { name, how, seen, from: "slaac", tool: None }
}

/// All of them, in the order in which they are sent.
#[rustfmt::skip]
pub(crate) const KINDS: &[Kind] = &[
    // A link comes up.
    kind("an interface comes up: duplicate address detection", "set6 accept_ra=1; set6 ndisc_notify=1; flap; set6 accept_ra=0", "icmp6 and ip6[40] = 135 and src host ::"),
    kind("the same: its nonce (RFC 7527)", "", "icmp6 and ip6[40] = 135 and src host :: and ip6[64] = 14"),
    kind("the same: an MLDv2 report from ::", "", "ip6[6] = 0 and ip6[48] = 143 and src host ::"),
    kind("the same: an MLDv2 report from the link-local address", "", "ip6[6] = 0 and ip6[48] = 143 and src net fe80::/64"),
    kind("the same: a router solicitation", "", "icmp6 and ip6[40] = 133"),
    kind("the same: an unsolicited neighbour advertisement", "", "icmp6 and ip6[40] = 136 and dst host ff02::1"),
    kind("optimistic duplicate address detection (RFC 4429)", "set6 optimistic_dad=1; set6 use_optimistic=1; ip addr del $OWN6/64 dev eth0; ip addr add $OWN6/64 dev eth0 optimistic; ping -6 -c1 -W2 $PEER6; settle", "icmp6 and ip6[40] = 135 and src host :: and ip6[48:2] = 0xfd00"),
    slaac("an address by SLAAC", "set6 use_tempaddr=2; set6 accept_ra=1; ip netns exec gateway python3 $SCRIPT advertise; sleep 2; ping -6 -c1 -W2 -I $(ip -6 -o addr show dev eth0 temporary | grep -o 'fd00:9:[^/]*') fd00:9::1 || true", "icmp6 and src host :: and ip6[40] = 135 and ip6[48:4] = 0xfd000009 and ip6[59:2] = 0xfffe"),
    slaac("a temporary address (RFC 8981)", "", "icmp6 and src host :: and ip6[40] = 135 and ip6[48:4] = 0xfd000009 and ip6[59:2] != 0xfffe"),
    slaac("a question from the temporary address", "", "icmp6 and ip6[40] = 135 and src net fd00:9::/64"),
    // Neighbours.
    tool("busybox", "an ARP probe (RFC 5227)", "busybox arping -D -c1 -w1 -I eth0 $OWN4 || true", "arp[6:2] = 1 and arp[14:4] = 0"),
    kind("a gratuitous ARP request of the kernel (arp_notify)", "set4 conf.eth0.arp_notify=1; ip link set eth0 address $OWN_MAC", "arp[6:2] = 1 and arp[14:4] = arp[24:4]"),
    tool("busybox", "an ARP announcement by request", "busybox arping -U -c1 -w1 -I eth0 -s $OWN4 $OWN4 || true", "arp[6:2] = 1 and arp[14:4] = arp[24:4]"),
    tool("busybox", "an ARP announcement by reply", "busybox arping -A -c1 -w1 -I eth0 -s $OWN4 $OWN4 || true", "arp[6:2] = 2 and arp[14:4] = arp[24:4]"),
    kind("an ARP request to one host, of a stale neighbour", "ip neigh replace $PEER4 dev eth0 lladdr $PEER_MAC nud probe; sleep 1.2", "arp[6:2] = 1 and not ether broadcast"),
    kind("a neighbour solicitation to one host, of a stale neighbour", "ip neigh replace $PEER6 dev eth0 lladdr $PEER_MAC nud probe; sleep 1.2", "icmp6 and ip6[40] = 135 and not ether multicast"),
    answer("an answer to an ARP request", "ip neigh del $PEER4 dev eth0 || true; ping -c1 -W2 $PEER4", "arp[6:2] = 2"),
    answer("an answer to a neighbour solicitation", "ip neigh del $PEER6 dev eth0 || true; ping -6 -c1 -W2 $PEER6", "icmp6 and ip6[40] = 136 and ip6[44] & 0x40 != 0"),
    // Groups.
    kind("an MLDv1 report", "set6 force_mld_version=1; py mld; set6 force_mld_version=0", "ip6[6] = 0 and ip6[48] = 131"),
    kind("an MLDv1 done", "", "ip6[6] = 0 and ip6[48] = 132"),
    kind("an MLDv2 report of a change", "py mld", "ip6[6] = 0 and ip6[48] = 143"),
    kind("an IGMPv1 report", "set4 conf.eth0.force_igmp_version=1; py igmp", "igmp[0] = 0x12"),
    kind("an IGMPv2 report", "set4 conf.eth0.force_igmp_version=2; py igmp; set4 conf.eth0.force_igmp_version=0", "igmp[0] = 0x16"),
    kind("an IGMPv2 leave", "", "igmp[0] = 0x17"),
    kind("an IGMPv3 report", "py igmp", "igmp[0] = 0x22"),
    kind("an IGMPv3 report of one source", "py igmp_source", "igmp[0] = 0x22 and igmp[10:2] > 0"),
    kind("mDNS", "py multicast4", "udp port 5353"),
    kind("SSDP", "", "udp dst port 1900 and dst host 239.255.255.250"),
    kind("mDNS by IPv6", "py multicast6", "ip6 and udp port 5353"),
    kind("a broadcast to everybody", "py broadcast", "dst host 255.255.255.255 and udp"),
    kind("a broadcast to the subnet", "py subnet_broadcast", "dst host 10.1.1.255 and udp"),
    // DHCP.
    tool("busybox", "DHCP by busybox's udhcpc", "busybox udhcpc -i eth0 -n -q -f -s /bin/true", "udp src port 68 and src host 0.0.0.0"),
    tool("dhclient", "DHCP by ISC's dhclient", "dhclient -4 -1 -q -sf /bin/true -lf /run/dhclient.leases -pf /run/dhclient.pid eth0", "udp src port 68 and src host 0.0.0.0"),
    tool("dhclient", "the same: a release", "dhclient -4 -r -q -sf /bin/true -lf /run/dhclient.leases -pf /run/dhclient.pid eth0", "udp src port 68 and udp[20:4] = 0x0a010101"),
    tool("dhclient", "DHCPv6: an information request", "timeout 3 dhclient -6 -S -d -q -sf /bin/true -lf /run/dhclient6.leases -pf /run/dhclient6.pid eth0 || true", "udp dst port 547 and src net fe80::/64"),
    tool("dhcpcd", "DHCP by dhcpcd", "mount -t tmpfs dhcpcd /var/lib/dhcpcd; timeout 25 dhcpcd -4 -1 -B --noconfigure -c /bin/true eth0", "udp src port 68"),
    // Sizes and fragments.
    kind("a ping in fragments", "ping -c1 -W2 -s 4000 $PEER4", "icmp and ip[6:2] & 0x3fff = 0x2000"),
    kind("the same: the last of them", "", "ip[6:2] & 0x3fff = 370"),
    kind("an IPv6 ping in fragments", "ping -6 -c1 -W2 -s 4000 $PEER6", "ip6[6] = 44 and ip6[42:2] = 1"),
    kind("the longest datagram", "py long4", "udp and ip[6:2] & 0x3fff = 0x2000"),
    kind("the longest datagram by IPv6", "py long6", "ip6[6] = 44 and ip6[40] = 17"),
    kind("UDP in fragments of 48 bytes", "ip route add $PEER4 dev eth0 mtu lock 68; py small_fragments", "udp and ip[6:2] & 0x3fff = 0x2000 and ip[2:2] = 68"),
    kind("TCP in fragments of 48 bytes", "py fragments_of_tcp; ip route del $PEER4 dev eth0", "tcp and ip[2:2] < 100"),
    kind("an MTU of 1281", "ip -n victim link set eth0 mtu 1281; ip link set eth0 mtu 1281; ping -c1 -W2 -s 1300 $PEER4; ping -6 -c1 -W2 -s 1300 $PEER6; ip link set eth0 mtu 1500; ip -n victim link set eth0 mtu 1500", "ip6[6] = 44"),
    kind("jumbo frames", "ip -n victim link set eth0 mtu 9000; ip link set eth0 mtu 9000; ping -c1 -W2 -M do -s 8900 $PEER4; ip link set eth0 mtu 1500; ip -n victim link set eth0 mtu 1500", "icmp and ip[2:2] = 8928"),
    kind("a ping of no bytes", "ping -c1 -W2 -s 0 $PEER4", "icmp and ip[2:2] = 28"),
    // IPv4 options, IPv6 extension headers, fields.
    kind("a record route", "ping -c1 -W2 -R $PEER4", "icmp and ip[20] = 1 and ip[21] = 7"),
    kind("timestamps of the way", "ping -c1 -W2 -T tsandaddr $PEER4", "icmp and ip[20] = 68"),
    kind("a datagram with a router alert", "py router_alert", "udp and ip[20] = 148"),
    kind("a datagram with timestamps", "py timestamps", "udp and ip[20] = 68"),
    kind("IPv6 hop-by-hop options", "py hop_by_hop", "ip6[6] = 0 and ip6[40] = 17"),
    kind("IPv6 destination options", "py destination_options", "ip6[6] = 60 and ip6[40] = 17"),
    kind("DSCP and ECN marks", "py ecn_marks", "ip[1] = 0xb9 and udp"),
    kind("an IPv6 flow label and a traffic class", "ping -6 -c1 -W2 -F 0x12345 -Q 0xb8 $PEER6", "ip6[1] & 0xf = 1 and ip6[2:2] = 0x2345"),
    kind("a time to live of 1", "ping -c1 -W2 -t1 $PEER4", "icmp and ip[8] = 1"),
    // TCP.
    kind("a TCP connection", "py tcp4", "tcp[13] & 0x3f = 0x11"),
    kind("a TCP connection by IPv6", "py tcp6", "ip6[6] = 6 and ip6[53] & 0x3f = 0x11"),
    kind("TCP fast open: data in a SYN", "set4 tcp_fastopen=3; py fastopen", "tcp[13] & 0x3f = 2 and ip[2:2] - ((tcp[12] & 0xf0) >> 2) > 20"),
    kind("TCP without timestamps, SACK and window scaling", "set4 tcp_timestamps=0; set4 tcp_sack=0; set4 tcp_window_scaling=0; py tcp4; set4 tcp_timestamps=1; set4 tcp_sack=1; set4 tcp_window_scaling=1", "tcp[13] & 0x3f = 2 and tcp[12] & 0xf0 = 0x60"),
    kind("ECN: a SYN with ECE and CWR", "set4 tcp_ecn=1; py tcp4; set4 tcp_ecn=2", "tcp[13] = 0xc2"),
    kind("TCP with MD5 signatures (RFC 2385)", "py tcp_md5", "tcp dst port 7001 and tcp[20] = 1 and tcp[22] = 19 and tcp[13] & 0x3f = 0x11"),
    kind("Multipath TCP", "py mptcp", "tcp dst port 7002 and tcp[13] & 0x3f = 2 and tcp[12] & 0xf0 > 0xa0"),
    kind("urgent data", "py urgent", "tcp[13] & 0x20 != 0"),
    kind("a keepalive", "py keepalive", "tcp[13] = 0x10"),
    kind("a connection that ends by a reset", "py reset", "tcp[13] & 0x3f = 0x14 or tcp[13] & 0x3f = 4"),
    kind("a connection that is refused", "py refused", "tcp[13] & 0x3f = 2 and dst port 7009"),
    kind("segments of 88 bytes", "py small_segments", "tcp[13] & 0x3f = 2 and tcp[22:2] = 88"),
    kind("trains of TCP segments (TSO)", "py burst", "tcp and (ip[2:2] > 3000 or ip[2:2] = 0)"),
    kind("trains of TCP segments by IPv6", "py burst6", "ip6[6] = 6 and (ip6[4:2] > 3000 or ip6[4:2] = 0)"),
    kind("TCP segments one by one (TSO off)", "ip link set eth0 gso_max_segs 1; py burst; ip link set eth0 gso_max_segs 65535", "tcp and ip[2:2] = 1500"),
    kind("TCP without copying (MSG_ZEROCOPY)", "py zerocopy", "tcp and tcp[13] & 8 != 0"),
    kind("TCP of a file's pages (sendfile)", "py sendfile", "tcp and tcp[13] & 8 != 0"),
    // UDP.
    kind("UDP without a checksum", "py no_checksum", "udp[6:2] = 0 and udp dst port 7001"),
    kind("UDP without a checksum by IPv6 (RFC 6935)", "py no_checksum6", "ip6[6] = 17 and ip6[46:2] = 0"),
    kind("an empty datagram", "py empty", "udp[4:2] = 8"),
    kind("a datagram from port 0", "py port_zero", "udp src port 0"),
    kind("trains of datagrams as QUIC sends them (UDP_SEGMENT)", "py segments", "udp dst port 7001"),
    kind("trains of datagrams by IPv6", "py segments6", "ip6[6] = 17 and ip6[42:2] = 7001"),
    kind("UDP-Lite that covers its header alone", "py udplite", "ip[9] = 136 and ip[24:2] = 8"),
    // ICMP.
    kind("an ICMP timestamp request", "py icmp_timestamp", "icmp[0] = 13"),
    kind("an ICMP router solicitation", "py icmp_router_solicitation", "icmp[0] = 10"),
    kind("an extended echo request (RFC 8335)", "py icmp_extended_echo", "icmp[0] = 42"),
    kind("an ICMPv6 node information query (RFC 4620)", "ping -6 -c1 -W1 -N name $PEER6 || true", "icmp6 and ip6[40] = 139"),
    answer("port unreachable", "py closed4", "icmp[0] = 3 and icmp[1] = 3"),
    answer("port unreachable by IPv6", "py closed6", "icmp6 and ip6[40] = 1 and ip6[41] = 4"),
    answer("protocol unreachable", "py unknown4", "icmp[0] = 3 and icmp[1] = 2"),
    answer("an unknown next header", "py unknown6", "icmp6 and ip6[40] = 4 and ip6[41] = 1"),
    answer("an unknown option", "py unknown_option", "icmp6 and ip6[40] = 4 and ip6[41] = 2"),
    answer(UNFINISHED, "ip netns exec host sysctl -qw net.ipv4.ipfrag_time=1; py first_fragment; sleep 3; ip netns exec host sysctl -qw net.ipv4.ipfrag_time=30", "icmp[0] = 11 and icmp[1] = 1"),
    tool("traceroute", "traceroute by UDP", "traceroute -n -m2 -q1 -w1 $PEER4", "udp dst portrange 33434-33440"),
    tool("traceroute", "traceroute by TCP", "traceroute -n -T -m2 -q1 -w1 $PEER4", "tcp dst port 80"),
    tool("traceroute", "traceroute by ICMPv6", "traceroute -6 -n -I -m2 -q1 -w1 $PEER6", "icmp6 and ip6[40] = 128"),
    // Other protocols, and tunnels.
    kind("SCTP", "py sctp", "ip[9] = 132"),
    kind("DCCP", "py dccp", "ip[9] = 33"),
    kind("GRE", "py gre", "ip[9] = 47"),
    kind("GRE by IPv6", "py gre6", "ip6[6] = 47"),
    kind("ESP", "py esp", "ip[9] = 50"),
    kind("ESP by IPv6", "py esp6", "ip6[6] = 50"),
    kind("AH", "py ah", "ip[9] = 51"),
    kind("IPv4 in IPv4", "py ip_in_ip", "ip[9] = 4"),
    kind("IPv6 in IPv4", "py ip6_in_ip", "ip[9] = 41"),
    kind("L2TPv3", "py l2tp", "ip[9] = 115"),
    kind("VXLAN", "ip link add vx0 type vxlan id 7 remote $PEER4 dstport 4789 dev eth0; ip link set vx0 up; ip addr add 192.168.9.1/24 dev vx0; ping -c1 -W1 192.168.9.2 || true; ip link del vx0", "udp dst port 4789"),
    kind("VRRP", "py vrrp", "ip[9] = 112"),
    kind("OSPF", "py ospf", "ip[9] = 89"),
];

/// What honest programs also send, and a policy refuses unless it permits it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) name: &'static str,
    how: &'static str,
    from: &'static str,
    /// The reason by which it is counted.
    pub(crate) reason: &'static str,
    /// What permits it.
    pub(crate) unless: &'static str,
}

/// All of it.
#[rustfmt::skip]
pub(crate) const REFUSED: &[Refused] = &[
    Refused { name: "an address by SLAAC from a foreign prefix", from: "pairs", how: "set6 accept_ra=1; ip netns exec gateway python3 $SCRIPT advertise; sleep 2", reason: "nd-target", unless: "`networks` has the prefix" },
    Refused { name: "a link-local address that is not made of the MAC address (`addrgenmode random`, NetworkManager's stable-privacy)", from: "host", how: "ip link set eth0 addrgenmode random; flap; ip link set eth0 addrgenmode eui64", reason: "nd-target", unless: "`networks` has the address, or fe80::/64" },
    Refused { name: "a DHCP client", from: "open", how: "busybox udhcpc -i eth0 -n -q -f -t1 -T1 -s /bin/true || true", reason: "ipv4-source-invalid", unless: "`permit = [\"dhcp-client\"]`" },
    Refused { name: "IPv6 of any kind, where the policy has `ipv6 = false`", from: "v4only", how: "sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; sleep 2", reason: "ipv6-source-unspecified", unless: "that is left out" },
    Refused { name: "a router advertisement (radvd, dnsmasq)", from: "open", how: "py advertise", reason: "nd-router", unless: "`permit = [\"router\"]`" },
    Refused { name: "an IGMP query (a bridge with a querier, smcroute)", from: "host", how: "py igmp_query", reason: "multicast-router", unless: "`permit = [\"multicast-router\"]`" },
    Refused { name: "PIM", from: "host", how: "py pim", reason: "multicast-router", unless: "`permit = [\"multicast-router\"]`" },
    Refused { name: "LLDP", from: "host", how: "py lldp", reason: "reserved-destination", unless: "never: it is the bridge's to say" },
];

/// The names by which a row's command refers to its own sandbox and to the other.
fn environment(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let peer = Sandbox::named(if sandbox.name == "victim" { "host" } else { "victim" });
    vec![
        ("SCRIPT", SCRIPT.to_owned()),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("OWN_MAC", sandbox.mac()),
        ("OWN4", sandbox.ipv4()),
        ("OWN6", sandbox.ipv6()),
        ("PEER4", peer.ipv4()),
        ("PEER6", peer.ipv6()),
        ("PEER_MAC", peer.mac()),
    ]
}

fn shell(sandbox: &Sandbox, words: &str) -> Command {
    let mut command = oracle("ip");
    command.args(["netns", "exec", sandbox.name, "sh", "-ec", &format!("{WORDS}{words}")]);
    command.env_clear().envs(environment(sandbox)).stdin(Stdio::null());
    command
}

/// A process that ends with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // A process group of its own, which includes what it started.
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

impl Process {
    fn start(mut command: Command) -> Self {
        use std::os::unix::process::CommandExt;
        Self(command.process_group(0).spawn().expect("a command that starts"))
    }
}

/// The victim's listeners, and the DHCP server on the gateway.
fn servers() -> [Process; 2] {
    let config = "interface eth0\nstart 10.1.1.1\nend 10.1.1.1\nlease_file /run/leases\npidfile /run/udhcpd.pid\n\
        auto_time 0\noption subnet 255.255.255.0\noption lease 600\nstatic_lease 02:00:00:00:00:01 10.1.1.1\n";
    std::fs::write("/run/udhcpd.conf", config).unwrap();
    std::fs::write("/run/leases", "").unwrap();
    let dhcp = shell(Sandbox::named("gateway"), "exec busybox udhcpd -f /run/udhcpd.conf 2>/dev/null");
    let mut peer = shell(Sandbox::named("victim"), "py serve");
    let mut peer = Process::start({
        peer.stdout(Stdio::piped());
        peer
    });
    let mut ready = [0; 6];
    std::io::Read::read_exact(peer.0.stdout.as_mut().expect("a pipe"), &mut ready).expect("it is ready");
    [Process::start(dhcp), peer]
}

/// How many of the frames match this expression of tcpdump's.
fn count(frames: &[Vec<u8>], words: &str) -> usize {
    // <https://www.tcpdump.org/manpages/pcap-savefile.5.html>: magic, version 2.4, zone, accuracy, length, Ethernet.
    let mut bytes: Vec<u8> = [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 0x4_0000, 1].map(u32::to_ne_bytes).concat();
    for frame in frames {
        let length = frame.len() as u32;
        bytes.extend([0, 0, length, length].map(u32::to_ne_bytes).concat());
        bytes.extend(frame);
    }
    std::fs::write("/run/heard.pcap", bytes).unwrap();
    run(oracle("tcpdump").args(["-nr", "/run/heard.pcap", words])).lines().count()
}

/// What the receiver never sees on a host that reassembles fragments.
const UNFINISHED: &str = "a fragment that never came";

fn hold(enforces: bool, prepare: &str) {
    let _ = python();
    let tools = KINDS.iter().filter_map(|kind| kind.tool);
    tools.for_each(|tool| drop(oracle(tool)));
    lab::make();
    let _ = run(Command::new("sh").args(["-ec", prepare]));
    // A host of containers does all the rest with them, too.
    let is_host_of_containers = prepare == NETFILTER;
    if is_host_of_containers {
        everything::begin(HONEST);
    }
    // ICMP errors are rate-limited, and these are many.
    let quick = "set4 icmp_ratelimit=0; sysctl -qw net.ipv6.icmp.ratelimit=0; sysctl -qw net.ipv6.conf.eth0.keep_addr_on_down=1";
    let _ = run(&mut shell(Sandbox::named("host"), quick));
    let _ = run(&mut shell(Sandbox::named("victim"), "set4 tcp_fastopen=3"));
    let _servers = servers();
    let (receiver, at_gateway) = (Receiver::open(VICTIM), Receiver::open(Sandbox::named("gateway")));
    let mut observed = Observed::start_with(enforces, if is_host_of_containers { COUNTED } else { &[] });
    let (mut wrong, mut heard, mut said, mut known) = (String::new(), Vec::new(), String::new(), 0);
    for Kind { name, how, seen, from, .. } in KINDS {
        if *name == UNFINISHED && is_host_of_containers {
            continue;
        }
        let sandbox = Sandbox::named(from);
        if !how.is_empty() {
            receiver.forget();
            at_gateway.forget();
            let output = shell(sandbox, how).output().expect("sh starts");
            heard = [receiver.all(), at_gateway.all()].concat();
            said = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        // What the victim asks for is answered by the first sandbox.
        let mac = Sandbox::named(if *from == "victim" { "host" } else { from }).mac();
        if count(&heard, &format!("ether src {mac} and ({seen})")) == 0 {
            let _ = writeln!(wrong, "{name}: not seen among {} frames: {seen}: {said}", heard.len());
        }
        // Some are reported while the next kind is already being sent.
        for seen in observed.violations(known) {
            let _ = writeln!(wrong, "{name}, or the kind before: {seen:?}");
            known += 1;
        }
    }
    let last = observed.reading();
    for port in last["ports"].as_array().expect("ports") {
        if port["violations"] != serde_json::json!({}) {
            let _ = writeln!(wrong, "{port}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
    observed.end();
}

#[test]
fn what_honest_programs_send_is_not_counted() {
    in_host(|_| hold(false, ""));
}

#[test]
fn what_honest_programs_send_arrives_where_policies_are_enforced() {
    in_host(|_| hold(true, ""));
}

#[test]
fn what_honest_programs_send_arrives_through_the_rules_of_a_host_of_containers_with_everything_on() {
    in_host(|_| hold(true, NETFILTER));
}

#[test]
fn what_a_policy_does_not_permit_is_counted() {
    in_host(|_| {
        drop((oracle("python3"), oracle("busybox")));
        lab::make();
        let mut observed = Observed::start(true);
        let mut wrong = String::new();
        for Refused { name, how, from, reason, .. } in REFUSED {
            let sandbox = Sandbox::named(from);
            let _ = observed.reading();
            let known = observed.violations(0).len();
            let output = shell(sandbox, how).output().expect("sh starts");
            let _ = observed.reading();
            let seen = observed.violations(known);
            if !seen.iter().any(|seen| seen.port == sandbox.port() && seen.reason == *reason && seen.dropped)
            {
                let said = String::from_utf8_lossy(&output.stderr);
                let _ = writeln!(wrong, "{name}: {}: {said}: {seen:?}", output.status);
            }
        }
        assert!(wrong.is_empty(), "{wrong}");
        observed.end();
    });
}

#[test]
fn there_are_enough_kinds() {
    assert!(KINDS.len() >= 40, "{}", KINDS.len());
}
