//! `portmap`, after `bridge`: ours after ours, and the reference's after the reference's.

use crate::in_host;
use crate::outside::{Server, is_silent, seen, seen_by_tcp, seen_by_udp, world};
use crate::runtime::{Plugins, Runtime};
use crate::{ONE, TWO, assert_nothing, containers, network};
use netns_core::Namespace;
use serde_json::{Value, json};
use tests::ip;

/// A chain of both, with these ports.
fn published(plugins: Plugins, mappings: &Value) -> Runtime {
    let mut list = network("1.0.0");
    // Where br_netfilter is on, as on this kernel, what a container sends to a port of its own goes back by the bridge.
    list["plugins"][0]["hairpinMode"] = json!(true);
    let chained = json!({"type": "portmap", "capabilities": {"portMappings": true}});
    list["plugins"].as_array_mut().unwrap().push(chained);
    let mut runtime = Runtime::new(plugins, list);
    runtime.capabilities = json!({ "portMappings": mappings });
    runtime
}

fn two_ports() -> Value {
    json!([
        {"hostPort": 8080, "containerPort": 80, "protocol": "tcp"},
        {"hostPort": 8081, "containerPort": 80, "protocol": "udp"},
        {"hostPort": 8082, "containerPort": 80, "protocol": "tcp", "hostIP": "10.99.0.1"},
    ])
}

/// From the world, from the host, from the host by 127.0.0.1, from the container itself; by ours as by Debian's.
#[test]
fn ports_lead_to_the_container_from_everywhere() {
    for (is_ours, plugins) in [(true, Plugins::ours as fn() -> Plugins), (false, Plugins::debians)] {
        in_host(|host| {
            let world = world();
            containers(&["one"]);
            let runtime = published(plugins(), &two_ports());
            let result = runtime.add(ONE).out;
            assert_eq!(result["ips"][0]["address"], "10.88.1.2/24", "{result}");
            let one = Namespace::open("one").unwrap();
            let server = Server::start(&one, 80);
            assert_eq!(seen_by_tcp(&world, "10.99.0.1:8080"), seen("10.99.0.2"), "ours: {is_ours}");
            assert_eq!(seen_by_tcp(&world, "10.99.0.1:8082"), seen("10.99.0.2"), "ours: {is_ours}");
            assert_eq!(seen_by_udp(&world, "10.99.0.1:8081"), seen("10.99.0.2"), "ours: {is_ours}");
            assert_eq!(seen_by_tcp(&world, "[fd00:99::1]:8080"), seen("fd00:99::2"), "ours: {is_ours}");
            assert_eq!(seen_by_tcp(host.namespace(), "10.88.1.1:8080"), seen("10.88.1.1"), "ours: {is_ours}");
            assert_eq!(seen_by_tcp(host.namespace(), "127.0.0.1:8080"), seen("10.88.1.1"), "ours: {is_ours}");
            assert_eq!(seen_by_tcp(&one, "10.99.0.1:8080"), seen("10.88.1.1"), "ours: {is_ours}");
            // Of one address of the host alone.
            assert!(is_silent(&world, "10.99.0.1:8081"), "ours: {is_ours}");
            assert!(is_silent(host.namespace(), "10.88.1.1:8082"), "ours: {is_ours}");
            if is_ours {
                runtime.check(ONE, &result).fine();
            }
            assert_eq!(runtime.del(ONE, &result).code, Some(0));
            drop(server);
            assert!(is_silent(&world, "10.99.0.1:8080"), "ours: {is_ours}");
        });
    }
}

/// Services that the host has at 127.0.0.1 are none of the containers', whatever `route_localnet` says.
#[test]
fn containers_do_not_reach_the_hosts_loopback() {
    in_host(|host| {
        containers(&["one"]);
        let runtime = published(Plugins::ours(), &two_ports());
        let result = runtime.add(ONE).fine();
        let _server = Server::start(host.namespace(), 7777);
        assert_eq!(seen_by_tcp(host.namespace(), "127.0.0.1:7777"), seen("127.0.0.1"));
        let one = Namespace::open("one").unwrap();
        // Its own lo is down, so that no route of that is in the way.
        ip("-n one route add 127.0.0.0/8 via 10.88.1.1");
        std::fs::write("/proc/sys/net/ipv4/conf/cni0/route_localnet", "1").unwrap();
        one.enter(|| {
            std::fs::write("/proc/sys/net/ipv4/conf/all/route_localnet", "1").unwrap();
            std::fs::write("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1").unwrap();
        })
        .unwrap();
        assert!(is_silent(&one, "127.0.0.1:7777"));
        // It is the rule that keeps it out.
        let _ = tests::run(tests::oracle("nft").args(["flush", "ruleset"]));
        assert_eq!(seen_by_tcp(&one, "127.0.0.1:7777"), seen("10.88.1.2"));
        runtime.del(ONE, &result).fine();
    });
}

