//! What others began with ports that may not begin anything with them: whose it is, and what begins nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use netns_core::link;
use netns_core::nat::{self, Nat, NatOptions, PortProtocol, Publication};
use netns_core::tc::Direction;
use netns_core::{Namespace, sysctl};
use netns_ebpf::attack::{Party, egress_cases};
use netns_ebpf::packet::{EgressRule, Reason};
use netns_ebpf::{EgressPolicy, EgressRules, Mode, Monitor};

use crate::egress::options;
use crate::harness::{name, privileged, settled};
use crate::host::{LONG, SHORT, World};

const OWN: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 254);
/// Somebody on another network, whom the policy does not allow to be asked.
const PEER: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 2);
/// The first of those who ask much: 10.64.0.0.
const FLOODERS: u32 = 0x0A40_0000;

/// A world whose first namespace may reach nothing that is private, with a policy that others can share.
fn world() -> (World, EgressPolicy) {
    let world = World::with(&options());
    let policy = world.monitor.add_egress(&EgressRules::new()).unwrap();
    world.monitor.set_egress(world.slots[0], Some((policy, Mode::Enforce))).unwrap();
    (world, policy)
}

fn udp(at: &Namespace, address: impl Into<IpAddr>, port: u16) -> UdpSocket {
    let to = SocketAddr::new(address.into(), port);
    let socket = at.enter(|| UdpSocket::bind(to).unwrap()).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    socket
}

/// Asks, and says whether the answer arrives; that is refused, and not lost, if it does not.
fn is_answered(world: &World, asker: &UdpSocket, server: &UdpSocket) -> bool {
    asker.send_to(b"?", server.local_addr().unwrap()).unwrap();
    let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
    arrives(world, asker, || server.send_to(b"!", from).unwrap())
}

fn arrives(world: &World, at: &UdpSocket, send: impl Fn() -> usize) -> bool {
    let refused = || settled(|| world.monitor.violations(world.slots[0])).of(Reason::Egress);
    let before = refused();
    send();
    if refused() > before {
        at.set_read_timeout(Some(SHORT)).unwrap();
        let arrived = at.recv(&mut [0; 16]).is_ok();
        at.set_read_timeout(Some(LONG)).unwrap();
        assert!(!arrived, "refused, and there");
        return false;
    }
    at.recv(&mut [0; 16]).unwrap();
    true
}

/// Sends so many datagrams, each from another address and port of the internet, to the port that has no slot: it is the only
/// one that frames can be sent to in hundreds of thousands without others' getting them.
fn flood(monitor: &Monitor, count: u32) {
    let cases = egress_cases(&Party::numbered(1), &Party::numbered(2));
    let mut frame = cases[0].frame.clone();
    for number in 0..count {
        // What is refused by the list: answers to it pass only because it was begun.
        frame[26..30].copy_from_slice(&(FLOODERS + number).to_be_bytes());
        let run = monitor.test_run(Direction::Egress, &frame, 1).unwrap();
        assert!(!run.dropped);
    }
}

#[test]
fn who_is_asked_much_displaces_only_itself() {
    if !privileged("who_is_asked_much_displaces_only_itself") {
        return;
    }
    let (world, policy) = world();
    world.monitor.set_unassigned_egress(Some((policy, Mode::Enforce))).unwrap();
    let server = udp(world.inside(0), OWN, 5353);
    // Many, since the table that this one has replaced kept the last ones of each CPU apart.
    let clients: Vec<_> = (4000..4600).map(|port| udp(&world.behind, PEER, port)).collect();
    for client in &clients {
        client.send_to(b"?", (OWN, 5353)).unwrap();
        server.recv(&mut [0; 16]).unwrap();
    }
    // More than there is room for altogether.
    flood(&world.monitor, 200_000);
    for client in &clients[..16] {
        let to = client.local_addr().unwrap();
        assert!(arrives(&world, client, || server.send_to(b"!", to).unwrap()), "{to}: what was begun before");
    }
    for port in 5000..5016 {
        let client = udp(&world.behind, PEER, port);
        assert!(is_answered(&world, &client, &server), "{port}: there is room for what comes after");
    }
    // The last one of the flood has found room, in a place of another of its own.
    let cases = egress_cases(&Party::numbered(1), &Party::numbered(2));
    let mut answer = cases[0].frame.clone();
    answer[30..34].copy_from_slice(&(FLOODERS + 199_999).to_be_bytes());
    let ports: [u8; 4] = answer[34..38].try_into().unwrap();
    answer[34..38].copy_from_slice(&[ports[2], ports[3], ports[0], ports[1]]);
    assert!(!world.monitor.test_run(Direction::Ingress, &answer, 1).unwrap().dropped);
}

