//! Detaching a container from its network: shared by `DEL`, `GC` and a failed `ADD`.

use super::config::{self, Ipam};
use super::{hiding, neighbours};
use crate::delegate::delegate;
use crate::failure::{CniFailure, Outcome};
use crate::filters::{FilterRemoval, FilterSearch};
use crate::request::PluginRequest;
use crate::{attachments, container, held, host_local};
use netns_core::link::{self, Link, LinkChange};
use netns_core::record::{Found, Line, RecordFile, RecordedLink, Removal, remove_links};
use netns_core::{ErrorKind, Namespace, RouteSocket};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// The name of the records here.
pub(super) const PLUGIN: &str = "bridge";
/// The line of an address that the container was given.
const ADDRESS: &str = "address";

/// An attachment's record.
#[derive(Debug, Default)]
pub(super) struct AttachmentParts {
    pub(super) links: Vec<RecordedLink>,
    pub(super) addresses: Vec<IpAddr>,
    /// Ports that have a slot of the program, each with its bridge, by index.
    pub(super) guarded: Vec<(u32, u32)>,
}

impl AttachmentParts {
    pub(super) fn read(lines: &[Line]) -> Self {
        Self {
            links: links(lines),
            addresses: lines
                .iter()
                .filter(|line| line.key() == ADDRESS)
                .filter_map(|line| line.parse(0))
                .collect(),
            guarded: held::read(lines).into_iter().collect(),
        }
    }
}

/// The line with a link's index comes after the link was made, and takes the place of the one before.
fn links(lines: &[Line]) -> Vec<RecordedLink> {
    let mut made: Vec<RecordedLink> = Vec::new();
    for link in lines.iter().filter_map(RecordedLink::read) {
        made.retain(|earlier| (earlier.name, earlier.mac) != (link.name, link.mac));
        made.push(link);
    }
    made
}

pub(super) fn address_line(address: IpAddr) -> Line {
    Line::new(ADDRESS).with(address)
}

/// Undoes what a failed `ADD` did. If that fails too, it is added to the failure: `DEL` will try again.
pub(super) fn roll_back(
    request: &PluginRequest,
    socket: &mut RouteSocket,
    record: RecordFile,
    ipam: Option<&Ipam>,
    failure: CniFailure,
) -> CniFailure {
    let made = AttachmentParts::read(record.lines());
    let mut filters = FilterRemoval::of(request);
    filters.add(Some(record.lines()), &[]);
    let mut failures = remove_made(request, socket, &made, &filters);
    if let Some(ipam) = ipam {
        failures.extend(release(request, ipam, &made.addresses).err());
    }
    if failures.is_empty() {
        failures.extend(record.remove().map_err(CniFailure::from).err());
        attachments::tidy(&request.network);
    }
    failure.with_others(failures)
}

/// `DEL`: the interface before its addresses are returned, so that nobody else gets them while it has them. `searches` are those
/// of the plugins that share the record.
pub(super) fn detach(request: &PluginRequest, searches: &[FilterSearch]) -> Outcome<()> {
    let ipam = Ipam::read(request)?;
    // The host's own namespace is refused before anything is deleted.
    let inside = container::find(request)?;
    let mut searches = searches.to_vec();
    searches.extend(hiding::searches(request)?);
    let record = attachments::find(request, PLUGIN)?;
    let made = record.as_ref().map(|record| AttachmentParts::read(record.lines())).unwrap_or_default();
    let mut filters = FilterRemoval::of(request);
    filters.add(record.as_ref().map(RecordFile::lines), &searches);
    let mut failures = match RouteSocket::open() {
        Ok(mut socket) => remove_made(request, &mut socket, &made, &filters),
        Err(error) => vec![error.into()],
    };
    if made.links.is_empty()
        && let Some(inside) = inside
    {
        // There is no record: another plugin made the attachment, or the record was lost.
        failures.extend(delete_inside(request, &inside).err());
    }
    neighbours::forget(request, &made.addresses);
    failures.extend(release(request, &ipam, &made.addresses).err());
    let record = record.filter(|_| failures.is_empty());
    failures.extend(attachments::remove(request, record).err());
    CniFailure::all(failures)
}

/// Removes the links and what the packet filter has, and takes back the slots.
///
/// The kernel frees what was removed from the packet filter after a grace period, in the background. That is over before the link
/// is deleted, which takes it longer; so the packet filter comes first. The port is down by then, and no frame passes it unjudged.
fn remove_made(
    request: &PluginRequest,
    socket: &mut RouteSocket,
    made: &AttachmentParts,
    filters: &FilterRemoval,
) -> Vec<CniFailure> {
    let links = match renamed(socket, &made.links) {
        Ok(links) => links,
        Err(failure) => return vec![failure],
    };
    let mut failures = Vec::new();
    failures.extend(take_down(socket, &links).err());
    failures.extend(filters.commit().err());
    let before = failures.len();
    match remove_links_of(socket, &links) {
        Ok(left) => left.into_iter().for_each(|why| request.note(format_args!("left: {why}"))),
        Err(failure) => failures.push(failure),
    }
    // A port keeps its slot as long as it may exist.
    if failures.len() == before {
        failures.extend(held::release(socket, &made.guarded).err());
    }
    failures
}

