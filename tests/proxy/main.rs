//! `examples/egress-proxy`: a sandbox reaches hosts with allowed names, and nothing else.

use netns_core::Namespace;
use netns_ebpf::{Monitor, MonitorOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tests::{eventually, in_host, ip, needs_option, oracle, run, until};

const PATIENCE: Duration = Duration::from_secs(20);
/// How long to wait for what should be dropped.
const DROPPED: Duration = Duration::from_secs(1);
/// The names that the resolver knows, and for how many seconds.
const NAMES: [(&str, &str, u32); 6] = [
    ("allowed.test", "192.0.2.7", 600),
    ("allowed.test", "2001:db8::7", 600),
    ("other.test", "192.0.2.8", 600),
    ("metadata.test", "169.254.169.254", 600),
    ("half.test", "fd00:ec2::254", 600),
    ("short.test", "192.0.2.9", 3),
];

/// A provider with a name server and servers at every address, the metadata service's among them.
fn named_provider() -> Namespace {
    let provider = tests::provider();
    for (_, address, _) in NAMES {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        ip(&format!("-n provider addr add {address} dev eth0{nodad}"));
    }
    provider
}

/// Builds the example, which is a workspace of its own. Not in a test's host, which reaches no registry.
fn build() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/egress-proxy/Cargo.toml");
    let target = Path::new(env!("CARGO_BIN_EXE_oci-runner")).ancestors().nth(2).unwrap().join("egress-proxy");
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir"]).arg(&target);
    let status = command.status().ok()?;
    assert!(status.success(), "{command:?}: {status}");
    Some(target.join("debug/egress-proxy"))
}

/// The bytes of a name's question, and where they end.
fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, kind, 0, 1]);
    bytes
}

/// The answer for a name that does not exist (NXDOMAIN).
const NO_SUCH_NAME: u8 = 3;
const A: u8 = 1;
const AAAA: u8 = 28;

/// Answers by RFC 1035, as far as this test asks, until it is stopped.
fn resolve(socket: &UdpSocket, stopped: &AtomicBool) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let mut bytes = [0; 512];
    while !stopped.load(Ordering::Relaxed) {
        let Ok((length, peer)) = socket.recv_from(&mut bytes) else { continue };
        let asked = &bytes[12..length];
        let mut records = Vec::new();
        let mut count = 0;
        for (name, address, ttl) in NAMES {
            let (kind, data) = match address.parse().unwrap() {
                IpAddr::V4(address) => (A, address.octets().to_vec()),
                IpAddr::V6(address) => (AAAA, address.octets().to_vec()),
            };
            if asked.starts_with(&question(name, kind)) {
                records.extend([0xc0, 12, 0, kind, 0, 1]);
                records.extend(ttl.to_be_bytes());
                records.extend([0, data.len() as u8]);
                records.extend(data);
                count += 1;
            }
        }
        let end = 12 + asked.iter().position(|&byte| byte == 0).unwrap() + 5;
        let head = [bytes[0], bytes[1], 0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
        let _ = socket.send_to(&[&head[..], &bytes[12..end], &records].concat(), peer);
    }
}

