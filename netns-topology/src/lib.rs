//! Topologies of network namespaces, described in a file: brought up, changed, compared, drawn and taken down.
//!
//! ```no_run
//! use netns_topology::Lab;
//!
//! // [namespace.ns1]
//! // interface.eth0 = { peer = "ns2/eth0", addresses = ["10.0.0.1/24"] }
//! //
//! // [namespace.ns2]
//! // interface.eth0 = { peer = "ns1/eth0", addresses = ["10.0.0.2/24"] }
//! let lab = Lab::new("cable.toml")?;
//! for change in lab.diff()? {
//!     println!("{change}"); // + namespace ns1
//! }
//! lab.up()?;
//! assert!(lab.diff()?.is_empty());
//! lab.down()?;
//! # Ok::<(), netns_topology::Error>(())
//! ```
//!
//! The way from a file to the kernel: [`parse`] reads and checks it; [`Observed`] is what is there; [`plan`] compares
//! the two with the [`Record`] of what was made before, and says what to change; [`Lab::up`] changes it, and repeats
//! that until there is nothing left to change. Going back after a failure and taking down are the same with another
//! aim: the topology that was up before, and the empty one.
//!
//! # Without a file
//!
//! [`HeldLab`] brings up a [`Topology`] that a program has made by itself, and takes it down: with a record of the program's,
//! or without one and without names, so that all goes with the program. `netns run` is built on it.
//!
//! # The file
//!
//! | table | keys |
//! | --- | --- |
//! | `[namespace.NAME]` | `interface`, `routes`, `sysctl`, `run` |
//! | `[host]` | `interface`, `routes`, `sysctl`: of the namespace that it is brought up from |
//! | `interface.NAME` | `bridge = "NAME"` or `peer = "NAMESPACE/INTERFACE"`; `addresses`, `mac`, `mtu`, `port`, `policy` |
//! | the same, of a link that has one end | `type = "dummy"`, `"macvlan"`, `"vlan"` or `"vxlan"`; `link = "INTERFACE"`, the one that it is on; `options`, by `ip`'s names (`{ id = 10 }`); `addresses`, `mac`, `mtu` |
//! | `port`, the end of a cable that is on a bridge | `name`, and options by `ip`'s names: `isolated`, `hairpin`, `learning`, `cost` and all of [`PortOptions`](netns_core::bridge::PortOptions) but `backup_port` |
//! | `policy`, of an interface on a bridge | `"observe"`, `"enforce"`, or a table: `mode`, `group`, `networks`, `permit`, `ether_types`, `ipv6`, `host`, `forward` |
//! | `apart`, at the top | pairs of groups, one of which may be `"host"`: `[["red", "blue"], ["red", "host"]]` |
//! | `[bridge.NAME]` | `namespace` (default: the host), `addresses`, `mac`, `mtu`, `stp`, `ageing` (seconds), `multicast_snooping`; `options`, by `ip`'s names: all of [`BridgeOptions`](netns_core::bridge::BridgeOptions) |
//! | the same, of a bridge on the host | `masquerade = true`, `publish` (`["8080:ns1:80"]`), `publish_on_loopback`, `open_forward_chains`, `connection_limit` |
//! | an entry of `routes` | `to` (`"default"` or a network), `via`, `dev`, `metric`; `onlink = true` where the router is on `dev` and in none of its networks |
//! | `sysctl` | settings with their values: `"net.ipv4.ip_forward" = 1` |
//! | `run` | commands for `/bin/sh -c`, started once everything is there, and ended by `down` with all they started; one that ends with an error at once, in some tenth of a second, is an error of `up` |
//!
//! `host` stands for the host in `peer` too. Links are up; a link without `mtu` has 1500, a bridge without has the
//! smallest of its ports. IPv6 addresses are used at once, without duplicate address detection; a link has a link-local
//! address if it is given another IPv6 address.
//!
//! # What an interface may send
//!
//! An interface with a `policy` may send from its own MAC address, from its `addresses`, its IPv6 link-local address and
//! the `networks` of the policy, what no honest stack would not send ([`netns_ebpf::packet`]). Other frames are counted
//! (`"observe"`, the default of a table) or counted and dropped (`"enforce"`) at its port, from its first frame on.
//! An enforced port has a barrier too, which drops what root inside sends past the program by an `ifb` device
//! ([`netns_core::barrier`]); a kernel without `CONFIG_NF_TABLES_BRIDGE` has none:
//! [`Mode::Enforce`](netns_ebpf::Mode::Enforce) says what that means.
//!
//! `ether_types` are numbers; `permit` lists what else it may send:
//!
//! | permission | what it is for |
//! | --- | --- |
//! | `"vlan"` | frames with one or two VLAN tags |
//! | `"router"` | router advertisements and redirects of ICMP and ICMPv6, and errors about packets that it does not forward |
//! | `"icmp-errors"` | of these the errors alone |
//! | `"multicast-router"` | queries of IGMP and MLD, multicast router discovery, PIM |
//! | `"dhcp-client"` | a DHCP client's messages from 0.0.0.0 |
//! | `"dhcp-server"` | a DHCP and DHCPv6 server's messages, and a relay's to clients |
//! | `"dhcp-relay"` | DHCP and DHCPv6 messages on behalf of other clients |
//!
//! The link-local address is the one that is made of the MAC address. Where stacks choose another one (`addrgenmode`
//! `stable_secret` or `random`, NetworkManager's `stable-privacy`), it belongs among the `addresses` or `networks`; all of
//! `fe80::/64` there lets an interface pretend to be any host of its link. `ipv6 = false` lets it send no IPv6 at all.
//!
//! # What it may send to the host
//!
//! `host` says what an interface may send to the host that its bridge is on, to whichever of the host's addresses:
//!
//! | `host` | what the host gets |
//! | --- | --- |
//! | `"everything"`, the default | what the interface may send at all |
//! | `["tcp/22", "udp/53", "icmp"]` | what goes to these services (at most 8; `"tcp"` and `"udp"` alone are all of them), what belongs to connections that sockets of the host have, ICMP answers, and what `"neighbours"` get |
//! | `"neighbours"` | ARP, neighbour discovery, and messages of DHCP clients |
//! | `"nothing"` | nothing, not even the question who has its address |
//!
//! `forward = false` keeps the host from passing on what the interface sends, to another network or bridge; `true` is the
//! default, unless `host` is `"nothing"`. The two are judged where the host receives, by the `mode` of the policy, and
//! counted as `host` and `forward`; what passes between ports of the bridge is not concerned. A broadcast or multicast of
//! which the host may have no copy reaches the others, and is no violation. What goes to one of the host's addresses and is
//! redirected from there (DNAT, a published port) is judged as going to the host. Answers to UDP sockets of the host that
//! are not connected to the sender are not known as such; they take a service.
//!
//! # The way out, and the way in
//!
//! With `masquerade = true`, what the namespaces on a bridge send elsewhere goes out under the host's addresses; they need
//! a default route (`routes`) to the bridge's address. `publish` lets others in: `"8080:ns1:80"` is port 80 of `ns1` at port
//! 8080 of all addresses of the host, in each family that `ns1` has an address of on the bridge;
//! `"192.0.2.1:8000-8010:ns1:8000/udp"` is a range of UDP, at one address. It is one table of nftables for each bridge,
//! and the host forwards for its links only: see [`netns_core::nat`]. `publish_on_loopback = true` publishes at 127.0.0.1,
//! too; `connection_limit` says how many connections each namespace may have; `open_forward_chains = true` puts rules into
//! chains of others that drop what the host forwards (Docker's), of which there is a warning otherwise. A namespace reaches
//! a port that is published for itself only if its `port` has `hairpin = true`, where `br_netfilter` is loaded.
//!
//! # Groups
//!
//! `group` is a name, or a number below 64; a port whose policy has none is in group 0. Groups that are listed in `apart`
//! do not send to each other, neither way, and a group that is listed with itself not to its own: what a port sends to
//! another is judged by its own `mode`, and passes if the receiver has no policy. It is a rule of the link layer, between
//! ports of one namespace: a router between two groups, or a host that forwards, carries what they may not send. A group
//! that is apart from `"host"` has `host = "nothing"`; what the host itself sends is not judged.
//!
//! The kernel holds the program and its maps for as long as the ports' filters are there: nothing is pinned, no process
//! has to run, and [`Lab::violations`] reads them by the program's id, which is on record.
//!
//! # Whose is what
//!
//! Only what was made for the topology is changed or removed: it is on record in [`FOLDER`], by name and by an
//! identity that nothing else has. What somebody adds to a namespace by hand stays until the namespace goes. A
//! namespace, link or route that is there and not on record, and an address whose network overlaps one of the host's,
//! is an [`Error::Conflict`], and nothing is changed.
#![forbid(unsafe_code)]

mod apply;
mod converge;
pub mod draw;
mod error;
mod fault;
mod file;
mod forwarding;
mod group;
mod held;
mod lab;
mod observe;
mod options;
mod plan;
mod policy;
mod processes;
mod publish;
mod record;
mod scope;
mod topology;
mod way_out;

pub use apply::Progress;
pub use error::{Error, Result};
pub use fault::Fault;
pub use file::{Policies, parse};
pub use held::HeldLab;
pub use lab::{Done, Lab};
pub use observe::{JudgedPort, Observed, ObservedInside, ObservedWayOut};
pub use plan::{Change, plan};
pub use processes::CommandState;
pub use publish::PublishedPorts;
pub use record::{FOLDER, Record};
pub use topology::{
    AddressSpec, BridgeSpec, Cable, CableEnd, DEFAULT_AGEING, DEFAULT_MTU, Group, LinkName, Place,
    PortPolicy, PortSpec, RouteSpec, ShellCommand, Sysctl, Topology, WayOutSpec,
};

/// A text with its words divided by one space, as settings of several numbers are compared.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The example there is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
