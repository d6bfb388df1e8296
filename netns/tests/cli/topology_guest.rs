//! What a guest does inside its namespace keeps nobody from changing or taking down the topology.

use crate::topology::{edit, fine, topology};
use netns_core::{ErrorKind, Namespace, RouteSocket, address};
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tests::{eventually, in_host, oracle, run};

/// So many that the kernel sends a list of them in dozens of datagrams.
const ADDRESSES: u32 = 4000;

#[test]
fn addresses_that_come_and_go_inside_stop_neither_up_nor_down() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        let text = "[bridge.br0]\naddresses = ['10.1.1.254/24']\n[namespace.guest]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24'] }\n[namespace.other]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.2/24'] }\n";
        fs::write(&file, text).unwrap();
        fine("up", &file);
        let nth = |number: u32| Ipv4Addr::from(0x0A4D_0000 + number);
        let lines: Vec<_> =
            (0..ADDRESSES).map(|number| format!("address add {}/32 dev lo\n", nth(number))).collect();
        fs::write("/run/addresses", lines.concat()).unwrap();
        let _ = run(oracle("ip").args(["-n", "guest", "-batch", "/run/addresses"]));
        let inside = Namespace::open("guest").unwrap();
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            for churner in 0..2 {
                let (inside, ended) = (&inside, &ended);
                scope.spawn(move || {
                    let mut socket = RouteSocket::open_in(inside).unwrap();
                    let one = address::Address::new(1, format!("198.51.100.{churner}/32").parse().unwrap());
                    while !ended.load(Ordering::Relaxed) {
                        address::add(&mut socket, &one).unwrap();
                        address::delete(&mut socket, one.index, one.net).unwrap();
                    }
                });
            }
            let end = End(&ended);
            // The control: a list that has to be whole is refused.
            let mut socket = RouteSocket::open_in(&inside).unwrap();
            eventually("no list is whole", || {
                address::list(&mut socket).is_err_and(|error| error.kind() == ErrorKind::Interrupted)
            });
            socket.take_changing_lists(true);
            assert!(address::list(&mut socket).unwrap().len() as u32 >= ADDRESSES / 2);
            edit(&file, "10.1.1.2/24", "10.1.1.22/24");
            for verb in ["up", "diff", "down"] {
                let done = topology(verb, &file);
                assert_eq!(done.code, Some(0), "{verb}: {}", done.err);
            }
            drop(end);
        });
    });
}

/// Ends the threads, also if the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
