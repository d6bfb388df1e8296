//! Sandboxes that are judged from their birth.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::{Namespace, RouteSocket, link, sysctl};
use netns_ebpf::attack::FrameSocket;
use netns_ebpf::packet::{HostAccess, Reason, RulesFull};
use netns_ebpf::{EgressRules, Mode, Monitor, MonitorOptions, NetworkGuard, Policy, Slot};

use crate::harness::{name, privileged, settled};

fn slot(sandbox: &Sandbox) -> Slot {
    sandbox.slot().and_then(Slot::new).unwrap()
}

/// Runs a test with a network, two sandboxes a bridge, in a host of its own.
fn guarded(guard: impl Fn(Arc<Monitor>) -> NetworkGuard, body: impl FnOnce(&Network, &Monitor)) {
    let barrier = netns_core::barrier::is_supported().unwrap();
    let options = MonitorOptions { slots: 64, egress: 1, barrier, ..MonitorOptions::default() };
    let monitor = Arc::new(Monitor::load(&options).unwrap());
    let host = Namespace::anonymous().unwrap();
    for key in ["all", "default"] {
        sysctl::set(&host, &format!("net/ipv6/conf/{key}/disable_ipv6"), "1").unwrap();
    }
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/24".parse().unwrap()),
        per_bridge: 2,
        program: Some(Arc::new(guard(monitor.clone()))),
        ..NetworkOptions::new(name("gd"))
    };
    let bridge = host.enter(|| {
        let network = Network::create(&options).unwrap();
        body(&network, &monitor);
        network.bridge()
    });
    assert_eq!(monitor.slot(bridge.unwrap()), None, "the bridge's slot came back");
}

/// Whether a datagram from one arrives at another.
fn reaches(from: &Sandbox, to: &Sandbox, limit: Duration) -> bool {
    let address = SocketAddr::from((to.address_v4().unwrap().address(), 9));
    let listener = to.enter(|| UdpSocket::bind(address)).unwrap().unwrap();
    listener.set_read_timeout(Some(limit)).unwrap();
    let sender = from.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
    let _ = sender.send_to(b"hello", address);
    listener.recv(&mut [0; 16]).is_ok()
}

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(300);

#[test]
fn a_sandbox_has_its_egress_policy_from_its_birth() {
    if !privileged("a_sandbox_has_its_egress_policy_from_its_birth") {
        return;
    }
    // The first sandbox's address is all that is allowed.
    guarded(
        |monitor| {
            let rules = EgressRules::new().refusing_others().with("allow 10.99.0.2".parse().unwrap());
            let policy = monitor.add_egress(&rules).unwrap();
            NetworkGuard::new(monitor, Mode::Enforce).with_egress(policy)
        },
        |network, monitor| {
            let sandboxes = [(); 3].map(|()| network.create_sandbox().unwrap());
            let allowed = sandboxes.iter().find(|sandbox| {
                sandbox.address_v4().unwrap().address() == std::net::Ipv4Addr::new(10, 99, 0, 2)
            });
            let allowed = allowed.expect("a sandbox with the first address that is not the host's");
            for other in sandboxes.iter().filter(|other| slot(other) != slot(allowed)) {
                assert!(
                    reaches(other, allowed, LONG)
                        && !reaches(other, other_than(&sandboxes, [other, allowed]), SHORT)
                );
                let found = settled(|| monitor.violations(slot(other)));
                assert_eq!((found.of(Reason::Egress), found.total()), (1, 1), "{found:?}");
            }
        },
    );
}

/// The sandbox that is neither of two.
fn other_than<'a>(all: &'a [Sandbox], two: [&Sandbox; 2]) -> &'a Sandbox {
    all.iter().find(|one| two.iter().all(|other| slot(other) != slot(one))).unwrap()
}

