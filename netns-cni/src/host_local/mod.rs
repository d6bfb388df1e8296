//! `host-local`: addresses from ranges, kept in the same files on the host as by the reference plugin of this name.

mod range;
mod store;

use crate::attachment_result::{AttachmentResult, ResultAddress, ResultDns, ResultRoute};
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::keys::ConfigKeys;
use crate::request::PluginRequest;
use netns_core::IpNet;
use range::{AddressRange, RangeSet};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use store::{AddressStore, owner};

const FOLDER: &str = "/var/lib/cni/networks";

/// The part of a configuration that says which addresses can be assigned.
#[derive(Debug)]
pub(crate) struct HostLocal {
    sets: Vec<RangeSet>,
    routes: Vec<ResultRoute>,
    /// A file like `/etc/resolv.conf`; its contents become the result's `dns`.
    resolv_conf: Option<PathBuf>,
    /// Addresses that are asked for.
    requested: Vec<IpAddr>,
}

/// Where a network's addresses are kept; returning them needs nothing else.
fn data(request: &PluginRequest) -> Outcome<PathBuf> {
    let folder = request.keys().inside("ipam")?.text("dataDir")?.filter(|folder| !folder.is_empty());
    Ok(PathBuf::from(folder.unwrap_or(FOLDER)))
}

impl HostLocal {
    pub(crate) fn read(request: &PluginRequest) -> Outcome<Self> {
        let keys = request.keys();
        if keys.get("ipam").is_none() {
            return Err(CniFailure::new(FailureCode::InvalidConfig, "the key \"ipam\" is missing"));
        }
        let (ipam, runtime) = (keys.inside("ipam")?, keys.inside("runtimeConfig")?);
        let mut sets = read_sets(&runtime, "ipRanges")?;
        if let Some(range) = AddressRange::read(&ipam)? {
            sets.push(RangeSet::new(&ipam.path("subnet"), vec![range])?);
        }
        sets.extend(read_sets(&ipam, "ranges")?);
        if sets.is_empty() {
            let why = "no ranges of addresses: ipam has neither \"subnet\" nor \"ranges\"";
            return Err(CniFailure::new(FailureCode::InvalidConfig, why));
        }
        for (number, set) in sets.iter().enumerate() {
            if let Some(other) = sets[..number].iter().position(|other| other.overlaps(set)) {
                let why = format!("the sets of ranges {other} and {number} overlap");
                return Err(CniFailure::new(FailureCode::InvalidConfig, why));
            }
        }
        Ok(Self {
            sets,
            routes: ResultRoute::read_all(&ipam)?,
            resolv_conf: ipam.text("resolvConf")?.filter(|path| !path.is_empty()).map(PathBuf::from),
            requested: requested(request)?,
        })
    }

    /// Reserves one address from each set for the container and its interface: all of them, or none. With `is_new` the
    /// caller knows that they have none yet; otherwise an address that they already have is an error.
    pub(crate) fn reserve(&self, request: &PluginRequest, is_new: bool) -> Outcome<AttachmentResult> {
        let dns = self.resolv_conf.as_deref().map(read_resolv_conf).transpose()?.unwrap_or_default();
        let store = AddressStore::open(&data(request)?, &request.network)?;
        let owner = owner(&request.invocation.container, &request.invocation.interface);
        let theirs = if is_new { Vec::new() } else { of_owner(&store, request)? };
        let mut reserved = Vec::new();
        match self.reserve_in(&store, &owner, &theirs, &mut reserved) {
            Ok(ips) => Ok(AttachmentResult { interfaces: Vec::new(), ips, routes: self.routes.clone(), dns }),
            Err(failure) => {
                let back = reserved.into_iter().filter_map(|address| store.release(address).err());
                Err(failure.with_others(back.collect()))
            }
        }
    }

