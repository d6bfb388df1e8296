//! Ranges from which containers get addresses.

use crate::failure::{CniFailure, FailureCode, Outcome};
use crate::keys::ConfigKeys;
use netns_core::IpNet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of one subnet, including the first and the last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AddressRange {
    pub(super) subnet: IpNet,
    first: u128,
    last: u128,
    pub(super) gateway: IpAddr,
}

/// Ranges of one family; a container gets one address from each set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RangeSet(Vec<AddressRange>);

impl AddressRange {
    /// Reads `subnet`, `rangeStart`, `rangeEnd`, `gateway`; `None` if there is no subnet.
    pub(super) fn read(keys: &ConfigKeys<'_>) -> Outcome<Option<Self>> {
        let Some(subnet) = keys.parse::<IpNet>("subnet")? else { return Ok(None) };
        let refused = |key: &str, why: String| {
            Err(CniFailure::new(FailureCode::InvalidConfig, format!("{}: {why}", keys.path(key))))
        };
        if keys.text("subnet")?.is_some_and(|text| !text.contains('/')) {
            return refused("subnet", format!("{} has no prefix", subnet.address()));
        }
        let bits = if subnet.address().is_ipv4() { 32 } else { 128 };
        if subnet.prefix() > bits - 2 {
            return refused("subnet", format!("the network {subnet} is too small to allocate from"));
        }
        if subnet.network() != subnet {
            return refused("subnet", format!("{subnet} is not the network, which is {}", subnet.network()));
        }
        let lowest = number(subnet.address()) + 1;
        let highest = number(subnet.last()) - u128::from(subnet.address().is_ipv4());
        let mut ends = [lowest, highest];
        for (end, key) in ends.iter_mut().zip(["rangeStart", "rangeEnd"]) {
            if let Some(address) = keys.parse::<IpAddr>(key)? {
                if !subnet.contains(address) {
                    return refused(key, format!("{address} is not in {subnet}"));
                }
                *end = number(address);
            }
        }
        let [first, last] = ends;
        if first > last {
            return refused("rangeEnd", "it is before rangeStart".to_owned());
        }
        let gateway = keys.parse("gateway")?.unwrap_or_else(|| address(subnet, lowest));
        Ok(Some(Self { subnet, first, last, gateway }))
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.subnet.contains(address) && (self.first..=self.last).contains(&number(address))
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.subnet.address().is_ipv4() == other.subnet.address().is_ipv4()
            && self.first <= other.last
            && other.first <= self.last
    }
}

impl RangeSet {
    /// Ranges as one set.
    ///
    /// # Errors
    /// If there are none, of several families, or overlapping ones.
    pub(super) fn new(path: &str, ranges: Vec<AddressRange>) -> Outcome<Self> {
        let refused = |why: &str| Err(CniFailure::new(FailureCode::InvalidConfig, format!("{path}: {why}")));
        let Some(first) = ranges.first() else { return refused("an empty set of ranges") };
        let is_ipv4 = first.subnet.address().is_ipv4();
        if ranges.iter().any(|range| range.subnet.address().is_ipv4() != is_ipv4) {
            return refused("IPv4 and IPv6 in one set of ranges");
        }
        for (number, range) in ranges.iter().enumerate() {
            if ranges[..number].iter().any(|other| other.overlaps(range)) {
                return refused("its ranges overlap");
            }
        }
        Ok(Self(ranges))
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.0.iter().any(|range| other.0.iter().any(|theirs| theirs.overlaps(range)))
    }

    /// The range that contains an address.
    pub(super) fn range_of(&self, address: IpAddr) -> Option<&AddressRange> {
        self.0.iter().find(|range| range.contains(address))
    }

    /// How many addresses can be assigned.
    pub(super) fn size(&self) -> u128 {
        let of = |range: &AddressRange| {
            (range.last - range.first).saturating_add(u128::from(!range.contains(range.gateway)))
        };
        self.0.iter().map(of).fold(0, u128::saturating_add)
    }

    /// All addresses, each with its range, from the one after `last` and wrapping around, without gateways: so a returned
    /// address is not reused while there are others.
    pub(super) fn candidates(&self, last: Option<IpAddr>) -> impl Iterator<Item = (IpAddr, &AddressRange)> {
        let start = last.and_then(|last| {
            let position = self.0.iter().position(|range| range.contains(last))?;
            Some((position, number(last)))
        });
        let (position, last) = start.map_or((0, None), |(position, last)| (position, Some(last)));
        let range = &self.0[position];
        // There may be no number after the last one, as there is none before the first.
        let next = last.map_or(Some(range.first), |last| last.checked_add(1));
        let after =
            next.into_iter().flat_map(move |next| (next..=range.last).map(move |number| (number, range)));
        let others = (1..self.0.len()).flat_map(move |step| {
            let range = &self.0[(position + step) % self.0.len()];
            (range.first..=range.last).map(move |number| (number, range))
        });
        let before =
            last.into_iter().flat_map(move |last| (range.first..=last).map(move |number| (number, range)));
        after
            .chain(others)
            .chain(before)
            .map(|(number, range)| (address(range.subnet, number), range))
            .filter(|(address, range)| *address != range.gateway)
    }
}

impl fmt::Display for RangeSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, range) in self.0.iter().enumerate() {
            let comma = if position == 0 { "" } else { "," };
            let ends = [range.first, range.last].map(|number| address(range.subnet, number));
            write!(formatter, "{comma}{}-{}", ends[0], ends[1])?;
        }
        Ok(())
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => address.into(),
    }
}

/// The address with this number, of the family of `like`.
fn address(like: IpNet, number: u128) -> IpAddr {
    match like.address() {
        // Numbers come from addresses of this family.
        IpAddr::V4(_) => Ipv4Addr::from(number as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

#[cfg(test)]
mod tests;
