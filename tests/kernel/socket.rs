//! The route socket: batches, whose answers it believes, where it is.

use crate::{ip_address, mac_address, name, net};
use netns_core::address::{self, Address};
use netns_core::bridge::{self, Bridge};
use netns_core::events::{Event, Events};
use netns_core::link::{self, LinkChange};
use netns_core::route::{self, Route};
use netns_core::wire::Batch;
use netns_core::{MacAddress, Namespace, RouteSocket};
use std::os::fd::AsFd;
use std::time::Duration;
use tests::{Forger, in_host, ip, ip_json, ipv4_words, only, port_id};

fn bridge(name: &str) -> Bridge {
    Bridge::new(crate::name(name), MacAddress::local(1))
}

#[test]
fn all_requests_of_a_batch_are_carried_out_in_their_order() {
    in_host(|host| {
        let mut batch = Batch::new();
        bridge::encode_create(&mut batch, &Bridge { index: Some(50), ..bridge("br0") });
        link::encode_set(&mut batch, 50, &LinkChange { up: Some(true), ..LinkChange::default() });
        address::encode_add(&mut batch, &Address::new(50, net("10.1.1.1/24")));
        route::encode_add(&mut batch, &Route::default_via(ip_address("10.1.1.254")));
        assert_eq!(batch.messages(), 4);
        host.socket().execute(&mut batch).unwrap();
        assert!(ip("route show").contains("default via 10.1.1.254 dev br0"));
        assert_eq!(only(&ip_json("addr show dev br0"))["addr_info"][0]["local"], "10.1.1.1");
    });
}

#[test]
fn a_failure_in_the_middle_is_named_and_the_rest_is_carried_out() {
    in_host(|host| {
        let mut socket = host.socket();
        let mut batch = Batch::new();
        bridge::encode_create(&mut batch, &bridge("br0"));
        address::encode_add(&mut batch, &Address::new(999, net("10.1.1.1/24")));
        bridge::encode_create(&mut batch, &bridge("br1"));
        let error = socket.execute(&mut batch).unwrap_err();
        assert_eq!(
            error.to_string(),
            "add address 10.1.1.1/24 on interface 999: No such device (os error 19)".to_owned()
                + &ipv4_words("ipv4: Device not found")
        );
        for made in ["br0", "br1"] {
            assert_eq!(only(&ip_json(&format!("link show {made}")))["ifname"], made);
        }
        // The socket still works: nothing of the failed batch is left in it.
        assert_eq!(link::get(&mut socket, name("br1")).unwrap().name, name("br1"));
    });
}

#[test]
fn of_many_failures_the_first_is_reported() {
    in_host(|host| {
        let mut socket = host.socket();
        let mut batch = Batch::new();
        link::encode_set(&mut batch, 801, &LinkChange { up: Some(true), ..LinkChange::default() });
        bridge::encode_create(&mut batch, &bridge("br0"));
        link::encode_set(&mut batch, 802, &LinkChange { up: Some(true), ..LinkChange::default() });
        let error = socket.execute(&mut batch).unwrap_err();
        assert_eq!((error.object(), error.errno()), ("interface 801", Some(libc::ENODEV)));
        assert_eq!(only(&ip_json("link show br0"))["ifname"], "br0");
        assert_eq!(link::get(&mut socket, 1).unwrap().name, name("lo"));
    });
}

#[test]
fn a_batch_can_be_sent_again_and_refilled() {
    in_host(|host| {
        let mut socket = host.socket();
        let mut batch = Batch::new();
        bridge::encode_create(&mut batch, &bridge("br0"));
        socket.execute(&mut batch).unwrap();
        let again = socket.execute(&mut batch).unwrap_err();
        assert_eq!(again.errno(), Some(libc::EEXIST));
        batch.clear();
        bridge::encode_create(&mut batch, &bridge("br1"));
        socket.execute(&mut batch).unwrap();
        assert_eq!(link::list(&mut socket).unwrap().len(), 3);
    });
}

