//! The same lists by our plugins and by the reference's, side by side.

use crate::in_host;
use crate::runtime::{Plugins, Runtime};
use crate::{ONE, TWO, containers, network, reaches};
use serde_json::{Value, json};
use tests::ip_json;

/// A result without what differs from call to call, and without what is empty.
fn comparable(mut result: Value) -> Value {
    for interface in result["interfaces"].as_array_mut().into_iter().flatten() {
        let mac = interface["mac"].take();
        assert_eq!(mac.as_str().map(str::len), Some(17), "{interface}");
        let name = interface["name"].as_str().expect("a name");
        if name.starts_with("veth") {
            assert_eq!(name.len(), 12, "{name}");
            interface["name"] = json!("veth");
        }
    }
    if result["dns"] == json!({}) {
        result.as_object_mut().expect("an object").remove("dns");
    }
    result
}

/// What `ip` says of the container, and of the host's bridge.
fn state(namespace: &str) -> Value {
    let addresses = |arguments: &str| -> Vec<Value> {
        let links = ip_json(arguments);
        let infos =
            links.as_array().expect("links").iter().flat_map(|link| link["addr_info"].as_array().unwrap());
        let of = |info: &Value| json!([info["local"], info["prefixlen"]]);
        infos.filter(|info| info["scope"] == "global").map(of).collect()
    };
    let routes = |family: &str| -> Vec<Value> {
        let routes = ip_json(&format!("-n {namespace} {family} route show"));
        let of = |route: &Value| json!([route["dst"], route["gateway"], route["dev"]]);
        let mut routes: Vec<Value> = routes.as_array().expect("routes").iter().map(of).collect();
        routes.retain(|route| route[0] != "fe80::/64");
        routes.sort_by_key(Value::to_string);
        routes
    };
    let link = &ip_json(&format!("-n {namespace} link show eth0"))[0];
    let flags = ["UP", "LOWER_UP"].map(|flag| link["flags"].as_array().unwrap().contains(&json!(flag)));
    json!({
        "addresses": addresses(&format!("-n {namespace} addr show eth0")),
        "of the bridge": addresses("addr show cni0"),
        "routes": [routes("-4"), routes("-6")],
        "up": flags,
        "mtu": link["mtu"],
    })
}

/// Configurations that differ in keys.
fn lists() -> Vec<Value> {
    let with = |key: &str, value: Value| {
        let mut list = network("1.0.0");
        list["plugins"][0][key] = value;
        list
    };
    let mut lists: Vec<Value> = ["0.3.1", "0.4.0", "1.0.0"].into_iter().map(network).collect();
    lists.push(with("mtu", json!(1400)));
    // With a default route of its own the reference fails on adding the second one.
    let mut default = with("isDefaultGateway", json!(true));
    default["plugins"][0]["ipam"]["routes"] = json!([{"dst": "192.0.2.0/24"}]);
    lists.push(default);
    lists.push(with("isGateway", json!(false)));
    lists.push(with("hairpinMode", json!(true)));
    lists.push(with("dns", json!({"nameservers": ["10.1.1.1"]})));
    let mut routes = network("1.0.0");
    routes["plugins"][0]["ipam"]["routes"] =
        json!([{"dst": "192.0.2.0/24"}, {"dst": "198.51.100.0/24", "gw": "10.88.1.7"}]);
    lists.push(routes);
    let mut old = network("1.0.0");
    old["plugins"][0]["ipam"] = json!({
        "type": "host-local", "dataDir": crate::DATA, "subnet": "10.88.1.0/24", "rangeStart": "10.88.1.20",
        "rangeEnd": "10.88.1.30", "gateway": "10.88.1.254", "routes": [{"dst": "0.0.0.0/0"}],
    });
    lists.push(old);
    let mut bare = network("1.0.0");
    bare["plugins"][0].as_object_mut().unwrap().remove("ipam");
    lists.push(bare);
    lists
}

#[test]
fn results_and_containers_are_the_same() {
    for list in lists() {
        let mut seen = Vec::new();
        for (is_ours, plugins) in [(true, Plugins::ours as fn() -> Plugins), (false, Plugins::debians)] {
            in_host(|_| {
                containers(&["one", "two"]);
                let runtime = Runtime::new(plugins(), list.clone());
                let first = runtime.add(ONE);
                assert_eq!(first.code, Some(0), "{list}: {}", first.out);
                let second = runtime.add(TWO);
                assert_eq!(second.code, Some(0), "{list}: {}", second.out);
                for (result, family) in [(&second.out, 0), (&second.out, 1)] {
                    if let Some(address) = result["ips"][family]["address"].as_str() {
                        // The reference's port may wait for the kernel; three seconds of ping are enough for both.
                        reaches(Some("one"), address.split('/').next().unwrap());
                    }
                }
                // The reference's does not find routes that it added without a gateway, and refuses a list without ipam.
                if list["cniVersion"] != "0.3.1" && is_ours {
                    runtime.check(ONE, &first.out).fine();
                }
                seen.push((comparable(first.out.clone()), comparable(second.out.clone()), state("one")));
                for (attachment, result) in [(ONE, &first.out), (TWO, &second.out), (ONE, &first.out)] {
                    let answer = runtime.del(attachment, result);
                    assert_eq!(answer.code, Some(0), "{list}: {}", answer.out);
                }
                assert_eq!(crate::links(), ["cni0"]);
                assert_eq!(crate::reserved(), Vec::<String>::new());
            });
        }
        // Where Debian's are missing, the test was skipped.
        if let [ours, theirs] = &seen[..] {
            assert_eq!(ours, theirs, "left ours, right Debian's: {list}");
        }
    }
}

/// A container that the reference attached is detached by ours, and the other way round.
#[test]
fn each_detaches_what_the_other_attached() {
    in_host(|_| {
        containers(&["one", "two"]);
        let ours = Runtime::new(Plugins::ours(), network("1.0.0"));
        let theirs = Runtime::new(Plugins::debians(), network("1.0.0"));
        let (first, second) = (ours.add(ONE).fine(), theirs.add(TWO).out);
        reaches(Some("two"), "10.88.1.2");
        ours.check(TWO, &second).fine();
        assert_eq!(theirs.check(ONE, &first).code, Some(0));
        ours.del(TWO, &second).fine();
        assert_eq!(theirs.del(ONE, &first).code, Some(0));
        assert_eq!((crate::links(), crate::reserved()), (vec!["cni0".to_owned()], Vec::new()));
        // Ours is still on record: DEL by ours, or GC, forgets it.
        ours.del(ONE, &first).fine();
        crate::assert_only_the_bridge();
    });
}
