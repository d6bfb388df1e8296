//! `firewall`, after our `bridge` and after the reference's.

use crate::in_host;
use crate::outside::{Server, is_silent, seen, seen_by_tcp, world};
use crate::runtime::{Answer, Plugins, Runtime, answer};
use crate::{ONE, TWO, assert_nothing, containers, network};
use netns_core::Namespace;
use serde_json::{Value, json};
use tests::{oracle, run};

/// A chain of `bridge` and `firewall`, whose containers' addresses the world knows.
fn walled(plugins: Plugins, keys: &Value) -> Runtime {
    let mut list = network("1.0.0");
    let mut firewall = json!({"type": "firewall"});
    for (key, value) in keys.as_object().unwrap() {
        firewall[key] = value.clone();
    }
    list["plugins"].as_array_mut().unwrap().push(firewall);
    Runtime::new(plugins, list)
}

/// Another network, of a bridge of its own.
fn elsewhere(mut runtime: Runtime) -> Runtime {
    runtime.list["name"] = json!("net2");
    runtime.list["plugins"][0]["bridge"] = json!("cni1");
    runtime.list["plugins"][0]["ipam"]["ranges"] =
        json!([[{"subnet": "10.88.2.0/24"}], [{"subnet": "fd00:89::/64"}]]);
    runtime
}

fn sh(commands: &[&str]) {
    for command in commands {
        let mut words = command.split(' ');
        let _ = run(oracle(words.next().unwrap()).args(words));
    }
}

/// What the host has of rules.
fn rules() -> String {
    run(oracle("nft").args(["list", "ruleset"]))
}

/// The world knows where the containers are.
fn routed_world() -> Namespace {
    let world = world();
    for route in ["10.88.0.0/16 via 10.99.0.1", "fd00:88::/64 via fd00:99::1", "fd00:89::/64 via fd00:99::1"]
    {
        tests::ip(&format!("-n world route add {route}"));
    }
    world
}

/// The host drops what it forwards: containers reach the world, and the world does not reach them; by ours as by Debian's.
#[test]
fn a_policy_of_drop_is_passed_by_what_containers_send() {
    for (is_ours, plugins) in [(true, Plugins::ours as fn() -> Plugins), (false, Plugins::debians)] {
        in_host(|_| {
            let world = routed_world();
            containers(&["one"]);
            sh(&["iptables-nft -P FORWARD DROP", "ip6tables-nft -P FORWARD DROP"]);
            let runtime = walled(plugins(), &json!({}));
            let result = runtime.add(ONE).out;
            assert_eq!(result["ips"][0]["address"], "10.88.1.2/24", "{result}");
            let one = Namespace::open("one").unwrap();
            let servers = [&world, &one].map(|inside| Server::start(inside, 80));
            assert_eq!(seen_by_tcp(&one, "10.99.0.2:80"), seen("10.88.1.2"), "ours: {is_ours}");
            assert_eq!(seen_by_tcp(&one, "[fd00:99::2]:80"), seen("fd00:88::2"), "ours: {is_ours}");
            assert!(is_silent(&world, "10.88.1.2:80"), "ours: {is_ours}");
            // iptables works with its tables as before.
            let listed = run(oracle("iptables-nft").args(["-S"]));
            let replies = "-d 10.88.1.2/32 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT";
            assert!(listed.contains("-s 10.88.1.2/32 ") && listed.contains("-j ACCEPT"), "{listed}");
            assert!(!is_ours || listed.contains("--ctstate RELATED,ESTABLISHED"), "{listed}");
            assert!(is_ours || listed.contains(replies), "{listed}");
            sh(&["iptables-nft -A CNI-ADMIN -s 10.88.1.2 -d 10.99.0.2 -j DROP"]);
            assert!(is_silent(&one, "10.99.0.2:80"), "the administrator's chain; ours: {is_ours}");
            assert_eq!(runtime.del(ONE, &result).code, Some(0));
            drop(servers);
            let listed = run(oracle("iptables-nft").args(["-S"]));
            // What the administrator wrote stays.
            assert_eq!(listed.matches("10.88.1.2").count(), 1, "{listed}");
        });
    }
}

