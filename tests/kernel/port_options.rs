//! Every option of a bridge port, both ways, against `bridge -j -d link`.

use crate::{index, name};
use netns_core::bridge::{self, PortOptions};
use netns_core::link;
use tests::{bridge as bridge_tool, bridge_json, in_host, ip, only};

type Field = fn(&mut PortOptions) -> &mut Option<bool>;

/// Each option with the name that `bridge` has for it, and the kernel's default.
const OPTIONS: [(&str, Field, bool); 7] = [
    ("isolated", |options| &mut options.isolated, false),
    ("hairpin", |options| &mut options.hairpin, false),
    ("learning", |options| &mut options.learning, true),
    ("flood", |options| &mut options.flood, true),
    ("mcast_flood", |options| &mut options.mcast_flood, true),
    ("bcast_flood", |options| &mut options.bcast_flood, true),
    ("neigh_suppress", |options| &mut options.neigh_suppress, false),
];

fn by_bridge() -> [bool; 7] {
    let shown = only(&bridge_json("link show dev v0"));
    OPTIONS.map(|(option, ..)| shown[option].as_bool().unwrap_or_else(|| panic!("no {option} in {shown}")))
}

const DEFAULTS: [bool; 7] = {
    let mut defaults = [false; 7];
    let mut at = 0;
    while at < OPTIONS.len() {
        defaults[at] = OPTIONS[at].2;
        at += 1;
    }
    defaults
};

fn on_a_port(test: impl FnOnce(&mut netns_core::RouteSocket, u32) + Send) {
    in_host(|host| {
        ip("link add br0 type bridge");
        ip("link add v0 type veth peer name v1");
        ip("link set v0 master br0");
        let mut socket = host.socket();
        let port = index(&mut socket, "v0");
        test(&mut socket, port);
    });
}

#[test]
fn a_fresh_port_has_the_defaults_that_the_docs_name() {
    on_a_port(|socket, port| {
        assert_eq!(by_bridge(), DEFAULTS);
        let mut ours = link::get(socket, port).unwrap().port.unwrap();
        assert_eq!(OPTIONS.map(|(_, field, _)| field(&mut ours).unwrap()), DEFAULTS);
    });
}

#[test]
fn each_option_is_set_both_ways_and_changes_no_other() {
    on_a_port(|socket, port| {
        for (position, (option, field, default)) in OPTIONS.into_iter().enumerate() {
            for value in [!default, default] {
                let mut options = PortOptions::default();
                *field(&mut options) = Some(value);
                bridge::set_port(socket, port, &options).unwrap();
                let mut expected = DEFAULTS;
                expected[position] = value;
                assert_eq!(by_bridge(), expected, "after {option} {value}");
                let mut ours = link::get(socket, port).unwrap().port.unwrap();
                assert_eq!(
                    OPTIONS.map(|(_, field, _)| field(&mut ours).unwrap()),
                    expected,
                    "after {option} {value}"
                );
            }
        }
    });
}

#[test]
fn all_options_are_set_by_one_request_and_none_by_an_empty_one() {
    on_a_port(|socket, port| {
        let mut options = PortOptions::default();
        for (_, field, default) in OPTIONS {
            *field(&mut options) = Some(!default);
        }
        bridge::set_port(socket, port, &options).unwrap();
        assert_eq!(by_bridge(), DEFAULTS.map(|value| !value));
        bridge::set_port(socket, port, &PortOptions::default()).unwrap();
        assert_eq!(by_bridge(), DEFAULTS.map(|value| !value));
        assert_eq!(link::get(socket, port).unwrap().port, Some(options));
    });
}

#[test]
fn what_bridge_sets_we_read() {
    on_a_port(|socket, port| {
        bridge_tool("link set dev v0 isolated on hairpin on learning off flood off");
        let expected = PortOptions {
            isolated: Some(true),
            hairpin: Some(true),
            learning: Some(false),
            flood: Some(false),
            mcast_flood: Some(true),
            bcast_flood: Some(true),
            neigh_suppress: Some(false),
        };
        assert_eq!(link::get(socket, port).unwrap().port, Some(expected));
    });
}

#[test]
fn what_is_no_port_has_no_options() {
    on_a_port(|socket, _| {
        assert_eq!(link::get(socket, name("v1")).unwrap().port, None);
        let v1 = index(socket, "v1");
        let isolated = PortOptions { isolated: Some(true), ..PortOptions::default() };
        let error = bridge::set_port(socket, v1, &isolated).unwrap_err();
        assert!(matches!(error.errno(), Some(libc::EOPNOTSUPP | libc::EINVAL)), "{error}");
        assert_eq!(error.operation(), netns_core::Operation::SetBridgePort);
        let error = bridge::set_port(socket, 999, &isolated).unwrap_err();
        assert_eq!(
            error.to_string(),
            "set bridge port interface 999: No such device (os error 19): unknown ifindex"
        );
    });
}
