//! Routes, checked with `ip -j route`.

use crate::{ip_address, net};
use netns_core::route::{self, Preference, Protocol, Route, RouteKind, Scope};
use netns_core::{Namespace, RouteSocket};
use std::time::Duration;
use tests::{in_host, ip};

/// `ns1` with an `eth0` (index 5) that is up and has addresses in 10.1.1.0/24 and `fd00:1::/64`.
fn inside(test: impl FnOnce(&mut RouteSocket) + Send) {
    in_host(|_| {
        for command in [
            "netns add ns1",
            "link add v0 index 9 type veth peer name eth0 index 5 netns ns1",
            "link set v0 up",
            "-n ns1 link set lo up",
            "-n ns1 link set eth0 up",
            "-n ns1 addr add 10.1.1.1/24 dev eth0",
            "-n ns1 addr add fd00:1::1/64 dev eth0 nodad",
        ] {
            ip(command);
        }
        test(&mut RouteSocket::open_in(&Namespace::open("ns1").unwrap()).unwrap());
    });
}

/// The routes that somebody set, in `ip`'s words, without those that the kernel adds.
fn shown(arguments: &str) -> Vec<String> {
    let routes = ip(&format!("-n ns1 {arguments}"));
    let set = routes.lines().filter(|route| !route.contains("proto kernel"));
    set.map(|route| route.trim_end().to_owned()).collect()
}

#[test]
fn a_default_route_of_each_family_leads_to_its_gateway() {
    inside(|socket| {
        route::add(socket, &Route::default_via(ip_address("10.1.1.254"))).unwrap();
        route::add(socket, &Route::default_via(ip_address("fd00:1::fe"))).unwrap();
        assert_eq!(shown("route show"), ["default via 10.1.1.254 dev eth0"]);
        assert_eq!(shown("-6 route show"), ["default via fd00:1::fe dev eth0 metric 1024 pref medium"]);
        assert!(ip("-n ns1 route get 8.8.8.8").contains("via 10.1.1.254 dev eth0"));
    });
}

#[test]
fn a_prefix_route_leads_to_a_gateway_or_onto_the_link() {
    inside(|socket| {
        for (destination, gateway) in [
            ("10.2.0.0/16", Some("10.1.1.254")),
            ("10.3.3.3/32", None),
            ("fd00:2::/48", Some("fd00:1::fe")),
            ("fd00:3::3/128", None),
        ] {
            let route = Route::new(net(destination), gateway.map(ip_address), Some(5));
            route::add(socket, &route).unwrap();
        }
        assert_eq!(
            shown("route show"),
            ["10.2.0.0/16 via 10.1.1.254 dev eth0", "10.3.3.3 dev eth0 scope link"]
        );
        assert_eq!(
            shown("-6 route show"),
            [
                "fd00:2::/48 via fd00:1::fe dev eth0 metric 1024 pref medium",
                "fd00:3::3 dev eth0 metric 1024 pref medium",
            ]
        );
    });
}

#[test]
fn the_hosts_part_of_a_destination_is_left_out() {
    inside(|socket| {
        route::add(socket, &Route::new(net("10.2.3.4/16"), Some(ip_address("10.1.1.254")), None)).unwrap();
        assert_eq!(shown("route show"), ["10.2.0.0/16 via 10.1.1.254 dev eth0"]);
    });
}

#[test]
fn metric_and_table_are_set() {
    inside(|socket| {
        let gateway = Some(ip_address("10.1.1.254"));
        for table in [100, 70_000] {
            let route = Route { metric: Some(77), table, ..Route::new(net("10.2.0.0/16"), gateway, None) };
            route::add(socket, &route).unwrap();
            assert_eq!(
                shown(&format!("route show table {table}")),
                ["10.2.0.0/16 via 10.1.1.254 dev eth0 metric 77"]
            );
            let listed = route::list(socket).unwrap();
            assert!(listed.contains(&Route { index: Some(5), ..route }), "{listed:?}");
        }
        assert_eq!(shown("route show"), [""; 0]);
    });
}

#[test]
fn the_list_has_what_ip_lists() {
    inside(|socket| {
        ip("-n ns1 route add default via 10.1.1.254");
        ip("-n ns1 route add 10.2.0.0/16 dev eth0 metric 5");
        ip("-n ns1 -6 route add fd00:2::/64 via fd00:1::fe");
        // Not unicast, so not in the list.
        ip("-n ns1 route add blackhole 10.4.0.0/16");
        let mut ours = route::list(socket).unwrap();
        ours.retain(|route| route.destination.address() != ip_address("fe80::"));
        let mut ours: Vec<_> = ours
            .iter()
            .map(|route| {
                (route.destination.to_string(), route.gateway.map(|via| via.to_string()), route.metric)
            })
            .collect();
        ours.sort();
        let expected = [
            ("0.0.0.0/0", Some("10.1.1.254"), None),
            ("10.1.1.0/24", None, None),
            ("10.2.0.0/16", None, Some(5)),
            ("fd00:1::/64", None, Some(256)),
            ("fd00:2::/64", Some("fd00:1::fe"), Some(1024)),
        ];
        assert_eq!(ours, expected.map(|(to, via, metric)| (to.to_owned(), via.map(str::to_owned), metric)));
    });
}

