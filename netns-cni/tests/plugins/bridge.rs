//! `bridge` by itself.

use crate::in_host;
use crate::runtime::{Answer, Plugins, Runtime, debians_folder};
use crate::{
    Attachment, ONE, TWO, assert_nothing, assert_only_the_bridge, containers, links, network, ours, port,
    reaches, reserved,
};
use serde_json::{Value, json};
use std::thread;
use tests::{ip, ip_json, only};

#[test]
fn a_container_is_attached_and_detached() {
    in_host(|_| {
        containers(&["one", "two"]);
        for version in ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] {
            let runtime = ours(version);
            let first = runtime.add(ONE).fine();
            crate::all_forward();
            let second = runtime.add(TWO).fine();
            crate::all_forward();
            assert_eq!(first["cniVersion"], version);
            let address = |result: &Value, family: usize| {
                let text = result["ips"][family]["address"].as_str().expect("an address");
                text.split('/').next().expect("an address").to_owned()
            };
            for family in [0, 1] {
                reaches(None, &address(&first, family));
                reaches(Some("one"), &address(&second, family));
                reaches(Some("two"), ["10.88.1.1", "fd00:88::1"][family]);
            }
            assert_eq!(first["ips"][0]["gateway"], "10.88.1.1");
            assert_eq!(first["ips"][1]["interface"], 2);
            assert_eq!(first["ips"][0].get("version").is_some(), version < "1.0.0");
            assert_eq!(first["interfaces"][0]["name"], "cni0");
            assert_eq!(first["interfaces"][2]["sandbox"], "/run/netns/one");
            assert_eq!(first["interfaces"][2].get("mtu").is_some(), version == "1.1.0");
            for (result, link) in [(0, "link show cni0"), (2, "-n one link show eth0")] {
                assert_eq!(first["interfaces"][result]["mac"], only(&ip_json(link))["address"]);
            }
            if version >= "0.4.0" {
                runtime.check(ONE, &first).fine();
            }
            runtime.del(ONE, &first).fine();
            assert_eq!(links().len(), 2, "the bridge, and the second one's port");
            assert_eq!(ip("-n one link show type veth"), "");
            runtime.del(TWO, &second).fine();
            assert_only_the_bridge();
        }
        ours("1.1.0").gc(&[]).fine();
        assert_nothing();
    });
}

#[test]
fn a_second_add_is_an_error_that_leaves_the_first_whole() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = ours("1.0.0");
        let result = runtime.add(ONE).fine();
        let before = (links(), reserved(), ip("-n one addr show eth0"));
        let (code, text) = runtime.add(ONE).failure();
        assert_eq!(code, 100, "{text}");
        assert_eq!((links(), reserved(), ip("-n one addr show eth0")), before);
        runtime.check(ONE, &result).fine();
        // Nor where the record is lost, and the interface in the container is all that speaks of the first.
        std::fs::remove_dir_all("/run/netns-cni").expect("the records");
        assert_eq!(runtime.add(ONE).failure().0, 100);
        assert_eq!((links(), reserved(), ip("-n one addr show eth0")), before);
        runtime.check(ONE, &result).fine();
        runtime.del(ONE, &result).fine();
        assert_only_the_bridge();
    });
}

/// A bridge of somebody else's, which takes its MAC address from its ports, is used and stays.
#[test]
fn a_bridge_that_was_there_is_used_and_left() {
    in_host(|_| {
        containers(&["one", "two"]);
        ip("link add cni0 type bridge");
        for is_gateway in [true, false] {
            let mut runtime = ours("1.1.0");
            runtime.list["plugins"][0]["isGateway"] = json!(is_gateway);
            runtime.list["plugins"][0]["ipam"]["routes"] = json!([]);
            let first = runtime.add(ONE).fine();
            runtime.check(ONE, &first).fine();
            runtime.del(ONE, &first).fine();
            runtime.gc(&[]).fine();
            assert_eq!(links(), ["cni0"]);
            assert_eq!(crate::files("/run/netns-cni/bridges"), Vec::<String>::new());
            ip("addr flush dev cni0");
        }
    });
}

/// One container may have several interfaces in one network.
#[test]
fn two_interfaces_of_one_container() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = ours("1.0.0");
        let other = Attachment { interface: "eth1", ..ONE };
        let (first, second) = (runtime.add(ONE).fine(), runtime.add(other).fine());
        runtime.check(ONE, &first).fine();
        runtime.check(other, &second).fine();
        runtime.del(ONE, &first).fine();
        runtime.check(other, &second).fine();
        runtime.del(other, &second).fine();
        assert_only_the_bridge();
    });
}