#[test]
fn the_result_is_passed_on_and_failures_are_named() {
    in_host(|_| {
        containers(&["one", "two"]);
        let runtime = published(Plugins::ours(), &two_ports());
        let previous = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "eth0", "sandbox": "/run/netns/one", "socketPath": "/run/s", "pciID": "1"}],
            "ips": [{"address": "10.88.1.2/24", "interface": 0}],
            "color": "blue",
        });
        let alone = |extra: Value, previous: &Value| {
            let mut plugin = json!({"type": "portmap"});
            for (key, value) in extra.as_object().unwrap() {
                plugin[key] = value.clone();
            }
            let list = json!({"cniVersion": "1.1.0", "name": "net1", "plugins": [plugin]});
            let runtime = Runtime::new(Plugins::ours(), list);
            let (mut command, input) = runtime.prepare_first("ADD", ONE, previous);
            crate::runtime::answer(&mut command, &input)
        };
        assert_eq!(alone(json!({}), &previous).fine(), previous);
        assert_eq!(alone(json!({}), &Value::Null).failure().0, 7);
        let mapping = |mapping: Value| json!({"runtimeConfig": {"portMappings": [mapping]}});
        for (extra, code, words) in [
            (mapping(json!({"hostPort": 0, "containerPort": 80, "protocol": "tcp"})), 7, "hostPort is 0"),
            (
                mapping(json!({"hostPort": 1, "containerPort": 65536, "protocol": "tcp"})),
                7,
                "containerPort is 65536",
            ),
            (mapping(json!({"hostPort": 1, "containerPort": 1, "protocol": "icmp"})), 2, "\"icmp\""),
            (mapping(json!({"hostPort": 1, "containerPort": 1, "hostIP": "x"})), 7, "hostIP is \"x\""),
            (json!({"conditionsV4": ["-d", "1.2.3.4"]}), 2, "conditionsV4"),
            (json!({"externalSetMarkChain": "KUBE-MARK-MASQ"}), 2, "KUBE-MARK-MASQ"),
            (json!({"backend": "ipvs"}), 2, "ipvs"),
        ] {
            let (given, text) = alone(extra, &previous).failure();
            assert_eq!(given, code, "{text}");
            assert!(text.contains(words), "{text}");
        }
        // A port is published for one container: the second one's ADD fails, and the first one's stays.
        let first = runtime.add(ONE).fine();
        let (code, text) = runtime.add(TWO).failure();
        assert_eq!(code, 100, "{text}");
        assert!(text.contains("8080/tcp") && text.contains("net1/one/eth0"), "{text}");
        runtime.del(TWO, &Value::Null).fine();
        runtime.check(ONE, &first).fine();
        let _ = tests::run(tests::oracle("nft").args(["flush", "ruleset"]));
        let (code, text) = runtime.check(ONE, &first).failure();
        assert_eq!((code, text.contains("8080/tcp")), (102, true), "{text}");
        runtime.del(ONE, &first).fine();
        let mut collected = published(Plugins::ours(), &two_ports());
        collected.list["cniVersion"] = json!("1.1.0");
        collected.add(ONE).fine();
        collected.gc(&[]).fine();
        assert_nothing();
    });
}

