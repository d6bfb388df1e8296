//! The keys of `firewall`.

use super::{ConfigPlace, foreign};
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::filters::KeptSocket;
use crate::request::PluginRequest;
use serde_json::Value;

const DEFAULT_ADMIN_CHAIN: &str = "CNI-ADMIN";
/// The longest chain name that iptables accepts: `XT_EXTENSION_MAXNAMELEN` with its NUL.
const LONGEST_CHAIN: usize = 28;

/// Who else may send to a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IngressPolicy {
    /// Everybody.
    Open,
    /// Containers of the same bridge, and what is not in a network of another bridge with such a policy.
    SameBridge,
    /// The same without containers of the same bridge.
    Isolated,
}

/// What the configuration asks for.
#[derive(Debug)]
pub(super) struct FirewallConfig {
    pub(super) policy: IngressPolicy,
    /// The chain of the host's administrator, whose rules come first.
    pub(super) admin_chain: String,
    /// `None` if the configuration does not say.
    backend: Option<String>,
}

impl FirewallConfig {
    /// Reads it; `None` if it is to be inside of another's and is not there.
    pub(super) fn read(request: &PluginRequest, place: ConfigPlace) -> Outcome<Option<Self>> {
        let keys = match place {
            ConfigPlace::Own => request.keys(),
            ConfigPlace::Inside if request.keys().get("firewall").is_none() => return Ok(None),
            ConfigPlace::Inside => request.keys().inside("firewall")?,
        };
        let text = |key: &str| keys.text(key).map(|text| text.filter(|text| !text.is_empty()));
        let policy = match text("ingressPolicy")? {
            None | Some("open") => IngressPolicy::Open,
            Some("same-bridge") => IngressPolicy::SameBridge,
            Some("isolated") => IngressPolicy::Isolated,
            Some(other) => {
                let why = "the policy is none of open, same-bridge, isolated";
                return Err(CniFailure::unsupported(&keys.path("ingressPolicy"), &Value::from(other), why));
            }
        };
        // The reference also takes unknown values for "iptables".
        let backend = text("backend")?.map(str::to_owned);
        let admin_chain = text("iptablesAdminChainName")?.unwrap_or(DEFAULT_ADMIN_CHAIN).to_owned();
        let is_chain = |name: &str| {
            name.len() <= LONGEST_CHAIN
                && !name.starts_with(['-', '!'])
                && name.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !is_chain(&admin_chain) || foreign::is_taken(&admin_chain) {
            let key = keys.path("iptablesAdminChainName");
            let why = format!("{key} is {admin_chain:?}: no chain can have this name");
            return Err(CniFailure::new(FailureCode::InvalidConfig, why));
        }
        Ok(Some(Self { policy, admin_chain, backend }))
    }

    /// Only firewalld rebuilds the rules in its tables, and it takes requests only by D-Bus.
    ///
    /// # Errors
    /// Code 2 if firewalld is the backend, or if no backend is configured and firewalld is running, since the reference would
    /// choose it then.
    pub(super) fn refuse_firewalld(&self) -> Outcome<()> {
        let is_chosen = match self.backend.as_deref() {
            Some(backend) => backend == "firewalld",
            None => foreign::has_firewalld(&mut *KeptSocket::open()?)?,
        };
        if !is_chosen {
            return Ok(());
        }
        let backend = Value::from(self.backend.as_deref());
        let why = "firewalld is not spoken to; give the network's subnet to a zone of its (firewall-cmd --permanent \
                   --zone=trusted --add-source=SUBNET) and set \"backend\" to \"iptables\"";
        Err(CniFailure::unsupported("backend", &backend, why))
    }
}
