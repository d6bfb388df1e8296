//! Sandboxes of one bridge and the host: it lets them out, but not to each other.

use super::nat::{needs_nat, provider};
use crate::{ip_address, name, net};
use netns_core::nat::{self, Nat, NatOptions};
use netns_core::ping::{Ping, ping};
use netns_core::{Namespace, RouteSocket, link};
use std::time::Duration;
use tests::{eventually, in_host, ip, only, oracle};

/// Two namespaces that their ports keep apart, with routes to each other through the host.
fn two_apart() -> [Namespace; 2] {
    // A MAC address of its own: a bridge that was given none takes the lowest of its ports'.
    ip("link add br0 address 02:00:00:00:00:fe type bridge");
    ip("link set br0 up");
    ip("addr add 10.1.1.254/24 dev br0");
    for number in [1, 2] {
        ip(&format!("netns add ns{number}"));
        ip(&format!("link add v{number} type veth peer name eth0 netns ns{number}"));
        ip(&format!("link set v{number} master br0 up"));
        let _ = tests::run(oracle("bridge").args([
            "link",
            "set",
            "dev",
            &format!("v{number}"),
            "isolated",
            "on",
        ]));
        ip(&format!("-n ns{number} addr add 10.1.1.{number}/24 dev eth0"));
        ip(&format!("-n ns{number} link set eth0 up"));
        ip(&format!("-n ns{number} route add 10.1.1.{} via 10.1.1.254", 3 - number));
    }
    [1, 2].map(|number| Namespace::open(&format!("ns{number}")).unwrap())
}

fn arrives(from: &Namespace) -> bool {
    let question = Ping { timeout: Duration::from_secs(1), ..Ping::new(ip_address("10.1.1.1")) };
    ping(from, &question).is_ok_and(|report| report.all_received())
}

/// Makes both take this for the host's MAC address.
fn host_is_at(mac: impl Fn(u32) -> String) {
    for number in [1, 2] {
        let mac = mac(number);
        ip(&format!("-n ns{number} neigh replace 10.1.1.254 lladdr {mac} dev eth0 nud permanent"));
    }
}

fn mac_of(name: &str) -> String {
    only(&tests::ip_json(&format!("link show {name}")))["address"].as_str().unwrap().to_owned()
}

#[test]
fn the_host_routes_nothing_between_sandboxes_under_any_of_its_mac_addresses() {
    in_host(|host| {
        needs_nat();
        let _provider = provider();
        let [_, ns2] = two_apart();
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        // After the first packet it would send a redirect, since they are on one link.
        for device in ["all", "br0"] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{device}/send_redirects"), "0").unwrap();
        }
        host_is_at(|_| mac_of("br0"));
        eventually("the host routes, and nobody keeps it from that", || arrives(&ns2));

        let bridge = link::get(&mut RouteSocket::open().unwrap(), name("br0")).unwrap();
        let options = NatOptions::new(bridge.index, bridge.mac.unwrap(), vec![net("10.1.1.0/24")]);
        let table = nat::unused_name();
        let nat = Nat::create(host.namespace(), &table, NatOptions { masquerade: true, ..options }).unwrap();
        assert!(!arrives(&ns2), "by the bridge's address");
        // The bridge also delivers to the host what is sent to the port's own address.
        host_is_at(|number| mac_of(&format!("v{number}")));
        assert!(!arrives(&ns2), "by their ports' addresses");
        let _ = tests::run(oracle("nft").args(["flush", "chain", "inet", &table, "addressed"]));
        eventually("that way is one", || arrives(&ns2));
        nat.delete().unwrap();
    });
}
