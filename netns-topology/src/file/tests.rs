//! What a file can say, and what it cannot: where every error is, and what was expected there.

use super::parse;
use crate::topology::{Group, LinkName, Place, Topology};
use netns_core::link::{LinkKind, MacvlanMode, MacvlanOptions, VlanProtocol};
use std::path::Path;

fn read(text: &str) -> Topology {
    parse(Path::new("lab.toml"), text).unwrap()
}

/// The first line of the error, without the name of the file.
fn error(text: &str) -> String {
    let error = parse(Path::new("lab.toml"), text).unwrap_err().to_string();
    error.lines().next().unwrap().strip_prefix("lab.toml:").unwrap().to_owned()
}

#[test]
fn the_examples_say_what_they_mean() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let counts = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        let topology = read(&text);
        (topology.namespaces.len(), topology.bridges.len(), topology.cables.len(), topology.routes.len())
    };
    assert_eq!(counts("cable.toml"), (2, 0, 1, 0));
    assert_eq!(counts("bridge.toml"), (3, 1, 3, 0));
    assert_eq!(counts("bridge-host.toml"), (2, 1, 2, 2));
    assert_eq!(counts("tenants.toml"), (4, 1, 4, 0));
    assert_eq!(counts("two-bridges.toml"), (21, 2, 22, 40));
}

#[test]
fn everything_at_once() {
    let topology = read(
        r#"
        [host]
        interface.up0 = { peer = "switch/up0", addresses = ["192.0.2.1/30"], mtu = 9000 }
        routes = [{ to = "198.51.100.0/24", via = "192.0.2.2", metric = 50 }]
        sysctl = { "net.ipv4.conf.up0.rp_filter" = 2 }
        [bridge.br0]
        namespace = "switch"
        ageing = 10
        multicast_snooping = false
        [namespace.b]
        interface.eth0 = { bridge = "br0", mtu = 1400, mac = "02:00:00:00:00:01", port = { name = "p1", flood = false } }
        run = ["true", "sleep 1"]
        [namespace.switch]
        interface.up0 = { peer = "host/up0", addresses = ["192.0.2.2/30"], mtu = 9000 }
        sysctl."net/ipv4/ip_forward" = true
        "#,
    );
    assert_eq!(topology.namespaces, ["b", "switch"], "in the order of the file");
    let bridge = &topology.bridges[0];
    assert_eq!((bridge.link.to_string().as_str(), bridge.mtu), ("switch/br0", 1400));
    let ends: Vec<String> =
        topology.cables.iter().flat_map(|cable| &cable.ends).map(|end| end.link.to_string()).collect();
    assert_eq!(ends, ["host/up0", "switch/up0", "switch/p1", "b/eth0"]);
    let options = topology.cables[1].ends[0].port.unwrap().options;
    assert_eq!((options.flood, options.learning), (Some(false), Some(true)));
    let settings: Vec<_> =
        topology.sysctls.iter().map(|sysctl| (sysctl.key.as_str(), &*sysctl.value)).collect();
    assert_eq!(settings, [("net/ipv4/conf/up0/rp_filter", "2"), ("net/ipv4/ip_forward", "1")]);
    assert_eq!(topology.routes[0].to_string(), "198.51.100.0/24 via 192.0.2.2 metric 50");
    assert_eq!(topology.commands.len(), 2);
    let link = LinkName { place: Place::Host, name: "up0".parse().unwrap() };
    assert_eq!(topology.addresses[0].link, link);
}

#[test]
fn invalid_names() {
    assert_eq!(error("[namespace.host]"), "1:12: \"host\" means the host; expected another name, or [host]");
    assert!(error("[namespace.'a/b']").starts_with("1:12: find namespace \"a/b\": the name contains '/'"));
    assert!(error("[bridge.a-name-of-16-byte]").starts_with("1:9: use interface name"));
    assert_eq!(error("[bridge.lo]"), "1:9: every namespace has its lo already; expected another name");
    assert_eq!(
        error("[bridge.br0]\n[namespace.a-long-name-ns]\ninterface.eth0 = { bridge = 'br0' }"),
        "3:11: the port's name would be \"a-long-name-ns-eth0\", which no interface can have; expected port = { name \
         = \"...\" } with one of up to 15 bytes"
    );
    assert_eq!(
        error("[bridge.a-b]\n[namespace.a]\ninterface.b = { bridge = 'a-b' }"),
        "3:11: there is a link host/a-b already; expected a name that is free"
    );
}

