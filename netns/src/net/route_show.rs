//! Printing routes.

use super::manner::Manner;
use super::name_of;
use super::route_values::TOS;
use crate::failure::Failure;
use crate::output::stdout;
use netns_core::IpNet;
use netns_core::route::{DescribedRoute, NextHop, Protocol, RouteKind, Scope};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

/// `RT_TABLE_MAIN`.
const MAIN: u32 = 254;
/// `RTM_F_CLONED`: the answer to `route get`.
const CLONED: u32 = 0x200;
/// `RTNH_F_*` and `RTM_F_*` with the names that `ip` has for them, in its order:
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/rtnetlink.h>.
const FLAGS: [(u32, &str); 11] = [
    (1 << 0, "dead"),
    (1 << 2, "onlink"),
    (1 << 1, "pervasive"),
    (1 << 3, "offload"),
    (1 << 6, "trap"),
    (0x100, "notify"),
    (1 << 4, "linkdown"),
    (1 << 5, "unresolved"),
    (0x4000, "rt_offload"),
    (0x8000, "rt_trap"),
    (0x2000_0000, "rt_offload_failed"),
];

/// `RTAX_LOCK` and `RTAX_HOPLIMIT`.
const LOCK: u16 = 1;
const HOP_LIMIT: u16 = 10;
/// `RTAX_*` with the names that `ip` has for them, of the same file; 4, 5 and 13 are times in units of their own.
const METRICS: [(u16, &str); 11] = [
    (2, "mtu"),
    (3, "window"),
    (6, "ssthresh"),
    (7, "cwnd"),
    (8, "advmss"),
    (9, "reordering"),
    (10, "hoplimit"),
    (11, "initcwnd"),
    (14, "initrwnd"),
    (15, "quickack"),
    (17, "fastopen_no_cookie"),
];

/// What is left out of the output because the command line chose it.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one of a route's properties")]
pub(super) struct Hidden {
    pub(super) protocol: bool,
    pub(super) scope: bool,
    pub(super) dev: bool,
    pub(super) metric: bool,
    pub(super) gateway: bool,
    pub(super) source: bool,
    pub(super) table: bool,
}

pub(super) fn show(
    manner: &Manner,
    routes: &[DescribedRoute],
    names: &BTreeMap<u32, String>,
    hidden: Hidden,
) -> Result<(), Failure> {
    let mut out = stdout();
    let describe = |route| describe(route, names, hidden, manner.details);
    if manner.json {
        return manner.print_json(&mut out, &routes.iter().map(describe).map(Value::Object).collect());
    }
    for route in routes {
        let text = text(route, &describe(route));
        if manner.oneline {
            writeln!(out, "{}", text.replace('\n', "\\"))?;
        } else {
            writeln!(out, "{text}")?;
        }
    }
    Ok(())
}

/// As `ip` prints it: a single address without a prefix length.
fn network(net: IpNet) -> String {
    match net.prefix() {
        0 => "default".to_owned(),
        _ if net == IpNet::single(net.address()) => net.address().to_string(),
        _ => net.to_string(),
    }
}

fn flags(flags: u32) -> Value {
    let set = FLAGS.iter().filter(|(bit, _)| flags & bit != 0);
    set.map(|&(_, name)| name).collect()
}

/// With the keys of `ip -json route`, which leaves out defaults.
fn describe(
    described: &DescribedRoute,
    names: &BTreeMap<u32, String>,
    hidden: Hidden,
    details: bool,
) -> Map<String, Value> {
    let route = &described.route;
    let is_found = route.flags & CLONED != 0;
    let mut object = Map::new();
    let mut put = |key: &str, is_said: bool, value: Value| {
        if is_said {
            object.insert(key.to_owned(), value);
        }
    };
    put("type", route.kind != RouteKind::UNICAST || details, route.kind.to_string().into());
    put("dst", true, network(route.destination).into());
    if let Some(from) = described.from {
        put("from", true, network(from).into());
    }
    if let Some(id) = described.next_hop_id {
        put("nhid", true, id.into());
    }
    if let Some(kind) = described.encapsulation {
        put("encap", true, encapsulation(kind).into());
    }
    if described.tos != 0 {
        let name = TOS.iter().find(|(_, byte)| *byte == described.tos);
        let name = name.map_or_else(|| format!("{:#04x}", described.tos), |(name, _)| (*name).to_owned());
        put("tos", true, name.into());
    }
    if let Some(gateway) = route.gateway.filter(|_| !hidden.gateway) {
        put("gateway", true, gateway.to_string().into());
    }
    if let Some(via) = route.via {
        put("via", true, json!({ "family": "inet6", "host": via.to_string() }));
    }
    if let Some(index) = route.index.filter(|_| !hidden.dev) {
        put("dev", true, name_of(names, index).into());
    }
    let is_told = !hidden.table && route.table != 0 && (route.table != MAIN || details);
    put("table", is_told, table(route.table).into());
    let protocol = route.protocol != Protocol::BOOT || details;
    put("protocol", protocol && !is_found && !hidden.protocol, route.protocol.to_string().into());
    let scope = route.scope != Scope::GLOBAL || details;
    put("scope", scope && !is_found && !hidden.scope, route.scope.to_string().into());
    if let Some(source) = route.source.filter(|_| !hidden.source) {
        put("prefsrc", true, source.to_string().into());
    }
    if let Some(metric) = route.metric.filter(|_| !hidden.metric) {
        put("metric", true, metric.into());
    }
    put("flags", true, flags(route.flags));
    if let Some(realms) = described.realms {
        put("flow", true, flow(realms));
    }
    if let Some(user) = described.user {
        put("uid", true, user.into());
    }
    if let Some(left) = route.expires {
        put("expires", true, left.as_secs().into());
    }
    let metrics: Map<String, Value> = METRICS
        .iter()
        .filter_map(|(number, name)| {
            let (_, value) = described.metrics.iter().find(|(metric, _)| metric == number)?;
            // A hop limit of -1 is the link's own.
            (*number != HOP_LIMIT || *value != u32::MAX).then(|| ((*name).to_owned(), (*value).into()))
        })
        .collect();
    put("metrics", !metrics.is_empty(), json!([metrics]));
    if let Some(preference) = route.preference {
        put("pref", true, preference.to_string().into());
    }
    let hops: Vec<Value> = described.next_hops.iter().map(|hop| describe_hop(hop, names)).collect();
    put("nexthops", !hops.is_empty(), hops.into());
    object
}

