//! Reading attributes out of borrowed bytes.

use super::{NlAttr, align};
use crate::{IfName, MacAddress};
use bytemuck::{AnyBitPattern, pod_read_unaligned};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER`, which are not part of the type.
const FLAGS: u16 = (libc::NLA_F_NESTED | libc::NLA_F_NET_BYTEORDER) as u16;

/// One attribute of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// `IFLA_*`, `IFA_*` and so on, without the flag bits.
    pub kind: u16,
    /// The bytes of its value.
    pub bytes: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// The value as an integer in host order or a plain structure; `None` if it has another size.
    #[must_use]
    pub fn value<T: AnyBitPattern>(&self) -> Option<T> {
        (self.bytes.len() == size_of::<T>()).then(|| pod_read_unaligned(self.bytes))
    }

    /// The value as a structure that newer kernels have made longer: its first bytes.
    #[must_use]
    pub fn prefix<T: AnyBitPattern>(&self) -> Option<T> {
        self.bytes.get(..size_of::<T>()).map(pod_read_unaligned)
    }

    /// The value as text, up to the first NUL; `None` if it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.string()).ok()
    }

    /// The value as the name of an interface, which need not be text.
    #[must_use]
    pub fn name(&self) -> Option<IfName> {
        IfName::reported(self.string())
    }

    /// The bytes up to the first NUL.
    fn string(&self) -> &'a [u8] {
        let end = self.bytes.iter().position(|&byte| byte == 0).unwrap_or(self.bytes.len());
        &self.bytes[..end]
    }

    /// The value as a MAC address.
    #[must_use]
    pub fn mac(&self) -> Option<MacAddress> {
        self.bytes.try_into().ok().map(MacAddress)
    }

    /// The value as an IP address, by its length.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        if let Ok(octets) = <[u8; 4]>::try_from(self.bytes) {
            return Some(Ipv4Addr::from(octets).into());
        }
        <[u8; 16]>::try_from(self.bytes).ok().map(|octets| Ipv6Addr::from(octets).into())
    }

    /// The attributes inside.
    #[must_use]
    pub fn nested(&self) -> Attributes<'a> {
        Attributes::new(self.bytes)
    }
}

/// The attributes in a run of bytes. It ends at the end, or at the first one that is shorter than its header
/// or longer than what is left: no input makes it panic or read elsewhere.
///
/// ```
/// use netns_core::wire::Attributes;
///
/// let bytes = [5, 0, 1, 0, 42, 0, 0, 0, 255, 255, 2, 0];
/// let values: Vec<_> = Attributes::new(&bytes).map(|a| (a.kind, a.value::<u8>())).collect();
/// assert_eq!(values, [(1, Some(42))]);
/// ```
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Attributes<'a> {
    /// Reads `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The first attribute of this kind.
    #[must_use]
    #[expect(clippy::filter_next, reason = "`Iterator::find` has the name of this function")]
    pub fn find(&self, kind: u16) -> Option<Attribute<'a>> {
        self.clone().filter(|attribute| attribute.kind == kind).next()
    }

    /// How many bytes have not been read yet: after the last attribute, 0 unless the bytes were malformed.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let header: NlAttr = pod_read_unaligned(self.rest.get(..size_of::<NlAttr>())?);
        let length = header.length as usize;
        let bytes = self.rest.get(size_of::<NlAttr>()..length)?;
        self.rest = self.rest.get(align(length)..).unwrap_or_default();
        Some(Attribute { kind: header.kind & !FLAGS, bytes })
    }
}
