//! Ways out of a sandbox that an attacker would look for: each is tried where policies are observed, to see that it
//! works, and where they are enforced. What leaves is always the same lie: a datagram from an address that is not the
//! sandbox's.

use crate::everything::{self, COUNTED, HONEST};
use crate::lab::{self, HOST_MAC, NETFILTER, Sandbox, VICTIM};
use crate::observed::Observed;
use crate::sender::Receiver;
use std::fmt::Write;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use tests::{in_host, ip, ip_json, kernel_version, needs_kernel, only, oracle, run};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/lies.py");
/// The source address of the lies.
const LIE4: [u8; 4] = [10, 1, 1, 66];
/// How many readings to wait for the lies of a way.
const PATIENCE: usize = 30;
/// How often to try a way that has no effect at all.
const ATTEMPTS: usize = 3;
/// How many each way sends.
pub(crate) const COUNT: u64 = 10;
/// What each command can use: `lies WAY LINK` sends by one of the ways of `lies.py`; `inner` makes a pair of links, so
/// that what `a0` sends comes in through `b0`; `catch DEVICE HOOK ACTION` does this to everything there, and so does
/// `nft_fwd`. `deeper` makes a namespace inside, whose process is in `$STATE`.
const WORDS: &str = r#"
lies() { python3 "$SCRIPT" "$1" "$2" "$NUMBER"; }
inner() { ip link add a0 type veth peer name b0; ip link set a0 up; ip link set b0 up; settle b0; }
settle() { until ip -o link show "$1" | grep -q 'state UP'; do sleep 0.05; done; }
deeper() {
  unshare -n sleep 600 >/dev/null 2>&1 & echo $! > $STATE
  until [ "$(readlink /proc/$(cat $STATE)/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.05; done
}
catch() { dev=$1; hook=$2; shift 2; tc qdisc add dev $dev clsact; tc filter add dev $dev $hook bpf bytecode '1,6 0 0 4294967295' action "$@"; }
nft_fwd() { nft add table netdev way; nft "add chain netdev way c { type filter hook $1 device $2 priority 0; }"; nft add rule netdev way c "$3"; }
loader() { mkdir -p /run/programs; mountpoint -q /run/programs || mount -t bpf programs /run/programs; python3 "$SCRIPT" load "$@"; }
"#;
const NO_INNER: &str = "ip link del a0";

/// Who can do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    /// Root of a user namespace that owns the sandbox's network.
    User,
    /// The host's root, let into the sandbox.
    Root,
}

/// A way, and what becomes of its lies where policies are enforced.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) who: Who,
    /// The shell commands that set it up in the sandbox, send, and clean up.
    set: &'static str,
    send: &'static str,
    undo: &'static str,
    /// The reason by which all of them are counted, if there is no other.
    pub(crate) reason: &'static str,
    /// The reason by which some of them may be.
    pub(crate) other: Option<&'static str>,
    /// What it needs that a kernel may lack. Then the way is not tried.
    pub(crate) option: Option<&'static str>,
    /// The first kernel that has it.
    since: (u32, u32),
}

const FOREIGN: &str = "ipv4-source-foreign";

const fn user(name: &'static str, set: &'static str, send: &'static str, undo: &'static str) -> Way {
    Way { name, who: Who::User, set, send, undo, reason: FOREIGN, other: None, option: None, since: (0, 0) }
}

const fn root(name: &'static str, set: &'static str, send: &'static str, undo: &'static str) -> Way {
    Way { who: Who::Root, ..user(name, set, send, undo) }
}

impl Way {
    const fn by(self, reason: &'static str) -> Self {
        Self { reason, ..self }
    }

    const fn or_by(self, other: &'static str) -> Self {
        Self { other: Some(other), ..self }
    }

    const fn since(self, since: (u32, u32)) -> Self {
        Self { since, ..self }
    }

    /// Whether this kernel is new enough; if not, that is reported loudly.
    fn is_there(&self) -> bool {
        let is_there = kernel_version() >= self.since;
        if !is_there {
            eprintln!("SKIPPED {}: Linux {}.{} has it first", self.name, self.since.0, self.since.1);
        }
        is_there
    }

    const fn with(self, option: &'static str) -> Self {
        Self { option: Some(option), ..self }
    }
}

