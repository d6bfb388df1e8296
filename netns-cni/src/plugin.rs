//! Which plugin the program is, by the name under which it was started, and what each plugin does for a command.

use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::invocation::CniCommand;
use crate::request::PluginRequest;
use crate::version::SpecVersion;
use crate::{bandwidth, bridge, filters, firewall, host_local, loopback, portmap, tuning};
use netns_core::record::RecordFile;
use serde_json::Value;

/// A plugin that this program implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginKind {
    /// `netns-cni`, whatever follows in the name: `bridge`, `portmap`, `bandwidth` and, if the configuration asks for it,
    /// `firewall` in one call.
    Everything,
    /// `bandwidth`.
    Bandwidth,
    /// `bridge`.
    Bridge,
    /// `firewall`.
    Firewall,
    /// `host-local`.
    HostLocal,
    /// `loopback`.
    Loopback,
    /// `portmap`.
    Portmap,
    /// `tuning`.
    Tuning,
}

impl PluginKind {
    /// The plugin for this file name.
    ///
    /// # Errors
    /// Code 7 if no plugin has this name: a symbolic link named `vlan` must not act as `bridge`.
    pub fn named(name: &str) -> Outcome<Self> {
        Ok(match name {
            "bandwidth" => Self::Bandwidth,
            "bridge" => Self::Bridge,
            "firewall" => Self::Firewall,
            "host-local" => Self::HostLocal,
            "loopback" => Self::Loopback,
            "portmap" => Self::Portmap,
            "tuning" => Self::Tuning,
            name if name.starts_with(Self::Everything.name()) => Self::Everything,
            other => {
                let why = format!("netns-cni has no plugin {other:?}");
                return Err(CniFailure::new(FailureCode::InvalidConfig, why));
            }
        })
    }

    /// The plugin's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Everything => "netns-cni",
            Self::Bandwidth => "bandwidth",
            Self::Bridge => "bridge",
            Self::Firewall => "firewall",
            Self::HostLocal => "host-local",
            Self::Loopback => "loopback",
            Self::Portmap => "portmap",
            Self::Tuning => "tuning",
        }
    }

    /// Runs the command, and returns what to write to stdout.
    pub(crate) fn run(self, request: &PluginRequest) -> Outcome<Option<Value>> {
        let command = request.invocation.command;
        allowed(command, request.version)?;
        match command {
            CniCommand::Add => self.add(request).map(Some),
            CniCommand::Del => self.del(request).map(|()| None),
            CniCommand::Check => self.check(request).map(|()| None),
            CniCommand::Gc => self.collect(request).map(|()| None),
            CniCommand::Status => self.status(request).map(|()| None),
            CniCommand::Version => Ok(None),
        }
    }

    fn add(self, request: &PluginRequest) -> Outcome<Value> {
        let result = match self {
            Self::Everything => {
                refuse_of_everything(request)?;
                let result = bridge::add(request)?.json(request.version);
                let next = request.after(result.clone());
                return match add_rest(&next) {
                    Ok(()) => Ok(result),
                    Err(failure) => Err(failure.with_others(self.del(&next).err().into_iter().collect())),
                };
            }
            Self::Bandwidth => {
                bandwidth::add(request)?;
                return request.pass_on();
            }
            Self::Bridge => bridge::add(request)?,
            Self::HostLocal => host_local::add(request)?,
            Self::Loopback => loopback::add(request)?,
            Self::Portmap => {
                let mut record = filters::begin(request, portmap::PLUGIN)?;
                let added = portmap::add(request, &mut record);
                undone(record, added, || portmap::del(request))?;
                return request.pass_on();
            }
            Self::Firewall => {
                let mut record = filters::begin(request, firewall::PLUGIN)?;
                let added = firewall::add(request, firewall::ConfigPlace::Own, &mut record);
                undone(record, added, || firewall::del(request))?;
                return request.pass_on();
            }
            Self::Tuning => return tuning::add(request),
        };
        Ok(result.json(request.version))
    }

    fn del(self, request: &PluginRequest) -> Outcome<()> {
        match self {
            Self::Everything => del_everything(request),
            Self::Bandwidth => bandwidth::del(request),
            Self::Bridge => bridge::del(request, &[]),
            Self::Firewall => firewall::del(request),
            Self::HostLocal => host_local::release(request, &[]),
            Self::Loopback => loopback::del(request),
            Self::Portmap => portmap::del(request),
            Self::Tuning => tuning::del(request),
        }
    }

    fn check(self, request: &PluginRequest) -> Outcome<()> {
        match self {
            Self::Everything => all([
                bridge::check(request),
                portmap::check(request),
                firewall::check(request, firewall::ConfigPlace::Inside),
                bandwidth::check(request),
            ]),
            Self::Bandwidth => bandwidth::check(request),
            Self::Bridge => bridge::check(request),
            Self::Firewall => firewall::check(request, firewall::ConfigPlace::Own),
            Self::HostLocal => host_local::check(request),
            Self::Loopback => loopback::check(request),
            Self::Portmap => portmap::check(request),
            Self::Tuning => tuning::check(request),
        }
    }

    fn collect(self, request: &PluginRequest) -> Outcome<()> {
        match self {
            Self::Everything => all([
                bandwidth::collect(request),
                firewall::collect(request),
                portmap::collect(request),
                bridge::collect(request),
            ]),
            Self::Bandwidth => bandwidth::collect(request),
            Self::Bridge => bridge::collect(request),
            Self::Firewall => firewall::collect(request),
            Self::HostLocal => host_local::collect(request, &request.valid_attachments()?),
            // Its `lo` goes with the container's namespace.
            Self::Loopback => request.valid_attachments().map(drop),
            Self::Portmap => portmap::collect(request),
            Self::Tuning => tuning::collect(request),
        }
    }

    fn status(self, request: &PluginRequest) -> Outcome<()> {
        match self {
            Self::Everything => all([
                bridge::status(request),
                portmap::status(),
                firewall::status(request, firewall::ConfigPlace::Inside),
            ]),
            Self::Bridge => bridge::status(request),
            Self::Firewall => firewall::status(request, firewall::ConfigPlace::Own),
            Self::HostLocal => host_local::status(request),
            Self::Bandwidth | Self::Loopback | Self::Tuning => crate::unavailable_without_privilege(),
            Self::Portmap => portmap::status(),
        }
    }
}

