//! Whether the first packet of a fresh sandbox gets through at once: makes sandboxes one by one and sends a single echo
//! request from each the moment it is there, with no second try.
//!
//! As root, or through a user namespace: `unshare -r -n cargo run --example first_ping`. Nothing of the machine's own
//! network is touched: the network is made in a namespace of its own. Exits with 1 if a request was not answered.

use netns_core::network::{Network, NetworkOptions};
use netns_core::ping::{Ping, ping};
use netns_core::{IfName, Namespace, Result};
use std::process::ExitCode;
use std::time::{Duration, Instant};

const SANDBOXES: usize = 20;

fn main() -> Result<ExitCode> {
    let host = Namespace::anonymous()?;
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/16".parse()?),
        subnet_v6: Some("fd99::/64".parse()?),
        ..NetworkOptions::new(IfName::new("sandboxes")?)
    };
    let network = host.enter(|| Network::create(&options))??;
    let gateways = ["10.99.0.1", "fd99::1"].map(|gateway| gateway.parse().expect("an address"));
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    for number in 0..SANDBOXES {
        let sandbox = network.create_sandbox()?;
        let begun = Instant::now();
        // Each family's turn to be the first to send.
        let report = ping(sandbox.namespace()?, &Ping::new(gateways[number % gateways.len()]))?;
        answered += usize::from(report.all_received());
        slowest = slowest.max(begun.elapsed());
    }
    println!("{answered} of {SANDBOXES} first pings answered, the slowest in {slowest:.1?}");
    Ok(if answered == SANDBOXES { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