#[test]
fn an_answer_to_everybody_begins_nothing() {
    if !privileged("an_answer_to_everybody_begins_nothing") {
        return;
    }
    let (world, _) = world();
    let host = &world.network.host;
    let service = udp(host, Ipv4Addr::UNSPECIFIED, 6000);
    let guest = udp(world.inside(0), Ipv4Addr::UNSPECIFIED, 4000);
    guest.set_broadcast(true).unwrap();
    let to_service = || guest.send_to(b"!", (HOST, 6000)).unwrap();
    assert!(!arrives(&world, &service, to_service), "the host may not be asked");
    // It answers what everybody was asked, and the answer arrives.
    guest.send_to(b"?", (Ipv4Addr::BROADCAST, 6000)).unwrap();
    let (_, from) = service.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from, (OWN, 4000).into());
    service.send_to(b"!", from).unwrap();
    guest.recv(&mut [0; 16]).unwrap();
    assert!(!arrives(&world, &service, to_service), "it was no idea of the host's");
    // What the host begins itself is answered, and so is what it forwards, also to the port that asked.
    let other = udp(world.inside(0), OWN, 4001);
    assert!(is_answered(&world, &service, &other));
    let client = udp(&world.behind, PEER, 6001);
    client.send_to(b"?", (OWN, 4000)).unwrap();
    let (_, from) = guest.recv_from(&mut [0; 16]).unwrap();
    assert!(arrives(&world, &client, || guest.send_to(b"!", from).unwrap()));
}

#[test]
fn a_neighbour_under_the_hosts_address_begins_nothing() {
    if !privileged("a_neighbour_under_the_hosts_address_begins_nothing") {
        return;
    }
    let (mut world, policy) = world();
    let host = world.network.host.try_clone().unwrap();
    let bridge = link::get(&mut world.network.socket, name("br0")).unwrap();
    let subnets = vec!["10.1.1.0/24".parse().unwrap()];
    let options =
        NatOptions { masquerade: true, ..NatOptions::new(bridge.index, bridge.mac.unwrap(), subnets) };
    let mut nat = match Nat::create(&host, &nat::unused_name(), options) {
        Ok(nat) => nat,
        Err(error) if error.kind() == netns_core::ErrorKind::Unsupported => return,
        Err(error) => panic!("{error}"),
    };
    nat.publish(&Publication::new(PortProtocol::Udp, 8080, (OWN, 5353).into()), "test").unwrap();
    sysctl::set(&host, "net.ipv4.conf.br0.send_redirects", "0").unwrap();
    let server = udp(world.inside(0), OWN, 5353);
    let mut ways = 0;
    // By routing and, where the kernel has that, by translation in the bridge.
    for in_bridge in ["0", "1"] {
        let is_set = sysctl::set(&host, "net.bridge.bridge-nf-call-iptables", in_bridge).is_ok();
        if is_set || in_bridge == "0" {
            begins_nothing(&world, &server, 4000 + ways);
            ways += 1;
        }
    }
    // Somebody outside is answered by the same way in, and so is the neighbour if the policy allows the bridge's network.
    let client = udp(&world.behind, PEER, 4000);
    client.send_to(b"?", (Ipv4Addr::new(10, 2, 0, 1), 8080)).unwrap();
    let (_, outside) = server.recv_from(&mut [0; 16]).unwrap();
    assert!(arrives(&world, &client, || server.send_to(b"!", outside).unwrap()));
    let rule: EgressRule = "allow 10.1.1.0/24".parse().unwrap();
    world.monitor.replace_egress(policy, &EgressRules::new().with(rule)).unwrap();
    let neighbour = udp(world.inside(1), Ipv4Addr::UNSPECIFIED, 4100);
    neighbour.send_to(b"?", (Ipv4Addr::new(10, 2, 0, 1), 8080)).unwrap();
    let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
    assert!(arrives(&world, &neighbour, || server.send_to(b"!", from).unwrap()));
}

/// The neighbour asks at the published port.
fn begins_nothing(world: &World, server: &UdpSocket, port: u16) {
    let host = &world.network.host;
    let neighbour = udp(world.inside(1), Ipv4Addr::UNSPECIFIED, port);
    neighbour.send_to(b"?", (Ipv4Addr::new(10, 2, 0, 1), 8080)).unwrap();
    let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
    assert_eq!(from.ip(), IpAddr::from(HOST), "it is not masqueraded");
    let to_host = udp(host, HOST, 7000);
    assert!(!arrives(world, &to_host, || server.send_to(b"!", (HOST, 7000)).unwrap()));
    assert!(!arrives(world, &neighbour, || server.send_to(b"!", from).unwrap()));
}
