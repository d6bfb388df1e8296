//! Pools of ready sandboxes.

use crate::{ip_address, name, net};
use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions};
use netns_core::ping::{Ping, ping};
use std::thread;
use std::time::Duration;
use tests::{eventually, in_host, ip};

#[test]
fn one_whose_port_somebody_deleted_is_not_handed_out() {
    in_host(|_| {
        let options = NetworkOptions {
            subnet_v4: Some(net("10.99.0.0/24")),
            per_bridge: 3,
            ..NetworkOptions::new(name("sb"))
        };
        let network = Network::create(&options).unwrap();
        let pool = Pool::start(&network, PoolOptions::new(4)).unwrap();
        eventually("the pool is full", || pool.ready() == 4);
        for dead in [0, 2] {
            ip(&format!("link delete sbp{dead}"));
        }
        // The pool hears of it; it has no other reason to look.
        thread::sleep(Duration::from_millis(500));
        eventually("the pool is full again", || pool.ready() == 4);
        for _ in 0..4 {
            let sandbox = pool.acquire().unwrap();
            let reached = ping(sandbox.namespace().unwrap(), &Ping::new(ip_address("10.99.0.1"))).unwrap();
            assert!(reached.all_received(), "sandbox {} is dead", sandbox.number());
        }
    });
}
