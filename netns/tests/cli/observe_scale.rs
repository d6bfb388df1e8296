//! `netns observe` with hundreds of ports, a flood from inside, and a reader that does not read.

use crate::metrics::metrics;
use crate::observe::{make_bridge, plug_in, programs};
use crate::ours::run_traced;
use crate::watched::{Watched, signal};
use crate::xtask;
use netns_core::address::{self, Address};
use netns_core::veth::{self, Veth};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link, sysctl};
use serde_json::Value;
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tests::{Host, eventually, in_host, ip, tc, until};

const PORTS: u32 = 300;
/// The first index of the senders' ports.
const FIRST: u32 = 1000;
/// The index of a port that comes later.
const LATE: u32 = 900;

/// A namespace behind a port of a bridge; it can send broadcasts.
struct Sender {
    inside: Namespace,
    socket: UdpSocket,
}

impl Sender {
    fn new(socket: &mut RouteSocket, bridge: u32, number: u32) -> Self {
        let inside = Namespace::anonymous().unwrap();
        sysctl::set(&inside, "net.ipv6.conf.default.disable_ipv6", "1").unwrap();
        let veth = Veth {
            index: Some(FIRST + number),
            peer_index: Some(2),
            bridge: Some(bridge),
            up: true,
            peer_namespace: Some(inside.as_fd()),
            peer_mac: Some(MacAddress::local(u64::from(number))),
            ..Veth::new(IfName::new(&format!("v{number}")).unwrap(), IfName::new("eth0").unwrap())
        };
        veth::create(socket, &veth).unwrap();
        let mut within = RouteSocket::open_in(&inside).unwrap();
        link::set_up(&mut within, 2).unwrap();
        let own = format!("10.1.{}.{}/16", number / 200, number % 200 + 1);
        address::add(&mut within, &Address::new(2, own.parse().unwrap())).unwrap();
        let socket = inside.enter(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap()).unwrap();
        socket.set_broadcast(true).unwrap();
        Self { inside, socket }
    }

    fn broadcast(&self) {
        // A full queue is a flood, too.
        let _ = self.socket.send_to(b"hello", ("10.1.255.255", 9));
    }
}

/// This many of them on br0.
fn senders(host: &Host, count: u32) -> (RouteSocket, u32, Vec<Sender>) {
    make_bridge();
    let mut socket = host.socket();
    let bridge = link::get(&mut socket, IfName::new("br0").unwrap()).unwrap().index;
    let senders = (0..count).map(|number| Sender::new(&mut socket, bridge, number)).collect();
    (socket, bridge, senders)
}

fn is_observed() -> bool {
    tc("qdisc show").contains("clsact")
        || !tests::run(tests::oracle("nft").args(["list", "tables"])).is_empty()
}

#[test]
fn many_ports_and_a_flood_do_not_keep_it_from_judging_and_ending() {
    in_host(|host| {
        let (mut socket, bridge, senders) = senders(host, PORTS);
        // Everything that it sends is a violation.
        let policy = format!("[port.v{LATE}]\nmac = \"02:00:00:00:00:77\"\nmode = \"enforce\"\n");
        std::fs::write("/run/ports.toml", policy).unwrap();
        let mut observe = Watched::start(
            "observe br0 --policy /run/ports.toml --json --interval 0.1 --pairs 50 --metrics 127.0.0.1:9753",
        );
        observe.line("the beginning", |line| line["type"] == "observe");

        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    senders.iter().for_each(Sender::broadcast);
                }
            });
            // Ends the flood even if the test fails.
            let _end = Ending(&is_over);
            // 300 x 299 pairs are more than the table has room for.
            let lost = |of: &Value| of["lost_pairs"]["packets"].as_u64() > Some(0);
            let full = observe.line("a table that is full, and whose doing that is", |line| {
                lost(line) && line["ports"].as_array().unwrap().iter().any(lost)
            });
            assert_eq!(full["pairs"].as_array().map(Vec::len), Some(50));
            assert!(full["pairs_left_out"].as_u64() > Some(60_000), "{}", full["pairs_left_out"]);
            assert_eq!(full["ports"].as_array().map(Vec::len), Some(PORTS as usize));
            let blamed = |line: &str| {
                let value = line
                    .strip_prefix("netns_port_pair_lost_bytes_total{")
                    .and_then(|line| line.rsplit_once(' '));
                value.is_some_and(|(_, bytes)| bytes.parse::<f64>().is_ok_and(|bytes| bytes > 0.0))
            };
            assert!(metrics().lines().any(blamed));

            let late = Sender::new(&mut socket, bridge, LATE);
            let name = format!("v{LATE}");
            observe.line("it came", |line| line["event"] == "came" && line["port"] == *name);
            until("it is judged", || {
                late.broadcast();
                let port = observe.port(&name, |_| true);
                (port["dropped"].as_u64() > Some(0) && port["rx_packets"].as_u64() > Some(0)).then_some(())
            });
            signal(&observe.child, "TERM");
            let asked = Instant::now();
            let end = observe.end("none");
            let took = asked.elapsed();
            // The program itself reports that the table is full.
            assert_eq!(end.code, Some(0), "{}", end.err);
            // It takes a second where the machine has nothing else to do.
            assert!(took < Duration::from_secs(10), "{took:?}");
        });
        assert!(!is_observed());
        drop(senders.into_iter().map(|sender| sender.inside));
    });
}

struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An observer whose stdout nobody reads.
struct Unread(Child);

impl Unread {
    /// Its exit status, if it has ended.
    fn status(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_reader_that_does_not_read_holds_nothing_up() {
    in_host(|_| {
        make_bridge();
        plug_in(1);
        let mut command = xtask("observe br0 --json --interval 0.01");
        let mut observe =
            Unread(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("netns starts"));
        eventually("the port is counted", || programs("v1") == 2);
        // By now its line is longer than a pipe has room for.
        let written = || {
            let io = std::fs::read_to_string(format!("/proc/{}/io", observe.0.id())).unwrap();
            let written = io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap();
            written.parse::<u64>().unwrap()
        };
        let mut before = 0;
        eventually("the pipe is full", || {
            std::thread::sleep(Duration::from_millis(300));
            let now = written();
            std::mem::replace(&mut before, now) == now && now > 50_000
        });
        plug_in(2);
        eventually("the other one is counted too", || programs("v2") == 2);
        signal(&observe.0, "TERM");
        let status = until("it ends", || observe.status());
        assert_eq!(status.code(), Some(0));
        assert_eq!([programs("v1"), programs("v2")], [0, 0]);
        ip("link del v1");
    });
}

#[test]
fn after_a_pause_there_is_one_reading() {
    in_host(|_| {
        make_bridge();
        let mut observe = Watched::start("observe br0 --json --interval 0.2");
        let before = observe.line("counters", |line| line["type"] == "counters");
        signal(&observe.child, "STOP");
        std::thread::sleep(Duration::from_secs(3));
        signal(&observe.child, "CONT");
        let time = |line: &Value| line["t"].as_f64().unwrap();
        let stopped = time(&before);
        let mut last = stopped;
        // At most one reading an interval, of those that were missed.
        for _ in 0..5 {
            let next = time(&observe.line("counters", |line| line["type"] == "counters"));
            let interval = |time: f64| (time / 0.2 + 1e-6).floor();
            assert!(interval(next) > interval(last), "{last} and then {next}");
            last = next;
        }
        assert!(last > stopped + 2.9, "it was stopped at {stopped}");
        assert_eq!(observe.end("INT").code, Some(0));
    });
}

#[test]
fn all_pairs_are_listed_where_that_is_asked_for() {
    const FEW: usize = 30;
    in_host(|host| {
        let (_socket, _, senders) = senders(host, FEW as u32);
        for (arguments, listed) in [("--pairs all", FEW * (FEW - 1)), ("--pairs 10", 10)] {
            let mut observe = Watched::start(&format!("observe br0 --json --interval 0.1 {arguments}"));
            observe.line("the beginning", |line| line["type"] == "observe");
            let is_full = |line: &Value| {
                senders.iter().for_each(Sender::broadcast);
                let pairs = line["pairs"].as_array().map_or(0, Vec::len);
                let left_out = line["pairs_left_out"].as_u64().unwrap_or(0) as usize;
                // The host sends and receives, too, which makes some more.
                line["type"] == "counters" && pairs >= listed && pairs + left_out >= FEW * (FEW - 1)
            };
            let line = observe.line("a pair for each two", is_full);
            if arguments.ends_with("all") {
                assert_eq!(line["pairs_left_out"], 0);
            } else {
                assert_eq!(line["pairs"].as_array().map(Vec::len), Some(listed));
            }
            assert_eq!(observe.end("TERM").code, Some(0));
        }
    });
}

#[test]
fn of_ports_that_come_and_go_all_the_while_none_stays_unknown() {
    const STAYING: u32 = 200;
    const COMING: u32 = 20;
    in_host(|host| {
        let (mut socket, bridge, senders) = senders(host, STAYING);
        let mut observe = Watched::start("observe br0 --json --interval 0.1 --pairs 10");
        observe.line("the beginning", |line| line["type"] == "observe");
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    senders.iter().for_each(Sender::broadcast);
                }
            });
            let _end = Ending(&is_over);
            for round in 0..10 {
                let came = 400 + round * COMING..400 + (round + 1) * COMING;
                let those: Vec<Sender> =
                    came.clone().map(|number| Sender::new(&mut socket, bridge, number)).collect();
                let last = format!("v{}", came.end - 1);
                let line = observe.line("the last one is counted", |line| {
                    let ports = line["ports"].as_array().into_iter().flatten();
                    line["type"] == "counters" && ports.into_iter().any(|port| port["port"] == *last)
                });
                let known =
                    |name: &str| line["ports"].as_array().unwrap().iter().any(|port| port["port"] == *name);
                let unknown: Vec<String> =
                    came.clone().map(|number| format!("v{number}")).filter(|name| !known(name)).collect();
                assert!(unknown.is_empty(), "round {round}: {unknown:?}");
                // Their ports go with their namespaces.
                drop(those);
            }
        });
        assert_eq!(observe.end("TERM").code, Some(0));
        assert!(!is_observed());
    });
}

