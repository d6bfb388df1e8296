//! MAC addresses.

use crate::error::Operation;
use crate::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// An Ethernet address.
///
/// ```
/// use netns_core::MacAddress;
///
/// let mac: MacAddress = "02:00:00:00:00:2a".parse()?;
/// assert_eq!(mac, MacAddress::local(42));
/// assert!(!mac.is_multicast());
/// # Ok::<(), netns_core::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// A locally administered unicast address with `number` in its lower five bytes; what is above 40 bits is lost.
    #[must_use]
    pub const fn local(number: u64) -> Self {
        let bytes = number.to_be_bytes();
        Self([0x02, bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
    }

    /// Whether it is a group address: a source address never is.
    #[must_use]
    pub const fn is_multicast(&self) -> bool {
        self.0[0] & 1 != 0
    }
}

impl FromStr for MacAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let fault = || {
            Error::invalid(
                Operation::ReadMacAddress,
                format!("{text:?}"),
                "it is not six bytes in hex with ':'",
            )
        };
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(fault)?;
            if !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(fault());
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| fault())?;
        }
        if parts.next().is_some() { Err(fault()) } else { Ok(Self(bytes)) }
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ":" };
            write!(formatter, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests;