/// One call does what the chain does.
#[test]
fn everything_in_one_call() {
    in_host(|_| {
        let world = world();
        containers(&["one", "two"]);
        let mut runtime = crate::ours("1.1.0");
        runtime.list["plugins"][0]["type"] = json!("netns-cni");
        runtime.list["plugins"][0]["capabilities"] = json!({"portMappings": true});
        runtime.capabilities = json!({ "portMappings": two_ports() });
        for (key, value) in [
            ("sysctl", json!({"net.ipv4.ip_forward": "1"})),
            ("promisc", json!(true)),
            ("allmulti", json!(true)),
            ("txQLen", json!(500)),
        ] {
            let mut refused = crate::ours("1.1.0");
            refused.list["plugins"][0]["type"] = json!("netns-cni");
            refused.list["plugins"][0][key] = value;
            let (code, text) = refused.add(ONE).failure();
            assert_eq!((code, text.contains(&format!("\"{key}\" with the value"))), (2, true), "{text}");
        }
        let result = runtime.add(ONE).fine();
        runtime.check(ONE, &result).fine();
        runtime.status().fine();
        let one = Namespace::open("one").unwrap();
        let _server = Server::start(&one, 80);
        assert_eq!(seen_by_tcp(&world, "10.99.0.1:8080"), seen("10.99.0.2"));
        let before = (crate::links(), crate::reserved());
        assert_eq!(runtime.add(TWO).failure().0, 100);
        assert_eq!((crate::links(), crate::reserved()), before, "the ADD that failed is undone");
        runtime.del(ONE, &result).fine();
        crate::reaches(None, "10.99.0.2");
        runtime.gc(&[]).fine();
        ip("link delete uplink");
        assert_nothing();
    });
}

fn route_localnet() -> String {
    std::fs::read_to_string("/proc/sys/net/ipv4/conf/cni0/route_localnet")
        .expect("a setting")
        .trim()
        .to_owned()
}

/// `GC` of the network with the ports takes the rule away that keeps containers out, and the bridge stays for another network:
/// so the setting goes first.
#[test]
fn the_hosts_loopback_is_shut_after_the_last_port() {
    in_host(|host| {
        containers(&["one", "two"]);
        let mut runtime = published(Plugins::ours(), &two_ports());
        runtime.list["cniVersion"] = json!("1.1.0");
        let mut other = crate::ours("1.1.0");
        other.list["name"] = json!("net2");
        other.list["plugins"][0]["ipam"]["ranges"] =
            json!([[{"subnet": "10.88.1.0/24", "rangeStart": "10.88.1.128"}]]);
        other.list["plugins"][0]["ipam"]["routes"] = json!([]);
        runtime.add(ONE).fine();
        other.add(TWO).fine();
        assert_eq!(route_localnet(), "1");
        runtime.gc(&[]).fine();
        assert_eq!(route_localnet(), "0");
        let _server = Server::start(host.namespace(), 7777);
        assert_eq!(seen_by_tcp(host.namespace(), "127.0.0.1:7777"), seen("127.0.0.1"));
        let two = Namespace::open("two").unwrap();
        ip("-n two route add 127.0.0.0/8 via 10.88.1.1");
        two.enter(|| {
            for link in ["all", "eth0"] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{link}/route_localnet"), "1").unwrap();
            }
        })
        .unwrap();
        crate::reaches(Some("two"), "10.88.1.1");
        assert!(is_silent(&two, "127.0.0.1:7777"));
        other.gc(&[]).fine();
        assert_nothing();
    });
}

/// The bridge of somebody else has the setting that it had, by one call as by a chain.
#[test]
fn route_localnet_is_put_back() {
    for (before, in_one_call) in [("0", true), ("1", true), ("0", false)] {
        in_host(|_| {
            containers(&["one", "two"]);
            ip("link add cni0 type bridge");
            std::fs::write("/proc/sys/net/ipv4/conf/cni0/route_localnet", before).unwrap();
            let mut runtime = published(Plugins::ours(), &two_ports());
            runtime.list["cniVersion"] = json!("1.1.0");
            if in_one_call {
                runtime.list["plugins"].as_array_mut().unwrap().pop();
                runtime.list["plugins"][0]["type"] = json!("netns-cni");
                runtime.list["plugins"][0]["capabilities"] = json!({"portMappings": true});
            }
            let first = runtime.add(ONE).fine();
            runtime.capabilities = json!({"portMappings": [{"hostPort": 9090, "containerPort": 90}]});
            runtime.add(TWO).fine();
            runtime.del(ONE, &first).fine();
            runtime.gc(&[TWO]).fine();
            assert_eq!(route_localnet(), "1");
            runtime.gc(&[]).fine();
            assert_eq!(route_localnet(), before);
            ip("link delete cni0");
            assert_nothing();
        });
    }
}