    fn reserve_in(
        &self,
        store: &AddressStore,
        owner: &str,
        theirs: &[IpAddr],
        reserved: &mut Vec<IpAddr>,
    ) -> Outcome<Vec<ResultAddress>> {
        let mut requested = self.requested.clone();
        let mut ips = Vec::new();
        for (number, set) in self.sets.iter().enumerate() {
            let wanted = requested.iter().position(|&address| set.range_of(address).is_some());
            let (address, range) = match wanted.map(|position| requested.remove(position)) {
                Some(address) => reserve_one(store, owner, set, address)?,
                None => reserve_next(store, owner, set, number, theirs)?,
            };
            reserved.push(address);
            store.set_last(number, address)?;
            ips.push(ResultAddress {
                address: IpNet::new(address, range.subnet.prefix())?,
                gateway: Some(range.gateway),
                interface: None,
            });
        }
        if requested.is_empty() {
            return Ok(ips);
        }
        let left: Vec<String> = requested.iter().map(IpAddr::to_string).collect();
        // In the reference's words.
        let why = format!("failed to allocate all requested IPs: {}; no range has them", left.join(" "));
        Err(CniFailure::new(FailureCode::InvalidConfig, why))
    }

    /// Whether an address is left in each set.
    pub(crate) fn status(&self, request: &PluginRequest) -> Outcome<()> {
        let Some(store) = AddressStore::find(&data(request)?, &request.network)? else { return Ok(()) };
        for set in &self.sets {
            if store.count(|address| set.range_of(address).is_some())? >= set.size() {
                let why = format!("no address is left in {set}");
                return Err(CniFailure::new(FailureCode::Unavailable, why));
            }
        }
        Ok(())
    }
}

fn reserve_one<'a>(
    store: &AddressStore,
    owner: &str,
    set: &'a RangeSet,
    address: IpAddr,
) -> Outcome<(IpAddr, &'a AddressRange)> {
    let refused = |code, why| Err(CniFailure::new(code, format!("the requested address {address} {why}")));
    let Some(range) = set.range_of(address) else {
        return refused(FailureCode::InvalidConfig, format!("is not in {set}"));
    };
    if address == range.gateway {
        return refused(FailureCode::InvalidConfig, "is the subnet's gateway".to_owned());
    }
    if !store.reserve(address, owner)? {
        return refused(FailureCode::OutOfAddresses, format!("of {set} is not available"));
    }
    Ok((address, range))
}

fn reserve_next<'a>(
    store: &AddressStore,
    owner: &str,
    set: &'a RangeSet,
    number: usize,
    theirs: &[IpAddr],
) -> Outcome<(IpAddr, &'a AddressRange)> {
    if let Some(address) = theirs.iter().find(|&&address| set.range_of(address).is_some()) {
        let why = format!("the container and its interface have {address} already");
        return Err(CniFailure::new(FailureCode::Exists, why));
    }
    for (address, range) in set.candidates(store.last(number)) {
        if store.reserve(address, owner)? {
            return Ok((address, range));
        }
    }
    Err(CniFailure::new(FailureCode::OutOfAddresses, format!("no address is left in {set}")))
}

/// Returns the addresses of the container and its interface. `known` are those addresses if the caller has them on record,
/// which saves reading all other files.
pub(crate) fn release(request: &PluginRequest, known: &[IpAddr]) -> Outcome<()> {
    let Some(store) = AddressStore::find(&data(request)?, &request.network)? else { return Ok(()) };
    let owner = owner(&request.invocation.container, &request.invocation.interface);
    let addresses = if known.is_empty() {
        store.sweep()?;
        of_owner(&store, request)?
    } else {
        let mut addresses = Vec::new();
        for &address in known {
            if store.owner_of(address)?.is_some_and(|other| other == owner) {
                addresses.push(address);
            }
        }
        addresses
    };
    CniFailure::all(addresses.into_iter().filter_map(|address| store.release(address).err()).collect())
}

/// Whether the container and its interface have an address.
pub(crate) fn check(request: &PluginRequest) -> Outcome<()> {
    let store = AddressStore::find(&data(request)?, &request.network)?;
    let has = store.as_ref().map(|store| of_owner(store, request)).transpose()?;
    if has.is_some_and(|addresses| !addresses.is_empty()) {
        return Ok(());
    }
    let why = format!("host-local: no address is reserved for {}", request.invocation.container);
    Err(CniFailure::new(FailureCode::Damaged, why))
}

