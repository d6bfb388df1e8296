//! A private network for each test: anonymous namespaces only, gone with the test.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use netns_core::address::{self, Address};
use netns_core::bridge::{self, Bridge, BridgeOptions};
use netns_core::link::OperationalState;
use netns_core::neighbour::{self, Neighbour};
use netns_core::veth::{self, Veth};
use netns_core::wire::Batch;
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link, missing_capabilities, sysctl, tc};
use netns_ebpf::layout::Traffic;
use netns_ebpf::{Monitor, Slot};

/// Whether the test can run here. If not it says so past the test runner's capture; where `CI` is set, where everything
/// has to be there, it fails.
pub(crate) fn privileged(test: &str) -> bool {
    let missing = missing_capabilities().unwrap_or_else(|_| vec!["/proc"]);
    if missing.is_empty() {
        return true;
    }
    let why = format!("{test} needs {}: run the tests as root", missing.join(", "));
    assert!(std::env::var_os("CI").is_none(), "not to be skipped on CI: {why}");
    // In one piece: other tests write too.
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
    false
}

/// As [`privileged`], and the kernel is not older than this version, the first that has `what`.
pub(crate) fn privileged_since(test: &str, since: (u32, u32), what: &str) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|character: char| !character.is_ascii_digit());
    let mut number = || numbers.next().unwrap().parse::<u32>().unwrap();
    let kernel = (number(), number());
    if kernel >= since {
        return privileged(test);
    }
    let (major, minor) = since;
    let why = format!("{test} needs Linux {major}.{minor} ({what}), this is {}.{}", kernel.0, kernel.1);
    assert!(std::env::var_os("CI").is_none(), "not to be skipped on CI: {why}");
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
    false
}

/// Whether programs of Debian's packages are there, as [`privileged`].
pub(crate) fn installed(test: &str, tools: &[&str], packages: &str) -> bool {
    let Some(missing) = tools.iter().find(|tool| !std::path::Path::new(tool).exists()) else { return true };
    let why = format!("{test} needs {missing}: apt-get install {packages}");
    assert!(std::env::var_os("CI").is_none(), "not to be skipped on CI: {why}");
    let _ = std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes());
    false
}

/// An empty folder of the test's own, no matter who else runs the same test now or ran it before; it goes with this.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("netns-ebpf-{}-{test}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Waits until a link carries packets, which a bridge forwards from then on. Asking makes it so from Linux 6.8 on; older
/// kernels come to it in their own time, and drop what is sent before.
pub(crate) fn until_up(socket: &mut RouteSocket, index: u32) {
    let start = Instant::now();
    while link::get(socket, index).unwrap().state != OperationalState::Up {
        assert!(start.elapsed() < Duration::from_mins(1), "link {index} does not come up");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A name that is known to be one.
pub(crate) fn name(name: &str) -> IfName {
    IfName::new(name).unwrap()
}

/// A bridge with namespaces on it, all reachable from each other and from the host.
pub(crate) struct Network {
    pub(crate) host: Namespace,
    pub(crate) socket: RouteSocket,
    pub(crate) bridge: u32,
    pub(crate) insides: Vec<Inside>,
}

/// A namespace on the bridge.
pub(crate) struct Inside {
    pub(crate) namespace: Namespace,
    pub(crate) address: Ipv4Addr,
    mac: MacAddress,
    /// The ifindex of its port.
    pub(crate) port: u32,
    /// The ifindex of its own end.
    eth0: u32,
}

pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 254);
const BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 255);

impl Network {
    /// A bridge with nothing on it.
    pub(crate) fn new() -> Self {
        let host = Namespace::anonymous().unwrap();
        let mut socket = RouteSocket::open_in(&host).unwrap();
        // Counters are at rest when nobody sends only where nobody sends unasked.
        sysctl::set(&host, "net.ipv6.conf.default.disable_ipv6", "1").unwrap();
        let bridge = Bridge {
            index: Some(2),
            options: BridgeOptions { mcast_snooping: Some(false), ..BridgeOptions::NONE },
            up: true,
            ..Bridge::new(name("br0"), MacAddress::local(254))
        };
        bridge::create(&mut socket, &bridge).unwrap();
        let address = Address::new(2, format!("{HOST}/24").parse().unwrap());
        address::add(&mut socket, &address).unwrap();
        Self { host, socket, bridge: 2, insides: Vec::new() }
    }

    /// Adds a namespace, with the monitor's programs on its port from its first moment if one is given.
    pub(crate) fn add(&mut self, monitor: Option<&Monitor>) -> Option<Slot> {
        let number = u8::try_from(self.insides.len() + 1).unwrap();
        let namespace = Namespace::anonymous().unwrap();
        sysctl::set(&namespace, "net.ipv6.conf.default.disable_ipv6", "1").unwrap();
        let inside = Inside {
            namespace,
            address: Ipv4Addr::new(10, 1, 1, number),
            mac: MacAddress::local(u64::from(number)),
            port: 100 + u32::from(number),
            eth0: 2,
        };
        let mut batch = Batch::new();
        let veth = Veth {
            index: Some(inside.port),
            peer_index: Some(inside.eth0),
            peer_mac: Some(inside.mac),
            bridge: Some(self.bridge),
            up: true,
            peer_namespace: Some(inside.namespace.as_fd()),
            ..Veth::new(name(&format!("port{number}")), name("eth0"))
        };
        veth::encode_create(&mut batch, &veth);
        let slot = monitor.map(|monitor| {
            let slot = monitor.assign(inside.port).unwrap();
            tc::encode_add_clsact(&mut batch, inside.port);
            for filter in monitor.filters(inside.port, slot) {
                tc::encode_add_filter(&mut batch, &filter);
            }
            slot
        });
        self.socket.execute(&mut batch).unwrap();
        let mut socket = RouteSocket::open_in(&inside.namespace).unwrap();
        link::set_up(&mut socket, inside.eth0).unwrap();
        let address = Address::new(inside.eth0, format!("{}/24", inside.address).parse().unwrap());
        address::add(&mut socket, &address).unwrap();
        until_up(&mut socket, inside.eth0);
        until_up(&mut self.socket, inside.port);
        // A bridge has its carrier from its first port.
        until_up(&mut self.socket, self.bridge);
        self.insides.push(inside);
        slot
    }

