//! Sandboxes in namespaces that somebody else made: plugged in, working like any other, and given back.

use crate::{ip_address, name, net};
use netns_core::network::{Network, NetworkOptions};
use netns_core::ping::{Ping, ping};
use netns_core::{ErrorKind, Namespace};
use std::io::Read;
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;
use tests::{in_host, ip, ip_json, only, oracle};

const LONG: Duration = Duration::from_secs(20);

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some(net("10.99.0.0/24")),
        subnet_v6: Some(net("fd99::/64")),
        ..NetworkOptions::new(name("sb"))
    }
}

fn reaches(from: &Namespace, to: IpAddr) {
    let report = ping(from, &Ping::new(to)).unwrap();
    assert!(report.all_received(), "{to}: {report:?}");
}

#[test]
fn somebody_elses_namespace_is_plugged_in_and_given_back() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let ours = network.create_sandbox().unwrap();
        ip("netns add theirs");
        // It has links, one with the index that `eth0` would have, and an id in the host.
        ip("-n theirs link add dangling index 32 type veth peer name other");
        ip("link add cable type veth peer name eth7 netns theirs");
        let before = ip("-n theirs -o link show").lines().count();
        let theirs = Namespace::open("theirs").unwrap();
        for _ in 0..3 {
            let sandbox = network.create_sandbox_in(&theirs).unwrap();
            assert_eq!(sandbox.namespace().unwrap().id().unwrap(), theirs.id().unwrap());
            reaches(&theirs, ours.address_v4().unwrap().address());
            reaches(ours.namespace().unwrap(), sandbox.address_v6().unwrap().address());
            reaches(&Namespace::current().unwrap(), sandbox.address_v4().unwrap().address());
            let eth0 = only(&ip_json("-n theirs link show eth0"));
            assert_eq!(eth0["address"], sandbox.mac().to_string());
            drop(sandbox);
            network.wait_reclaimed(LONG).unwrap();
            assert_eq!(ip("-n theirs -o link show").lines().count(), before, "it is as it was");
        }
        let sandbox = network.create_sandbox_in(&theirs).unwrap();
        network.delete([sandbox]).unwrap();
        assert_eq!(ip("-n theirs -o link show").lines().count(), before);
        assert_eq!(Namespace::list().unwrap(), ["theirs"]);
        reaches(ours.namespace().unwrap(), ip_address("10.99.0.1"));
    });
}

#[test]
fn what_is_in_the_way_is_an_error_and_nothing_is_left() {
    in_host(|host| {
        let network = Network::create(&options()).unwrap();
        let error = network.create_sandbox_in(host.namespace()).unwrap_err();
        assert_eq!(error.to_string(), "create sandbox sb: it is the namespace of the network's bridge");

        ip("netns add theirs");
        let theirs = Namespace::open("theirs").unwrap();
        ip("-n theirs link add eth0 type veth peer name other");
        let error = network.create_sandbox_in(&theirs).unwrap_err();
        assert_eq!(error.to_string(), "create sandbox eth0: the namespace has an interface of this name");
        assert_eq!(error.kind(), ErrorKind::Exists);
        ip("-n theirs link set eth0 name eth1");

        ip("-n theirs link set eth1 up");
        ip("-n theirs address add 10.1.1.1/24 dev eth1");
        ip("-n theirs route add default via 10.1.1.2 dev eth1");
        let before = ip("-n theirs -o address show");
        let error = network.create_sandbox_in(&theirs).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        assert!(error.to_string().contains("add route default"), "{error}");
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(ip("-n theirs -o link show").lines().count(), 3);
        let without_lo = |text: &str| text.lines().filter(|line| !line.contains(" lo ")).count();
        assert_eq!(without_lo(&ip("-n theirs -o address show")), without_lo(&before));

        let without_route = NetworkOptions { default_route: false, ..options() };
        drop(network);
        let network = Network::create(&without_route).unwrap();
        let sandbox = network.create_sandbox_in(&theirs).unwrap();
        reaches(&theirs, ip_address("10.99.0.1"));
        drop(sandbox);
        network.wait_reclaimed(LONG).unwrap();
    });
}

/// Somebody else's link has the port's index.
#[test]
fn a_clash_on_the_host_takes_the_next_number() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let taken = network.bridge() + 1024;
        ip(&format!("link add stranger index {taken} type veth peer name other"));
        let theirs = Namespace::anonymous().unwrap();
        let sandbox = network.create_sandbox_in(&theirs).unwrap();
        assert_eq!(sandbox.number(), 1);
        drop(sandbox);
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(only(&ip_json("link show stranger"))["ifindex"], taken);
        ip("link del stranger");
    });
}

#[test]
fn a_namespace_of_another_user_namespace_is_plugged_in() {
    in_host(|host| {
        let network = Network::create(&options()).unwrap();
        let mut command = oracle("unshare");
        command.args(["-Urn", "sh", "-c", "echo; exec cat"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut job = command.spawn().unwrap();
        let mut line = [0];
        job.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        let theirs = Namespace::of_pid(job.id()).unwrap();
        assert_ne!(theirs.id().unwrap(), host.namespace().id().unwrap());
        let sandbox = network.create_sandbox_in(&theirs).unwrap();
        reaches(&theirs, ip_address("10.99.0.1"));
        drop(sandbox);
        network.wait_reclaimed(LONG).unwrap();
        // It ends with its input.
        drop(job.stdin.take());
        assert!(job.wait().unwrap().success());
    });
}