/// All of them.
#[rustfmt::skip]
pub(crate) const WAYS: &[Way] = &[
    // Ways to send.
    user("a raw socket", "", "lies plain eth0", ""),
    user("PACKET_QDISC_BYPASS", "", "lies bypass eth0", ""),
    user("PACKET_TX_RING", "", "lies tx_ring eth0", ""),
    user("PACKET_VNET_HDR: a train of datagrams", "", "lies segments eth0", "").since((6, 2)),
    user("PACKET_VNET_HDR: a datagram to be cut into fragments", "", "lies fragments eth0", ""),
    user("PACKET_VNET_HDR: a train of segments of one byte, with headers that end too early", "", "lies lying_segments eth0", "").since((6, 2)),
    user("PACKET_VNET_HDR: a checksum to be written over the source address", "", "lies checksum_elsewhere eth0", "").by("checksum-place"),
    user("a packet socket that leaves the Ethernet header to the kernel", "", "lies headless eth0", ""),
    user("SO_TXTIME", "", "lies txtime eth0", ""),
    user("SO_PRIORITY and SO_MARK, ten values", "", "lies priority eth0", ""),
    user("AF_XDP, copied", "", "lies xdp_socket eth0", ""),
    user("AF_XDP, headers in two pieces", "", "lies xdp_pieces eth0", "").since((6, 6)),
    user("IP_TRANSPARENT: bound to another's address", "", "lies transparent eth0", ""),
    user("IPPROTO_RAW: a header of one's own", "", "lies spoofed eth0", ""),
    user("to the bridge's own MAC address", "", "lies to_host eth0", ""),
    user("a VLAN tag in the bytes", "", "lies tagged eth0", "").by("vlan-tag"),
    user("two VLAN tags (802.1ad)", "", "lies twice_tagged eth0", "").by("vlan-tag"),
    // Addresses.
    user("an address on lo, and a route that prefers it", "ip addr add $LIE4/32 dev lo; ip route add $PEER4 dev eth0 src $LIE4", "lies routed eth0", "ip addr del $LIE4/32 dev lo"),
    user("nftables: snat", "nft add table ip way; nft 'add chain ip way c { type nat hook postrouting priority 100; }'; nft add rule ip way c snat to $LIE4", "lies routed eth0", "nft delete table ip way"),
    // Newer kernels (7.3) do not let root of a user namespace write headers there.
    root("nftables: the source written at egress", "nft_fwd egress eth0 'ip saddr set 10.1.1.66'", "lies routed eth0", "nft delete table netdev way"),
    user("forwarding for a namespace inside", "sysctl -qw net.ipv4.ip_forward=1; deeper; ip link add a0 type veth peer name b0 netns $(cat $STATE); ip link set a0 up; ip addr add 10.1.1.65/32 dev a0; ip route add $LIE4 dev a0; nsenter -n -t $(cat $STATE) sh -c \"ip link set b0 up; ip addr add $LIE4/32 dev b0; ip route add 10.1.1.65 dev b0; ip route add default via 10.1.1.65\"; settle a0", "nsenter -n -t $(cat $STATE) python3 $SCRIPT routed b0 $NUMBER", "kill $(cat $STATE); ip link del a0; sysctl -qw net.ipv4.ip_forward=0"),
    user("forwarding for a namespace in a namespace, over a bridge in each", "sysctl -qw net.ipv4.ip_forward=1; deeper; inner; ip link add br9 type bridge; ip link set b0 master br9; ip link set br9 up; ip addr add 10.1.1.65/32 dev br9; ip route add $LIE4 dev br9; ip link set a0 netns $(cat $STATE); nsenter -n -t $(cat $STATE) sh -c \"ip link add br8 type bridge; ip link set a0 master br8; ip link set a0 up; ip link set br8 up; ip addr add $LIE4/32 dev br8; ip route add 10.1.1.65 dev br8; ip route add default via 10.1.1.65\"; settle br9; sleep 0.3", "nsenter -n -t $(cat $STATE) python3 $SCRIPT routed br8 $NUMBER", "kill $(cat $STATE); ip link del br9; sysctl -qw net.ipv4.ip_forward=0"),
    // Devices and actions that pass frames on.
    user("mirred: redirected from a veth pair", "inner; catch b0 ingress mirred egress redirect dev eth0", "lies plain a0", NO_INNER),
    user("mirred: mirrored from a veth pair", "inner; catch b0 ingress mirred egress mirror dev eth0", "lies plain a0", NO_INNER),
    user("nftables: fwd from a veth pair", "inner; nft_fwd ingress b0 'fwd to eth0'", "lies plain a0", "nft delete table netdev way; ip link del a0"),
    user("nftables: dup from a veth pair", "inner; nft_fwd ingress b0 'dup to eth0'", "lies plain a0", "nft delete table netdev way; ip link del a0"),
    user("a bridge inside", "inner; ip link add br9 type bridge; ip link set eth0 master br9; ip link set b0 master br9; ip link set br9 up; sleep 0.3", "lies plain a0", "ip link del br9; ip link del a0"),
    user("a bridge in a bridge", "inner; ip link add br9 type bridge; ip link add br8 type bridge; ip link add c0 type veth peer name d0; ip link set eth0 master br9; ip link set d0 master br9; ip link set c0 master br8; ip link set b0 master br8; for link in c0 d0 br8 br9; do ip link set $link up; done; sleep 0.3", "lies plain a0", "ip link del br9; ip link del br8; ip link del c0; ip link del a0"),
    user("macvlan, bridge", "ip link add m0 link eth0 type macvlan mode bridge; ip link set m0 up", "lies plain m0", "ip link del m0"),
    user("macvlan, vepa", "ip link add m0 link eth0 type macvlan mode vepa; ip link set m0 up", "lies plain m0", "ip link del m0"),
    user("macvlan, private", "ip link add m0 link eth0 type macvlan mode private; ip link set m0 up", "lies plain m0", "ip link del m0"),
    user("macvlan, passthru", "ip link add m0 link eth0 type macvlan mode passthru; ip link set m0 up", "lies plain m0", "ip link del m0"),
    root("macvtap", "ip link add m0 link eth0 type macvtap mode bridge; ip link set m0 up", "mkdir -p /run/devices; mount -t tmpfs devices /run/devices; lies macvtap m0", "ip link del m0"),
    user("a TAP, redirected", "", "UP='ip link set t0 up; tc qdisc add dev t0 clsact; tc filter add dev t0 ingress bpf bytecode \"1,6 0 0 4294967295\" action mirred egress redirect dev eth0'; export UP; lies tap t0", ""),
    user("VXLAN to oneself, redirected", "ip link set lo up; ip link add x0 type vxlan id 7 local 127.0.0.1 dstport 4789 dev lo; ip link set x0 up; catch x0 ingress mirred egress redirect dev eth0", "lies vxlan x0", "ip link del x0"),
    user("ifb, by nftables' egress", "ip link add i0 type ifb; ip link set i0 up; nft_fwd egress eth0 'fwd to i0'", "lies plain eth0", "nft delete table netdev way; ip link del i0").by("unjudged"),
    // Whatever comes back is looked at again, until the dice let it go.
    user("ifb, by a classic filter that redirects all but a random sixteenth", "ip link add i0 type ifb; ip link set i0 up; tc qdisc add dev eth0 clsact; tc filter add dev eth0 egress bpf bytecode '4,32 0 0 4294963256,69 0 1 15,6 0 0 4294967295,6 0 0 0' action mirred egress redirect dev i0", "lies plain eth0", "tc qdisc del dev eth0 clsact; ip link del i0").by("unjudged").or_by(FOREIGN),
    user("ifb with a forged class id and mark", "ip link add i0 type ifb; ip link set i0 up; tc qdisc add dev i0 clsact; tc filter add dev i0 egress bpf bytecode '1,6 0 0 4294967295' classid 1:2; nft_fwd egress eth0 'meta mark set 7 meta priority set 1:2 fwd to i0'", "lies plain eth0", "nft delete table netdev way; ip link del i0").by("unjudged"),
    // The link itself.
    user("eth0 renamed", "ip link set eth0 down; ip link set eth0 name x0; ip link set x0 up; settle x0", "lies plain x0", "ip link set x0 down; ip link set x0 name eth0; ip link set eth0 up; settle eth0"),
    user("eth0 moved to a namespace inside", "deeper; ip link set eth0 netns $(cat $STATE) name x0; nsenter -n -t $(cat $STATE) sh -c 'ip link set x0 up'; until nsenter -n -t $(cat $STATE) ip -o link show x0 | grep -q 'state UP'; do sleep 0.05; done", "nsenter -n -t $(cat $STATE) python3 $SCRIPT plain x0 $NUMBER", "nsenter -n -t $(cat $STATE) ip link set x0 netns $$ name eth0; kill $(cat $STATE); ip link set eth0 up; ip addr add $OWN4/24 dev eth0; settle eth0"),
    user("eth0 down and up before each", "", "lies flapping eth0", ""),
    user("an MTU of 100", "ip link set eth0 mtu 100", "lies plain eth0", "ip link set eth0 mtu 1500"),
    user("no checksum and segment offload", "python3 $SCRIPT offload eth0 0", "lies plain eth0", "python3 $SCRIPT offload eth0 1"),
    // Programs of eBPF, which root of a user namespace may not load.
    root("bpf_redirect from a veth pair", "inner; loader redirect eth0; tc qdisc add dev b0 clsact; tc filter add dev b0 ingress bpf da object-pinned /run/programs/way", "lies plain a0", NO_INNER),
    root("bpf_redirect_peer: to the port itself, past the cable", "inner; loader redirect_peer eth0; tc qdisc add dev b0 clsact; tc filter add dev b0 ingress bpf da object-pinned /run/programs/way", "lies plain a0", NO_INNER),
    root("bpf_clone_redirect from a veth pair", "inner; loader clone_redirect eth0; tc qdisc add dev b0 clsact; tc filter add dev b0 ingress bpf da object-pinned /run/programs/way", "lies plain a0", NO_INNER),
    root("XDP_REDIRECT, generic, from a veth pair", "inner; loader xdp_redirect eth0; ip link set b0 xdpgeneric pinned /run/programs/way", "lies plain a0", NO_INNER),
    root("XDP_TX, generic: what the host sent, to the victim", "loader xdp_tx eth0; ip link set eth0 xdpgeneric pinned /run/programs/way", "nsenter --net=$HOST python3 $SCRIPT from_host br0 $NUMBER", "ip link set eth0 xdpgeneric off").by("source-mac-foreign"),
    // What distributions' kernels have and small ones lack.
    user("ipvlan, l2", "ip link add m0 link eth0 type ipvlan mode l2; ip link set m0 up", "lies plain m0", "ip link del m0").with("CONFIG_IPVLAN"),
    user("a VLAN device", "ip link add link eth0 name m0 type vlan id 5; ip link set m0 up", "lies plain m0", "ip link del m0").by("vlan-tag").with("CONFIG_VLAN_8021Q"),
    user("a bond over eth0", "ip link add m0 type bond mode active-backup; ip link set eth0 down; ip link set eth0 master m0; ip link set m0 up; sleep 1", "lies plain m0", "ip link del m0; ip link set eth0 down; ip link set eth0 address $OWN_MAC; ip link set eth0 up; ip addr replace $OWN4/24 dev eth0; settle eth0").with("CONFIG_BONDING"),
    user("a team over eth0", "ip link add m0 type team; ip link set eth0 down; ip link set eth0 master m0; ip link set m0 up; ip link set eth0 up; sleep 1", "lies plain eth0", "ip link del m0; ip link set eth0 up; ip addr replace $OWN4/24 dev eth0; settle eth0").with("CONFIG_NET_TEAM"),
    user("act_pedit: the source written at egress", "tc qdisc add dev eth0 clsact; tc filter add dev eth0 egress protocol ip bpf bytecode '1,6 0 0 4294967295' action pedit ex munge ip src set $LIE4 pipe action csum ip", "lies routed eth0", "tc qdisc del dev eth0 clsact").with("CONFIG_NET_ACT_PEDIT"),
    user("act_skbmod: the source MAC address written at egress", "catch eth0 egress skbmod set smac 02:00:00:66:66:66", "lies plain eth0", "tc qdisc del dev eth0 clsact").by("source-mac-foreign").with("CONFIG_NET_ACT_SKBMOD"),
    user("act_skbedit: priority, mark and queue", "catch eth0 egress skbedit priority 1:2 mark 7 queue_mapping 0", "lies plain eth0", "tc qdisc del dev eth0 clsact").with("CONFIG_NET_ACT_SKBEDIT"),
    user("act_skbedit behind ifb", "ip link add i0 type ifb; ip link set i0 up; catch i0 egress skbedit priority 1:2 mark 7 ptype host; nft_fwd egress eth0 'fwd to i0'", "lies plain eth0", "nft delete table netdev way; ip link del i0").by("unjudged").with("CONFIG_NET_ACT_SKBEDIT"),
    user("act_vlan: a tag pushed at egress", "catch eth0 egress vlan push id 5", "lies plain eth0", "tc qdisc del dev eth0 clsact").by("vlan-tag").with("CONFIG_NET_ACT_VLAN"),
    user("act_bpf: classic BPF that lets everything pass", "catch eth0 egress bpf bytecode '1,6 0 0 4294967295' pass", "lies plain eth0", "tc qdisc del dev eth0 clsact").with("CONFIG_NET_ACT_BPF"),
];

