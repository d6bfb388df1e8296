//! containerd's side of the container runtime interface (CRI), as Kubernetes' kubelet calls it: pods, with published ports, and
//! many at once. Their pause containers are ours, and serve the pod's name.

use crate::containerd::{Containerd, SOCKET};
use crate::installed::Installed;
use crate::network::{Pods, assert_nothing_but, in_host, links, serves, with_both, world};
use netns_core::Namespace;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::{Host, Machine, eventually, until};

/// Pods at once.
const MANY: usize = 100;

#[test]
fn pods_with_published_ports() {
    let client = build_client();
    with_both(|installed, host| published(installed, host, client.as_deref()));
}

#[test]
fn a_hundred_pods_at_once() {
    let client = build_client();
    in_host(|host| many(host, client.as_deref()));
}

fn network() -> Pods {
    Pods::new("pods", "cni0", "10.88.0.0/16", ["10.88.0.2", "10.88.0.254"])
}

fn published(installed: Installed, host: &Host, client: Option<&Path>) -> Vec<String> {
    let network = network();
    let node = Node::start(installed, &network, client);
    let world = world();
    let pods = node.run(&["web", "1", "8080:80"]);
    serves(host.namespace(), &format!("{}:80", pods[0].address), "web-0");
    serves(&world, "10.99.0.1:8080", "web-0");
    serves(host.namespace(), "127.0.0.1:8080", "web-0");
    if installed == Installed::Ours {
        // The port is published already: the pod is not made, the reason is said, and nothing stays. The reference publishes
        // it twice.
        let other = node.machine().run(&node.client, &[SOCKET, "run", "other", "1", "8080:80"]);
        assert!(other.code != Some(0) && other.err.contains("8080/tcp"), "{other:?}");
        assert_eq!(network.reserved(), [pods[0].address.clone()]);
        serves(&world, "10.99.0.1:8080", "web-0");
    }
    node.stop(&pods);
    eventually("nobody answers", || crate::network::served(&world, "10.99.0.1:8080").is_empty());
    assert_eq!(network.reserved(), Vec::<String>::new());
    pods.into_iter().map(|pod| pod.address).collect()
}

fn many(host: &Host, client: Option<&Path>) {
    let network = network();
    let mut node = Node::start(Installed::Ours, &network, client);
    let host: &Namespace = host.namespace();
    let pods = node.run(&["pod", &MANY.to_string()]);
    let addresses: BTreeSet<&str> = pods.iter().map(|pod| pod.address.as_str()).collect();
    assert_eq!((pods.len(), addresses.len(), network.reserved().len()), (MANY, MANY, MANY));
    for (number, pod) in pods.iter().enumerate() {
        serves(host, &format!("{}:80", pod.address), &format!("pod-{number}"));
    }
    let (kept, stopped) = pods.split_at(MANY / 10);
    node.stop(stopped);
    assert_eq!(network.reserved().len(), kept.len());
    assert_eq!(links().len(), kept.len() + 1, "{:?}", links());
    serves(host, &format!("{}:80", kept[0].address), "pod-0");
    // More are on their way when the node fails. The engine's namespaces have names, and stay until they are collected.
    node.begin(&["late", "20"]);
    eventually("some are made", || network.reserved().len() > kept.len() + 3);
    node.machine().kill_everything();
    network.collect(node.machine(), &[]);
    assert_nothing_but(&[]);
    assert_eq!(network.reserved(), Vec::<String>::new());
}

/// A machine with containerd, and the client.
#[derive(Debug)]
struct Node {
    containerd: Containerd,
    client: String,
}

/// A pod that runs.
#[derive(Debug)]
struct Pod {
    id: String,
    address: String,
}

impl Node {
    fn start(plugins: Installed, network: &Pods, client: Option<&Path>) -> Self {
        let containerd = Containerd::start(plugins, network, "k8s.io");
        let client = client.unwrap_or_else(|| tests::skip("cargo missing, which builds tests/cri"));
        let node = Self { containerd, client: client.to_str().expect("UTF-8").to_owned() };
        // The image is known to this interface a while after it came.
        let first = until("a pod runs", || {
            let ran = node.machine().run(&node.client, &[SOCKET, "run", "first", "1"]);
            (ran.code == Some(0)).then_some(ran)
        });
        node.stop(&read(&first.fine()));
        node
    }

    fn machine(&self) -> &Machine {
        &self.containerd.machine
    }

    fn run(&self, arguments: &[&str]) -> Vec<Pod> {
        read(&self.machine().run(&self.client, &[&[SOCKET, "run"], arguments].concat()).fine())
    }

    /// As [`Node::run`], without waiting for them.
    fn begin(&mut self, arguments: &[&str]) {
        let command = [&["exec", &self.client, SOCKET, "run"], arguments].concat().join(" ");
        self.containerd.machine.start("sh", &["-c", &command]);
    }

    fn stop(&self, pods: &[Pod]) {
        let ids: Vec<&str> = pods.iter().map(|pod| pod.id.as_str()).collect();
        self.machine().run(&self.client, &[&[SOCKET, "stop"], &ids[..]].concat()).fine();
    }
}

fn read(lines: &str) -> Vec<Pod> {
    let pod = |line: &str| {
        let (id, address) = line.split_once(' ').expect("an id and an address");
        Pod { id: id.to_owned(), address: address.to_owned() }
    };
    lines.lines().map(pod).collect()
}

/// Builds the client, which is a workspace of its own, beside what cargo builds for this test. Not in a test's host, which
/// reaches no registry. None without containerd, where the test will be skipped, or without cargo.
fn build_client() -> Option<PathBuf> {
    if !["/usr/bin/containerd", "/usr/sbin/containerd"].iter().any(|path| Path::new(path).exists()) {
        return None;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cri/Cargo.toml");
    let target = Path::new(env!("CARGO_BIN_EXE_netns-cni")).ancestors().nth(2).expect("target").join("cri");
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--locked", "--manifest-path", manifest, "--target-dir"]).arg(&target);
    match command.status() {
        Ok(status) => assert!(status.success(), "{command:?}: {status}"),
        Err(_) => return None,
    }
    Some(target.join("debug/cri"))
}
