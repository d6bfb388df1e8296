//! Plans, made from the description, the record and the observed state, without a kernel. The kernel decides about
//! links, so those plans are tested with it, in `netns/tests/cli`.

use super::plan;
use crate::observe::{Observed, ObservedInside};
use crate::record::{Record, RecordedCommand, RecordedRoute, SysctlEntry};
use crate::topology::{Place, Topology};
use netns_core::NamespaceId;
use netns_core::record::NamespaceIdentity;
use std::path::Path;

const LAB: &str = r#"
[host]
sysctl."net.ipv4.ip_forward" = 1
[bridge.br0]
addresses = ["10.0.0.254/24"]
[namespace.a]
interface.eth0 = { bridge = "br0", addresses = ["10.0.0.1/24", "fd00::1/64"] }
routes = [{ to = "default", via = "10.0.0.254" }]
sysctl = { "net.ipv4.conf.eth0.rp_filter" = 1, "net.ipv6.conf.default.accept_ra" = 0 }
run = ["true"]
"#;

fn lab() -> Topology {
    crate::parse(Path::new("lab.toml"), LAB).unwrap()
}

fn record() -> Record {
    Record::new(Path::new("/lab.toml")).unwrap()
}

fn identity(cookie: u64) -> NamespaceIdentity {
    NamespaceIdentity { cookie: Some(cookie), id: NamespaceId { device: 4, inode: 5 } }
}

/// A host with nothing in it.
fn bare() -> Observed {
    let mut observed = Observed::default();
    observed.places.insert(Place::Host, ObservedInside::default());
    observed
}

