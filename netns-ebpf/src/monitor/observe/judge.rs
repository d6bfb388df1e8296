//! What ports of somebody else's bridge may send: as somebody says it, or as the bridge and its host have learnt it.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::reading::PortIdentity;
use super::super::{Limits, Mode, Monitor, Policy};
use super::{PortChange, Station};
use crate::packet::{NETS, Permissions, Rules};
use netns_core::MacAddress;

/// How often what was learnt is looked at.
const PAUSE: Duration = Duration::from_secs(1);
/// How much longer than a look the pause after it is, at least: a port that sends from a million addresses makes looking
/// slow, and there is something else to do.
const REST: u32 = 20;

/// Tells what a port may send, if it is to be judged.
pub type PolicyOf<'m> = Box<dyn Fn(&PortIdentity) -> Option<Policy> + 'm>;

/// Which ports of a bridge an [`Observer`](super::Observer) judges, and by what.
#[derive(Default)]
pub enum Judging<'m> {
    /// None: they are counted.
    #[default]
    Nothing,
    /// Those of which the bridge and its host have learnt who they are, which takes a MAC address in the bridge's
    /// forwarding database and an IP address of it in the host's table of neighbours. They are observed, never enforced.
    ///
    /// An honest port that has just come is not judged before that, and then by what is known of it alone: of a family
    /// of which no address is learnt, or more than a port can have, every address will do. The MAC address is the first
    /// that is learnt, and stays; an address belongs to the first port that it is learnt of. An address that an honest
    /// port has and never used towards the host counts as foreign until the host has learnt it. VLAN tags count as wrong
    /// unless the bridge filters VLANs, and so judges them itself.
    Learnt,
    /// Those that this function has a policy for: asked when a port comes, before its first frame is seen, and again
    /// when it gets another name, or another namespace is behind it than before, or it is found out which. Who is behind a
    /// port is found out before it is asked, unless the namespace has neither a name nor a process yet: a policy for that
    /// namespace holds from when it has one.
    ///
    /// A port that it has no policy for is counted and not judged, and [`PortChange::Unjudged`](super::PortChange) reports
    /// it. If frames of that port were dropped before, it is closed instead ([`Policy::closed`]): who is behind a port, a
    /// sandbox can change by moving its interface, and that must not set it free. To close ports from the beginning, give
    /// them that policy.
    Given(PolicyOf<'m>),
}

impl fmt::Debug for Judging<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Learnt => "Learnt",
            Self::Given(_) => "Given(..)",
        })
    }
}

impl Judging<'_> {
    /// The policy of a port that somebody gave it.
    pub(super) fn given(&self, port: &PortIdentity) -> Option<Policy> {
        match self {
            Self::Given(policy) => policy(port),
            Self::Nothing | Self::Learnt => None,
        }
    }

    /// Whether it matters for judging who is behind a port.
    pub(super) const fn asks_who(&self) -> bool {
        matches!(self, Self::Given(_))
    }

    /// Judges a port that is known better than before by this policy, which is given for it now; what became of it, if that
    /// is worth a word.
    pub(super) fn apply(
        &self,
        monitor: &Monitor,
        policy: Option<&Policy>,
        port: &Arc<PortIdentity>,
    ) -> Option<PortChange> {
        let Self::Given(_) = self else { return None };
        let before = monitor.policy(port.slot);
        let was_enforced = before.is_some_and(|policy| policy.mode == Mode::Enforce);
        // Anyone inside can have a port lose its policy, by moving the interface. Nobody gets rid of limits by that.
        let limits = before.map_or(Limits::NONE, |policy| policy.limits);
        let closed = Policy { limits, ..Policy::closed() };
        let policy = policy.copied().or(was_enforced.then_some(closed));
        if before == policy {
            return None;
        }
        let outcome = match &policy {
            Some(policy) => monitor.set_policy(port.slot, policy),
            None if limits.is_none() => monitor.clear_policy(port.slot),
            None => monitor.clear_policy(port.slot).and_then(|()| monitor.set_limits(port.slot, &limits)),
        };
        if let Err(error) = outcome {
            log::warn!("{} is judged as before: {error}", port.name);
        }
        self.remark(policy.as_ref(), port)
    }

    /// What is to be said of a port that has this policy now.
    pub(super) fn remark(&self, policy: Option<&Policy>, port: &Arc<PortIdentity>) -> Option<PortChange> {
        match (self, policy) {
            (Self::Given(_), None) => Some(PortChange::Unjudged(Arc::clone(port))),
            (_, Some(policy)) if policy.rules.is_closed() => Some(PortChange::Closed(Arc::clone(port))),
            _ => None,
        }
    }
}

/// What was learnt of a port.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    mac: Option<MacAddress>,
    addresses: Vec<IpAddr>,
    tags: bool,
}

impl Learnt {
    /// Adds what the bridge and the host know of it now, without what is another port's; the policy, if it is another
    /// than before and enough is known for one.
    /// `tags` is whether VLAN tags are the bridge's to judge, which it does if it distinguishes VLANs.
    pub(super) fn learn(
        &mut self,
        stations: &[Station],
        tags: bool,
        taken: &mut HashSet<IpAddr>,
    ) -> Option<Policy> {
        let mac = *self.mac.get_or_insert(stations.first()?.mac);
        let known =
            stations.iter().filter(|station| station.mac == mac).flat_map(|station| &station.addresses);
        let before = self.addresses.len();
        for &address in known {
            if !self.addresses.contains(&address) && taken.insert(address) {
                self.addresses.push(address);
            }
        }
        let other_tags = std::mem::replace(&mut self.tags, tags) != tags && before > 0;
        let is_new = self.addresses.len() > before || other_tags;
        is_new.then(|| Policy::new(rules(mac, &self.addresses, tags)))
    }

    /// The addresses that are its.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.addresses
    }
}

/// Rules of what is known. A link-local address that is not made of the MAC address is one like others.
fn rules(mac: MacAddress, addresses: &[IpAddr], tags: bool) -> Rules {
    let own = Rules::new(mac.0).permitting(Permissions::DHCP_CLIENT);
    let own = if tags { own.permitting(Permissions::VLAN) } else { own };
    let anything = |rules: Rules, is_v6: bool| {
        if is_v6 { rules.with_ipv6([0; 16].into(), 0) } else { rules.with_ipv4([0; 4].into(), 0) }
    };
    [false, true].into_iter().fold(own, |rules, is_v6| {
        let of: Vec<&IpAddr> = addresses.iter().filter(|address| address.is_ipv6() == is_v6).collect();
        // One place of IPv6 is for the link-local address.
        let room = NETS - usize::from(is_v6);
        let known = !of.is_empty() && of.len() <= room;
        let with = if known {
            of.into_iter().try_fold(rules, |rules, address| match *address {
                IpAddr::V4(address) => rules.with_ipv4(address, 32),
                IpAddr::V6(address) => rules.with_ipv6(address, 128),
            })
        } else {
            anything(rules, is_v6)
        };
        // There is room: it was counted.
        with.unwrap_or(rules)
    })
}

/// When to look at what was learnt.
#[derive(Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn new() -> Self {
        Self(Instant::now())
    }

    pub(super) fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.0;
        if due {
            self.0 = now + PAUSE;
        }
        due
    }

    /// A look took this long.
    pub(super) fn took(&mut self, time: Duration) {
        self.0 = self.0.max(Instant::now() + time * REST);
    }
}
