//! What ports may send to the host, and whether it passes on what they send: real datagrams and connections of both
//! families, between two namespaces, the host and somebody behind it.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use netns_core::address::{self, Address};
use netns_core::route::{self, Route};
use netns_core::veth::{self, Veth};
use netns_core::{MacAddress, Namespace, RouteSocket, link, sysctl};
use netns_ebpf::packet::{HostAccess, Reason, Rules, Service};
use netns_ebpf::{Monitor, MonitorOptions, Policy, Slot};

use crate::harness::{Network, name, privileged, settled, until_up};

/// How long what does not arrive is waited for.
pub(crate) const SHORT: Duration = Duration::from_millis(200);
pub(crate) const LONG: Duration = Duration::from_secs(20);

const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 254));
const HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 254));
const BEHIND: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 2, 0, 2));
const BEHIND6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xFD02, 0, 0, 0, 0, 0, 0, 2));

/// Two namespaces on a bridge whose host forwards, and one behind the host.
pub(crate) struct World {
    pub(crate) monitor: Monitor,
    pub(crate) network: Network,
    pub(crate) behind: Namespace,
    pub(crate) slots: [Slot; 2],
}

fn v6(number: usize) -> Ipv6Addr {
    Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, number as u16)
}

impl World {
    fn new(barrier: bool) -> Self {
        Self::with(&MonitorOptions { barrier, ..MonitorOptions::default() })
    }

    pub(crate) fn with(options: &MonitorOptions) -> Self {
        let monitor = Monitor::load(options).unwrap();
        let mut network = Network::new();
        let slots = [(); 2].map(|()| network.add(Some(&monitor)).unwrap());
        network.introduce();
        let host = network.host.try_clone().unwrap();
        let behind = Namespace::anonymous().unwrap();
        let uplink = Veth {
            index: Some(50),
            peer_index: Some(2),
            up: true,
            peer_namespace: Some(behind.as_fd()),
            ..Veth::new(name("uplink"), name("eth0"))
        };
        veth::create(&mut network.socket, &uplink).unwrap();
        let mut inner = RouteSocket::open_in(&behind).unwrap();
        link::set_up(&mut inner, 2).unwrap();
        let everywhere = [(&host, "br0"), (&host, "uplink"), (&behind, "eth0")];
        let inside = network.insides.iter().map(|inside| (&inside.namespace, "eth0"));
        for (namespace, device) in everywhere.into_iter().chain(inside) {
            for (key, value) in [("accept_dad", "0"), ("disable_ipv6", "0")] {
                sysctl::set(namespace, &format!("net.ipv6.conf.{device}.{key}"), value).unwrap();
            }
        }
        let add = |socket: &mut RouteSocket, index, net: &str| {
            address::add(socket, &Address::new(index, net.parse().unwrap())).unwrap();
        };
        add(&mut network.socket, network.bridge, "fd00::fe/64");
        add(&mut network.socket, 50, "10.2.0.1/24");
        add(&mut network.socket, 50, "fd02::1/64");
        add(&mut inner, 2, "10.2.0.2/24");
        add(&mut inner, 2, "fd02::2/64");
        until_up(&mut inner, 2);
        let by = |socket: &mut RouteSocket, gateway: [&str; 2]| {
            for gateway in gateway {
                let via: IpAddr = gateway.parse().unwrap();
                let to = if via.is_ipv4() { "0.0.0.0/0" } else { "::/0" };
                route::add(socket, &Route::new(to.parse().unwrap(), Some(via), None)).unwrap();
            }
        };
        by(&mut inner, ["10.2.0.1", "fd02::1"]);
        for (number, inside) in network.insides.iter().enumerate() {
            let mut socket = RouteSocket::open_in(&inside.namespace).unwrap();
            add(&mut socket, 2, &format!("{}/64", v6(number + 1)));
            by(&mut socket, ["10.1.1.254", "fd00::fe"]);
        }
        sysctl::set(&host, "net.ipv4.ip_forward", "1").unwrap();
        sysctl::set(&host, "net.ipv6.conf.all.forwarding", "1").unwrap();
        Self { monitor, network, behind, slots }
    }

    pub(crate) fn policy(number: usize) -> Policy {
        let rules = Rules::new(MacAddress::local(number as u64).0);
        let rules = rules.with_ipv4([10, 1, 1, number as u8].into(), 32).unwrap();
        Policy::new(rules.with_ipv6(v6(number), 128).unwrap()).enforced()
    }

    /// Gives the first namespace these rules for the host, the second none.
    fn rule(&self, host: impl Fn(Rules) -> Rules) {
        let policy = Self::policy(1);
        self.monitor.set_policy(self.slots[0], &Policy { rules: host(policy.rules), ..policy }).unwrap();
        self.monitor.set_policy(self.slots[1], &Self::policy(2)).unwrap();
    }