/// Returns the addresses that belong to none of these attachments.
pub(crate) fn collect(request: &PluginRequest, valid: &BTreeSet<(String, String)>) -> Outcome<()> {
    let Some(store) = AddressStore::find(&data(request)?, &request.network)? else { return Ok(()) };
    let mut failures: Vec<CniFailure> = store.sweep().err().into_iter().collect();
    for (address, contents) in store.reservations()? {
        let stays = match contents.split_once("\r\n") {
            Some((container, interface)) => valid.contains(&(container.to_owned(), interface.to_owned())),
            // The form of versions before 0.8. A kill leaves an empty file.
            None => valid.iter().any(|(container, _)| *container == contents),
        };
        if !stays {
            failures.extend(store.release(address).err());
        }
    }
    CniFailure::all(failures)
}

/// The addresses of the container and its interface; if there are none, those of the container without an interface, the
/// form of versions before 0.8.
fn of_owner(store: &AddressStore, request: &PluginRequest) -> Outcome<Vec<IpAddr>> {
    let container = request.invocation.container.as_str();
    let owner = owner(container, &request.invocation.interface);
    let all = store.reservations()?;
    let of = |owner: &str| -> Vec<IpAddr> {
        all.iter().filter(|(_, contents)| contents == owner).map(|&(address, _)| address).collect()
    };
    let theirs = of(&owner);
    Ok(if theirs.is_empty() { of(container) } else { theirs })
}

fn read_sets(keys: &ConfigKeys<'_>, key: &str) -> Outcome<Vec<RangeSet>> {
    let mut sets = Vec::new();
    for (number, set) in keys.list(key)?.iter().enumerate() {
        let path = format!("{}[{number}]", keys.path(key));
        let serde_json::Value::Array(entries) = set else {
            return Err(crate::keys::wrong(&path, set, "a list"));
        };
        let mut ranges = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            let entry = ConfigKeys::of_entry(format!("{path}[{position}]"), entry)?;
            let Some(range) = AddressRange::read(&entry)? else {
                let why = format!("{} is missing", entry.path("subnet"));
                return Err(CniFailure::new(FailureCode::InvalidConfig, why));
            };
            ranges.push(range);
        }
        sets.push(RangeSet::new(&path, ranges)?);
    }
    Ok(sets)
}

/// The requested addresses, from `CNI_ARGS`, `args.cni.ips` and the capability `ips`. They may have prefixes, which are
/// ignored here.
fn requested(request: &PluginRequest) -> Outcome<Vec<IpAddr>> {
    let keys = request.keys();
    let mut texts: Vec<String> = request.arguments()?.ip.into_iter().filter(|ip| !ip.is_empty()).collect();
    texts.extend(keys.inside("args")?.inside("cni")?.texts("ips")?);
    texts.extend(keys.inside("runtimeConfig")?.texts("ips")?);
    let mut addresses: Vec<IpAddr> = Vec::new();
    for text in texts {
        let net: IpNet = text.parse().map_err(|error| {
            CniFailure::new(FailureCode::InvalidConfig, format!("the requested address {text:?}: {error}"))
        })?;
        if !addresses.contains(&net.address()) {
            addresses.push(net.address());
        }
    }
    Ok(addresses)
}

fn read_resolv_conf(path: &Path) -> Outcome<ResultDns> {
    let text = std::fs::read_to_string(path).map_err(|error| CniFailure::of_file("read", path, &error))?;
    let mut dns = ResultDns::default();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        let mut words = line.split_whitespace().map(str::to_owned);
        match (words.next().as_deref(), words.next()) {
            (Some("nameserver"), Some(server)) => dns.nameservers.push(server),
            (Some("domain"), Some(domain)) => dns.domain = domain,
            (Some("search"), Some(first)) => dns.search.extend([first].into_iter().chain(words)),
            (Some("options"), Some(first)) => dns.options.extend([first].into_iter().chain(words)),
            _ => {}
        }
    }
    Ok(dns)
}

/// `ADD` of the plugin by itself.
pub(crate) fn add(request: &PluginRequest) -> Outcome<AttachmentResult> {
    HostLocal::read(request)?.reserve(request, false)
}

/// `STATUS` of the plugin by itself.
pub(crate) fn status(request: &PluginRequest) -> Outcome<()> {
    HostLocal::read(request)?.status(request)
}
