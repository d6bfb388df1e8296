//! Integration tests on the real kernel: what the library does, checked with `ip`, `bridge`, `tc` and `ping`.
//!
//! Every test has a "host" of its own (`tests::in_host`), so they run beside each other and leave nothing.

mod address;
mod announce;
mod barrier;
mod bridge;
mod capability;
mod events;
mod folder;
mod golden;
mod harness;
mod kinds;
mod link;
mod list;
mod name;
mod namespace;
mod nat;
mod nat_blocks;
mod nat_forwarding;
mod nat_neighbours;
mod nat_published;
mod nat_redirect;
mod neighbour;
mod network;
mod network_clash;
mod network_failed;
mod network_lent;
mod network_limits;
mod network_ours;
mod network_pool;
mod network_process;
mod network_recorded;
mod network_settings;
mod network_slots;
mod nftables;
mod ping;
mod ping_answers;
mod port_options;
mod record;
mod refusal;
mod resolving;
mod route;
mod socket;
mod sysctl;
mod tap;
mod tc;
mod veth;
mod vlan;
mod waits;

use netns_core::{IfName, IpNet, MacAddress, RouteSocket, link as core_link};
use std::net::IpAddr;

fn name(name: &str) -> IfName {
    name.parse().unwrap()
}

fn net(net: &str) -> IpNet {
    net.parse().unwrap()
}

fn ip_address(address: &str) -> IpAddr {
    address.parse().unwrap()
}

fn mac_address(mac: &str) -> MacAddress {
    mac.parse().unwrap()
}

fn index(socket: &mut RouteSocket, link: &str) -> u32 {
    core_link::get(socket, name(link)).unwrap().index
}
