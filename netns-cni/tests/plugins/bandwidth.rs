//! `bandwidth`, after our `bridge`, guarded or not.

use crate::guard::held;
use crate::runtime::{Plugins, Runtime, answer};
use crate::{ONE, TWO, assert_nothing, assert_only_the_bridge, containers, in_host, network};
use netns_core::{IfName, Namespace, RouteSocket, link};
use netns_ebpf::{Limits, PortRate};
use serde_json::{Value, json};
use std::net::UdpSocket;
use std::time::Duration;
use tests::tc;

/// 8 kbit/s, and 10,000 bytes at once.
fn slow() -> Value {
    json!({"ingressRate": 8000, "ingressBurst": 80_000, "egressRate": 8000, "egressBurst": 80_000})
}

fn limited(guard: Option<&str>, rates: &Value) -> Runtime {
    let mut list = network("1.1.0");
    if let Some(mode) = guard {
        list["plugins"][0]["guard"] = json!(mode);
    }
    let bandwidth = json!({"type": "bandwidth", "capabilities": {"bandwidth": true}});
    list["plugins"].as_array_mut().unwrap().push(bandwidth);
    let mut runtime = Runtime::new(Plugins::ours(), list);
    runtime.capabilities = json!({ "bandwidth": rates });
    runtime
}

/// How many of a hundred datagrams of 1,042 bytes on the wire arrive.
pub(crate) fn arrive(from: &Namespace, to: &Namespace, address: &str) -> usize {
    let to_address = format!("{address}:7000");
    let receiver = to.enter(|| UdpSocket::bind(&*to_address)).expect("inside").expect("a socket");
    receiver.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let sender = from.enter(|| UdpSocket::bind("0.0.0.0:0")).expect("inside").expect("a socket");
    for _ in 0..100 {
        sender.send_to(&[7; 1000], &*to_address).expect("it is sent");
    }
    let mut buffer = [0; 2000];
    std::iter::from_fn(|| receiver.recv(&mut buffer).ok()).count()
}

fn port(result: &Value) -> (String, u32) {
    let name = result["interfaces"][1]["name"].as_str().expect("a port").to_owned();
    let index = link::get(&mut RouteSocket::open().unwrap(), IfName::new(&name).unwrap()).unwrap().index;
    (name, index)
}

/// The burst passes, and then what the rate makes of some tenths of a second: next to nothing.
#[test]
fn rates_hold_both_ways() {
    for guard in [None, Some("enforce")] {
        in_host(|host| {
            containers(&["one", "two"]);
            let runtime = limited(guard, &slow());
            let free = limited(guard, &json!({}));
            let limited_result = runtime.add(ONE).fine();
            let free_result = free.add(TWO).fine();
            let [one, two] = ["one", "two"].map(|name| Namespace::open(name).unwrap());
            for (from, to, address, is_limited) in [
                (&one, host.namespace(), "10.88.1.1", true),
                (host.namespace(), &one, "10.88.1.2", true),
                (&two, host.namespace(), "10.88.1.1", false),
                (host.namespace(), &two, "10.88.1.3", false),
            ] {
                let arrived = arrive(from, to, address);
                // ARP takes some of the burst, and its rest may be a little more on a slow machine.
                let expected = if is_limited { 5..40 } else { 90..101 };
                assert!(expected.contains(&arrived), "{guard:?}, to {address}: {arrived} of 100");
            }
            runtime.check(ONE, &limited_result).fine();
            free.check(TWO, &free_result).fine();
            let (_, index) = port(&limited_result);
            let monitor = held("cni0").expect("a program");
            let rate = PortRate::bits(8000).with_burst(10_000);
            let slot = monitor.slot(index).expect("a slot");
            assert_eq!(monitor.limits(slot).unwrap(), Limits::both(rate).chosen());
            assert_eq!(monitor.policy(slot).is_some(), guard.is_some());
            monitor.set_limits(slot, &Limits::NONE).unwrap();
            let (code, text) = runtime.check(ONE, &limited_result).failure();
            assert_eq!((code, text.contains("has other limits")), (102, true), "{text}");
            runtime.del(ONE, &limited_result).fine();
            free.del(TWO, &free_result).fine();
            assert_eq!(monitor.ports(), []);
            assert_only_the_bridge();
            runtime.gc(&[]).fine();
            assert_nothing();
        });
    }
}

/// `DEL` of `bandwidth` alone leaves the port as it was; what a container left goes by `GC`.
#[test]
fn the_port_is_afterwards_as_before() {
    in_host(|_| {
        containers(&["one", "two"]);
        let runtime = limited(None, &slow());
        let bare = Runtime::new(Plugins::ours(), network("1.1.0"));
        let result = bare.add(ONE).fine();
        let (name, index) = port(&result);
        let before = tc(&format!("qdisc show dev {name}"));
        let call = |command: &str| {
            let mut plugin = json!({"type": "bandwidth", "name": "net1", "cniVersion": "1.1.0", "runtimeConfig": {"bandwidth": slow()}});
            plugin["prevResult"] = result.clone();
            let variables = [
                ("CNI_COMMAND", command),
                ("CNI_CONTAINERID", "one"),
                ("CNI_NETNS", "/run/netns/one"),
                ("CNI_IFNAME", "eth0"),
            ];
            let mut command = runtime.plugins.command("bandwidth", variables);
            answer(&mut command, plugin.to_string().as_bytes())
        };
        assert_eq!(call("ADD").fine(), result, "the result is passed on");
        assert!(held("cni0").expect("a program").slot(index).is_some());
        assert_eq!(call("ADD").code, Some(0), "a second one says it anew");
        call("DEL").fine();
        call("DEL").fine();
        assert_eq!(tc(&format!("qdisc show dev {name}")), before);
        assert_eq!(held("cni0").expect("a program").ports(), []);
        call("ADD").fine();
        runtime.add(TWO).fine();
        tests::ip("netns delete two");
        runtime.gc(&[ONE]).fine();
        assert_eq!(held("cni0").expect("a program").ports().len(), 1);
        runtime.check(ONE, &result).fine();
        runtime.gc(&[]).fine();
        assert_nothing();
    });
}

