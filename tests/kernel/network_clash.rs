//! Somebody else's links that have the index or the name that a network's port would get.

use crate::{ip_address, name, net};
use netns_core::network::{Network, NetworkOptions};
use netns_core::ping::{Ping, ping};
use netns_core::{RouteSocket, link};
use tests::{bridge, eventually, in_host, ip, ip_json, only, tc};

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some(net("10.99.0.0/24")),
        subnet_v6: Some(net("fd99::/64")),
        ..NetworkOptions::new(name("sb"))
    }
}

/// Everything about a link that a sandbox's requests would change.
fn state(link: &str) -> [String; 6] {
    [
        ip(&format!("-d -o link show {link}")),
        bridge(&format!("-d link show dev {link}")),
        bridge(&format!("fdb show dev {link}")),
        tc(&format!("qdisc show dev {link}")),
        tc(&format!("filter show dev {link} ingress")),
        ip(&format!("-o address show {link}")),
    ]
}

#[test]
fn a_link_that_has_the_index_or_the_name_of_a_port_stays_as_it_is() {
    in_host(|_| {
        let program = crate::network::pass(tests::load_program(tests::Verdict::Pass).unwrap());
        let options = NetworkOptions { program: Some(program), ..options() };
        let network = Network::create(&options).unwrap();
        let first = network.create_sandbox().unwrap().port().index;
        ip("link add stranger type bridge");
        ip(&format!("link add theirs index {} type veth peer name end", first + 1));
        ip("link add sbp2 type veth peer name other");
        for link in ["theirs", "sbp2"] {
            ip(&format!("link set {link} up"));
        }
        ip("link set theirs master stranger");
        // Before Linux 6.8 the kernel takes its own time to show that a link's other end is down.
        for link in ["theirs", "sbp2"] {
            eventually("the other end is down", || {
                only(&ip_json(&format!("link show {link}")))["operstate"] == "LOWERLAYERDOWN"
            });
        }
        let before = ["theirs", "sbp2"].map(state);
        let sandboxes: Vec<_> = (0..3).map(|_| network.create_sandbox().unwrap()).collect();
        assert_eq!(["theirs", "sbp2"].map(state), before);
        for sandbox in &sandboxes {
            assert!(![1, 2].contains(&sandbox.number()), "{}", sandbox.number());
            let reached = ping(sandbox.namespace().unwrap(), &Ping::new(ip_address("10.99.0.1"))).unwrap();
            assert!(reached.all_received());
        }
        // Nor are they deleted with the network's own.
        network.delete(sandboxes).unwrap();
        assert_eq!(["theirs", "sbp2"].map(state), before);
        drop(network);
        assert_eq!(["theirs", "sbp2"].map(state), before);
        assert!(link::get(&mut RouteSocket::open().unwrap(), name("stranger")).is_ok());
    });
}