#[test]
fn many_containers_are_attached_at_once() {
    in_host(|host| {
        const COUNT: usize = 24;
        let names: Vec<String> = (0..COUNT).map(|number| format!("c{number}")).collect();
        for name in &names {
            netns_core::Namespace::create(name).expect("a namespace");
        }
        let runtime = ours("1.0.0");
        let each = |call: &(dyn Fn(Attachment<'_>) -> Answer + Sync)| -> Vec<Answer> {
            thread::scope(|scope| {
                let started: Vec<_> = names
                    .iter()
                    .map(|name| {
                        let netns = format!("/run/netns/{name}");
                        let namespace = host.namespace();
                        scope.spawn(move || {
                            // Threads begin where the test's thread is, mounts included.
                            assert_eq!(
                                netns_core::Namespace::current().unwrap().id().unwrap(),
                                namespace.id().unwrap()
                            );
                            call(Attachment { container: name, netns: &netns, interface: "eth0" })
                        })
                    })
                    .collect();
                started.into_iter().map(|thread| thread.join().expect("a thread")).collect()
            })
        };
        let results: Vec<Value> = each(&|one| runtime.add(one)).into_iter().map(Answer::fine).collect();
        let mut addresses: Vec<&str> =
            results.iter().map(|result| result["ips"][0]["address"].as_str().unwrap()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), COUNT, "each has an address of its own");
        for result in &results {
            let address = result["ips"][0]["address"].as_str().unwrap();
            reaches(None, address.split('/').next().unwrap());
        }
        for answer in each(&|one| runtime.del(one, &Value::Null)) {
            answer.fine();
        }
        assert_only_the_bridge();
    });
}

#[test]
fn an_add_that_fails_leaves_nothing() {
    in_host(|_| {
        containers(&["one", "two"]);
        ip("link add dummy0 type veth peer name dummy1");
        let mut runtime = ours("1.0.0");
        let plugin = |runtime: &mut Runtime, key: &str, value: Value| runtime.list["plugins"][0][key] = value;
        // What each breaks is after the thing before it was made.
        let routes = json!([{"dst": "1.2.3.0/24", "gw": "10.99.99.99"}]);
        runtime.list["plugins"][0]["ipam"]["routes"] = routes;
        let (code, text) = runtime.add(ONE).failure();
        assert_eq!(code, 999, "{text}");
        assert!(text.contains("1.2.3.0/24"), "the object is named: {text}");
        assert_eq!(links(), ["dummy1", "dummy0", "cni0"]);
        assert_eq!((reserved(), ip("-n one link show type veth")), (Vec::new(), String::new()));
        plugin(&mut runtime, "bridge", json!("dummy0"));
        let (code, text) = runtime.add(ONE).failure();
        assert_eq!(code, 7, "{text}");
        assert!(text.contains("dummy0"), "{text}");
        plugin(&mut runtime, "bridge", json!("cni0"));
        runtime.list["plugins"][0]["ipam"]["routes"] = json!([{"dst": "1.2.3.0/24", "mtu": 1400}]);
        let (code, text) = runtime.add(ONE).failure();
        assert_eq!(code, 2, "{text}");
        assert!(text.contains("routes[0].mtu") && text.contains("1400"), "{text}");
        runtime.list["plugins"][0]["ipam"]["routes"] = json!([]);
        // Another network's gateway on the same bridge.
        runtime.add(TWO).fine();
        let mut other = ours("1.0.0");
        other.list["name"] = json!("net2");
        other.list["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.88.2.0/24"}]]);
        other.list["plugins"][0]["ipam"]["routes"] = json!([]);
        let (code, text) = other.add(ONE).failure();
        assert_eq!(code, 7, "{text}");
        assert!(text.contains("10.88.1.1/24") && text.contains("forceAddress"), "{text}");
        other.list["plugins"][0]["forceAddress"] = json!(true);
        let result = other.add(ONE).fine();
        assert!(!ip("addr show cni0").contains("10.88.1.1/24"));
        other.del(ONE, &result).fine();
        runtime.del(TWO, &Value::Null).fine();
        assert_eq!(links(), ["dummy1", "dummy0", "cni0"]);
        assert_eq!(crate::files("/run/netns-cni/networks"), Vec::<String>::new());
    });
}

