//! Sandboxes beside tokio: the calls block, for a millisecond or so, and go where blocking calls go.
//!
//! As root, or `unshare -r -n cargo run -p tests --example tokio`.

use netns_core::network::{Network, NetworkOptions, Sandbox};
use netns_core::{IfName, Namespace};
use std::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    tokio::runtime::Builder::new_current_thread().max_blocking_threads(2).build()?.block_on(serve())
}

async fn serve() -> Result<()> {
    let network = spawn_blocking(network).await??;
    let mut jobs = JoinSet::new();
    for number in 0..10 {
        // Another handle on the same network.
        let network = network.clone();
        jobs.spawn(async move { job(number, network).await });
    }
    while let Some(done) = jobs.join_next().await {
        println!("{}", done??);
    }
    Ok(())
}

async fn job(number: u32, network: Network) -> Result<String> {
    // The runtime's thread is back in its own namespace afterwards, whatever happens.
    let sandbox: Sandbox = spawn_blocking(move || network.create_sandbox()).await??;
    // Sandboxes are `Send`. Every port is free inside, and a socket stays there, wherever it is used.
    let (sandbox, listener) = spawn_blocking(move || {
        let listener = sandbox.enter(|| TcpListener::bind("0.0.0.0:80"));
        (sandbox, listener)
    })
    .await?;
    let listens = listener??.local_addr()?;
    // Dropping it closes a descriptor and does not wait for the kernel.
    Ok(format!("job {number} listens on {listens} at {:?}", sandbox.address_v4()))
}

/// In a namespace of its own, so that the machine's network stays as it is.
fn network() -> netns_core::Result<Network> {
    let options = NetworkOptions {
        subnet_v4: Some("10.99.0.0/16".parse()?),
        ..NetworkOptions::new(IfName::new("sandboxes")?)
    };
    Namespace::anonymous()?.enter(|| Network::create(&options))?
}
