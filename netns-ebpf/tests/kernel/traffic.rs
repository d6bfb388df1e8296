//! Honest traffic of the kernel's own stack, enforced: nothing of it is a violation.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{io::Write, net::TcpListener, net::TcpStream, thread};

use netns_core::address::{self, Address};
use netns_core::bridge::{self, Bridge};
use netns_core::ping::{Ping, ping};
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_core::{MacAddress, Namespace, RouteSocket, link, tc};
use netns_ebpf::attack::FrameSocket;
use netns_ebpf::packet::{Facts, Permissions, Reason, Rules, judge};
use netns_ebpf::{Monitor, MonitorOptions, Policy, Slot};

use crate::harness::{Scratch, installed, name, privileged, seen, settled, until_up};

/// A namespace with both kinds of addresses, which nobody keeps from what stacks do of themselves.
struct Sandbox {
    namespace: Namespace,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    port: u32,
    slot: Slot,
    mac: MacAddress,
    rules: Rules,
}

const ETH0: u32 = 2;
/// Longer than anything here takes on a machine that is emulated and busy.
const PATIENCE: Duration = Duration::from_mins(1);

fn sandbox(host: &mut RouteSocket, monitor: &Monitor, number: u8) -> Sandbox {
    let namespace = Namespace::anonymous().unwrap();
    let (port, mac) = (100 + u32::from(number), MacAddress::local(number.into()));
    let v4 = Ipv4Addr::new(10, 1, 1, number);
    let v6 = Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, number.into());
    let slot = monitor.assign(port).unwrap();
    let policy = Policy::of_host(mac, &[v4.into(), v6.into()]).unwrap();
    monitor.set_policy(slot, &policy.enforced()).unwrap();

    let mut batch = Batch::new();
    let veth = Veth {
        index: Some(port),
        peer_index: Some(ETH0),
        peer_mac: Some(mac),
        bridge: Some(2),
        peer_namespace: Some(namespace.as_fd()),
        ..Veth::new(name(&format!("port{number}")), name("eth0"))
    };
    veth::encode_create(&mut batch, &veth);
    tc::encode_add_clsact(&mut batch, port);
    for filter in monitor.filters(port, slot) {
        tc::encode_add_filter(&mut batch, &filter);
    }
    host.execute(&mut batch).unwrap();
    let mut inside = RouteSocket::open_in(&namespace).unwrap();
    link::set_up(&mut inside, 1_u32).unwrap();
    link::set_up(&mut inside, ETH0).unwrap();
    link::set_up(host, port).unwrap();
    for net in [format!("{v4}/24"), format!("{v6}/64")] {
        address::add(&mut inside, &Address::new(ETH0, net.parse().unwrap())).unwrap();
    }
    until_up(&mut inside, ETH0);
    until_up(host, port);
    Sandbox { namespace, v4, v6, port, slot, mac, rules: policy.rules }
}

/// A stream, long enough for trains of segments.
fn stream(from: &Sandbox, to: &Sandbox, address: SocketAddr) {
    const BYTES: usize = 20_000_000;
    let listener = to.namespace.enter(|| TcpListener::bind(address).unwrap()).unwrap();
    let mut sender = from.namespace.enter(|| TcpStream::connect(address).unwrap()).unwrap();
    let mut receiver = listener.accept().unwrap().0;
    let reader = thread::spawn(move || std::io::copy(&mut receiver, &mut std::io::sink()).unwrap());
    sender.write_all(&vec![7; BYTES]).unwrap();
    drop(sender);
    assert_eq!(reader.join().unwrap(), BYTES as u64);
}

/// Datagrams, the longest of which goes in fragments; and one to a port where nobody listens.
fn datagrams(from: &Sandbox, to: &Sandbox, address: SocketAddr) {
    let receiver = to.namespace.enter(|| UdpSocket::bind(address).unwrap()).unwrap();
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let sender = from.namespace.enter(|| UdpSocket::bind(any).unwrap()).unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    for length in [0, 1, 100, 1400, 5000, 30_000] {
        sender.send_to(&vec![1; length], address).unwrap();
        assert_eq!(receiver.recv(&mut vec![0; 65_536]).unwrap(), length);
    }
    drop(receiver);
    // Answered by ICMP.
    sender.send_to(b"hello", address).unwrap();
}

/// What a DHCP client sends and hears, by sockets as one that has an address does.
fn dhcp(from: &Sandbox) {
    let client = from.namespace.enter(|| UdpSocket::bind(("0.0.0.0", 68)).unwrap()).unwrap();
    client.set_broadcast(true).unwrap();
    let mut discover = vec![0; 300];
    discover[..4].copy_from_slice(&[1, 1, 6, 0]);
    discover[28..34].copy_from_slice(&from.mac.0);
    client.send_to(&discover, ("10.1.1.255", 67)).unwrap();
}

