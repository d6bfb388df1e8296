//! As JSON.

use super::addresses;
use crate::topology::{CableEnd, DEFAULT_AGEING, Group, Topology};
use netns_core::option::Options;
use serde_json::{Map, Value, json};

/// A topology as a JSON object, with the keys of `ip -json` where it has them.
#[must_use]
pub fn json(topology: &Topology) -> Value {
    let end = |end: &CableEnd| {
        json!({
            "place": end.link.place, "ifname": end.link.name.as_str(), "mtu": end.mtu,
            "address": end.mac.map(|mac| mac.to_string()),
            "master": end.port.map(|port| port.bridge.to_string()),
            "addresses": addresses(topology, &end.link),
        })
    };
    let bridges = topology.bridges.iter().map(|bridge| {
        json!({
            "place": bridge.link.place, "ifname": bridge.link.name.as_str(), "mtu": bridge.mtu,
            "address": bridge.mac.map(|mac| mac.to_string()), "addresses": addresses(topology, &bridge.link),
            "stp": bridge.options.stp_state == Some(true),
            "ageing": bridge.options.ageing_time.unwrap_or(DEFAULT_AGEING).as_secs(),
            "multicast_snooping": bridge.options.mcast_snooping != Some(false),
        })
    });
    let links = topology.links.iter().map(|single| {
        let kind = &single.kind;
        let options = kind.rows().iter().enumerate();
        let options = options.filter_map(|(at, row)| {
            let value = kind.get(at)?;
            Some((row.word(value).to_owned(), row.text(value).into()))
        });
        json!({
            "place": single.link.place, "ifname": single.link.name.as_str(), "info_kind": kind.name(),
            "link": single.on.map(|on| on.to_string()), "mtu": single.mtu,
            "address": single.mac.map(|mac| mac.to_string()), "addresses": addresses(topology, &single.link),
            "options": options.collect::<Map<String, Value>>(),
        })
    });
    let routes = topology.routes.iter().map(|route| {
        json!({
            "place": route.place,
            "dst": if route.to.prefix() == 0 { "default".to_owned() } else { route.to.to_string() },
            "gateway": route.via.map(|via| via.to_string()),
            "dev": route.dev.map(|dev| dev.to_string()), "metric": route.metric,
        })
    });
    let sysctls = topology
        .sysctls
        .iter()
        .map(|sysctl| json!({ "place": sysctl.place, "key": sysctl.key, "value": sysctl.value }));
    let commands = topology
        .commands
        .iter()
        .map(|command| json!({ "namespace": command.namespace, "command": command.command }));
    let policies = topology.cables.iter().filter_map(|cable| {
        let (policy, [port, inside]) = (cable.policy.as_ref()?, &cable.ends);
        Some(json!({
            "port": port.link.name.as_str(), "place": inside.link.place, "ifname": inside.link.name.as_str(),
            "mode": policy.mode_name(), "group": group(&policy.group),
            "networks": policy.networks.iter().map(ToString::to_string).collect::<Value>(),
            "policy": policy.to_string(),
        }))
    });
    let ways_out = topology.ways_out.iter().map(|way| {
        json!({
            "ifname": way.bridge.name.as_str(), "masquerade": way.masquerade,
            "resolvers": way.resolvers.iter().map(ToString::to_string).collect::<Value>(),
            "redirect": way.redirects.iter().map(ToString::to_string).collect::<Value>(),
            "publish": way.published.iter().map(ToString::to_string).collect::<Value>(),
        })
    });
    json!({
        "namespaces": topology.namespaces,
        "bridges": bridges.collect::<Value>(),
        "cables": topology.cables.iter().map(|cable| cable.ends.iter().map(end).collect()).collect::<Vec<Value>>(),
        "links": links.collect::<Value>(),
        "policies": policies.collect::<Value>(),
        "apart": topology.apart.iter().map(|[one, other]| json!([group(one), group(other)])).collect::<Value>(),
        "ways_out": ways_out.collect::<Value>(),
        "routes": routes.collect::<Value>(),
        "sysctls": sysctls.collect::<Value>(),
        "commands": commands.collect::<Value>(),
    })
}

/// As the file has it.
fn group(group: &Group) -> Value {
    match group {
        Group::Number(number) => (*number).into(),
        Group::Name(name) => name.as_str().into(),
    }
}
