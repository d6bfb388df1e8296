//! What single words and numbers of a file mean.

use super::Wrong;
use super::tables::Text;
use netns_core::{IfName, IpNet, MacAddress};
use std::collections::BTreeMap;
use toml::Spanned;

/// Keys and values as they stand in the file.
pub(super) fn in_order<T>(table: BTreeMap<Text, T>) -> Vec<(Text, T)> {
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

pub(super) fn if_name(text: &Text) -> Wrong<IfName> {
    match IfName::new(text.get_ref()) {
        Ok(name) if name.as_str() == "lo" => {
            Err((text.span(), "every namespace has its lo already; expected another name".to_owned()))
        }
        Ok(name) => Ok(name),
        Err(error) => Err((text.span(), format!("{error}; expected one of up to 15 bytes"))),
    }
}

pub(super) fn mac(text: &Text) -> Wrong<MacAddress> {
    let expected = "expected one of a single interface, such as \"02:00:00:00:00:01\"";
    match text.get_ref().parse::<MacAddress>() {
        Ok(mac) if mac.is_multicast() || mac == MacAddress::default() => {
            Err((text.span(), format!("no interface can have {mac}; {expected}")))
        }
        Ok(mac) => Ok(mac),
        Err(_) => Err((text.span(), format!("{:?} is not a MAC address; {expected}", text.get_ref()))),
    }
}

pub(super) fn mtu(number: Option<&Spanned<u32>>) -> Wrong<Option<u32>> {
    let Some(number) = number else { return Ok(None) };
    let mtu = *number.get_ref();
    if (68..=65535).contains(&mtu) {
        return Ok(Some(mtu));
    }
    Err((number.span(), format!("no link has an MTU of {mtu}; expected 68 to 65535 bytes")))
}

/// An address with its prefix length.
pub(super) fn net(text: &Text, expected: &str) -> Wrong<IpNet> {
    let written = text.get_ref();
    let fault = match written.parse::<IpNet>() {
        Ok(net) if written.contains('/') => return Ok(net),
        Ok(_) => format!("{written:?} has no prefix length"),
        Err(error) => error.to_string(),
    };
    Err((text.span(), format!("{fault}; expected {expected}")))
}
