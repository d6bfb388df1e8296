//! scapy in a sandbox: frames from an independent library, sent through a raw socket.

use crate::lab::{HOST_MAC, HOST4, Sandbox, VICTIM};
use netns_core::{IfName, Namespace, RouteSocket, link};
use netns_ebpf::attack::FrameSocket;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use tests::{oracle, skip};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/frames.py");
/// Longer than a frame is on its way.
const PATIENCE: Duration = Duration::from_secs(10);

/// Debian's Python, which has Debian's scapy. Without them the test is skipped.
pub(crate) fn python() -> Command {
    let has_it = oracle("python3").args(["-c", "import scapy.config"]).output().expect("python3 starts");
    if !has_it.status.success() {
        skip("scapy missing; run: apt-get install python3-scapy");
    }
    oracle("python3")
}

#[derive(Debug)]
pub(crate) struct Sender {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Sender {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let mut command = oracle("ip");
        command.args(["netns", "exec", sandbox.name]).arg(python().get_program()).args([SCRIPT, "eth0"]);
        let names = [
            ("OWN_MAC", sandbox.mac()),
            ("OWN4", sandbox.ipv4()),
            ("OWN6", sandbox.ipv6()),
            ("OWN_LL", sandbox.link_local()),
            ("PEER_MAC", VICTIM.mac()),
            ("PEER4", VICTIM.ipv4()),
            ("PEER6", VICTIM.ipv6()),
            ("PEER_LL", VICTIM.link_local()),
            ("HOST_MAC", HOST_MAC.to_owned()),
            ("HOST4", HOST4.to_owned()),
            // An address of nobody on the bridge.
            ("OTHER_MAC", "02:00:00:66:66:66".to_owned()),
            // Nobody ever sends from this address, so the bridge floods frames to it.
            ("UNHEARD_MAC", "02:00:00:77:77:77".to_owned()),
            ("OTHER4", "10.1.1.66".to_owned()),
            ("OTHER6", "fd00:1::66".to_owned()),
            ("OTHER_LL", "fe80::66".to_owned()),
        ];
        command.args(names.map(|(name, value)| format!("{name}={value}")));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ip starts");
        let (to, from) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let mut sender = Self { child, to, from: BufReader::new(from) };
        assert_eq!(sender.answer(), "ready");
        sender
    }

    /// Makes a frame, sends it and then a marker; returns the frame.
    pub(crate) fn send(&mut self, number: usize, expression: &str) -> Vec<u8> {
        self.write(&format!("{number} {expression}"), expression)
    }

    fn write(&mut self, line: &str, expression: &str) -> Vec<u8> {
        writeln!(self.to, "{line}").expect("scapy listens");
        let answer = self.answer();
        assert!(!answer.is_empty(), "scapy did not make {expression}");
        let bytes = |at| u8::from_str_radix(&answer[at..at + 2], 16).expect("hexadecimal digits");
        (0..answer.len()).step_by(2).map(bytes).collect()
    }

    /// Makes a frame with these bytes for `MARK`, and sends only it; returns the frame.
    pub(crate) fn send_alone(&mut self, mark: &str, expression: &str) -> Vec<u8> {
        self.write(&format!("-1 marked(b\"{mark}\", lambda: {expression})"), expression)
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.from.read_line(&mut line).expect("a line of scapy");
        line.trim_end().to_owned()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Receives what arrives in a sandbox.
#[derive(Debug)]
pub(crate) struct Receiver(FrameSocket);

impl Receiver {
    pub(crate) fn open(sandbox: &Sandbox) -> Self {
        Self::open_in(sandbox.name)
    }

    /// Receives what arrives at `eth0` of a named namespace.
    pub(crate) fn open_in(name: &str) -> Self {
        let namespace = Namespace::open(name).unwrap();
        let eth0: IfName = "eth0".parse().unwrap();
        let index = link::get(&mut RouteSocket::open_in(&namespace).unwrap(), eth0).unwrap().index;
        Self(namespace.enter(|| FrameSocket::open(index)).unwrap().unwrap())
    }

    /// Receives what the bridge delivers to the host.
    pub(crate) fn of_bridge() -> Self {
        let br0: IfName = "br0".parse().unwrap();
        let index = link::get(&mut RouteSocket::open().unwrap(), br0).unwrap().index;
        Self(FrameSocket::open(index).unwrap())
    }

    /// Forgets what it has received so far.
    pub(crate) fn forget(&self) {
        let _ = self.all();
    }

    /// What it has received so far.
    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.0.receive(Duration::ZERO).unwrap()).collect()
    }

    /// Whether a frame arrives before its marker does; `None` if the marker is lost.
    pub(crate) fn hears(&self, frame: &[u8], number: usize) -> Option<bool> {
        let (marker, untagged) = (format!("marker {number}"), untagged(frame));
        let (deadline, mut arrived) = (Instant::now() + PATIENCE, false);
        while Instant::now() < deadline {
            match self.0.receive(Duration::from_secs(1)).unwrap() {
                Some(heard) if heard.ends_with(marker.as_bytes()) => return Some(arrived),
                Some(heard) => arrived |= heard == frame || heard == untagged,
                None => {}
            }
        }
        None
    }
}

/// A frame without its outer VLAN tag, which the kernel takes out of the bytes.
pub(crate) fn untagged(frame: &[u8]) -> Vec<u8> {
    match frame.get(12..14) {
        Some([0x81, 0x00] | [0x88, 0xa8]) => [&frame[..12], &frame[16..]].concat(),
        _ => frame.to_vec(),
    }
}
