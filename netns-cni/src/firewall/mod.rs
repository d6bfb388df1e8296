//! `firewall`: lets a container's packets past other programs' chains that drop what the host forwards, and keeps networks
//! apart, after a plugin that gave the container an address.

mod config;
mod foreign;
mod isolation;
mod opening;

use crate::attachment_result::AttachmentResult;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::{ElementOwner, StaleOwners};
use crate::request::PluginRequest;
use config::FirewallConfig;
use std::net::IpAddr;

/// Where the keys are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConfigPlace {
    /// In a configuration of `firewall`'s own.
    Own,
    /// In the key `firewall` of another plugin's; nothing is done without it.
    Inside,
}

fn previous(request: &PluginRequest) -> Outcome<AttachmentResult> {
    let previous = request.previous().ok_or_else(|| {
        let why = "firewall comes after other plugins: the key \"prevResult\" is missing";
        CniFailure::new(FailureCode::InvalidConfig, why)
    })?;
    AttachmentResult::read("prevResult", previous)
}

fn addresses(result: &AttachmentResult) -> Vec<IpAddr> {
    result.ips.iter().map(|ip| ip.address.address()).collect()
}

pub(crate) fn add(request: &PluginRequest, place: ConfigPlace) -> Outcome<()> {
    let Some(config) = FirewallConfig::read(request, place)? else { return Ok(()) };
    config.refuse_firewalld()?;
    let result = previous(request)?;
    let addresses = addresses(&result);
    if addresses.is_empty() {
        return Ok(());
    }
    // Rules that keep networks apart come before rules that open them.
    let isolation = isolation::add(request, config.policy, &result);
    match isolation.and_then(|()| opening::open(request, &config, &addresses)) {
        Ok(()) => Ok(()),
        Err(failure) => Err(failure.with_others(del(request, place).err().into_iter().collect())),
    }
}

pub(crate) fn del(request: &PluginRequest, place: ConfigPlace) -> Outcome<()> {
    if place == ConfigPlace::Inside && request.keys().get("firewall").is_none() {
        return Ok(());
    }
    let owner = ElementOwner::of(request);
    let is_its = |comment: &str| comment == owner.comment();
    let failures = [opening::close(is_its).err(), isolation::remove(is_its).err()];
    CniFailure::all(failures.into_iter().flatten().collect())
}

pub(crate) fn check(request: &PluginRequest, place: ConfigPlace) -> Outcome<()> {
    let Some(config) = FirewallConfig::read(request, place)? else { return Ok(()) };
    let result = previous(request)?;
    let missing = match opening::missing(request, &config, &addresses(&result))? {
        None => isolation::missing(request, config.policy, &result)?,
        missing => missing,
    };
    match missing {
        None => Ok(()),
        Some(words) => Err(CniFailure::new(FailureCode::Damaged, format!("{words} is missing"))),
    }
}

/// `GC`: removes what belongs to no attachment; if there are none, also what attachments share.
pub(crate) fn collect(request: &PluginRequest) -> Outcome<()> {
    let stale = StaleOwners::new(&request.network, &request.valid_attachments()?);
    let is_stale = |comment: &str| stale.has(comment);
    let failures = [
        opening::close(is_stale).err(),
        opening::tidy().err(),
        isolation::remove(is_stale).err(),
        isolation::tidy().err(),
    ];
    CniFailure::all(failures.into_iter().flatten().collect())
}

pub(crate) fn status(request: &PluginRequest, place: ConfigPlace) -> Outcome<()> {
    let Some(config) = FirewallConfig::read(request, place)? else { return Ok(()) };
    crate::unavailable_without_privilege()?;
    crate::filters::unavailable_without_filters()?;
    config.refuse_firewalld()
}
