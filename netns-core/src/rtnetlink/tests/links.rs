//! Links, veth pairs, bridges and their ports.

use super::{golden, mac, name};
use crate::bridge::{self, Bridge, BridgeOptions, PortOptions};
use crate::link::{self, LinkChange, LinkKind, MacvlanMode, MacvlanOptions, NewLink, VxlanOptions};
use crate::veth::{self, Veth};
use crate::wire::Batch;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::time::Duration;

fn set(change: LinkChange<'_>) -> impl FnOnce(&mut Batch) {
    move |batch| link::encode_set(batch, 2, &change)
}

#[test]
fn requests_for_links() {
    const FAMILY: &str =
        "ip asks as AF_PACKET, of which rtnetlink has no handler, so that of AF_UNSPEC answers";
    golden!(
        "link-get",
        |batch| link::encode_get(batch, name("br0"), true),
        &[
            ("- header 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", FAMILY),
            ("- IFLA_EXT_MASK: 01 00 00 00", "ip also asks for the virtual functions of network cards"),
            ("+ header 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", FAMILY),
        ]
    );
    golden!(
        "link-list",
        |batch| link::encode_list(batch, |_| {}),
        &[
            ("- header 11 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", FAMILY),
            ("- IFLA_EXT_MASK: 01 00 00 00", "as above"),
            ("+ header 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00", FAMILY),
        ]
    );
}

#[test]
fn changes_of_links() {
    golden!("link-up", set(LinkChange { up: Some(true), ..LinkChange::default() }), &[]);
    golden!("link-down", set(LinkChange { up: Some(false), ..LinkChange::default() }), &[]);
    golden!("link-mtu", set(LinkChange { mtu: Some(9000), ..LinkChange::default() }), &[]);
    golden!("link-group", set(LinkChange { group: Some(42), ..LinkChange::default() }), &[]);
    golden!("link-attach", set(LinkChange { master: Some(4), ..LinkChange::default() }), &[]);
    let change = LinkChange { mac: Some(mac("02:00:00:00:12:34")), ..LinkChange::default() };
    golden!("link-mac", set(change), &[]);
    let change = LinkChange { name: Some(name("new")), ..LinkChange::default() };
    golden!("link-name", |batch| link::encode_set(batch, 7, &change), &[]);
    let change = LinkChange { master: Some(0), ..LinkChange::default() };
    golden!("link-detach", |batch| link::encode_set(batch, 6, &change), &[]);
}

#[test]
fn the_move_to_a_namespace() {
    let namespace = File::open("/dev/null").unwrap();
    let change = LinkChange { namespace: Some(namespace.as_fd()), ..LinkChange::default() };
    golden!("link-move", set(change), &[]);
}

#[test]
fn deletions_of_links() {
    golden!("link-delete", |batch| link::encode_delete(batch, 2), &[]);
    golden!("link-delete-group", |batch| link::encode_delete_group(batch, 7), &[]);
}

const KIND: &str = "ip leaves the NUL out, which the kernel does not need but other kinds of text end with";

#[test]
fn veth_pairs() {
    let plain = Veth { queues: None, ..Veth::new(name("a0"), name("a1")) };
    let kind = [
        ("- IFLA_LINKINFO/IFLA_INFO_KIND: 76 65 74 68", KIND),
        ("+ IFLA_LINKINFO/IFLA_INFO_KIND: 76 65 74 68 00", KIND),
    ];
    golden!("veth", |batch| veth::encode_create(batch, &plain), &kind);

    let why = "one queue by default, since the kernel's default is one for every possible processor";
    golden!(
        "veth",
        |batch| veth::encode_create(batch, &Veth::new(name("a0"), name("a1"))),
        &[
            kind[0],
            ("+ IFLA_NUM_TX_QUEUES: 01 00 00 00", why),
            ("+ IFLA_NUM_RX_QUEUES: 01 00 00 00", why),
            kind[1],
            ("+ IFLA_LINKINFO/IFLA_INFO_DATA/VETH_INFO_PEER/IFLA_NUM_TX_QUEUES: 01 00 00 00", why),
            ("+ IFLA_LINKINFO/IFLA_INFO_DATA/VETH_INFO_PEER/IFLA_NUM_RX_QUEUES: 01 00 00 00", why),
        ]
    );
}

