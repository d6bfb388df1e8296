//! The world outside of the host, which knows nothing of containers' addresses; and servers.

use crate::in_host;
use crate::runtime::{Plugins, Runtime};
use crate::{DATA, ONE, TWO, containers};
use netns_core::Namespace;
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tests::ip;

/// The host has `10.99.0.1` and `fd00:99::1` towards it.
pub(crate) fn world() -> Namespace {
    let world = Namespace::create("world").expect("a namespace");
    for command in [
        "link add uplink type veth peer name eth0 netns world",
        "addr add 10.99.0.1/24 dev uplink",
        "addr add fd00:99::1/64 dev uplink nodad",
        "link set uplink up",
        "-n world addr add 10.99.0.2/24 dev eth0",
        "-n world addr add fd00:99::2/64 dev eth0 nodad",
        "-n world link set eth0 up",
        "-n world link set lo up",
    ] {
        ip(command);
    }
    world
}

/// Answers everybody by the address that they come from, by TCP and UDP, until it is dropped.
pub(crate) struct Server {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(inside: &Namespace, port: u16) -> Self {
        let at = SocketAddr::new("::".parse().unwrap(), port);
        let stop = Arc::new(AtomicBool::new(false));
        let sockets = inside.enter(|| (TcpListener::bind(at), UdpSocket::bind(at))).expect("inside");
        let (listener, socket) = (sockets.0.expect("a listener"), sockets.1.expect("a socket"));
        listener.set_nonblocking(true).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let (of_tcp, of_udp) = (Arc::clone(&stop), Arc::clone(&stop));
        let tcp = thread::spawn(move || {
            while !of_tcp.load(Relaxed) {
                match listener.accept() {
                    Ok((mut stream, from)) => {
                        let _ = stream.write_all(from.ip().to_canonical().to_string().as_bytes());
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        thread::sleep(Duration::from_millis(5));
                    }
                    Err(error) => panic!("accept: {error}"),
                }
            }
        });
        let udp = thread::spawn(move || {
            let mut buffer = [0; 64];
            while !of_udp.load(Relaxed) {
                if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(from.ip().to_canonical().to_string().as_bytes(), from);
                }
            }
        });
        Self { stop, threads: vec![tcp, udp] }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Whom the server sees when somebody in this namespace asks it by TCP; `None` if it does not answer in time. Where it is to
/// answer, it is asked several times: packets may be lost on a busy machine.
pub(crate) fn seen_by_tcp(from: &Namespace, to: &str) -> Option<IpAddr> {
    (0..8).find_map(|_| ask_by_tcp(from, to))
}

/// Whether nobody answers.
pub(crate) fn is_silent(from: &Namespace, to: &str) -> bool {
    ask_by_tcp(from, to).is_none()
}

fn ask_by_tcp(from: &Namespace, to: &str) -> Option<IpAddr> {
    let to: SocketAddr = to.parse().expect("an address");
    let answer = from.enter(|| {
        let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(3)).ok()?;
        let mut answer = String::new();
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        stream.read_to_string(&mut answer).ok()?;
        answer.parse().ok()
    });
    answer.expect("inside")
}

/// The same by UDP.
pub(crate) fn seen_by_udp(from: &Namespace, to: &str) -> Option<IpAddr> {
    let to: SocketAddr = to.parse().expect("an address");
    let answer = from.enter(|| {
        let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).ok()?;
        socket.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
        socket.connect(to).ok()?;
        let mut buffer = [0; 64];
        // Datagrams may be lost.
        for _ in 0..5 {
            socket.send(b"?").ok()?;
            if let Ok(length) = socket.recv(&mut buffer) {
                return std::str::from_utf8(&buffer[..length]).ok()?.parse().ok();
            }
        }
        None
    });
    answer.expect("inside")
}

/// What [`seen_by_tcp`] gives.
pub(crate) fn seen(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn masquerading(plugins: Plugins) -> Runtime {
    let list = json!({
        "cniVersion": "1.0.0",
        "name": "net1",
        "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true,
            "ipam": {
                "type": "host-local", "dataDir": DATA,
                "ranges": [[{"subnet": "10.88.1.0/24"}], [{"subnet": "fd00:88::/64"}]],
                "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
            },
        }],
    });
    Runtime::new(plugins, list)
}

