//! `loopback`: the container's `lo`, up.

use crate::attachment_result::{AttachmentResult, ResultAddress, ResultInterface};
use crate::container;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::request::PluginRequest;
use netns_core::link::{self, LinkChange};
use netns_core::{RouteSocket, address};

/// The index that `lo` has in every namespace.
const LOOPBACK: u32 = 1;

pub(crate) fn add(request: &PluginRequest) -> Outcome<AttachmentResult> {
    let mut socket = RouteSocket::open_in(&container::open(request)?)?;
    link::set_up(&mut socket, LOOPBACK)?;
    if let Some(previous) = request.previous() {
        return AttachmentResult::read("prevResult", previous);
    }
    let addresses = address::list_of(&mut socket, LOOPBACK)?;
    Ok(AttachmentResult {
        interfaces: vec![ResultInterface {
            name: "lo".to_owned(),
            mac: "00:00:00:00:00:00".to_owned(),
            mtu: None,
            sandbox: request.invocation.netns.clone(),
        }],
        ips: addresses
            .iter()
            .map(|address| ResultAddress { address: address.net, gateway: None, interface: Some(0) })
            .collect(),
        ..AttachmentResult::default()
    })
}

pub(crate) fn del(request: &PluginRequest) -> Outcome<()> {
    let Some(inside) = container::find(request)? else { return Ok(()) };
    let mut socket = RouteSocket::open_in(&inside)?;
    Ok(link::set(&mut socket, LOOPBACK, &LinkChange { up: Some(false), ..LinkChange::NONE })?)
}

pub(crate) fn check(request: &PluginRequest) -> Outcome<()> {
    let mut socket = RouteSocket::open_in(&container::open(request)?)?;
    if link::get(&mut socket, LOOPBACK)?.is_up() {
        return Ok(());
    }
    Err(CniFailure::new(FailureCode::Damaged, "the container's lo is down"))
}
