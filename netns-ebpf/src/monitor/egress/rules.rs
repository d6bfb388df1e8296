//! What an egress policy says, and the table that the kernel gets of it.

use std::net::IpAddr;

use crate::layout::{EGRESS_RANGES, EgressEntry, EgressRange};
use crate::packet::{EgressList, EgressPacket, EgressPrefix, EgressRule, Facts, Reason, Verdict};

/// Ranges that a network can have, its own and those of wider networks that come after them. One more place is for what is
/// allowed for a while.
const MOST: usize = EGRESS_RANGES - 1;

/// Where ports may send to: rules, lists of what is refused, and what holds for everything else.
///
/// Of all rules and lists whose network has the destination, those of the smallest network come first, the rules before the
/// lists, and of one network in the order in which they were given. The first that says something of the packet decides.
///
/// ```
/// use netns_ebpf::EgressRules;
/// use netns_ebpf::packet::EgressList;
///
/// // The internet but for mail, and of the private networks one server's web port.
/// let rules = EgressRules::new()
///     .with("deny any tcp/25".parse()?)
///     .with("allow 10.0.0.5 tcp/443".parse()?);
/// // Nothing but that server.
/// let only = EgressRules::new().refusing_others().with("allow 10.0.0.5 tcp/443".parse()?);
/// // Everything but clouds' metadata.
/// let most = EgressList::ALL.into_iter().filter(|list| *list != EgressList::Metadata);
/// let open = most.fold(EgressRules::new(), EgressRules::without);
/// # let _ = (rules, only, open);
/// # Ok::<(), netns_ebpf::packet::NoEgressRule>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRules {
    rules: Vec<EgressRule>,
    lists: [bool; EgressList::ALL.len()],
    refuses_others: bool,
}

impl Default for EgressRules {
    fn default() -> Self {
        Self::new()
    }
}

impl EgressRules {
    /// Everything is allowed but what is in a list ([`EgressList`]).
    #[must_use]
    pub const fn new() -> Self {
        Self { rules: Vec::new(), lists: [true; EgressList::ALL.len()], refuses_others: false }
    }

    /// What no rule allows is refused.
    #[must_use]
    pub const fn refusing_others(mut self) -> Self {
        self.refuses_others = true;
        self
    }