    /// Makes everybody know everybody's MAC address, so that nobody asks. Besides, permanent neighbours have room where
    /// others have none: the kernel keeps 1,024 of those for all namespaces together, which other tests may be using.
    pub(crate) fn introduce(&mut self) {
        let everybody: Vec<_> = self
            .insides
            .iter()
            .map(|inside| (inside.address, inside.mac))
            .chain([(HOST, MacAddress::local(254)), (BROADCAST, "ff:ff:ff:ff:ff:ff".parse().unwrap())])
            .collect();
        for inside in &self.insides {
            let mut socket = RouteSocket::open_in(&inside.namespace).unwrap();
            for &(address, mac) in &everybody {
                if address != inside.address {
                    neighbour::set(&mut socket, &Neighbour::permanent(inside.eth0, address.into(), mac))
                        .unwrap();
                }
            }
            neighbour::set(
                &mut self.socket,
                &Neighbour::permanent(self.bridge, inside.address.into(), inside.mac),
            )
            .unwrap();
        }
    }

    /// What the kernel counted on a port: received and sent.
    pub(crate) fn stats(&mut self, port: u32) -> [(u64, u64); 2] {
        let stats = link::stats(&mut self.socket, port).unwrap();
        [(stats.rx_packets, stats.rx_bytes), (stats.tx_packets, stats.tx_bytes)]
    }

    /// Sends datagrams from a namespace to another one, and waits until they are there.
    pub(crate) fn datagrams(&self, from: usize, to: usize, count: usize, payload: usize) {
        let receiver =
            self.insides[to].namespace.enter(|| UdpSocket::bind((self.insides[to].address, 7)).unwrap());
        let sender = self.insides[from].namespace.enter(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap());
        deliver(&sender.unwrap(), &receiver.unwrap(), self.insides[to].address, count, payload);
    }

    /// Sends datagrams from the host to a namespace.
    pub(crate) fn datagrams_from_host(&self, to: usize, count: usize, payload: usize) {
        let receiver =
            self.insides[to].namespace.enter(|| UdpSocket::bind((self.insides[to].address, 7)).unwrap());
        let sender = self.host.enter(|| UdpSocket::bind(("0.0.0.0", 0)).unwrap());
        deliver(&sender.unwrap(), &receiver.unwrap(), self.insides[to].address, count, payload);
    }

    /// Has each namespace send so many broadcasts to all others and the host.
    pub(crate) fn broadcasts(&self, count: usize) {
        (0..self.insides.len()).for_each(|from| self.broadcasts_from(from, count));
    }

    /// Has one namespace send so many.
    pub(crate) fn broadcasts_from(&self, from: usize, count: usize) {
        let bind = || UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        let socket = self.insides[from].namespace.enter(bind).unwrap();
        socket.set_broadcast(true).unwrap();
        for _ in 0..count {
            socket.send_to(b"hello", (BROADCAST, 9)).unwrap();
        }
    }

    /// Sends a stream from a namespace to another one, as fast as it goes.
    pub(crate) fn stream(&self, from: usize, to: usize, bytes: usize) {
        let address = self.insides[to].address;
        let listener = self.insides[to].namespace.enter(|| TcpListener::bind((address, 7)).unwrap()).unwrap();
        let mut sender =
            self.insides[from].namespace.enter(|| TcpStream::connect((address, 7)).unwrap()).unwrap();
        let mut receiver = listener.accept().unwrap().0;
        let reader = thread::spawn(move || std::io::copy(&mut receiver, &mut std::io::sink()).unwrap());
        sender.write_all(&vec![0; bytes]).unwrap();
        drop(sender);
        assert_eq!(reader.join().unwrap(), bytes as u64);
    }
}

fn deliver(sender: &UdpSocket, receiver: &UdpSocket, to: Ipv4Addr, count: usize, payload: usize) {
    receiver.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut buffer = vec![0; payload + 1];
    for _ in 0..count {
        sender.send_to(&buffer[..payload], (to, 7)).unwrap();
        assert_eq!(receiver.recv(&mut buffer).unwrap(), payload);
    }
}

/// Reads something until it stays the same for a while: frames of a stream's end are still on their way when its last
/// byte was read.
pub(crate) fn settled<T: PartialEq>(mut read: impl FnMut() -> T) -> T {
    let start = Instant::now();
    let mut last = read();
    loop {
        thread::sleep(Duration::from_millis(50));
        let now = read();
        if now == last {
            return now;
        }
        assert!(start.elapsed() < Duration::from_mins(1), "the counters do not come to rest");
        last = now;
    }
}

/// What the kernel counts too.
pub(crate) fn seen(traffic: Traffic) -> (u64, u64) {
    (traffic.packets, traffic.bytes)
}
