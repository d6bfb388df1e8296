//! How interfaces come by IPv6 link-local addresses.

/// How an interface comes by its IPv6 link-local address, `IN6_ADDR_GEN_MODE_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AddrGenMode {
    /// From the MAC address, when it is raised: the kernel's default. With the address come its duplicate address
    /// detection, multicast reports and router solicitations, which a bridge floods to every port.
    Eui64 = 0,
    /// Not at all: the interface has only the addresses that it is given, and says nothing unasked.
    None = 1,
    /// From a secret (`stable_secret`, RFC 7217), so that it reveals nothing of the MAC address.
    StablePrivacy = 2,
    /// As [`Self::StablePrivacy`], of a secret that the kernel makes up if there is none.
    Random = 3,
}

impl AddrGenMode {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        [Self::Eui64, Self::None, Self::StablePrivacy, Self::Random]
            .into_iter()
            .find(|mode| *mode as u8 == number)
    }
}