#[test]
fn each_key_does_what_it_says() {
    in_host(|_| {
        containers(&["one"]);
        let with = |key: &str, value: Value| {
            let mut runtime = ours("1.1.0");
            runtime.list["plugins"][0][key] = value;
            runtime
        };
        let probe = |key: &str, value: Value, look: &dyn Fn(&Value)| {
            let runtime = with(key, value);
            let result = runtime.add(ONE).fine();
            runtime.check(ONE, &result).fine();
            look(&result);
            runtime.del(ONE, &result).fine();
            runtime.gc(&[]).fine();
            assert_nothing();
        };
        let detail = |result: &Value| only(&ip_json(&format!("-d link show {}", port(result))));
        probe("mtu", json!(1400), &|result| {
            assert_eq!(result["interfaces"][2]["mtu"], 1400);
            assert_eq!(only(&ip_json("-n one link show eth0"))["mtu"], 1400);
            assert_eq!(detail(result)["mtu"], 1400);
        });
        probe("hairpinMode", json!(true), &|result| {
            assert_eq!(detail(result)["linkinfo"]["info_slave_data"]["hairpin"], true);
        });
        probe("portIsolation", json!(true), &|result| {
            assert_eq!(detail(result)["linkinfo"]["info_slave_data"]["isolated"], true);
        });
        probe("promiscMode", json!(true), &|_| {
            assert_eq!(only(&ip_json("-d link show cni0"))["promiscuity"], 1);
        });
        probe("isDefaultGateway", json!(true), &|result| {
            assert_eq!(result["routes"][0], json!({"dst": "0.0.0.0/0", "gw": "10.88.1.1"}));
            assert!(ip("-n one route show default").contains("via 10.88.1.1"));
        });
        probe("dns", json!({"nameservers": ["10.1.1.1"], "search": ["a"]}), &|result| {
            assert_eq!(result["dns"], json!({"nameservers": ["10.1.1.1"], "search": ["a"]}));
        });
        let mut runtime = with("capabilities", json!({"dns": true}));
        runtime.capabilities =
            json!({"dns": {"servers": ["10.1.1.2"], "searches": ["b"], "options": ["ndots:2"]}});
        runtime.list["plugins"][0]["dns"] = json!({"nameservers": ["10.1.1.1"], "domain": "c"});
        let result = runtime.add(ONE).fine();
        let dns =
            json!({"nameservers": ["10.1.1.2"], "search": ["b"], "options": ["ndots:2"], "domain": "c"});
        assert_eq!(result["dns"], dns);
        runtime.del(ONE, &result).fine();
        let mut runtime = with("capabilities", json!({"mac": true, "ips": true, "ipRanges": true}));
        runtime.capabilities = json!({
            "mac": "02:11:22:33:44:55",
            "ips": ["10.88.9.9/24"],
            "ipRanges": [[{"subnet": "10.88.9.0/24"}]],
        });
        runtime.list["plugins"][0]["forceAddress"] = json!(true);
        runtime.list["plugins"][0]["ipam"] = json!({"type": "host-local", "dataDir": crate::DATA});
        let result = runtime.add(ONE).fine();
        assert_eq!(result["ips"][0]["address"], "10.88.9.9/24");
        assert_eq!(only(&ip_json("-n one link show eth0"))["address"], "02:11:22:33:44:55");
        runtime.del(ONE, &result).fine();
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}

/// Of layer 2 alone: the interface is up, unless that is not wanted.
#[test]
fn without_addresses() {
    in_host(|_| {
        containers(&["one"]);
        for (disabled, is_up) in [(false, true), (true, false)] {
            let mut list = network("1.0.0");
            list["plugins"][0].as_object_mut().unwrap().remove("ipam");
            list["plugins"][0]["disableContainerInterface"] = json!(disabled);
            let runtime = Runtime::new(Plugins::ours(), list);
            let result = runtime.add(ONE).fine();
            assert_eq!(result.get("ips"), None);
            assert_eq!(ip("-n one link show up type veth").contains("eth0"), is_up);
            runtime.check(ONE, &result).fine();
            runtime.del(ONE, &result).fine();
            assert_only_the_bridge();
        }
        let mut runtime = ours("1.0.0");
        runtime.list["plugins"][0]["disableContainerInterface"] = json!(true);
        assert_eq!(runtime.add(ONE).failure().0, 7);
    });
}

/// A frame from another MAC address than the container's does not pass, and the filter goes with the container.
#[test]
fn forged_mac_addresses_are_dropped() {
    in_host(|_| {
        containers(&["one"]);
        for checked in [false, true] {
            let mut runtime = ours("1.0.0");
            runtime.list["plugins"][0]["macspoofchk"] = json!(checked);
            let result = runtime.add(ONE).fine();
            runtime.check(ONE, &result).fine();
            reaches(Some("one"), "10.88.1.1");
            ip("-n one link set eth0 address 02:66:66:66:66:66");
            let mut ping = tests::oracle("ip");
            ping.args("netns exec one ping -c 1 -W 2 10.88.1.1".split(' '));
            assert_eq!(ping.output().expect("ping").status.success(), !checked);
            let rules = || tests::run(tests::oracle("nft").args(["list", "ruleset"]));
            assert_eq!(rules().contains("net1/one/eth0"), checked);
            runtime.del(ONE, &result).fine();
            assert!(!rules().contains("net1/one/eth0"));
        }
    });
}

/// An address of a plugin of its own, by Debian's `static` and by scripts that fail.
#[test]
fn other_plugins_give_addresses() {
    in_host(|_| {
        debians_folder();
        containers(&["one"]);
        let mut runtime = ours("1.0.0");
        runtime.list["plugins"][0]["ipam"] =
            json!({"type": "static", "addresses": [{"address": "10.88.1.7/24", "gateway": "10.88.1.1"}]});
        let result = runtime.add(ONE).fine();
        assert_eq!(
            result["ips"][0],
            json!({"address": "10.88.1.7/24", "gateway": "10.88.1.1", "interface": 2})
        );
        reaches(None, "10.88.1.7");
        runtime.check(ONE, &result).fine();
        runtime.del(ONE, &result).fine();
        assert_only_the_bridge();

        let scratch = tests::Scratch::new();
        let script = |text: &str| {
            let path = scratch.path().join("mine");
            std::fs::write(
                &path,
                format!("#!/bin/sh\necho $CNI_COMMAND >> {}/calls\n{text}\n", scratch.path().display()),
            )
            .expect("a script");
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
                .expect("chmod");
        };
        let calls = || {
            let calls = std::fs::read_to_string(scratch.path().join("calls")).unwrap_or_default();
            let _ = std::fs::remove_file(scratch.path().join("calls"));
            calls
        };
        let mut runtime = Runtime::new(Plugins::ours().with_folder(scratch.path()), network("1.1.0"));
        runtime.list["plugins"][0]["ipam"] = json!({"type": "mine"});
        script("cat > /dev/null; echo '{\"code\": 110, \"msg\": \"no\", \"details\": \"never\"}'; exit 3");
        let (code, text) = runtime.add(ONE).failure();
        assert_eq!(code, 110);
        assert!(text.contains("mine") && text.contains("no") && text.contains("never"), "{text}");
        // A delegated ADD that failed is followed by DEL, and that failed too: the record stays for the runtime's DEL.
        assert_eq!(calls(), "ADD\nDEL\n");
        assert_eq!(runtime.del(ONE, &Value::Null).failure().0, 110);
        script("[ $CNI_COMMAND = ADD ] && echo '{\"ips\": []}'; exit 0");
        runtime.del(ONE, &Value::Null).fine();
        assert_only_the_bridge();
        calls();
        assert!(runtime.add(ONE).failure().1.contains("no address"));
        assert_eq!(calls(), "ADD\nDEL\n");
        script("[ $CNI_COMMAND = ADD ] && echo nonsense; exit 0");
        assert_eq!(runtime.add(ONE).failure().0, 6);
        calls();
        runtime.status().fine();
        runtime.gc(&[]).fine();
        assert_eq!(calls(), "STATUS\nGC\n");
        runtime.list["plugins"][0]["ipam"] = json!({"type": "nobody"});
        let (code, text) = runtime.add(ONE).failure();
        assert_eq!(code, 7);
        assert!(text.contains("nobody"), "{text}");
        runtime.list["plugins"][0]["ipam"] = json!({"type": "../mine"});
        assert!(runtime.add(ONE).failure().1.contains("../mine"));
        assert_eq!(calls(), "");
    });
}

/// What is said to people is of no consequence: nobody may read it.
#[test]
fn nobody_has_to_read_stderr() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = ours("1.0.0");
        let result = runtime.add(ONE).fine();
        crate::replace_port(&result);
        let (mut command, input) = runtime.prepare_first("DEL", ONE, &result);
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).stderr(writer);
        let mut child = command.spawn().expect("it starts");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), &input).expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(0), 0), "{output:?}");
        assert_eq!(reserved(), Vec::<String>::new());
        assert_eq!(crate::files("/run/netns-cni/networks"), Vec::<String>::new());
    });
}
