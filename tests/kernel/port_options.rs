//! Every option of a bridge port and of a bridge, row by row of their tables, both ways, against `ip -d -j link`.

use crate::{index, name};
use netns_core::bridge::{self, BridgeOptions, PortOptions};
use netns_core::link;
use netns_core::option::{OptionForm, OptionRow, OptionValue, Options};
use netns_core::{ErrorKind, RouteSocket};
use serde_json::Value;
use std::time::Duration;
use tests::{bridge as bridge_tool, has_vlan_filtering, in_host, ip, ip_json, only};

/// What iproute2 6.1, Debian 12's, does not print.
const UNPRINTED: [&str; 4] = ["mab", "neigh_vlan_suppress", "backup_port", "fdb_max_learned"];
/// What works only with VLAN filtering.
const WITH_VLANS: [&str; 5] =
    ["vlan_filtering", "vlan_protocol", "vlan_default_pvid", "vlan_stats_enabled", "vlan_stats_per_port"];

fn with_ports(test: impl FnOnce(&mut RouteSocket, u32) + Send) {
    in_host(|host| {
        ip("link add br0 type bridge");
        ip("link add v0 type veth peer name v1");
        ip("link add w0 type veth peer name w1");
        for port in ["v0", "w0"] {
            ip(&format!("link set {port} up master br0"));
        }
        for end in ["v1", "w1"] {
            ip(&format!("link set {end} up"));
        }
        ip("link set br0 up");
        let mut socket = host.socket();
        let port = index(&mut socket, "v0");
        // So that a carrier that comes late does not change the port any more.
        for link in [name("v0"), name("br0")] {
            link::wait_up(&mut socket, link, Duration::from_secs(10)).unwrap();
        }
        test(&mut socket, port);
    });
}

/// An option's value in `ip`'s output, as our number for it.
fn by_ip(row: &OptionRow, link: &str, part: &str) -> Option<u64> {
    let shown = only(&ip_json(&format!("link show {link}")));
    match (&shown["linkinfo"][part][row.key], row.form) {
        (Value::Bool(on), _) => Some((*on).into()),
        (Value::Number(number), _) => number.as_u64(),
        (Value::String(text), _) => match row.parse(text)? {
            OptionValue::Number(number) => Some(number),
            OptionValue::Mac(mac) => Some(mac.0.into_iter().fold(0, |sum, byte| sum << 8 | u64::from(byte))),
            _ => None,
        },
        _ => None,
    }
}

fn number(value: Option<OptionValue>) -> Option<u64> {
    match value? {
        OptionValue::Number(number) => Some(number),
        OptionValue::Mac(mac) => Some(mac.0.into_iter().fold(0, |sum, byte| sum << 8 | u64::from(byte))),
        _ => None,
    }
}

/// Another value than the present one.
fn another(row: &OptionRow, now: u64, other_port: u32) -> OptionValue {
    let number = match (row.name, row.form) {
        // Without a spanning tree protocol in user space the kernel undoes any other (`br_port_state_selection`).
        ("state", _) => 0,
        ("mcast_router" | "mcast_mld_version", _) => 2,
        ("mcast_igmp_version", _) => 3,
        ("mcast_hash_max", _) => 512,
        ("vlan_protocol", _) => 0x88A8,
        ("hello_time", _) => 300,
        ("forward_delay", _) => 1600,
        ("max_age", _) => 1900,
        ("group_address", _) => return OptionValue::Mac("01:80:c2:00:00:08".parse().unwrap()),
        (_, OptionForm::Bit | OptionForm::Switch) => 1 - now,
        (_, OptionForm::Mask) => 0x4000,
        (_, OptionForm::Link) => other_port.into(),
        // The kernel keeps times in jiffies.
        (_, OptionForm::Ticks) => now + 400,
        _ => now / 2 + 1,
    };
    OptionValue::Number(number)
}

#[test]
fn a_fresh_port_and_a_fresh_bridge_have_the_defaults_of_the_table() {
    with_ports(|socket, port| {
        let port = link::get(socket, port).unwrap().port.unwrap();
        let bridge = link::get(socket, name("br0")).unwrap().bridge().unwrap();
        let sides: [(&dyn Options, &str, &str); 2] =
            [(&port, "v0", "info_slave_data"), (&bridge, "br0", "info_data")];
        for (options, link, part) in sides {
            let mut known = 0;
            for (at, row) in options.rows().iter().enumerate() {
                let Some(ours) = number(options.get(at)) else { continue };
                known += 1;
                if let Some(default) = row.default {
                    assert_eq!(ours, default, "{}", row.name);
                }
                if !UNPRINTED.contains(&row.name) && row.form != OptionForm::Link {
                    assert_eq!(by_ip(row, link, part), Some(ours), "{}", row.name);
                }
            }
            assert!(known > 18, "{options:?} of {link}", options = options.rows().len());
        }
    });
}

