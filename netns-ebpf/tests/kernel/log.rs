//! What the programs say of themselves reaches the `log` facade.

use std::sync::Mutex;

use log::{Level, LevelFilter, Log, Metadata, Record};
use netns_core::tc::{self, Filter};
use netns_ebpf::{Monitor, MonitorOptions};

use crate::harness::{Network, privileged, settled};

/// Keeps what is logged. There is one logger for all tests of this process.
struct Keeper(Mutex<Vec<(Level, String)>>);

static KEEPER: Keeper = Keeper(Mutex::new(Vec::new()));

impl Log for Keeper {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push((record.level(), record.args().to_string()));
    }

    fn flush(&self) {}
}

/// What was logged so far that contains `part`.
pub(crate) fn logged(part: &str) -> Vec<(Level, String)> {
    KEEPER.0.lock().unwrap().iter().filter(|(_, line)| line.contains(part)).cloned().collect()
}

/// Keeps what is logged from now on.
pub(crate) fn keep() {
    let _ = log::set_logger(&KEEPER);
    log::set_max_level(LevelFilter::Warn);
}

#[test]
fn a_full_table_of_pairs_is_told_rarely() {
    if !privileged("a_full_table_of_pairs_is_told_rarely") {
        return;
    }
    // Only then is there a logger: it is found all the same.
    let monitor = Monitor::load(&MonitorOptions { pairs: 1, ..MonitorOptions::default() }).unwrap();
    keep();
    let mut network = Network::new();
    for _ in 0..10 {
        network.add(Some(&monitor)).unwrap();
    }
    network.introduce();
    network.broadcasts(20);
    assert!(settled(|| monitor.lost_pairs()).packets >= 26 * 20);
    monitor.flush_log();
    let lines = logged("no room for the pair of slots");
    assert!(!lines.is_empty());
    assert!(lines.len() <= 2 * 16, "the 1st, 2nd, 4th, 8th... on each CPU: {lines:?}");
    assert!(lines.iter().all(|(level, _)| *level == Level::Warn));
}

#[test]
fn a_filter_without_a_slot_is_counted_and_told() {
    if !privileged("a_filter_without_a_slot_is_counted_and_told") {
        return;
    }
    keep();
    let monitor = Monitor::load(&MonitorOptions { slots: 10, ..MonitorOptions::default() }).unwrap();
    let mut network = Network::new();
    for _ in 0..2 {
        network.add(None);
    }
    for (port, class_id) in [(101, 0), (102, 4711)] {
        tc::add_clsact(&mut network.socket, port).unwrap();
        let slot = monitor.assign(port).unwrap();
        for filter in monitor.filters(port, slot) {
            tc::add_filter(&mut network.socket, &Filter { class_id, ..filter }).unwrap();
        }
    }
    network.introduce();
    network.datagrams(0, 1, 20, 100);
    let unassigned = monitor.unassigned();
    assert!(unassigned.rx.packets >= 20 && unassigned.tx.packets >= 20, "{unassigned:?}");
    monitor.flush_log();
    assert!(!logged("class id 0 of a port's filter is no slot").is_empty());
    assert!(!logged("class id 4711 of a port's filter is no slot").is_empty());
}
