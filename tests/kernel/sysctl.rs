//! Settings of a namespace, checked with `ip netconf` and by reading them inside.

use netns_core::Namespace;
use netns_core::sysctl::{self, Ipv4Forwarding};
use tests::{in_host, ip};

fn forwarding(link: &str) -> bool {
    ip(&format!("-n ns1 -4 netconf show dev {link}")).contains(&format!(" {link} forwarding on "))
}

const LINKS: [&str; 3] = ["one", "two", "six"];

/// A namespace with three links, of which the second forwards.
fn inside(test: impl FnOnce(&Namespace) + Send) {
    in_host(|_| {
        let namespace = Namespace::create("ns1").unwrap();
        for link in LINKS {
            ip(&format!("-n ns1 link add {link} type bridge"));
        }
        sysctl::set(&namespace, "net.ipv4.conf.two.forwarding", "1").unwrap();
        test(&namespace);
    });
}

#[test]
fn a_setting_is_that_of_the_namespace_and_not_of_the_host() {
    inside(|namespace| {
        sysctl::set(namespace, "net.ipv4.ip_forward", "1").unwrap();
        assert_eq!(ip("netns exec ns1 cat /proc/sys/net/ipv4/ip_forward"), "1\n");
        assert_eq!(std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(), "0\n");
        assert_eq!(sysctl::get(namespace, "net/ipv4/ip_forward").unwrap(), "1");
        sysctl::set(namespace, "net/ipv4/ip_forward", "0").unwrap();
        assert_eq!(ip("netns exec ns1 cat /proc/sys/net/ipv4/ip_forward"), "0\n");
    });
}

#[test]
fn an_interface_with_a_dot_in_its_name_has_settings() {
    inside(|namespace| {
        ip("-n ns1 link add one.5 type bridge");
        sysctl::set(namespace, "net/ipv4/conf/one.5/forwarding", "1").unwrap();
        assert!(forwarding("one.5"));
        assert!(!forwarding("one"));
    });
}

#[test]
fn forwarding_is_switched_on_and_every_interface_is_put_back() {
    inside(|namespace| {
        let state = || LINKS.map(forwarding);
        let global = || sysctl::get(namespace, "net.ipv4.ip_forward").unwrap();
        assert_eq!((state(), global().as_str()), ([false, true, false], "0"));
        let observed = Ipv4Forwarding::observe(namespace).unwrap();
        assert_eq!((state(), global().as_str()), ([false, true, false], "0"), "only looked at");
        let before = Ipv4Forwarding::enable(namespace).unwrap();
        assert_eq!(before, observed);
        assert_eq!(before.interfaces, Some(vec!["two".to_owned()]));
        assert_eq!((state(), global().as_str()), ([true; 3], "1"));
        // A link that is gone by then is passed over.
        ip("-n ns1 link delete six");
        before.restore(namespace).unwrap();
        assert_eq!((["one", "two"].map(forwarding), global().as_str()), ([false, true], "0"));
    });
}

#[test]
fn an_interface_that_forwarded_and_is_gone_is_no_obstacle() {
    inside(|namespace| {
        let before = Ipv4Forwarding::enable(namespace).unwrap();
        ip("-n ns1 link delete two");
        before.restore(namespace).unwrap();
        assert_eq!(["one", "six"].map(forwarding), [false, false]);
    });
}

#[test]
fn forwarding_that_was_on_stays_on() {
    inside(|namespace| {
        sysctl::set(namespace, "net.ipv4.ip_forward", "1").unwrap();
        sysctl::set(namespace, "net.ipv4.conf.one.forwarding", "0").unwrap();
        let before = Ipv4Forwarding::enable(namespace).unwrap();
        assert_eq!(before.interfaces, None);
        before.restore(namespace).unwrap();
        assert_eq!(sysctl::get(namespace, "net.ipv4.ip_forward").unwrap(), "1");
        assert_eq!(LINKS.map(forwarding), [false, true, true]);
    });
}

#[test]
fn refusals_name_the_setting() {
    inside(|namespace| {
        let words = |result: netns_core::Result<()>| result.unwrap_err().to_string();
        assert_eq!(
            words(sysctl::set(namespace, "net.ipv4.no_such_thing", "1")),
            "write sysctl net.ipv4.no_such_thing=1: No such file or directory (os error 2)"
        );
        assert_eq!(
            words(sysctl::set(namespace, "net.ipv4.ip_forward", "many")),
            "write sysctl net.ipv4.ip_forward=many: Invalid argument (os error 22)"
        );
        assert_eq!(
            words(sysctl::get(namespace, "net.ipv4.no_such_thing").map(drop)),
            "read sysctl net.ipv4.no_such_thing: No such file or directory (os error 2)"
        );
        for name in
            ["kernel.hostname", "net/../kernel/hostname", "net//ipv4", "net.ipv4..x", "", "/net/ipv4", "net"]
        {
            let error = sysctl::get(namespace, name).unwrap_err();
            assert!(error.is_invalid_input(), "{name:?}: {error}");
        }
    });
}
