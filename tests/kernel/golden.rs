//! The golden bytes that `netns-core` compares its requests with are what iproute2 sends.
//!
//! They are in `netns-core/src/rtnetlink/tests/golden`, a file a request. To capture them anew:
//!
//! ```sh
//! RECAPTURE=1 cargo test -p tests --test kernel golden
//! ```

use std::os::fd::AsFd;
use std::path::PathBuf;
use std::{env, fs};
use tests::{Verdict, annotate, datagrams, in_host, ip, load_program, oracle, run, skip};

/// One request.
struct Capture {
    name: &'static str,
    /// The tool and its arguments.
    command: &'static str,
    /// The type of the message: the last of its type that the command sends. Look-ups come before it, and sometimes
    /// after it too. `None` is the very last message.
    kind: Option<u16>,
}

const fn last(name: &'static str, command: &'static str) -> Capture {
    Capture { name, command, kind: None }
}

/// The state before each command: interfaces `v0` (2) and `v1` (3), a veth pair; `br0` (4), a bridge; `p0` (6), a port
/// of it; namespace `ns1`; a program.
const BEFORE: [&str; 12] = [
    "link add v0 index 2 type veth peer name v1 index 3",
    "link add br0 index 4 type bridge",
    "link add p0 index 6 type veth peer name p1 index 7",
    "link set p0 master br0",
    "link add g0 group 7 type bridge",
    "link set v0 up",
    "link set v1 up",
    "netns add ns1",
    "addr add 10.1.1.9/24 dev v0",
    "addr add fd00:1::9/64 dev v0 nodad",
    "route add 10.9.0.0/16 via 10.1.1.254",
    "neigh add 10.1.1.8 lladdr 02:00:00:00:00:08 dev v0",
];

#[rustfmt::skip]
const CAPTURES: &[Capture] = &[
    last("link-get", "ip link show dev br0"),
    last("link-list", "ip link show"),
    last("link-up", "ip link set dev v0 up"),
    last("link-down", "ip link set dev v0 down"),
    last("link-name", "ip link set dev p1 name new"),
    last("link-mac", "ip link set dev v0 address 02:00:00:00:12:34"),
    last("link-mtu", "ip link set dev v0 mtu 9000"),
    last("link-group", "ip link set dev v0 group 42"),
    last("link-attach", "ip link set dev v0 master br0"),
    last("link-detach", "ip link set dev p0 nomaster"),
    last("link-move", "ip link set dev v0 netns ns1"),
    last("link-delete", "ip link delete dev v0"),
    last("link-delete-group", "ip link delete group 0x7"),
    last("veth", "ip link add name a0 type veth peer name a1"),
    last("veth-in-namespace", "ip link add name a0 type veth peer name a1 netns ns1"),
    last("veth-whole", "ip link add name a0 up index 1001 address 02:00:00:00:00:0a mtu 1400 numtxqueues 1 \
                        numrxqueues 1 master br0 group 5 type veth peer name a1 index 2002 \
                        address 02:00:00:00:00:0b mtu 1400 numtxqueues 1 numrxqueues 1 netns ns1"),
    last("bridge", "ip link add name br1 address 02:00:00:00:00:2a type bridge stp_state 0"),
    last("bridge-whole", "ip link add name br1 up index 77 address 02:00:00:00:00:2a mtu 1400 type bridge \
                          stp_state 1 ageing_time 1234 mcast_snooping 0"),
    last("bridge-options", "ip link set dev br0 type bridge forward_delay 1600 hello_time 300 max_age 1900 priority 7 \
                            group_fwd_mask 0x4000 mcast_querier 1 mcast_hash_max 512 mcast_query_interval 9000 \
                            nf_call_iptables 1 mcast_igmp_version 3"),
    last("macvlan", "ip link add link v0 name m0 type macvlan mode bridge"),
    last("vxlan", "ip link add name x0 type vxlan id 5 remote 10.0.0.2 local 10.0.0.1 dev v0 ttl 7 dstport 4789 \
                   nolearning"),
    last("port-more-options", "bridge link set dev p0 cost 9 priority 3 guard on fastleave on mcast_router 2 \
                               locked on"),
    last("port-options", "bridge link set dev p0 hairpin on learning off flood off mcast_flood off \
                          bcast_flood off neigh_suppress on isolated on"),
    last("address-v4", "ip addr add 10.1.1.1/24 broadcast 10.1.1.255 dev v0"),
    last("address-v4-32", "ip addr add 10.2.2.2/32 dev v0"),
    last("address-v4-loopback", "ip addr add 127.0.0.9/8 broadcast 127.255.255.255 dev lo"),
    last("address-v6", "ip addr add fd00:1::1/64 dev v0 nodad"),
    last("address-delete", "ip addr delete 10.1.1.9/24 dev v0"),
    last("address-list", "ip addr show"),
    last("route-default-v4", "ip route add default via 10.1.1.254"),
    last("route-default-v6", "ip route add default via fd00:1::fe"),
    last("route-via-v4", "ip route add 10.2.0.0/16 via 10.1.1.254 dev v0"),
    last("route-link-v4", "ip route add 10.3.3.3/32 dev v0"),
    last("route-link-v6", "ip route add fd00:2::/48 dev v0"),
    last("route-table", "ip route add 10.2.0.0/16 via 10.1.1.254 metric 77 table 70000"),
    last("route-delete-v4", "ip route delete 10.9.0.0/16 via 10.1.1.254"),
    Capture { kind: Some(libc::RTM_GETROUTE), ..last("route-list", "ip -4 route show table all") },
    last("neighbour-v4", "ip neigh replace 10.1.1.2 lladdr 02:00:00:00:00:02 dev v0 nud permanent"),
    last("neighbour-v6", "ip neigh replace fd00:1::2 lladdr 02:00:00:00:00:02 dev v0 nud permanent"),
    last("neighbour-delete", "ip neigh delete 10.1.1.8 dev v0"),
    last("neighbour-list", "ip neigh show nud all"),
    last("fdb", "bridge fdb replace 02:00:00:00:aa:aa dev p0 master static"),
    last("fdb-delete", "bridge fdb delete 02:00:00:00:bb:bb dev p0 master"),
    last("fdb-list", "bridge fdb show br br0"),
    last("clsact", "tc qdisc add dev v0 clsact"),
    last("clsact-delete", "tc qdisc delete dev v1 clsact"),
    last("filter-ingress", "tc filter add dev v1 ingress pref 10 handle 1 protocol all bpf da \
                            object-pinned /run/bpf/program flowid 0:123"),
    last("filter-egress", "tc filter add dev v1 egress pref 10 handle 1 protocol all bpf da \
                           object-pinned /run/bpf/program"),
    last("filter-delete", "tc filter delete dev v1 ingress pref 9 handle 1 protocol all bpf"),
    last("filter-list", "tc filter show dev v1 ingress"),
    last("qdisc-list", "tc qdisc show dev v0"),
];

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../netns-core/src/rtnetlink/tests/golden"))
}