    pub(crate) fn inside(&self, number: usize) -> &Namespace {
        &self.network.insides[number].namespace
    }

    /// Whether a datagram of the first namespace arrives; and whether it does not.
    pub(crate) fn hears(&self, at: &Namespace, address: IpAddr, port: u16) -> bool {
        self.sends(at, address, port, LONG)
    }

    pub(crate) fn misses(&self, at: &Namespace, address: IpAddr, port: u16) -> bool {
        !self.sends(at, address, port, SHORT)
    }

    /// As [`Self::hears`], of what may have come to its end.
    pub(crate) fn hears_soon(&self, at: &Namespace, address: IpAddr, port: u16) -> bool {
        self.sends(at, address, port, SHORT)
    }

    fn sends(&self, at: &Namespace, address: IpAddr, port: u16, limit: Duration) -> bool {
        let to = SocketAddr::from((address, port));
        let listener = at.enter(|| UdpSocket::bind(to).unwrap()).unwrap();
        listener.set_read_timeout(Some(limit)).unwrap();
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let sender = self.inside(0).enter(|| UdpSocket::bind(any).unwrap()).unwrap();
        sender.send_to(b"hello", to).unwrap();
        listener.recv(&mut [0; 16]).is_ok()
    }

    /// Whether one can connect to another; and whether it cannot.
    pub(crate) fn connects(from: &Namespace, to: &Namespace, address: IpAddr, port: u16) -> bool {
        Self::opens(from, to, address, port, LONG)
    }

    pub(crate) fn is_refused(from: &Namespace, to: &Namespace, address: IpAddr, port: u16) -> bool {
        !Self::opens(from, to, address, port, SHORT)
    }

    fn opens(from: &Namespace, to: &Namespace, address: IpAddr, port: u16, limit: Duration) -> bool {
        let to_port = SocketAddr::from((address, port));
        let listener = to.enter(|| TcpListener::bind(to_port).unwrap()).unwrap();
        let connected = from.enter(|| TcpStream::connect_timeout(&to_port, limit)).unwrap();
        match connected {
            Ok(_) => listener.accept().is_ok(),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => false,
            Err(error) => panic!("{to_port}: {error}"),
        }
    }

    /// What was counted since, of the first namespace, for these reasons; everything else is honest.
    fn counted(&self) -> [u64; 2] {
        let found = settled(|| self.monitor.violations(self.slots[0]));
        let [host, forward] = [Reason::Host, Reason::Forward].map(|reason| found.of(reason));
        assert_eq!(found.total(), host + forward, "{found:?}");
        assert_eq!(found.dropped_rx.packets, host + forward);
        [host, forward]
    }
}

/// Runs a test in both families: the host's address, that of the second namespace, and of who is behind the host.
fn both(body: impl Fn(IpAddr, IpAddr, IpAddr)) {
    body(HOST, Ipv4Addr::new(10, 1, 1, 2).into(), BEHIND);
    body(HOST6, v6(2).into(), BEHIND6);
}

#[test]
fn only_the_hosts_services_that_are_let_are_reached() {
    if !privileged("only_the_hosts_services_that_are_let_are_reached") {
        return;
    }
    let mut world = World::new(false);
    let host = world.network.host.try_clone().unwrap();
    let services = |rules: Rules| {
        let rules = rules.with_service(Service::tcp(22)).unwrap();
        rules.with_service(Service::udp(53)).unwrap()
    };
    world.rule(services);
    // Until the program is on the bridge, nothing is kept from the host.
    assert!(world.hears(&host, HOST, 99));
    let attachment = world.monitor.attach_host(&mut world.network.socket, world.network.bridge).unwrap();
    both(|address, neighbour, behind| {
        let before = world.counted();
        assert!(world.hears(&host, address, 53) && world.misses(&host, address, 99), "{address}");
        assert_eq!(world.counted(), [before[0] + 1, 0], "{address}");
        assert!(World::connects(world.inside(0), &host, address, 22), "{address}");
        assert!(World::is_refused(world.inside(0), &host, address, 23), "{address}");
        assert!(world.counted()[0] > before[0] + 1, "{address}");
        // Others are as they were: the neighbour, who is behind the host, and the host itself with the namespace.
        let quiet = world.counted();
        assert!(world.hears(world.inside(1), neighbour, 99) && world.hears(&world.behind, behind, 99));
        assert!(World::connects(world.inside(0), world.inside(1), neighbour, 23));
        assert!(World::connects(world.inside(1), &host, address, 23), "the second has no such rules");
        let own: IpAddr = if address.is_ipv4() { [10, 1, 1, 1].into() } else { v6(1).into() };
        assert!(World::connects(&host, world.inside(0), own, 80), "{own}: the host speaks to it as before");
        let server = world.inside(0).enter(|| UdpSocket::bind((own, 80)).unwrap()).unwrap();
        let client = host.enter(|| UdpSocket::bind((address, 0)).unwrap()).unwrap();
        client.connect((own, 80)).unwrap();
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(LONG)).unwrap();
        }
        client.send(b"?").unwrap();
        let (_, from) = server.recv_from(&mut [0; 16]).unwrap();
        server.send_to(b"!", from).unwrap();
        assert_eq!(client.recv(&mut [0; 16]).unwrap(), 1);
        assert_eq!(world.counted(), quiet, "{address}");
    });
    // Gone again: nothing of it is left on the bridge.
    world.monitor.detach(&mut world.network.socket, &attachment).unwrap();
    assert!(world.hears(&host, HOST, 99));
    assert!(!netns_core::tc::has_clsact(&mut world.network.socket, world.network.bridge).unwrap());
}

