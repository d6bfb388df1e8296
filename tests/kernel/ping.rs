//! Our pings and Debian's agree.

use crate::{ip_address, name};
use netns_core::address::{self, Address};
use netns_core::neighbour::{self, Neighbour};
use netns_core::ping::{Ping, PingOutcome, PingReport, ping};
use netns_core::{IpNet, Namespace, RouteSocket, link, sysctl};
use std::time::{Duration, Instant};
use tests::{Bridged, Host, eventually, in_host, ip, mac, oracle, until};

/// Whether Debian's `ping` gets an answer from inside.
fn by_debian(namespace: &Namespace, address: &str) -> bool {
    let mut command = oracle("ping");
    command.args(["-q", "-c", "1", "-W", "1", address]);
    namespace.enter(|| command.output()).unwrap().unwrap().status.success()
}

fn request(address: &str) -> Ping {
    // Longer than any answer takes on a busy machine.
    Ping { timeout: Duration::from_secs(5), ..Ping::new(ip_address(address)) }
}

/// Asks until every request is answered: other work on the machine can drop packets here too, see
/// `tests::ping`.
fn answered(namespace: &Namespace, request: &Ping) -> PingReport {
    until("an answer to every request", || {
        Some(ping(namespace, request).unwrap()).filter(PingReport::all_received)
    })
}

#[test]
fn namespaces_and_the_host_reach_each_other_by_both_families() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let [first, second] = &bridged.insides[..] else { unreachable!() };
        let places = [
            (&first.namespace, ["10.1.1.1", "fd00:1::1"]),
            (&second.namespace, ["10.1.1.2", "fd00:1::2"]),
            (host.namespace(), ["10.1.1.254", "fd00:1::254"]),
        ];
        for (from, own) in places {
            for (_, addresses) in places {
                for address in addresses {
                    assert_eq!(answered(from, &request(address)).received(), 1, "{} -> {address}", own[0]);
                    eventually("an answer to Debian's ping", || by_debian(from, address));
                }
            }
        }
    });
}

#[test]
fn count_interval_and_payload_are_obeyed_and_times_are_measured() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let mut socket = host.socket();
        let _ = answered(&bridged.insides[0].namespace, &request("10.1.1.2"));
        let before = link::stats(&mut socket, bridged.insides[0].port).unwrap();
        let begin = Instant::now();
        let request =
            Ping { count: 4, interval: Duration::from_millis(50), payload: 1000, ..request("10.1.1.2") };
        let report = ping(&bridged.insides[0].namespace, &request).unwrap();
        let elapsed = begin.elapsed();
        assert_eq!((report.outcomes.len(), report.received()), (4, 4));
        assert!(elapsed >= Duration::from_millis(150), "{elapsed:?}");
        for time in report.round_trips() {
            assert!(!time.is_zero() && time < elapsed, "{time:?}");
        }
        let after = link::stats(&mut socket, bridged.insides[0].port).unwrap();
        // ICMP's, IP's and Ethernet's headers.
        let sent = 4 * (1000 + 8 + 20 + 14);
        assert!(after.rx_bytes - before.rx_bytes >= sent, "{before:?} {after:?}");
        assert!(after.rx_bytes - before.rx_bytes < sent + 1000, "{before:?} {after:?}");
    });
}

#[test]
fn payloads_from_the_smallest_to_the_largest_are_answered() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        for payload in [8, 9, 56, 1473, 65_507] {
            for address in ["10.1.1.2", "fd00:1::2"] {
                let _ = answered(&bridged.insides[0].namespace, &Ping { payload, ..request(address) });
            }
        }
        for payload in [0, 7, 65_508] {
            let error =
                ping(&bridged.insides[0].namespace, &Ping { payload, ..request("10.1.1.2") }).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("ping 10.1.1.2: a payload of {payload} bytes is not between 8 and 65507")
            );
        }
    });
}

#[test]
fn an_address_that_nobody_has_times_out() {
    in_host(|host| {
        let bridged = Bridged::new(host, 1);
        for address in ["10.1.1.99", "fd00:1::99"] {
            let begin = Instant::now();
            let quick = Ping { timeout: Duration::from_millis(300), ..Ping::new(ip_address(address)) };
            let report = ping(&bridged.insides[0].namespace, &quick).unwrap();
            assert!(matches!(report.outcomes[..], [PingOutcome::TimedOut]), "{report:?}");
            assert!((0.3..30.0).contains(&begin.elapsed().as_secs_f64()), "{:?}", begin.elapsed());
            assert!(!by_debian(&bridged.insides[0].namespace, address));
        }
    });
}

