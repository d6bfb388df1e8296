//! `portmap`: ports of the host that lead to a container, after a plugin that gave it an address.

use crate::attachment_result::AttachmentResult;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::{
    ADDRESSED, ElementOwner, FilterRemoval, FilterSearch, FilterTable, HAIRPIN, KeptSocket, LOCALNET,
    NamedSet, PORTS, SetEntry, StaleOwners, VEILED, note_elements,
};
use crate::keys::ConfigKeys;
use crate::request::PluginRequest;
use crate::{attachments, container, localnet};
use netns_core::link::{self, Link};
use netns_core::nftables::{Family, conntrack};
use netns_core::record::RecordFile;
use netns_core::{ErrorKind, RouteSocket, route};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const SETS: [NamedSet; 8] =
    [PORTS.v4, PORTS.v6, ADDRESSED.v4, ADDRESSED.v6, HAIRPIN.v4, HAIRPIN.v6, VEILED.v4, VEILED.v6];
/// Where a container's elements are.
pub(crate) const SEARCHES: [FilterSearch; 1] = [FilterSearch::Sets(FilterTable::Inet, &SETS)];
/// The name of the records here, of containers whose bridge is another plugin's affair.
pub(crate) const PLUGIN: &str = "portmap";
/// `IPPROTO_UDP`.
const UDP: u8 = 17;

/// What the configuration asks for.
#[derive(Debug)]
struct PortmapConfig {
    mappings: Vec<PortMapping>,
    /// Whether the host (at 127.0.0.1) and the container itself reach the ports.
    snat: bool,
    /// Whether the container sees every client as the host.
    veil: bool,
}

/// One port.
#[derive(Debug)]
struct PortMapping {
    host_port: u16,
    container_port: u16,
    protocol: u8,
    name: String,
    /// The host's address, if not all of them; an unspecified address means all of its family.
    host: Option<IpAddr>,
}

impl PortmapConfig {
    fn read(request: &PluginRequest) -> Outcome<Self> {
        let keys = request.keys();
        let why = "rules of iptables cannot be used in the tables of nftables";
        for key in ["conditionsV4", "conditionsV6"] {
            if let Some(value) = keys.get(key).filter(|_| keys.list(key).is_ok_and(|list| !list.is_empty())) {
                return Err(CniFailure::unsupported(key, value, why));
            }
        }
        if let Some(value) = keys.get("externalSetMarkChain") {
            return Err(CniFailure::unsupported("externalSetMarkChain", value, why));
        }
        if let Some(value) = keys.get("backend").filter(|value| !is_backend(value)) {
            return Err(CniFailure::unsupported("backend", value, "there is no such backend"));
        }
        let entries = keys.inside("runtimeConfig")?;
        let mut mappings = Vec::new();
        for (number, entry) in entries.list("portMappings")?.iter().enumerate() {
            let path = format!("{}[{number}]", entries.path("portMappings"));
            mappings.push(PortMapping::read(&ConfigKeys::of_entry(path, entry)?)?);
        }
        let snat = keys.get("snat").is_none() || keys.boolean("snat")?;
        Ok(Self { mappings, snat, veil: keys.boolean("masqAll")? })
    }
}

/// Either is fine for nftables, whose rules the kernel applies beside those of iptables.
fn is_backend(value: &Value) -> bool {
    matches!(value.as_str(), Some("iptables" | "nftables"))
}

impl PortMapping {
    fn read(keys: &ConfigKeys<'_>) -> Outcome<Self> {
        let port = |key: &str| {
            let number = keys.number(key)?.unwrap_or(0);
            u16::try_from(number).ok().filter(|&port| port != 0).ok_or_else(|| {
                let why = format!("{} is {number}: it is no port", keys.path(key));
                CniFailure::new(FailureCode::InvalidConfig, why)
            })
        };
        let name = keys.text("protocol")?.unwrap_or("tcp").to_ascii_lowercase();
        let protocol = match name.as_str() {
            "tcp" => 6,
            "udp" => UDP,
            "sctp" => 132,
            _ => {
                let why = "the protocol is none of tcp, udp, sctp";
                return Err(CniFailure::unsupported(&keys.path("protocol"), &Value::from(name), why));
            }
        };
        Ok(Self {
            host_port: port("hostPort")?,
            container_port: port("containerPort")?,
            protocol,
            name,
            host: keys.parse("hostIP")?,
        })
    }

    /// Its element for a container's address; `None` if the host's address is of the other family.
    fn entry(&self, address: IpAddr) -> Option<SetEntry> {
        let host = match self.host {
            Some(host) if host.is_ipv4() != address.is_ipv4() => return None,
            host => host.filter(|host| !host.is_unspecified()),
        };
        let container = SocketAddr::new(address, self.container_port);
        Some(SetEntry::port(self.protocol, &self.name, (host, self.host_port), container))
    }
}

/// The container's addresses: the first of each family that the result has for its interface.
fn addresses(request: &PluginRequest, result: &AttachmentResult) -> Vec<IpAddr> {
    let is_its = |position: Option<u32>| {
        let interface = position.and_then(|position| result.interfaces.get(position as usize));
        interface.is_none_or(|interface| {
            interface.name == request.invocation.interface && !interface.sandbox.is_empty()
        })
    };
    let of = |is_ipv4: bool| {
        let mut ips = result.ips.iter().filter(|ip| is_its(ip.interface)).map(|ip| ip.address.address());
        ips.find(|address| address.is_ipv4() == is_ipv4)
    };
    [of(true), of(false)].into_iter().flatten().collect()
}