fn describe_hop(hop: &NextHop, names: &BTreeMap<u32, String>) -> Value {
    let mut value =
        json!({ "dev": name_of(names, hop.index), "weight": hop.weight, "flags": flags(hop.flags) });
    if let Some(gateway) = hop.gateway {
        value["gateway"] = gateway.to_string().into();
    }
    if let Some(via) = hop.via {
        value["via"] = json!({ "family": "inet6", "host": via.to_string() });
    }
    if let Some(realms) = hop.realms {
        value["flow"] = flow(realms);
    }
    value
}

fn flow(realms: u32) -> Value {
    // 0 has a name in iproute2's file.
    let name = |realm: u32| if realm == 0 { "cosmos".to_owned() } else { realm.to_string() };
    let (from, to) = (realms >> 16, realms & 0xFFFF);
    match from {
        0 => json!({ "to": name(to) }),
        _ => json!({ "from": name(from), "to": name(to) }),
    }
}

fn table(table: u32) -> String {
    match table {
        255 => "local".to_owned(),
        254 => "main".to_owned(),
        253 => "default".to_owned(),
        other => other.to_string(),
    }
}

/// `LWTUNNEL_ENCAP_*`, of <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/lwtunnel.h>.
fn encapsulation(kind: u16) -> String {
    let names = ["none", "mpls", "ip", "ila", "ip6", "seg6", "bpf", "seg6local", "rpl", "ioam6", "xfrm"];
    names.get(usize::from(kind)).map_or_else(|| kind.to_string(), |name| (*name).to_owned())
}

/// As `ip route` writes it, from the same keys.
fn text(route: &DescribedRoute, object: &Map<String, Value>) -> String {
    let mut text = String::new();
    for (key, word) in [
        ("type", ""),
        ("dst", ""),
        ("from", "from "),
        ("nhid", "nhid "),
        ("encap", "encap "),
        ("tos", "tos "),
        ("gateway", "via "),
        ("via", "via "),
        ("dev", "dev "),
        ("table", "table "),
        ("protocol", "proto "),
        ("scope", "scope "),
        ("prefsrc", "src "),
        ("metric", "metric "),
        ("flags", ""),
        ("flow", "realm"),
        ("uid", "uid "),
        ("expires", "expires "),
        ("metrics", ""),
        ("pref", "pref "),
        ("nexthops", ""),
    ] {
        let Some(value) = object.get(key) else { continue };
        let _ = match value {
            Value::String(value) => write!(text, "{word}{value} "),
            Value::Object(via) if key == "via" => write!(text, "via inet6 {} ", plain(&via["host"])),
            Value::Object(flow) => write!(text, "{} ", realms(flow)),
            Value::Array(hops) if key == "nexthops" => {
                hops.iter().try_for_each(|hop| write!(text, "\n\tnexthop {}", hop_text(hop)))
            }
            Value::Array(_) if key == "metrics" => write!(text, "{}", metrics(route)),
            Value::Array(list) => list.iter().try_for_each(|flag| write!(text, "{} ", plain(flag))),
            value if key == "expires" => write!(text, "expires {value}sec "),
            value => write!(text, "{word}{value} "),
        };
    }
    text.trim_end().to_owned()
}

/// The metrics, marking those that the kernel may not change.
fn metrics(route: &DescribedRoute) -> String {
    let value = |number| route.metrics.iter().find(|(metric, _)| *metric == number).map(|&(_, value)| value);
    let locked = value(LOCK).unwrap_or_default();
    let mut text = String::new();
    for (number, name) in METRICS {
        if let Some(value) = value(number).filter(|value| number != HOP_LIMIT || *value != u32::MAX) {
            let lock = if locked & (1 << number) == 0 { "" } else { "lock " };
            let _ = write!(text, "{name} {lock}{value} ");
        }
    }
    text
}

fn hop_text(hop: &Value) -> String {
    let mut text = String::new();
    if let Some(gateway) = hop.get("gateway") {
        let _ = write!(text, "via {} ", plain(gateway));
    }
    if let Some(via) = hop.get("via") {
        let _ = write!(text, "via inet6 {} ", plain(&via["host"]));
    }
    if let Some(Value::Object(flow)) = hop.get("flow") {
        let _ = write!(text, "{} ", realms(flow));
    }
    let _ = write!(text, "dev {} weight {} ", plain(&hop["dev"]), hop["weight"]);
    for flag in hop["flags"].as_array().into_iter().flatten() {
        let _ = write!(text, "{} ", plain(flag));
    }
    text
}

fn realms(flow: &Map<String, Value>) -> String {
    match flow.get("from") {
        Some(from) => format!("realms {}/{}", plain(from), plain(&flow["to"])),
        None => format!("realm {}", plain(&flow["to"])),
    }
}

/// A text without its quotation marks.
fn plain(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
