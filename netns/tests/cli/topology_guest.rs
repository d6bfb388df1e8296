//! Whatever a guest does inside its namespace, the topology can be changed and taken down.

use crate::topology::{edit, fine, topology};
use crate::topology_policy::filters;
use crate::watched::Watched;
use netns_core::{ErrorKind, Namespace, RouteSocket, address};
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use tests::{eventually, in_host, ip, oracle, run, tc};

/// Enough for the kernel to send a list of them in dozens of datagrams.
const ADDRESSES: u32 = 4000;

#[test]
fn addresses_that_change_inside_stop_neither_up_nor_down() {
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
            // The control: here, an incomplete list is refused.
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

#[test]
fn a_guests_link_in_the_way_does_not_stop_policies() {
    in_host(|_| {
        let file = PathBuf::from("/run/lab.toml");
        let text = "[bridge.br0]\naddresses = ['10.1.1.254/24']\n[namespace.guest]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.1/24'], policy = 'enforce' }\n[namespace.other]\n\
            interface.eth0 = { bridge = 'br0', addresses = ['10.1.1.2/24'] } # policy\n";
        fs::write(&file, text).unwrap();
        fine("up", &file);
        let both = filters("guest-eth0");
        assert!(both > 0 && filters("other-eth0") == 0);
        for command in ["set eth0 down", "set eth0 name away", "set away up", "add eth0 type bridge"] {
            ip(&format!("-n guest link {command}"));
        }
        // The file's policies are enforced, including a new one; nothing else is changed.
        edit(&file, "'10.1.1.2/24'] } # policy", "'10.1.1.22/24'], policy = 'enforce' }");
        tc("qdisc del dev guest-eth0 clsact");
        let up = topology("up", &file);
        assert_eq!(up.code, Some(1), "{}", up.err);
        assert!(up.err.contains("link guest/eth0 exists and was not made by this topology"), "{}", up.err);
        assert_eq!([filters("guest-eth0"), filters("other-eth0")], [both; 2]);
        assert!(ip("-n other address show dev eth0").contains("10.1.1.2/24"));
        // And `watch` puts exactly that back.
        let mut watch = Watched::start("watch /run/lab.toml --json");
        watch.line("the beginning", |line| line["type"] == "watch");
        tc("qdisc del dev other-eth0 clsact");
        watch.line("what was lost", |line| {
            line["restored"] == true && line["what"].as_str().is_some_and(|what| what.contains("other-eth0"))
        });
        assert_eq!(filters("other-eth0"), both);
        assert_eq!(watch.end("TERM").code, Some(2));
        // Without that link everything is applied.
        ip("-n guest link delete eth0");
        fine("up", &file);
        assert!(ip("-n other address show dev eth0").contains("10.1.1.22/24"));
        assert_eq!(fine("diff", &file), "");
        fine("down", &file);
    });
}

/// Ends the threads, even if the test fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
