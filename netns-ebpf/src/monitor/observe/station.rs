//! Which addresses are behind a port, as far as its bridge and its host have learnt.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use netns_core::{Error, MacAddress, RouteSocket, link, neighbour};

/// An address behind a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Station {
    /// Its MAC address, from the bridge's forwarding database.
    pub mac: MacAddress,
    /// The IP addresses that the host knows it by, from its table of neighbours.
    pub addresses: Vec<IpAddr>,
}

/// The addresses behind a port of a bridge, as far as the bridge and its host have learnt them; of one that sends from
/// thousands, the 1,024 that the kernel lists first.
///
/// # Errors
/// If the kernel does not say.
pub fn stations(socket: &mut RouteSocket, bridge: u32, port: u32) -> Result<Vec<Station>, Error> {
    Ok(Stations::look(socket, bridge)?.ports.remove(&port).unwrap_or_default())
}

/// Of so many stations of a port something is known. A sandbox can send from as many MAC addresses as it likes, and the
/// bridge learns each.
const MOST_STATIONS: usize = 1024;

/// What a bridge and its host have learnt at one time.
pub(super) struct Stations {
    /// Whether the bridge distinguishes VLANs, and so which of them a port may use.
    pub(super) filters_vlans: bool,
    /// By port, in the order in which the kernel lists them.
    ports: HashMap<u32, Vec<Station>>,
}

impl Stations {
    pub(super) fn look(socket: &mut RouteSocket, bridge: u32) -> Result<Self, Error> {
        let neighbours = neighbour::list(socket)?;
        let options = link::get(socket, bridge)?.bridge().unwrap_or_default();
        let filters_vlans = options.vlan_filtering == Some(true);
        let mut addresses: HashMap<MacAddress, Vec<IpAddr>> = HashMap::new();
        for known in neighbours.into_iter().filter(|known| known.index == bridge) {
            if let Some(mac) = known.mac {
                addresses.entry(mac).or_default().push(known.address);
            }
        }
        let mut ports: HashMap<u32, Vec<Station>> = HashMap::new();
        let mut seen = HashSet::new();
        for entry in neighbour::list_fdb(socket, bridge)? {
            let stations = ports.entry(entry.port).or_default();
            // An address is there once for every VLAN that it is in.
            let own = entry.state & libc::NUD_PERMANENT != 0;
            if own || stations.len() >= MOST_STATIONS || !seen.insert((entry.port, entry.mac)) {
                continue;
            }
            let addresses = addresses.get(&entry.mac).cloned().unwrap_or_default();
            stations.push(Station { mac: entry.mac, addresses });
        }
        Ok(Self { filters_vlans, ports })
    }

    /// Of one port.
    pub(super) fn of(&self, port: u32) -> &[Station] {
        self.ports.get(&port).map_or(&[], Vec::as_slice)
    }
}
