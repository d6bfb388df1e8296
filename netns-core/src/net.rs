//! An address and the length of its prefix.

use crate::error::Operation;
use crate::{Error, Result};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An IP address with the length of its network's prefix, as interfaces have it: `10.1.1.1/24`, `fd00::1/64`.
/// Also a network: its address has zeroes behind the prefix.
///
/// ```
/// use netns_core::IpNet;
///
/// let net: IpNet = "10.1.1.1/24".parse()?;
/// assert_eq!(net.network().to_string(), "10.1.1.0/24");
/// assert_eq!(net.host(254), Some("10.1.1.254".parse().unwrap()));
/// assert_eq!(net.hosts(), 254);
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IpNet {
    address: IpAddr,
    prefix: u8,
}

impl IpNet {
    /// An address and a prefix length.
    ///
    /// # Errors
    /// If the prefix is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self> {
        let net = Self { address, prefix };
        if prefix > net.bits() {
            return Err(Error::invalid(
                Operation::UseAddress,
                format!("{address}/{prefix}"),
                format!("the prefix has at most {} bits", net.bits()),
            ));
        }
        Ok(net)
    }

    /// One address alone: `/32` or `/128`.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Every address of the family of `like`: `0.0.0.0/0` or `::/0`.
    #[must_use]
    pub const fn everything(like: IpAddr) -> Self {
        let address = match like {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { address, prefix: 0 }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The length of the prefix in bits.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether a route to it is a default route: it is everything, or one half of everything. VPN clients add routes to
    /// the two halves, `0.0.0.0/1` and `128.0.0.0/1`, which win over the default route and leave it in place. A subnet
    /// that only such a route covers is free.
    #[must_use]
    pub const fn is_default(&self) -> bool {
        self.prefix <= 1
    }

    /// `AF_INET` or `AF_INET6`.
    #[must_use]
    pub(crate) const fn family(&self) -> u8 {
        family(self.address)
    }

    const fn bits(&self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The address as a number of 32 or 128 bits.
    fn number(address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(address) => u32::from(address).into(),
            IpAddr::V6(address) => address.into(),
        }
    }

    fn with_number(&self, number: u128) -> IpAddr {
        match self.address {
            // The callers keep `number` below 2^32 for IPv4.
            IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
            IpAddr::V6(_) => Ipv6Addr::from(number).into(),
        }
    }

    /// Ones where the host's part of an address is.
    fn host_mask(&self) -> u128 {
        match self.bits() - self.prefix {
            128 => u128::MAX,
            bits => (1 << bits) - 1,
        }
    }

    /// The network: zeroes behind the prefix.
    #[must_use]
    pub fn network(&self) -> Self {
        Self {
            address: self.with_number(Self::number(self.address) & !self.host_mask()),
            prefix: self.prefix,
        }
    }

    /// The highest address: of IPv4, the broadcast address.
    #[must_use]
    pub fn last(&self) -> IpAddr {
        self.with_number(Self::number(self.address) | self.host_mask())
    }

    /// The `number`th address of the network that an interface may have, from 1; `None` after the last.
    #[must_use]
    pub fn host(&self, number: u128) -> Option<IpAddr> {
        if number == 0 || number > self.hosts() {
            return None;
        }
        Some(self.with_number(Self::number(self.network().address) + number))
    }

    /// How many addresses interfaces may have: without the network's own and, for IPv4, the broadcast address.
    #[must_use]
    pub fn hosts(&self) -> u128 {
        let reserved = u128::from(self.address.is_ipv4());
        self.host_mask().saturating_sub(reserved)
    }

    /// Whether `address` is in the network.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4()
            && (Self::number(address) ^ Self::number(self.address)) & !self.host_mask() == 0
    }

    /// Whether the two networks have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) && self.prefix <= other.prefix
            || other.contains(self.address) && other.prefix <= self.prefix
    }
}

/// `AF_INET` or `AF_INET6`.
pub(crate) const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}

impl FromStr for IpNet {
    type Err = Error;

    /// Reads `ADDRESS/PREFIX`; an address alone is a `/32` or `/128`.
    fn from_str(text: &str) -> Result<Self> {
        let fault = |why: &'static str| Error::invalid(Operation::ReadAddress, format!("{text:?}"), why);
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| fault("it is not an IPv4 or IPv6 address"))?;
        match prefix {
            None => Ok(Self::single(address)),
            Some(prefix) => {
                let digits = !prefix.is_empty() && prefix.bytes().all(|digit| digit.is_ascii_digit());
                let prefix = prefix.parse().ok().filter(|_| digits);
                Self::new(address, prefix.ok_or_else(|| fault("its prefix length is not a number"))?)
            }
        }
    }
}

impl fmt::Display for IpNet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for IpNet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
