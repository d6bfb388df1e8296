//! A file of policies for the ports of a bridge that somebody else made.

use super::Wrong;
use super::egress::{NamedEgress, port_egress, read_egress};
use super::group::{apart, apart_from_host};
use super::policy::read_table;
use super::tables::{DestinationsTable, GroupTable, HostWords, PolicyTable, Text};
use super::values::{in_order, mac};
use crate::error::{Error, Result};
use crate::fault::Fault;
use crate::group::GroupNumbers;
use crate::policy::PortPolicy;
use netns_core::IpNet;
use netns_ebpf::{EgressPolicy, EgressRules, Policy};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use toml::Spanned;

/// Policies of ports, by the port's name or that of the namespace behind it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policies {
    /// By the name of the port.
    pub ports: BTreeMap<String, Policy>,
    /// By the name of the namespace; a port that is named itself is judged by that.
    pub namespaces: BTreeMap<String, Policy>,
    /// Groups whose ports may not send to each other.
    pub apart: Vec<(u8, u8)>,
    /// Where ports may send to: the egress policies that the others name, by the numbers that a monitor gives them which has none
    /// and is asked for these in this order.
    pub egress: Vec<EgressRules>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortsFile {
    #[serde(default)]
    port: BTreeMap<Text, Spanned<PortEntry>>,
    #[serde(default)]
    namespace: BTreeMap<Text, Spanned<PortEntry>>,
    #[serde(default)]
    apart: Vec<[Spanned<GroupTable>; 2]>,
    #[serde(default)]
    egress: BTreeMap<Text, DestinationsTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PortEntry {
    mac: Text,
    #[serde(default)]
    addresses: Vec<Text>,
    group: Option<Spanned<GroupTable>>,
    mode: Option<Text>,
    #[serde(default)]
    networks: Vec<Text>,
    #[serde(default)]
    permit: Vec<Text>,
    #[serde(default)]
    ether_types: Vec<Spanned<u16>>,
    ipv6: Option<Spanned<bool>>,
    host: Option<Spanned<HostWords>>,
    forward: Option<bool>,
    limit: Option<Text>,
    egress: Option<Text>,
}

impl Policies {
    /// Reads policies from the text of a file.
    ///
    /// Each `[port.NAME]` and `[namespace.NAME]` has a `mac`, and can have `addresses` and the keys of a topology's
    /// `policy`; `egress` names an `[egress.NAME]`, as there. `apart` lists pairs of groups whose ports may not send to each other, as in a topology.
    ///
    /// # Errors
    /// [`Error::File`]: the first thing that is wrong, by line and column of `path`, and what was expected there.
    ///
    /// ```
    /// use netns_topology::Policies;
    /// use std::path::Path;
    ///
    /// let text = r#"
    /// apart = [["red", "blue"]]
    /// [port.veth1]
    /// mac = "02:00:00:00:00:01"
    /// addresses = ["10.1.1.1"]
    /// mode = "enforce"
    /// group = "red"
    /// [namespace.ns2]
    /// mac = "02:00:00:00:00:02"
    /// group = "blue"
    /// "#;
    /// let policies = Policies::parse(Path::new("ports.toml"), text)?;
    /// let groups = (policies.ports["veth1"].group, policies.namespaces["ns2"].group);
    /// assert_eq!(policies.apart, [groups]);
    ///
    /// let error = Policies::parse(Path::new("ports.toml"), &text.replace("enforce", "drop")).unwrap_err();
    /// assert!(error.to_string().starts_with("ports.toml:6:8: there is no mode \"drop\"; expected"));
    /// # Ok::<(), netns_topology::Error>(())
    /// ```
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong = |(span, message)| Error::from(Fault::new(path, text, span, message));
        let file: PortsFile = toml::from_str(text)
            .map_err(|error| wrong((error.span().unwrap_or_default(), error.message().to_owned())))?;
        read(file).map_err(wrong)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// As [`Self::parse`]; if it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(path, &super::text_of(path)?)
    }
}

fn read(file: PortsFile) -> Wrong<Policies> {
    let entries = file.port.values().chain(file.namespace.values());
    let from_host = apart_from_host(&file.apart)?;
    let (apart, numbers) = apart(entries.filter_map(|entry| entry.get_ref().group.as_ref()), &file.apart)?;
    let number = |group: &crate::group::Group| group.number(&numbers);
    // All have one: they were numbered.
    let apart = apart.iter().filter_map(|[one, other]| Some((number(one)?, number(other)?))).collect();
    let egress = read_egress(&file.egress)?;
    let of = |table| policies(table, &numbers, &from_host, &egress);
    let (ports, namespaces) = (of(file.port)?, of(file.namespace)?);
    Ok(Policies { ports, namespaces, apart, egress: egress.into_values().collect() })
}

fn policies(
    table: BTreeMap<Text, Spanned<PortEntry>>,
    numbers: &GroupNumbers,
    from_host: &[crate::group::Group],
    egress: &NamedEgress,
) -> Wrong<BTreeMap<String, Policy>> {
    let entries = in_order(table).into_iter();
    entries.map(|(name, entry)| Ok((name.into_inner(), policy(entry, numbers, from_host, egress)?))).collect()
}

fn policy(
    entry: Spanned<PortEntry>,
    numbers: &GroupNumbers,
    from_host: &[crate::group::Group],
    named: &NamedEgress,
) -> Wrong<Policy> {
    let span = entry.span();
    let PortEntry {
        mac: text,
        addresses,
        group,
        mode,
        networks,
        permit,
        ether_types,
        ipv6,
        host,
        forward,
        limit,
        egress,
    } = entry.into_inner();
    let mut policy = PortPolicy::default();
    for address in &addresses {
        let ip = address.get_ref().parse().map_err(|_| {
            (
                address.span(),
                format!("{:?} is not an address; expected one such as \"10.1.1.1\"", address.get_ref()),
            )
        })?;
        policy.networks.push(IpNet::single(ip));
    }
    let number = egress.as_ref().map(|name| number_of(name, named)).transpose()?;
    let table =
        PolicyTable { mode, group, networks, permit, ether_types, ipv6, host, forward, egress, limit };
    read_table(&table, from_host, &mut policy)?;
    let group = policy.group.number(numbers).unwrap_or_default();
    let policy = policy.of(mac(&text)?, group).map_err(|full| (span, format!("{full}; expected fewer")))?;
    Ok(Policy { egress: number, ..policy })
}

/// The number of an egress policy: its place among the names.
fn number_of(name: &Text, named: &NamedEgress) -> Wrong<EgressPolicy> {
    // The networks of the link are not in the file.
    port_egress(name, named, [])?;
    let place = named.keys().position(|known| known == name.get_ref());
    let number = place.and_then(|place| u16::try_from(place + 1).ok());
    number.map(EgressPolicy::new).ok_or((name.span(), "there are too many egress policies".to_owned()))
}
