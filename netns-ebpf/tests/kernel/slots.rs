//! Slots, and where they end.

use netns_ebpf::{Monitor, MonitorError, MonitorOptions, Slot};

use crate::harness::privileged;

#[test]
fn slots_end_with_an_error_that_names_the_limit() {
    if !privileged("slots_end_with_an_error_that_names_the_limit") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    for ifindex in 1..=4096 {
        assert_eq!(monitor.assign(ifindex).unwrap().get(), u16::try_from(ifindex).unwrap());
    }
    let error = monitor.assign(4097).unwrap_err();
    assert!(matches!(error, MonitorError::SlotsExhausted { limit: 4096 }));
    assert_eq!(
        error.to_string(),
        "all 4096 slots are in use; MonitorOptions::slots raises it, the kernel's limit is 65535"
    );
    monitor.release(Slot::new(7).unwrap()).unwrap();
    assert_eq!(monitor.assign(4097).unwrap().get(), 7);
}

#[test]
fn there_can_be_as_many_slots_as_class_ids() {
    if !privileged("there_can_be_as_many_slots_as_class_ids") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions { slots: u16::MAX, ..MonitorOptions::default() }).unwrap();
    for ifindex in 1..=65_535 {
        monitor.assign(ifindex).unwrap();
    }
    let error = monitor.assign(65_536).unwrap_err().to_string();
    assert_eq!(error, "all 65535 slots are in use, as many as a filter's class id can distinguish");
}

#[test]
fn a_port_has_one_slot_and_a_slot_one_port() {
    if !privileged("a_port_has_one_slot_and_a_slot_one_port") {
        return;
    }
    let monitor = Monitor::load(&MonitorOptions { slots: 4, ..MonitorOptions::default() }).unwrap();
    let slot = monitor.assign(7).unwrap();
    assert_eq!(monitor.ports(), [(slot, 7)]);
    assert_eq!(monitor.assign(7).unwrap_err().to_string(), "the port with ifindex 7 has slot 1 already");
    monitor.release(slot).unwrap();
    assert_eq!(monitor.release(slot).unwrap_err().to_string(), "slot 1 belongs to no port");
    assert_eq!(monitor.ports(), []);
    assert_eq!(monitor.assign(7).unwrap().get(), 2, "a released slot waits for the others");
}
