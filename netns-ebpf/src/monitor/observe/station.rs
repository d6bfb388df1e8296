//! Which addresses are behind a port, as far as its bridge and its host have learnt.

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

/// The addresses behind a port of a bridge, as far as the bridge and its host have learnt them.
///
/// # Errors
/// If the kernel does not tell.
pub fn stations(socket: &mut RouteSocket, bridge: u32, port: u32) -> Result<Vec<Station>, Error> {
    Ok(Stations::look(socket, bridge)?.of(port))
}

/// What a bridge and its host have learnt at one time.
pub(super) struct Stations {
    bridge: u32,
    /// Whether the bridge tells VLANs apart, and so which of them a port may use.
    pub(super) filters_vlans: bool,
    entries: Vec<neighbour::FdbEntry>,
    neighbours: Vec<neighbour::Neighbour>,
}

impl Stations {
    pub(super) fn look(socket: &mut RouteSocket, bridge: u32) -> Result<Self, Error> {
        let neighbours = neighbour::list(socket)?;
        let options = link::get(socket, bridge)?.bridge().unwrap_or_default();
        let filters_vlans = options.vlan_filtering == Some(true);
        Ok(Self { bridge, filters_vlans, entries: neighbour::list_fdb(socket, bridge)?, neighbours })
    }

    /// Of one port.
    pub(super) fn of(&self, port: u32) -> Vec<Station> {
        let mut stations: Vec<Station> = Vec::new();
        for entry in &self.entries {
            // An address is there once for every VLAN that it is in.
            let own = entry.state & libc::NUD_PERMANENT != 0;
            if entry.port != port || own || stations.iter().any(|station| station.mac == entry.mac) {
                continue;
            }
            let is_its =
                |known: &&neighbour::Neighbour| known.index == self.bridge && known.mac == Some(entry.mac);
            let addresses = self.neighbours.iter().filter(is_its).map(|known| known.address).collect();
            stations.push(Station { mac: entry.mac, addresses });
        }
        stations
    }
}
