//! Nobody gets past the guard: frames that avoid the hooks of their port, with the barrier and without it.

use std::sync::Arc;
use std::time::Duration;

use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::nftables::{Family, NftSocket, Table, table};
use netns_core::ping::{Ping, ping};
use netns_core::{Namespace, RouteSocket, link, sysctl};
use netns_ebpf::attack::{Around, Case, FrameSocket, Party, cases};
use netns_ebpf::packet::Reason;
use netns_ebpf::{Monitor, MonitorOptions, Policy, Slot};

use crate::harness::{name, privileged_since};

fn slot(sandbox: &Sandbox) -> Slot {
    sandbox.slot().and_then(Slot::new).unwrap()
}

fn policy(sandbox: &Sandbox) -> Policy {
    let address = sandbox.address_v4().unwrap().address();
    Policy::of_host(sandbox.mac(), &[address]).unwrap().enforced()
}

fn open(namespace: &Namespace, link: &str) -> FrameSocket {
    let index = link::get(&mut RouteSocket::open_in(namespace).unwrap(), name(link)).unwrap().index;
    namespace.enter(|| FrameSocket::open(index)).unwrap().unwrap()
}

/// A network of two bridges, with a policy enforced on each of its four sandboxes.
fn with_network(test: &str, barrier: bool, body: impl FnOnce(&Namespace, &Network, &Monitor, &[Sandbox])) {
    if !privileged_since(test, (5, 16), "nftables at egress") {
        return;
    }
    let options = MonitorOptions { slots: 64, barrier, ..MonitorOptions::default() };
    let monitor = Arc::new(Monitor::load(&options).unwrap());
    let host = Namespace::anonymous().unwrap();
    for name in ["all", "default"] {
        sysctl::set(&host, &format!("net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
    }
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/24".parse().unwrap()),
        per_bridge: 2,
        broadcast: true,
        program: Some(monitor.clone()),
        ..NetworkOptions::new(name("sb"))
    };
    host.enter(|| {
        let network = Network::create(&options).unwrap();
        let sandboxes: Vec<_> = (0..4).map(|_| network.create_sandbox().unwrap()).collect();
        for sandbox in &sandboxes {
            monitor.set_policy(slot(sandbox), &policy(sandbox)).unwrap();
        }
        body(&host, &network, &monitor, &sandboxes);
    })
    .unwrap();
}

/// A lie that the program stops where it sees it: another source MAC address, to a receiver.
fn lie(from: &Sandbox, to: &Sandbox) -> Case {
    let party = |sandbox: &Sandbox| Party::new(sandbox.mac(), &[sandbox.address_v4().unwrap().address()]);
    let cases = cases(&party(from), &party(to));
    cases.into_iter().find(|case| case.reason == Reason::Ipv4SourceForeign).unwrap()
}

/// How many of ten frames arrive.
fn arrived(sender: &FrameSocket, receiver: &FrameSocket, frame: &[u8]) -> usize {
    while receiver.receive(Duration::ZERO).unwrap().is_some() {}
    for _ in 0..10 {
        sender.send(frame).unwrap();
    }
    let mut arrived = 0;
    while let Some(heard) = receiver.receive(Duration::from_millis(100)).unwrap() {
        arrived += usize::from(heard == frame);
    }
    arrived
}

/// To a neighbour on the same bridge, to one on another bridge, and to the host.
fn lies(host: &Namespace, network: &Network, sandboxes: &[Sandbox]) -> [usize; 3] {
    let sender = open(sandboxes[0].namespace().unwrap(), "eth0");
    let to = |sandbox: &Sandbox| {
        let receiver = open(sandbox.namespace().unwrap(), "eth0");
        arrived(&sender, &receiver, &lie(&sandboxes[0], sandbox).frame)
    };
    let mut to_host = lie(&sandboxes[0], &sandboxes[1]).frame;
    to_host[..6].copy_from_slice(&network.mac().0);
    let heard = arrived(&sender, &open(host, "sb"), &to_host);
    [to(&sandboxes[1]), to(&sandboxes[3]), heard]
}

#[test]
fn what_goes_around_the_hook_arrives_nowhere() {
    with_network("what_goes_around_the_hook_arrives_nowhere", true, |host, network, monitor, sandboxes| {
        let attacker = slot(&sandboxes[0]);
        assert_eq!(lies(host, network, sandboxes), [0; 3], "what passes the hook");
        let before = monitor.violations(attacker);
        assert_eq!(before.of(Reason::Ipv4SourceForeign), 30);
        assert_eq!(before.of(Reason::Unjudged), 0);

        let around = Around::begin(sandboxes[0].namespace().unwrap(), name("eth0")).unwrap();
        assert_eq!(lies(host, network, sandboxes), [0; 3], "what goes around it");
        let dropped = network.take_unjudged().unwrap();
        assert!(dropped.unjudged.iter().all(|one| one.port == sandboxes[0].port().index), "{dropped:?}");
        let after = monitor.violations(attacker);
        assert!(after.of(Reason::Unjudged) >= 30, "{after:?}");
        assert_eq!(after.of(Reason::Ipv4SourceForeign), 30, "the program has seen it");
        around.end().unwrap();

        // Honest traffic, everywhere, is not in the way of it.
        for from in sandboxes {
            for to in sandboxes {
                let to = to.address_v4().unwrap().address();
                assert!(ping(from.namespace().unwrap(), &Ping::new(to)).unwrap().all_received());
            }
            let host = network.addresses().next().unwrap().address();
            assert!(ping(from.namespace().unwrap(), &Ping::new(host)).unwrap().all_received());
        }
        assert!(network.take_unjudged().unwrap().unjudged.is_empty());
    });
}

/// How many frames went around is known only if nothing else that the namespace sends does.
#[test]
fn only_what_is_marked_goes_around_the_hook_if_so_asked() {
    let test = "only_what_is_marked_goes_around_the_hook_if_so_asked";
    with_network(test, true, |host, network, monitor, sandboxes| {
        let around = Around::begin_marked(sandboxes[0].namespace().unwrap(), name("eth0"), 7).unwrap();
        assert_eq!(lies(host, network, sandboxes), [0; 3]);
        let violations = monitor.violations(slot(&sandboxes[0]));
        assert_eq!(violations.of(Reason::Ipv4SourceForeign), 30, "the program has seen what is not marked");
        assert!(network.take_unjudged().unwrap().unjudged.is_empty());
        let sender = open(sandboxes[0].namespace().unwrap(), "eth0");
        sender.set_mark(7).unwrap();
        let receiver = open(sandboxes[1].namespace().unwrap(), "eth0");
        let frame = lie(&sandboxes[0], &sandboxes[1]).frame;
        assert_eq!(arrived(&sender, &receiver, &frame), 0);
        let dropped = network.take_unjudged().unwrap().unjudged;
        assert_eq!(dropped.iter().map(|one| one.packets).collect::<Vec<_>>(), [10]);
        around.end().unwrap();
    });
}

/// An attack that does not work proves nothing.
#[test]
fn without_the_barrier_the_same_frames_arrive() {
    with_network("without_the_barrier_the_same_frames_arrive", false, |host, network, monitor, sandboxes| {
        let around = Around::begin(sandboxes[0].namespace().unwrap(), name("eth0")).unwrap();
        assert_eq!(lies(host, network, sandboxes), [10; 3]);
        assert_eq!(monitor.violations(slot(&sandboxes[0])).total(), 0);
        around.end().unwrap();
        assert_eq!(lies(host, network, sandboxes), [0; 3], "it has ended");
        assert!(network.take_unjudged().unwrap().unjudged.is_empty());
    });
}

/// Who sent a frame that crosses trunks is not for the sender to say, with or without the barrier.
#[test]
fn the_sender_cannot_be_forged_over_a_trunk() {
    with_network("the_sender_cannot_be_forged_over_a_trunk", false, |_, _, monitor, sandboxes| {
        let [attacker, _, victim, innocent] = sandboxes else { panic!("four") };
        let mut around = Around::begin(attacker.namespace().unwrap(), name("eth0")).unwrap();
        around.forge(slot(innocent).get()).unwrap();
        let sender = open(attacker.namespace().unwrap(), "eth0");
        let receiver = open(victim.namespace().unwrap(), "eth0");
        let frame = lie(attacker, victim).frame;
        assert_eq!(arrived(&sender, &receiver, &frame), 10, "it goes around the hook");
        let from = |sandbox| {
            let pairs = monitor.pairs();
            let is_it =
                |pair: &&netns_ebpf::Pair| pair.from == Some(slot(sandbox)) && pair.to == slot(victim);
            pairs.iter().find(is_it).map_or(0, |pair| pair.packets)
        };
        assert_eq!((from(attacker), from(innocent)), (10, 0));

        // Groups that are kept apart are kept apart.
        let apart = |sandbox, group| {
            monitor.set_policy(slot(sandbox), &Policy { group, ..policy(sandbox) }).unwrap();
        };
        apart(attacker, 1);
        apart(victim, 4);
        monitor.set_group_pair(1, 4, false).unwrap();
        assert_eq!(arrived(&sender, &receiver, &frame), 0);
        assert_eq!(monitor.violations(slot(attacker)).of(Reason::Group), 10);
        assert_eq!(monitor.violations(slot(innocent)).total(), 0);
        around.end().unwrap();
    });
}

#[test]
fn a_barrier_that_somebody_took_away_is_made_again() {
    with_network("a_barrier_that_somebody_took_away_is_made_again", true, |host, network, _, sandboxes| {
        assert_eq!(network.take_unjudged().unwrap().lost_barriers, 0);
        let mut nft = NftSocket::open_in(host).unwrap();
        let tables = table::list(&mut nft, Family::Bridge).unwrap();
        let [barrier] = &tables[..] else { panic!("{tables:?}") };
        table::delete(&mut nft, Table { family: Family::Bridge, name: &barrier.name }).unwrap();
        let around = Around::begin(sandboxes[0].namespace().unwrap(), name("eth0")).unwrap();
        assert_eq!(lies(host, network, sandboxes)[0], 10, "it is gone");
        assert_eq!(network.take_unjudged().unwrap().lost_barriers, 1);
        assert_eq!(lies(host, network, sandboxes), [0; 3]);
        around.end().unwrap();
    });
}

#[test]
fn a_barrier_goes_with_its_network() {
    let mut host_after = None;
    with_network("a_barrier_goes_with_its_network", true, |host, _, _, _| {
        host_after = Some(host.try_clone().unwrap());
    });
    let Some(host) = host_after else { return };
    let mut nft = NftSocket::open_in(&host).unwrap();
    assert!(table::list(&mut nft, Family::Bridge).unwrap().is_empty());
}

#[test]
fn a_monitor_that_is_opened_again_has_the_same_stamp() {
    if !privileged_since("a_monitor_that_is_opened_again_has_the_same_stamp", (5, 12), "the program") {
        return;
    }
    for barrier in [true, false] {
        let options = MonitorOptions { slots: 4, barrier, ..MonitorOptions::default() };
        let monitor = Monitor::load(&options).unwrap();
        let stamp = monitor.stamp();
        assert_eq!(stamp.is_some(), barrier);
        assert!(stamp.is_none_or(|stamp| stamp.trailing_zeros() >= 4 && stamp >> 30 == 1), "{stamp:?}");
        assert_eq!(Monitor::reopen(monitor.program_ids()).unwrap().stamp(), stamp);
    }
}