#[test]
fn empty_and_overfull_batches_are_not_sent() {
    in_host(|host| {
        let mut socket = host.socket();
        let mut batch = Batch::new();
        let error = socket.execute(&mut batch).unwrap_err();
        assert_eq!(error.to_string(), "send netlink requests: the batch is empty");
        let mut number = 0;
        while !batch.overflowed() {
            bridge::encode_create(&mut batch, &bridge(&format!("br{number}")));
            number += 1;
        }
        let error = socket.execute(&mut batch).unwrap_err();
        assert_eq!(error.to_string(), "send netlink requests: the requests do not fit in a batch");
        assert!(error.is_invalid_input());
        host.assert_clean();
    });
}

/// An `NLMSG_ERROR` as the kernel would send it; `errno` 0 is an acknowledgement.
fn answer(sequence: u32, port: u32, errno: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(36_u32.to_ne_bytes());
    bytes.extend((libc::NLMSG_ERROR as u16).to_ne_bytes());
    bytes.extend((libc::NLM_F_CAPPED as u16).to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(port.to_ne_bytes());
    bytes.extend((-errno).to_ne_bytes());
    bytes.extend([0; 16]);
    assert_eq!(bytes.len(), 36);
    bytes
}

#[test]
fn answers_that_the_kernel_did_not_send_are_not_believed() {
    in_host(|_| {
        let mut socket = RouteSocket::open().unwrap();
        // The first request makes the kernel give the socket its port id, which a forger can read in /proc/net/netlink.
        link::get(&mut socket, 1).unwrap();
        let port = port_id(socket.as_fd()).unwrap();
        let forger = Forger::open().unwrap();
        let forge = |errno| {
            // So that one has the next request's number.
            for sequence in 0..64 {
                forger.send(port, &answer(sequence, port, errno)).unwrap();
            }
        };
        forge(libc::EBUSY);
        bridge::create(&mut socket, &bridge("br0")).unwrap();
        forge(0);
        let error = bridge::create(&mut socket, &bridge("br0")).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EEXIST));
        forge(libc::EBUSY);
        assert_eq!(link::list(&mut socket).unwrap().len(), 2);
    });
}

#[test]
fn a_socket_stays_in_the_namespace_that_it_was_opened_in() {
    in_host(|_| {
        let inside = Namespace::create("ns1").unwrap();
        let mut socket = RouteSocket::open_in(&inside).unwrap();
        bridge::create(&mut socket, &bridge("br0")).unwrap();
        assert_eq!(only(&ip_json("-n ns1 link show br0"))["ifname"], "br0");
        assert_eq!(ip_json("link show").as_array().unwrap().len(), 1);
        let elsewhere = Namespace::anonymous().unwrap();
        let links = elsewhere.enter(|| link::list(&mut socket)).unwrap().unwrap();
        assert_eq!(links.len(), 2);
    });
}

#[test]
fn the_answer_of_a_big_link_fits() {
    in_host(|host| {
        // Many other names make a link's description long.
        ip("link add br0 type bridge");
        let alternative = |number: usize| format!("{number:0100}");
        for number in 0..20 {
            ip(&format!("link property add dev br0 altname {}", alternative(number)));
        }
        let mut socket = host.socket();
        assert_eq!(link::get(&mut socket, name("br0")).unwrap().name, name("br0"));
        link::set(
            &mut socket,
            name("br0"),
            &LinkChange { mac: Some(mac_address("02:00:00:00:00:05")), ..LinkChange::default() },
        )
        .unwrap();
        assert_eq!(link::list(&mut socket).unwrap().len(), 2);
    });
}

#[test]
fn an_answer_of_any_length_is_read_and_so_are_its_events() {
    in_host(|host| {
        ip("link add br0 type bridge");
        let names: Vec<String> = (0..70).map(|number| format!("altname {number:0127}")).collect();
        for some in names.chunks(7) {
            ip(&format!("link property add dev br0 {}", some.join(" ")));
        }
        let mut socket = host.socket();
        assert_eq!(link::get(&mut socket, name("br0")).unwrap().name, name("br0"));
        assert_eq!(link::list(&mut socket).unwrap().len(), 2);
        let mut events = Events::open_in(host.namespace()).unwrap();
        let change = LinkChange { mtu: Some(1400), ..LinkChange::default() };
        link::set(&mut socket, name("br0"), &change).unwrap();
        let event = events.next(Duration::from_secs(5)).unwrap();
        assert!(matches!(&event, Some(Event::Link(link)) if link.mtu == 1400), "{event:?}");
    });
}