#[test]
fn an_address_that_nobody_has_is_unreachable_when_the_kernel_gives_up_asking() {
    in_host(|host| {
        let bridged = Bridged::new(host, 1);
        let namespace = &bridged.insides[0].namespace;
        // The kernel asks three times, by default a second apart.
        for family in ["ipv4", "ipv6"] {
            sysctl::set(namespace, &format!("net/{family}/neigh/eth0/retrans_time_ms"), "100").unwrap();
        }
        std::thread::scope(|scope| {
            let pings = ["10.1.1.99", "fd00:1::99"].map(|address| {
                let patient = Ping { timeout: Duration::from_secs(15), ..Ping::new(ip_address(address)) };
                scope.spawn(move || ping(namespace, &patient).unwrap())
            });
            for report in pings.map(|ping| ping.join().unwrap()) {
                let [PingOutcome::Unreachable(error)] = &report.outcomes[..] else { panic!("{report:?}") };
                assert_eq!(error.raw_os_error(), Some(libc::EHOSTUNREACH));
            }
        });
    });
}

#[test]
fn an_earlier_requests_error_is_not_taken_for_a_later_ones() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let [first, second] = &bridged.insides[..] else { unreachable!() };
        // The kernel gives up after three times this, which is later than the first request's time limit.
        sysctl::set(&first.namespace, "net/ipv4/neigh/eth0/retrans_time_ms", "300").unwrap();
        let net = "10.1.1.99/24".parse().unwrap();
        let give_the_address_after_the_first = || {
            let report = std::thread::scope(|scope| {
                let pinging = scope.spawn(|| {
                    let request = Ping {
                        count: 2,
                        interval: Duration::from_secs(3),
                        timeout: Duration::from_millis(300),
                        ..Ping::new(ip_address("10.1.1.99"))
                    };
                    ping(&first.namespace, &request).unwrap()
                });
                std::thread::sleep(Duration::from_millis(1500));
                address::add(&mut second.socket(), &Address::new(second.eth0, net)).unwrap();
                pinging.join().unwrap()
            });
            address::delete(&mut second.socket(), second.eth0, net).unwrap();
            // The kernel may have forgotten it by itself.
            let _ = neighbour::delete(&mut first.socket(), first.eth0, ip_address("10.1.1.99"));
            report
        };
        // Repeated until neither came late: a busy machine may be slower than the limits.
        until("silence, and an answer", || match give_the_address_after_the_first().outcomes[..] {
            [PingOutcome::TimedOut, PingOutcome::Reply(_)] => Some(()),
            [PingOutcome::TimedOut, PingOutcome::Unreachable(_)] => {
                panic!("the first one's error is reported for the second")
            }
            _ => None,
        });
    });
}

#[test]
fn one_lost_request_among_others_is_reported_in_its_place() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let [first, second] = &bridged.insides[..] else { unreachable!() };
        // Without ARP, which would be dropped too.
        for (inside, address, other) in [(first, "10.1.1.2", 2), (second, "10.1.1.1", 1)] {
            let neighbour = Neighbour::permanent(inside.eth0, ip_address(address), mac(other));
            neighbour::set(&mut inside.socket(), &neighbour).unwrap();
        }
        let ignore_the_second = || {
            std::thread::scope(|scope| {
                let pinging = scope.spawn(|| {
                    let request = Ping {
                        count: 3,
                        interval: Duration::from_millis(1500),
                        timeout: Duration::from_millis(1200),
                        ..Ping::new(ip_address("10.1.1.2"))
                    };
                    ping(&first.namespace, &request).unwrap()
                });
                std::thread::sleep(Duration::from_millis(750));
                sysctl::set(&second.namespace, "net.ipv4.icmp_echo_ignore_all", "1").unwrap();
                std::thread::sleep(Duration::from_millis(1500));
                sysctl::set(&second.namespace, "net.ipv4.icmp_echo_ignore_all", "0").unwrap();
                pinging.join().unwrap()
            })
        };
        // Repeated until nothing else was lost.
        let report = until("answers to the first and the third", || {
            Some(ignore_the_second()).filter(|report| {
                matches!(report.outcomes[..], [PingOutcome::Reply(_), _, PingOutcome::Reply(_)])
            })
        });
        assert!(matches!(report.outcomes[1], PingOutcome::TimedOut), "{report:?}");
        assert_eq!((report.received(), report.all_received()), (2, false));
    });
}