#[test]
fn each_option_of_a_port_is_set_both_ways_and_changes_no_other() {
    with_ports(|socket, port| {
        let other = index(socket, "w0");
        let before = link::get(socket, port).unwrap().port.unwrap();
        for (at, row) in PortOptions::ROWS.iter().enumerate() {
            let Some(now) = number(before.get(at)).or((row.form == OptionForm::Link).then_some(0)) else {
                continue;
            };
            let value = another(row, now, other);
            for value in [value, OptionValue::Number(now)] {
                // The kernel accepts `mab` only for a locked port.
                let mut options =
                    PortOptions { locked: (row.name == "mab").then_some(true), ..PortOptions::NONE };
                assert!(options.set(at, value), "{}", row.name);
                bridge::set_port(socket, port, &options).unwrap();
                let ours = link::get(socket, port).unwrap().port.unwrap();
                let expected = value != OptionValue::Number(0) || row.form != OptionForm::Link;
                assert_eq!(ours.get(at), expected.then_some(value), "{}", row.name);
                if !UNPRINTED.contains(&row.name) {
                    assert_eq!(by_ip(row, "v0", "info_slave_data"), number(Some(value)), "{}", row.name);
                }
                for (other, row) in PortOptions::ROWS.iter().enumerate() {
                    let is_with = row.name == "locked" && options.locked.is_some();
                    assert!(other == at || is_with || ours.get(other) == before.get(other), "{}", row.name);
                }
            }
            bridge::set_port(
                socket,
                port,
                &PortOptions { locked: before.locked.and(Some(false)), ..PortOptions::NONE },
            )
            .unwrap();
        }
    });
}

#[test]
fn each_option_of_a_bridge_is_set_both_ways_and_changes_no_other() {
    with_ports(|socket, _| {
        let br0 = name("br0");
        let before = link::get(socket, br0).unwrap().bridge().unwrap();
        for (at, row) in BridgeOptions::ROWS.iter().enumerate() {
            let Some(now) = number(before.get(at)) else { continue };
            let back = before.get(at).unwrap();
            for value in [another(row, now, 0), back] {
                let mut options = BridgeOptions::NONE;
                assert!(options.set(at, value), "{}", row.name);
                match bridge::set(socket, br0, &options) {
                    Err(error) if WITH_VLANS.contains(&row.name) && !has_vlan_filtering() => {
                        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                        break;
                    }
                    // Only for a bridge without ports.
                    Err(error) if row.name == "vlan_stats_per_port" => {
                        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
                        break;
                    }
                    outcome => outcome.unwrap_or_else(|error| panic!("{}: {error}", row.name)),
                }
                let ours = link::get(socket, br0).unwrap().bridge().unwrap();
                assert_eq!(ours.get(at), Some(value), "{}", row.name);
                if !UNPRINTED.contains(&row.name) {
                    assert_eq!(by_ip(row, "br0", "info_data"), number(Some(value)), "{}", row.name);
                }
                for (other, row) in BridgeOptions::ROWS.iter().enumerate() {
                    assert!(other == at || ours.get(other) == before.get(other), "{}", row.name);
                }
            }
        }
    });
}

#[test]
fn many_options_are_set_by_one_request_and_none_by_an_empty_one() {
    with_ports(|socket, port| {
        let mut wanted = link::get(socket, port).unwrap().port.unwrap();
        let mut options = PortOptions::NONE;
        for (at, row) in PortOptions::ROWS.iter().enumerate() {
            if row.form == OptionForm::Switch && !["vlan_tunnel", "mab", "locked"].contains(&row.name) {
                let Some(now) = number(wanted.get(at)) else { continue };
                options.set(at, OptionValue::Number(1 - now));
                wanted.set(at, OptionValue::Number(1 - now));
            }
        }
        bridge::set_port(socket, port, &options).unwrap();
        assert_eq!(link::get(socket, port).unwrap().port, Some(wanted));
        bridge::set_port(socket, port, &PortOptions::NONE).unwrap();
        assert_eq!(link::get(socket, port).unwrap().port, Some(wanted));
    });
}

#[test]
fn what_bridge_sets_is_read() {
    with_ports(|socket, port| {
        let before = link::get(socket, port).unwrap().port.unwrap();
        bridge_tool("link set dev v0 isolated on hairpin on learning off flood off cost 7 priority 3");
        let expected = PortOptions {
            isolated: Some(true),
            hairpin: Some(true),
            learning: Some(false),
            flood: Some(false),
            cost: Some(7),
            priority: Some(3),
            ..before
        };
        assert_eq!(link::get(socket, port).unwrap().port, Some(expected));
    });
}

#[test]
fn what_is_no_port_has_no_options() {
    with_ports(|socket, _| {
        assert_eq!(link::get(socket, name("v1")).unwrap().port, None);
        let v1 = index(socket, "v1");
        let isolated = PortOptions { isolated: Some(true), ..PortOptions::default() };
        let error = bridge::set_port(socket, v1, &isolated).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Invalid), "{error}");
        assert_eq!(error.operation(), netns_core::Operation::SetBridgePort);
        let error = bridge::set_port(socket, 999, &isolated).unwrap_err();
        assert_eq!(
            error.to_string(),
            "set bridge port interface 999: No such device (os error 19): unknown ifindex"
        );
    });
}
