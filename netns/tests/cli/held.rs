//! Topologies that a process holds, as `netns run` does: made without a file.

use crate::state_of_the_host;
use netns_core::record::RecordFile;
use netns_core::{IfName, IpNet, MacAddress, Namespace};
use netns_topology::{
    AddressSpec, BridgeSpec, Cable, CableEnd, Change, DEFAULT_MTU, HeldLab, LinkName, Place, PortSpec,
    Progress, RouteSpec, ShellCommand, Topology,
};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::ControlFlow;
use std::sync::Arc;
use tests::{bridge_json, eventually, in_host, ip, ip_json, only, oracle};

fn inside(name: &str) -> LinkName {
    LinkName { place: Place::Namespace(name.to_owned()), name: IfName::new("eth0").unwrap() }
}

fn on_host(name: &str) -> LinkName {
    LinkName { place: Place::Host, name: IfName::new(name).unwrap() }
}

fn address(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 1, 1, number).into()
}

/// Namespaces with these names on a bridge of the host; each has its number as address, and the host as router.
fn lab(names: &[&str]) -> Topology {
    let bridge = on_host("br0");
    let options = netns_core::bridge::BridgeOptions::NONE;
    let mac = MacAddress::local(0x100);
    let mut lab = Topology {
        namespaces: names.iter().map(|name| (*name).to_owned()).collect(),
        bridges: vec![BridgeSpec { link: bridge.clone(), mac: Some(mac), mtu: DEFAULT_MTU, options }],
        ..Topology::default()
    };
    let net = |number| IpNet::new(address(number), 24).unwrap();
    lab.addresses.push(AddressSpec { link: bridge, net: net(254) });
    for (name, number) in names.iter().zip(1..) {
        let mut far = end(inside(name));
        far.mac = Some(MacAddress::local(number.into()));
        far.neighbours = vec![(address(254), mac)];
        let port =
            PortSpec { bridge: IfName::new("br0").unwrap(), options: netns_core::bridge::PortOptions::NONE };
        let near = CableEnd { port: Some(port), ..end(on_host(&format!("port{number}"))) };
        lab.cables.push(Cable { ends: [near, far], policy: None, is_known: true });
        lab.addresses.push(AddressSpec { link: inside(name), net: net(number) });
        lab.routes.push(RouteSpec {
            place: Place::Namespace((*name).to_owned()),
            to: IpNet::everything(address(254)),
            via: Some(address(254)),
            dev: None,
            metric: None,
            onlink: false,
        });
    }
    lab
}

fn end(link: LinkName) -> CableEnd {
    CableEnd { link, mac: None, mtu: DEFAULT_MTU, port: None, neighbours: Vec::new() }
}