/// Frames that XDP passes on in its own form; a port receives them if its GRO is on.
#[rustfmt::skip]
pub(crate) const NATIVE: &[Way] = &[
    root("XDP_REDIRECT, native, from a veth pair, to a port with GRO", "inner; loader xdp_redirect eth0; ip link set b0 xdpdrv pinned /run/programs/way", "lies plain a0", NO_INNER),
];

/// The sandbox that the attacks come from, in a network that belongs to a user namespace.
struct Attacker {
    holder: Child,
}

impl Attacker {
    fn start() -> Self {
        let mut command = oracle("unshare");
        command.args(["--user", "--map-root-user", "--net", "sh", "-c", "echo ready; exec sleep 1000"]);
        let mut holder = command.stdout(Stdio::piped()).spawn().expect("unshare starts");
        let mut ready = [0; 6];
        holder.stdout.as_mut().expect("a pipe").read_exact(&mut ready).expect("user namespaces");
        Self { holder }
    }

    fn shell(&self, who: Who, number: usize, words: &str) -> Command {
        let mut command = match who {
            Who::User => {
                let mut command = oracle("nsenter");
                command.args(["-U", "-n", "--preserve-credentials", "-t", &self.holder.id().to_string()]);
                command
            }
            Who::Root => {
                let mut command = oracle("ip");
                command.args(["netns", "exec", "host"]);
                command
            }
        };
        command.args(["sh", "-ec", &format!("{WORDS}{words}")]).env_clear().stdin(Stdio::null());
        command.envs(names(number));
        command
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What `lies.py` and the words know.
fn names(number: usize) -> [(&'static str, String); 11] {
    let sandbox = Sandbox::named("host");
    let host = std::fs::read_link("/proc/thread-self").expect("/proc is mounted");
    [
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("SCRIPT", SCRIPT.to_owned()),
        ("STATE", "/run/way".to_owned()),
        ("NUMBER", number.to_string()),
        ("HOST", format!("/proc/{}/ns/net", host.display())),
        ("OWN_MAC", sandbox.mac()),
        ("OWN4", sandbox.ipv4()),
        ("PEER_MAC", VICTIM.mac()),
        ("PEER4", VICTIM.ipv4()),
        ("HOST_MAC", HOST_MAC.to_owned()),
        ("LIE4", LIE4.map(|byte| byte.to_string()).join(".")),
    ]
}

/// What became of a way's lies.
#[derive(Debug, PartialEq, Eq)]
struct Became {
    arrived: u64,
    /// Reasons, with the number of frames that were counted by each.
    counted: Vec<(String, u64)>,
}

impl Became {
    /// How many frames were counted by a reason.
    fn by(&self, reason: &str) -> u64 {
        self.counted.iter().find(|(other, _)| other == reason).map_or(0, |(_, packets)| *packets)
    }
}

/// What the port counted, by reason.
fn counted(observed: &mut Observed) -> Vec<(String, u64)> {
    let last = observed.reading();
    let ports = last["ports"].as_array().expect("ports").iter();
    let port = ports.clone().find(|port| port["port"] == "p1").expect("the attacker's port");
    let reasons = port["violations"].as_object().expect("it is judged");
    reasons.iter().map(|(reason, packets)| (reason.clone(), packets.as_u64().unwrap())).collect()
}

/// Whether it is one, and not the victim's error that quotes it, nor on its way to the sandbox.
fn is_lie(frame: &[u8], number: usize) -> bool {
    let is_quoted = frame.get(6..12) == Some(&[2, 0, 0, 0, 0, 2]);
    let is_to_sandbox = frame.starts_with(&[2, 0, 0, 0, 0, 1]);
    let ends = frame.ends_with(format!("lie {number}").as_bytes());
    ends && !is_quoted && !is_to_sandbox && frame.windows(4).any(|bytes| bytes == LIE4)
}

/// Sets up a way, sends through it and cleans up.
fn try_once(
    way: &Way,
    number: usize,
    attacker: &Attacker,
    receivers: &[Receiver],
    observed: &mut Observed,
) -> Result<Became, String> {
    receivers.iter().for_each(Receiver::forget);
    let before = counted(observed);
    let made = attacker.shell(way.who, number, way.set).output().expect("sh starts");
    let mut result = Err(String::from_utf8_lossy(&made.stderr).into_owned());
    if made.status.success() {
        let sent = attacker.shell(way.who, number, way.send).output().expect("sh starts");
        let why = String::from_utf8_lossy(&sent.stderr).into_owned();
        let (mut became, mut heard) = (Became { arrived: 0, counted: Vec::new() }, Vec::new());
        // Questions for neighbours take their own time, on a machine that is busy with other things.
        for _ in 0..PATIENCE {
            became.counted = since(&before, counted(observed));
            heard.extend(receivers.iter().flat_map(Receiver::all));
            became.arrived = heard.iter().filter(|frame| is_lie(frame, number)).count() as u64;
            if became.arrived >= COUNT || became.by(way.reason) >= COUNT {
                break;
            }
        }
        result = if sent.status.success() { Ok(became) } else { Err(why) };
    }
    // What was only partly made is cleaned up, too.
    let _ = attacker.shell(way.who, number, &way.undo.replace(';', " || true;")).output();
    result
}

/// Tries every one of these ways; returns what became of its lies, or why there were none.
fn try_all(
    ways: &[&'static Way],
    attacker: &Attacker,
    enforces: bool,
    options: &[&str],
) -> Vec<(&'static Way, Result<Became, String>)> {
    let receivers = [Receiver::open(VICTIM), Receiver::of_bridge()];
    let mut observed = Observed::start_with(enforces, options);
    let mut results = Vec::new();
    for (number, way) in ways.iter().enumerate() {
        let number = number + if enforces { 100 } else { 0 };
        // If a lie neither arrived nor was counted, it was not sent: a busy machine's timeouts, and not the guard's
        // doing.
        let mut result = try_once(way, number, attacker, &receivers, &mut observed);
        for _ in 1..ATTEMPTS {
            if result.as_ref().is_ok_and(|became| became.arrived > 0 || became.by(way.reason) > 0) {
                break;
            }
            eprintln!("{}: once more, after {result:?}", way.name);
            result = try_once(way, number, attacker, &receivers, &mut observed);
        }
        results.push((*way, result));
    }
    observed.end();
    results
}

/// What was counted in between.
fn since(before: &[(String, u64)], mut after: Vec<(String, u64)>) -> Vec<(String, u64)> {
    for (reason, packets) in &mut after {
        *packets -= before.iter().find(|(other, _)| other == reason).map_or(0, |(_, packets)| *packets);
    }
    after.retain(|(_, packets)| *packets > 0);
    after
}

/// The attacker's sandbox and the victim's.
fn make(attacker: &Attacker) {
    lab::make_with(2, |name| {
        let _ = match name {
            "host" => ip(&format!("netns attach host {}", attacker.holder.id())),
            _ => ip(&format!("netns add {name}")),
        };
    });
}

fn hold(ways: impl Iterator<Item = &'static Way>, prepare: &str) {
    needs_kernel((5, 16), "nftables at egress");
    drop(oracle("python3"));
    let attacker = Attacker::start();
    make(&attacker);
    let _ = run(Command::new("sh").args(["-ec", prepare]).envs(names(0)));
    let mut options: &[&str] = &[];
    if prepare == NETFILTER {
        everything::begin(HONEST);
        options = COUNTED;
    }
    let ways: Vec<_> = ways.filter(|way| way.is_there()).collect();
    // An attack that does not work unguarded proves nothing.
    let observed = try_all(&ways, &attacker, false, options);
    let enforced = try_all(&ways, &attacker, true, options);
    let mut wrong = String::new();
    for ((way, unguarded), (_, guarded)) in observed.iter().zip(&enforced) {
        // Devices that are made inside also send frames of their own.
        let counted = |became: &Became| {
            let others = way.other.map_or(0, |other| became.by(other));
            became.by(way.reason) > 0 && became.by(way.reason) + others >= COUNT
        };
        let is_stopped = |became: &Became| became.arrived == 0 && counted(became);
        let has_left = unguarded.as_ref().is_ok_and(|became| became.arrived == COUNT);
        if !has_left || !guarded.as_ref().is_ok_and(is_stopped) {
            let _ = writeln!(wrong, "{}: {unguarded:?}, enforced {guarded:?}", way.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn no_way_out_is_unguarded() {
    in_host(|_| hold(WAYS.iter().filter(|way| way.option.is_none()), ""));
}

#[test]
#[ignore = "needs CONFIG_IPVLAN, VLAN_8021Q, BONDING, NET_TEAM and CONFIG_NET_ACT_*, which distributions' kernels have"]
fn no_way_out_on_a_distributions_kernel_is_unguarded() {
    in_host(|_| hold(WAYS.iter().filter(|way| way.option.is_some()), ""));
}

#[test]
fn no_way_out_through_the_rules_of_a_host_of_containers_is_unguarded_with_everything_on() {
    in_host(|_| hold(WAYS.iter().filter(|way| way.option.is_none()), NETFILTER));
}

#[test]
fn native_xdp_is_no_way_out() {
    in_host(|_| hold(NATIVE.iter(), "python3 $SCRIPT gro p1"));
}

/// How many entries a table has.
fn entries(list: &str) -> usize {
    list.lines().count()
}

#[test]
fn tables_are_not_filled_through_the_guard() {
    in_host(|_| {
        needs_kernel((5, 16), "nftables at egress");
        drop(oracle("python3"));
        let attacker = Attacker::start();
        make(&attacker);
        let learnt = || entries(&tests::bridge("fdb show br br0 dynamic"));
        let neighbours = || entries(&ip("-n victim neigh show dev eth0"));
        for enforces in [false, true] {
            let mut observed = Observed::start(enforces);
            let before = (learnt(), neighbours());
            for (way, reason) in [("many", "source-mac-foreign"), ("many_neighbours", "arp-sender-address")] {
                let earlier = counted(&mut observed);
                let sent = attacker.shell(Who::User, 0, &format!("lies {way} eth0")).status().unwrap();
                assert!(sent.success());
                // The port reports a hundred a second, and counts all.
                let counted = since(&earlier, counted(&mut observed));
                assert!(counted.contains(&(reason.to_owned(), 10_000)), "{counted:?}");
            }
            let after = (learnt(), neighbours());
            if enforces {
                assert!(after.0 <= before.0 && after.1 <= before.1, "{before:?} {after:?}");
            } else {
                assert!(after.0 > 5000 && after.1 > 100, "{before:?} {after:?}");
                // What it was made to learn is forgotten, as it would be after a while.
                let _ = run(oracle("ip").args(["link", "set", "br0", "type", "bridge", "fdb_flush"]));
                let _ = ip("-n victim neigh flush dev eth0");
            }
            observed.end();
        }
    });
}

/// A weakness that docs/guard.md describes: no single report is a lie.
#[test]
fn joining_many_groups_switches_off_a_bridges_snooping_guarded_or_not() {
    in_host(|_| {
        needs_kernel((5, 16), "nftables at egress");
        drop(oracle("python3"));
        let attacker = Attacker::start();
        make(&attacker);
        let _ = ip("link set br0 type bridge mcast_snooping 1");
        let snoops = || only(&ip_json("link show br0"))["linkinfo"]["info_data"]["mcast_snooping"].clone();
        assert_eq!(snoops(), 1);
        let mut observed = Observed::start(true);
        assert!(attacker.shell(Who::User, 0, "lies many_groups eth0").status().unwrap().success());
        assert_eq!(counted(&mut observed), []);
        assert_eq!(snoops(), 0, "the kernel mended it, and docs/guard.md should say so");
        observed.end();
    });
}
