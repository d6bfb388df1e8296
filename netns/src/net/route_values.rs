//! Values of routes, some of them also of addresses and neighbours: scopes, tables, protocols, routers.

use super::words::{IpFamily, Phrase, number};
use crate::failure::Failure;
use netns_core::route::{Protocol, Scope};
use netns_core::wire::RTA_VIA;
use std::net::IpAddr;

/// The address of a router, of the route's family or of the family given before it.
pub(super) fn via<A>(phrase: &Phrase<A>, family: Option<IpFamily>) -> Result<IpAddr, Failure> {
    match &phrase.values[..] {
        [said, _] => phrase.address(IpFamily::named(said)),
        _ => phrase.address(family),
    }
}

/// `RTA_GATEWAY`; for a router of another family than the route `RTA_VIA`, which includes the family.
pub(super) fn gateway(family: IpFamily, via: IpAddr) -> (u16, Vec<u8>) {
    let octets = match via {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    if family.is_of(via) {
        return (libc::RTA_GATEWAY, octets);
    }
    let mut bytes = u16::from(IpFamily::of(via).number()).to_ne_bytes().to_vec();
    bytes.extend(octets);
    (RTA_VIA, bytes)
}

/// `TO`, or `FROM/TO`.
pub(super) fn realms<A>(phrase: &Phrase<A>) -> Result<u32, Failure> {
    let (from, to) = phrase.value().split_once('/').unwrap_or(("0", phrase.value()));
    match (number(from), number(to)) {
        (Some(from @ 0..=255), Some(to @ 0..=255)) => Ok(u32::try_from(from << 16 | to).unwrap_or_default()),
        _ => Err(phrase.wrong("not a realm of up to 255, nor two")),
    }
}

/// Names of the bytes that `tos` is, from <https://www.rfc-editor.org/rfc/rfc2597> and its like: iproute2's `rt_dsfield`.
pub(super) const TOS: [(&str, u8); 21] = [
    ("default", 0x00),
    ("AF11", 0x28),
    ("AF12", 0x30),
    ("AF13", 0x38),
    ("AF21", 0x48),
    ("AF22", 0x50),
    ("AF23", 0x58),
    ("AF31", 0x68),
    ("AF32", 0x70),
    ("AF33", 0x78),
    ("AF41", 0x88),
    ("AF42", 0x90),
    ("AF43", 0x98),
    ("CS1", 0x20),
    ("CS2", 0x40),
    ("CS3", 0x60),
    ("CS4", 0x80),
    ("CS5", 0xA0),
    ("CS6", 0xC0),
    ("CS7", 0xE0),
    ("EF", 0xB8),
];

/// A byte by its name, or in hexadecimal, with `0x` or without.
pub(super) fn tos<A>(phrase: &Phrase<A>) -> Result<u8, Failure> {
    let value = phrase.value();
    let named = TOS.iter().find(|(name, _)| *name == value).map(|&(_, byte)| byte);
    let digits = value.strip_prefix("0x").unwrap_or(value);
    let byte = named.or_else(|| u8::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')));
    byte.ok_or_else(|| phrase.wrong("not a byte in hexadecimal"))
}

/// A table by number, or by a name that every machine has; other names are in one of iproute2's files.
pub(super) fn table<A>(phrase: &Phrase<A>) -> Result<u32, Failure> {
    match phrase.value() {
        "local" => Ok(255),
        "main" => Ok(254),
        "default" => Ok(253),
        "unspec" => Ok(0),
        _ => phrase.number32(),
    }
}

/// A protocol by its name or number.
pub(super) fn protocol<A>(phrase: &Phrase<A>) -> Result<Protocol, Failure> {
    Protocol::named(phrase.value()).map_or_else(|| phrase.number8().map(Protocol), Ok)
}

/// A scope by its name or number.
pub(super) fn scope<A>(phrase: &Phrase<A>) -> Result<Scope, Failure> {
    Scope::named(phrase.value()).map_or_else(|| phrase.number8().map(Scope), Ok)
}
