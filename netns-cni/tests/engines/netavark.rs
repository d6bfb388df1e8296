//! netavark's plugin interface: called as netavark calls it, and by netavark itself where there is one that knows plugins.

use crate::network::{assert_nothing_but, in_host, links, serves, world};
use netns_core::Namespace;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tests::{Machine, SERVE, busybox_root, ip, oracle};

const PLUGIN: &str = env!("CARGO_BIN_EXE_netns-netavark");
const NETNS: &str = "/run/netns/one";

/// Runs a command with this input: its exit code, and what it answered.
fn call(command: &mut Command, input: &Value) -> (Option<i32>, Value) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may fail before it reads.
    let _ = stdin.write_all(input.to_string().as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn plugin(words: &[&str], input: &Value) -> (Option<i32>, Value) {
    call(Command::new(PLUGIN).args(words), input)
}

/// What podman gives to `create`.
fn asked() -> Value {
    json!({
        "name": "web",
        "id": "2f259bab93aaaaa2542ba43ef33eb990d0999ee1b9924b557b7be53c0b7a1bb9",
        "driver": "netns-netavark",
        "subnets": [{ "subnet": "10.88.1.0/24" }, { "subnet": "fd00:88::/64" }],
        "ipv6_enabled": false,
        "internal": false,
        "dns_enabled": true,
        "ipam_options": {},
        "options": { "mtu": "1400" },
    })
}

fn created() -> Value {
    let (code, network) = plugin(&["create"], &asked());
    assert_eq!(code, Some(0), "{network}");
    network
}

/// What `setup` and `teardown` get.
fn of_container(network: &Value) -> Value {
    json!({
        "container_id": "752947ff91f961eb3cb47ffe9315016979f3ffbec09e4d96a4fae3fb03391697",
        "container_name": "one",
        "port_mappings": [
            { "container_port": 80, "host_ip": "", "host_port": 8080, "protocol": "tcp,udp", "range": 1 },
        ],
        "network": network,
        "network_options": options(),
    })
}

fn options() -> Value {
    json!({
        "aliases": ["752947ff91f9"],
        "interface_name": "eth7",
        "static_ips": ["10.88.1.50", "fd00:88::50"],
        "static_mac": "aa:bb:cc:dd:aa:00",
    })
}

/// A container of that name, and what serves in it until it is dropped.
struct Container(Child);

impl Container {
    fn start() -> Self {
        let (root, namespace) = (busybox_root(), Namespace::create("one").expect("a namespace"));
        let mut command = oracle("unshare");
        command.arg(format!("--root={}", root.display())).args(SERVE).env("NAME", "one").env("PATH", "/bin");
        Self(namespace.spawn(&mut command).expect("it starts"))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The container is in the network as it was asked for.
fn assert_attached(world: &Namespace, host: &Namespace) {
    serves(host, "10.88.1.50:80", "one");
    serves(host, "[fd00:88::50]:80", "one");
    serves(world, "10.99.0.1:8080", "one");
    let link = ip("-n one -o link show eth7");
    assert!(link.contains("aa:bb:cc:dd:aa:00") && link.contains("mtu 1400"), "{link}");
}

/// What `GC` of the CNI plugin is called with: podman never says that a network is gone.
fn collect() {
    let config = json!({
        "cniVersion": "1.1.0", "name": "web", "type": "netns-cni", "bridge": "netns2f259bab93", "ipMasq": true,
        "ipam": { "type": "host-local", "dataDir": "/run/netns-netavark", "subnet": "10.88.1.0/24" },
        "cni.dev/valid-attachments": [],
    });
    let mut command = Command::new(env!("CARGO_BIN_EXE_netns-cni"));
    let (code, answer) = call(command.env("CNI_COMMAND", "GC").env("CNI_PATH", "/nowhere"), &config);
    assert_eq!(code, Some(0), "{answer}");
}

#[test]
fn called_as_netavark_does() {
    in_host(|host| {
        let (world, container) = (world(), Container::start());
        assert_eq!(plugin(&["info"], &Value::Null).1["api_version"], "1.0.0");
        let network = created();
        let filled = ["network_interface", "ipv6_enabled", "dns_enabled"].map(|key| network[key].clone());
        assert_eq!(filled, [json!("netns2f259bab93"), json!(true), json!(false)]);
        assert_eq!(network["subnets"][0]["gateway"], "10.88.1.1");
        let input = of_container(&network);
        let (code, status) = plugin(&["setup", NETNS], &input);
        assert_eq!(code, Some(0), "{status}");
        assert_eq!(
            status["interfaces"],
            json!({ "eth7": {
                "mac_address": "aa:bb:cc:dd:aa:00",
                "subnets": [
                    { "gateway": "10.88.1.1", "ipnet": "10.88.1.50/24" },
                    { "gateway": "fd00:88::1", "ipnet": "fd00:88::50/64" },
                ],
            } })
        );
        assert_attached(&world, host.namespace());
        let (code, again) = plugin(&["setup", NETNS], &input);
        assert!(code == Some(1) && again["error"].is_string(), "{again}");
        assert_attached(&world, host.namespace());
        drop(container);
        for _ in 0..2 {
            assert_eq!(plugin(&["teardown", NETNS], &input), (Some(0), Value::Null));
        }
        assert_eq!(links(), ["uplink", "netns2f259bab93"]);
        ip("netns delete one");
        collect();
        assert_nothing_but(&["uplink"]);
    });
}

#[test]
fn an_internal_network_has_no_way_out() {
    in_host(|_| {
        let _one = Namespace::create("one").expect("a namespace");
        let mut network = created();
        network["internal"] = true.into();
        network["subnets"] = json!([{
            "subnet": "10.88.1.0/24",
            "gateway": "10.88.1.1",
            "lease_range": { "start_ip": "10.88.1.20", "end_ip": "10.88.1.30" },
        }]);
        let mut input = of_container(&network);
        input["port_mappings"] = Value::Null;
        input["network_options"] = json!({ "interface_name": "eth0" });
        let attached = |input: &Value| {
            let (code, status) = plugin(&["setup", NETNS], input);
            assert_eq!(code, Some(0), "{status}");
            let address =
                status["interfaces"]["eth0"]["subnets"][0]["ipnet"].as_str().expect("an address").to_owned();
            let routes =
                ip("-n one -4 route show").lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
            assert_eq!(plugin(&["teardown", NETNS], input).0, Some(0));
            (address, routes)
        };
        let (address, routes) = attached(&input);
        assert_eq!(address, "10.88.1.20/24");
        assert_eq!(routes, ["10.88.1.0/24 dev eth0 proto kernel scope link src 10.88.1.20"]);
        input["network"]["internal"] = false.into();
        input["network"]["options"] = json!({ "no_default_route": "1" });
        input["network"]["routes"] =
            json!([{ "destination": "192.0.2.0/24", "gateway": "10.88.1.7", "metric": 9 }]);
        let (address, routes) = attached(&input);
        assert_eq!(address, "10.88.1.21/24");
        let own = "10.88.1.0/24 dev eth0 proto kernel scope link src 10.88.1.21";
        assert_eq!(routes, [own, "192.0.2.0/24 via 10.88.1.7 dev eth0 metric 9"]);
    });
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    in_host(|_| {
        let with = |key: &str, value: Value| {
            let mut network = asked();
            network[key] = value;
            network
        };
        for (words, input, why) in [
            (&["create"][..], with("subnets", Value::Null), "--subnet"),
            (&["create"], with("subnets", json!([{ "subnet": "10.1.0.0/99" }])), "10.1.0.0/99"),
            (&["create"], with("options", json!({ "vlan": "7" })), "\"vlan\""),
            (&["create"], with("options", json!({ "mtu": "many" })), "\"many\""),
            (&["create"], with("ipam_options", json!({ "driver": "dhcp" })), "\"dhcp\""),
            (&["create"], with("network_interface", json!("a name that is too long")), "network_interface"),
            (
                &["create"],
                with("routes", json!([{ "destination": "10.0.0.0/8", "route_type": "blackhole" }])),
                "blackhole",
            ),
            (&["setup"], json!({}), "NETNS"),
            (&["setup", NETNS], json!({}), "id"),
            (&["destroy"], json!({}), "destroy"),
        ] {
            let (code, answer) = plugin(words, &input);
            let said = answer["error"].as_str().unwrap_or_default();
            assert!(code == Some(1) && said.contains(why), "{words:?} {input}: {code:?} {answer}");
        }
    });
}

/// `netavark setup` and `teardown` as podman calls them, with the plugin as the driver of a network.
#[test]
#[ignore = "needs netavark 1.6 or later, which Debian 12 has not: cargo install netavark, and its path in NETAVARK"]
fn by_netavark() {
    in_host(|host| {
        let Some(netavark) = std::env::var_os("NETAVARK") else {
            tests::skip("NETAVARK missing, the path of netavark")
        };
        let (world, container) = (world(), Container::start());
        let plugins = Path::new(Machine::FOLDER).join("netavark-plugins");
        fs::create_dir_all(&plugins).expect("a folder");
        symlink(PLUGIN, plugins.join("netns-netavark")).expect("a link");
        let by_netavark = |words: &[&str], input: &Value| {
            let mut command = Command::new(&netavark);
            command.args(["--config", "/run/engine/netavark", "--plugin-directory"]).arg(&plugins);
            call(command.args(words), input)
        };
        // As podman asks: what others have, so that networks do not overlap.
        let used = json!({ "interfaces": [], "names": {}, "subnets": [] });
        let options =
            json!({ "subnet_pools": [], "default_interface_name": "podman", "check_used_subnets": true });
        let asked = json!({ "network": asked(), "used": used, "options": options });
        let (code, network) = by_netavark(&["create"], &asked);
        assert_eq!((code, &network["network_interface"]), (Some(0), &json!("netns2f259bab93")), "{network}");
        let one = of_container(&network);
        let input = json!({
            "container_id": one["container_id"],
            "container_name": "one",
            "networks": { "web": self::options() },
            "network_info": { "web": network },
            "port_mappings": one["port_mappings"],
        });
        let (code, status) = by_netavark(&["setup", NETNS], &input);
        assert_eq!(code, Some(0), "{status}");
        assert_eq!(status["web"]["interfaces"]["eth7"]["subnets"][0]["ipnet"], "10.88.1.50/24", "{status}");
        assert_attached(&world, host.namespace());
        drop(container);
        let (code, answer) = by_netavark(&["teardown", NETNS], &input);
        assert_eq!(code, Some(0), "{answer}");
        ip("netns delete one");
        collect();
        assert_eq!(links(), ["uplink"]);
    });
}