#[test]
fn what_ip_shows_of_a_route_is_reported() {
    inside(|socket| {
        for route in [
            "route add blackhole 10.4.0.0/16",
            "route add 10.5.0.0/16 via 10.1.1.254 proto dhcp src 10.1.1.1",
            "route add 10.6.0.0/16 via 192.0.2.1 dev eth0 onlink proto 77",
            "route add 10.7.0.0/16 via inet6 fd00:1::fe dev eth0",
            "-6 route add unreachable fd00:4::/64",
            "-6 route add fd00:5::/64 dev eth0 pref high expires 500",
        ] {
            ip(&format!("-n ns1 {route}"));
        }
        let all = route::list_all(socket).unwrap();
        let find = |to: &str| *all.iter().find(|route| route.destination == net(to)).unwrap();

        let connected = find("10.1.1.0/24");
        assert_eq!((connected.kind, connected.protocol), (RouteKind::UNICAST, Protocol::KERNEL));
        assert_eq!((connected.scope, connected.source), (Scope::LINK, Some(ip_address("10.1.1.1"))));
        let black = find("10.4.0.0/16");
        assert_eq!((black.kind, black.index, black.scope), (RouteKind::BLACKHOLE, None, Scope::GLOBAL));
        let dhcp = find("10.5.0.0/16");
        assert_eq!((dhcp.protocol, dhcp.source), (Protocol::DHCP, Some(ip_address("10.1.1.1"))));
        let odd = find("10.6.0.0/16");
        // `RTNH_F_ONLINK`
        assert_eq!((odd.protocol, odd.protocol.word(), odd.flags), (Protocol(77), None, 4));
        let other = find("10.7.0.0/16");
        assert_eq!((other.gateway, other.via), (None, Some("fd00:1::fe".parse().unwrap())));
        assert_eq!(find("fd00:4::/64").kind, RouteKind::UNREACHABLE);
        let ending = find("fd00:5::/64");
        assert_eq!(ending.preference, Some(Preference::HIGH));
        let left = Duration::from_mins(8)..=Duration::from_secs(500);
        assert!(ending.expires.is_some_and(|expires| left.contains(&expires)), "{ending:?}");
        assert_eq!(find("fd00:1::/64").expires, None);

        let error = route::add(socket, &black).unwrap_err();
        assert_eq!(error.to_string(), "use route blackhole 10.4.0.0/16: only unicast routes can be added");
        let error = route::prepend(socket, &black).unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        route::delete(socket, &black).unwrap();
        assert!(!ip("-n ns1 route").contains("blackhole"));
    });
}

#[test]
fn a_route_is_deleted_and_the_others_stay() {
    inside(|socket| {
        let routes = [
            Route::default_via(ip_address("10.1.1.254")),
            Route::new(net("10.2.0.0/16"), Some(ip_address("10.1.1.254")), None),
            Route::default_via(ip_address("fd00:1::fe")),
        ];
        for route in &routes {
            route::add(socket, route).unwrap();
        }
        route::delete(socket, &routes[0]).unwrap();
        assert_eq!(shown("route show"), ["10.2.0.0/16 via 10.1.1.254 dev eth0"]);
        assert_eq!(shown("-6 route show").len(), 1);
        route::delete(socket, &routes[2]).unwrap();
        assert_eq!(shown("-6 route show"), [""; 0]);
        let error = route::delete(socket, &routes[0]).unwrap_err();
        assert_eq!(error.to_string(), "delete route default via 10.1.1.254: No such process (os error 3)");
    });
}

#[test]
fn refusals_name_the_route() {
    inside(|socket| {
        let route = Route::default_via(ip_address("10.1.1.254"));
        route::add(socket, &route).unwrap();
        assert_eq!(
            route::add(socket, &route).unwrap_err().to_string(),
            "add route default via 10.1.1.254: File exists (os error 17)"
        );
        let error = route::add(socket, &Route::default_via(ip_address("192.0.2.1"))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "add route default via 192.0.2.1: Network is unreachable (os error 101): Nexthop has invalid gateway"
        );
        let mixed = Route::new(net("10.2.0.0/16"), Some(ip_address("fd00:1::fe")), None);
        let error = route::add(socket, &mixed).unwrap_err();
        assert_eq!(
            error.to_string(),
            "use route 10.2.0.0/16 via fd00:1::fe: destination and gateway are of different families"
        );
    });
}
