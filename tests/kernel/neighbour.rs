//! Neighbours and forwarding entries, checked with `ip -j neigh` and `bridge -j fdb`.

use crate::{index, ip_address, mac_address};
use netns_core::neighbour::{self, FdbEntry, Neighbour, Protocol};
use serde_json::Value;
use tests::{Bridged, bridge, bridge_json, in_host, ip, ip_json, mac, only, ping, vlans_of_an_entry};

#[test]
fn a_permanent_neighbour_of_each_family_is_set_replaced_and_deleted() {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        let mut socket = host.socket();
        let v0 = index(&mut socket, "v0");
        for (address, family) in [("10.1.1.2", "-4"), ("fd00:1::2", "-6")] {
            for mac in ["02:00:00:00:00:02", "02:00:00:00:00:03"] {
                let neighbour = Neighbour::permanent(v0, ip_address(address), mac_address(mac));
                neighbour::set(&mut socket, &neighbour).unwrap();
                let shown = only(&ip_json(&format!("{family} neigh show dev v0 {address}")));
                assert_eq!((&shown["dst"], &shown["lladdr"]), (&address.into(), &mac.into()));
                assert_eq!(shown["state"], serde_json::json!(["PERMANENT"]));
                assert!(neighbour::list(&mut socket).unwrap().contains(&neighbour));
            }
            neighbour::delete(&mut socket, v0, ip_address(address)).unwrap();
            assert_eq!(ip(&format!("{family} neigh show dev v0 nud all {address}")).trim(), "");
        }
    });
}

#[test]
fn a_permanent_neighbour_is_used_without_asking() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let [first, second] = &bridged.insides[..] else { unreachable!() };
        let mut socket = first.socket();
        neighbour::set(&mut socket, &Neighbour::permanent(first.eth0, ip_address("10.1.1.2"), mac(2)))
            .unwrap();
        neighbour::set(
            &mut second.socket(),
            &Neighbour::permanent(second.eth0, ip_address("10.1.1.1"), mac(1)),
        )
        .unwrap();
        first.namespace.enter(|| ping("-c 1", "10.1.1.2")).unwrap();
        let found = neighbour::list(&mut socket).unwrap();
        let found = found.iter().find(|neighbour| neighbour.address == ip_address("10.1.1.2")).unwrap();
        assert_eq!((found.state, found.mac), (libc::NUD_PERMANENT, Some(mac(2))));
    });
}

#[test]
fn the_list_has_what_ip_lists() {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        ip("neigh add 10.1.1.9 lladdr 02:00:00:00:00:09 dev v0 nud stale");
        let mut socket = host.socket();
        let v0 = index(&mut socket, "v0");
        let expected = Neighbour {
            state: libc::NUD_STALE,
            ..Neighbour::permanent(v0, ip_address("10.1.1.9"), mac_address("02:00:00:00:00:09"))
        };
        assert!(neighbour::list(&mut socket).unwrap().contains(&expected));
    });
}

#[test]
fn flags_and_origin_are_reported() {
    in_host(|host| {
        ip("link add v0 up type veth peer name v1");
        ip("neigh add 10.1.1.9 lladdr 02:00:00:00:00:09 dev v0 router protocol static");
        let mut socket = host.socket();
        let v0 = index(&mut socket, "v0");
        let expected = Neighbour {
            flags: libc::NTF_ROUTER.into(),
            protocol: Protocol::STATIC,
            ..Neighbour::permanent(v0, ip_address("10.1.1.9"), mac_address("02:00:00:00:00:09"))
        };
        assert!(neighbour::list(&mut socket).unwrap().contains(&expected));
    });
}

fn fdb(mac: &str) -> Vec<Value> {
    let entries = bridge_json("fdb show br br0");
    entries.as_array().unwrap().iter().filter(|entry| entry["mac"] == mac).cloned().collect()
}

fn sorted<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort();
    values
}

