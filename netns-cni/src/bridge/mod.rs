//! `bridge`: a veth pair with its port on a bridge of the host, as by the reference plugin of this name.

mod attach;
mod check;
mod config;
mod detach;
mod egress;
mod guard;
mod hiding;
mod neighbours;
mod shared_bridge;

use crate::attachment_result::AttachmentResult;
use crate::delegate::delegate;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::{FilterSearch, unavailable_without_filters};
use crate::host_local::HostLocal;
use crate::request::PluginRequest;
use crate::{attachments, container, held};
use config::{BridgeConfig, Ipam};
use egress::NetworkEgress;
use netns_core::RouteSocket;
use netns_core::record::RecordFile;

pub(crate) fn add(request: &PluginRequest) -> Outcome<AttachmentResult> {
    attach::attach(request)
}

/// `DEL`; of what a record does not name, also what `searches` find is removed from the packet filter.
pub(crate) fn del(request: &PluginRequest, searches: &[FilterSearch]) -> Outcome<()> {
    detach::detach(request, searches)
}

/// The record of an attachment that was just made.
pub(crate) fn record(request: &PluginRequest) -> Outcome<RecordFile> {
    attachments::find(request, detach::PLUGIN)?.ok_or_else(|| {
        let why = "somebody deleted the attachment as it was made";
        CniFailure::new(FailureCode::TryLater, why)
    })
}

pub(crate) fn check(request: &PluginRequest) -> Outcome<()> {
    check::check(request)
}

/// `GC`; it also removes the bridge of a network without attachments.
pub(crate) fn collect(request: &PluginRequest) -> Outcome<()> {
    detach::collect(request)?;
    let is_last = request.valid_attachments()?.is_empty();
    let config = BridgeConfig::read(request)?;
    let mut socket = RouteSocket::open()?;
    held::collect(&mut socket, config.bridge, is_last)?;
    if is_last { shared_bridge::remove(&mut socket, config.bridge) } else { Ok(()) }
}

/// `STATUS`: whether the next `ADD` would find privileges, a place on the bridge, and an address.
pub(crate) fn status(request: &PluginRequest) -> Outcome<()> {
    let config = BridgeConfig::read(request)?;
    NetworkEgress::read(&config)?;
    crate::unavailable_without_privilege()?;
    if config.masquerade || config.spoof_check || config.guard.is_some() {
        unavailable_without_filters()?;
    }
    let mut socket = RouteSocket::open()?;
    if let Some(link) = container::find_link(&mut socket, config.bridge)? {
        let why = if link.bridge().is_none() {
            Some(format!("{}: there is such a link, and it is no bridge", link.name))
        } else {
            shared_bridge::fullness(&mut socket, &link)?
        };
        if let Some(why) = why {
            return Err(CniFailure::new(FailureCode::Unavailable, why));
        }
    }
    match &config.ipam {
        Ipam::Without => Ok(()),
        Ipam::HostLocal => HostLocal::read(request)?.status(request),
        Ipam::Foreign(plugin) => delegate(request, plugin, "STATUS").map(drop),
    }
}
