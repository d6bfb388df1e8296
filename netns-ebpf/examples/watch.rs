//! Watches a bridge that is there for five seconds, as root: `cargo run -p netns-ebpf --example watch -- docker0`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use netns_core::{Namespace, RouteSocket, link};
use netns_ebpf::{
    JournalFile, JournalPlace, Judging, Monitor, MonitorOptions, Observer, Pair, PortChange, Violation,
};

fn main() -> Result<(), Box<dyn Error>> {
    let bridge = std::env::args().nth(1).ok_or("which bridge?")?;
    let host = Namespace::current()?;
    let bridge = link::get_named(&mut RouteSocket::open()?, &bridge)?;
    let monitor = Monitor::load(&MonitorOptions::default())?;

    // If this is killed, the next one knows what to remove.
    let place = JournalPlace::of(&host, &bridge, &monitor, None)?;
    let journal = JournalFile::begin(Path::new(JournalFile::FOLDER), &host, &place)?;
    // Ports may send what the bridge and its host have learnt of them; the rest is reported, and passes.
    let mut observer = Observer::start_judging(&monitor, &host, bridge.name, &journal, Judging::Learnt)?;

    let mut earlier = observer.read()?;
    for _ in 0..5 {
        let next = Instant::now() + Duration::from_secs(1);
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            // Before the changes: a port that left is known until then.
            let mut found = Vec::new();
            monitor.events(|event| {
                let port = observer.ports().find(|port| Some(port.slot) == event.slot);
                found.push(Violation::of(event, port));
            });
            for Violation { port, reason, .. } in found {
                println!("{}: {reason}", port.map_or_else(|| "?".to_owned(), |port| port.to_string()));
            }
            for change in observer.changes(left)? {
                match change {
                    PortChange::Came(port) => println!("{port} came"),
                    PortChange::Left(last) => println!("{} left", last.info),
                    other => println!("{other:?}"),
                }
            }
        }
        let now = observer.read()?;
        for (port, rates) in now.ports.iter().zip(now.rates(&earlier)) {
            println!("{}: {} bit/s from it, {} bit/s to it", port.info, rates.rx.bits, rates.tx.bits);
        }
        let ends = now.ends();
        for pair in Pair::busiest(now.pairs.iter().copied(), 3) {
            println!("{} -> {}: {} bytes", ends.title(pair.from), ends.title(Some(pair.to)), pair.bytes);
        }
        earlier = now;
    }
    observer.stop()?;
    journal.end()?;
    Ok(())
}