fn entries(config: &PortmapConfig, addresses: &[IpAddr]) -> Vec<SetEntry> {
    let mut entries = Vec::new();
    for &address in addresses {
        entries.extend(config.mappings.iter().filter_map(|mapping| mapping.entry(address)));
        if config.snat && config.veil {
            entries.push(SetEntry::address(VEILED, address));
        } else if config.snat {
            entries.push(SetEntry::hairpin(address, address));
            if address.is_ipv4() {
                entries.push(SetEntry::hairpin(Ipv4Addr::LOCALHOST.into(), address));
            }
        }
    }
    entries
}

fn previous(request: &PluginRequest) -> Outcome<AttachmentResult> {
    let previous = request.previous().ok_or_else(|| {
        let why = "portmap comes after other plugins: the key \"prevResult\" is missing";
        CniFailure::new(FailureCode::InvalidConfig, why)
    })?;
    AttachmentResult::read("prevResult", previous)
}

/// Publishes the ports; what they take in the packet filter is on `record` first.
pub(crate) fn add(request: &PluginRequest, record: &mut RecordFile) -> Outcome<()> {
    let (config, result) = (PortmapConfig::read(request)?, previous(request)?);
    if config.mappings.is_empty() {
        return Ok(());
    }
    let addresses = addresses(request, &result);
    let entries = entries(&config, &addresses);
    let leading = match addresses.iter().copied().find(IpAddr::is_ipv4) {
        Some(address) if config.snat => link_to(address)?,
        _ => None,
    };
    note_elements(record, FilterTable::Inet, &entries)?;
    let publish = |common: &[SetEntry]| {
        FilterTable::Inet.add_with(&ElementOwner::of(request), &request.network, &entries, common)
    };
    match leading {
        None => publish(&[])?,
        // The rule that keeps packets to 127.0.0.0/8 out of the host comes before they are let in.
        Some(link) => attachments::with_bridge(link.name.as_str(), |of_link| {
            publish(&[SetEntry::link(LOCALNET, link.index)])?;
            localnet::open(of_link, link.name)
        })?,
    }
    forget_connections(request, &config);
    Ok(())
}

/// The link that leads to a container; none if no route does.
fn link_to(address: IpAddr) -> Outcome<Option<Link>> {
    let mut socket = RouteSocket::open()?;
    let route = match route::lookup(&mut socket, address) {
        Err(error) if error.kind() == ErrorKind::Unreachable => return Ok(None),
        route => route?,
    };
    match route.index.map(|index| link::get(&mut socket, index)) {
        Some(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(None),
        link => Ok(link.transpose()?),
    }
}

/// A UDP flow never ends while somebody keeps sending, and would keep its old destination. Failing to remove its entry is no
/// reason to fail.
fn forget_connections(request: &PluginRequest, config: &PortmapConfig) {
    let ports: BTreeSet<u16> = config
        .mappings
        .iter()
        .filter(|mapping| mapping.protocol == UDP)
        .map(|mapping| mapping.host_port)
        .collect();
    if ports.is_empty() {
        return;
    }
    let forgotten = KeptSocket::open().and_then(|mut socket| {
        for family in [Family::Ip, Family::Ip6] {
            let stale = conntrack::list(&mut socket, family, |connection| {
                connection.protocol == UDP && ports.contains(&connection.original[1].port())
            })?;
            for connection in stale {
                conntrack::forget(&mut socket, &connection)?;
            }
        }
        Ok(())
    });
    if let Err(error) = forgotten {
        request.note(format_args!("connections of UDP: {error}"));
    }
}

pub(crate) fn del(request: &PluginRequest) -> Outcome<()> {
    let record = attachments::find(request, PLUGIN)?;
    let mut removal = FilterRemoval::of(request);
    removal.add(record.as_ref().map(RecordFile::lines), &SEARCHES);
    removal.commit()?;
    end_connections(request);
    attachments::remove(request, record)
}

/// A flow that goes on would keep going to a container that is gone.
pub(crate) fn end_connections(request: &PluginRequest) {
    if let Ok(config) = PortmapConfig::read(request) {
        forget_connections(request, &config);
    }
}

pub(crate) fn check(request: &PluginRequest) -> Outcome<()> {
    let (config, result) = (PortmapConfig::read(request)?, previous(request)?);
    if config.mappings.is_empty() {
        return Ok(());
    }
    container::open(request)?;
    let entries = entries(&config, &addresses(request, &result));
    match FilterTable::Inet.missing(&ElementOwner::of(request), &entries)? {
        None => Ok(()),
        Some(words) => Err(CniFailure::new(FailureCode::Damaged, format!("{words} is not published"))),
    }
}

pub(crate) fn collect(request: &PluginRequest) -> Outcome<()> {
    let valid = request.valid_attachments()?;
    let stale = StaleOwners::new(&request.network, &valid);
    FilterTable::Inet.remove(&SETS, |comment| stale.has(comment))?;
    attachments::remove_stale(request, PLUGIN, &valid)?;
    FilterTable::Inet.tidy()
}

pub(crate) fn status() -> Outcome<()> {
    crate::unavailable_without_privilege()?;
    crate::filters::unavailable_without_filters()
}