#[test]
fn veth_pairs_with_the_peer_born_in_a_namespace() {
    let namespace = File::open("/dev/null").unwrap();
    let born =
        Veth { queues: None, peer_namespace: Some(namespace.as_fd()), ..Veth::new(name("a0"), name("a1")) };
    let kind = [
        ("- IFLA_LINKINFO/IFLA_INFO_KIND: 76 65 74 68", KIND),
        ("+ IFLA_LINKINFO/IFLA_INFO_KIND: 76 65 74 68 00", KIND),
    ];
    let why = "ip writes the name last, the kernel looks attributes up by number";
    golden!(
        "veth-in-namespace",
        |batch| veth::encode_create(batch, &born),
        &[
            kind[0],
            kind[1],
            ("order IFLA_IFNAME IFLA_LINKINFO IFLA_INFO_DATA VETH_INFO_PEER IFLA_IFNAME IFLA_NET_NS_FD", why),
        ]
    );

    let whole = Veth {
        index: Some(1001),
        peer_index: Some(2002),
        mac: Some(mac("02:00:00:00:00:0a")),
        peer_mac: Some(mac("02:00:00:00:00:0b")),
        mtu: Some(1400),
        queues: Some(1),
        bridge: Some(4),
        group: 5,
        up: true,
        ..born
    };
    golden!(
        "veth-whole",
        |batch| veth::encode_create(batch, &whole),
        &[
            kind[0],
            kind[1],
            (
                "order IFLA_IFNAME IFLA_ADDRESS IFLA_MTU IFLA_NUM_TX_QUEUES IFLA_NUM_RX_QUEUES IFLA_MASTER IFLA_GROUP \
             IFLA_LINKINFO IFLA_INFO_DATA VETH_INFO_PEER IFLA_IFNAME IFLA_ADDRESS IFLA_MTU IFLA_NUM_TX_QUEUES \
             IFLA_NUM_RX_QUEUES IFLA_NET_NS_FD",
                why
            ),
        ]
    );
}

#[test]
fn bridges() {
    let plain = Bridge::new(name("br1"), mac("02:00:00:00:00:2a"));
    let kind = [
        ("- IFLA_LINKINFO/IFLA_INFO_KIND: 62 72 69 64 67 65", KIND),
        ("+ IFLA_LINKINFO/IFLA_INFO_KIND: 62 72 69 64 67 65 00", KIND),
    ];
    let why = "ip writes the name last, the kernel looks attributes up by number";
    golden!(
        "bridge",
        |batch| bridge::encode_create(batch, &plain),
        &[
            kind[0],
            kind[1],
            ("order IFLA_IFNAME IFLA_ADDRESS IFLA_LINKINFO IFLA_INFO_DATA IFLA_BR_STP_STATE", why),
        ]
    );

    let whole = Bridge {
        index: Some(77),
        mtu: Some(1400),
        options: BridgeOptions {
            stp_state: Some(true),
            ageing_time: Some(Duration::from_millis(12_340)),
            mcast_snooping: Some(false),
            ..BridgeOptions::NONE
        },
        up: true,
        ..plain
    };
    golden!(
        "bridge-whole",
        |batch| bridge::encode_create(batch, &whole),
        &[
            kind[0],
            kind[1],
            (
                "order IFLA_IFNAME IFLA_ADDRESS IFLA_MTU IFLA_LINKINFO IFLA_INFO_DATA IFLA_BR_AGEING_TIME \
             IFLA_BR_STP_STATE IFLA_BR_MCAST_SNOOPING",
                why
            ),
        ]
    );
}

#[test]
fn port_options() {
    let options = PortOptions {
        isolated: Some(true),
        hairpin: Some(true),
        learning: Some(false),
        flood: Some(false),
        mcast_flood: Some(false),
        bcast_flood: Some(false),
        neigh_suppress: Some(true),
        ..PortOptions::NONE
    };
    golden!(
        "port-options",
        |batch| bridge::encode_set_port(batch, 6, &options),
        &[(
            "order IFLA_PROTINFO! IFLA_BRPORT_MODE IFLA_BRPORT_LEARNING IFLA_BRPORT_UNICAST_FLOOD \
         IFLA_BRPORT_MCAST_FLOOD IFLA_BRPORT_BCAST_FLOOD IFLA_BRPORT_NEIGH_SUPPRESS IFLA_BRPORT_ISOLATED",
            "ours is that of the numbers; the kernel looks attributes up by number",
        )]
    );
}

