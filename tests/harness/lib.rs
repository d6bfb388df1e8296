//! The harness of the integration tests: a private "host" for every test, the kernel's state as Debian's tools show
//! it, and loud skips where something is missing.
//!
//! ```no_run
//! use netns_core::Namespace;
//! use tests::{in_host, ip};
//!
//! in_host(|host| {
//!     Namespace::create("ns1").unwrap();
//!     assert_eq!(ip("netns list"), "ns1\n");
//!     Namespace::delete("ns1").unwrap();
//!     host.assert_clean();
//! });
//! ```

mod annotate;
mod annotate_nft;
mod caller;
mod capture;
mod host;
mod interrupt;
mod kernel;
mod machine;
mod oracle;
mod provider;
mod refuse;
mod root;
mod scratch;
mod skip;
mod sys;
mod terminal;
mod topology;
mod wait;

pub use annotate::annotate;
pub use annotate_nft::annotate_nft;
pub use caller::without_capabilities;
pub use capture::datagrams;
pub use host::{Host, in_host};
pub use interrupt::interrupted;
pub use kernel::{
    has_tun, has_vlan_filtering, ipv4_words, kernel_version, needs_kernel, needs_option, needs_tun,
    vlans_of_an_entry, words_since,
};
pub use machine::{Machine, Ran};
pub use oracle::{
    bridge, bridge_json, ip, ip_json, only, oracle, ping, run, signal, tc, tc_json, without_ipv6,
};
pub use provider::provider;
pub use refuse::refused;
pub use root::{SERVE, busybox_root};
pub use scratch::Scratch;
pub use skip::{require_privilege, skip};
pub use sys::{
    Forger, Verdict, allow_descriptors, attach_tcx, become_effective_user, become_user, drop_capabilities,
    in_fork, load_program, original_destination, port_id, raw_icmp, set_receive_buffer, unshare_network,
    unshare_user,
};
pub use terminal::Terminal;
pub use topology::{Bridged, Inside, mac};
pub use wait::{eventually, until};

/// The examples of the front page, of the page on the libraries, and of that on egress policies are compiled.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/library.md")]
#[doc = include_str!("../../docs/egress.md")]
struct Readme;
