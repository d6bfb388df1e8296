//! What an observer that was killed left is found in its journal, and removed.

use std::fs;
use std::mem;

use netns_core::tc::{self, Direction};
use netns_core::{Namespace, link};
use netns_ebpf::{JournalFile, JournalPlace, Monitor, MonitorError, MonitorOptions, Observer};

use crate::harness::{Network, Scratch, name, privileged};

/// How many filters are on the two ports.
fn filters(network: &mut Network) -> usize {
    let hooks = [101, 102].into_iter().flat_map(|port| Direction::BOTH.map(|direction| (port, direction)));
    hooks.map(|(port, hook)| tc::list_filters(&mut network.socket, port, hook).unwrap().len()).sum()
}

fn has_clsact(network: &mut Network, port: u32) -> bool {
    tc::list_qdiscs(&mut network.socket, port).unwrap().iter().any(tc::Qdisc::is_clsact)
}

#[test]
fn what_a_killed_observer_left_is_removed_by_its_journal() {
    let test = "what_a_killed_observer_left_is_removed_by_its_journal";
    if !privileged(test) {
        return;
    }
    let scratch = Scratch::new(test);
    let folder = &scratch.0;
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    network.add(None);
    network.add(None);
    tc::add_clsact(&mut network.socket, 101).unwrap();
    let host = network.host.try_clone().unwrap();
    let bridge = link::get(&mut network.socket, name("br0")).unwrap();
    let place = JournalPlace::of(&host, &bridge, &monitor, None).unwrap();
    let begin = || JournalFile::begin(folder, &host, &place);
    // As a kill does, without giving anything back; only the file is closed, so that it is unlocked.
    let kill = |journal: JournalFile| {
        mem::forget(Observer::start(&monitor, &host, name("br0"), &journal).unwrap());
        for (slot, _) in monitor.ports() {
            monitor.release(slot).unwrap();
        }
    };

    let journal = begin().unwrap();
    assert!(matches!(begin(), Err(MonitorError::Observed { .. })), "somebody has it");
    kill(journal);
    assert_eq!(filters(&mut network), 4);

    // Somebody else finds it. The half of a line that its writer was killed over is no matter.
    let journals = JournalFile::list(folder).unwrap();
    let [path] = &journals[..] else { panic!("{journals:?}") };
    assert_eq!(JournalFile::peek(path).unwrap(), Some(place.clone()));
    let lines = fs::read_to_string(path).unwrap();
    fs::write(path, lines + "port 102 others po").unwrap();
    let journal = JournalFile::open(path.clone()).unwrap().unwrap();
    assert_eq!(journal.place(), Some(&place));
    // By its index, whatever it is called; by its name only when it is gone.
    let mut is_of = |bridge: &str, index| {
        let mut found = bridge_like(&mut network);
        found.index = index;
        place.is_of(&mut network.socket, bridge, Some(&found)).unwrap()
    };
    assert!(is_of("an alternative name", bridge.index) && !is_of("br0", bridge.index + 1));
    assert!(place.is_in(&host) && !place.is_in(&Namespace::anonymous().unwrap()));
    assert_eq!(journal.clean(&host).unwrap(), [name("port1"), name("port2")]);
    assert_eq!(filters(&mut network), 0);
    assert!(
        has_clsact(&mut network, 101) && !has_clsact(&mut network, 102),
        "somebody's stays, ours does not"
    );
    drop(journal);

    // The next observer does the same before it begins.
    kill(begin().unwrap());
    assert_eq!(filters(&mut network), 4);
    let journal = begin().unwrap();
    assert_eq!(filters(&mut network), 0);
    journal.end().unwrap();
    assert!(JournalFile::list(folder).unwrap().is_empty());

    fs::write(folder.join("netns-observe-1-br0"), "{}\n").unwrap();
    let error = JournalFile::open(folder.join("netns-observe-1-br0")).unwrap_err().to_string();
    assert!(error.contains("netns-observe-1-br0") && error.ends_with("this is no journal"), "{error}");
    fs::write(folder.join("netns-observe-1-2"), "netns-record 2 observe -\n").unwrap();
    let error = JournalFile::open(folder.join("netns-observe-1-2")).unwrap_err().to_string();
    assert!(error.contains("its format is version 2"), "{error}");
    fs::remove_dir_all(folder).unwrap();
}

fn bridge_like(network: &mut Network) -> link::Link {
    link::get(&mut network.socket, name("br0")).unwrap()
}

#[test]
fn what_0_1_0_left_is_removed_before_the_next_begins() {
    let test = "what_0_1_0_left_is_removed_before_the_next_begins";
    if !privileged(test) {
        return;
    }
    let scratch = Scratch::new(test);
    let folder = &scratch.0;
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    network.add(None);
    let host = network.host.try_clone().unwrap();
    let observer = Observer::start(&monitor, &host, name("br0"), ()).unwrap();
    mem::forget(observer);
    for (slot, _) in monitor.ports() {
        monitor.release(slot).unwrap();
    }
    let [ingress, egress] = monitor.program_ids();
    let id = host.id().unwrap();
    let written =
        format!("{} {} br0 {ingress} {egress} \n101 unsure port1\n101 ours port1\n", id.device, id.inode);
    // Of another bridge, and of another namespace: none of ours.
    let others = ["netns-observe-1-br0", "netns-observe-2-my-br0"];
    fs::write(folder.join(others[0]), written.replace(&id.inode.to_string(), "1")).unwrap();
    fs::write(folder.join(others[1]), written.replace(" br0 ", " my-br0 ")).unwrap();
    fs::write(folder.join(format!("netns-observe-{}-br0", id.inode)), written).unwrap();

    let bridge = bridge_like(&mut network);
    let place = JournalPlace::of(&host, &bridge, &monitor, None).unwrap();
    let journal = JournalFile::begin(folder, &host, &place).unwrap();
    let hooks = Direction::BOTH.map(|hook| tc::list_filters(&mut network.socket, 101, hook).unwrap().len());
    assert_eq!(hooks, [0, 0]);
    assert!(!has_clsact(&mut network, 101));
    let left = JournalFile::list(folder).unwrap();
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(others.iter().all(|name| left.contains(&folder.join(name))));
    journal.end().unwrap();
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_journal_of_many_ports_that_come_and_go_stays_short() {
    let test = "a_journal_of_many_ports_that_come_and_go_stays_short";
    if !privileged(test) {
        return;
    }
    let scratch = Scratch::new(test);
    let folder = &scratch.0;
    let monitor = Monitor::load(&MonitorOptions::default()).unwrap();
    let mut network = Network::new();
    network.add(None);
    let host = network.host.try_clone().unwrap();
    let place = JournalPlace::of(&host, &bridge_like(&mut network), &monitor, None).unwrap();
    let journal = JournalFile::begin(folder, &host, &place).unwrap();
    for _ in 0..100 {
        Observer::start(&monitor, &host, name("br0"), &journal).unwrap().stop().unwrap();
    }
    let path = JournalFile::list(folder).unwrap().remove(0);
    let lines = fs::read_to_string(&path).unwrap().lines().count();
    assert!(lines < 100, "{lines} lines");
    assert!(
        matches!(JournalFile::open(path), Err(MonitorError::Observed { .. })),
        "it is locked all the while"
    );
    journal.end().unwrap();
    fs::remove_dir_all(folder).unwrap();
}
