//! A network in podman's form, and as a configuration of the CNI plugin.

use crate::Outcome;
use netns_core::{IfName, IpNet};
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// Where addresses are reserved. podman passes its own choice of addresses as `static_ips`; those are reserved too. A reboot
/// removes the reservations, as it does podman's containers.
const RESERVED: &str = "/run/netns-netavark";

/// Supported options, as in `podman network create --opt NAME=VALUE`.
const OPTIONS: [&str; 3] = ["guard", "mtu", "no_default_route"];

/// `podman network create`: checks what was asked for and fills in what was not.
pub(crate) fn create(mut network: Value) -> Outcome<Value> {
    let Some(keys) = network.as_object_mut() else { return Err("a network is an object".to_owned()) };
    let mut is_ipv6 = false;
    let subnets = keys.get_mut("subnets").and_then(Value::as_array_mut).filter(|subnets| !subnets.is_empty());
    for subnet in subnets.ok_or("a network of this driver takes a subnet: --subnet 10.1.2.0/24")? {
        let range = subnet_of(subnet)?;
        is_ipv6 |= range.address().is_ipv6();
        if subnet["gateway"].is_null() {
            let first =
                range.host(1).ok_or_else(|| format!("the subnet {range} has no address for the host"))?;
            subnet["gateway"] = first.to_string().into();
        }
    }
    let id = text(keys.get("id"))?.unwrap_or_default().to_owned();
    if text(keys.get("network_interface"))?.is_none_or(str::is_empty) {
        let name = format!("netns{}", id.get(..10).unwrap_or(&id));
        keys.insert("network_interface".to_owned(), name.into());
    }
    keys.insert("ipv6_enabled".to_owned(), is_ipv6.into());
    // Only netavark's own drivers report names to its resolver.
    keys.insert("dns_enabled".to_owned(), false.into());
    keys.insert("ipam_options".to_owned(), ipam(keys)?);
    configuration(&network)?;
    Ok(network)
}

fn ipam(keys: &Map<String, Value>) -> Outcome<Value> {
    match text(keys.get("ipam_options").and_then(|options| options.get("driver")))? {
        None | Some("host-local" | "") => Ok(json!({ "driver": "host-local" })),
        Some(other) => Err(format!("the IPAM driver {other:?} is not supported, only host-local")),
    }
}

/// The configuration of `netns-cni` for a network, without the parts that depend on the container.
pub(crate) fn configuration(network: &Value) -> Outcome<Value> {
    let name = text(network.get("name"))?.ok_or("a network has a name")?;
    let bridge = text(network.get("network_interface"))?.unwrap_or_default();
    IfName::new(bridge).map_err(|error| format!("network_interface: {error}"))?;
    let is_internal = network["internal"] == true;
    let options = read_options(network)?;
    let (mut ranges, mut routes) = (Vec::new(), read_routes(network)?);
    for subnet in network["subnets"].as_array().into_iter().flatten() {
        let range = subnet_of(subnet)?;
        let mut entry = json!({ "subnet": range.to_string() });
        let lease = &subnet["lease_range"];
        for (key, value) in [
            ("gateway", &subnet["gateway"]),
            ("rangeStart", &lease["start_ip"]),
            ("rangeEnd", &lease["end_ip"]),
        ] {
            if !value.is_null() && value != "" {
                entry[key] = value.clone();
            }
        }
        ranges.push(json!([entry]));
        let everything = IpNet::everything(range.address()).to_string();
        if !is_internal && !options.no_default_route && routes.iter().all(|route| route["dst"] != *everything)
        {
            routes.push(json!({ "dst": everything }));
        }
    }
    let mut config = json!({
        "cniVersion": "1.1.0",
        "name": name,
        "type": "netns-cni",
        "bridge": bridge,
        "isGateway": true,
        "ipMasq": !is_internal,
        "hairpinMode": true,
        "ipam": { "type": "host-local", "dataDir": RESERVED, "ranges": ranges, "routes": routes },
    });
    if let Some(mtu) = options.mtu {
        config["mtu"] = mtu.into();
    }
    if let Some(guard) = options.guard {
        config["guard"] = guard.into();
    }
    Ok(config)
}

#[derive(Debug, Default)]
struct DriverOptions {
    guard: Option<String>,
    mtu: Option<u32>,
    no_default_route: bool,
}

fn read_options(network: &Value) -> Outcome<DriverOptions> {
    let mut read = DriverOptions::default();
    for (name, value) in network["options"].as_object().into_iter().flatten() {
        let value = text(Some(value))?.unwrap_or_default();
        let wrong = || format!("the option {name:?} cannot be {value:?}");
        match name.as_str() {
            // As the plugin has them; `create` is when a mistake should be found.
            "guard" if ["observe", "enforce"].contains(&value) => read.guard = Some(value.to_owned()),
            "guard" => return Err(wrong()),
            "mtu" => read.mtu = Some(value.parse().map_err(|_| wrong())?),
            "no_default_route" => {
                read.no_default_route = match value {
                    "1" | "true" => true,
                    "0" | "false" => false,
                    _ => return Err(wrong()),
                }
            }
            _ => return Err(format!("the option {name:?} is not known, only {}", OPTIONS.join(", "))),
        }
    }
    Ok(read)
}

fn read_routes(network: &Value) -> Outcome<Vec<Value>> {
    let mut routes = Vec::new();
    for route in network["routes"].as_array().into_iter().flatten() {
        if let Some(kind) = text(route.get("route_type"))?.filter(|&kind| kind != "unicast") {
            return Err(format!("routes of the type {kind:?} are not supported"));
        }
        let mut entry = json!({ "dst": route["destination"] });
        for (key, value) in [("gw", &route["gateway"]), ("priority", &route["metric"])] {
            if !value.is_null() {
                entry[key] = value.clone();
            }
        }
        routes.push(entry);
    }
    Ok(routes)
}

fn subnet_of(subnet: &Value) -> Outcome<IpNet> {
    let text = text(subnet.get("subnet"))?.ok_or("a subnet has the key \"subnet\"")?;
    let subnet: IpNet = text.parse().map_err(|error| format!("subnet: {error}"))?;
    Ok(subnet.network())
}

/// A text; none if there is nothing.
pub(crate) fn text(value: Option<&Value>) -> Outcome<Option<&str>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("not a text: {other}")),
    }
}

/// Addresses, in a list of texts.
pub(crate) fn addresses(value: &Value) -> Outcome<Vec<IpAddr>> {
    let entries = value.as_array().into_iter().flatten();
    let parse = |entry: &Value| entry.as_str().and_then(|text| text.parse().ok());
    entries.map(|entry| parse(entry).ok_or_else(|| format!("not an address: {entry}"))).collect()
}