#[test]
fn a_forwarding_entry_is_set_moved_and_deleted() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let mut socket = host.socket();
        let far = mac_address("02:00:00:00:aa:aa");
        let vlans = vlans_of_an_entry();
        for (inside, port) in bridged.insides.iter().zip(["port1", "port2"]) {
            neighbour::set_fdb(&mut socket, &FdbEntry::fixed(inside.port, far)).unwrap();
            let theirs = fdb("02:00:00:00:aa:aa");
            for entry in &theirs {
                assert_eq!((&entry["ifname"], &entry["state"]), (&port.into(), &"static".into()));
            }
            let vlan = |entry: &Value| entry.get("vlan").map(|vlan| vlan.as_u64().unwrap() as u16);
            assert_eq!(sorted(theirs.iter().map(vlan)), vlans);
            let ours = neighbour::list_fdb(&mut socket, bridged.bridge).unwrap();
            let ours: Vec<_> = ours.iter().filter(|entry| entry.mac == far).copied().collect();
            assert_eq!(sorted(ours.iter().map(|entry| entry.vlan)), vlans);
            for entry in ours {
                let bridge = Some(bridged.bridge);
                let expected = FdbEntry { bridge, vlan: entry.vlan, ..FdbEntry::fixed(inside.port, far) };
                assert_eq!(entry, expected);
            }
        }
        neighbour::delete_fdb(&mut socket, bridged.insides[1].port, far).unwrap();
        assert_eq!(fdb("02:00:00:00:aa:aa"), [Value::Null; 0]);
        let error = neighbour::delete_fdb(&mut socket, bridged.insides[1].port, far).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOENT));
        assert_eq!(error.object(), format!("02:00:00:00:aa:aa on interface {}", bridged.insides[1].port));
    });
}

#[test]
fn flags_of_a_forwarding_entry_are_reported() {
    in_host(|host| {
        let bridged = Bridged::new(host, 1);
        bridge("fdb add 02:00:00:00:aa:aa dev port1 master static sticky");
        let port = bridged.insides[0].port;
        let expected = FdbEntry {
            bridge: Some(bridged.bridge),
            // `NTF_STICKY`
            flags: 0x40,
            ..FdbEntry::fixed(port, mac_address("02:00:00:00:aa:aa"))
        };
        let entries = neighbour::list_fdb(&mut host.socket(), bridged.bridge).unwrap();
        assert!(entries.contains(&expected), "{entries:?}");
        let own = entries.iter().find(|entry| entry.flags == u32::from(libc::NTF_SELF));
        assert_eq!(own.map(|entry| (entry.port, entry.bridge)), Some((bridged.bridge, None)));
    });
}

#[test]
fn the_entries_of_one_bridge_are_listed_and_no_others() {
    in_host(|host| {
        let bridged = Bridged::new(host, 1);
        ip("link add br1 type bridge");
        ip("link add v0 type veth peer name v1");
        ip("link set v0 master br1");
        bridge("fdb add 02:00:00:00:bb:bb dev v0 master static");
        bridge("fdb add 02:00:00:00:aa:aa dev port1 master static");
        let mut socket = host.socket();
        let listed = |socket: &mut netns_core::RouteSocket, bridge| {
            let entries = neighbour::list_fdb(socket, bridge).unwrap();
            let far = ["02:00:00:00:aa:aa", "02:00:00:00:bb:bb"].map(mac_address);
            far.map(|far| entries.iter().filter(|entry| entry.mac == far).count())
        };
        let each = vlans_of_an_entry().len();
        assert_eq!(listed(&mut socket, bridged.bridge), [each, 0]);
        let other = index(&mut socket, "br1");
        assert_eq!(listed(&mut socket, other), [0, each]);
    });
}

#[test]
fn the_hosts_own_addresses_are_listed_as_bridge_lists_them() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let mut socket = host.socket();
        let shown = bridge_json("fdb show br br0");
        let mut theirs: Vec<_> = shown.as_array().unwrap().iter().collect();
        // Without the addresses that a device itself listens to, which are no entries of the bridge, and those that may
        // be learnt at any moment.
        theirs.retain(|entry| {
            !entry["flags"].as_array().unwrap().contains(&"self".into()) && entry["state"] == "permanent"
        });
        let theirs = sorted(theirs.iter().map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            (text("mac"), text("ifname"), entry.get("vlan").and_then(Value::as_u64))
        }));
        let ours: Vec<_> = neighbour::list_fdb(&mut socket, bridged.bridge)
            .unwrap()
            .iter()
            .filter(|entry| entry.bridge.is_some() && entry.state == libc::NUD_PERMANENT)
            .map(|entry| {
                let port = netns_core::link::get(&mut socket, entry.port).unwrap();
                (entry.mac.to_string(), port.name.to_string(), entry.vlan.map(u64::from))
            })
            .collect();
        assert_eq!(sorted(ours.iter().cloned()), theirs, "{shown}");
        assert_eq!(ours.len(), 3 * vlans_of_an_entry().len(), "the bridge's and each port's");
    });
}

#[test]
fn a_learnt_address_is_listed_with_its_port() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        bridged.insides[0].namespace.enter(|| ping("-c 1", "10.1.1.2")).unwrap();
        let entries = neighbour::list_fdb(&mut host.socket(), bridged.bridge).unwrap();
        let learnt = entries.iter().find(|entry| entry.mac == mac(2)).unwrap();
        assert_eq!((learnt.port, learnt.state), (bridged.insides[1].port, libc::NUD_REACHABLE));
        assert_eq!(fdb(&mac(2).to_string())[0]["ifname"], "port2");
    });
}
