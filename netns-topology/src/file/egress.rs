//! `[egress.NAME]`: where interfaces may send to.

use super::Wrong;
use super::tables::{DestinationsTable, Text};
use crate::egress::PortEgress;
use crate::error::{Error, Result};
use crate::fault::Fault;
use netns_core::IpNet;
use netns_ebpf::EgressRules;
use netns_ebpf::packet::{NoEgressList, NoEgressRule};
use std::collections::BTreeMap;
use std::path::Path;

/// The egress policies of a file, by name.
pub(super) type NamedEgress = BTreeMap<String, EgressRules>;

/// Reads the policies of a file.
pub(super) fn read_egress(tables: &BTreeMap<Text, DestinationsTable>) -> Wrong<NamedEgress> {
    tables.iter().map(|(name, table)| Ok((name.get_ref().clone(), read(table)?))).collect()
}

fn read(table: &DestinationsTable) -> Wrong<EgressRules> {
    let mut rules = EgressRules::new();
    match table.others.as_ref().map(|text| (text.get_ref().as_str(), text.span())) {
        None | Some(("allow", _)) => {}
        Some(("deny", _)) => rules = rules.refusing_others(),
        Some((other, span)) => {
            return Err((span, format!("others are not {other:?}; expected \"allow\" or \"deny\"")));
        }
    }
    for text in &table.without {
        let list = text.get_ref().parse();
        rules = rules.without(list.map_err(|none: NoEgressList| (text.span(), none.to_string()))?);
    }
    for text in &table.rules {
        let rule = text.get_ref().parse();
        rules = rules.with(rule.map_err(|none: NoEgressRule| (text.span(), none.to_string()))?);
    }
    Ok(rules)
}

/// The policy of this name, for an interface whose link has these networks.
pub(super) fn port_egress(
    name: &Text,
    named: &NamedEgress,
    link: impl IntoIterator<Item = IpNet>,
) -> Wrong<PortEgress> {
    let Some(rules) = named.get(name.get_ref()) else {
        let message = format!("there is no [egress.{}]; expected the name of one", name.get_ref());
        return Err((name.span(), message));
    };
    let egress = PortEgress::new(name.get_ref().clone(), rules, link);
    match egress.rules().compile() {
        Ok(_) => Ok(egress),
        Err(prefix) => {
            let message =
                format!("it says more than four things of {prefix}, those of wider networks included");
            Err((name.span(), message))
        }
    }
}

/// Reads a file that is one egress policy: the keys of a topology's `[egress.NAME]`.
///
/// # Errors
/// [`Error::File`]: the first thing that is wrong, by line and column, and what was expected there; if the file cannot be read.
pub fn open_egress(path: &Path) -> Result<EgressRules> {
    let text = super::text_of(path)?;
    let wrong = |(span, message)| Error::from(Fault::new(path, &text, span, message));
    let table: DestinationsTable = toml::from_str(&text)
        .map_err(|error| wrong((error.span().unwrap_or_default(), error.message().to_owned())))?;
    read(&table).map_err(wrong)
}