#[test]
fn invalid_cables() {
    assert_eq!(
        error("[namespace.a]\ninterface.x = {}"),
        "2:11: a/x leads nowhere; expected bridge = \"NAME\", or peer = \"NAMESPACE/INTERFACE\""
    );
    assert_eq!(
        error("[namespace.a]\ninterface.x = { peer = 'a/x' }"),
        "2:24: a cable has two ends; expected another interface"
    );
    assert_eq!(
        error("[namespace.a]\ninterface.x = { peer = 'b/x' }"),
        "2:24: there is no namespace \"b\"; expected one of: a"
    );
    assert_eq!(
        error("[namespace.a]\ninterface.x = { peer = 'b/y' }\n[namespace.b]\ninterface.y = { peer = 'a/z' }"),
        "4:11: b/y is the other end of a/x; expected peer = \"a/x\""
    );
    assert_eq!(
        error("[bridge.b]\n[namespace.a]\ninterface.x = { peer = 'a/y', bridge = 'b' }"),
        "3:24: an interface has one other end; expected either `bridge` or `peer`"
    );
}

#[test]
fn invalid_addresses_and_routes() {
    let on_bridge = |rest: &str| {
        format!(
            "[bridge.b]\naddresses = ['10.0.0.1/24']\n[namespace.a]\ninterface.x = {{ bridge = 'b', {rest}"
        )
    };
    assert_eq!(
        error(&on_bridge("addresses = ['10.0.0.1/24'] }")),
        "4:44: 10.0.0.1 is host/b's, which a/x can reach; expected another address"
    );
    assert_eq!(
        error(&on_bridge("addresses = ['fd00::1/64'], mtu = 1000 }")),
        "4:44: IPv6 on a/x, whose MTU is 1000; expected an MTU of 1280 or more"
    );
    assert_eq!(error(&on_bridge("mtu = 20 }")), "4:37: no link has an MTU of 20; expected 68 to 65535 bytes");
    assert_eq!(
        error(&on_bridge("mac = '01:00:00:00:00:00' }")),
        "4:37: no interface can have 01:00:00:00:00:00; expected one of a single interface, such as \
         \"02:00:00:00:00:01\""
    );
    let routed = |route: &str| on_bridge(&format!("addresses = ['10.0.0.2/24'] }}\nroutes = [{route}]"));
    assert_eq!(
        error(&routed("{ to = 'default', via = '10.1.0.1' }")),
        "5:35: a has no address in the network of 10.1.0.1; expected one that it can reach, or `dev` and `onlink = true`"
    );
    assert_eq!(
        error(&routed("{ to = '10.1.0.1/16', via = '10.0.0.1' }")),
        "5:18: 10.1.0.1/16 is an address in a network; expected 10.1.0.0/16"
    );
    assert_eq!(
        error(&routed("{ to = 'fd00::/64', via = '10.0.0.1' }")),
        "5:37: 10.0.0.1 routes nothing to fd00::/64; expected an address of the same family"
    );
    assert_eq!(
        error(&routed("{ to = 'default' }")),
        "5:18: a default route without `via`; expected it, or to = \"0.0.0.0/0\" or \"::/0\""
    );
    assert_eq!(
        error(&routed("{ to = '10.1.0.0/16', dev = 'y' }")),
        "5:39: there is no interface in a \"y\"; expected one of: x"
    );
    assert_eq!(
        error(&routed("{ to = '10.1.0.0/16' }")),
        "5:11: a route that leads nowhere; expected `via` or `dev`"
    );
}

#[test]
fn groups_have_names_or_numbers_and_are_kept_apart() {
    let topology = read(
        r#"
        apart = [["red", "blue"], ["blue", 7], ["red", "red"]]
        [bridge.br0]
        [namespace.a]
        interface.eth0 = { bridge = "br0", policy = { mode = "enforce", group = "red" } }
        [namespace.b]
        interface.eth0 = { bridge = "br0", policy = { group = "blue" } }
        [namespace.c]
        interface.eth0 = { bridge = "br0", policy = { group = 7 } }
        [namespace.d]
        interface.eth0 = { bridge = "br0", policy = "observe" }
        "#,
    );
    let (red, blue) = (Group::Name("red".to_owned()), Group::Name("blue".to_owned()));
    let groups: Vec<&Group> =
        topology.cables.iter().map(|cable| &cable.policy.as_ref().unwrap().group).collect();
    assert_eq!(groups, [&red, &blue, &Group::Number(7), &Group::default()]);
    assert_eq!(topology.apart, [[red.clone(), blue.clone()], [blue, Group::Number(7)], [red.clone(), red]]);
    assert_eq!(topology.cables[0].policy.as_ref().unwrap().to_string(), "enforce group red");
}

