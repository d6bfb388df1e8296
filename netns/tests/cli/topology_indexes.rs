//! The indexes that links of a topology are made with, and links of others that have them, or get them.

use crate::topology::{fine, topology};
use netns_core::barrier::{self, Barrier};
use netns_core::network::{Network, NetworkOptions};
use netns_core::record::RecordFile;
use netns_core::{IfName, Namespace};
use netns_topology::{Change, HeldLab, Progress, parse};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use tests::{bridge, in_host, ip, ip_json, only, tc};

/// Where a topology is on record that a test holds.
const RECORD: &str = "/run/held.record";

fn lab(name: &str, text: &str) -> PathBuf {
    let file = PathBuf::from(format!("/run/{name}.toml"));
    std::fs::write(&file, text).unwrap();
    file
}

/// The index that a link of the host is going to have, by the record.
fn recorded_index(link: &str) -> String {
    let record = std::fs::read_to_string(RECORD).unwrap();
    let mut lines = record.lines().filter_map(|line| line.strip_prefix(&format!("index host {link} ")));
    let (_mac, index) = lines.next().and_then(|rest| rest.split_once(' ')).expect("a line of the link");
    index.to_owned()
}

/// Everything of a link that the requests of a topology would change.
fn state(link: &str) -> [String; 7] {
    [
        ip(&format!("-d -o link show {link}")),
        bridge(&format!("-d link show dev {link}")),
        bridge(&format!("fdb show dev {link}")),
        tc(&format!("qdisc show dev {link}")),
        tc(&format!("filter show dev {link} ingress")),
        ip(&format!("-o address show {link}")),
        ip(&format!("neigh show dev {link} nud permanent")),
    ]
}

const NAMESPACES: &str = r#"
[bridge.br0]
addresses = ["10.1.1.254/24"]
[namespace.a]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.1/24"] }
[namespace.b]
interface.eth0 = { bridge = "br0", addresses = ["10.1.1.2/24"], port = { isolated = true } }
"#;

const BRIDGES: &str = r#"
[bridge.br0]
addresses = ["10.1.1.254/24"]
[bridge.br1]
addresses = ["10.1.2.254/24"]
mtu = 1400
"#;

/// Brings a topology up; meanwhile, after the first change of this kind, somebody makes a link with the index that `link` is going
/// to have.
fn refused_for_a_stranger(text: &str, kind: fn(&Change) -> bool, link: &str) {
    let mut wanted = parse(Path::new("/run/lab.toml"), text).unwrap();
    for cable in &mut wanted.cables {
        cable.is_known = true;
    }
    ip("link add stranger type bridge");
    let mut before = None;
    let mut report = |progress: &Progress<'_>| {
        if kind(progress.change) && before.is_none() {
            let index = recorded_index(link);
            ip(&format!("link add theirs index {index} type veth peer name end"));
            ip("link set theirs master stranger");
            before = Some(state("theirs"));
        }
        ControlFlow::Continue(())
    };
    let record = RecordFile::create(RECORD, "held").unwrap();
    let error = HeldLab::up(&wanted, Some(record), None, &mut report).unwrap_err().to_string();
    assert!(error.contains(link) && error.ends_with("; what was done is undone"), "{error}");
    assert_eq!(Some(state("theirs")), before);
    ip("link del theirs");
    ip("link del stranger");
}

#[test]
fn a_link_that_has_come_to_the_index_of_a_port_or_a_bridge_stays_as_it_is() {
    in_host(|host| {
        refused_for_a_stranger(NAMESPACES, |change| matches!(change, Change::AddCable(_)), "b-eth0");
        host.assert_clean();
        refused_for_a_stranger(BRIDGES, |change| matches!(change, Change::AddBridge(_)), "br1");
        host.assert_clean();
    });
}

#[test]
fn no_port_is_behind_a_barrier_before_it_is_made() {
    in_host(|_| {
        if !barrier::is_supported().unwrap() {
            return;
        }
        let policy = "addresses = [\"10.1.1.1/24\"], policy = \"enforce\" }";
        let text = NAMESPACES.replace("addresses = [\"10.1.1.1/24\"] }", policy);
        let text = text.replace("port = {", "policy = \"enforce\", port = {");
        let file = lab("lab", &text);
        let host = Namespace::current().unwrap();
        let mut seen = Vec::new();
        let up = netns_topology::Lab::new(&file).unwrap().up_with(&mut |progress| {
            if let Change::AddCable(_) = progress.change {
                let names = barrier::names(&host).unwrap();
                let barrier = Barrier::open(&host, &names[0], 0).unwrap().unwrap();
                let there: Vec<u64> = ip_json("link show type veth")
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter_map(|link| link["ifindex"].as_u64())
                    .collect();
                let behind: Vec<u64> = barrier.known_ports().map(u64::from).collect();
                assert!(behind.iter().all(|index| there.contains(index)), "{behind:?} of {there:?}");
                seen.push(behind.len());
            }
        });
        up.unwrap();
        assert_eq!(seen, [1, 2]);
        fine("down", &file);
    });
}

#[test]
fn a_bridge_of_another_topology_is_not_taken_for_ones_own() {
    in_host(|_| {
        let bridge = "[bridge.br0]\n";
        let (first, second) = (lab("first", bridge), lab("second", bridge));
        fine("up", &first);
        ip("link del br0");
        fine("up", &second);
        let there = ip("-o link show br0");
        let down = topology("down", &first);
        assert_eq!(down.code, Some(0), "{}", down.err);
        assert!(down.err.starts_with("left alone: br0 (index "), "{}", down.err);
        assert_eq!(ip("-o link show br0"), there);
        assert_eq!(fine("diff", &second), "");
        fine("down", &second);
    });
}

#[test]
fn an_interface_that_somebody_made_inside_is_not_taken_for_ones_own() {
    in_host(|_| {
        let file = lab("lab", NAMESPACES);
        fine("up", &file);
        ip("-n a link del eth0");
        ip("-n a link add eth0 type bridge");
        let there = ip("-n a -o link show eth0");
        let up = topology("up", &file);
        assert_eq!(up.code, Some(1), "{}{}", up.out, up.err);
        assert!(up.err.contains("link a/eth0 exists"), "{}", up.err);
        assert_eq!(ip("-n a -o link show eth0"), there);
        let down = topology("down", &file);
        assert_eq!(down.code, Some(0), "{}", down.err);
        assert!(down.err.starts_with("left alone: a: eth0 (index "), "{}", down.err);
    });
}

#[test]
fn a_topology_keeps_out_of_the_indexes_of_networks() {
    in_host(|_| {
        let options = NetworkOptions {
            subnet_v4: Some("10.99.0.0/24".parse().unwrap()),
            ..NetworkOptions::new(IfName::new("sb").unwrap())
        };
        let network = Network::create(&options).unwrap();
        let sandbox = network.create_sandbox().unwrap();
        let file = lab("lab", NAMESPACES);
        fine("up", &file);
        for link in ["br0", "a-eth0", "b-eth0"] {
            let index = only(&ip_json(&format!("link show {link}")))["ifindex"].as_u64().unwrap();
            assert!(index < 1 << 30 && 1 << 30 <= sandbox.port().index, "{link} {index}");
        }
        fine("down", &file);
    });
}