/// A chain of nftables' own, of which the reference knows nothing.
#[test]
fn a_chain_of_nftables_that_drops_is_passed() {
    in_host(|_| {
        let world = routed_world();
        containers(&["one"]);
        let theirs = "table inet mine {\n\tchain forward {\n\t\ttype filter hook forward priority 10; policy drop;\n\t}\n}\n";
        std::fs::write("/run/mine.nft", theirs).unwrap();
        sh(&["nft -f /run/mine.nft"]);
        let before = rules();
        let mut runtime = walled(Plugins::ours(), &json!({}));
        runtime.list["cniVersion"] = json!("1.1.0");
        let result = runtime.add(ONE).fine();
        runtime.check(ONE, &result).fine();
        let one = Namespace::open("one").unwrap();
        let _servers = [&world, &one].map(|inside| Server::start(inside, 80));
        assert_eq!(seen_by_tcp(&one, "10.99.0.2:80"), seen("10.88.1.2"));
        assert_eq!(seen_by_tcp(&one, "[fd00:99::2]:80"), seen("fd00:88::2"));
        assert!(is_silent(&world, "10.88.1.2:80"));
        sh(&["nft flush chain inet mine forward"]);
        let (code, text) = runtime.check(ONE, &result).failure();
        assert_eq!((code, text.contains("chain forward of the table inet mine")), (102, true), "{text}");
        runtime.del(ONE, &result).fine();
        runtime.add(ONE).fine();
        // Also where the chain drops no more.
        sh(&["nft chain inet mine forward { policy accept ; }"]);
        runtime.gc(&[]).fine();
        sh(&["nft chain inet mine forward { policy drop ; }"]);
        assert_eq!(rules(), before);
    });
}

/// Where nothing drops, and no iptables was ever there, there is a chain for the administrator all the same.
#[test]
fn nothing_is_left_of_the_tables() {
    in_host(|_| {
        containers(&["one", "two"]);
        let mut runtime =
            walled(Plugins::ours(), &json!({"iptablesAdminChainName": "MINE", "backend": "iptables"}));
        runtime.list["cniVersion"] = json!("1.1.0");
        let mut results = [ONE, TWO].map(|one| runtime.add(one).fine());
        runtime.status().fine();
        let listed = run(oracle("iptables-nft").args(["-S"]));
        assert!(listed.contains("-N MINE") && listed.contains("-s 10.88.1.3/32"), "{listed}");
        for (one, result) in [ONE, TWO].into_iter().zip(&results) {
            runtime.check(one, result).fine();
        }
        for (damage, words) in [
            ("iptables-nft -F NETNS-CNI-ALLOW", "a rule of chain NETNS-CNI-ALLOW of the table ip filter"),
            ("ip6tables-nft -F NETNS-CNI", "a rule of chain NETNS-CNI of the table ip6 filter"),
            ("iptables-nft -F FORWARD", "a rule of chain FORWARD of the table ip filter"),
        ] {
            sh(&[damage]);
            let (code, text) = runtime.check(ONE, &results[0]).failure();
            assert_eq!((code, text.contains(words)), (102, true), "{damage}: {text}");
            // What all share comes back with the next one.
            runtime.del(TWO, &results[1]).fine();
            runtime.del(ONE, &results[0]).fine();
            results = [ONE, TWO].map(|one| runtime.add(one).fine());
            runtime.check(ONE, &results[0]).fine();
        }
        runtime.gc(&[ONE]).fine();
        let listed = run(oracle("iptables-nft").args(["-S"]));
        assert_eq!(
            (listed.matches("net1/one/eth0").count(), listed.matches("/32").count()),
            (2, 2),
            "{listed}"
        );
        runtime.gc(&[]).fine();
        assert_nothing();
        // What the administrator has written stays, and all that leads to it goes.
        runtime.add(ONE).fine();
        sh(&["iptables-nft -A MINE -s 192.0.2.1 -j DROP", "iptables-nft -P FORWARD DROP"]);
        runtime.gc(&[]).fine();
        let listed = run(oracle("iptables-nft").args(["-S"]));
        assert!(listed.contains("-A MINE -s 192.0.2.1/32") && listed.contains("-P FORWARD DROP"), "{listed}");
        assert!(!listed.contains("NETNS"), "{listed}");
    });
}

#[test]
fn policies_keep_networks_apart() {
    for (policy, plugins, is_ours) in [
        ("same-bridge", Plugins::ours as fn() -> Plugins, true),
        ("same-bridge", Plugins::debians, false),
        ("isolated", Plugins::ours, true),
    ] {
        in_host(|host| {
            containers(&["one", "two", "three"]);
            let runtime = walled(plugins(), &json!({"ingressPolicy": policy}));
            let other = elsewhere(walled(plugins(), &json!({"ingressPolicy": policy})));
            let three = crate::Attachment { container: "three", netns: "/run/netns/three", ..ONE };
            let results = [runtime.add(ONE).out, runtime.add(TWO).out, other.add(three).out];
            assert_eq!(results[2]["ips"][0]["address"], "10.88.2.2/24", "{results:?}");
            let [one, two, three_inside] = ["one", "two", "three"].map(|name| Namespace::open(name).unwrap());
            let _servers = [&one, &two, &three_inside].map(|inside| Server::start(inside, 80));
            assert_eq!(seen_by_tcp(host.namespace(), "10.88.2.2:80"), seen("10.88.2.1"), "{policy}");
            assert_eq!(seen_by_tcp(host.namespace(), "10.88.1.3:80"), seen("10.88.1.1"), "{policy}");
            assert!(is_silent(&one, "10.88.2.2:80"), "{policy}, ours: {is_ours}");
            assert!(is_silent(&three_inside, "10.88.1.2:80"), "{policy}, ours: {is_ours}");
            if policy == "same-bridge" {
                assert_eq!(seen_by_tcp(&one, "10.88.1.3:80"), seen("10.88.1.2"), "ours: {is_ours}");
            } else {
                assert!(is_silent(&one, "10.88.1.3:80") && is_silent(&two, "[fd00:88::2]:80"), "{policy}");
                // Nor by the host as a router.
                tests::ip("-n one route add 10.88.1.3 via 10.88.1.1");
                assert!(is_silent(&one, "10.88.1.3:80"), "{policy}");
            }
            if !is_ours {
                return;
            }
            runtime.check(ONE, &results[0]).fine();
            sh(&["nft flush set inet netns-cni kept"]);
            let (code, text) = runtime.check(ONE, &results[0]).failure();
            assert_eq!((code, text.contains("the ingressPolicy of the link")), (102, true), "{text}");
            for (runtime, one, result) in
                [(&runtime, ONE, &results[0]), (&runtime, TWO, &results[1]), (&other, three, &results[2])]
            {
                runtime.del(one, result).fine();
            }
            assert!(!rules().contains("net1/") && !rules().contains("net2/"), "{}", rules());
        });
    }
}

