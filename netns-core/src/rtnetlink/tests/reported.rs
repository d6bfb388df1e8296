//! What the kernel reports, read from messages that not every kernel sends.

use super::{mac, message};
use crate::neighbour::{self, FdbEntry};
use crate::route::{Protocol, RouteKind, Scope};
use crate::wire::{Batch, NDA_FLAGS_EXT, NDA_MASTER, NDA_PROTOCOL, NdMsg};

/// An `RTM_NEWNEIGH` for the address 10.1.1.1 or 02:00:00:00:00:05, in VLAN 7.
fn neighbour(family: i32) -> Batch {
    let header = NdMsg {
        family: family as u8,
        index: 3,
        state: libc::NUD_REACHABLE,
        flags: libc::NTF_ROUTER,
        ..NdMsg::default()
    };
    let mut batch = Batch::new();
    batch.message(libc::RTM_NEWNEIGH, 0, &header, |attributes| {
        attributes.ip(libc::NDA_DST, "10.1.1.1".parse().unwrap());
        attributes.mac(libc::NDA_LLADDR, mac("02:00:00:00:00:05"));
        attributes.value(NDA_MASTER, 2_u32);
        attributes.value(libc::NDA_VLAN, 7_u16);
        attributes.value(NDA_PROTOCOL, 16_u8);
        // `NTF_EXT_MANAGED`, `NTF_EXT_LOCKED`
        attributes.value(NDA_FLAGS_EXT, 3_u32);
    });
    batch
}

#[test]
fn vlan_and_extended_flags_of_a_forwarding_entry() {
    let entry = neighbour::parse_fdb(&message(neighbour(libc::AF_BRIDGE).bytes())).unwrap();
    let expected = FdbEntry {
        port: 3,
        mac: mac("02:00:00:00:00:05"),
        state: libc::NUD_REACHABLE,
        bridge: Some(2),
        destination: Some("10.1.1.1".parse().unwrap()),
        vlan: Some(7),
        flags: 0x380,
    };
    assert_eq!(entry, expected);
}

#[test]
fn extended_flags_of_a_neighbour() {
    let neighbour = neighbour::parse(&message(neighbour(libc::AF_INET).bytes())).unwrap();
    assert_eq!((neighbour.flags, neighbour.protocol), (0x380, Protocol::DHCP));
}

#[test]
fn numbers_have_ips_words_or_stay_numbers() {
    let words = [Scope::LINK.to_string(), Protocol::RA.to_string(), RouteKind::THROW.to_string()];
    assert_eq!(words, ["link", "ra", "throw"]);
    let numbers = [Scope(7).to_string(), Protocol(77).to_string(), RouteKind(99).to_string()];
    assert_eq!(numbers, ["7", "77", "99"]);
    assert_eq!(crate::link::LinkType(519).to_string(), "[519]");
    assert_eq!(format!("{:>6}|", Scope::LINK), "  link|");
}
