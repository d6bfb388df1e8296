//! Lists that change while the kernel sends them.

use crate::{index, name};
use netns_core::bridge::{self, Bridge};
use netns_core::{MacAddress, Result, RouteSocket, address, link, neighbour, route};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use tests::{Host, in_host, ip, until};

/// More than fit in one datagram of 32 KiB.
const STEADY: u64 = 80;

/// At least this many lists are asked for while links are made and deleted, and this many links are made while lists
/// are asked for.
const CHURN: u32 = 20;

/// Asks for lists while another thread makes and deletes links, addresses and routes as fast as it can, until both have
/// done enough.
fn while_links_churn(host: &Host, mut ask: impl FnMut(&mut RouteSocket)) {
    let mut socket = host.socket();
    for number in 0..STEADY {
        let bridge = Bridge::new(name(&format!("steady{number}")), MacAddress::local(number));
        bridge::create(&mut socket, &bridge).unwrap();
    }
    let [asked, made] = [const { AtomicU32::new(0) }; 2];
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ended = OnDrop(&ended);
            let mut socket = host.socket();
            while made.fetch_add(1, Relaxed) < CHURN || asked.load(Relaxed) < CHURN && !ended.load(Relaxed) {
                let bridge = Bridge { up: true, ..Bridge::new(name("churn"), MacAddress::local(999)) };
                bridge::create(&mut socket, &bridge).unwrap();
                let churn = index(&mut socket, "churn");
                let net = "10.7.7.7/24".parse().unwrap();
                address::add(&mut socket, &address::Address::new(churn, net)).unwrap();
                link::delete(&mut socket, churn).unwrap();
            }
        });
        let _ended = OnDrop(&ended);
        while !ended.load(Relaxed) {
            ask(&mut socket);
            asked.fetch_add(1, Relaxed);
        }
    });
    assert!(asked.into_inner() >= CHURN && made.into_inner() >= CHURN);
}

/// A complete list. On a slow machine it may change during every attempt; that is an error that says so, and must not
/// pass for a list.
fn whole<T>(mut list: impl FnMut() -> Result<Vec<T>>) -> Vec<T> {
    until("a list that does not change meanwhile", || match list() {
        Ok(list) => Some(list),
        Err(error) => {
            assert!(error.to_string().contains("the list kept changing"), "{error}");
            None
        }
    })
}

/// Reports that one of the two has ended, even by a panic.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn every_steady_link_is_in_every_list_exactly_once() {
    in_host(|host| {
        while_links_churn(host, |socket| {
            let mut seen = HashMap::new();
            for link in whole(|| link::list(socket)) {
                *seen.entry(link.name).or_insert(0) += 1;
            }
            assert!(seen.values().all(|count| *count == 1), "{seen:?}");
            let steady = (0..STEADY).filter(|number| seen.contains_key(&name(&format!("steady{number}"))));
            assert_eq!(steady.count() as u64, STEADY);
        });
    });
}

#[test]
fn addresses_routes_and_neighbours_are_listed_meanwhile() {
    in_host(|host| {
        for number in 0..50 {
            ip(&format!("addr add 10.8.{number}.1/24 dev lo"));
        }
        ip("route add 10.9.0.0/16 dev lo");
        ip("link add v0 up type veth peer name v1");
        ip("neigh add 10.8.0.2 lladdr 02:00:00:00:00:02 dev v0");
        while_links_churn(host, |socket| {
            let addresses = whole(|| address::list(socket));
            let of_lo = addresses.iter().filter(|address| address.net.to_string().starts_with("10.8."));
            assert_eq!(of_lo.count(), 50);
            let routes = whole(|| route::list(socket));
            let routes = routes.iter().filter(|route| route.destination.to_string() == "10.9.0.0/16");
            assert_eq!(routes.count(), 1);
            let neighbours = whole(|| neighbour::list(socket));
            assert!(neighbours.iter().any(|neighbour| neighbour.address.to_string() == "10.8.0.2"));
        });
    });
}
