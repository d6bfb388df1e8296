//! Bridges that filter VLANs, and kinds of links that a distribution's kernel has: nothing of ours takes them for
//! something else. The development machine's kernel has neither.

use crate::{index, ip_address, mac_address, name, net};
use netns_core::bridge::{self, BridgeOptions};
use netns_core::link::{self, Link};
use netns_core::neighbour::{self, FdbEntry};
use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::{RouteSocket, ping};
use serde_json::Value;
use std::collections::BTreeSet;
use tests::{
    Bridged, bridge as bridge_tool, bridge_json, has_vlan_filtering, in_host, ip, needs_option, oracle,
};

fn needs_vlan_filtering() {
    needs_option("CONFIG_BRIDGE_VLAN_FILTERING", "bridge VLAN filtering", has_vlan_filtering);
}

/// Skips the test unless the kernel makes a link of each of these kinds.
fn needs_links(commands: &[&str]) {
    for command in commands {
        let made = oracle("ip").args(command.split_whitespace()).output().unwrap();
        let (_, kind) = command.split_once(" type ").unwrap();
        let kind = kind.split_whitespace().next().unwrap();
        let refused = String::from_utf8(made.stderr).unwrap();
        needs_option(&format!("CONFIG_{}", kind.to_uppercase()), &format!("links of kind {kind}"), || {
            assert!(made.status.success() || refused.contains("Unknown device type"), "{command}: {refused}");
            made.status.success()
        });
    }
}

/// The VLANs in the entries of an address, as `bridge` lists them and as we do.
fn vlans(socket: &mut RouteSocket, bridge: u32, mac: &str) -> [BTreeSet<Option<u16>>; 2] {
    let theirs = bridge_json("fdb show br br0");
    let theirs = theirs.as_array().unwrap().iter().filter(|entry| entry["mac"] == mac);
    let theirs = theirs.map(|entry| entry.get("vlan").and_then(Value::as_u64).map(|vlan| vlan as u16));
    let ours = neighbour::list_fdb(socket, bridge).unwrap();
    let ours = ours.iter().filter(|entry| entry.mac == mac_address(mac)).map(|entry| entry.vlan);
    [theirs.collect(), ours.collect()]
}

#[test]
#[ignore = "needs bridge VLAN filtering, as distributions' kernels have: cargo xtask vm-test --full"]
fn an_entry_is_in_every_vlan_of_its_port_or_in_the_requested_one() {
    in_host(|host| {
        needs_vlan_filtering();
        let bridged = Bridged::new(host, 2);
        let mut socket = host.socket();
        let options = |on| BridgeOptions { vlan_filtering: Some(on), ..BridgeOptions::default() };
        bridge::set(&mut socket, bridged.bridge, &options(true)).unwrap();
        assert_eq!(
            link::get(&mut socket, bridged.bridge).unwrap().bridge().unwrap().vlan_filtering,
            Some(true)
        );
        bridge_tool("vlan add vid 10 dev port1");
        let [port1, port2] = [bridged.insides[0].port, bridged.insides[1].port];
        let far = "02:00:00:00:aa:aa";
        let entry = FdbEntry::fixed(port1, mac_address(far));

        neighbour::set_fdb(&mut socket, &entry).unwrap();
        let all = BTreeSet::from([None, Some(1), Some(10)]);
        assert_eq!(vlans(&mut socket, bridged.bridge, far), [all.clone(), all]);
        neighbour::delete_fdb(&mut socket, port1, mac_address(far)).unwrap();
        assert_eq!(vlans(&mut socket, bridged.bridge, far), [BTreeSet::new(), BTreeSet::new()]);

        neighbour::set_fdb(&mut socket, &FdbEntry { vlan: Some(10), ..entry }).unwrap();
        let ten = BTreeSet::from([Some(10)]);
        assert_eq!(vlans(&mut socket, bridged.bridge, far), [ten.clone(), ten]);
        let elsewhere = FdbEntry { vlan: Some(10), port: port2, ..entry };
        let error = neighbour::set_fdb(&mut socket, &elsewhere).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EINVAL), "{error}");

        bridge::set(&mut socket, bridged.bridge, &options(false)).unwrap();
        assert_eq!(
            link::get(&mut socket, bridged.bridge).unwrap().bridge().unwrap().vlan_filtering,
            Some(false)
        );
    });
}

#[test]
fn a_kernel_without_vlan_filtering_refuses_it() {
    in_host(|host| {
        let bridged = Bridged::new(host, 0);
        let on = BridgeOptions { vlan_filtering: Some(true), ..BridgeOptions::default() };
        let outcome = bridge::set(&mut host.socket(), bridged.bridge, &on);
        match outcome {
            Ok(()) => assert!(has_vlan_filtering()),
            Err(error) => {
                assert!(!has_vlan_filtering(), "{error}");
                assert_eq!(error.errno(), Some(libc::EOPNOTSUPP), "{error}");
            }
        }
    });
}

