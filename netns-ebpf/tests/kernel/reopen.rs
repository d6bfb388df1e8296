//! A monitor that is gone and whose programs filters hold: opened again, with all that they know.

use netns_ebpf::packet::{Permissions, Reason, Rules};
use netns_ebpf::{Monitor, MonitorError, MonitorOptions, Policy};

use crate::harness::{Network, privileged, settled};

const PORT: u32 = 101;

#[test]
fn what_filters_hold_is_opened_again() {
    if !privileged("what_filters_hold_is_opened_again") {
        return;
    }
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    network.introduce();
    // Its MAC address is the port's, its IPv4 address is not: every packet is a violation, and passes.
    let rules = Rules::new([2, 0, 0, 0, 0, 1])
        .with_ipv4([10, 9, 9, 9].into(), 24)
        .and_then(|rules| rules.with_ipv6("fd00::1".parse().unwrap(), 64)?.with_ether_type(0x88CC))
        .unwrap()
        .permitting(Permissions::VLAN);
    let mac = netns_core::MacAddress::local(1).0;
    let policy = Policy { group: 7, ..Policy::new(Rules::new(mac)) };
    let whole = Policy { group: 9, ..Policy::new(rules).enforced() };

    let options = MonitorOptions { slots: 16, ..MonitorOptions::default() };
    let monitor = Monitor::load(&options).unwrap();
    let attachment = monitor.attach_with(&mut network.socket, PORT, Some(&policy)).unwrap();
    let programs = monitor.program_ids();
    let other = monitor.assign(999).unwrap();
    monitor.set_policy(other, &whole).unwrap();
    assert_eq!(monitor.groups_apart(), []);
    let apart = [(63, 0), (7, 9), (9, 7)];
    for (from, to) in [(1, 2)].into_iter().chain(apart) {
        monitor.set_group_pair(from, to, false).unwrap();
    }
    monitor.set_group_pair(1, 2, true).unwrap();
    drop(monitor);

    network.datagrams(0, 1, 5, 100);
    let monitor = Monitor::reopen(programs).unwrap();
    let slot = attachment.slot();
    assert_eq!(monitor.program_ids(), programs);
    assert_eq!(monitor.ports(), [(slot, PORT), (other, 999)]);
    assert_eq!((monitor.slot(PORT), monitor.slot(5)), (Some(slot), None));
    assert_eq!(monitor.attached(&mut network.socket, PORT).unwrap(), Some(slot));
    assert_eq!(monitor.policy(slot), Some(policy));
    assert_eq!(monitor.policy(other), Some(whole), "every field");
    let reopened = monitor.groups_apart();
    assert_eq!(reopened, [(63, 0), (9, 7), (7, 9)], "in the receivers' order");
    settled(|| network.stats(PORT));
    assert_eq!(monitor.violations(slot).of(Reason::Ipv4SourceForeign), 5);
    assert_eq!(monitor.counters(slot).rx.packets, 5);

    // It goes on as the first one would have.
    let next = monitor.attach(&mut network.socket, PORT + 1).unwrap();
    assert!(next.slot() != slot && next.slot() != other);
    monitor.set_policy(slot, &policy.enforced()).unwrap();
    monitor.detach(&mut network.socket, &next).unwrap();
    monitor.detach(&mut network.socket, &attachment).unwrap();
    drop(monitor);
    // The kernel lets go of a filter's program a little later.
    let start = std::time::Instant::now();
    let gone = loop {
        match Monitor::reopen(programs) {
            Err(error) => break error,
            Ok(_) => assert!(start.elapsed().as_secs() < 10, "the programs stay"),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(matches!(gone, MonitorError::Gone { .. }), "{gone}");
}
