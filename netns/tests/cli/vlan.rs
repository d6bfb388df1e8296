//! Bridges that filter VLANs, and ports that are no veth pairs: what distributions' kernels have and people observe.

use crate::observe::{make_bridge, plug_in};
use crate::topology::{example, fine};
use crate::watched::Watched;
use crate::{done, xtask};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
use netns_ebpf::attack::{FrameSocket, Party, cases};
use netns_ebpf::packet::Reason;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::time::Duration;
use tests::{bridge, has_vlan_filtering, in_host, ip, ip_json, needs_option, only, oracle, ping};

fn needs_vlan_filtering() {
    needs_option("CONFIG_BRIDGE_VLAN_FILTERING", "bridge VLAN filtering", has_vlan_filtering);
}

/// `ping` from a namespace.
fn ping_in(namespace: &str, options: &str, to: &str) {
    let program = oracle("ping").get_program().to_owned();
    let mut command = oracle("ip");
    command.args(["netns", "exec", namespace]).arg(program).args(["-q", "-W", "5"]);
    let _ = tests::run(command.args(options.split_whitespace()).arg(to));
}

/// A bridge that filters: `ns1` and `ns2` are in VLAN 10 and send without tags; `ns3` sends with tags, and has an address
/// in VLAN 10 and one, without a tag, in VLAN 1; the host is in VLAN 1.
fn filtering_bridge() {
    make_bridge();
    ip("link set br0 type bridge vlan_filtering 1");
    ip("addr add 10.1.2.254/24 dev br0");
    for number in [1, 2, 3] {
        plug_in(number);
    }
    for port in ["v1", "v2"] {
        bridge(&format!("vlan del vid 1 dev {port}"));
        bridge(&format!("vlan add vid 10 dev {port} pvid untagged"));
    }
    bridge("vlan add vid 10 dev v3");
    ip("-n ns3 addr flush dev eth0");
    ip("-n ns3 addr add 10.1.2.3/24 dev eth0");
    ip("-n ns3 link add eth0.10 link eth0 type vlan id 10");
    ip("-n ns3 addr add 10.1.1.3/24 dev eth0.10");
    ip("-n ns3 link set eth0.10 up");
}

