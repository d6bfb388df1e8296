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
#![doc = include_str!("../FILE.md")]
//!
//! # Whose is what
//!
//! Only what was made for the topology is changed or removed: it is on record in [`FOLDER`], by name and by an
//! identity that nothing else has. What somebody adds to a namespace by hand stays until the namespace goes. A
//! namespace, link or route that is there and not on record, and an address whose network overlaps one of the host's,
//! is an [`Error::Conflict`], and nothing is changed.
#![forbid(unsafe_code)]

mod apply;
mod barred;
mod converge;
pub mod draw;
mod egress;
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
pub use egress::PortEgress;
pub use error::{Error, Result};
pub use fault::Fault;
pub use file::{Policies, open_egress, parse};
pub use held::HeldLab;
pub use lab::{Done, Lab};
pub use observe::{JudgedPort, Observed, ObservedInside, ObservedWayOut};
pub use plan::{Change, plan};
pub use processes::CommandState;
pub use publish::PublishedPorts;
pub use record::{FOLDER, RUN_RECORD, RUN_RECORD_KIND, Record};
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
