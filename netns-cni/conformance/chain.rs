//! What a chained plugin builds on: a container's interface, as an earlier plugin would have made it.

use crate::host::shell;
use serde_json::{Value, json};

/// The container's interface, with its other end on a bridge of the host.
const INTERFACE: &str = "ip link add cnf0 type bridge && ip link set cnf0 up && ip addr add 10.77.1.1/24 dev cnf0 && \
    ip link add conf0 type veth peer name eth0 netns a && ip link set conf0 master cnf0 up && \
    ip -n a addr add 10.77.1.2/24 dev eth0 && ip -n a link set eth0 up && ip -n a route add default via 10.77.1.1";

/// Everything that plugins of these four kinds make: rules, queues, filters, and settings of an interface.
const DAMAGE: &str = "nft flush ruleset; tc qdisc delete dev conf0 clsact; tc qdisc delete dev conf0 root; \
    ip -n a link set eth0 mtu 1280; true";

/// Makes the interface, and returns the result of the plugin that would have made it.
pub(crate) fn make_interface(version: &str) -> Result<Value, String> {
    shell(INTERFACE)?;
    let mut ip = json!({"address": "10.77.1.2/24", "gateway": "10.77.1.1", "interface": 1});
    if version < "1.0.0" {
        ip["version"] = json!("4");
    }
    Ok(json!({
        "cniVersion": version,
        "interfaces": [{"name": "conf0", "mac": ""}, {"name": "eth0", "mac": "", "sandbox": "/run/netns/a"}],
        "ips": [ip],
        "routes": [{"dst": "0.0.0.0/0", "gw": "10.77.1.1"}],
        "dns": {"nameservers": ["10.77.1.1"], "search": ["example"]},
    }))
}

/// Removes what the plugin made, except the interface.
pub(crate) fn damage() -> Result<(), String> {
    shell(DAMAGE)
}

/// Whether a plugin passes the result on, with its own interfaces after the existing ones, if it made any. It may have
/// changed MAC address and MTU of the existing ones.
pub(crate) fn is_handed_on(before: &Value, result: &Value) -> bool {
    let interfaces = |result: &Value| -> Vec<(Value, String)> {
        let one = |interface: &Value| {
            (interface["name"].clone(), interface["sandbox"].as_str().unwrap_or_default().to_owned())
        };
        result["interfaces"].as_array().into_iter().flatten().map(one).collect()
    };
    interfaces(result).starts_with(&interfaces(before))
        && ["ips", "routes", "dns"].into_iter().all(|key| before[key] == result[key])
}