#[test]
fn what_cannot_be_is_named() {
    in_host(|_| {
        containers(&["one"]);
        for (rates, code, words) in [
            (
                json!({"ingressRate": 8000}),
                7,
                "if rate is set, burst must also be set runtimeConfig.bandwidth.ingressRate",
            ),
            (
                json!({"egressBurst": 8000}),
                7,
                "if burst is set, rate must also be set runtimeConfig.bandwidth.egressBurst",
            ),
            (json!({"egressBurst": 1_u64 << 36, "egressRate": 1}), 7, "it is 4 GB or more"),
            (json!({"ingressRate": "fast"}), 6, "ingressRate is \"fast\""),
            (json!({"unshapedSubnets": ["10.0.0.0/8"]}), 2, "unshapedSubnets"),
        ] {
            let (given, text) = limited(None, &rates).add(ONE).failure();
            assert_eq!((given, text.contains(words)), (code, true), "{text}");
            limited(None, &json!({})).del(ONE, &Value::Null).fine();
        }
        limited(None, &json!({})).gc(&[]).fine();
        assert_nothing();
    });
}

/// In one call, by the configuration's own keys.
#[test]
fn as_a_part_of_everything() {
    in_host(|_| {
        containers(&["one"]);
        let mut list = network("1.1.0");
        list["plugins"][0]["type"] = json!("netns-cni");
        list["plugins"][0]["capabilities"] = json!({"bandwidth": true});
        for guard in [Value::Null, json!("observe")] {
            list["plugins"][0]["guard"] = guard;
            let mut runtime = Runtime::new(Plugins::ours(), list.clone());
            runtime.capabilities = json!({"bandwidth": slow()});
            let result = runtime.add(ONE).fine();
            runtime.check(ONE, &result).fine();
            let monitor = held("cni0").expect("a program");
            let slot = monitor.slot(port(&result).1).expect("a slot");
            assert!(!monitor.limits(slot).unwrap().is_none());
            runtime.del(ONE, &result).fine();
            assert_eq!(monitor.ports(), []);
            assert_only_the_bridge();
            runtime.gc(&[]).fine();
            assert_nothing();
        }
    });
}

/// Debian's `ptp` with ours: the host's end is on no bridge, and holds the program itself.
#[test]
fn after_a_plugin_without_a_bridge() {
    in_host(|host| {
        containers(&["one"]);
        crate::runtime::debians_folder();
        let ptp = json!({
            "type": "ptp",
            "ipam": {"type": "host-local", "dataDir": crate::DATA, "subnet": "10.88.1.0/24"},
        });
        let bandwidth = json!({"type": "bandwidth", "capabilities": {"bandwidth": true}});
        let list = json!({"cniVersion": "1.0.0", "name": "net1", "plugins": [ptp, bandwidth]});
        let mut runtime = Runtime::new(Plugins::ours(), list);
        runtime.capabilities = json!({"bandwidth": slow()});
        let result = runtime.add(ONE).fine();
        let name = result["interfaces"][0]["name"].as_str().expect("a name").to_owned();
        assert_eq!(crate::files("/run/netns-cni/networks/net1"), ["one:eth0.bandwidth"]);
        runtime.check(ONE, &result).fine();
        let one = Namespace::open("one").unwrap();
        let gateway = result["ips"][0]["gateway"].as_str().expect("a gateway");
        for (from, to, address) in [(&one, host.namespace(), gateway), (host.namespace(), &one, "10.88.1.2")]
        {
            let arrived = arrive(from, to, address);
            assert!((5..40).contains(&arrived), "to {address}: {arrived} of 100");
        }
        // `DEL` of `bandwidth` alone leaves the link as it was.
        let bare = Runtime::new(
            Plugins::ours(),
            json!({"cniVersion": "1.0.0", "name": "net1", "plugins": [bandwidth_of(&runtime)]}),
        );
        let bare = Runtime { capabilities: runtime.capabilities.clone(), ..bare };
        bare.del(ONE, &result).fine();
        assert_eq!(tc(&format!("qdisc show dev {name}")).matches("clsact").count(), 0);
        assert_eq!(crate::files("/run/netns-cni/networks"), Vec::<String>::new());
        let (code, text) = bare.check(ONE, &result).failure();
        assert_eq!((code, text.contains("does not hold the program")), (102, true), "{text}");
        // Somebody's own qdisc stays.
        tc(&format!("qdisc add dev {name} clsact"));
        let mut again = bare;
        again.list["plugins"][0]["prevResult"] = result.clone();
        again.add(ONE).fine();
        again.add(ONE).fine();
        again.del(ONE, &result).fine();
        assert_eq!(tc(&format!("qdisc show dev {name}")).matches("clsact").count(), 1);
        again.add(ONE).fine();
        runtime.del(ONE, &result).fine();
        assert_eq!((crate::links(), crate::reserved()), (Vec::new(), Vec::new()));
        assert_eq!(crate::files("/run/netns-cni/networks"), Vec::<String>::new());
    });
}

/// The configuration of `bandwidth` in a list.
fn bandwidth_of(runtime: &Runtime) -> Value {
    runtime.list["plugins"][1].clone()
}
