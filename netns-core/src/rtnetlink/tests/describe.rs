//! Requests in words, and the attributes that offsets point at.

use crate::rtnetlink::describe::{attribute_name, attribute_path, describe};
use crate::rtnetlink::link::kind::IFLA_BR_AGEING_TIME;
use crate::rtnetlink::link::port::IFLA_BRPORT_LEARNING;
use crate::wire::{
    AttributeWriter, Batch, IfAddrMsg, IfInfoMsg, Message, Messages, NETNSA_FD, NETNSA_NSID, NdMsg, Random,
    RtGenMsg, RtMsg, TC_H_MIN_EGRESS, TC_H_MIN_INGRESS, TCA_BPF_FD, TcMsg, VETH_INFO_PEER,
};
use bytemuck::Pod;

const CREATE: i32 = libc::NLM_F_CREATE | libc::NLM_F_EXCL;

fn with_message<H: Pod, T>(
    kind: u16,
    flags: i32,
    header: &H,
    attributes: impl FnOnce(&mut AttributeWriter<'_>),
    read: impl FnOnce(&Message<'_>) -> T,
) -> T {
    let mut batch = Batch::new();
    batch.message(kind, flags, header, attributes);
    read(&Messages::new(batch.bytes()).next().unwrap())
}

fn sentence<H: Pod>(
    kind: u16,
    flags: i32,
    header: &H,
    attributes: impl FnOnce(&mut AttributeWriter<'_>),
) -> String {
    with_message(kind, flags, header, attributes, |message| {
        let words = describe(message);
        format!("{} | {}", words.operation, words.object)
    })
}

fn kind(attributes: &mut AttributeWriter<'_>, kind: &str) {
    attributes.nest(libc::IFLA_LINKINFO, |info| info.text(libc::IFLA_INFO_KIND, kind));
}

#[test]
fn requests_for_links_in_words() {
    let none = IfInfoMsg::default();
    let five = IfInfoMsg { index: 5, ..none };
    let named = |attributes: &mut AttributeWriter<'_>| attributes.text(libc::IFLA_IFNAME, "v0");
    let create = sentence(libc::RTM_NEWLINK, CREATE, &none, |attributes| {
        named(attributes);
        kind(attributes, "veth");
    });
    assert_eq!(create, "create veth | v0");
    // A chosen index does not make it less of a creation.
    let create = sentence(libc::RTM_NEWLINK, CREATE, &five, |attributes| {
        named(attributes);
        kind(attributes, "bridge");
    });
    assert_eq!(create, "create bridge | v0");
    assert_eq!(sentence(libc::RTM_NEWLINK, CREATE, &none, named), "create link | v0");
    assert_eq!(sentence(libc::RTM_NEWLINK, 0, &none, named), "set link | v0");
    assert_eq!(sentence(libc::RTM_NEWLINK, 0, &five, |_| {}), "set link | interface 5");
    assert_eq!(sentence(libc::RTM_NEWLINK, 0, &five, named), "set link | interface 5 (v0)");
    assert_eq!(sentence(libc::RTM_SETLINK, 0, &five, |_| {}), "set bridge port | interface 5");
    assert_eq!(sentence(libc::RTM_GETLINK, 0, &none, named), "get link | v0");
    assert_eq!(sentence(libc::RTM_DELLINK, 0, &five, |_| {}), "delete link | interface 5");
    let group = |attributes: &mut AttributeWriter<'_>| attributes.value(libc::IFLA_GROUP, 7_u32);
    assert_eq!(sentence(libc::RTM_DELLINK, 0, &none, group), "delete link | group 7");
    assert_eq!(sentence(libc::RTM_NEWLINK, 0, &five, group), "set link | interface 5");
    assert_eq!(sentence(libc::RTM_GETLINK, libc::NLM_F_DUMP, &none, |_| {}), "list links | ");
}

#[test]
fn requests_for_addresses_routes_and_neighbours_in_words() {
    let address = IfAddrMsg { prefix: 24, index: 5, ..IfAddrMsg::default() };
    let ip = |kind, octets: [u8; 4]| {
        move |attributes: &mut AttributeWriter<'_>| attributes.ip(kind, octets.into())
    };
    let local = ip(libc::IFA_LOCAL, [10, 1, 1, 1]);
    assert_eq!(
        sentence(libc::RTM_NEWADDR, CREATE, &address, local),
        "add address | 10.1.1.1/24 on interface 5"
    );
    let only = ip(libc::IFA_ADDRESS, [10, 1, 1, 1]);
    assert_eq!(sentence(libc::RTM_DELADDR, 0, &address, only), "delete address | 10.1.1.1/24 on interface 5");
    assert_eq!(sentence(libc::RTM_NEWADDR, CREATE, &address, |_| {}), "add address | interface 5");

    let route = RtMsg { destination_prefix: 16, ..RtMsg::default() };
    assert_eq!(sentence(libc::RTM_NEWROUTE, CREATE, &RtMsg::default(), |_| {}), "add route | default");
    let via = sentence(libc::RTM_DELROUTE, 0, &route, |attributes| {
        attributes.ip(libc::RTA_DST, [10, 2, 0, 0].into());
        attributes.ip(libc::RTA_GATEWAY, [10, 1, 1, 254].into());
        attributes.value(libc::RTA_OIF, 5_u32);
    });
    assert_eq!(via, "delete route | 10.2.0.0/16 via 10.1.1.254 on interface 5");

    let header = NdMsg { index: 5, ..NdMsg::default() };
    let dst = |attributes: &mut AttributeWriter<'_>| attributes.ip(libc::NDA_DST, [10, 1, 1, 2].into());
    let mac = |attributes: &mut AttributeWriter<'_>| attributes.bytes(libc::NDA_LLADDR, &[2, 0, 0, 0, 0, 9]);
    let both = |attributes: &mut AttributeWriter<'_>| {
        dst(attributes);
        mac(attributes);
    };
    assert_eq!(
        sentence(libc::RTM_NEWNEIGH, CREATE, &header, both),
        "add neighbour | 10.1.1.2 at 02:00:00:00:00:09 on interface 5"
    );
    assert_eq!(sentence(libc::RTM_DELNEIGH, 0, &header, dst), "delete neighbour | 10.1.1.2 on interface 5");
    assert_eq!(
        sentence(libc::RTM_DELNEIGH, 0, &header, mac),
        "delete neighbour | 02:00:00:00:00:09 on interface 5"
    );
    assert_eq!(sentence(libc::RTM_GETNEIGH, libc::NLM_F_DUMP, &header, |_| {}), "list neighbours | ");
}

#[test]
fn requests_for_qdiscs_and_filters_in_words() {
    let header = |parent| TcMsg { index: 5, parent, ..TcMsg::default() };
    let clsact = |attributes: &mut AttributeWriter<'_>| attributes.text(libc::TCA_KIND, "clsact");
    let bpf = |attributes: &mut AttributeWriter<'_>| attributes.text(libc::TCA_KIND, "bpf");
    assert_eq!(sentence(libc::RTM_NEWQDISC, CREATE, &header(0), clsact), "add qdisc | clsact on interface 5");
    assert_eq!(
        sentence(libc::RTM_NEWTFILTER, CREATE, &header(0xFFFF_0000 | TC_H_MIN_INGRESS), bpf),
        "add filter | bpf on ingress of interface 5"
    );
    assert_eq!(
        sentence(libc::RTM_DELTFILTER, 0, &header(0xFFFF_0000 | TC_H_MIN_EGRESS), |_| {}),
        "delete filter | any kind on egress of interface 5"
    );
    assert_eq!(sentence(9999, 0, &header(0), |_| {}), "netlink request 9999 | ");
}

#[test]
fn requests_for_namespace_ids_in_words() {
    let fd = |attributes: &mut AttributeWriter<'_>| attributes.value(NETNSA_FD, 7);
    let header = RtGenMsg::default();
    assert_eq!(sentence(libc::RTM_GETNSID, 0, &header, fd), "get namespace id | ");
    let id = |attributes: &mut AttributeWriter<'_>| {
        attributes.value(NETNSA_NSID, 5);
        attributes.value(NETNSA_FD, 7);
    };
    assert_eq!(sentence(libc::RTM_NEWNSID, 0, &header, id), "assign namespace id | 5");
}

/// Where in a request the attribute with this path is, by asking for every offset.
fn paths<H: Pod>(
    kind: u16,
    header: &H,
    attributes: impl FnOnce(&mut AttributeWriter<'_>),
) -> Vec<(usize, String)> {
    with_message(kind, CREATE, header, attributes, |message| {
        let offsets = (0..message.header.length as usize + 8).step_by(4);
        offsets.filter_map(|offset| Some((offset, attribute_path(message, offset)?))).collect()
    })
}

#[test]
fn offsets_point_at_attributes_by_their_path() {
    let found = paths(libc::RTM_NEWLINK, &IfInfoMsg::default(), |attributes| {
        attributes.value(libc::IFLA_MTU, 1_u32);
        attributes.nest(libc::IFLA_LINKINFO | libc::NLA_F_NESTED as u16, |info| {
            info.text(libc::IFLA_INFO_KIND, "veth");
            info.nest(libc::IFLA_INFO_DATA, |data| {
                data.nest_after(VETH_INFO_PEER, &IfInfoMsg::default(), |peer| {
                    peer.value(libc::IFLA_MTU, 1_u32);
                });
            });
        });
        attributes.value(999, 1_u32);
    });
    for expected in [
        (32, "IFLA_MTU"),
        (40, "IFLA_LINKINFO"),
        (44, "IFLA_LINKINFO/IFLA_INFO_KIND"),
        (56, "IFLA_LINKINFO/IFLA_INFO_DATA"),
        (60, "IFLA_LINKINFO/IFLA_INFO_DATA/VETH_INFO_PEER"),
        (80, "IFLA_LINKINFO/IFLA_INFO_DATA/VETH_INFO_PEER/IFLA_MTU"),
        (88, "attribute 999"),
    ] {
        assert!(
            found.iter().any(|(at, path)| (*at, path.as_str()) == expected),
            "{expected:?} not in {found:#?}"
        );
    }
    // Neither the headers nor what follows the end is an attribute.
    assert!(found.iter().all(|(at, _)| (32..96).contains(at)), "{found:#?}");
}

#[test]
fn an_offset_at_which_nothing_begins_is_no_attribute() {
    let write = |attributes: &mut AttributeWriter<'_>| {
        attributes.value(libc::IFLA_MTU, 1_u32);
        attributes.text(libc::IFLA_IFNAME, "v0");
    };
    with_message(libc::RTM_NEWLINK, 0, &IfInfoMsg::default(), write, |message| {
        assert_eq!(attribute_path(message, 40).as_deref(), Some("IFLA_IFNAME"));
        for offset in [0, 16, 31, 33, 34, 35, 41, 42, 48, 52] {
            assert_eq!(attribute_path(message, offset), None, "{offset}");
        }
    });
}

#[test]
fn attributes_of_each_family_have_their_names() {
    let path = |found: Vec<(usize, String)>| found.into_iter().map(|(_, path)| path).collect::<Vec<_>>();
    let bridge = path(paths(libc::RTM_NEWLINK, &IfInfoMsg::default(), |attributes| {
        attributes.nest(libc::IFLA_LINKINFO, |info| {
            info.text(libc::IFLA_INFO_KIND, "bridge");
            info.nest(libc::IFLA_INFO_DATA, |data| data.value(IFLA_BR_AGEING_TIME, 1_u32));
        });
    }));
    assert!(bridge.contains(&"IFLA_LINKINFO/IFLA_INFO_DATA/IFLA_BR_AGEING_TIME".to_owned()), "{bridge:?}");
    let port = path(paths(libc::RTM_SETLINK, &IfInfoMsg::default(), |attributes| {
        attributes.nest(libc::IFLA_PROTINFO, |info| info.value(IFLA_BRPORT_LEARNING, 1_u8));
    }));
    assert!(port.contains(&"IFLA_PROTINFO/IFLA_BRPORT_LEARNING".to_owned()), "{port:?}");
    let filter = path(paths(libc::RTM_NEWTFILTER, &TcMsg::default(), |attributes| {
        attributes.nest(libc::TCA_OPTIONS, |options| options.value(TCA_BPF_FD, 1_u32));
    }));
    assert!(filter.contains(&"TCA_OPTIONS/TCA_BPF_FD".to_owned()), "{filter:?}");
    let first = |kind, header: &RtMsg, attribute| {
        path(paths(kind, header, |attributes| attributes.value(attribute, 1_u32)))[0].clone()
    };
    assert_eq!(first(libc::RTM_NEWROUTE, &RtMsg::default(), libc::RTA_GATEWAY), "RTA_GATEWAY");
    assert_eq!(first(libc::RTM_NEWNEIGH, &RtMsg::default(), libc::NDA_LLADDR), "NDA_LLADDR");
    let missing = with_message(
        libc::RTM_NEWADDR,
        0,
        &IfAddrMsg::default(),
        |_| {},
        |message| attribute_name(message, libc::IFA_LOCAL),
    );
    assert_eq!(missing, "IFA_LOCAL");
}

#[test]
fn any_offset_into_any_request_is_survived() {
    let mut random = Random::new(5);
    for _ in 0..5000 {
        let length = random.below(80);
        let payload = random.bytes(length);
        let kind = 16 + random.below(36) as u16;
        with_message(
            kind,
            0,
            &[0_u8; 0],
            |_| {},
            |message| {
                let message = Message { payload: &payload, ..*message };
                let _ = describe(&message);
                for offset in (0..100).chain([usize::MAX, usize::MAX - 3, 1 << 31]) {
                    let _ = attribute_path(&message, offset);
                }
            },
        );
    }
}
