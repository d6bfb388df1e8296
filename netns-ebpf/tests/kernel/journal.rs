//! What an observer that was killed left is found in its journal, and removed.

use std::fs;
use std::mem;

use netns_core::tc::{self, Direction};
use netns_ebpf::{JournalFile, Monitor, MonitorError, MonitorOptions, Observer, Place};

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
    let place = Place {
        namespace: host.id().unwrap(),
        bridge: name("br0"),
        programs: monitor.program_ids(),
        name: None,
    };
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
    let journals = JournalFile::list(folder, None).unwrap();
    let [path] = &journals[..] else { panic!("{journals:?}") };
    assert_eq!(JournalFile::list(folder, Some(name("br0"))).unwrap(), journals);
    assert!(JournalFile::list(folder, Some(name("r0"))).unwrap().is_empty(), "of another bridge");
    let lines = fs::read_to_string(path).unwrap();
    fs::write(path, lines + "102 others po").unwrap();
    let journal = JournalFile::open(path.clone()).unwrap();
    assert_eq!(journal.place().unwrap(), Some(place.clone()));
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
    assert!(JournalFile::list(folder, None).unwrap().is_empty());

    fs::write(folder.join("netns-observe-1-br0"), "{}\n").unwrap();
    let journal = JournalFile::open(folder.join("netns-observe-1-br0")).unwrap();
    let error = journal.place().unwrap_err().to_string();
    assert!(error.contains("netns-observe-1-br0") && error.ends_with("this is no journal"), "{error}");
}
