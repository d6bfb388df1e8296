//! An address that is used again: its neighbours reach the new holder at once, and are sent nothing where they know no other.

use crate::runtime::Runtime;
use crate::stale::trace;
use crate::{Attachment, ONE, TWO, assert_nothing, containers, in_host, ours, reaches};
use serde_json::{Value, json};
use tests::ip;

const THREE: Attachment<'_> = Attachment { container: "three", netns: "/run/netns/three", interface: "eth0" };
const ADDRESSES: [&str; 2] = ["10.88.1.7", "fd00:88::7"];

/// A runtime whose containers get these addresses, and a MAC address if it names one.
fn with(addresses: [&str; 2], mac: Option<&str>) -> Runtime {
    let mut runtime = ours("1.1.0");
    runtime.list["plugins"][0]["capabilities"] = json!({"ips": true, "mac": true});
    runtime.capabilities = json!({"ips": addresses});
    if let Some(mac) = mac {
        runtime.capabilities["mac"] = json!(mac);
    }
    runtime
}

/// The result of `ADD`, and whether it announced the container.
fn add(runtime: &Runtime, attachment: Attachment<'_>) -> (Value, bool) {
    let (command, input) = runtime.prepare_first("ADD", attachment, &Value::Null);
    let trace = trace(&command, &input);
    let seen = ip(&format!("-n {} -j addr show {}", attachment.container, attachment.interface));
    let seen: Value = serde_json::from_str(&seen).expect("JSON");
    let mac = seen[0]["address"].as_str().expect("a MAC address");
    let previous = json!({"cniVersion": "1.1.0", "interfaces": [
        {"name": "cni0"}, {"name": "eth0", "mac": mac, "sandbox": attachment.netns},
    ]});
    (previous, trace.contains("arp_notify"))
}

fn mac(previous: &Value) -> &str {
    previous["interfaces"][1]["mac"].as_str().expect("a MAC address")
}

/// Lets the first container and the host learn the others' addresses.
fn learn() {
    for address in ADDRESSES {
        reaches(Some("one"), address);
        reaches(None, address);
    }
}

/// They reach them at once, by this MAC address.
#[track_caller]
fn assert_reached(mac: &str) {
    learn();
    for address in ADDRESSES {
        let known = ip(&format!("-n one neigh show {address}"));
        assert!(known.contains(mac), "{mac}: {known}");
    }
}

#[test]
fn the_next_holder_of_an_address_is_reached_at_once() {
    in_host(|_| {
        containers(&["one", "two", "three"]);
        ours("1.1.0").add(ONE).fine();
        let same = with(ADDRESSES, None);
        let (two, is_announced) = add(&same, TWO);
        assert!(!is_announced, "nobody had the address");
        learn();
        same.del(TWO, &two).fine();
        let (three, is_announced) = add(&same, THREE);
        assert_eq!((mac(&three), is_announced), (mac(&two), false));
        assert_reached(mac(&two));
        same.del(THREE, &three).fine();

        // The user's own MAC address, and back.
        let chosen = "02:00:00:00:12:34";
        let other = with(ADDRESSES, Some(chosen));
        let (two_again, is_announced) = add(&other, TWO);
        assert_eq!((mac(&two_again), is_announced), (chosen, true));
        assert_reached(chosen);
        other.del(TWO, &two_again).fine();
        assert!(add(&same, THREE).1);
        assert_reached(mac(&two));
        same.del(THREE, &three).fine();

        // One of two addresses, by another MAC address.
        let mixed = with(["10.88.1.9", ADDRESSES[1]], None);
        let (two_mixed, is_announced) = add(&mixed, TWO);
        assert!(is_announced && mac(&two_mixed) != mac(&two));
        reaches(Some("one"), ADDRESSES[1]);
        let known = ip(&format!("-n one neigh show {}", ADDRESSES[1]));
        assert!(known.contains(mac(&two_mixed)), "{known}");
        mixed.del(TWO, &two_mixed).fine();
        same.gc(&[]).fine();
        assert_nothing();
    });
}

/// Of a container whose MAC address a later plugin changed, or of which nobody says, and on a bridge that was there before.
#[test]
fn a_holder_that_may_be_known_otherwise_is_announced() {
    in_host(|_| {
        containers(&["one"]);
        let same = with(ADDRESSES, None);
        for changed in [true, false] {
            let (mut last, _) = add(&same, ONE);
            last["interfaces"][1]["mac"] = json!("02:00:00:00:12:34");
            same.del(ONE, if changed { &last } else { &Value::Null }).fine();
            let (last, is_announced) = add(&same, ONE);
            assert!(is_announced, "{changed}");
            same.del(ONE, &last).fine();
            let (last, is_announced) = add(&same, ONE);
            assert!(!is_announced, "it was");
            same.del(ONE, &last).fine();
        }
        same.gc(&[]).fine();
        ip("link add cni0 type bridge");
        assert!(add(&same, ONE).1);
        same.gc(&[]).fine();
        ip("link delete cni0");
        assert_nothing();
    });
}
