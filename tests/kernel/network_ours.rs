//! Networks touch what is theirs and nothing else, whatever its name or index.

use crate::{ip_address, name, net};
use netns_core::Namespace;
use netns_core::network::{Network, NetworkOptions};
use netns_core::ping::{Ping, ping};
use std::time::Duration;
use tests::{in_host, ip, ip_json, only, without_capabilities};

const LONG: Duration = Duration::from_secs(20);

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some(net("10.99.0.0/24")),
        subnet_v6: Some(net("fd99::/64")),
        ..NetworkOptions::new(name("sb"))
    }
}

fn other() -> NetworkOptions {
    NetworkOptions { subnet_v4: Some(net("10.98.0.0/24")), ..NetworkOptions::new(name("other")) }
}

#[test]
fn a_network_does_not_delete_the_sandbox_of_another() {
    in_host(|_| {
        let [mine, theirs] = [options(), other()].map(|options| Network::create(&options).unwrap());
        let kept = mine.create_sandbox().unwrap();
        let [own, foreign] = [&mine, &theirs].map(|network| network.create_sandbox().unwrap());
        let index = [kept.port().index, own.port().index];
        let error = mine.delete([own, foreign]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "delete sandboxes of sb: one of them is of the network other; none was deleted"
        );
        assert!(error.is_invalid_input());
        assert_eq!(only(&ip_json("link show sbp0"))["ifindex"], index[0]);
        let reached = ping(kept.namespace().unwrap(), &Ping::new(ip_address("10.99.0.1"))).unwrap();
        assert!(reached.all_received());
        // They were dropped.
        for network in [&mine, &theirs] {
            network.wait_reclaimed(LONG).unwrap();
        }
        assert_eq!((mine.sandboxes(), theirs.sandboxes()), (1, 0));
    });
}

#[test]
fn a_name_that_now_belongs_to_somebody_else_stays() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let sandbox = network.create_named_sandbox("box").unwrap();
        ip("netns delete box");
        ip("netns add box");
        let theirs = Namespace::open("box").unwrap().id().unwrap();
        drop(sandbox);
        assert_eq!(Namespace::open("box").unwrap().id().unwrap(), theirs);
        network.wait_reclaimed(LONG).unwrap();

        let sandbox = network.create_named_sandbox("ours").unwrap();
        ip("netns delete ours");
        std::fs::write("/var/run/netns/ours", "").unwrap();
        drop(sandbox);
        assert!(std::fs::exists("/var/run/netns/ours").unwrap(), "a file that somebody made since is gone");
        network.wait_reclaimed(LONG).unwrap();
    });
}

#[test]
fn a_name_that_cannot_be_removed_is_reported_and_removed_later() {
    in_host(|_| {
        let network = Network::create(&NetworkOptions { maximum: 1, ..options() }).unwrap();
        let sandbox = network.create_named_sandbox("box").unwrap();
        without_capabilities(|| drop(sandbox));
        assert_eq!(Namespace::list().unwrap(), ["box"]);
        let error = without_capabilities(|| network.wait_reclaimed(Duration::from_millis(50))).unwrap_err();
        assert_eq!(
            error.to_string(),
            "delete namespace box: ioctl(SIOCGSKNS): Operation not permitted (os error 1)"
        );
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!((ip("netns list").as_str(), network.sandboxes()), ("", 0));
        network.create_named_sandbox("box").unwrap();
    });
}