/// Containers reach the world under the host's address, and each other under their own: by ours as by Debian's.
#[test]
fn the_world_sees_the_host() {
    for (is_ours, plugins) in [(true, Plugins::ours as fn() -> Plugins), (false, Plugins::debians)] {
        in_host(|_| {
            let world = world();
            containers(&["one", "two"]);
            let runtime = masquerading(plugins());
            let first = runtime.add(ONE).out;
            let second = runtime.add(TWO).out;
            let one = Namespace::open("one").unwrap();
            let servers = [&world, &Namespace::open("two").unwrap()].map(|inside| Server::start(inside, 80));
            assert_eq!(seen_by_tcp(&one, "10.99.0.2:80"), seen("10.99.0.1"), "ours: {is_ours}");
            assert_eq!(seen_by_tcp(&one, "[fd00:99::2]:80"), seen("fd00:99::1"), "ours: {is_ours}");
            assert_eq!(seen_by_tcp(&one, "10.88.1.3:80"), seen("10.88.1.2"), "ours: {is_ours}");
            drop(servers);
            for (attachment, result) in [(ONE, &first), (TWO, &second)] {
                if is_ours {
                    runtime.check(attachment, result).fine();
                }
                assert_eq!(runtime.del(attachment, result).code, Some(0));
            }
            if is_ours {
                let rules = tests::run(tests::oracle("nft").args(["list", "ruleset"]));
                assert!(!rules.contains("net1/"), "{rules}");
            }
        });
    }
}

#[test]
fn masquerading_is_checked_collected_and_made_again() {
    in_host(|_| {
        containers(&["one", "two"]);
        let mut runtime = masquerading(Plugins::ours());
        runtime.list["cniVersion"] = json!("1.1.0");
        let first = runtime.add(ONE).fine();
        runtime.status().fine();
        runtime.check(ONE, &first).fine();
        let _ = tests::run(tests::oracle("nft").args(["flush", "ruleset"]));
        let (code, text) = runtime.check(ONE, &first).failure();
        assert_eq!((code, text.contains("masquerading of the address 10.88.1.2")), (102, true), "{text}");
        let second = runtime.add(TWO).fine();
        runtime.check(TWO, &second).fine();
        runtime.gc(&[ONE]).fine();
        let rules = tests::run(tests::oracle("nft").args(["list", "ruleset"]));
        assert!(!rules.contains("net1/"), "{rules}");
        runtime.del(ONE, &Value::Null).fine();
        runtime.gc(&[]).fine();
        crate::assert_nothing();
    });
}

/// Tables of a version that had fewer sets are completed, and what containers have in them stays.
#[test]
fn tables_of_an_earlier_version_are_completed() {
    in_host(|_| {
        let world = world();
        containers(&["one", "two"]);
        let mut runtime = masquerading(Plugins::ours());
        runtime.list["cniVersion"] = json!("1.1.0");
        runtime.list["plugins"][0]["type"] = json!("netns-cni");
        runtime.list["plugins"][0]["macspoofchk"] = json!(true);
        runtime.add(ONE).fine();
        let nft = |command: &str| tests::run(tests::oracle("nft").args(command.split(' ')));
        for command in [
            "delete chain inet netns-cni forward",
            "delete set inet netns-cni kept",
            "delete set inet netns-cni same",
            "delete chain bridge netns-cni forward",
            "delete set bridge netns-cni apart",
        ] {
            nft(command);
        }
        runtime.list["plugins"][0]["firewall"] = json!({"ingressPolicy": "isolated"});
        let second = runtime.add(TWO).fine();
        runtime.check(TWO, &second).fine();
        for (family, set) in [("inet", "@kept"), ("bridge", "@apart")] {
            let chain = nft(&format!("list chain {family} netns-cni forward"));
            assert!(chain.contains(set), "{chain}");
        }
        let _server = Server::start(&world, 80);
        for name in ["one", "two"] {
            let inside = Namespace::open(name).unwrap();
            assert_eq!(seen_by_tcp(&inside, "10.99.0.2:80"), seen("10.99.0.1"), "{name}");
        }
        runtime.gc(&[]).fine();
        ip("link delete uplink");
        crate::assert_nothing();
    });
}
