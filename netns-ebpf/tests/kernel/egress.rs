//! Where ports may send to: real datagrams and connections of both families, between namespaces on a bridge and a provider
//! that is the outside world, and every frame of the table through the program.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use netns_core::address::{self, Address};
use netns_core::route::{self, Route};
use netns_core::tc::Direction;
use netns_core::{Namespace, RouteSocket};
use netns_ebpf::attack::{Party, egress_cases};
use netns_ebpf::packet::{EgressRule, Facts, Reason, Rules};
use netns_ebpf::{
    EgressPolicy, EgressRules, Limits, Mode, Monitor, MonitorError, MonitorOptions, Policy, PortRate,
};

use crate::harness::{privileged, settled};
use crate::host::{LONG, SHORT, World};

pub(crate) fn options() -> MonitorOptions {
    MonitorOptions { egress: 4, ..MonitorOptions::default() }
}

fn rule(text: &str) -> EgressRule {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What the bridge's own networks are.
fn own() -> [EgressRule; 2] {
    ["allow 10.1.1.0/24", "allow fd00::/64"].map(rule)
}

/// Addresses of the provider: two of the internet, and some that nobody is to reach by accident.
const INTERNET: [&str; 2] = ["203.0.113.9", "2001:db8::9"];
const REFUSED: [&str; 4] = ["169.254.169.254", "192.168.7.7", "fd00:ec2::254", "fd07::7"];

/// A world whose provider has all of these addresses, and a policy for the first namespace.
struct Outside {
    world: World,
    policy: EgressPolicy,
}

impl Outside {
    fn new(rules: &EgressRules, mode: Mode) -> Self {
        let mut world = World::with(&options());
        let mut provider = RouteSocket::open_in(&world.behind).unwrap();
        for text in INTERNET.iter().chain(&REFUSED) {
            let address = ip(text);
            let (length, via) = if address.is_ipv4() { (32, "10.2.0.2") } else { (128, "fd02::2") };
            let network: netns_core::IpNet = format!("{address}/{length}").parse().unwrap();
            address::add(&mut provider, &Address::new(2, network)).unwrap();
            route::add(&mut world.network.socket, &Route::new(network, Some(ip(via)), None)).unwrap();
        }
        let policy = world.monitor.add_egress(rules).unwrap();
        let outside = Self { world, policy };
        outside.set(Some(mode));
        outside
    }

    fn set(&self, mode: Option<Mode>) {
        let egress = mode.map(|mode| (self.policy, mode));
        self.world.monitor.set_egress(self.world.slots[0], egress).unwrap();
        assert_eq!(self.world.monitor.egress_of(self.world.slots[0]), egress);
    }

    /// Frames that were refused, and of them those that were dropped.
    fn counted(&self) -> [u64; 2] {
        let found = settled(|| self.world.monitor.violations(self.world.slots[0]));
        assert_eq!(found.total(), found.of(Reason::Egress), "{found:?}");
        [found.of(Reason::Egress), found.dropped_rx.packets]
    }

    fn provider(&self) -> &Namespace {
        &self.world.behind
    }

    /// A socket of the first namespace, or of the provider.
    fn udp(at: &Namespace, address: IpAddr, port: u16) -> UdpSocket {
        let start = Instant::now();
        let socket = loop {
            match at.enter(|| UdpSocket::bind((address, port))).unwrap() {
                Ok(socket) => break socket,
                // A program that another test starts has the socket of before for a moment, until it is executed.
                Err(error) => assert!(start.elapsed() < Duration::from_mins(1), "{address}: {error}"),
            }
            thread::sleep(Duration::from_millis(1));
        };
        socket.set_read_timeout(Some(LONG)).unwrap();
        socket
    }
}

/// The first namespace's address of the family of another one.
fn inside_of(address: IpAddr) -> IpAddr {
    if address.is_ipv4() { ip("10.1.1.1") } else { ip("fd00::1") }
}

/// A datagram to each of these, cut out of a frame of the table.
pub(crate) fn datagrams(addresses: &[Ipv4Addr]) -> Vec<Vec<u8>> {
    let cases = egress_cases(&Party::numbered(1), &Party::numbered(2));
    let to = |address: &Ipv4Addr| {
        let mut frame = cases[0].frame.clone();
        frame[30..34].copy_from_slice(&address.octets());
        frame
    };
    addresses.iter().map(to).collect()
}

#[test]
fn what_is_refused_is_not_reached_and_all_else_is() {
    if !privileged("what_is_refused_is_not_reached_and_all_else_is") {
        return;
    }
    let outside = Outside::new(&EgressRules::new().with_all(own()), Mode::Enforce);
    let world = &outside.world;
    for address in INTERNET.map(ip) {
        assert!(world.hears(&world.behind, address, 99), "{address}");
        assert!(World::connects(world.inside(0), &world.behind, address, 80), "{address}");
    }
    // The host and the neighbour, in both families.
    let host = world.network.host.try_clone().unwrap();
    for (at, address) in [
        (&host, "10.1.1.254"),
        (&host, "fd00::fe"),
        (world.inside(1), "10.1.1.2"),
        (world.inside(1), "fd00::2"),
    ] {
        assert!(world.hears(at, ip(address), 99), "{address}");
    }
    assert_eq!(outside.counted(), [0, 0]);
    for address in REFUSED.map(ip) {
        let [before, _] = outside.counted();
        assert!(world.misses(&world.behind, address, 99), "{address}");
        assert_eq!(outside.counted(), [before + 1; 2], "{address}");
        assert!(World::is_refused(world.inside(0), &world.behind, address, 80), "{address}");
        let [after, dropped] = outside.counted();
        assert!(after > before + 1 && dropped == after, "{address}");
    }
    // What is observed passes, and is counted.
    let [before, dropped] = outside.counted();
    outside.set(Some(Mode::Observe));
    for address in REFUSED.map(ip) {
        assert!(world.hears(&world.behind, address, 99), "{address}");
    }
    assert_eq!(outside.counted(), [before + REFUSED.len() as u64, dropped]);
    // And without a policy nothing is refused: it was the policy.
    outside.set(None);
    for address in REFUSED.map(ip) {
        assert!(world.hears(&world.behind, address, 99), "{address}");
        assert!(World::connects(world.inside(0), &world.behind, address, 80), "{address}");
    }
    assert_eq!(outside.counted(), [before + REFUSED.len() as u64, dropped]);
    // A policy of the port names one itself, and its mode holds for both.
    let policy = Policy { egress: Some(outside.policy), ..World::policy(1) };
    world.monitor.set_policy(world.slots[0], &policy).unwrap();
    assert_eq!(world.monitor.policy(world.slots[0]), Some(policy));
    assert!(world.misses(&world.behind, ip(REFUSED[0]), 99));
    world.monitor.set_mode(world.slots[0], Mode::Observe).unwrap();
    assert!(world.hears(&world.behind, ip(REFUSED[0]), 99));
    world.monitor.clear_policy(world.slots[0]).unwrap();
    assert_eq!(world.monitor.egress_of(world.slots[0]), None);
    let mut events = Vec::new();
    world.monitor.events(|event| events.push(event.reason));
    assert!(events.contains(&Reason::Egress) && events.iter().all(|reason| *reason == Reason::Egress));
}

#[test]
fn the_kernels_verdict_of_destinations_is_the_hosts() {
    if !privileged("the_kernels_verdict_of_destinations_is_the_hosts") {
        return;
    }
    let monitor = Monitor::load(&options()).unwrap();
    let ports =
        [rule("allow 192.168.0.0/24 udp/53"), rule("deny 203.0.113.0/24 tcp/53"), rule("deny any udp/54")];
    let few = [
        EgressRules::new(),
        EgressRules::new().with_all(own()),
        EgressRules::new().with_all(own()).with_all(ports),
        EgressRules::new().refusing_others().with_all(own()).with(rule("allow 203.0.113.9 udp/50-60")),
    ];
    let policy = monitor.add_egress(&few[0]).unwrap();
    let cases = egress_cases(&Party::numbered(1), &Party::numbered(2));
    for rules in &few {
        monitor.replace_egress(policy, rules).unwrap();
        let table = rules.compile().unwrap();
        for mode in [Mode::Observe, Mode::Enforce] {
            monitor.set_unassigned_egress(Some((policy, mode))).unwrap();
            for case in &cases {
                let is_refused = table.judge(&case.frame, Facts::of(&case.frame)).is_err();
                let before = monitor.unassigned_violations();
                let run = monitor.test_run(Direction::Ingress, &case.frame, 1).unwrap();
                let after = monitor.unassigned_violations();
                let counted = after.of(Reason::Egress) - before.of(Reason::Egress);
                assert_eq!(counted, u64::from(is_refused), "{}: {:02x?}", case.what, case.frame);
                assert_eq!(run.dropped, is_refused && mode == Mode::Enforce, "{}", case.what);
            }
        }
    }
    // What is read back is what was written, whatever is allowed for a while beside it.
    let written = few[3].compile().unwrap();
    let address = ip("203.0.113.9");
    monitor.allow_egress_for(policy, &[address, ip("203.0.113.10")], Duration::from_mins(1)).unwrap();
    assert_eq!(monitor.egress_table(policy).unwrap(), written);
    assert_ne!(few[2].compile().unwrap(), written);
    monitor.set_unassigned_egress(None).unwrap();
    for case in &cases {
        assert!(!monitor.test_run(Direction::Ingress, &case.frame, 1).unwrap().dropped, "{}", case.what);
    }
}

#[test]
fn a_policy_is_replaced_while_frames_pass() {
    if !privileged("a_policy_is_replaced_while_frames_pass") {
        return;
    }
    // Two policies that let the same through by other rules, beside thousands that matter to nobody.
    let many = |third: u8| {
        let network = move |number: u16| {
            let [high, low] = number.to_be_bytes();
            rule(&format!("allow 198.{third}.{high}.{low}"))
        };
        (0..3000).map(network)
    };
    let one = EgressRules::new().refusing_others().with(rule("allow 203.0.113.0/24")).with_all(many(18));
    let other = EgressRules::new().refusing_others().with(rule("allow 203.0.112.0/23")).with_all(many(19));
    let outside = Outside::new(&one, Mode::Enforce);
    let [to, _] = INTERNET.map(ip);
    let receiver = Outside::udp(outside.provider(), to, 99);
    let sender = Outside::udp(outside.world.inside(0), Ipv4Addr::UNSPECIFIED.into(), 0);
    let (is_over, count) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                sender.send_to(b"hello", (to, 99)).unwrap();
                receiver.recv(&mut [0; 16]).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let start = Instant::now();
        for turn in 0..40 {
            let rules = if turn % 2 == 0 { &other } else { &one };
            outside.world.monitor.replace_egress(outside.policy, rules).unwrap();
            let before = count.load(Ordering::Relaxed);
            while count.load(Ordering::Relaxed) < before + 20 {
                assert!(start.elapsed() < Duration::from_mins(2), "no datagram arrives in turn {turn}");
                thread::yield_now();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    assert_eq!(outside.counted(), [0, 0]);
    // Once it is replaced, no frame is judged by the old one.
    outside.world.monitor.replace_egress(outside.policy, &EgressRules::new().refusing_others()).unwrap();
    assert!(outside.world.misses(outside.provider(), to, 98));
    assert_eq!(outside.counted(), [1, 1]);
}

#[test]
fn what_is_allowed_for_a_while_ends_by_itself() {
    if !privileged("what_is_allowed_for_a_while_ends_by_itself") {
        return;
    }
    let rules = EgressRules::new().refusing_others().with(rule("allow 203.0.113.0/24 tcp/80"));
    let outside = Outside::new(&rules, Mode::Enforce);
    let (world, addresses) = (&outside.world, INTERNET.map(ip));
    for address in addresses {
        assert!(world.misses(&world.behind, address, 99), "{address}");
    }
    let time = Duration::from_secs(3);
    let start = Instant::now();
    let asked: Vec<IpAddr> = addresses.into_iter().chain(REFUSED.map(ip)).collect();
    let refused = world.monitor.allow_egress_for(outside.policy, &asked, time).unwrap();
    assert_eq!(refused, REFUSED.map(ip), "a name that resolves to those opens nothing");
    for address in addresses {
        let is_heard = world.hears(&world.behind, address, 99);
        assert!(is_heard || start.elapsed() > time, "{address}");
    }
    // A policy that takes its place leaves it as it is.
    world.monitor.replace_egress(outside.policy, &rules).unwrap();
    let is_heard = world.hears(&world.behind, addresses[0], 99);
    assert!(is_heard || start.elapsed() > time);
    while world.hears_soon(&world.behind, addresses[0], 99) {
        assert!(start.elapsed() < Duration::from_mins(1), "it does not end");
    }
    assert!(start.elapsed() >= time);
    assert!(world.misses(&world.behind, addresses[1], 99));
    // What was allowed before and after still is.
    assert!(World::connects(world.inside(0), &world.behind, addresses[0], 80));
}

#[test]
fn what_is_over_makes_room_and_leaves_the_rules() {
    if !privileged("what_is_over_makes_room_and_leaves_the_rules") {
        return;
    }
    let monitor = Monitor::load(&options()).unwrap();
    let rules = EgressRules::new().with(rule("deny 203.0.113.9")).with(rule("deny 198.51.100.0/24"));
    let policy = monitor.add_egress(&rules).unwrap();
    let table = rules.compile().unwrap();
    let short = Duration::from_millis(1);
    let refused = monitor.allow_egress_for(policy, &[ip("203.0.113.9"), ip("198.51.100.1")], short).unwrap();
    assert!(refused.is_empty());
    // As many as there is room for, twice: the first ones are over by then.
    for third in [16, 17] {
        let many: Vec<IpAddr> = (0..=u16::MAX)
            .map(|number| {
                let [high, low] = number.to_be_bytes();
                Ipv4Addr::new(20, third, high, low).into()
            })
            .collect();
        // A fast machine comes here before the ones above are over.
        thread::sleep(short);
        monitor.allow_egress_for(policy, &many, short).unwrap();
    }
    thread::sleep(short);
    monitor.allow_egress_for(policy, &[ip("203.0.113.10")], short).unwrap();
    assert_eq!(monitor.egress_table(policy).unwrap(), table);
    // By the NAT64 address of an IPv4 address, that one is allowed; and one in a list is not.
    let by_nat64 = [ip("64:ff9b::203.0.113.9"), ip("64:ff9b::10.0.0.1")];
    let refused = monitor.allow_egress_for(policy, &by_nat64, Duration::from_mins(1)).unwrap();
    assert_eq!(refused, by_nat64[1..]);
    monitor.set_unassigned_egress(Some((policy, Mode::Enforce))).unwrap();
    let frame = &datagrams(&[Ipv4Addr::new(203, 0, 113, 9)])[0];
    assert!(!monitor.test_run(Direction::Ingress, frame, 1).unwrap().dropped);
}

#[test]
fn answers_pass_to_those_who_may_not_be_asked() {
    if !privileged("answers_pass_to_those_who_may_not_be_asked") {
        return;
    }
    let outside = Outside::new(&EgressRules::new().with_all(own()), Mode::Enforce);
    let world = &outside.world;
    for peer in ["192.168.7.7", "fd07::7"].map(ip) {
        let own = inside_of(peer);
        // TCP: both ways, in a connection that the peer opened, and none that it did not.
        let listener = world.inside(0).enter(|| TcpListener::bind((own, 80)).unwrap()).unwrap();
        let mut client = outside.provider().enter(|| connect_from(peer, (own, 80).into())).unwrap().unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server.write_all(&vec![7; 100_000]).unwrap();
        let mut got = vec![0; 100_000];
        client.read_exact(&mut got).unwrap();
        client.write_all(b"?").unwrap();
        server.read_exact(&mut [0; 1]).unwrap();
        assert!(World::is_refused(world.inside(0), outside.provider(), peer, 80), "{peer}");
        // UDP: from the port that was asked to the one that asked, of any length.
        let server = Outside::udp(world.inside(0), own, 5353);
        let client = Outside::udp(outside.provider(), peer, 4000);
        client.send_to(b"?", (own, 5353)).unwrap();
        let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
        assert_eq!(from, (peer, 4000).into());
        for length in [1, 4000, 20_000] {
            server.send_to(&vec![1; length], from).unwrap();
            assert_eq!(client.recv(&mut vec![0; 30_000]).unwrap(), length, "{peer}");
        }
        let [before, _] = outside.counted();
        let other = Outside::udp(outside.provider(), peer, 4001);
        other.set_read_timeout(Some(SHORT)).unwrap();
        server.send_to(b"!", (peer, 4001)).unwrap();
        assert!(other.recv(&mut [0; 16]).is_err(), "{peer}: a port that did not ask");
        let elsewhere = Outside::udp(world.inside(0), own, 5354);
        client.set_read_timeout(Some(SHORT)).unwrap();
        elsewhere.send_to(b"!", (peer, 4000)).unwrap();
        assert!(client.recv(&mut [0; 16]).is_err(), "{peer}: from a port that was not asked");
        assert_eq!(outside.counted(), [before + 2; 2]);
        // An ICMP error about what the peer sent.
        let asker = Outside::udp(outside.provider(), peer, 4002);
        asker.connect((own, 9)).unwrap();
        asker.send(b"?").unwrap();
        let answer = asker.recv(&mut [0; 16]).unwrap_err();
        assert_eq!(answer.kind(), io::ErrorKind::ConnectionRefused, "{peer}");
        assert_eq!(outside.counted(), [before + 2; 2]);
    }
}

/// Connects from an address.
fn connect_from(from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    let family = if from.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: a new descriptor, which nobody else owns once it is known to be one.
    let socket = unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        OwnedFd::from_raw_fd(fd)
    };
    let call = |address: SocketAddr, is_bind: bool| {
        let (bytes, length) = encode(address);
        // SAFETY: `bytes` is an address of this length.
        let result = unsafe {
            let address = bytes.as_ptr().cast();
            if is_bind {
                libc::bind(socket.as_raw_fd(), address, length)
            } else {
                libc::connect(socket.as_raw_fd(), address, length)
            }
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    call((from, 0).into(), true)?;
    call(to, false)?;
    Ok(TcpStream::from(socket))
}

/// An address as the kernel takes it.
fn encode(address: SocketAddr) -> (Vec<u8>, libc::socklen_t) {
    let port = address.port().to_be_bytes();
    let bytes = match address.ip() {
        IpAddr::V4(ip) => [&(libc::AF_INET as u16).to_ne_bytes()[..], &port, &ip.octets(), &[0; 8]].concat(),
        IpAddr::V6(ip) => {
            [&(libc::AF_INET6 as u16).to_ne_bytes()[..], &port, &[0; 4], &ip.octets(), &[0; 4]].concat()
        }
    };
    let length = bytes.len() as libc::socklen_t;
    (bytes, length)
}

#[test]
fn policies_outlive_the_process_that_made_them() {
    if !privileged("policies_outlive_the_process_that_made_them") {
        return;
    }
    let outside = Outside::new(&EgressRules::new().with_all(own()), Mode::Enforce);
    let again = Monitor::reopen(outside.world.monitor.program_ids()).unwrap();
    let slot = outside.world.slots[0];
    assert_eq!(again.egress_of(slot), Some((outside.policy, Mode::Enforce)));
    let [internet, _] = INTERNET.map(ip);
    again.replace_egress(outside.policy, &EgressRules::new().refusing_others()).unwrap();
    assert!(outside.world.misses(outside.provider(), internet, 99));
    again.set_egress(slot, None).unwrap();
    assert!(outside.world.hears(outside.provider(), internet, 99));
    again.remove_egress(outside.policy).unwrap();
}

#[test]
fn what_there_is_none_of_is_an_error() {
    if !privileged("what_there_is_none_of_is_an_error") {
        return;
    }
    let without = Monitor::load(&MonitorOptions::default()).unwrap();
    assert!(matches!(without.add_egress(&EgressRules::new()), Err(MonitorError::EgressOff)));
    let monitor = Monitor::load(&MonitorOptions { egress: 1, ..options() }).unwrap();
    let none = EgressPolicy::new(1);
    let slot = monitor.assign(7).unwrap();
    let unknown = |result| matches!(result, Err(MonitorError::NoEgressPolicy { .. }));
    assert!(unknown(monitor.set_egress(slot, Some((none, Mode::Enforce)))));
    assert!(
        unknown(monitor.replace_egress(none, &EgressRules::new())) && unknown(monitor.remove_egress(none))
    );
    let policy = monitor.add_egress(&EgressRules::new()).unwrap();
    let full = monitor.add_egress(&EgressRules::new());
    assert!(matches!(full, Err(MonitorError::EgressPolicies { limit: 1 })));
    monitor.set_egress(slot, Some((policy, Mode::Enforce))).unwrap();
    assert!(matches!(monitor.remove_egress(policy), Err(MonitorError::EgressInUse { .. })));
    // A slot that is given out again has none.
    monitor.release(slot).unwrap();
    monitor.remove_egress(policy).unwrap();
    assert_eq!(monitor.add_egress(&EgressRules::new()).unwrap(), policy);
}

#[test]
fn a_policy_that_is_refused_changes_nothing_of_the_one_before() {
    if !privileged("a_policy_that_is_refused_changes_nothing_of_the_one_before") {
        return;
    }
    let options = MonitorOptions { slots: 16, egress: 4, limits: false, ..MonitorOptions::default() };
    let monitor = Monitor::load(&options).unwrap();
    let egress = monitor.add_egress(&EgressRules::new()).unwrap();
    let slot = monitor.assign(1000).unwrap();
    let rules = Rules::new([2, 0, 0, 0, 0, 1]);
    let before = Policy { mode: Mode::Enforce, egress: Some(egress), ..Policy::new(rules) };
    monitor.set_policy(slot, &before).unwrap();
    // It takes the egress policy away, and has limits, which these programs know nothing of.
    let limits = Limits { outgoing: PortRate::bits(1_000_000), ..Limits::default() };
    let refused = monitor.set_policy(slot, &Policy { limits, egress: None, ..before });
    assert!(matches!(refused, Err(MonitorError::Unlimited)), "{refused:?}");
    assert_eq!(monitor.policy(slot), Some(before));
    assert_eq!(monitor.egress_of(slot), Some((egress, Mode::Enforce)));
}