#[test]
fn invalid_groups() {
    let grouped = |apart: &str, groups: &[&str]| {
        let namespace = |(number, group): (usize, &&str)| {
            let policy = format!("policy = {{ group = {group} }}");
            format!("[namespace.n{number}]\ninterface.e = {{ bridge = 'br0', {policy} }}\n")
        };
        let namespaces: Vec<String> = groups.iter().enumerate().map(namespace).collect();
        error(&format!("apart = [{apart}]\n[bridge.br0]\n{}", namespaces.concat()))
    };
    let tenants = ["'red'", "'blue'"];
    assert_eq!(
        grouped("['red', 'blu']", &tenants),
        "1:18: no port is in a group \"blu\"; did you mean \"blue\"?"
    );
    assert_eq!(
        grouped("['green', 'blue']", &tenants),
        "1:11: no port is in a group \"green\"; expected one of: blue, red"
    );
    assert_eq!(
        grouped("['green', 'blue']", &["7"]),
        "1:11: no port is in a group \"green\"; expected one of: 7"
    );
    assert_eq!(
        grouped("['green', 'blue']", &[]),
        "1:11: no port is in a group \"green\"; expected a port with group = \"green\""
    );
    assert_eq!(
        grouped("['red', 64]", &tenants),
        "1:18: there is no group 64; expected one from 0 to 63, or a name"
    );
    assert!(grouped("['red']", &tenants).starts_with("1:10: invalid length 1, expected "));
    assert_eq!(
        grouped("", &["'a b'"]),
        "4:52: no group has the name \"a b\"; expected one such as \"tenant1\""
    );
    assert_eq!(grouped("", &["-1"]), "4:52: there is no group -1; expected one from 0 to 63, or a name");
    assert_eq!(
        grouped("", &["true"]),
        "4:52: invalid type: boolean `true`, expected the name or the number of a group"
    );
    let many: Vec<String> = (0..64).map(|number| format!("'g{number}'")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let last =
        format!("{}:52: there are 64 groups, one of them of ports in no other; expected fewer", 2 + 2 * 64);
    assert_eq!(grouped("", &many), last);
}

#[test]
fn columns_count_characters_and_tabs_stay_aligned() {
    let error = parse(Path::new("lab.toml"), "[namespace.a]\n\tsysctl = { 'größe' = 1 }").unwrap_err();
    assert_eq!(
        error.to_string(),
        "lab.toml:2:13: \"größe\" is not a setting of a namespace; expected one like \"net.ipv4.ip_forward\"\n  \
         2 | \tsysctl = { 'größe' = 1 }\n    \
         | \t           ^^^^^^^"
    );
}

#[test]
fn policies_have_the_link_local_address_unless_ipv6_is_forbidden() {
    let policy = |table: &str| {
        let text = format!(
            "[bridge.b]\n[namespace.a]\ninterface.e = {{ bridge = 'b', addresses = ['10.1.1.1/24'], policy = {table} }}\n"
        );
        let policy = read(&text).cables[0].policy.clone().unwrap();
        (policy.to_string(), policy.of(netns_core::MacAddress::local(1), 0).unwrap().rules)
    };
    let own = netns_ebpf::packet::Rules::new(netns_core::MacAddress::local(1).0)
        .with_ipv4([10, 1, 1, 1].into(), 32)
        .unwrap();
    assert_eq!(policy("'enforce'"), ("enforce 10.1.1.1".to_owned(), own));
    let (text, rules) = policy("{ ipv6 = false }");
    assert_eq!((text.as_str(), rules), ("observe 10.1.1.1 no-ipv6", own.without_ipv6()));
    assert_eq!(policy("{ ipv6 = true }").1, own);
    let every =
        "['vlan', 'router', 'dhcp-server', 'dhcp-client', 'dhcp-relay', 'icmp-errors', 'multicast-router']";
    let (text, _) = policy(&format!("{{ permit = {every} }}"));
    let named = "vlan router dhcp-server dhcp-client dhcp-relay icmp-errors multicast-router";
    assert_eq!(text, format!("observe 10.1.1.1 {named}"));
}

#[test]
fn options_are_those_of_the_tables_and_links_have_one_end() {
    let topology = read(
        "[bridge.br0]
        stp = true
        options = { priority = 7, vlan_filtering = true, vlan_protocol = '802.1ad', group_fwd_mask = '0x4000' }
        [namespace.ns1]
        interface.eth0 = { bridge = 'br0', port = { name = 'p', cost = 9, guard = true, isolated = true } }
        interface.m0 = { type = 'macvlan', link = 'eth0', options = { mode = 'vepa' }, mtu = 1400 }
        interface.x0 = { type = 'vxlan', link = 'eth0', options = { id = 5, remote = 'fd00::1', learning = false } }
        interface.d0 = { type = 'dummy', addresses = ['10.9.0.1/24'] }",
    );
    let bridge = &topology.bridges[0].options;
    assert_eq!((bridge.priority, bridge.vlan_filtering, bridge.stp_state), (Some(7), Some(true), Some(true)));
    assert_eq!((bridge.vlan_protocol, bridge.group_fwd_mask), (Some(VlanProtocol::DOT1AD), Some(0x4000)));
    assert_eq!(bridge.mcast_querier, None);
    let port = topology.cables[0].ends[0].port.unwrap().options;
    assert_eq!(
        (port.cost, port.guard, port.isolated, port.learning),
        (Some(9), Some(true), Some(true), Some(true))
    );
    assert_eq!(
        (port.priority, port.fastleave),
        (None, Some(false)),
        "what has a default is that, if not given"
    );
    let [m0, x0, d0] = &topology.links[..] else { panic!("{:?}", topology.links) };
    let mode = MacvlanOptions { mode: Some(MacvlanMode::VEPA), ..MacvlanOptions::NONE };
    assert_eq!((m0.kind, m0.mtu, m0.on.unwrap().as_str()), (LinkKind::Macvlan(mode), Some(1400), "eth0"));
    let LinkKind::Vxlan(options) = x0.kind else { panic!("{x0:?}") };
    assert_eq!((options.group6, options.learning), (Some("fd00::1".parse().unwrap()), Some(false)));
    assert_eq!((d0.kind.name(), d0.on, d0.link.to_string().as_str()), ("dummy", None, "ns1/d0"));

    let of = |table: &str| error(&format!("[namespace.a]\ninterface.m = {{ {table} }}"));
    for (table, words) in [
        ("type = 'macvlan'", "2:11: a macvlan is on another link; expected link = \"NAME\""),
        (
            "type = 'bridge'",
            "2:24: there is no type \"bridge\"; expected one of: dummy, macvlan, vlan, vxlan",
        ),
        ("type = 'macvlan', link = 'b'", "2:11: there is no interface in a \"b\"; expected one of: m"),
        ("type = 'macvlan', link = 'm'", "2:11: a link on itself"),
        ("type = 'vxlan', options = { id = 'x' }", "2:50: id is \"x\"; expected a number of up to"),
        ("type = 'vxlan', options = { dev = 'm' }", "2:45: there is no option \"dev\"; expected one of: id,"),
        ("type = 'dummy', peer = 'a/b'", "2:40: a dummy cannot be an end of a cable"),
        ("peer = 'a/b', options = { id = 1 }", "2:43: the end of a cable has no options"),
        ("type = 'macvlan', link = 'm', options = { mode = 'passthru' }", "2:11: it would have the address"),
    ] {
        assert!(of(table).starts_with(words), "{table}: {}", of(table));
    }
    let port = |text: &str| {
        error(&format!("[bridge.b]\n[namespace.a]\ninterface.m = {{ bridge = 'b', port = {{ {text} }} }}"))
    };
    assert!(
        port("backup_port = 'x'").contains("there is no option \"backup_port\""),
        "{}",
        port("backup_port = 'x'")
    );
    assert!(port("isolated = 'maybe'").contains("isolated is \"maybe\"; expected on or off"));
    assert!(port("name = 5").contains("a name is a text"));
}