/// What comes after the bridge in one call; the bridge's record says what it takes in the packet filter.
fn add_rest(next: &PluginRequest) -> Outcome<()> {
    let mut record = bridge::record(next)?;
    portmap::add(next, &mut record)?;
    firewall::add(next, firewall::ConfigPlace::Inside, &mut record)?;
    drop(record);
    bandwidth::add(next)
}

/// Undoes what a plugin has added, if that failed.
fn undone(record: RecordFile, added: Outcome<()>, del: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    added.map_err(|failure| {
        // The next one locks it.
        drop(record);
        failure.with_others(del().err().into_iter().collect())
    })
}

/// Each part runs, whatever fails in the others. The link comes first: its programs and its slot go with it.
fn del_everything(request: &PluginRequest) -> Outcome<()> {
    let mut searches = portmap::SEARCHES.to_vec();
    if request.keys().get("firewall").is_some() {
        searches.extend(firewall::SEARCHES);
    }
    let bridge = bridge::del(request, &searches);
    portmap::end_connections(request);
    all([bridge, bandwidth::del(request)])
}

/// What a list of plugins could do, but one call does not.
fn refuse_of_everything(request: &PluginRequest) -> Outcome<()> {
    let keys = request.keys();
    let nothing = |value: &Value| *value == false || *value == 0;
    for key in ["sysctl", "promisc", "allmulti", "txQLen"] {
        if let Some(value) = keys.get(key).filter(|value| !nothing(value)) {
            return Err(CniFailure::unsupported(key, value, "netns-cni does not do what tuning does"));
        }
    }
    Ok(())
}

fn all<const N: usize>(outcomes: [Outcome<()>; N]) -> Outcome<()> {
    CniFailure::all(outcomes.into_iter().filter_map(Result::err).collect())
}

/// Refuses commands that the configuration's version does not have yet.
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