#[test]
fn a_link_local_address_is_reached_through_the_interface_that_is_named() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let [first, second] = &bridged.insides[..] else { unreachable!() };
        let address = link_local(second.socket());
        let with = Ping { interface: Some(first.eth0), ..Ping::new(address.address()) };
        eventually("duplicate address detection ends", || {
            ping(&first.namespace, &with).unwrap().all_received()
        });
        eventually("an answer to Debian's ping", || {
            by_debian(&first.namespace, &format!("{}%eth0", address.address()))
        });
        let error = ping(&first.namespace, &Ping { interface: None, ..with }).unwrap_err();
        assert_eq!(error.errno(), Some(libc::EINVAL));
    });
}

fn link_local(mut socket: RouteSocket) -> IpNet {
    until("a link-local address", || {
        let addresses = address::list(&mut socket).unwrap();
        let found = addresses.iter().find(|address| address.net.to_string().starts_with("fe80:"));
        found.map(|address| address.net)
    })
}

/// The host routes for its namespaces, except to 10.66.0.0/16 and `fd66::/16`, which it prohibits.
fn behind_a_router(host: &Host) -> Bridged {
    let bridged = Bridged::new(host, 1);
    sysctl::set(host.namespace(), "net.ipv4.ip_forward", "1").unwrap();
    sysctl::set(host.namespace(), "net.ipv6.conf.all.forwarding", "1").unwrap();
    ip("route add prohibit 10.66.0.0/16");
    ip("-6 route add prohibit fd66::/16");
    ip("route add unreachable 10.67.0.0/16");
    ip("-6 route add unreachable fd67::/16");
    let gateways = ["10.1.1.254", "fd00:1::254"].map(ip_address);
    for gateway in gateways {
        netns_core::route::add(
            &mut bridged.insides[0].socket(),
            &netns_core::route::Route::default_via(gateway),
        )
        .unwrap();
    }
    bridged
}

/// The errno that a router's answer turns into.
fn refused(namespace: &Namespace, address: &str) -> i32 {
    until("a router's word", || match &ping(namespace, &request(address)).unwrap().outcomes[..] {
        [PingOutcome::Unreachable(error)] => error.raw_os_error(),
        [PingOutcome::TimedOut] => None,
        other => panic!("{address}: {other:?}"),
    })
}

#[test]
fn what_a_router_prohibits_is_unreachable() {
    in_host(|host| {
        let bridged = behind_a_router(host);
        for (address, errno) in [("10.66.0.1", libc::EHOSTUNREACH), ("fd66::1", libc::EACCES)] {
            assert_eq!(refused(&bridged.insides[0].namespace, address), errno, "{address}");
        }
    });
}

#[test]
fn what_a_router_cannot_reach_is_unreachable() {
    in_host(|host| {
        let bridged = behind_a_router(host);
        for (address, errno) in [("10.67.0.1", libc::EHOSTUNREACH), ("fd67::1", libc::ENETUNREACH)] {
            assert_eq!(refused(&bridged.insides[0].namespace, address), errno, "{address}");
        }
    });
}

#[test]
fn without_a_route_there_is_an_error_at_once() {
    in_host(|host| {
        let bridged = Bridged::new(host, 1);
        let error = ping(&bridged.insides[0].namespace, &request("192.0.2.1")).unwrap_err();
        assert_eq!(error.to_string(), "ping 192.0.2.1: connect: Network is unreachable (os error 101)");
    });
}

#[test]
fn an_interface_taken_down_meanwhile_makes_it_unreachable() {
    in_host(|host| {
        let bridged = Bridged::new(host, 2);
        let first = &bridged.insides[0];
        let raise = |up| {
            let change = link::LinkChange { up: Some(up), ..link::LinkChange::default() };
            link::set(&mut first.socket(), name("eth0"), &change).unwrap();
        };
        let take_down_after_the_first = || {
            raise(true);
            std::thread::scope(|scope| {
                let pinging = scope.spawn(|| {
                    let request =
                        Ping { count: 2, interval: Duration::from_millis(600), ..request("10.1.1.2") };
                    ping(&first.namespace, &request).unwrap()
                });
                std::thread::sleep(Duration::from_millis(300));
                raise(false);
                pinging.join().unwrap()
            })
        };
        let report = until("an answer to the first", || {
            Some(take_down_after_the_first())
                .filter(|report| matches!(report.outcomes[0], PingOutcome::Reply(_)))
        });
        assert!(matches!(report.outcomes[1], PingOutcome::Unreachable(_)), "{report:?}");
    });
}