const ORDER: &str = "ours is that of the numbers; the kernel looks attributes up by number";

#[test]
fn options_of_bridges_and_ports() {
    let options = BridgeOptions {
        forward_delay: Some(Duration::from_secs(16)),
        hello_time: Some(Duration::from_secs(3)),
        max_age: Some(Duration::from_secs(19)),
        priority: Some(7),
        group_fwd_mask: Some(0x4000),
        mcast_querier: Some(true),
        mcast_hash_max: Some(512),
        mcast_query_interval: Some(Duration::from_secs(90)),
        nf_call_iptables: Some(true),
        mcast_igmp_version: Some(3),
        ..BridgeOptions::NONE
    };
    let kind = [
        ("- IFLA_LINKINFO/IFLA_INFO_KIND: 62 72 69 64 67 65", KIND),
        ("+ IFLA_LINKINFO/IFLA_INFO_KIND: 62 72 69 64 67 65 00", KIND),
    ];
    golden!("bridge-options", |batch| bridge::encode_set(batch, 4, &options), &kind);
    let options = PortOptions {
        cost: Some(9),
        priority: Some(3),
        guard: Some(true),
        fastleave: Some(true),
        mcast_router: Some(2),
        locked: Some(true),
        ..PortOptions::NONE
    };
    golden!(
        "port-more-options",
        |batch| bridge::encode_set_port(batch, 6, &options),
        &[(
            "order IFLA_PROTINFO! IFLA_BRPORT_PRIORITY IFLA_BRPORT_COST IFLA_BRPORT_GUARD IFLA_BRPORT_FAST_LEAVE \
             IFLA_BRPORT_MULTICAST_ROUTER IFLA_BRPORT_LOCKED",
            ORDER
        )]
    );
}

#[test]
fn links_of_other_kinds() {
    let mode = MacvlanOptions { mode: Some(MacvlanMode::BRIDGE), ..MacvlanOptions::NONE };
    let new = NewLink { link: Some(2), ..NewLink::new(name("m0"), LinkKind::Macvlan(mode)) };
    golden!(
        "macvlan",
        |batch| link::encode_create(batch, &new),
        &[
            ("- IFLA_LINKINFO/IFLA_INFO_KIND: 6d 61 63 76 6c 61 6e", KIND),
            ("+ IFLA_LINKINFO/IFLA_INFO_KIND: 6d 61 63 76 6c 61 6e 00", KIND),
            ("order IFLA_IFNAME IFLA_LINK IFLA_LINKINFO IFLA_INFO_DATA IFLA_MACVLAN_MODE", ORDER),
        ]
    );
    let options = VxlanOptions {
        id: Some(5),
        group: Some(Ipv4Addr::new(10, 0, 0, 2)),
        local: Some(Ipv4Addr::new(10, 0, 0, 1)),
        dev: Some(2),
        ttl: Some(7),
        dstport: Some(4789),
        learning: Some(false),
        ..VxlanOptions::NONE
    };
    let new = NewLink::new(name("x0"), LinkKind::Vxlan(options));
    golden!(
        "vxlan",
        |batch| link::encode_create(batch, &new),
        &[
            ("- IFLA_LINKINFO/IFLA_INFO_KIND: 76 78 6c 61 6e", KIND),
            ("+ IFLA_LINKINFO/IFLA_INFO_KIND: 76 78 6c 61 6e 00", KIND),
            (
                "order IFLA_IFNAME IFLA_LINKINFO IFLA_INFO_DATA IFLA_VXLAN_ID IFLA_VXLAN_GROUP IFLA_VXLAN_LINK \
                 IFLA_VXLAN_LOCAL IFLA_VXLAN_TTL IFLA_VXLAN_LEARNING IFLA_VXLAN_PORT",
                ORDER
            ),
        ]
    );
}
