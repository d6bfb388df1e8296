//! Linux network namespaces, veth pairs, bridges, addresses and routes, by netlink messages written by hand over raw
//! sockets. No async, no global state, and no dependency but `libc` and `bytemuck`.
//!
//! Two namespaces on a bridge, and a ping from one to the other:
//!
//! ```
//! use netns_core::address::{self, Address};
//! use netns_core::bridge::{self, Bridge};
//! use netns_core::ping::{Ping, ping};
//! use netns_core::veth::{self, Veth};
//! use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
//! use std::os::fd::AsFd;
//!
//! # if !netns_core::is_privileged() { return Ok(()); }
//! // The bridge is in an anonymous namespace as well, so that the machine's own network stays as it is.
//! let host = Namespace::anonymous()?;
//! let mut host_socket = RouteSocket::open_in(&host)?;
//! let bridge = Bridge { up: true, ..Bridge::new(IfName::new("br0")?, MacAddress::local(1)) };
//! bridge::create(&mut host_socket, &bridge)?;
//! let bridge = link::get(&mut host_socket, bridge.name)?.index;
//!
//! let mut namespaces = Vec::new();
//! for number in 1..=2 {
//!     let inside = Namespace::anonymous()?;
//!     let port = IfName::new(&format!("port{number}"))?;
//!     let eth0 = IfName::new("eth0")?;
//!     // One request: the pair, its port on the bridge and raised, its other end born inside.
//!     let veth =
//!         Veth { bridge: Some(bridge), up: true, peer_namespace: Some(inside.as_fd()), ..Veth::new(port, eth0) };
//!     veth::create(&mut host_socket, &veth)?;
//!
//!     let mut socket = RouteSocket::open_in(&inside)?;
//!     link::set_up(&mut socket, eth0)?;
//!     let index = link::get(&mut socket, eth0)?.index;
//!     address::add(&mut socket, &Address::new(index, format!("10.1.1.{number}/24").parse()?))?;
//!     // Asking for the port makes the kernel let it forward at once.
//!     link::get(&mut host_socket, port)?;
//!     namespaces.push(inside);
//! }
//!
//! let report = ping(&namespaces[0], &Ping::new("10.1.1.2".parse().unwrap()))?;
//! assert!(report.all_received());
//! // All of it goes when the handles are dropped.
//! # Ok::<(), netns_core::Error>(())
//! ```
//!
//! # Where to look
//!
//! | for | see | instead of |
//! | --- | --- | --- |
//! | namespaces | [`Namespace`], [`Watch`] | `ip netns`, `ip netns monitor` |
//! | links | [`link`], [`veth`], [`bridge`] | `ip link`, `bridge link` |
//! | TAPs and TUNs | [`tap`] | `ip tuntap` |
//! | addresses, routes, neighbours | [`address`], [`route`], [`neighbour`] | `ip addr`, `ip route`, `ip neigh`, `bridge fdb` |
//! | many sandboxes, fast | [`network`] | - |
//! | programs on ports | [`tc`] | `tc qdisc`, `tc filter` |
//! | packet filters | [`nftables`] | `nft` |
//! | the way out, published ports | [`nat`] | `nft`, `iptables` |
//! | no way around the program on a port | [`barrier`] | - |
//! | what happens | [`events`] | `ip monitor` |
//! | settings | [`sysctl`] | `sysctl` |
//! | what is ours, after a kill | [`record`] | - |
//! | connectivity | [`ping`] | `ping` |
//! | many requests in one system call | [`wire::Batch`] and the `encode_*` functions | `ip -batch` |
//!
//! # Privileges
//!
//! `CAP_SYS_ADMIN` to make and enter namespaces, `CAP_NET_ADMIN` to change them, `CAP_NET_RAW` to ping: root has them,
//! and so does the root of a user namespace over what it made. [`missing_capabilities`] shows.

#![cfg(target_os = "linux")]

pub mod announce;
pub mod barrier;
mod capability;
mod dump;
mod error;
mod mac;
mod name;
mod namespace;
pub mod nat;
mod net;
pub mod network;
pub mod nftables;
pub mod ping;
pub mod record;
mod rtnetlink;
mod signals;
mod sys;
pub mod sysctl;
pub mod tap;
pub mod wire;

pub use capability::{
    has_capability, is_in_initial_user_namespace, is_network_foreign, is_privileged, missing_capabilities,
};
pub use error::{Cause, Error, ErrorKind, Operation, Result, SystemCall};
pub use mac::MacAddress;
pub use name::IfName;
pub use namespace::{Folder, NameEvent, Namespace, NamespaceId, Watch, become_root_of_user_namespace};
pub use net::IpNet;
pub use rtnetlink::socket::RouteSocket;
pub use rtnetlink::{address, bridge, events, link, neighbour, nsid, option, route, tc, veth};
pub use signals::without_signals;

/// The example there is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