/// Joins a group of each family, which the kernel reports by IGMP and MLD, and leaves it.
fn multicast(from: &Sandbox) {
    let v4 = from.namespace.enter(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap()).unwrap();
    let v6 = from.namespace.enter(|| UdpSocket::bind(("::", 0)).unwrap()).unwrap();
    v4.join_multicast_v4(&Ipv4Addr::new(239, 1, 2, 3), &from.v4).unwrap();
    v6.join_multicast_v6(&"ff05::1234".parse().unwrap(), ETH0).unwrap();
    v4.leave_multicast_v4(&Ipv4Addr::new(239, 1, 2, 3), &from.v4).unwrap();
    v6.leave_multicast_v6(&"ff05::1234".parse().unwrap(), ETH0).unwrap();
}

/// Asks for hosts that are not there, by ARP and by neighbour discovery.
fn ask(from: &Sandbox) {
    let v4 = from.namespace.enter(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap()).unwrap();
    let v6 = from.namespace.enter(|| UdpSocket::bind(("::", 0)).unwrap()).unwrap();
    v4.send_to(b"hello", ("10.1.1.99", 7)).unwrap();
    v6.send_to(b"hello", ("fd00::99", 7)).unwrap();
}

/// What a frame is, of those that a stack sends of itself.
fn kind(frame: &[u8]) -> Option<&'static str> {
    let (header, payload) = frame.split_at_checked(14)?;
    match (&header[12..], payload) {
        ([0x08, 0x06], _) => Some("ARP"),
        ([0x08, 0x00], [_, _, _, _, _, _, _, _, _, 2, ..]) => Some("IGMP"),
        ([0x08, 0x00], [0x45, ..]) if payload[9] == 17 && payload[22..24] == [0, 67] => Some("DHCP"),
        // Behind a router alert.
        ([0x86, 0xDD], [_, _, _, _, _, _, 0, ..]) if payload[40] == 58 && payload[48] == 143 => Some("MLD"),
        ([0x86, 0xDD], [_, _, _, _, _, _, 58, ..]) if payload[40] == 135 => Some("ND"),
        _ => None,
    }
}

/// Has a sandbox say all that a stack says of itself, hears it at its port, and judges it here as the program did there.
fn say_everything(host: &Namespace, from: &Sandbox) {
    let port = host.enter(|| FrameSocket::open(from.port).unwrap()).unwrap();
    dhcp(from);
    multicast(from);
    ask(from);
    let mut heard = BTreeSet::new();
    let started = Instant::now();
    while heard.len() < 5 && started.elapsed() < PATIENCE {
        let frame = port.receive(Duration::from_millis(100)).unwrap();
        let Some(frame) = frame.filter(|frame| frame[6..12] == from.mac.0) else { continue };
        assert_eq!(judge(&frame[..], Facts::of(&frame), &from.rules), Ok(()), "{frame:02x?}");
        heard.extend(kind(&frame));
    }
    assert_eq!(heard, BTreeSet::from(["ARP", "DHCP", "IGMP", "MLD", "ND"]), "port {}", from.port);
}

#[test]
fn honest_traffic_passes_and_counters_are_the_kernels() {
    if !privileged("honest_traffic_passes_and_counters_are_the_kernels") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let host = Namespace::anonymous().unwrap();
    let mut socket = RouteSocket::open_in(&host).unwrap();
    let bridge = Bridge { index: Some(2), up: true, ..Bridge::new(name("br0"), MacAddress::local(254)) };
    bridge::create(&mut socket, &bridge).unwrap();
    let sandboxes: Vec<_> = (1..=3).map(|number| sandbox(&mut socket, &monitor, number)).collect();

    let deadline = Instant::now() + PATIENCE;
    let mut rounds = 0;
    while rounds < 6 {
        assert!(Instant::now() < deadline, "IPv6 is not ready");
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            let (from, to) = (&sandboxes[from], &sandboxes[to]);
            // Duplicate detection takes a second or two before an IPv6 address can be used.
            let addresses: [SocketAddr; 2] = [(to.v4, 7).into(), (to.v6, 7).into()];
            let is_ready =
                ping(&from.namespace, &Ping::new(to.v6.into())).is_ok_and(|report| report.all_received());
            for address in addresses.into_iter().take(1 + usize::from(is_ready)) {
                let reachable = Ping { timeout: PATIENCE, ..Ping::new(address.ip()) };
                assert!(ping(&from.namespace, &reachable).unwrap().all_received());
                stream(from, to, address);
                datagrams(from, to, address);
                rounds += usize::from(address.is_ipv6());
            }
            dhcp(from);
            multicast(from);
        }
    }
    for sandbox in &sandboxes {
        say_everything(&host, sandbox);
    }
    // What answers the last datagram, and reports of groups left, are on their way.
    thread::sleep(Duration::from_secs(1));
    monitor.events(|event| eprintln!("{event:02x?}"));
    for sandbox in &sandboxes {
        let violations = monitor.violations(sandbox.slot);
        assert_eq!(violations.iter().collect::<Vec<_>>(), [], "port {}", sandbox.port);
        settled(|| {
            let stats = link::stats(&mut socket, sandbox.port).unwrap();
            let counters = monitor.counters(sandbox.slot);
            let kernel = [(stats.rx_packets, stats.rx_bytes), (stats.tx_packets, stats.tx_bytes)];
            (kernel == [seen(counters.rx), seen(counters.tx)], kernel)
        });
        let stats = link::stats(&mut socket, sandbox.port).unwrap();
        let counters = monitor.counters(sandbox.slot);
        assert_eq!(seen(counters.rx), (stats.rx_packets, stats.rx_bytes), "port {}", sandbox.port);
        assert_eq!(seen(counters.tx), (stats.tx_packets, stats.tx_bytes), "port {}", sandbox.port);
        assert!(
            counters.rx.segments > 2 * counters.rx.packets,
            "there were trains of segments: {counters:?}"
        );
    }
}

