//! A pool keeps finished sandboxes ready: taking one costs no system call.
//!
//! As root, or `unshare -r -n cargo run --example pool`.

use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions};
use netns_core::{IfName, Namespace, Result};
use std::thread;
use std::time::{Duration, Instant};

fn main() -> Result<()> {
    let host = Namespace::anonymous()?;
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/16".parse()?),
        ..NetworkOptions::new(IfName::new("sandboxes")?)
    };
    let network = host.enter(|| Network::create(&options))??;
    let pool = Pool::start(&network, PoolOptions { per_second: Some(300), ..PoolOptions::new(16) })?;
    while pool.ready() < 16 && pool.failure().is_none() {
        thread::sleep(Duration::from_millis(1));
    }
    // More than there are: the last ones are made while the caller waits.
    for number in 1..=24 {
        let begun = Instant::now();
        let sandbox = pool.acquire()?;
        println!("{number}: {:?} after {:?}", sandbox.address_v4(), begun.elapsed());
        // Dropped here. It never comes back into the pool.
    }
    if let Some(why) = pool.failure() {
        eprintln!("the pool could not be filled: {why}");
    }
    Ok(())
}