/// The answer that a sandbox gets from its resolver: the code, and addresses.
fn ask(from: &Namespace, name: &str, kind: u8) -> (u8, Vec<IpAddr>) {
    let socket = from.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    socket.set_read_timeout(Some(DROPPED)).unwrap();
    socket.connect("198.51.100.53:53").unwrap();
    let asked = [&[7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &question(name, kind)].concat();
    let mut bytes = [0; 512];
    let length = until("an answer", || {
        socket.send(&asked).unwrap();
        socket.recv(&mut bytes).ok()
    });
    assert_eq!(bytes[..2], [7, 8]);
    let mut rest = &bytes[asked.len()..length];
    let mut addresses = Vec::new();
    for _ in 0..bytes[7] {
        // A name that points to the question's.
        let (data, more) = rest[12..].split_at(rest[11].into());
        addresses.push(match <[u8; 4]>::try_from(data) {
            Ok(octets) => Ipv4Addr::from(octets).into(),
            Err(_) => Ipv6Addr::from(<[u8; 16]>::try_from(data).unwrap()).into(),
        });
        rest = more;
    }
    (bytes[3] & 15, addresses)
}

/// The first bytes of a TLS connection for a name.
fn hello(name: &str) -> Vec<u8> {
    let script = format!(
        "import ssl, sys; i, o = ssl.MemoryBIO(), ssl.MemoryBIO()\n\
         c = ssl.create_default_context().wrap_bio(i, o, server_hostname='{name}')\n\
         try: c.do_handshake()\n\
         except ssl.SSLWantReadError: sys.stdout.buffer.write(o.read())"
    );
    let output = oracle("python3").args(["-c", &script]).output().unwrap();
    assert!(output.stdout.starts_with(&[22, 3]), "{output:?}");
    output.stdout
}

fn connect(from: &Namespace, to: &str, limit: Duration) -> std::io::Result<TcpStream> {
    let to: SocketAddr = to.parse().unwrap();
    from.enter(|| TcpStream::connect_timeout(&to, limit)).unwrap()
}

#[track_caller]
fn is_reached(from: &Namespace, to: &str) {
    drop(connect(from, to, PATIENCE).unwrap_or_else(|error| panic!("{to}: {error}")));
}

fn is_dropped(from: &Namespace, to: &str) -> bool {
    connect(from, to, DROPPED).is_err_and(|error| error.kind() == ErrorKind::TimedOut)
}

/// The response to a connection that begins with these bytes.
fn sent(from: &Namespace, to: &str, bytes: &[u8]) -> Vec<u8> {
    let mut client = connect(from, to, PATIENCE).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.write_all(bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    let length = client.read(&mut back).unwrap_or_else(|error| match error.kind() {
        ErrorKind::ConnectionReset => 0,
        _ => panic!("{to}: {error}"),
    });
    client.read_exact(&mut back[length..]).map_or_else(|_| back[..length].to_vec(), |()| back.clone())
}

/// The example, which ends when its input does; killed if the test fails before.
struct Proxy(Child);

impl Proxy {
    fn start(program: &Path, allowed: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.arg("192.0.2.2:53").args(allowed).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn allowed_names_are_reached_and_nothing_else() {
    let Some(program) = build() else { tests::skip("no cargo to build examples/egress-proxy") };
    in_host(|host| {
        needs_option("CONFIG_NFT_REDIR", "nftables with redirect", || {
            let script = "add table inet probe; add chain inet probe c { type nat hook prerouting priority 0; }; \
                          add rule inet probe c tcp dport 1 redirect to :2; delete table inet probe";
            oracle("nft").arg(script).output().is_ok_and(|output| output.status.success())
        });
        if let Err(error) =
            Monitor::load(&MonitorOptions { egress: 1, barrier: true, ..MonitorOptions::default() })
        {
            tests::skip(&error.to_string());
        }
        let provider = named_provider();
        let inside = |address: &str| provider.enter(|| TcpListener::bind(address)).unwrap().unwrap();
        let (plain, secure) = (inside("[::]:80"), inside("[::]:443"));
        let names = provider.enter(|| UdpSocket::bind("192.0.2.2:53")).unwrap().unwrap();
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = Stop(&stopped);
            scope.spawn(|| resolve(&names, &stopped));
            // Both accept connections: otherwise a server that is full would pass for one that is not reached.
            scope.spawn(|| echo(&plain, &stopped));
            scope.spawn(|| echo(&secure, &stopped));
            let allowed = ["allowed.test", "metadata.test", "half.test", "short.test"];
            let proxy = Proxy::start(&program, &allowed);
            let sandbox = Namespace::open("box").unwrap();
            for to in ["192.0.2.7:80", "[2001:db8::7]:80"] {
                is_reached(host.namespace(), to);
                assert!(is_dropped(&sandbox, to), "before anyone asked");
            }
            assert_eq!(ask(&sandbox, "allowed.test", A), (0, vec!["192.0.2.7".parse().unwrap()]));
            assert_eq!(ask(&sandbox, "allowed.test", AAAA), (0, vec!["2001:db8::7".parse().unwrap()]));
            for to in ["192.0.2.7:80", "[2001:db8::7]:80"] {
                is_reached(&sandbox, to);
            }
            assert_eq!(ask(&sandbox, "other.test", A), (NO_SUCH_NAME, Vec::new()));
            assert!(is_dropped(&sandbox, "192.0.2.8:80"));

            // No name opens what a list refuses.
            for (name, kind, to) in
                [("metadata.test", A, "169.254.169.254:80"), ("half.test", AAAA, "[fd00:ec2::254]:80")]
            {
                is_reached(host.namespace(), to);
                assert_eq!(ask(&sandbox, name, kind), (0, Vec::new()));
                assert!(is_dropped(&sandbox, to), "{name}");
            }

            // For TLS the name counts, at an address that may be reached.
            let (fine, other) = (hello("allowed.test"), hello("other.test"));
            for to in ["192.0.2.7:443", "[2001:db8::7]:443"] {
                assert_eq!(sent(&sandbox, to, &fine), fine);
                assert_eq!(sent(&sandbox, to, &other), b"");
                assert_eq!(sent(&sandbox, to, b"GET / HTTP/1.0\r\n\r\n"), b"");
                assert_eq!(sent(host.namespace(), to, &other), other, "it is the proxy that refuses it");
            }
            assert!(is_dropped(&sandbox, "192.0.2.8:443"));

            assert_eq!(ask(&sandbox, "short.test", A).1.len(), 1);
            is_reached(&sandbox, "192.0.2.9:80");
            eventually("its time is over", || is_dropped(&sandbox, "192.0.2.9:80"));
            is_reached(&sandbox, "192.0.2.7:80");
            drop(sandbox);
            proxy.end();
        });
        assert_eq!(run(oracle("nft").args(["list", "ruleset"])), "");
        assert!(!Namespace::list().unwrap().contains(&"box".to_owned()));
        assert!(
            !Path::new("/run/netns-networks").exists() && !Path::new("/run/netns-settings.record").exists()
        );
    });
}

/// Sends back what it receives, until it is stopped.
fn echo(listener: &TcpListener, stopped: &AtomicBool) {
    listener.set_nonblocking(true).unwrap();
    while !stopped.load(Ordering::Relaxed) {
        let Ok((mut stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut bytes = [0; 2048];
        if let Ok(length) = stream.read(&mut bytes) {
            let _ = stream.write_all(&bytes[..length]);
        }
    }
}

/// Ends the servers, even if the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