/// What it costs to observe this many ports once: requests, and bytes of answers and notices.
fn cost(host: &Host, ports: u32, have_clsact: bool) -> [u64; 2] {
    let mut socket = host.socket();
    let bridge = link::get(&mut socket, IfName::new("br0").unwrap()).unwrap().index;
    for number in 0..ports {
        let name = |end: &str| IfName::new(&format!("{end}{number}")).unwrap();
        veth::create(&mut socket, &Veth { bridge: Some(bridge), ..Veth::new(name("v"), name("p")) }).unwrap();
        if have_clsact {
            let port = link::get(&mut socket, name("v")).unwrap().index;
            netns_core::tc::add_clsact(&mut socket, port).unwrap();
        }
    }
    let (output, trace) = run_traced("-e trace=sendto,recvmsg", "observe br0 --once --json --interval 0.1");
    assert_eq!(output.status.code(), Some(0));
    assert!(have_clsact || !is_observed());
    for number in 0..ports {
        link::delete(&mut socket, IfName::new(&format!("v{number}")).unwrap()).unwrap();
    }
    let requests = trace.lines().filter(|line| line.contains(" sendto(")).count() as u64;
    let received = trace.lines().filter(|line| line.contains(" recvmsg("));
    let bytes = received.filter_map(|line| line.rsplit_once(" = ")?.1.trim().parse::<u64>().ok()).sum();
    [requests, bytes]
}

#[test]
fn a_port_costs_the_same_however_many_there_are() {
    in_host(|host| {
        make_bridge();
        // Whether there is a hook already has to be asked, for each port.
        for have_clsact in [false, true] {
            let [none, some, twice] = [0, 60, 120].map(|ports| cost(host, ports, have_clsact));
            for (what, ((none, some), twice)) in
                ["requests", "bytes"].into_iter().zip(none.into_iter().zip(some).zip(twice))
            {
                let (first, second) = (some - none, twice - some);
                assert!(second * 10 <= first * 13, "{what}: {none}, then {first} and {second} more");
            }
        }
    });
}
