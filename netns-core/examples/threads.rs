//! Sandboxes from several threads: each runs a command in a sandbox of its own, and drops it.
//!
//! As root, or through a user namespace: `unshare -r -n cargo run --example threads`. Nothing of the machine's own
//! network is touched: the network is made in a namespace of its own.

use netns_core::network::{Network, NetworkOptions};
use netns_core::{IfName, Namespace, Result};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const THREADS: usize = 2;
const EACH: usize = 10;

fn main() -> Result<()> {
    let host = Namespace::anonymous()?;
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/16".parse()?),
        ..NetworkOptions::new(IfName::new("sandboxes")?)
    };
    let network = host.enter(|| Network::create(&options))??;
    let begun = Instant::now();
    // A network may be used from any number of threads, whichever namespaces they are in.
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(|| work(&network))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    println!("{} sandboxes in {:?}", THREADS * EACH, begun.elapsed());
    network.wait_reclaimed(Duration::from_secs(10))
}

fn work(network: &Network) -> Result<()> {
    for _ in 0..EACH {
        let sandbox = network.create_sandbox()?;
        let status = sandbox
            .spawn(Command::new("ls").arg("/sys/class/net").stdout(std::process::Stdio::null()))?
            .wait();
        println!("{:?}: {:?}", sandbox.address_v4(), status.map(|status| status.code()));
    }
    Ok(())
}