#[test]
fn a_spoof_is_refused_from_the_very_first_frame() {
    if !privileged("a_spoof_is_refused_from_the_very_first_frame") {
        return;
    }
    guarded(
        |monitor| NetworkGuard::new(monitor, Mode::Enforce),
        |network, monitor| {
            let victim = network.create_sandbox().unwrap();
            for round in 0..4 {
                let liar = network.create_sandbox().unwrap();
                // What it sends before anything else is a lie, to whichever bridge the victim is on.
                let eth0 = |sandbox: &Sandbox| {
                    let namespace = sandbox.namespace().unwrap();
                    let mut socket = RouteSocket::open_in(namespace).unwrap();
                    let eth0 = link::get(&mut socket, name("eth0")).unwrap();
                    let socket = namespace.enter(|| FrameSocket::open(eth0.index)).unwrap().unwrap();
                    (socket, eth0.mac.unwrap().0)
                };
                let ((sender, own), (receiver, to)) = (eth0(&liar), eth0(&victim));
                let mut frame = [0; 60];
                frame[..6].copy_from_slice(&to);
                frame[6..14].copy_from_slice(&[2, 0, 0, 0x66, 0x66, 0x66, 0x88, 0xB5]);
                sender.send(&frame).unwrap();
                let found = settled(|| monitor.violations(slot(&liar)));
                assert_eq!(
                    (found.of(Reason::SourceMacForeign), found.dropped_rx.packets),
                    (1, 1),
                    "{round}: {own:02x?}"
                );
                let heard = std::iter::from_fn(|| receiver.receive(Duration::from_millis(20)).unwrap());
                assert_eq!(heard.filter(|heard| *heard == frame).count(), 0);
                assert!(
                    reaches(&liar, &victim, LONG) && reaches(&victim, &liar, LONG),
                    "honest traffic passes"
                );
                assert_eq!(monitor.violations(slot(&liar)).total(), 1);
            }
        },
    );
}

#[test]
fn groups_and_rules_for_the_host_hold_from_birth_too() {
    if !privileged("groups_and_rules_for_the_host_hold_from_birth_too") {
        return;
    }
    let guard = |monitor: Arc<Monitor>| {
        for (one, other) in [(1, 2), (2, 1)] {
            monitor.set_group_pair(one, other, false).unwrap();
        }
        NetworkGuard::new(monitor, Mode::Enforce).with_policies(|port, policy| {
            let last = port.address_v4.unwrap().octets()[3];
            let rules = policy.rules.with_host(HostAccess::Neighbours);
            Ok(Policy { group: 1 + last % 2, rules, ..policy })
        })
    };
    guarded(guard, |network, monitor| {
        let mut socket = RouteSocket::open().unwrap();
        let at_host = |socket: &mut RouteSocket| monitor.attached(socket, network.bridge()).unwrap();
        assert_eq!(at_host(&mut socket), None, "no policy speaks of the host yet");
        let sandboxes: Vec<Sandbox> = (0..4).map(|_| network.create_sandbox().unwrap()).collect();
        let group = |sandbox: &Sandbox| monitor.policy(slot(sandbox)).unwrap().group;
        for from in &sandboxes {
            for to in sandboxes.iter().filter(|to| to.port().index != from.port().index) {
                if group(from) == group(to) {
                    assert!(reaches(from, to, LONG));
                } else {
                    assert!(!reaches(from, to, SHORT));
                }
            }
            // By its trunk as well, the host knows who sent what.
            let before = monitor.violations(slot(from)).of(Reason::Host);
            let address = SocketAddr::from((network.addresses().next().unwrap().address(), 9));
            let listener = UdpSocket::bind(address).unwrap();
            listener.set_read_timeout(Some(SHORT)).unwrap();
            let sender = from.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap().unwrap();
            sender.send_to(b"hello", address).unwrap();
            assert!(listener.recv(&mut [0; 16]).is_err());
            assert_eq!(settled(|| monitor.violations(slot(from)).of(Reason::Host)), before + 1);
        }
        assert!(at_host(&mut socket).is_some());
    });
}

#[test]
fn a_policy_that_cannot_be_leaves_no_sandbox() {
    if !privileged("a_policy_that_cannot_be_leaves_no_sandbox") {
        return;
    }
    let guard = |monitor| NetworkGuard::new(monitor, Mode::Enforce).with_policies(|_, _| Err(RulesFull));
    guarded(guard, |network, monitor| {
        let error = network.create_sandbox().unwrap_err().to_string();
        assert!(error.contains("judge port gdp"), "{error}");
        assert_eq!((network.sandboxes(), monitor.ports()), (0, Vec::new()));
    });
}
