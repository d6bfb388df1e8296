//! Judging a frame: a pure function of its bytes, of what the kernel says of it and of its port's rules. The program
//! runs it in the kernel, the tests on the host; there is no other copy.
//!
//! # The order of the checks
//!
//! A frame has one reason, the first that is found, and the order says which. Outer headers come before inner ones,
//! because an inner header is where the outer one says. Within a header:
//!
//! 1. **Is it there, and is it one?** Lengths, versions, checksums. What follows relies on them, and a receiver would
//!    throw the packet away anyway.
//! 2. **Could anybody say this?** Addresses that are nobody's, packets to oneself. Told apart from the next, since
//!    this is a broken or hostile sender, never one that was merely given another address than its policy has.
//! 3. **Is it the port's to say?** MAC and IP addresses against the rules.
//! 4. **What does it carry?** Options and extension headers, then the transport header; of fragments the first only,
//!    after it is certain that no other fragment can write over what was judged.
//!
//! So for an honest frame everything is looked at once, the cheapest first, and nothing is read twice but what rare
//! messages need of an outer header. Of the commonest frames the program asks [`is_plain`] before; it knows no reasons,
//! and answers yes only where judging would find none.
//!
//! # What is not judged
//!
//! Payloads but those of DHCP and of errors, checksums of transport headers (with offload they are not filled in yet, and
//! then it is judged where they will be),
//! and whether a TCP segment fits its connection: that takes memory, and here a frame is judged by itself. Messages of
//! routing protocols beside those that are named; what a DHCP client calls itself in option 61 or, with DHCPv6, in its
//! DUID, which only its server can know.
//!
//! What the program and its user space agree on besides is in [`layout`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![expect(
    clippy::inline_always,
    reason = "in the kernel a call costs stack, of which there are 512 bytes, and what the verifier knows"
)]

mod arp;
mod checksum;
mod dhcp;
mod egress;
mod ethernet;
mod fragment;
mod header;
mod host;
mod icmp;
mod ipv4;
mod ipv6;
pub mod layout;
mod message;
mod multicast;
mod neighbour;
mod plain;
mod reason;
mod rules;
mod scope;
mod service;
mod transport;

pub use checksum::ChecksumPlace;
pub use dhcp::options as dhcp_options;
pub use egress::{EgressList, EgressPacket, EgressPrefix, EgressRule, NoEgressList, NoEgressRule};
pub use host::{Admission, Flow, Host, admit};
pub use ipv4::{Ipv4Options, judge as ipv4, options as ipv4_options};
pub use ipv6::{Carried, extensions as ipv6_extensions, judge as ipv6};
pub use message::judge as message;
pub use neighbour::{Owners, options as discovery_options};
pub use plain::{is_plain, is_plain_asking};
pub use reason::{REASONS, Reason};
pub use rules::{ETHER_TYPES, Mac, NETS, Permissions, Rules, RulesFull};
pub use scope::{Scope, far_end};
pub use service::{HostAccess, NoService, SERVICES, Service};

/// What comes of judging: nothing, or the reason why the frame is not one that its port may send.
pub type Verdict = Result<(), Reason>;

/// The bytes of a frame, with its Ethernet header.
///
/// Reading copies a few bytes out. In the kernel that is a call that finds them wherever the frame keeps them, so the
/// code here has neither pointers nor pages to think of, and the verifier only numbers.
pub trait Bytes {
    /// The bytes from `at` on; `None` if the frame ends before the last of them.
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]>;

    /// `LENGTH` bytes from `at` on, as `N` words that lie in memory as they do, with zeros where the last has more;
    /// `None` as with [`Self::load`].
    ///
    /// For headers. BPF reads no word that may not be aligned, and a frame's bytes may not; so what came as bytes is
    /// put together byte by byte wherever a number of several is needed, which took half of the time of judging.
    fn words<const N: usize, const LENGTH: usize>(&self, at: u32) -> Option<[u32; N]>;
}

impl Bytes for [u8] {
    #[inline]
    fn load<const N: usize>(&self, at: u32) -> Option<[u8; N]> {
        self.get(usize::try_from(at).ok()?..)?.first_chunk().copied()
    }

    #[inline]
    fn words<const N: usize, const LENGTH: usize>(&self, at: u32) -> Option<[u32; N]> {
        let bytes = self.load::<LENGTH>(at)?;
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks(size_of::<u32>())) {
            let mut whole = [0; size_of::<u32>()];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u32::from_ne_bytes(whole);
        }
        Some(words)
    }
}

/// The steps of judging that have loops or many branches in them, each by itself.
///
/// The host has no reason to care. The kernel's verifier follows every path through a program, and a loop multiplies
/// the paths after it; a function that it can verify by itself, for any argument, it looks at once.
pub trait Steps: Bytes {
    /// The IPv4 options between two places.
    #[inline(always)]
    fn ipv4_options(&self, options: Span) -> Ipv4Options {
        ipv4::options(self, options)
    }

    /// The IPv6 extension headers of a payload, the first of which is of this kind.
    ///
    /// # Errors
    /// The reason why they are none.
    #[inline(always)]
    fn extensions(&self, payload: Span, next: u8) -> Result<Carried, Reason> {
        ipv6::extensions(self, payload, next)
    }