fn lines(topology: &Topology, record: &Record, observed: &Observed) -> Vec<String> {
    plan(topology, record, observed).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn from_nothing_everything_is_made_in_the_order_in_which_it_can_be() {
    let expected = [
        "+ namespace a",
        "+ host: net/ipv4/ip_forward 1",
        "+ a: net/ipv6/conf/default/accept_ra 0",
        "+ bridge host/br0",
        "+ cable a/eth0 - host/a-eth0 (on br0)",
        "+ a: net/ipv4/conf/eth0/rp_filter 1",
        "+ host/br0: address 10.0.0.254/24",
        "+ a/eth0: address 10.0.0.1/24",
        "+ a/eth0: address fd00::1/64",
        "+ a/eth0: link-local address",
        "+ a: route default via 10.0.0.254",
        "+ a: run true",
    ];
    assert_eq!(lines(&lab(), &record(), &bare()), expected);
    assert!(lines(&Topology::default(), &record(), &bare()).is_empty());
}

#[test]
fn a_namespace_is_ours_by_its_cookie() {
    let topology = crate::parse(Path::new("lab.toml"), "[namespace.a]").unwrap();
    let (mut record, mut observed) = (record(), bare());
    observed.namespaces.insert("a".to_owned(), Some(identity(7)));
    let conflict = plan(&topology, &record, &observed).unwrap_err();
    assert!(
        conflict.is_invalid_input()
            && conflict.to_string().starts_with("namespace a exists and was not made")
    );

    record.namespaces.insert("a".to_owned(), identity(6));
    assert!(plan(&topology, &record, &observed).is_err(), "a later namespace of this name");
    assert!(lines(&Topology::default(), &record, &observed).is_empty(), "which nobody removes");

    record.namespaces.insert("a".to_owned(), identity(7));
    assert!(lines(&topology, &record, &observed).is_empty());
    assert_eq!(lines(&Topology::default(), &record, &observed), ["- namespace a"]);

    observed.namespaces.insert("a".to_owned(), None);
    assert_eq!(
        lines(&topology, &record, &observed),
        ["- namespace a", "+ namespace a"],
        "we were killed meanwhile"
    );
}

#[test]
fn a_setting_gets_its_old_value_unless_somebody_changed_it() {
    let (mut record, mut observed) = (record(), bare());
    record.sysctls.push(SysctlEntry {
        place: Place::Host,
        key: "net/ipv4/ip_forward".to_owned(),
        value: "1".to_owned(),
        before: "0".to_owned(),
        interfaces: None,
    });
    let mut is = |value: &str| {
        let host = observed.places.get_mut(&Place::Host).unwrap();
        host.sysctls.insert("net/ipv4/ip_forward".to_owned(), Some(value.to_owned()));
        lines(&Topology::default(), &record, &observed)
    };
    assert_eq!(is("1"), ["~ host: net/ipv4/ip_forward 1 -> 0"]);
    assert!(is("2").is_empty());
}

#[test]
fn a_command_is_not_started_again_when_it_has_ended() {
    let text = "[namespace.a]\nrun = ['true', 'sleep 9']";
    let topology = crate::parse(Path::new("lab.toml"), text).unwrap();
    let (mut record, mut observed) = (record(), bare());
    record.namespaces.insert("a".to_owned(), identity(7));
    observed.namespaces.insert("a".to_owned(), Some(identity(7)));
    let started = RecordedCommand { namespace: "a".to_owned(), command: "true".to_owned(), group: 9 };
    record.commands.push(started);
    assert_eq!(lines(&topology, &record, &observed), ["+ a: run sleep 9"]);
    // Killed before it was written down: it runs, and that is enough.
    observed.running.insert(("a".to_owned(), "sleep 9".to_owned()));
    assert!(lines(&topology, &record, &observed).is_empty());
    // In a namespace that was made anew it starts again.
    observed.namespaces.clear();
    assert_eq!(
        lines(&topology, &record, &observed),
        ["- a: run sleep 9", "+ namespace a", "+ a: run true", "+ a: run sleep 9"],
    );
}

#[test]
fn somebody_elses_route_is_in_the_way() {
    let text = "[host]\nroutes = [{ to = '10.9.0.0/16', via = '10.0.0.9' }]";
    let topology = crate::parse(Path::new("lab.toml"), text).unwrap();
    let (mut record, mut observed) = (record(), bare());
    assert_eq!(lines(&topology, &record, &observed), ["+ host: route 10.9.0.0/16 via 10.0.0.9"]);
    let route = |gateway: &str| {
        netns_core::route::Route::new("10.9.0.0/16".parse().unwrap(), Some(gateway.parse().unwrap()), Some(3))
    };
    observed.places.get_mut(&Place::Host).unwrap().routes = vec![route("10.0.0.9")];
    assert!(plan(&topology, &record, &observed).is_err());
    record.routes.push(RecordedRoute::new(&topology.routes[0]));
    assert!(lines(&topology, &record, &observed).is_empty());
    assert_eq!(lines(&Topology::default(), &record, &observed), ["- host: route 10.9.0.0/16 via 10.0.0.9"]);
    observed.places.get_mut(&Place::Host).unwrap().routes = vec![route("10.0.0.8")];
    assert!(plan(&topology, &record, &observed).is_err());
    assert!(lines(&Topology::default(), &record, &observed).is_empty());
}

#[test]
fn groups_are_kept_apart_before_ports_join_them_and_talk_again_after() {
    let text = r#"
        apart = [["red", "blue"], ["blue", "red"], ["red", 9]]
        [bridge.br0]
        [namespace.a]
        interface.e = { bridge = "br0", policy = { group = "red" } }
        [namespace.b]
        interface.e = { bridge = "br0", policy = { group = "blue" } }
    "#;
    let topology = crate::parse(Path::new("lab.toml"), text).unwrap();
    let (mut record, mut observed) = (record(), bare());
    let apart = "+ host: apart red and blue";
    let (before, after) = (
        ["+ namespace a", "+ namespace b", "+ bridge host/br0"],
        [
            "+ cable a/e - host/a-e (on br0) policy observe group red",
            "+ cable b/e - host/b-e (on br0) policy observe group blue",
        ],
    );
    let expected =
        |middle: &[&'static str], last: &[&'static str]| [&before[..], middle, &after, last].concat();
    assert_eq!(lines(&topology, &record, &observed), expected(&[apart], &[]), "nobody is in group 9");

    // As it was left: by number, both ways, and another group that was there.
    record.groups =
        [("red", 3), ("blue", 2), ("old", 5)].map(|(name, number)| (name.to_owned(), number)).into();
    let mut is = |ways: &[(u8, u8)]| {
        observed.apart.insert(Place::Host, ways.iter().copied().collect());
        lines(&topology, &record, &observed)
    };
    assert_eq!(is(&[(2, 3), (3, 2)]), expected(&[], &[]));
    assert_eq!(is(&[(2, 3)]), expected(&[apart], &[]), "killed between the two");
    let left = ["- host: apart blue and old", "- host: apart 8 and 8"];
    assert_eq!(is(&[(2, 3), (3, 2), (2, 5), (5, 2), (8, 8)]), expected(&[], &left));
    assert!(lines(&Topology::default(), &record, &observed).is_empty(), "it goes with the last port");
}
