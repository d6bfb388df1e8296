//! Bridges: the options that they are made with, and the links attached to them.

use crate::{index, mac_address, name};
use netns_core::bridge::{self, Bridge, BridgeOptions};
use netns_core::link;
use serde_json::Value;
use std::time::Duration;
use tests::{Host, in_host, ip, ip_json, only};

fn plain() -> Bridge {
    Bridge::new(name("br0"), mac_address("02:00:00:00:00:2a"))
}

/// What `ip` shows of a new bridge, which is then removed.
fn made(host: &Host, bridge: &Bridge) -> Value {
    bridge::create(&mut host.socket(), bridge).unwrap();
    let made = only(&ip_json("link show br0"));
    ip("link delete br0");
    made
}

#[test]
fn a_bridge_is_made_with_its_mac_and_without_stp() {
    in_host(|host| {
        let bridge = made(host, &plain());
        assert_eq!(bridge["linkinfo"]["info_kind"], "bridge");
        assert_eq!(bridge["address"], "02:00:00:00:00:2a");
        assert_eq!(bridge["operstate"], "DOWN");
        let data = &bridge["linkinfo"]["info_data"];
        assert_eq!(data["stp_state"], 0);
        assert_eq!((&data["ageing_time"], &data["mcast_snooping"]), (&30_000.into(), &1.into()), "defaults");
    });
}

#[test]
fn stp_ageing_snooping_index_mtu_and_up_are_set_both_ways() {
    in_host(|host| {
        let bridge = made(
            host,
            &Bridge {
                index: Some(77),
                mtu: Some(1400),
                options: BridgeOptions {
                    stp_state: Some(true),
                    ageing_time: Some(Duration::from_millis(12_340)),
                    mcast_snooping: Some(false),
                    ..BridgeOptions::NONE
                },
                up: true,
                ..plain()
            },
        );
        assert_eq!((&bridge["ifindex"], &bridge["mtu"]), (&77.into(), &1400.into()));
        assert!(bridge["flags"].as_array().unwrap().contains(&"UP".into()));
        let data = &bridge["linkinfo"]["info_data"];
        assert_eq!(data["stp_state"], 1);
        assert_eq!((&data["ageing_time"], &data["mcast_snooping"]), (&1234.into(), &0.into()));

        let again = BridgeOptions {
            ageing_time: Some(Duration::ZERO),
            mcast_snooping: Some(true),
            ..BridgeOptions::NONE
        };
        let bridge = made(host, &Bridge { options: again, ..plain() });
        let data = &bridge["linkinfo"]["info_data"];
        assert_eq!((&data["ageing_time"], &data["mcast_snooping"]), (&0.into(), &1.into()));
    });
}

#[test]
fn an_existing_bridge_is_not_adopted() {
    in_host(|host| {
        ip("link add br0 address 02:00:00:00:00:01 type bridge");
        let error = bridge::create(&mut host.socket(), &plain()).unwrap_err();
        assert_eq!(error.to_string(), "create bridge br0: File exists (os error 17)");
        assert_eq!(only(&ip_json("link show br0"))["address"], "02:00:00:00:00:01");
    });
}

#[test]
fn links_are_attached_and_detached() {
    in_host(|host| {
        ip("link add v0 type veth peer name v1");
        let mut socket = host.socket();
        bridge::create(&mut socket, &plain()).unwrap();
        let bridge = index(&mut socket, "br0");
        let v1 = index(&mut socket, "v1");
        bridge::attach(&mut socket, name("v0"), bridge).unwrap();
        bridge::attach(&mut socket, v1, bridge).unwrap();
        let masters =
            || ["v0", "v1"].map(|end| only(&ip_json(&format!("link show {end}")))["master"].clone());
        assert_eq!(masters(), ["br0", "br0"]);
        bridge::detach(&mut socket, name("v0")).unwrap();
        assert_eq!(masters(), [Value::Null, "br0".into()]);
        assert_eq!(bridge::detach(&mut socket, 999).unwrap_err().errno(), Some(libc::ENODEV));
    });
}

#[test]
fn the_mac_stays_as_ports_come_and_go() {
    in_host(|host| {
        let mut socket = host.socket();
        bridge::create(&mut socket, &plain()).unwrap();
        let bridge = index(&mut socket, "br0");
        // A lower address, which a bridge without a fixed one would take.
        ip("link add v0 address 02:00:00:00:00:01 type veth peer name v1");
        bridge::attach(&mut socket, name("v0"), bridge).unwrap();
        assert_eq!(only(&ip_json("link show br0"))["address"], "02:00:00:00:00:2a");
        link::delete(&mut socket, name("v0")).unwrap();
        assert_eq!(only(&ip_json("link show br0"))["address"], "02:00:00:00:00:2a");
    });
}

#[test]
fn a_loop_of_bridges_is_refused_with_the_kernels_words() {
    in_host(|host| {
        ip("link add br1 type bridge");
        let mut socket = host.socket();
        bridge::create(&mut socket, &plain()).unwrap();
        let bridge = index(&mut socket, "br0");
        let error = bridge::attach(&mut socket, name("br1"), bridge).unwrap_err();
        assert_eq!(
            error.to_string(),
            "set link br1: Too many levels of symbolic links (os error 40): \
             Can not enslave a bridge to a bridge"
        );
    });
}

#[test]
fn a_port_moves_to_another_bridge_and_what_is_no_ethernet_becomes_none() {
    in_host(|host| {
        let mut socket = host.socket();
        for command in
            ["link add br0 type bridge", "link add br1 type bridge", "link add p0 type veth peer name p1"]
        {
            ip(command);
        }
        for master in ["br0", "br1"] {
            let bridge = index(&mut socket, master);
            bridge::attach(&mut socket, name("p0"), bridge).unwrap();
            assert_eq!(ip_json("link show p0")[0]["master"], master);
        }
        // Somebody else receives what comes in by it.
        ip("link add v0 link p1 type macvlan");
        let bridge = index(&mut socket, "br0");
        assert_eq!(bridge::attach(&mut socket, name("p1"), bridge).unwrap_err().errno(), Some(libc::EBUSY));
    });
}