/// A client's whole conversation, by programs that people use: busybox's, of Debian's udhcpc and udhcpd.
#[test]
fn a_dhcp_client_gets_its_lease() {
    const TOOLS: [&str; 2] = ["/usr/sbin/udhcpd", "/usr/sbin/udhcpc"];
    let test = "a_dhcp_client_gets_its_lease";
    if !privileged(test) || !installed(test, &TOOLS, "udhcpd udhcpc") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let host = Namespace::anonymous().unwrap();
    let mut socket = RouteSocket::open_in(&host).unwrap();
    let bridge = Bridge { index: Some(2), up: true, ..Bridge::new(name("br0"), MacAddress::local(254)) };
    bridge::create(&mut socket, &bridge).unwrap();
    let [server, client] = [1, 2].map(|number| sandbox(&mut socket, &monitor, number));
    let scratch = Scratch::new(test);
    let folder = &scratch.0;
    let file = |name: &str| folder.join(name).display().to_string();
    let settings = format!(
        "start 10.1.1.2\nend 10.1.1.2\ninterface eth0\nlease_file {}\npidfile {}\n",
        file("leases"),
        file("pid")
    );
    fs::write(folder.join("settings"), settings).unwrap();
    fs::write(folder.join("leases"), "").unwrap();

    let lease = || {
        let mut daemon =
            server.namespace.spawn(Command::new(TOOLS[0]).args(["-f", &file("settings")])).unwrap();
        // Some tries: the server needs a moment to begin.
        let mut tries = Command::new(TOOLS[1]);
        tries.args(["-i", "eth0", "-f", "-n", "-q", "-t", "5", "-T", "1", "-s", "/bin/true"]);
        let status = client.namespace.run(&mut tries).unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        status.success()
    };
    assert!(!lease(), "the server's port may not serve");
    assert!(monitor.violations(server.slot).of(Reason::DhcpServer) > 0);
    let rules = Rules::new(MacAddress::local(1).0).with_ipv4(server.v4, 32).unwrap();
    let rules = rules.with_link_local().unwrap().permitting(Permissions::DHCP_SERVER);
    monitor.set_policy(server.slot, &Policy::new(rules).enforced()).unwrap();
    assert!(lease(), "now it may");
    assert_eq!(monitor.violations(client.slot).iter().collect::<Vec<_>>(), []);
}

#[test]
fn groups_are_kept_apart() {
    if !privileged("groups_are_kept_apart") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let host = Namespace::anonymous().unwrap();
    let mut socket = RouteSocket::open_in(&host).unwrap();
    let bridge = Bridge { index: Some(2), up: true, ..Bridge::new(name("br0"), MacAddress::local(254)) };
    bridge::create(&mut socket, &bridge).unwrap();
    let sandboxes: Vec<_> = (1..=3).map(|number| sandbox(&mut socket, &monitor, number)).collect();
    let reaches = |from: usize, to: usize| {
        let ping = ping(&sandboxes[from].namespace, &Ping::new(sandboxes[to].v4.into()));
        ping.is_ok_and(|report| report.all_received())
    };
    assert!(reaches(0, 1) && reaches(0, 2));
    let rules = Rules::new(MacAddress::local(3).0).with_ipv4(sandboxes[2].v4, 32).unwrap();
    let rules = rules.with_ipv6(sandboxes[2].v6, 128).unwrap().with_link_local().unwrap();
    let other = Policy { group: 5, ..Policy::new(rules).enforced() };
    monitor.set_policy(sandboxes[2].slot, &other).unwrap();
    assert!(reaches(0, 2), "at first all may");
    monitor.set_group_pair(0, 5, false).unwrap();
    assert!(!reaches(0, 2) && !reaches(2, 0) && reaches(0, 1));
    assert!(monitor.violations(sandboxes[0].slot).of(netns_ebpf::packet::Reason::Group) > 0);
    let dropped = monitor.violations(sandboxes[2].slot).dropped_tx;
    assert!(dropped.packets > 0 && dropped.bytes > 0, "{dropped:?}");
    monitor.set_group_pair(0, 5, true).unwrap();
    assert!(reaches(0, 2));
    let sandbox = &sandboxes[2];
    let sent = settled(|| {
        let stats = link::stats(&mut socket, sandbox.port).unwrap();
        (stats.tx_packets, stats.tx_bytes)
    });
    assert_eq!(seen(monitor.counters(sandbox.slot).tx), sent, "what is dropped is in neither");
}
