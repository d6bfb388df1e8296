//! Results: what a plugin reports that it made.

use crate::failure::Outcome;
use crate::keys::{ConfigKeys, wrong};
use crate::version::SpecVersion;
use netns_core::IpNet;
use serde_json::{Map, Value, json};
use std::net::IpAddr;

/// The result of `ADD`, and `prevResult`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AttachmentResult {
    pub(crate) interfaces: Vec<ResultInterface>,
    pub(crate) ips: Vec<ResultAddress>,
    pub(crate) routes: Vec<ResultRoute>,
    pub(crate) dns: ResultDns,
}

/// An interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResultInterface {
    pub(crate) name: String,
    pub(crate) mac: String,
    /// In bytes; results contain it from 1.1.0 on.
    pub(crate) mtu: Option<u32>,
    /// The path of the namespace that it is in; empty for the host's.
    pub(crate) sandbox: String,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResultAddress {
    /// With the prefix of its network.
    pub(crate) address: IpNet,
    pub(crate) gateway: Option<IpAddr>,
    /// The position of the interface among the result's.
    pub(crate) interface: Option<u32>,
}

/// A route inside the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResultRoute {
    pub(crate) dst: IpNet,
    /// Without one, the gateway of the address of this family.
    pub(crate) gw: Option<IpAddr>,
    pub(crate) mtu: Option<u32>,
    pub(crate) advmss: Option<u32>,
    pub(crate) priority: Option<u32>,
    pub(crate) table: Option<u32>,
    pub(crate) scope: Option<u32>,
}

/// Settings for a resolver; nothing here configures one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ResultDns {
    pub(crate) nameservers: Vec<String>,
    pub(crate) domain: String,
    pub(crate) search: Vec<String>,
    pub(crate) options: Vec<String>,
}

impl AttachmentResult {
    /// Reads a result of any version.
    pub(crate) fn read(path: &str, value: &Value) -> Outcome<Self> {
        let keys = ConfigKeys::of_entry(path.to_owned(), value)?;
        Ok(Self {
            interfaces: each(&keys, "interfaces", ResultInterface::read)?,
            ips: each(&keys, "ips", ResultAddress::read)?,
            routes: ResultRoute::read_all(&keys)?,
            dns: ResultDns::read(&keys.inside("dns")?)?,
        })
    }

    /// Writes it in this version.
    pub(crate) fn json(&self, version: SpecVersion) -> Value {
        let mut map = Map::new();
        map.insert("cniVersion".to_owned(), version.as_str().into());
        let interfaces: Vec<Value> =
            self.interfaces.iter().map(|interface| interface.json(version)).collect();
        let ips: Vec<Value> = self.ips.iter().map(|address| address.json(version)).collect();
        let routes: Vec<Value> = self.routes.iter().map(ResultRoute::json).collect();
        for (key, list) in [("interfaces", interfaces), ("ips", ips), ("routes", routes)] {
            if !list.is_empty() {
                map.insert(key.to_owned(), list.into());
            }
        }
        if self.dns != ResultDns::default() || version < SpecVersion::V1_1_0 {
            // Earlier versions always had it, and some readers rely on it.
            map.insert("dns".to_owned(), self.dns.json());
        }
        map.into()
    }

    /// The gateway of the first address of this family that has one.
    pub(crate) fn gateway(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.ips.iter().filter_map(|address| address.gateway).find(|gateway| gateway.is_ipv4() == is_ipv4)
    }
}

fn each<'a, T>(keys: &ConfigKeys<'a>, key: &str, read: fn(&ConfigKeys<'a>) -> Outcome<T>) -> Outcome<Vec<T>> {
    let entries = keys.list(key)?.iter().enumerate();
    let entry =
        |(number, entry)| read(&ConfigKeys::of_entry(format!("{}[{number}]", keys.path(key)), entry)?);
    entries.map(entry).collect()
}

impl ResultInterface {
    fn read(keys: &ConfigKeys<'_>) -> Outcome<Self> {
        let text = |key: &str| keys.text(key).map(|text| text.unwrap_or_default().to_owned());
        Ok(Self {
            name: text("name")?,
            mac: text("mac")?,
            mtu: keys.number("mtu")?,
            sandbox: text("sandbox")?,
        })
    }

    fn json(&self, version: SpecVersion) -> Value {
        let mut json = json!({ "name": self.name });
        for (key, text) in [("mac", &self.mac), ("sandbox", &self.sandbox)] {
            if !text.is_empty() {
                json[key] = Value::from(text.as_str());
            }
        }
        if let Some(mtu) = self.mtu.filter(|_| version >= SpecVersion::V1_1_0) {
            json["mtu"] = mtu.into();
        }
        json
    }
}

impl ResultAddress {
    fn read(keys: &ConfigKeys<'_>) -> Outcome<Self> {
        let Some(address) = keys.parse("address")? else {
            return Err(wrong(&keys.path("address"), &Value::Null, "an address"));
        };
        Ok(Self { address, gateway: keys.parse("gateway")?, interface: keys.number("interface")? })
    }

    fn json(&self, version: SpecVersion) -> Value {
        let mut json = json!({ "address": self.address.to_string() });
        if version < SpecVersion::V1_0_0 {
            json["version"] = if self.address.address().is_ipv4() { "4" } else { "6" }.into();
        }
        if let Some(gateway) = self.gateway {
            json["gateway"] = gateway.to_string().into();
        }
        if let Some(interface) = self.interface {
            json["interface"] = interface.into();
        }
        json
    }
}

impl ResultRoute {
    /// The list `routes` of a result or of a configuration.
    pub(crate) fn read_all(keys: &ConfigKeys<'_>) -> Outcome<Vec<Self>> {
        each(keys, "routes", Self::read)
    }

    fn read(keys: &ConfigKeys<'_>) -> Outcome<Self> {
        let Some(dst) = keys.parse("dst")? else {
            return Err(wrong(&keys.path("dst"), &Value::Null, "a network"));
        };
        Ok(Self {
            dst,
            gw: keys.parse("gw")?,
            mtu: keys.number("mtu")?,
            advmss: keys.number("advmss")?,
            priority: keys.number("priority")?,
            table: keys.number("table")?,
            scope: keys.number("scope")?,
        })
    }

    fn json(&self) -> Value {
        let mut json = json!({ "dst": self.dst.to_string() });
        if let Some(gw) = self.gw {
            json["gw"] = gw.to_string().into();
        }
        for (key, number) in [
            ("mtu", self.mtu),
            ("advmss", self.advmss),
            ("priority", self.priority),
            ("table", self.table),
            ("scope", self.scope),
        ] {
            if let Some(number) = number {
                json[key] = number.into();
            }
        }
        json
    }
}

impl ResultDns {
    pub(crate) fn read(keys: &ConfigKeys<'_>) -> Outcome<Self> {
        Ok(Self {
            nameservers: keys.texts("nameservers")?,
            domain: keys.text("domain")?.unwrap_or_default().to_owned(),
            search: keys.texts("search")?,
            options: keys.texts("options")?,
        })
    }

    fn json(&self) -> Value {
        let mut json = json!({});
        for (key, list) in
            [("nameservers", &self.nameservers), ("search", &self.search), ("options", &self.options)]
        {
            if !list.is_empty() {
                json[key] = list.as_slice().into();
            }
        }
        if !self.domain.is_empty() {
            json["domain"] = self.domain.as_str().into();
        }
        json
    }
}

#[cfg(test)]
mod tests;
