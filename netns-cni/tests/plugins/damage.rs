//! `CHECK` sees what is not as `ADD` left it, and `STATUS` what `ADD` would meet.

use crate::in_host;
use crate::{ONE, TWO, containers, ours};
use serde_json::{Value, json};
use tests::{ip, oracle, run};

/// What is done to an attachment, of which it is given the result.
type Damage = fn(&Value);

#[test]
fn check_sees_each_damage() {
    let damages: [(&str, Damage); 20] = [
        ("the bridge cni0 is gone", |_| drop(ip("link delete cni0"))),
        ("the bridge cni0 is down", |_| drop(ip("link set cni0 down"))),
        ("cni0 has the MAC address", |_| drop(ip("link set cni0 address 02:00:00:00:00:99"))),
        ("has not the address 10.88.1.1/24", |_| drop(ip("addr delete 10.88.1.1/24 dev cni0"))),
        ("has not the address fd00:88::1/64", |_| drop(ip("addr delete fd00:88::1/64 dev cni0"))),
        ("net/ipv4/ip_forward", |_| switch_off("ipv4/ip_forward")),
        ("net/ipv6/conf/all/forwarding", |_| switch_off("ipv6/conf/all/forwarding")),
        ("eth0 is gone", |result| drop(ip(&format!("link delete {}", port(result))))),
        ("is no port of cni0", |result| drop(ip(&format!("link set {} nomaster", port(result))))),
        ("is down", |result| drop(ip(&format!("link set {} down", port(result))))),
        ("has the MAC address", |result| {
            drop(ip(&format!("link set {} address 02:00:00:00:00:98", port(result))));
        }),
        ("hairpinMode", |result| {
            drop(run(oracle("bridge").args(["link", "set", "dev", &port(result), "hairpin", "on"])));
        }),
        ("portIsolation", |result| {
            drop(run(oracle("bridge").args(["link", "set", "dev", &port(result), "isolated", "on"])));
        }),
        ("the container's eth0 is down", |_| drop(ip("-n one link set eth0 down"))),
        ("eth0 has the MAC address", |_| drop(ip("-n one link set eth0 address 02:00:00:00:00:97"))),
        ("has not the address 10.88.1.2/24", |_| drop(ip("-n one addr delete 10.88.1.2/24 dev eth0"))),
        ("has not the address fd00:88::2/64", |_| drop(ip("-n one addr delete fd00:88::2/64 dev eth0"))),
        ("no route to 0.0.0.0/0", |_| drop(ip("-n one route delete default"))),
        ("no route to ::/0", |_| drop(ip("-n one -6 route delete default"))),
        ("no address is reserved", |_| std::fs::remove_dir_all(crate::DATA).expect("reservations")),
    ];
    for (words, damage) in damages {
        in_host(|_| {
            containers(&["one"]);
            let runtime = ours("1.0.0");
            let result = runtime.add(ONE).fine();
            runtime.check(ONE, &result).fine();
            damage(&result);
            let (code, text) = runtime.check(ONE, &result).failure();
            assert_eq!(code, 102, "{text}");
            assert!(text.contains(words), "{words}: {text}");
        });
    }
}

fn switch_off(setting: &str) {
    std::fs::write(format!("/proc/sys/net/{setting}"), "0").expect("a setting");
}

fn port(result: &Value) -> String {
    result["interfaces"][1]["name"].as_str().expect("a name").to_owned()
}

#[test]
fn check_asks_for_the_result_and_the_namespace() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = ours("1.0.0");
        let result = runtime.add(ONE).fine();
        assert_eq!(runtime.check(ONE, &Value::Null).failure().0, 7);
        ip("netns delete one");
        assert_eq!(runtime.check(ONE, &result).failure().0, 3);
        // Of the filter of MAC addresses.
        containers(&["two"]);
        let mut runtime = ours("1.0.0");
        runtime.list["plugins"][0]["macspoofchk"] = json!(true);
        let result = runtime.add(TWO).fine();
        runtime.check(TWO, &result).fine();
        let _ = run(oracle("nft").args(["flush", "ruleset"]));
        assert!(runtime.check(TWO, &result).failure().1.contains("the check of the MAC address"));
    });
}

#[test]
fn status_says_whether_add_would_work() {
    in_host(|_| {
        containers(&["one", "two"]);
        let mut runtime = ours("1.1.0");
        runtime.status().fine();
        runtime.list["plugins"][0]["ipam"]["ranges"] = json!([[{"subnet": "10.88.1.0/30"}]]);
        runtime.list["plugins"][0]["ipam"]["routes"] = json!([]);
        runtime.status().fine();
        let result = runtime.add(ONE).fine();
        let (code, text) = runtime.status().failure();
        assert_eq!(code, 50);
        assert!(text.contains("no address is left in 10.88.1.1-10.88.1.2"), "{text}");
        assert_eq!(runtime.add(TWO).failure().0, 101);
        runtime.del(ONE, &result).fine();
        runtime.status().fine();
        let (code, text) = tests::without_capabilities(|| runtime.status()).failure();
        assert_eq!(code, 50);
        assert!(text.contains("CAP_NET_ADMIN"), "{text}");
        ip("link delete cni0");
        ip("link add cni0 type veth peer name other");
        assert_eq!(runtime.status().failure().0, 50);
    });
}
