//! Which plugin the program is, by the name that it was started with, and what each does for a command.

use crate::attachment_result::AttachmentResult;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::invocation::CniCommand;
use crate::request::PluginRequest;
use crate::version::SpecVersion;
use crate::{bridge, host_local, loopback};
use serde_json::Value;

/// A plugin that this program answers as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginKind {
    /// `netns-cni`, and every name that is none of the others: `bridge`.
    Everything,
    /// `bridge`.
    Bridge,
    /// `host-local`.
    HostLocal,
    /// `loopback`.
    Loopback,
}

impl PluginKind {
    /// The plugin of this file name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "bridge" => Self::Bridge,
            "host-local" => Self::HostLocal,
            "loopback" => Self::Loopback,
            _ => Self::Everything,
        }
    }

    /// The name that it is known by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Everything => "netns-cni",
            Self::Bridge => "bridge",
            Self::HostLocal => "host-local",
            Self::Loopback => "loopback",
        }
    }

    /// Does what is asked, and gives what to write on stdout.
    pub(crate) fn run(self, request: &PluginRequest) -> Outcome<Option<Value>> {
        let command = request.invocation.command;
        allowed(command, request.version)?;
        match (command, self) {
            (CniCommand::Add, _) => self.add(request).map(|result| Some(result.json(request.version))),
            (CniCommand::Del, Self::Everything | Self::Bridge) => bridge::del(request).map(|()| None),
            (CniCommand::Del, Self::HostLocal) => host_local::release(request, &[]).map(|()| None),
            (CniCommand::Del, Self::Loopback) => loopback::del(request).map(|()| None),
            (CniCommand::Check, Self::Everything | Self::Bridge) => bridge::check(request).map(|()| None),
            (CniCommand::Check, Self::HostLocal) => host_local::check(request).map(|()| None),
            (CniCommand::Check, Self::Loopback) => loopback::check(request).map(|()| None),
            (CniCommand::Gc, Self::Everything | Self::Bridge) => bridge::collect(request).map(|()| None),
            (CniCommand::Gc, Self::HostLocal) => {
                host_local::collect(request, &request.valid_attachments()?).map(|()| None)
            }
            // Its `lo` goes with the container's namespace.
            (CniCommand::Gc, Self::Loopback) => request.valid_attachments().map(|_| None),
            (CniCommand::Status, Self::Everything | Self::Bridge) => bridge::status(request).map(|()| None),
            (CniCommand::Status, Self::HostLocal) => host_local::status(request).map(|()| None),
            (CniCommand::Status, Self::Loopback) => crate::unavailable_without_privilege().map(|()| None),
            (CniCommand::Version, _) => Ok(None),
        }
    }

    fn add(self, request: &PluginRequest) -> Outcome<AttachmentResult> {
        match self {
            Self::Everything | Self::Bridge => bridge::add(request),
            Self::HostLocal => host_local::add(request),
            Self::Loopback => loopback::add(request),
        }
    }
}

/// Commands that the configuration's version does not have yet are refused.
fn allowed(command: CniCommand, version: SpecVersion) -> Outcome<()> {
    let (name, since) = match command {
        CniCommand::Check => ("CHECK", SpecVersion::V0_4_0),
        CniCommand::Gc => ("GC", SpecVersion::V1_1_0),
        CniCommand::Status => ("STATUS", SpecVersion::V1_1_0),
        CniCommand::Add | CniCommand::Del | CniCommand::Version => return Ok(()),
    };
    if version >= since {
        return Ok(());
    }
    let why = format!("the configuration's version {version} has no {name}, which came with {since}");
    Err(CniFailure::new(FailureCode::IncompatibleVersion, why))
}