/// Takes the ports down.
fn take_down(socket: &mut RouteSocket, links: &[RecordedLink]) -> Outcome<()> {
    for link in links {
        if let Found::Ours(link) = link.find(socket)? {
            match link::set(socket, link.index, &LinkChange { up: Some(false), ..LinkChange::NONE }) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Removes links on record, and returns what is there in their place.
fn remove_links_of(socket: &mut RouteSocket, links: &[RecordedLink]) -> Outcome<Vec<String>> {
    if let [one] = links {
        // A single link need not be searched for in a list of all.
        return match one.find(socket)? {
            Found::Gone => Ok(Vec::new()),
            Found::Other(why) => Ok(vec![why]),
            Found::Ours(link) => match link::delete(socket, link.index) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
                _ => Ok(Vec::new()),
            },
        };
    }
    let removals = remove_links(socket, links)?;
    let left = removals.into_iter().filter_map(|removal| match removal {
        Removal::Left(why) => Some(why),
        Removal::Removed | Removal::Gone => None,
    });
    Ok(left.collect())
}

/// The same links. One whose index is not on record, since the call that made it was killed, is found by the MAC address that
/// was chosen for it if somebody has renamed it.
fn renamed(socket: &mut RouteSocket, links: &[RecordedLink]) -> Outcome<Vec<RecordedLink>> {
    if links.iter().all(|link| link.index.is_some()) {
        return Ok(links.to_vec());
    }
    let there = link::list(socket)?;
    let by_mac = |link: &RecordedLink| {
        let mut pairs = there.iter().filter(|there| there.is_pair() && there.mac == Some(link.mac));
        pairs.next().filter(|_| link.index.is_none())
    };
    let known = |link: &RecordedLink| {
        by_mac(link).map_or(*link, |now| RecordedLink { name: now.name, index: Some(now.index), ..*link })
    };
    Ok(links.iter().map(known).collect())
}

/// Deletes the interface in the container if its other end is a port of this network's bridge, and no other network's.
fn delete_inside(request: &PluginRequest, inside: &Namespace) -> Outcome<()> {
    let (name, mut within) = (container::interface(request)?, RouteSocket::open_in(inside)?);
    let Some(interface) = container::find_link(&mut within, name)? else { return Ok(()) };
    if !is_of_network(request, &interface)? {
        request.note(format_args!("left: the container's {name} is not known to be of this network"));
        return Ok(());
    }
    match link::delete(&mut within, interface.index) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn is_of_network(request: &PluginRequest, interface: &Link) -> Outcome<bool> {
    let mut socket = RouteSocket::open()?;
    let Some(bridge) = container::find_link(&mut socket, config::bridge(request)?)? else { return Ok(false) };
    let ports = link::list_ports(&mut socket, bridge.index)?;
    let port = ports.iter().find(|port| {
        interface.is_pair() && Some(port.index) == interface.peer && port.peer == Some(interface.index)
    });
    let Some(port) = port else { return Ok(false) };
    let is_it = |line: &Line| RecordedLink::read(line).is_some_and(|recorded| recorded.is(port));
    Ok(!attachments::any_has(PLUGIN, is_it)?)
}

/// Returns addresses; `known` are those that were assigned.
fn release(request: &PluginRequest, ipam: &Ipam, known: &[IpAddr]) -> Outcome<()> {
    match ipam {
        Ipam::Without => Ok(()),
        Ipam::HostLocal => host_local::release(request, known),
        Ipam::Foreign(plugin) => delegate(request, plugin, "DEL").map(drop),
    }
}

/// How many records `GC` has open at a time, each with a lock: a process has 1,024 descriptors by default, and may have fewer.
const RECORDS_AT_ONCE: usize = 32;

/// `GC`: removes everything that is on record for this network and not in the list, and has the IPAM plugin do the same.
///
/// What is left when it ends between the records and the rest is found without them, by the owner's name.
pub(super) fn collect(request: &PluginRequest) -> Outcome<()> {
    let valid = request.valid_attachments()?;
    let mut socket = RouteSocket::open()?;
    let mut failures = Vec::new();
    let mut records = attachments::stale(request, PLUGIN, &valid)?;
    loop {
        let some: Vec<_> = records.by_ref().take(RECORDS_AT_ONCE).collect();
        if some.is_empty() {
            break;
        }
        failures.extend(collect_records(request, &mut socket, some));
    }
    failures.extend(hiding::collect(&request.network, &valid).err());
    failures.extend(collect_addresses(request, &valid).err());
    attachments::tidy(&request.network);
    CniFailure::all(failures)
}

/// Removes the links on these records by one request, which takes the kernel as long as a single one does, and then the records.
fn collect_records(
    request: &PluginRequest,
    socket: &mut RouteSocket,
    records: Vec<Outcome<RecordFile>>,
) -> Vec<CniFailure> {
    let (mut stale, mut failures) = (Vec::new(), Vec::new());
    let mut all = AttachmentParts::default();
    for record in records {
        match record {
            Ok(record) => {
                let made = AttachmentParts::read(record.lines());
                all.links.extend(made.links);
                all.guarded.extend(made.guarded);
                all.addresses.extend(made.addresses);
                stale.push(record);
            }
            Err(failure) => failures.push(failure),
        }
    }
    let left = remove_made(request, socket, &all, &FilterRemoval::of(request));
    neighbours::forget(request, &all.addresses);
    if left.is_empty() {
        failures.extend(stale.into_iter().filter_map(|record| record.remove().err()).map(CniFailure::from));
    }
    failures.extend(left);
    failures
}

fn collect_addresses(request: &PluginRequest, valid: &BTreeSet<(String, String)>) -> Outcome<()> {
    match Ipam::read(request)? {
        Ipam::Without => Ok(()),
        Ipam::HostLocal => host_local::collect(request, valid),
        Ipam::Foreign(plugin) => delegate(request, &plugin, "GC").map(drop),
    }
}
