//! A container in a network: the CNI plugin's `ADD` and `DEL`.

use crate::Outcome;
use crate::network::{addresses, configuration, text};
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::io::stderr;

/// `setup`: attaches the container, and returns the status block.
pub(crate) fn set_up(netns: &str, input: &Value) -> Outcome<Value> {
    let result = call("ADD", netns, input)?;
    let options = &input["network_options"];
    let name = text(options.get("interface_name"))?.unwrap_or_default();
    let interfaces = result["interfaces"].as_array();
    let inside = interfaces.into_iter().flatten().find(|interface| interface["sandbox"] == netns);
    let subnet = |address: &Value| {
        // netavark's types accept a null gateway, and no gateway at all.
        json!({ "ipnet": address["address"], "gateway": address["gateway"] })
    };
    let subnets: Vec<Value> = result["ips"].as_array().into_iter().flatten().map(subnet).collect();
    let mac = inside.map_or(&Value::Null, |interface| &interface["mac"]);
    Ok(json!({
        "dns_search_domains": [],
        "dns_server_ips": addresses(&input["network"]["network_dns_servers"])?,
        "interfaces": { name: { "mac_address": mac, "subnets": subnets } },
    }))
}

/// `teardown`: detaches it.
pub(crate) fn tear_down(netns: &str, input: &Value) -> Outcome<()> {
    call("DEL", netns, input).map(drop)
}

fn call(command: &str, netns: &str, input: &Value) -> Outcome<Value> {
    let options = &input["network_options"];
    let container = text(input.get("container_id"))?.ok_or("a container has an id")?;
    let interface = text(options.get("interface_name"))?.ok_or("a container has a name for its interface")?;
    let mut config = configuration(&input["network"])?;
    config["runtimeConfig"] = runtime(input)?.into();
    let variable = |name: &str| {
        let value = match name {
            "CNI_COMMAND" => command,
            "CNI_CONTAINERID" => container,
            "CNI_IFNAME" => interface,
            "CNI_NETNS" => netns,
            _ => return None,
        };
        Some(OsString::from(value))
    };
    let mut answer = Vec::new();
    let code = netns_cni::run(
        "netns-cni",
        variable,
        || Ok(config.to_string().into_bytes()),
        &mut answer,
        &mut stderr(),
    );
    let answer = serde_json::from_slice(&answer).unwrap_or(Value::Null);
    if code == 0 {
        return Ok(answer);
    }
    let words = ["msg", "details"].map(|key| answer[key].as_str().unwrap_or_default());
    Err(words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join("; "))
}

/// The parts that depend on the container.
fn runtime(input: &Value) -> Outcome<Map<String, Value>> {
    let options = &input["network_options"];
    let mut runtime = Map::new();
    let ips: Vec<String> = addresses(&options["static_ips"])?.iter().map(ToString::to_string).collect();
    if !ips.is_empty() {
        runtime.insert("ips".to_owned(), ips.into());
    }
    if let Some(mac) = text(options.get("static_mac"))?.filter(|mac| !mac.is_empty()) {
        runtime.insert("mac".to_owned(), mac.into());
    }
    let ports = input["port_mappings"].as_array().into_iter().flatten();
    let mappings: Vec<Value> = ports.map(mappings).collect::<Outcome<Vec<_>>>()?.concat();
    if !mappings.is_empty() {
        runtime.insert("portMappings".to_owned(), mappings.into());
    }
    Ok(runtime)
}

/// A mapping may have several ports and several protocols (`tcp,udp`).
fn mappings(mapping: &Value) -> Outcome<Vec<Value>> {
    let port = |key: &str| {
        mapping[key]
            .as_u64()
            .filter(|&port| port <= 65_535)
            .ok_or_else(|| format!("{key} is {}", mapping[key]))
    };
    let (host, inside) = (port("host_port")?, port("container_port")?);
    let protocols = text(mapping.get("protocol"))?.filter(|text| !text.is_empty()).unwrap_or("tcp");
    let count = mapping["range"].as_u64().unwrap_or(1).max(1);
    let mut mappings = Vec::new();
    for protocol in protocols.split(',') {
        for offset in 0..count {
            let (host, inside) = (host + offset, inside + offset);
            if host.max(inside) > 65_535 {
                return Err(format!("{count} ports from {mapping} on are more than there are"));
            }
            let mut entry = json!({ "hostPort": host, "containerPort": inside, "protocol": protocol });
            if let Some(address) = text(mapping.get("host_ip"))?.filter(|address| !address.is_empty()) {
                entry["hostIP"] = address.into();
            }
            mappings.push(entry);
        }
    }
    Ok(mappings)
}
