//! Addresses, checked with `ip -j addr`.

use crate::{ip_address, net};
use netns_core::address::{self, Address, Scope};
use netns_core::{Namespace, RouteSocket};
use serde_json::Value;
use std::time::Duration;
use tests::{eventually, in_host, ip, ip_json, ipv4_words, only};

/// `ns1` with an `eth0` (index 5) that is up, and so is its other end.
fn inside(test: impl FnOnce(&mut RouteSocket) + Send) {
    in_host(|_| {
        for command in [
            "netns add ns1",
            "link add v0 index 9 type veth peer name eth0 index 5 netns ns1",
            "link set v0 up",
            "-n ns1 link set eth0 up",
        ] {
            ip(command);
        }
        test(&mut RouteSocket::open_in(&Namespace::open("ns1").unwrap()).unwrap());
    });
}

/// The addresses that `ip` shows, without link-local ones.
fn shown() -> Vec<Value> {
    let link = only(&ip_json("-n ns1 addr show dev eth0"));
    let addresses = link["addr_info"].as_array().unwrap();
    addresses
        .iter()
        .filter(|address| address["scope"] != "link" && address.get("local").is_some())
        .cloned()
        .collect()
}

fn add(socket: &mut RouteSocket, address: &str) {
    address::add(socket, &Address::new(5, net(address))).unwrap();
}

#[test]
fn an_ipv4_address_is_added_with_its_broadcast_address() {
    inside(|socket| {
        add(socket, "10.1.1.1/24");
        let [address] = &shown()[..] else { panic!("{:?}", shown()) };
        assert_eq!((&address["local"], &address["prefixlen"]), (&"10.1.1.1".into(), &24.into()));
        assert_eq!((&address["broadcast"], &address["scope"]), (&"10.1.1.255".into(), &"global".into()));
        // The kernel made the route to its network.
        assert_eq!(ip("-n ns1 route show"), "10.1.1.0/24 dev eth0 proto kernel scope link src 10.1.1.1 \n");
    });
}

#[test]
fn prefixes_of_31_and_32_bits_have_no_broadcast_address() {
    inside(|socket| {
        for (address, local, prefix) in [("10.1.1.0/31", "10.1.1.0", 31), ("10.2.2.2/32", "10.2.2.2", 32)] {
            add(socket, address);
            let shown = shown();
            let [shown] = &shown[..] else { panic!("{shown:?}") };
            assert_eq!((&shown["local"], &shown["prefixlen"]), (&local.into(), &prefix.into()));
            assert_eq!(shown.get("broadcast"), None);
            address::delete(socket, 5, net(address)).unwrap();
        }
        assert_eq!(shown(), [Value::Null; 0]);
    });
}

#[test]
fn an_ipv6_address_is_usable_at_once() {
    inside(|socket| {
        add(socket, "fd00:1::1/64");
        let [address] = &shown()[..] else { panic!("{:?}", shown()) };
        assert_eq!((&address["local"], &address["prefixlen"]), (&"fd00:1::1".into(), &64.into()));
        assert_eq!((&address["nodad"], address.get("tentative")), (&true.into(), None));
        let ours = address::list(socket).unwrap();
        let ours = ours.iter().find(|ours| ours.net == net("fd00:1::1/64")).unwrap();
        assert!(ours.nodad && !ours.tentative);
    });
}

#[test]
fn an_ipv6_address_with_detection_is_tentative_first() {
    inside(|socket| {
        address::add(socket, &Address { nodad: false, ..Address::new(5, net("fd00:1::1/64")) }).unwrap();
        let find = |socket: &mut RouteSocket| {
            let all = address::list(socket).unwrap();
            *all.iter().find(|ours| ours.net == net("fd00:1::1/64")).unwrap()
        };
        let fresh = find(socket);
        assert!(fresh.tentative && !fresh.nodad);
        eventually("nobody else has it", || !find(socket).tentative);
        assert_eq!(shown()[0].get("nodad"), None);
    });
}

#[test]
fn a_loopback_address_has_host_scope() {
    inside(|socket| {
        address::add(socket, &Address::new(1, net("127.0.0.9/8"))).unwrap();
        address::add(socket, &Address::new(1, net("::1/128"))).unwrap_or_else(|error| {
            assert_eq!(error.errno(), Some(libc::EEXIST), "{error}");
        });
        let lo = only(&ip_json("-n ns1 addr show dev lo"));
        let addresses = lo["addr_info"].as_array().unwrap();
        assert!(addresses.iter().any(|address| address["local"] == "127.0.0.9"));
        assert!(
            addresses.iter().all(|address| address.get("scope").is_none_or(|scope| scope == "host")),
            "{lo}"
        );
    });
}

#[test]
fn the_list_has_what_ip_lists_of_both_families() {
    inside(|socket| {
        ip("-n ns1 addr add 10.1.1.1/24 dev eth0");
        ip("-n ns1 addr add 10.1.2.1 peer 10.1.2.2/30 dev eth0");
        ip("-n ns1 addr add fd00:1::1/64 dev eth0 nodad");
        let ours = address::list(socket).unwrap();
        let mut ours: Vec<_> =
            ours.iter().filter(|ours| ours.index == 5).map(|ours| ours.net.to_string()).collect();
        ours.retain(|net| !net.starts_with("fe80:"));
        // For a point-to-point address, our side's.
        assert_eq!(ours, ["10.1.1.1/24", "10.1.2.1/30", "fd00:1::1/64"]);
        assert_eq!(shown().len(), ours.len());
        assert_eq!(shown()[1]["local"], ip_address("10.1.2.1").to_string());
    });
}