fn go_on(_: &Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Whether the address answers the namespace.
fn pings(from: &Namespace, to: &str) -> bool {
    let mut ping = oracle("ping");
    from.run(ping.args(["-c", "1", "-W", "5", "-q", to]).stdout(std::process::Stdio::null()))
        .unwrap()
        .success()
}

#[test]
fn without_a_record_namespaces_have_no_names_and_go_with_their_holder() {
    in_host(|_| {
        let before = state_of_the_host();
        let lab = HeldLab::up(&lab(&["a", "b"]), None, None, &mut go_on).unwrap();
        assert_eq!(ip("netns list"), "");
        assert_eq!(std::fs::read_dir("/run").unwrap().count(), 0);
        let a = Arc::clone(lab.namespace("a").unwrap());
        assert!(lab.namespace("c").is_none());
        assert!(pings(&a, "10.1.1.2") && pings(&a, "10.1.1.254"));
        let index = only(&ip_json("link show port1"))["ifindex"].as_u64();
        assert_eq!(Some(u64::from(lab.indexes()[&on_host("port1")])), index);
        // What each has as permanent neighbours.
        let known = ip("neigh show dev br0 nud permanent");
        assert!(known.contains("10.1.1.1 lladdr 02:00:00:00:00:01"), "{known}");
        let fixed = bridge_json("fdb show dev port2").to_string();
        assert!(fixed.contains("\"mac\":\"02:00:00:00:00:02\"") && fixed.contains("static"), "{fixed}");
        // A namespace that somebody holds lives on, but its cable goes all the same.
        let done = lab.down(&mut go_on).unwrap();
        assert!(done.changes.iter().any(|change| *change == Change::RemoveNamespace("b".to_owned())));
        assert_eq!(done.left, [""; 0]);
        assert_eq!(state_of_the_host(), before);
        assert!(!pings(&a, "10.1.1.2"));
    });
}

#[test]
fn a_record_is_locked_while_it_is_held_and_what_is_left_can_be_taken_down() {
    in_host(|_| {
        let before = state_of_the_host();
        let path = "/run/held.record";
        let record = RecordFile::create(path, "held").unwrap();
        let lab = HeldLab::up(&lab(&["a", "b"]), Some(record), None, &mut go_on).unwrap();
        assert_eq!(ip("netns list").lines().count(), 2);
        assert!(RecordFile::open(path, "held").is_err_and(|error| RecordFile::is_held(&error)));
        drop(lab);
        let record = RecordFile::open(path, "held").unwrap().unwrap();
        let left = HeldLab::left_by(record).unwrap().unwrap();
        let done = left.down(&mut go_on).unwrap();
        assert!(done.changes.iter().any(|change| *change == Change::RemoveNamespace("b".to_owned())));
        assert_eq!(state_of_the_host(), before);
    });
}

#[test]
fn a_callback_stops_the_building_and_what_is_there_stays_until_down() {
    in_host(|_| {
        let before = state_of_the_host();
        let mut cables = 0;
        let mut two = |progress: &Progress<'_>| {
            cables += usize::from(matches!(progress.change, Change::AddCable(_)));
            if cables == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let lab = HeldLab::up(&lab(&["a", "b", "c", "d"]), None, None, &mut two).unwrap();
        let ports: Vec<_> =
            bridge_json("link show").as_array().unwrap().iter().map(|port| port["ifname"].clone()).collect();
        assert_eq!(ports, ["port1", "port2"]);
        assert!(pings(lab.namespace("a").unwrap(), "10.1.1.2"));
        lab.down(&mut go_on).unwrap();
        eventually("nothing is left", || state_of_the_host() == before);
    });
}

#[test]
fn a_refusal_in_the_middle_is_undone() {
    in_host(|_| {
        let before = state_of_the_host();
        let record = RecordFile::create("/run/held.record", "held").unwrap();
        let mut wrong = lab(&["a", "b"]);
        // Neither has a neighbour with this address.
        wrong.routes.last_mut().unwrap().via = Some(Ipv4Addr::new(10, 9, 9, 9).into());
        let error = HeldLab::up(&wrong, Some(record), None, &mut go_on).unwrap_err();
        assert!(error.to_string().ends_with("; what was done is undone"), "{error}");
        assert_eq!(state_of_the_host(), before);
        let mut runs = lab(&["a"]);
        runs.commands.push(ShellCommand { namespace: "a".to_owned(), command: "true".to_owned() });
        let record = RecordFile::create("/run/held.record", "held").unwrap();
        let error = HeldLab::up(&runs, Some(record), None, &mut go_on).unwrap_err();
        assert!(error.to_string().contains("only the topology of a file runs commands"), "{error}");
        assert_eq!(state_of_the_host(), before);
        // This is in the way, and nothing is made.
        ip("link add port2 type veth peer name other");
        let before = state_of_the_host();
        let record = RecordFile::create("/run/held.record", "held").unwrap();
        let error = HeldLab::up(&lab(&["a", "b"]), Some(record), None, &mut go_on).unwrap_err();
        assert!(error.is_invalid_input() && error.to_string().contains("link host/port2 exists"), "{error}");
        assert_eq!(state_of_the_host(), before);
    });
}