    /// The options of a neighbour discovery message between two places, from a port with this MAC address.
    ///
    /// # Errors
    /// The reason why they are none.
    #[inline(always)]
    fn discovery_options(&self, options: Span, owners: Owners, mac: Mac) -> Verdict {
        neighbour::options(self, options, owners, mac)
    }

    /// The IPv4 packet that begins at a place.
    ///
    /// # Errors
    /// The reason why the port may not send it.
    #[inline(always)]
    fn ipv4(&self, at: u32, facts: Facts, rules: &Rules) -> Verdict {
        ipv4::judge(self, at, facts, rules)
    }

    /// The IPv6 packet that begins at a place.
    ///
    /// # Errors
    /// The reason why the port may not send it.
    #[inline(always)]
    fn ipv6(&self, at: u32, facts: Facts, rules: &Rules) -> Verdict {
        ipv6::judge(self, at, facts, rules)
    }

    /// A message that hosts and routers manage the network by, of the protocol with this number.
    ///
    /// # Errors
    /// The reason why the port may not send it.
    #[inline(always)]
    fn message(&self, payload: Span, number: u8, below: Below, rules: &Rules) -> Verdict {
        message::judge(self, payload, number, below, rules)
    }

    /// Four bytes at a place, as they lie in memory, by themselves: of two places that both depend on the frame, the compiler
    /// keeps what the verifier knows of one only.
    #[inline(always)]
    fn word(&self, at: u32) -> Option<u32> {
        self.words::<1, 4>(at).map(|[word]| word)
    }

    /// The options of a DHCP client's message between two places: the address that it declines, if it declines one, as
    /// it lies in memory.
    ///
    /// # Errors
    /// The reason why they are none.
    #[inline(always)]
    fn dhcp_options(&self, options: Span) -> Result<Option<u32>, Reason> {
        dhcp::options(self, options)
    }
}

impl Steps for [u8] {}

/// What the kernel says of a frame beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// How many bytes it has, its Ethernet header included.
    pub length: u32,
    /// Whether it is a train of segments that is cut later ([GSO]). One of more than 64 KiB carries a length of 0.
    ///
    /// [GSO]: https://docs.kernel.org/networking/segmentation-offloads.html
    pub is_train: bool,
    /// Whether it has a VLAN tag that the kernel has taken out of its bytes.
    pub has_tag: bool,
    /// Where in it a checksum is still to be written (`CHECKSUM_PARTIAL`).
    pub checksum_at: ChecksumPlace,
}

impl Facts {
    /// Of an ordinary frame.
    #[must_use]
    pub fn of(frame: &[u8]) -> Self {
        let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        Self { length, ..Self::default() }
    }
}

/// Judges a frame that a port's namespace sent.
///
/// It reads a bounded number of bytes: a few hundred for the strangest frame.
///
/// # Errors
/// The first reason that is found, in the order that is explained above.
///
/// ```
/// use netns_packet::{Facts, Reason, Rules, judge};
///
/// let rules = Rules::new([2, 0, 0, 0, 0, 1]);
/// let mut frame = [0; 60];
/// frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 66]);
/// assert_eq!(judge(&frame[..], Facts::of(&frame), &rules), Err(Reason::SourceMacForeign));
/// ```
#[inline(always)]
pub fn judge<B: Steps + ?Sized>(frame: &B, facts: Facts, rules: &Rules) -> Verdict {
    judge_at_open(frame, facts, rules).map_err(|reason| rules.reason(reason))
}

/// As [`judge`], but for the reason that a port is closed: for the kernel's program, which asks [`Rules::reason`] by itself,
/// where there is room for it.
///
/// # Errors
/// As [`judge`]; some other reason for every frame of a closed port.
#[inline(always)]
pub fn judge_at_open<B: Steps + ?Sized>(frame: &B, facts: Facts, rules: &Rules) -> Verdict {
    ethernet::judge(frame, facts, rules)
}

/// Where something lies in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: u32,
    /// The first byte that is not its any more.
    pub end: u32,
}

/// What the layers below say of a transport header.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Below {
    /// The IP version's header: a packet is judged by its own family's rules.
    pub is_v6: bool,
    /// Whether the source address is the unspecified one.
    pub is_unspecified: bool,
    /// Whether it may be longer than its length fields can say.
    pub is_train: bool,
    /// The hop limit or time to live.
    pub hop_limit: u8,
    /// Whether this is the first of several fragments, or in IPv6 the only one.
    pub is_fragment: bool,
    /// Where the IP header begins, for the few messages that depend on where they go.
    pub at: u32,
    /// As [`Facts::checksum_at`].
    pub checksum_at: ChecksumPlace,
}

/// Numbers of protocols, the same in both versions of IP.
mod protocol {
    pub(super) const ICMP: u8 = 1;
    pub(super) const IGMP: u8 = 2;
    pub(super) const TCP: u8 = 6;
    pub(super) const UDP: u8 = 17;
    pub(super) const ICMPV6: u8 = 58;
    pub(super) const PIM: u8 = 103;
    pub(super) const SCTP: u8 = 132;
}

/// The example there is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