#[test]
fn neighbours_find_the_host_and_get_nothing_else_of_it() {
    if !privileged("neighbours_find_the_host_and_get_nothing_else_of_it") {
        return;
    }
    let mut world = World::new(false);
    let host = world.network.host.try_clone().unwrap();
    world.rule(|rules| rules.with_host(HostAccess::Neighbours));
    let _ = world.monitor.attach_host(&mut world.network.socket, world.network.bridge).unwrap();
    // Nobody knows anybody any more.
    let forget = |namespace: &Namespace, index| {
        let mut socket = RouteSocket::open_in(namespace).unwrap();
        for known in netns_core::neighbour::list(&mut socket).unwrap() {
            if known.index == index {
                netns_core::neighbour::delete(&mut socket, index, known.address).unwrap();
            }
        }
    };
    forget(&host, world.network.bridge);
    forget(world.inside(0), 2);
    both(|address, neighbour, behind| {
        let [before, _] = world.counted();
        // By way of the host, which takes that the two find each other.
        assert!(world.hears(&world.behind, behind, 99), "{behind}");
        assert!(world.hears(world.inside(1), neighbour, 99));
        assert!(world.misses(&host, address, 53), "{address}");
        assert_eq!(world.counted(), [before + 1, 0]);
    });
    // Nothing at all, then: who asks gets no answer, and is not to blame.
    world.rule(|rules| rules.with_host(HostAccess::Nothing).without_forwarding());
    forget(&host, world.network.bridge);
    forget(world.inside(0), 2);
    let before = world.counted();
    both(|address, neighbour, behind| {
        assert!(world.misses(&host, address, 53) && world.misses(&world.behind, behind, 99), "{address}");
        assert!(world.hears(world.inside(1), neighbour, 99), "{neighbour}");
    });
    assert_eq!(world.counted(), before);
}

#[test]
fn what_the_host_is_not_to_pass_on_it_does_not_get() {
    if !privileged("what_the_host_is_not_to_pass_on_it_does_not_get") {
        return;
    }
    let barrier = netns_core::barrier::is_supported().unwrap();
    let mut world = World::new(barrier);
    let host = world.network.host.try_clone().unwrap();
    world.rule(Rules::without_forwarding);
    let _ = world.monitor.attach_host(&mut world.network.socket, world.network.bridge).unwrap();
    both(|address, neighbour, behind| {
        let [_, before] = world.counted();
        assert!(world.misses(&world.behind, behind, 99), "{behind}");
        assert_eq!(world.counted(), [0, before + 1]);
        assert!(world.hears(&host, address, 99) && world.hears(world.inside(1), neighbour, 99));
        // Another of the host's own addresses is no other host.
        let other: IpAddr = if behind.is_ipv4() { [10, 2, 0, 1].into() } else { "fd02::1".parse().unwrap() };
        assert!(world.hears(&host, other, 99), "{other}");
        assert_eq!(world.counted(), [0, before + 1]);
    });
    // Also where IPv6 forwards by `all` and the bridge does not know of it.
    sysctl::set(&host, "net.ipv6.conf.br0.forwarding", "0").unwrap();
    world.rule(|rules| rules);
    assert!(world.hears(&world.behind, BEHIND6, 99), "it forwards");
    world.rule(Rules::without_forwarding);
    assert!(world.misses(&world.behind, BEHIND6, 99));
    // What is observed passes, and is counted.
    let [host_before, before] = world.counted();
    let policy = Policy { mode: netns_ebpf::Mode::Observe, ..World::policy(1) };
    let policy = Policy { rules: policy.rules.without_forwarding().with_host(HostAccess::Nothing), ..policy };
    world.monitor.set_policy(world.slots[0], &policy).unwrap();
    assert!(world.hears(&world.behind, BEHIND, 99) && world.hears(&host, HOST, 99));
    let found = settled(|| world.monitor.violations(world.slots[0]));
    let counted = [Reason::Host, Reason::Forward].map(|reason| found.of(reason));
    assert_eq!((counted, found.dropped_rx.packets), ([host_before + 1, before + 1], before));
}
