//! Detaching a container from its network: shared by `DEL`, `GC` and a failed `ADD`.

use super::config::Ipam;
use super::{hiding, neighbours};
use crate::delegate::delegate;
use crate::failure::{CniFailure, Outcome};
use crate::filters::{FilterRemoval, FilterSearch};
use crate::request::PluginRequest;
use crate::{attachments, container, held, host_local};
use netns_core::link::{self, LinkChange};
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
            links: lines.iter().filter_map(RecordedLink::read).collect(),
            addresses: lines
                .iter()
                .filter(|line| line.key() == ADDRESS)
                .filter_map(|line| line.parse(0))
                .collect(),
            guarded: held::read(lines).into_iter().collect(),
        }
    }
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
    let mut failures = remove_made(socket, &made, &filters);
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
        Ok(mut socket) => remove_made(&mut socket, &made, &filters),
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
fn remove_made(socket: &mut RouteSocket, made: &AttachmentParts, filters: &FilterRemoval) -> Vec<CniFailure> {
    let mut failures = Vec::new();
    failures.extend(take_down(socket, made).err());
    failures.extend(filters.commit().err());
    let before = failures.len();
    match remove_links_of(socket, &made.links) {
        Ok(left) => left.into_iter().for_each(|why| eprintln!("netns-cni: left: {why}")),
        Err(failure) => failures.push(failure),
    }
    // A port keeps its slot as long as it may exist.
    if failures.len() == before {
        failures.extend(held::release(socket, &made.guarded).err());
    }
    failures
}

/// Takes the ports down.
fn take_down(socket: &mut RouteSocket, made: &AttachmentParts) -> Outcome<()> {
    for link in &made.links {
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

fn delete_inside(request: &PluginRequest, inside: &Namespace) -> Outcome<()> {
    let name = container::interface(request)?;
    match link::delete(&mut RouteSocket::open_in(inside)?, name) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
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
        failures.extend(collect_records(&mut socket, some, request));
    }
    failures.extend(hiding::collect(&request.network, &valid).err());
    failures.extend(collect_addresses(request, &valid).err());
    attachments::tidy(&request.network);
    CniFailure::all(failures)
}

/// Removes the links on these records by one request, which takes the kernel as long as a single one does, and then the records.
fn collect_records(
    socket: &mut RouteSocket,
    records: Vec<Outcome<RecordFile>>,
    request: &PluginRequest,
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
    let left = remove_made(socket, &all, &FilterRemoval::of(request));
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
