//! The plugins as runtimes meet them: the program itself, in a host of its own, judged by its answers, by what Debian's
//! tools see, and beside the reference's plugins.

mod bandwidth;
mod bridge;
mod damage;
mod detach;
mod egress;
mod firewall;
mod front;
mod guard;
mod host_local;
mod many;
mod neighbours;
mod outside;
mod portmap;
mod recorded;
mod reference;
mod runtime;
mod stale;
mod tuning;
mod turns;
mod waits;

use netns_core::Namespace;
use runtime::{Attachment, Plugins, Runtime};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tests::Host;

/// Where reservations are in these tests: below `/run`, which each has for itself.
const DATA: &str = "/run/cni-data";

/// A network of one bridge with addresses of both families.
fn network(version: &str) -> Value {
    json!({
        "cniVersion": version,
        "name": "net1",
        "plugins": [{
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": true,
            "ipam": {
                "type": "host-local",
                "dataDir": DATA,
                "ranges": [[{"subnet": "10.88.1.0/24"}], [{"subnet": "fd00:88::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
        }],
    })
}

/// The host's end of a container's interface, by the result of `ADD`.
fn port(result: &Value) -> String {
    result["interfaces"][1]["name"].as_str().expect("a name").to_owned()
}

/// Puts a stranger's link in the place of the host's end; its name.
fn replace_port(result: &Value) -> String {
    let name = port(result);
    tests::ip(&format!("link delete {name}"));
    tests::ip(&format!("link add {name} type veth peer name other"));
    name
}

/// A host of the test's own that does not forward. A new namespace begins with the settings of the machine's first one,
/// which others may have changed.
fn in_host(test: impl FnOnce(&Host) + Send) {
    tests::in_host(|host| {
        for setting in FORWARDING {
            fs::write(format!("/proc/sys/net/{setting}"), "0").expect("a setting");
        }
        test(host);
    });
}

const FORWARDING: [&str; 2] = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"];

fn ours(version: &str) -> Runtime {
    Runtime::new(Plugins::ours(), network(version))
}

/// Makes named namespaces.
fn containers(names: &[&str]) {
    for name in names {
        Namespace::create(name).expect("a namespace");
    }
}

const ONE: Attachment<'_> = Attachment { container: "one", netns: "/run/netns/one", interface: "eth0" };
const TWO: Attachment<'_> = Attachment { container: "two", netns: "/run/netns/two", interface: "eth0" };

/// The container answers.
fn reaches(from: Option<&str>, address: &str) {
    match from {
        None => tests::ping("-c 1", address),
        Some(name) => {
            let namespace = Namespace::open(name).expect("a namespace");
            namespace.enter(|| tests::ping("-c 1", address)).expect("inside");
        }
    }
}

/// Every port of the host's bridge forwards.
#[track_caller]
fn all_forward() {
    let ports = tests::bridge_json("link show");
    let states: Vec<_> = ports.as_array().expect("ports").iter().map(|port| port["state"].clone()).collect();
    assert!(!states.is_empty() && states.iter().all(|state| state == "forwarding"), "{ports}");
}

/// The names of files in a folder; none if it is not there.
fn files(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort_unstable();
    names
}

/// The reserved addresses of `net1`.
fn reserved() -> Vec<String> {
    let is_address = |name: &String| name.parse::<std::net::IpAddr>().is_ok();
    files(Path::new(DATA).join("net1")).into_iter().filter(is_address).collect()
}

/// The host's links but `lo`.
fn links() -> Vec<String> {
    let links = tests::ip_json("link show");
    let names = links.as_array().expect("links").iter().map(|link| link["ifname"].as_str().expect("a name"));
    names.filter(|name| *name != "lo").map(str::to_owned).collect()
}

/// Nothing of a container is left; the bridge is.
#[track_caller]
fn assert_only_the_bridge() {
    assert_eq!((links(), reserved()), (vec!["cni0".to_owned()], Vec::new()));
    assert_eq!(files("/run/netns-cni/networks"), Vec::<String>::new());
}

/// Nothing is left at all.
#[track_caller]
fn assert_nothing() {
    assert_eq!((links(), reserved()), (Vec::new(), Vec::new()));
    assert_eq!(files("/run/netns-cni/networks"), Vec::<String>::new());
    assert_eq!(files("/run/netns-cni/bridges"), Vec::<String>::new());
    for setting in FORWARDING {
        let value = fs::read_to_string(format!("/proc/sys/net/{setting}")).expect("a setting");
        assert_eq!(value, "0\n", "{setting}");
    }
    assert!(!Path::new("/run/netns-settings.record").exists(), "a claim on a setting is left");
    assert_eq!(tests::run(tests::oracle("nft").args(["list", "tables"])), "");
}