/// Whether one echo request is answered.
fn reaches(from: &Sandbox, to: &Sandbox) -> bool {
    let to = to.address_v4().unwrap().address();
    let namespace = from.namespace().unwrap();
    ping::ping(namespace, &ping::Ping::new(to)).unwrap().all_received()
}

#[test]
#[ignore = "needs bridge VLAN filtering, as distributions' kernels have: cargo xtask vm-test --full"]
fn switching_vlan_filtering_on_does_not_stop_a_network() {
    in_host(|host| {
        needs_vlan_filtering();
        let options =
            NetworkOptions { subnet_v4: Some(net("10.99.0.0/24")), ..NetworkOptions::new(name("sb")) };
        let network = Network::create(&options).unwrap();
        let old = [network.create_sandbox().unwrap(), network.create_sandbox().unwrap()];
        let bridge = network.bridge();
        let on = BridgeOptions { vlan_filtering: Some(true), ..BridgeOptions::default() };
        bridge::set(&mut host.socket(), bridge, &on).unwrap();
        let new = network.create_sandbox().unwrap();
        // Ports learn nothing and nothing is flooded: whatever is reached is reached through the fixed entries.
        for (from, to) in [(&old[0], &old[1]), (&old[1], &new), (&new, &old[0])] {
            assert!(reaches(from, to));
        }
        let entries = neighbour::list_fdb(&mut host.socket(), bridge).unwrap();
        let fixed = entries.iter().filter(|entry| entry.state == libc::NUD_NOARP && entry.vlan == Some(1));
        assert!(fixed.count() >= 3, "{entries:?}");
    });
}

fn find<'a>(links: &'a [Link], name: &str) -> &'a Link {
    links.iter().find(|link| link.name.as_str() == name).unwrap_or_else(|| panic!("no {name} in {links:?}"))
}

#[test]
#[ignore = "needs dummy, VLAN, bond and ipvlan links, as distributions' kernels have: cargo xtask vm-test --full"]
fn other_kinds_of_links_are_not_taken_for_pairs_or_ports() {
    in_host(|host| {
        needs_links(&[
            "link add d0 type dummy",
            "link add d0.10 link d0 type vlan id 10",
            "link add i0 link d0 type ipvlan",
            "link add bond0 type bond",
            "link add d1 type dummy",
        ]);
        ip("link set d1 master bond0");
        ip("link add br0 type bridge");
        ip("link set d0.10 master br0");
        ip("netns add ns1");
        ip("link set i0 netns ns1");
        ip("addr add 10.1.1.1/24 dev d0");
        let mut socket = host.socket();
        let links = link::list(&mut socket).unwrap();
        let dummy = find(&links, "d0");
        assert_eq!((dummy.kind.as_deref(), dummy.peer, dummy.is_pair()), (Some("dummy"), None, false));
        let vlan = find(&links, "d0.10");
        assert_eq!(
            (vlan.kind.as_deref(), vlan.peer, vlan.is_pair()),
            (Some("vlan"), Some(dummy.index), false)
        );
        assert!(vlan.port.is_some() && vlan.peer_namespace_id.is_none());
        let (bond, slave) = (find(&links, "bond0"), find(&links, "d1"));
        assert_eq!((bond.kind.as_deref(), bond.bridge()), (Some("bond"), None));
        assert_eq!(slave.master, Some(bond.index));
        assert!(slave.port.is_none(), "a bond's, and no bridge's");
        let ports = |socket: &mut RouteSocket, of| {
            let ports = link::list_ports(socket, of).unwrap();
            ports.iter().map(|port| port.name.to_string()).collect::<Vec<_>>()
        };
        let br0 = index(&mut socket, "br0");
        assert_eq!(ports(&mut socket, br0), ["d0.10"]);
        let inside = RouteSocket::open_in(&netns_core::Namespace::open("ns1").unwrap());
        let ipvlan = link::get(&mut inside.unwrap(), name("i0")).unwrap();
        assert_eq!((ipvlan.kind.as_deref(), ipvlan.peer), (Some("ipvlan"), Some(dummy.index)));
        assert!(ipvlan.peer_namespace_id.is_some() && !ipvlan.is_pair());
        let own = netns_core::address::list(&mut socket).unwrap();
        assert!(
            own.iter().any(|own| own.index == dummy.index && own.net.address() == ip_address("10.1.1.1"))
        );
        link::delete(&mut socket, name("bond0")).unwrap();
        assert_eq!(link::get(&mut socket, name("d1")).unwrap().master, None);
    });
}

#[test]
fn a_link_on_another_one_is_no_end_of_a_pair() {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        ip("link add m0 link v0 type macvlan");
        let links = link::list(&mut host.socket()).unwrap();
        let [v0, v1, m0] = ["v0", "v1", "m0"].map(|name| find(&links, name));
        assert_eq!((v0.peer, v0.is_pair()), (Some(v1.index), true));
        assert_eq!((m0.peer, m0.is_pair()), (Some(v0.index), false));
    });
}