    /// With one more rule, after those before.
    #[must_use]
    pub fn with(mut self, rule: EgressRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// With more rules, after those before.
    #[must_use]
    pub fn with_all(mut self, rules: impl IntoIterator<Item = EgressRule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Without a list.
    #[must_use]
    pub const fn without(mut self, list: EgressList) -> Self {
        self.lists[list as usize] = false;
        self
    }

    /// The lists that are refused.
    pub fn lists(&self) -> impl Iterator<Item = EgressList> {
        EgressList::ALL.into_iter().filter(|list| self.lists[*list as usize])
    }

    /// The rules, in their order.
    #[must_use]
    pub fn rules(&self) -> &[EgressRule] {
        &self.rules
    }

    pub(super) const fn refuses_tunnels(&self) -> bool {
        self.lists[EgressList::Tunnels as usize]
    }

    pub(super) fn lists_contain(&self, address: IpAddr) -> bool {
        are_listed(&self.lists().collect::<Vec<_>>(), address)
    }

    /// The table that the kernel judges by.
    ///
    /// # Errors
    /// The network for which there are more ranges than there is room for: four, those of wider networks included, as far as
    /// a packet gets to them.
    pub fn compile(&self) -> Result<EgressTable, EgressPrefix> {
        let no_tunnels = self.refuses_tunnels();
        let range = |rule: &EgressRule| (rule.prefix(), rule.range(no_tunnels));
        let others = if self.refuses_others {
            EgressRule::deny(EgressPrefix::ANY)
        } else {
            EgressRule::allow(EgressPrefix::ANY)
        };
        let mut ranges: Vec<(EgressPrefix, EgressRange)> =
            Vec::with_capacity(self.rules.len() + EgressList::ALL.len() * 8);
        ranges.extend(self.rules.iter().map(range));
        ranges.extend(EgressList::link().iter().map(range));
        ranges.extend(self.lists().flat_map(EgressList::rules).map(range));
        ranges.push(range(&others));
        // Wider networks first, and of one network in their order.
        ranges.sort_by_key(|(prefix, _)| *prefix);
        let mut entries: Vec<(EgressPrefix, EgressEntry)> = Vec::with_capacity(ranges.len());
        // The networks that the present one is in, from the widest on: places in `entries`.
        let mut around: Vec<usize> = Vec::new();
        for of_prefix in ranges.chunk_by(|(one, _), (other, _)| one == other) {
            let Some(&(prefix, _)) = of_prefix.first() else { continue };
            while around.pop_if(|place| !entries[*place].0.contains(&prefix)).is_some() {}
            let mut list = Ranges::default();
            let wider = around.last().map(|place| entries[*place].1.ranges);
            let own = of_prefix.iter().map(|(_, range)| *range);
            for range in own.chain(wider.into_iter().flatten()) {
                list.push(range).ok_or(prefix)?;
            }
            // A network of which the same is said as of the wider one needs no entry.
            if wider != Some(list.places) {
                around.push(entries.len());
                entries.push((prefix, EgressEntry { until: 0, ranges: list.places }));
            }
        }
        Ok(EgressTable { entries })
    }
}

/// Whether an address is in one of these lists.
pub(super) fn are_listed(lists: &[EgressList], address: IpAddr) -> bool {
    let address = EgressPrefix::of(address).judged();
    lists.iter().flat_map(|list| list.rules()).any(|rule| rule.prefix().contains(&address))
}

/// Ranges, one after the other until one has the last word.
#[derive(Default)]
struct Ranges {
    places: [EgressRange; EGRESS_RANGES],
    count: usize,
    is_complete: bool,
}

impl Ranges {
    /// Adds one, unless no packet gets to it; `None` if there is no room.
    fn push(&mut self, range: EgressRange) -> Option<()> {
        if self.is_complete || !range.has(EgressRange::USED) {
            return Some(());
        }
        // What everything after it says as well need not be said. (Of ICMP messages of neighbour discovery it is rarely so.)
        *self.places[..MOST].get_mut(self.count)? = range;
        self.count += 1;
        self.is_complete = range.is_last();
        Some(())
    }
}

/// An egress policy as the kernel has it: networks, each with what is allowed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressTable {
    /// In the networks' order, wider ones before those in them.
    entries: Vec<(EgressPrefix, EgressEntry)>,
}

impl EgressTable {
    /// The table of these networks, as it was before anything was allowed for a while.
    pub(super) fn lasting(entries: impl IntoIterator<Item = (EgressPrefix, EgressEntry)>) -> Self {
        let mut sorted: Vec<_> = entries.into_iter().collect();
        sorted.sort_by_key(|(prefix, _)| *prefix);
        let mut table = Self { entries: Vec::with_capacity(sorted.len()) };
        for (prefix, entry) in sorted {
            let mut ranges = [EgressRange::NONE; EGRESS_RANGES];
            let lasting = entry.ranges.into_iter().filter(|range| !range.has(EgressRange::TEMPORARY));
            ranges.iter_mut().zip(lasting).for_each(|(place, range)| *place = range);
            if table.of(prefix).is_none_or(|wider| wider.ranges != ranges) {
                table.entries.push((prefix, EgressEntry { until: 0, ranges }));
            }
        }
        table
    }

    /// The networks, in order. Those of which the same is said as of a wider one are not among them.
    #[must_use]
    pub fn entries(&self) -> &[(EgressPrefix, EgressEntry)] {
        &self.entries
    }

    /// The entry of the smallest network that has a destination.
    fn of(&self, destination: EgressPrefix) -> Option<&EgressEntry> {
        let wider = (0..=128).rev().map(|bits| destination.shortened(bits));
        wider.into_iter().find_map(|network| {
            let place = self.entries.binary_search_by_key(&network, |(prefix, _)| *prefix).ok()?;
            Some(&self.entries[place].1)
        })
    }

    /// Judges a frame as the kernel's program does, of whom nobody began anything with its sender.
    ///
    /// # Errors
    /// [`Reason::Egress`].
    pub fn judge(&self, frame: &[u8], facts: Facts) -> Verdict {
        let Some(packet) = EgressPacket::read(frame, facts) else { return Ok(()) };
        let destination = EgressPrefix::from_words(packet.destination);
        let entry = self.of(destination).filter(|_| !packet.is_misleading);
        let is_allowed = entry.is_some_and(|entry| entry.allows(packet.protocol, packet.port(), || 0));
        if is_allowed { Ok(()) } else { Err(Reason::Egress) }
    }
}

#[cfg(test)]
mod tests;
