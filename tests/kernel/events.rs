//! Events of links and addresses, from any cause.

use crate::{name, net};
use netns_core::bridge::{self, Bridge};
use netns_core::events::{Event, Events};
use netns_core::{MacAddress, Namespace, RouteSocket, link};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use tests::{in_host, ip, set_receive_buffer, until};

const MOMENT: Duration = Duration::from_millis(50);

fn next(events: &mut Events, what: &str, mut wanted: impl FnMut(&Event) -> bool) -> Event {
    until(what, || events.next(MOMENT).unwrap().filter(|event| wanted(event)))
}

#[test]
fn links_and_addresses_that_ip_makes_changes_and_deletes_are_reported() {
    in_host(|host| {
        let mut events = Events::open_in(host.namespace()).unwrap();
        let of = |event: &Event, wanted: &str| matches!(event, Event::Link(link) | Event::LinkGone(link) if link.name == name(wanted));
        ip("link add br0 type bridge");
        let made = next(&mut events, "made", |event| of(event, "br0"));
        let Event::Link(made) = made else { panic!("{made:?}") };
        assert_eq!((made.kind.as_deref(), made.is_up()), (Some("bridge"), false));

        ip("link set br0 up");
        next(&mut events, "raised", |event| matches!(event, Event::Link(link) if link.is_up()));

        ip("addr add 10.1.1.1/24 dev br0");
        ip("addr add fd00:1::1/64 dev br0 nodad");
        for wanted in ["10.1.1.1/24", "fd00:1::1/64"] {
            let reported =
                |event: &Event| matches!(event, Event::Address(address) if address.net == net(wanted));
            let reported = next(&mut events, "address", reported);
            assert!(matches!(reported, Event::Address(address) if address.index == made.index));
        }
        ip("addr del 10.1.1.1/24 dev br0");
        let gone =
            |event: &Event| matches!(event, Event::AddressGone(address) if address.net == net("10.1.1.1/24"));
        next(&mut events, "address gone", gone);

        ip("link delete br0");
        let gone = next(&mut events, "gone", |event| matches!(event, Event::LinkGone(_)));
        assert!(of(&gone, "br0"));
    });
}

#[test]
fn only_events_of_its_own_namespace_are_reported() {
    in_host(|host| {
        let inside = Namespace::create("ns1").unwrap();
        let mut here = Events::open_in(host.namespace()).unwrap();
        let mut there = Events::open_in(&inside).unwrap();
        ip("-n ns1 link add br0 type bridge");
        next(&mut there, "made", |event| matches!(event, Event::Link(_)));
        assert_eq!(here.next(Duration::ZERO).unwrap(), None);
    });
}

/// A bridge also sends notices about its ports, as `AF_BRIDGE`, with a few of a link's attributes; one of them says
/// "deleted" for a port that only leaves the bridge.
#[test]
fn a_bridges_notices_about_its_ports_are_no_link_events() {
    in_host(|host| {
        ip("link add br0 type bridge");
        ip("link add port type veth peer name inside");
        let mut events = Events::open_in(host.namespace()).unwrap();
        ip("link set port master br0");
        ip("link set port type bridge_slave learning off");
        ip("link set port nomaster");
        ip("link set inside name last");
        let mut seen = 0;
        next(&mut events, "the last change", |event| match event {
            Event::Link(link) => {
                let kind = if link.name == name("br0") { "bridge" } else { "veth" };
                assert_eq!(
                    (link.kind.as_deref(), link.qdisc.as_deref()),
                    (Some(kind), Some("noop")),
                    "{link:?}"
                );
                seen += 1;
                link.name == name("last")
            }
            other => panic!("{other:?}"),
        });
        assert!(seen >= 3, "{seen}");
    });
}

#[test]
fn waiting_for_nothing_ends_in_time() {
    in_host(|host| {
        let mut events = Events::open_in(host.namespace()).unwrap();
        let begin = Instant::now();
        assert_eq!(events.next(Duration::from_millis(150)).unwrap(), None);
        let waited = begin.elapsed();
        assert!((Duration::from_millis(150)..Duration::from_secs(5)).contains(&waited), "{waited:?}");
    });
}

#[test]
fn an_overflow_is_reported_as_lost_and_later_events_are_reported() {
    in_host(|host| {
        let mut events = Events::open_in(host.namespace()).unwrap();
        set_receive_buffer(events.as_fd(), 4096).unwrap();
        let mut socket = host.socket();
        for number in 0..100 {
            let bridge = Bridge::new(name(&format!("br{number}")), MacAddress::local(number));
            bridge::create(&mut socket, &bridge).unwrap();
        }
        let mut reported = Vec::new();
        while let Some(event) = events.next(MOMENT).unwrap() {
            reported.push(event);
        }
        let lost = reported.iter().filter(|event| **event == Event::Lost).count();
        assert_eq!(lost, 1, "{} events", reported.len());
        assert!(reported.len() < 100, "nothing was lost");

        link::delete(&mut socket, name("br7")).unwrap();
        let gone = |event: &Event| matches!(event, Event::LinkGone(link) if link.name == name("br7"));
        next(&mut events, "an event after the overflow", gone);
    });
}

#[test]
fn messages_that_the_kernel_did_not_send_are_no_events() {
    in_host(|host| {
        let mut events = Events::open_in(host.namespace()).unwrap();
        let port = tests::port_id(events.as_fd()).unwrap();
        let mut socket = RouteSocket::open().unwrap();
        bridge::create(&mut socket, &Bridge::new(name("br0"), MacAddress::local(1))).unwrap();
        let real = next(&mut events, "made", |event| matches!(event, Event::Link(_)));

        // `struct nlmsghdr`, `struct ifinfomsg` and IFLA_IFNAME "liar".
        let mut forged = Vec::new();
        forged.extend(44_u32.to_ne_bytes());
        forged.extend(libc::RTM_NEWLINK.to_ne_bytes());
        forged.extend([0; 2 + 4 + 4 + 16]);
        forged.extend(9_u16.to_ne_bytes());
        forged.extend(libc::IFLA_IFNAME.to_ne_bytes());
        forged.extend(b"liar\0\0\0\0");
        assert_eq!(forged.len(), 44);
        tests::Forger::open().unwrap().send(port, &forged).unwrap();
        link::delete(&mut socket, name("br0")).unwrap();
        let reported = next(&mut events, "the real end", |event| *event != real);
        assert!(matches!(&reported, Event::LinkGone(link) if link.name == name("br0")), "{reported:?}");
    });
}