/// A golden file: version, command and annotated bytes.
fn file(version: &str, capture: &Capture) -> String {
    let mut text = String::new();
    in_host(|host| {
        for command in BEFORE {
            ip(command);
        }
        tests::bridge("fdb add 02:00:00:00:bb:bb dev p0 master static");
        host.pin_program(load_program(Verdict::Continue).unwrap().as_fd());
        tests::tc("qdisc add dev v1 clsact");
        tests::tc(
            "filter add dev v1 ingress pref 9 handle 1 protocol all bpf da object-pinned /run/bpf/program",
        );
        let command = capture.command.split_whitespace().collect::<Vec<_>>().join(" ");
        let wanted = |message: &&Vec<u8>| {
            capture.kind.is_none_or(|kind| u16::from_ne_bytes([message[4], message[5]]) == kind)
        };
        let mut message = datagrams(&command).iter().rfind(wanted).unwrap().clone();
        let length = u32::from_ne_bytes(message[..4].try_into().unwrap());
        // Some send a whole buffer; the kernel reads as much as the header says.
        message.truncate(length as usize);
        // The sequence number is the time of day.
        message[8..12].fill(0);
        text = format!("# {version}\n# {command}\n{}", annotate(&message));
    });
    text
}

#[test]
fn the_golden_bytes_are_what_iproute2_sends() {
    in_host(|_| {
        let version = run(oracle("ip").arg("-V"));
        let version = version.trim().split(", ").nth(1).unwrap_or("an unknown version");
        for capture in CAPTURES {
            let path = folder().join(format!("{}.golden", capture.name));
            let fresh = file(version, capture);
            if env::var_os("RECAPTURE").is_some() {
                fs::create_dir_all(folder()).unwrap();
                fs::write(&path, fresh).unwrap();
                continue;
            }
            let stored =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if stored.lines().next() != fresh.lines().next() {
                skip(&format!(
                    "the golden bytes are of {}, here is {version}",
                    &stored[2..stored.find('\n').unwrap()]
                ));
            }
            assert_eq!(stored, fresh, "{}", capture.name);
        }
    });
}

#[test]
fn every_golden_file_is_captured_by_a_command() {
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    let mut captured: Vec<_> = CAPTURES.iter().map(|capture| format!("{}.golden", capture.name)).collect();
    captured.sort();
    assert_eq!(files, captured);
}