#[test]
#[ignore = "needs bridge VLAN filtering, as distributions' kernels have: cargo xtask vm-test --full"]
fn ports_of_a_vlan_filtering_bridge_are_counted_exactly_and_honest_tags_pass() {
    in_host(|_| {
        needs_vlan_filtering();
        filtering_bridge();
        let mut observe = Watched::start("observe br0 --json --interval 0.1");
        observe.line("the beginning", |line| line["type"] == "observe");
        // The host and the bridge learn the addresses of v3's namespace, and v3 is judged from then on.
        ping("-c 1", "10.1.2.3");
        ping_in("ns1", "-c 3 -i 0.05", "10.1.1.2");
        let before = done(&mut xtask("bridge fdb show br br0 --json"));
        let learnt: Value = serde_json::from_str(&before.out).unwrap();
        let mac = only(&ip_json("-n ns3 link show eth0"))["address"].clone();
        let learnt = learnt.as_array().unwrap().iter();
        let mut vlans: Vec<_> =
            learnt.filter(|entry| entry["mac"] == mac).map(|entry| entry["vlan"].clone()).collect();
        vlans.dedup();
        assert_eq!(vlans, [json!(1)], "{}", before.out);
        for (namespace, to) in [("ns1", "10.1.1.3"), ("ns3", "10.1.1.2"), ("ns3", "10.1.2.254")] {
            ping_in(namespace, "-c 3 -i 0.05", to);
        }
        for number in [1, 2, 3] {
            let name = format!("v{number}");
            let read = || only(&ip_json(&format!("-s link show {name}")))["stats64"].clone();
            // A line may be older than the kernel's numbers, so wait for a later one; or it may be newer.
            let kernels = RefCell::new(read());
            let port = observe.port(&name, |port| {
                let ours =
                    [&port["rx_packets"], &port["tx_packets"]].map(|packets| packets.as_u64().unwrap());
                let theirs = || ["rx", "tx"].map(|way| kernels.borrow()[way]["packets"].as_u64().unwrap());
                if ours.iter().zip(theirs()).any(|(ours, theirs)| *ours > theirs) {
                    *kernels.borrow_mut() = read();
                }
                ours == theirs()
            });
            let stats = kernels.into_inner();
            assert_eq!(
                (&port["rx_bytes"], &port["tx_bytes"]),
                (&stats["rx"]["bytes"], &stats["tx"]["bytes"]),
                "{name}"
            );
            assert!(port["violations"].get("vlan-tag").is_none(), "{port}");
        }
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

#[test]
#[ignore = "needs bridge VLAN filtering, as distributions' kernels have: cargo xtask vm-test --full"]
fn switching_vlan_filtering_on_changes_nothing_for_a_topology() {
    in_host(|_| {
        needs_vlan_filtering();
        let file = example("bridge-host");
        let _ = fine("up", &file);
        ip("link set br0 type bridge vlan_filtering 1");
        assert_eq!(fine("diff", &file), "");
        assert_eq!(fine("up", &file), "");
        assert_eq!(only(&ip_json("link show br0"))["linkinfo"]["info_data"]["vlan_filtering"], 1);
        ping_in("ns1", "-c 1", "10.1.1.254");
        ping("-c 1", "10.1.1.2");
        let _ = fine("down", &file);
        assert_eq!(ip("netns list"), "");
    });
}

/// Sends frames from `eth0` of ns1 or ns3 to that of ns2, with these tags in their bytes, from an address; returns how
/// many of ten arrive, without their tags, as the bridge delivers them to ns2.
fn arrives(from: &str, tags: &[u8], address: &str) -> usize {
    let open = |name: &str| {
        let namespace = Namespace::open(name).unwrap();
        let eth0 = link::get(&mut RouteSocket::open_in(&namespace).unwrap(), IfName::new("eth0").unwrap());
        let eth0 = eth0.unwrap();
        let socket = namespace.enter(|| FrameSocket::open(eth0.index)).unwrap().unwrap();
        (socket, eth0.mac.unwrap().0)
    };
    let ((sender, own), (receiver, far)) = (open(from), open("ns2"));
    let address: Ipv4Addr = address.parse().unwrap();
    let us = Party::new(MacAddress(own), &[address.into()]);
    let them = Party::new(MacAddress(far), &["10.1.1.2".parse().unwrap()]);
    // A frame with honest addresses.
    let frame = cases(&us, &them).into_iter().find(|case| case.reason == Reason::Ipv4Ttl).unwrap().near;
    let sent = [&frame[..12], tags, &frame[12..]].concat();
    for _ in 0..10 {
        sender.send(&sent).unwrap();
    }
    let heard = std::iter::from_fn(|| receiver.receive(Duration::from_millis(200)).unwrap());
    heard.filter(|heard| heard.ends_with(&frame[12..]) && heard[..12] == frame[..12]).count()
}

#[test]
#[ignore = "needs bridge VLAN filtering, as distributions' kernels have: cargo xtask vm-test --full"]
fn tags_pass_where_the_policy_permits_them_and_what_they_carry_is_judged() {
    const PRIORITY: [u8; 4] = [0x81, 0, 0xe0, 0];
    const TEN: [u8; 4] = [0x81, 0, 0, 10];
    in_host(|_| {
        needs_vlan_filtering();
        filtering_bridge();
        ip("-n ns1 link add eth0.10 link eth0 type vlan id 10");
        ip("-n ns1 link set eth0.10 up");
        ip("-n ns1 addr add 10.1.3.1/24 dev eth0.10");
        ip("-n ns1 neigh add 10.1.3.2 lladdr 02:00:00:00:00:99 dev eth0.10");
        let policy = |number: u8, addresses: &str, permit: &str| {
            let mac = only(&ip_json(&format!("-n ns{number} link show eth0")))["address"].to_string();
            format!("[namespace.ns{number}]\nmac = {mac}\naddresses = [{addresses}]\npermit = [{permit}]\n")
        };
        let text = [
            policy(1, "\"10.1.1.1\", \"10.1.3.1\"", ""),
            policy(3, "\"10.1.1.3\", \"10.1.2.3\"", "\"vlan\""),
        ];
        std::fs::write("/run/ports.toml", text.concat()).unwrap();
        // Nothing is judged: the bridge accepts a tag of a VLAN that the port is in, and removes an empty tag.
        let sent: [(&str, &[u8], &str); 6] = [
            ("ns1", &[], "10.1.1.1"),
            ("ns1", &TEN, "10.1.1.1"),
            ("ns1", &PRIORITY, "10.1.1.1"),
            ("ns3", &TEN, "10.1.1.3"),
            ("ns3", &TEN, "10.1.1.77"),
            ("ns3", &[], "10.1.2.3"),
        ];
        let arrived = || sent.map(|(from, tags, address)| arrives(from, tags, address));
        assert_eq!(arrived(), [10, 10, 10, 10, 10, 0], "VLAN 1 is not ns2's");
        let mut observe = Watched::start(
            "observe br0 --policy /run/ports.toml --enforce --unmatched pass --json --interval 0.1",
        );
        observe.line("counters", |line| line["type"] == "counters");
        assert_eq!(arrived(), [10, 0, 0, 10, 0, 0]);
        // A tag that the sender leaves to its link counts, too.
        let ping =
            oracle("ip").args(["netns", "exec", "ns1", "ping", "-c1", "-W1", "10.1.3.2"]).output().unwrap();
        assert!(!ping.status.success());
        ping_in("ns3", "-c 3 -i 0.05", "10.1.1.2");
        let port = observe.port("v1", |port| port["violations"]["vlan-tag"].as_u64() >= Some(21));
        assert_eq!(port["violations"].as_object().unwrap().len(), 1, "{port}");
        let port = observe.port("v3", |port| port["violations"]["ipv4-source-foreign"] == 10);
        assert_eq!(port["violations"].as_object().unwrap().len(), 1, "{port}");
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

/// What `observe --once` reports about a port, by its key.
fn observed(arguments: &str, port: &str, key: &str) -> Value {
    let once = done(&mut xtask(&format!("observe {arguments} --once --json --interval 0.1")));
    assert_eq!((once.code, once.err.as_str()), (Some(0), ""));
    let counters = &once.lines("counters")[0];
    let ports = counters["ports"].as_array().unwrap();
    ports.iter().find(|found| found["port"] == port).unwrap_or_else(|| panic!("{counters}"))[key].clone()
}

#[test]
fn a_port_that_is_no_veth_has_no_namespace_behind_it() {
    in_host(|_| {
        ip("netns add lab");
        ip("netns add elsewhere");
        // A tunnel's packets leave from the namespace that it was made in.
        ip("-n elsewhere link add x0 type vxlan id 7 dstport 4789 local 127.0.0.1");
        ip("-n elsewhere link set x0 netns lab");
        ip("-n lab link add br0 type bridge");
        ip("-n lab link set x0 master br0");
        assert!(only(&ip_json("-n lab link show x0")).get("link_netnsid").is_some());
        assert_eq!(observed("br0 -n lab", "x0", "namespace"), "");
        ip("-n lab link add v0 type veth peer name eth0 netns elsewhere");
        ip("-n lab link set v0 master br0");
        assert_eq!(observed("br0 -n lab", "v0", "namespace"), "elsewhere");
    });
}
