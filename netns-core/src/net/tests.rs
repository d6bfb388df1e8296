//! Networks, their addresses and their edges.

use super::IpNet;
use std::net::IpAddr;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn network_last_address_and_hosts_of_every_kind_of_prefix() {
    for (text, network, last, hosts, first_host) in [
        ("10.1.1.5/24", "10.1.1.0/24", "10.1.1.255", 254, Some("10.1.1.1")),
        ("10.1.1.5/30", "10.1.1.4/30", "10.1.1.7", 2, Some("10.1.1.5")),
        ("10.1.1.5/31", "10.1.1.4/31", "10.1.1.5", 0, None),
        ("10.1.1.5/32", "10.1.1.5/32", "10.1.1.5", 0, None),
        ("10.1.1.5/0", "0.0.0.0/0", "255.255.255.255", (1 << 32) - 2, Some("0.0.0.1")),
        ("10.1.1.5/8", "10.0.0.0/8", "10.255.255.255", (1 << 24) - 2, Some("10.0.0.1")),
        ("fd00::5/64", "fd00::/64", "fd00::ffff:ffff:ffff:ffff", (1 << 64) - 1, Some("fd00::1")),
        ("fd00::5/127", "fd00::4/127", "fd00::5", 1, Some("fd00::5")),
        ("fd00::5/128", "fd00::5/128", "fd00::5", 0, None),
        ("fd00::5/0", "::/0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", u128::MAX, Some("::1")),
    ] {
        let net = net(text);
        assert_eq!(net.to_string(), text);
        assert_eq!(net.network().to_string(), network, "{text}");
        assert_eq!(net.last(), ip(last), "{text}");
        assert_eq!(net.hosts(), hosts, "{text}");
        assert_eq!(net.host(1), first_host.map(ip), "{text}");
        assert_eq!(net.host(0), None);
        assert_eq!(hosts.checked_add(1).and_then(|number| net.host(number)), None, "{text}");
        assert!(
            net.contains(net.address()) && net.contains(net.last()) && net.contains(net.network().address())
        );
    }
    // The last host of an IPv4 network is the one below the broadcast address; of an IPv6 network, the last address.
    assert_eq!(net("10.1.1.0/24").host(254), Some(ip("10.1.1.254")));
    assert_eq!(net("10.1.1.0/24").host(255), None);
    assert_eq!(net("fd00::/126").host(3), Some(ip("fd00::3")));
    assert_eq!(net("fd00::/126").host(4), None);
}

#[test]
fn an_address_alone_is_a_network_of_one() {
    assert_eq!(net("10.1.1.5"), IpNet::single(ip("10.1.1.5")));
    assert_eq!(net("10.1.1.5").prefix(), 32);
    assert_eq!(net("fd00::5").prefix(), 128);
    assert_eq!(IpNet::everything(ip("10.1.1.5")), net("0.0.0.0/0"));
    assert_eq!(IpNet::everything(ip("fd00::5")), net("::/0"));
}

#[test]
fn addresses_inside_and_outside_are_distinguished() {
    for (outer, inside, outside) in [
        ("10.1.1.0/24", "10.1.1.255", "10.1.2.0"),
        ("10.1.1.77/24", "10.1.1.0", "10.1.0.255"),
        ("10.1.1.4/31", "10.1.1.5", "10.1.1.6"),
        ("10.1.1.5/32", "10.1.1.5", "10.1.1.4"),
        ("128.0.0.0/1", "255.255.255.255", "127.255.255.255"),
        ("fd00:0:0:1::/64", "fd00:0:0:1:ffff::", "fd00:0:0:2::"),
        ("fd00::5/128", "fd00::5", "fd00::4"),
    ] {
        assert!(net(outer).contains(ip(inside)), "{inside} in {outer}");
        assert!(!net(outer).contains(ip(outside)), "{outside} in {outer}");
    }
    assert!(net("0.0.0.0/0").contains(ip("255.1.2.3")) && net("::/0").contains(ip("::")));
    // Never across families, not even for everything.
    assert!(!net("0.0.0.0/0").contains(ip("::1")) && !net("::/0").contains(ip("10.0.0.1")));
    assert!(!net("::/0").contains(ip("0.0.0.0")));
}

#[test]
fn networks_overlap_if_one_is_in_the_other() {
    for (first, second, overlap) in [
        ("10.0.0.0/8", "10.1.1.0/24", true),
        ("10.1.1.0/24", "10.1.1.128/25", true),
        ("10.1.1.0/25", "10.1.1.128/25", false),
        ("10.1.1.200/24", "10.1.1.3/24", true),
        ("10.1.1.0/24", "10.1.2.0/24", false),
        ("10.1.1.5/32", "10.1.1.5/32", true),
        ("0.0.0.0/0", "203.0.113.9/32", true),
        ("::/0", "fd00::/64", true),
        ("0.0.0.0/0", "::/0", false),
        ("fd00::/64", "fd00:0:0:1::/64", false),
    ] {
        assert_eq!(net(first).overlaps(&net(second)), overlap, "{first} and {second}");
        assert_eq!(net(second).overlaps(&net(first)), overlap, "{second} and {first}");
    }
}

#[test]
fn an_invalid_network_is_refused_with_the_reason() {
    let address = "it is not an IPv4 or IPv6 address";
    let prefix = "its prefix length is not a number";
    for (text, why) in [
        ("", address),
        ("/24", address),
        ("10.1.1/24", address),
        ("10.1.1.256/24", address),
        ("10.1.1.1 /24", address),
        ("fd00:::1/64", address),
        ("br0", address),
        ("10.1.1.1/", prefix),
        ("10.1.1.1/x", prefix),
        ("10.1.1.1/-1", prefix),
        ("10.1.1.1/+8", prefix),
        ("10.1.1.1/24/8", prefix),
        ("10.1.1.1/256", prefix),
    ] {
        assert_eq!(text.parse::<IpNet>().unwrap_err().to_string(), format!("read address {text:?}: {why}"));
    }
    for (text, bits) in [("10.1.1.1/33", 32), ("10.1.1.1/255", 32), ("fd00::1/129", 128)] {
        let error = text.parse::<IpNet>().unwrap_err();
        assert_eq!(error.to_string(), format!("use address {text}: the prefix has at most {bits} bits"));
    }
}

#[test]
fn everything_and_its_halves_count_as_default_routes() {
    for text in ["0.0.0.0/0", "0.0.0.0/1", "128.0.0.0/1", "::/0", "::/1", "8000::/1"] {
        assert!(net(text).is_default(), "{text}");
    }
    for text in ["0.0.0.0/2", "10.0.0.0/8", "2000::/3", "fc00::/7"] {
        assert!(!net(text).is_default(), "{text}");
    }
}
