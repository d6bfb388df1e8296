//! Telling neighbours where addresses are.

use super::Executor;
use crate::error::Result;
use crate::observe::Observed;
use crate::plan::{Change, link_local};
use crate::record::Record;
use crate::topology::{LinkName, Place};
use netns_core::announce::{Announcement, announce};
use netns_core::link::{self, OperationalState};
use netns_core::{ErrorKind, sysctl};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

/// How long a new link may take to carry packets.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(2);

impl Executor<'_, '_> {
    /// Announces the addresses that were added, if there was anybody before who may have learnt of others: a part of the
    /// topology that stayed, or what somebody has put on its bridges.
    pub(super) fn announce(&mut self, changes: &[Change], observed: &Observed) -> Result<()> {
        if !has_neighbours(self.record, observed) {
            return Ok(());
        }
        let mut addresses: BTreeMap<&LinkName, Vec<Option<IpAddr>>> = BTreeMap::new();
        for change in changes {
            match change {
                Change::AddAddress(added) => {
                    addresses.entry(&added.link).or_default().push(Some(added.net.address()));
                }
                // Neighbours have learnt the one that somebody gave it.
                Change::SetMac { link, .. } => {
                    let now = observed.link(link).map(|now| now.index);
                    let known = observed.inside(&link.place).into_iter().flat_map(|inside| &inside.addresses);
                    let its = known.filter(|address| Some(address.index) == now);
                    addresses.entry(link).or_default().extend(its.map(|address| Some(address.net.address())));
                }
                Change::AddLinkLocal(link) => addresses.entry(link).or_default().push(None),
                _ => {}
            }
        }
        let until = Instant::now() + PATIENCE;
        let mut places: BTreeMap<&Place, Vec<Announcement>> = BTreeMap::new();
        for (link, addresses) in addresses {
            let Some(announcements) = self.announcements(link, &addresses, until)? else { continue };
            places.entry(&link.place).or_default().extend(announcements);
        }
        for (place, announcements) in places {
            match announce(self.entry(place)?.0, &announcements) {
                // It takes CAP_NET_RAW, which nothing else here does. Without it, and of a link that somebody has just
                // put down, the neighbours find out in time.
                Err(error)
                    if error.kind() == ErrorKind::Permission || error.errno() == Some(NETWORK_IS_DOWN) => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// Those of a link, once it carries packets; `None` if it does not, or is gone.
    fn announcements(
        &mut self,
        link: &LinkName,
        addresses: &[Option<IpAddr>],
        until: Instant,
    ) -> Result<Option<Vec<Announcement>>> {
        let now = loop {
            let now = match link::get(self.socket(&link.place)?, link.name) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                other => other?,
            };
            // A bridge without ports carries none, and has nobody to announce to. Before Linux 6.8 the kernel gets to a
            // new link in its own time.
            if now.state == OperationalState::Up || !now.is_pair() || !now.is_up() || Instant::now() >= until
            {
                break now;
            }
            thread::sleep(TICK);
        };
        if !now.is_up() {
            return Ok(None);
        }
        let mac = now.mac.unwrap_or_default();
        let with_ipv6 = addresses.iter().any(|address| address.is_none_or(|address| address.is_ipv6()));
        // As the kernel says it of itself in `ndisc_send_unsol_na`.
        let key = format!("net/ipv6/conf/{}/forwarding", link.name);
        let namespace = self.entry(&link.place)?.0;
        let router = with_ipv6 && sysctl::get(namespace, &key).is_ok_and(|value| value.trim() != "0");
        let announcement = |address: &Option<IpAddr>| {
            let address = address.unwrap_or_else(|| link_local(mac).into());
            Announcement { index: now.index, mac, address, router }
        };
        Ok(Some(addresses.iter().map(announcement).collect()))
    }
}

/// `ENETDOWN`.
const NETWORK_IS_DOWN: i32 = rustix::io::Errno::NETDOWN.raw_os_error();

/// Whether there were links of the topology before.
fn has_neighbours(record: &Record, observed: &Observed) -> bool {
    record.every_link().any(|link| observed.ours(link).is_some())
}