#[test]
fn a_list_of_one_interface_is_the_kernels() {
    inside(|socket| {
        ip("-n ns1 link set lo up");
        ip("-n ns1 addr add 10.1.1.1/24 dev eth0");
        ip("-n ns1 addr add fd00:1::1/64 dev eth0 nodad");
        let all = address::list(socket).unwrap();
        for index in [1, 5] {
            let expected: Vec<_> =
                all.iter().filter(|address| address.index == index).map(|one| one.net).collect();
            let found = address::list_of(socket, index).unwrap();
            assert!(found.iter().all(|address| address.index == index));
            assert_eq!(found.iter().map(|address| address.net).collect::<Vec<_>>(), expected);
            assert!(expected.len() >= 2, "{expected:?}");
        }
        assert_eq!(address::list_of(socket, 99).unwrap_err().errno(), Some(libc::ENODEV));
    });
}

#[test]
fn what_ip_shows_of_an_address_is_reported() {
    inside(|socket| {
        ip("-n ns1 addr add 10.1.1.1/24 brd + dev eth0 valid_lft 1000 preferred_lft 500");
        ip("-n ns1 addr add 10.1.2.1 peer 10.1.2.2/30 dev eth0 scope link label eth0:label-of-1");
        ip("-n ns1 addr add fd00:1::1/64 dev eth0 nodad noprefixroute valid_lft 1000 preferred_lft 0");
        let all = address::list(socket).unwrap();
        let find = |net_: &str| *all.iter().find(|address| address.net == net(net_)).unwrap();
        let left = |seconds, left: Option<Duration>| {
            let range = Duration::from_secs(seconds - 20)..=Duration::from_secs(seconds);
            left.is_some_and(|left| range.contains(&left))
        };

        let first = find("10.1.1.1/24");
        assert_eq!((first.peer, first.broadcast), (None, Some(ip_address("10.1.1.255"))));
        assert_eq!((first.scope, first.label.unwrap().as_str()), (Scope::GLOBAL, "eth0"));
        assert!(left(1000, first.valid) && left(500, first.preferred), "{first:?}");
        assert_eq!(first.flags & libc::IFA_F_PERMANENT, 0);

        let second = find("10.1.2.1/30");
        assert_eq!((second.peer, second.broadcast), (Some(ip_address("10.1.2.2")), None));
        assert_eq!((second.scope, second.label.unwrap().as_str()), (Scope::LINK, "eth0:label-of-1"));
        assert_eq!((second.valid, second.preferred), (None, None));
        assert_ne!(second.flags & libc::IFA_F_PERMANENT, 0);

        let third = find("fd00:1::1/64");
        assert_eq!((third.peer, third.broadcast, third.label), (None, None, None));
        assert!(left(1000, third.valid) && third.preferred == Some(Duration::ZERO), "{third:?}");
        let odd = libc::IFA_F_NODAD | libc::IFA_F_NOPREFIXROUTE | libc::IFA_F_DEPRECATED;
        assert_eq!(third.flags & odd, odd);

        // What is known of a new address in advance is true.
        let new = Address::new(5, net("10.3.3.3/32"));
        address::add(socket, &new).unwrap();
        let all = address::list(socket).unwrap();
        let reported = *all.iter().find(|address| address.net == new.net).unwrap();
        let Address { label, flags, nodad, .. } = reported;
        assert_eq!(reported, Address { label, flags, nodad, ..new });
    });
}

#[test]
fn an_address_is_deleted_and_the_others_stay() {
    inside(|socket| {
        for address in ["10.1.1.1/24", "10.2.2.2/24", "fd00:1::1/64", "fd00:2::2/64"] {
            add(socket, address);
        }
        address::delete(socket, 5, net("10.1.1.1/24")).unwrap();
        address::delete(socket, 5, net("fd00:2::2/64")).unwrap();
        let left: Vec<_> =
            shown().iter().map(|address| address["local"].as_str().unwrap().to_owned()).collect();
        assert_eq!(left, ["10.2.2.2", "fd00:1::1"]);
    });
}

#[test]
fn refusals_name_address_and_interface() {
    inside(|socket| {
        add(socket, "10.1.1.1/24");
        let add = |socket: &mut RouteSocket, index, address| {
            address::add(socket, &Address::new(index, net(address))).unwrap_err().to_string()
        };
        assert_eq!(
            add(socket, 5, "10.1.1.1/24"),
            "add address 10.1.1.1/24 on interface 5: File exists (os error 17)".to_owned()
                + &ipv4_words("ipv4: Address already assigned")
        );
        assert_eq!(
            add(socket, 99, "10.1.1.1/24"),
            "add address 10.1.1.1/24 on interface 99: No such device (os error 19)".to_owned()
                + &ipv4_words("ipv4: Device not found")
        );
        assert_eq!(
            address::delete(socket, 5, net("10.9.9.9/24")).unwrap_err().to_string(),
            "delete address 10.9.9.9/24 on interface 5: Cannot assign requested address (os error 99)"
                .to_owned()
                + &ipv4_words("ipv4: Address not found")
        );
    });
}
