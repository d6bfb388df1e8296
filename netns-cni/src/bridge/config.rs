//! The keys of `bridge`.

use crate::attachment_result::ResultDns;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::request::PluginRequest;
use netns_core::{IfName, MacAddress};
use netns_ebpf::{Limits, Mode};
use serde_json::Value;

const DEFAULT_BRIDGE: &str = "cni0";

/// What the configuration asks for. Each field is a key of the reference's plugin.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the configuration")]
pub(super) struct BridgeConfig {
    pub(super) bridge: IfName,
    pub(super) is_gateway: bool,
    pub(super) is_default_gateway: bool,
    pub(super) force_address: bool,
    pub(super) masquerade: bool,
    /// In bytes; `None` is the kernel's default.
    pub(super) mtu: Option<u32>,
    pub(super) hairpin: bool,
    pub(super) promiscuous: bool,
    pub(super) spoof_check: bool,
    /// Whether the interface in the container stays down.
    pub(super) without_interface: bool,
    pub(super) isolated: bool,
    /// What happens to frames that the container may not send; `None` if they are not judged.
    pub(super) guard: Option<Mode>,
    /// Where the container may send to: the policy, or the path of its file.
    pub(super) egress: Option<Value>,
    /// How much may pass the port, without what `bandwidth` says.
    pub(super) limits: Limits,
    /// The MAC address that is asked for.
    pub(super) mac: Option<MacAddress>,
    pub(super) ipam: Ipam,
    /// Replaces the resolvers that the IPAM plugin reports.
    pub(super) dns: Option<ResultDns>,
}

/// Where addresses come from.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ipam {
    /// There are none.
    Without,
    /// From this program itself.
    HostLocal,
    /// From another plugin.
    Foreign(String),
}

impl Ipam {
    /// Everything that `DEL`, `GC` and `STATUS` need.
    pub(super) fn read(request: &PluginRequest) -> Outcome<Self> {
        let kind = request.keys().inside("ipam")?.text("type")?.unwrap_or_default();
        Ok(match kind {
            "" => Self::Without,
            "host-local" => Self::HostLocal,
            other => Self::Foreign(other.to_owned()),
        })
    }
}

impl BridgeConfig {
    pub(super) fn read(request: &PluginRequest) -> Outcome<Self> {
        let keys = request.keys();
        refuse(request)?;
        let is_default_gateway = keys.boolean("isDefaultGateway")?;
        let dns = requested_dns(request)?;
        let config = Self {
            bridge: bridge(request)?,
            is_gateway: keys.boolean("isGateway")? || is_default_gateway,
            is_default_gateway,
            force_address: keys.boolean("forceAddress")?,
            masquerade: keys.boolean("ipMasq")?,
            mtu: keys.number("mtu")?.filter(|&mtu| mtu != 0),
            hairpin: keys.boolean("hairpinMode")?,
            promiscuous: keys.boolean("promiscMode")?,
            spoof_check: keys.boolean("macspoofchk")?,
            without_interface: keys.boolean("disableContainerInterface")?,
            isolated: keys.boolean("portIsolation")?,
            guard: guard(request)?,
            egress: keys.get("egress").cloned(),
            limits: keys.parse("limit")?.unwrap_or(Limits::NONE),
            mac: requested_mac(request)?,
            ipam: Ipam::read(request)?,
            dns: (dns != ResultDns::default()).then_some(dns),
        };
        if config.hairpin && config.promiscuous {
            return Err(invalid("hairpinMode and promiscMode exclude each other"));
        }
        if config.without_interface && config.ipam != Ipam::Without {
            return Err(invalid("disableContainerInterface and ipam exclude each other"));
        }
        if config.guard.is_some() && config.ipam == Ipam::Without {
            return Err(invalid("guard takes addresses, and there is no ipam to give any"));
        }
        for (key, is_given) in [("egress", config.egress.is_some()), ("limit", !config.limits.is_none())] {
            if is_given && config.guard.is_none() {
                return Err(invalid(&format!("{key} takes guard, whose program does it")));
            }
        }
        Ok(config)
    }
}

/// The bridge's name.
pub(super) fn bridge(request: &PluginRequest) -> Outcome<IfName> {
    let name = request.keys().text("bridge")?.filter(|name| !name.is_empty()).unwrap_or(DEFAULT_BRIDGE);
    IfName::new(name).map_err(|error| invalid(&format!("bridge: {error}")))
}

/// Our own key.
pub(super) fn guard(request: &PluginRequest) -> Outcome<Option<Mode>> {
    Ok(match request.keys().text("guard")?.unwrap_or_default() {
        "" => None,
        "observe" => Some(Mode::Observe),
        "enforce" => Some(Mode::Enforce),
        other => {
            let why = "the mode is none of observe, enforce";
            return Err(CniFailure::unsupported("guard", &Value::from(other), why));
        }
    })
}

/// Keys that the reference plugin supports and this one does not.
fn refuse(request: &PluginRequest) -> Outcome<()> {
    let keys = request.keys();
    let why = "VLANs of bridges are not supported";
    for (key, nothing) in [("vlan", Value::from(0)), ("vlanTrunk", Value::from(Vec::<Value>::new()))] {
        if let Some(value) = keys.get(key).filter(|&value| *value != nothing) {
            return Err(CniFailure::unsupported(key, value, why));
        }
    }
    if keys.boolean("enabledad")? {
        let why = "addresses are used at once, without asking the network for duplicates";
        return Err(CniFailure::unsupported("enabledad", &Value::Bool(true), why));
    }
    Ok(())
}

/// From `dns`, and the capability `dns`, which has other words for the same and counts where it says something.
fn requested_dns(request: &PluginRequest) -> Outcome<ResultDns> {
    let keys = request.keys();
    let mut dns = ResultDns::read(&keys.inside("dns")?)?;
    let wanted = keys.inside("runtimeConfig")?.inside("dns")?;
    for (key, list) in
        [("servers", &mut dns.nameservers), ("searches", &mut dns.search), ("options", &mut dns.options)]
    {
        let texts = wanted.texts(key)?;
        if !texts.is_empty() {
            *list = texts;
        }
    }
    Ok(dns)
}

/// From `CNI_ARGS`, `args.cni.mac` and the capability `mac`; the last one counts.
fn requested_mac(request: &PluginRequest) -> Outcome<Option<MacAddress>> {
    let keys = request.keys();
    let mut mac = None;
    if let Some(text) = request.arguments()?.mac.filter(|text| !text.is_empty()) {
        let failed = |error| invalid(&format!("MAC in CNI_ARGS is {text:?}: {error}"));
        mac = Some(text.parse::<MacAddress>().map_err(failed)?);
    }
    mac = keys.inside("args")?.inside("cni")?.parse("mac")?.or(mac);
    mac = keys.inside("runtimeConfig")?.parse("mac")?.or(mac);
    match mac {
        Some(mac) if mac.is_multicast() || mac == MacAddress::default() => {
            Err(invalid(&format!("mac is {mac}: no interface can have this address")))
        }
        other => Ok(other),
    }
}

fn invalid(why: &str) -> CniFailure {
    CniFailure::new(FailureCode::InvalidConfig, why)
}
