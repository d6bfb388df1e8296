//! Two nodes of a cluster: hosts with a network of pods each, and a routing daemon (BIRD, FRR) on each, by which the other
//! learns where they are. Nothing of ours knows of other nodes.

use crate::daemons::{Router, RoutingDaemons};
use crate::network::{assert_nothing_but, in_host};
use netns_core::veth::{self, Veth};
use netns_core::{IfName, Namespace};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tests::{Host, eventually, ip, until};

type Job = Box<dyn FnOnce(&Host) + Send>;

/// A host with files and a network of its own, in a thread of its own.
struct Node {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// 1 or 2.
    number: u8,
}

impl Node {
    fn start(number: u8) -> Self {
        let (jobs, received) = channel::<Job>();
        let thread =
            thread::spawn(move || in_host(move |host| received.into_iter().for_each(|job| job(host))));
        Self { jobs: Some(jobs), thread: Some(thread), number }
    }

    /// Runs `f` there.
    fn run<T: Send + 'static>(&self, f: impl FnOnce(&Host) -> T + Send + 'static) -> T {
        let (answer, answered) = channel();
        let job: Job = Box::new(move |host| {
            let _ = answer.send(f(host));
        });
        self.jobs.as_ref().expect("it runs").send(job).expect("a host that lives");
        answered.recv().expect("an answer")
    }

    /// Its address towards the other, and its routing daemon. Routes are exchanged by BGP: each node's bridge of pods for the
    /// other's kernel.
    fn connect(&self, router: Router) -> RoutingDaemons {
        let number = self.number;
        let (own, other) = (format!("192.0.2.{number}"), format!("192.0.2.{}", 3 - number));
        self.run(move |_| {
            ip(&format!("addr add {own}/24 dev uplink"));
            ip("link set uplink up");
            router.start(&own, &other)
        })
    }

    /// Calls the plugin for its pod; what it answers.
    fn call(&self, command: &'static str, masquerade: bool) -> Value {
        let number = self.number;
        self.run(move |_| {
            let config = json!({
                "cniVersion": "1.1.0", "name": "pods", "type": "netns-cni", "bridge": "cni0", "isGateway": true,
                "ipMasq": masquerade, "cni.dev/valid-attachments": [],
                "ipam": {
                    "type": "host-local", "dataDir": "/run/reserved", "subnet": format!("10.1.{number}.0/24"),
                    "routes": [{ "dst": "0.0.0.0/0" }],
                },
            });
            let mut plugin = Command::new(env!("CARGO_BIN_EXE_netns-cni"));
            plugin.env("CNI_COMMAND", command).env("CNI_PATH", "/nowhere").env("CNI_CONTAINERID", "pod");
            plugin.env("CNI_IFNAME", "eth0").env("CNI_NETNS", "/run/netns/pod");
            let mut child = plugin.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
            child.stdin.take().expect("a pipe").write_all(config.to_string().as_bytes()).expect("it reads");
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stdout));
            serde_json::from_slice(&output.stdout).unwrap_or_default()
        })
    }

    /// Makes its pod.
    fn attach(&self, masquerade: bool) {
        self.run(|_| drop(Namespace::create("pod").expect("a namespace")));
        let result = self.call("ADD", masquerade);
        assert_eq!(result["ips"][0]["address"], format!("10.1.{}.2/24", self.number), "{result}");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.jobs = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            ended.expect("a thread").expect("the node's own checks");
        }
    }
}

fn connected(router: Router) -> ([Node; 2], [RoutingDaemons; 2]) {
    let nodes = [1, 2].map(Node::start);
    let second = nodes[1].run(|host| host.namespace().try_clone().expect("a descriptor"));
    nodes[0].run(move |host| {
        let name = IfName::new("uplink").expect("a name");
        let pair = Veth { peer_namespace: Some(second.as_fd()), ..Veth::new(name, name) };
        veth::create(&mut host.socket(), &pair).expect("a pair");
    });
    let daemons = nodes.each_ref().map(|node| node.connect(router));
    (nodes, daemons)
}

/// Whom the second node's pod sees when the first node's calls it.
fn seen(nodes: &[Node; 2]) -> IpAddr {
    let listener = nodes[1].run(|_| {
        let pod = Namespace::open("pod").expect("a pod");
        pod.enter(|| TcpListener::bind("0.0.0.0:80")).expect("inside").expect("a listener")
    });
    let to: SocketAddr = "10.1.2.2:80".parse().expect("an address");
    let _stream = until("the other node's pod", || {
        nodes[0].run(move |_| {
            let pod = Namespace::open("pod").expect("a pod");
            pod.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(3)).ok()).expect("inside")
        })
    });
    listener.accept().expect("a connection").1.ip()
}

/// Pods of different nodes reach each other under their own addresses; a node that fails is forgotten.
fn pods_of_two_nodes(router: Router) {
    // It skips where something is missing; nodes cannot.
    in_host(|_| {
        router.look_for();
        let (nodes, daemons) = connected(router);
        for node in &nodes {
            node.attach(false);
        }
        assert_eq!(seen(&nodes), "10.1.1.2".parse::<IpAddr>().expect("an address"));
        let learnt = || nodes[0].run(move |_| ip(&format!("-4 route show proto {}", router.protocol())));
        let (found, words) = (learnt(), " via 192.0.2.2 dev uplink ");
        assert!(found.starts_with("10.1.2.0/24 ") && found.contains(words), "{found}");
        assert_eq!(found.lines().count(), 1, "{found}");
        let [first, second] = daemons;
        drop(second);
        eventually("the route is withdrawn", || learnt().is_empty());
        drop(first);
        for node in &nodes {
            let _ = node.call("DEL", false);
            let _ = node.call("GC", false);
            node.run(|_| {
                ip("netns delete pod");
                assert_nothing_but(&["uplink"]);
            });
        }
    });
}

#[test]
fn pods_of_two_nodes_by_bird() {
    pods_of_two_nodes(Router::Bird);
}

#[test]
fn pods_of_two_nodes_by_frr() {
    pods_of_two_nodes(Router::Frr);
}

/// With masquerading they see the node: what goes to another node leaves the host as what goes anywhere.
#[test]
fn masqueraded_pods_of_two_nodes() {
    in_host(|_| {
        Router::Bird.look_for();
        let (nodes, _daemons) = connected(Router::Bird);
        for node in &nodes {
            node.attach(true);
        }
        assert_eq!(seen(&nodes), "192.0.2.1".parse::<IpAddr>().expect("an address"));
    });
}
