//! A request to a plugin: the environment and the configuration together.

use crate::attachment_result::AttachmentResult;
use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::invocation::{Invocation, is_plain};
use crate::keys::ConfigKeys;
use crate::version::SpecVersion;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::rc::Rc;

/// One call of the plugin.
#[derive(Debug, Clone)]
pub(crate) struct PluginRequest {
    pub(crate) invocation: Invocation,
    /// The configuration's version; results are written in it.
    pub(crate) version: SpecVersion,
    /// The network's name.
    pub(crate) network: String,
    /// The whole configuration.
    document: Map<String, Value>,
    /// The same, as it came.
    pub(crate) input: Vec<u8>,
    /// What people may want to know, of a call that succeeds all the same. Requests that come of this one share it.
    notes: Rc<RefCell<Vec<String>>>,
}

/// What `CNI_ARGS` says that plugins here know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GenericArguments {
    pub(crate) mac: Option<String>,
    pub(crate) ip: Option<String>,
}

impl PluginRequest {
    /// Reads the configuration.
    ///
    /// # Errors
    /// Code 6 if it is no JSON object, 7 if the network has no name or an invalid one, 1 if the version is not supported.
    pub(crate) fn read(invocation: Invocation, input: Vec<u8>) -> Outcome<Self> {
        let decoding = |why: String| {
            CniFailure::new(FailureCode::Decoding, format!("the configuration on stdin: {why}"))
        };
        let document = match serde_json::from_slice(&input) {
            Ok(Value::Object(document)) => document,
            Ok(other) => return Err(decoding(format!("it is {other}, not an object"))),
            Err(error) => return Err(decoding(error.to_string())),
        };
        let keys = ConfigKeys::of(&document);
        let network = keys.text("name")?.unwrap_or_default().to_owned();
        if network.is_empty() {
            return Err(CniFailure::new(FailureCode::InvalidConfig, "missing network name"));
        }
        if !is_plain(&network) {
            let why = "it has characters other than letters, digits, '_', '.' and '-'";
            return Err(CniFailure::new(FailureCode::InvalidConfig, format!("name is {network:?}: {why}")));
        }
        let version = SpecVersion::read(keys.text("cniVersion")?.unwrap_or("0.1.0"))?;
        Ok(Self { invocation, version, network, document, input, notes: Rc::default() })
    }

    /// Says something to people, once the command is done. It is not written meanwhile: writing may fail or block.
    pub(crate) fn note(&self, what: impl Display) {
        self.notes.borrow_mut().push(what.to_string());
    }

    /// What was noted.
    pub(crate) fn notes(&self) -> Vec<String> {
        self.notes.take()
    }

    /// The same request about another attachment of the network.
    pub(crate) fn about(&self, container: String, interface: String) -> Self {
        let invocation = Invocation { container, interface, ..self.invocation.clone() };
        Self { invocation, ..self.clone() }
    }

    /// The same request, after a plugin that gave this result.
    pub(crate) fn after(&self, result: Value) -> Self {
        let mut next = self.clone();
        next.document.insert("prevResult".to_owned(), result);
        next
    }

    /// The result of the plugin before this one as this one's, in the configuration's version.
    ///
    /// # Errors
    /// If it makes no sense.
    pub(crate) fn pass_on(&self) -> Outcome<Value> {
        let Some(previous) = self.previous() else {
            let why = "the key \"prevResult\" is missing: this plugin comes after others";
            return Err(CniFailure::new(FailureCode::InvalidConfig, why));
        };
        let is_same = previous.get("cniVersion").and_then(Value::as_str) == Some(self.version.as_str());
        let result = AttachmentResult::read("prevResult", previous)?;
        // Unknown parts stay, if the result is of this version.
        Ok(if is_same { previous.clone() } else { result.json(self.version) })
    }

    /// The configuration's keys.
    pub(crate) fn keys(&self) -> ConfigKeys<'_> {
        ConfigKeys::of(&self.document)
    }

    /// The result of the plugin before this one.
    pub(crate) fn previous(&self) -> Option<&Value> {
        self.keys().get("prevResult")
    }

    /// Reads `CNI_ARGS`: `KEY=VALUE;KEY=VALUE`. Keys are compared exactly, and unknown ones are an error unless
    /// `IgnoreUnknown` is true, as in the reference plugins.
    ///
    /// # Errors
    /// Code 4 if it makes no sense.
    pub(crate) fn arguments(&self) -> Outcome<GenericArguments> {
        let text = self.invocation.arguments.as_str();
        let refused = |why: String| {
            CniFailure::new(FailureCode::InvalidEnvironment, format!("CNI_ARGS is {text:?}: {why}"))
        };
        let mut arguments = GenericArguments::default();
        let (mut unknown, mut ignore) = (Vec::new(), false);
        for pair in text.split(';').filter(|_| !text.is_empty()) {
            match pair.split('=').collect::<Vec<_>>()[..] {
                ["MAC", mac] => arguments.mac = Some(mac.to_owned()),
                ["IP", ip] => arguments.ip = Some(ip.to_owned()),
                ["IgnoreUnknown", value] => {
                    ignore = match value.to_ascii_lowercase().as_str() {
                        "1" | "true" => true,
                        "0" | "false" => false,
                        _ => return Err(refused(format!("{pair:?} is neither true nor false"))),
                    }
                }
                [_, _] => unknown.push(pair),
                _ => return Err(refused(format!("{pair:?} is no pair of a key and a value"))),
            }
        }
        if !ignore && !unknown.is_empty() {
            return Err(refused(format!("unknown: {}", unknown.join(", "))));
        }
        Ok(arguments)
    }

    /// The attachments that `GC` spares, each a container and its interface.
    ///
    /// # Errors
    /// Code 7 if the list is not there: `GC` without it would remove everything.
    pub(crate) fn valid_attachments(&self) -> Outcome<BTreeSet<(String, String)>> {
        const KEY: &str = "cni.dev/valid-attachments";
        // The key of the specification's drafts, which libcni writes too.
        const DRAFT: &str = "cni.dev/attachments";
        let keys = self.keys();
        let key = [KEY, DRAFT].into_iter().find(|key| keys.get(key).is_some()).ok_or_else(|| {
            CniFailure::new(FailureCode::InvalidConfig, format!("GC without the key {KEY:?}"))
        })?;
        let mut valid = BTreeSet::new();
        for (number, entry) in keys.list(key)?.iter().enumerate() {
            let entry = ConfigKeys::of_entry(format!("{key}[{number}]"), entry)?;
            let text = |key: &str| entry.text(key).map(|text| text.unwrap_or_default().to_owned());
            valid.insert((text("containerID")?, text("ifname")?));
        }
        Ok(valid)
    }
}
