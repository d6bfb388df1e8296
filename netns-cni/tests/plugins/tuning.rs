//! `tuning`, after our `bridge`, beside the reference's.

use crate::runtime::{Plugins, Runtime};
use crate::{ONE, containers, in_host, network};
use serde_json::{Value, json};
use tests::{ip, ip_json, only};

fn tuned(plugins: Plugins, tuning: &Value) -> Runtime {
    let mut list = network("1.0.0");
    let mut plugin = tuning.clone();
    plugin["type"] = json!("tuning");
    list["plugins"].as_array_mut().unwrap().push(plugin);
    Runtime::new(plugins, list)
}

/// The interface's address, MTU and flags, and two settings.
fn state() -> Value {
    let link = only(&ip_json("-n one link show eth0"));
    let settings =
        ip("netns exec one cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/conf/eth0/arp_filter");
    let all = link["flags"].as_array().unwrap().contains(&json!("ALLMULTI"));
    json!([link["address"], link["mtu"], link["promiscuity"], all, settings])
}

#[test]
fn the_interface_and_settings_are_changed_and_put_back() {
    let tuning = json!({
        "sysctl": {"net.core.somaxconn": "500", "net.ipv4.conf.eth0.arp_filter": "1"},
        "mac": "02:11:22:33:44:55", "mtu": 1400, "promisc": true, "allmulti": true,
    });
    let mut seen = Vec::new();
    for (is_ours, plugins) in [(true, Plugins::ours as fn() -> Plugins), (false, Plugins::debians)] {
        in_host(|_| {
            containers(&["one"]);
            let runtime = tuned(plugins(), &tuning);
            let plain = Runtime::new(plugins(), network("1.0.0"));
            let before = plain.add(ONE).out;
            let was = state();
            // The second plugin of the chain alone, and its DEL alone.
            let chained = Runtime::new(
                plugins(),
                json!({
                    "cniVersion": "1.0.0", "name": "net1", "plugins": [runtime.list["plugins"][1]],
                }),
            );
            let (mut command, input) = chained.prepare_first("ADD", ONE, &before);
            let result = crate::runtime::answer(&mut command, &input).out;
            let changed = state();
            assert_eq!(result["interfaces"][2]["mac"], "02:11:22:33:44:55", "{result}");
            assert_eq!(chained.check(ONE, &result).code, Some(0), "ours: {is_ours}");
            assert_eq!(chained.del(ONE, &result).code, Some(0));
            let mut back = state();
            assert_eq!((&back[0], &back[1], &back[3]), (&was[0], &was[1], &was[3]), "ours: {is_ours}");
            back[0].take();
            seen.push((changed, back));
            assert_eq!(chained.del(ONE, &result).code, Some(0));
            assert_eq!(plain.del(ONE, &before).code, Some(0));
        });
    }
    if let [ours, theirs] = &seen[..] {
        assert_eq!(ours, theirs, "left ours, right Debian's");
    }
}

#[test]
fn damage_is_seen_and_what_cannot_be_is_named() {
    in_host(|_| {
        containers(&["one"]);
        let runtime = tuned(Plugins::ours(), &json!({"sysctl": {"net.core.somaxconn": "500"}, "mtu": 1400}));
        let result = runtime.add(ONE).fine();
        runtime.check(ONE, &result).fine();
        ip("-n one link set eth0 mtu 1300");
        assert!(runtime.check(ONE, &result).failure().1.contains("mtu: it is 1300"));
        ip("-n one link set eth0 mtu 1400");
        let one = netns_core::Namespace::open("one").unwrap();
        one.enter(|| std::fs::write("/proc/sys/net/core/somaxconn", "7").unwrap()).unwrap();
        assert!(runtime.check(ONE, &result).failure().1.contains("net/core/somaxconn is 7, not 500"));
        runtime.del(ONE, &result).fine();
        for (tuning, code, words) in [
            (json!({"txQLen": 7}), 2, "\"txQLen\" with the value 7"),
            (json!({"sysctl": {"kernel.hostname": "a"}}), 2, "hostname"),
            (json!({"sysctl": {"net.../../kernel/hostname": "a"}}), 2, "hostname"),
            (json!({"sysctl": {"net.core.somaxconn": 7}}), 6, "sysctl.net.core.somaxconn is 7"),
            (json!({"mtu": 7}), 999, "set link"),
            (json!({"mac": "x"}), 7, "mac is \"x\""),
        ] {
            let runtime = tuned(Plugins::ours(), &tuning);
            let (given, text) = runtime.add(ONE).failure();
            assert_eq!(given, code, "{tuning}: {text}");
            assert!(text.contains(words), "{tuning}: {text}");
            runtime.del(ONE, &Value::Null).fine();
            crate::assert_only_the_bridge();
        }
        let mut collected = tuned(Plugins::ours(), &json!({"mtu": 1400}));
        collected.list["cniVersion"] = json!("1.1.0");
        assert_eq!(collected.add(ONE).fine()["interfaces"][2]["mtu"], 1400);
        collected.gc(&[]).fine();
        crate::assert_nothing();
    });
}

/// An `ADD` that fails changes no setting, be it the second one or one with a setting that the kernel refuses.
#[test]
fn an_add_that_fails_changes_no_setting() {
    in_host(|_| {
        containers(&["one"]);
        let plain = Runtime::new(Plugins::ours(), network("1.0.0"));
        let before = plain.add(ONE).fine();
        let add = |tuning: &Value| {
            let mut chained = tuned(Plugins::ours(), tuning);
            chained.list["plugins"].as_array_mut().unwrap().remove(0);
            let (mut command, input) = chained.prepare_first("ADD", ONE, &before);
            (crate::runtime::answer(&mut command, &input), chained)
        };
        let was = state();
        let settings = json!({"net.core.somaxconn": "500", "net.ipv4.conf.eth0.arp_filter": "maybe"});
        let (answer, chained) = add(&json!({"sysctl": settings}));
        let (code, text) = answer.failure();
        assert_eq!((code, text.contains("arp_filter")), (999, true), "{text}");
        assert_eq!(state(), was);
        chained.del(ONE, &before).fine();
        let (answer, _) = add(&json!({"sysctl": {"net.core.somaxconn": "500"}, "mtu": 7}));
        assert_eq!(answer.failure().0, 999);
        assert_eq!(state(), was);
        let (answer, chained) = add(&json!({"sysctl": {"net.core.somaxconn": "500"}, "mtu": 1400}));
        answer.fine();
        let changed = state();
        let (answer, _) = add(&json!({"sysctl": {"net.core.somaxconn": "501"}, "mtu": 1300}));
        assert_eq!(answer.failure().0, 100);
        assert_eq!(state(), changed);
        chained.del(ONE, &before).fine();
        // One that nobody can read is written all the same.
        let (answer, chained) = add(&json!({"sysctl": {"net.ipv4.route.flush": "1"}}));
        answer.fine();
        chained.del(ONE, &before).fine();
        plain.del(ONE, &before).fine();
        crate::assert_only_the_bridge();
    });
}