/// A network without a policy is reached by one that has one, and the other way round.
#[test]
fn what_policies_share_goes_with_the_last_network() {
    in_host(|_| {
        containers(&["one", "two"]);
        let mut runtime = walled(Plugins::ours(), &json!({"ingressPolicy": "isolated"}));
        let mut other = elsewhere(walled(Plugins::ours(), &json!({"ingressPolicy": "same-bridge"})));
        for runtime in [&mut runtime, &mut other] {
            runtime.list["cniVersion"] = json!("1.1.0");
        }
        runtime.add(ONE).fine();
        let result = other.add(TWO).fine();
        runtime.gc(&[]).fine();
        other.check(TWO, &result).fine();
        let kept = run(oracle("nft").args(["list", "set", "inet", "netns-cni", "kept"]));
        assert!(kept.contains("cni1") && !kept.contains(", "), "{kept}");
        other.gc(&[]).fine();
        assert_nothing();
    });
}

#[test]
fn keys_that_cannot_be_honoured_are_named() {
    in_host(|_| {
        containers(&["one"]);
        let previous = json!({
            "cniVersion": "1.1.0",
            "interfaces": [{"name": "eth0", "sandbox": "/run/netns/one"}],
            "ips": [{"address": "10.88.1.2/24", "interface": 0}],
        });
        let alone = |keys: Value, previous: &Value| -> Answer {
            let mut plugin = keys;
            plugin["type"] = json!("firewall");
            let list = json!({"cniVersion": "1.1.0", "name": "net1", "plugins": [plugin]});
            let runtime = Runtime::new(Plugins::ours(), list);
            let (mut command, input) = runtime.prepare_first("ADD", ONE, previous);
            answer(&mut command, &input)
        };
        for (keys, code, words) in [
            (json!({"ingressPolicy": "closed"}), 2, "\"ingressPolicy\" with the value \"closed\""),
            (json!({"backend": "firewalld"}), 2, "\"backend\" with the value \"firewalld\""),
            (json!({"iptablesAdminChainName": "FORWARD"}), 7, "iptablesAdminChainName is \"FORWARD\""),
            (json!({"iptablesAdminChainName": "a b"}), 7, "iptablesAdminChainName is \"a b\""),
            (json!({"ingressPolicy": "isolated"}), 7, "the first interface of prevResult"),
        ] {
            let (given, text) = alone(keys, &previous).failure();
            assert_eq!((given, text.contains(words)), (code, true), "{text}");
        }
        assert_eq!(alone(json!({}), &Value::Null).failure().0, 7);
        assert_eq!(rules(), "", "nothing is left of what failed");
        sh(&["nft add table inet firewalld"]);
        let (code, text) = alone(json!({}), &previous).failure();
        assert_eq!((code, text.contains("--add-source")), (2, true), "{text}");
        assert_eq!(alone(json!({"backend": "iptables"}), &previous).fine(), previous);
    });
}

/// Ten at once: each has its rules, and what they share is there once.
#[test]
fn at_the_same_time() {
    in_host(|_| {
        let names: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
        for name in &names {
            Namespace::create(name).expect("a namespace");
        }
        let mut runtime = crate::ours("1.1.0");
        runtime.list["plugins"][0]["type"] = json!("netns-cni");
        runtime.list["plugins"][0]["firewall"] = json!({"ingressPolicy": "same-bridge"});
        let runtime = &runtime;
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(move || {
                    let netns = format!("/run/netns/{name}");
                    let one = crate::Attachment { container: name, netns: &netns, interface: "eth0" };
                    runtime.add(one).fine();
                });
            }
        });
        let listed = run(oracle("iptables-nft").args(["-S"]));
        assert_eq!(listed.matches("-j NETNS-CNI\n").count(), 1, "{listed}");
        assert_eq!(listed.matches("/32").count(), 20, "{listed}");
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}
