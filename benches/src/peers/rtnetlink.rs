//! The `rtnetlink` crate, used as in its examples: every object is made, looked up by name, and changed.

use crate::Result;
use crate::compare::Contender;
use futures_util::TryStreamExt;
use netns_core::Namespace;
use rtnetlink::{
    Handle, LinkBridge, LinkUnspec, LinkVeth, NetworkNamespace, RouteMessageBuilder, new_connection,
};
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// The bridge.
const BRIDGE: &str = "rtbr0";

/// On tokio's `current_thread` runtime, with one connection to the host for as long as it lives.
#[derive(Debug)]
pub struct Rtnetlink {
    runtime: Runtime,
    host: Handle,
    serial: u32,
    made: Vec<u32>,
}

impl Rtnetlink {
    /// Makes the bridge.
    pub(super) fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let host = runtime.block_on(async {
            let host = connect()?;
            add_bridge(&host, BRIDGE, Ipv4Addr::new(10, 95, 0, 1)).await?;
            Result::Ok(host)
        })?;
        Ok(Self { runtime, host, serial: 0, made: Vec::new() })
    }
}

impl Contender for Rtnetlink {
    fn name(&self) -> &'static str {
        "rtnetlink, as its examples"
    }

    fn make(&mut self) -> Result<Duration> {
        self.serial += 1;
        let begin = Instant::now();
        self.runtime.block_on(make(&self.host, self.serial))?;
        let time = begin.elapsed();
        self.made.push(self.serial);
        Ok(time)
    }

    fn drop_all(&mut self) -> Result<()> {
        self.runtime.block_on(async {
            for number in self.made.drain(..) {
                NetworkNamespace::del(format!("rt{number}")).await?;
            }
            Result::Ok(())
        })?;
        close_connections(&self.runtime);
        Ok(())
    }
}

/// A connection in the namespace of the calling thread, driven by the runtime.
pub(super) fn connect() -> Result<Handle> {
    let (connection, handle, _) = new_connection()?;
    tokio::spawn(connection);
    Ok(handle)
}

/// Lets the connections notice that their handles are gone, and close their sockets; except the host's, which is in
/// use.
pub(super) fn close_connections(runtime: &Runtime) {
    runtime.block_on(async {
        while runtime.metrics().num_alive_tasks() > 1 {
            tokio::task::yield_now().await;
        }
    });
}

/// A bridge that is up, with an address.
pub(super) async fn add_bridge(host: &Handle, name: &str, address: Ipv4Addr) -> Result<u32> {
    host.link().add(LinkBridge::new(name).build()).execute().await?;
    let index = index_of(host, name).await?;
    host.address().add(index, address.into(), 16).execute().await?;
    host.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
    Ok(index)
}

async fn index_of(handle: &Handle, name: &str) -> Result<u32> {
    let mut links = handle.link().get().match_name(name.to_string()).execute();
    let link = links.try_next().await?.ok_or("the link is not there")?;
    Ok(link.header.index)
}

async fn make(host: &Handle, number: u32) -> Result<()> {
    let (name, port, inside) = (format!("rt{number}"), format!("rtp{number}"), format!("rtv{number}"));
    NetworkNamespace::add(&name).await?;
    let namespace = Namespace::open(&name)?;
    host.link().add(LinkVeth::new(&port, &inside).build()).execute().await?;

    let index = index_of(host, &inside).await?;
    let moved =
        LinkUnspec::new_with_index(index).setns_by_fd(std::os::fd::AsFd::as_fd(&namespace).as_raw_fd());
    host.link().set(moved.build()).execute().await?;
    let bridge = index_of(host, BRIDGE).await?;
    let index = index_of(host, &port).await?;
    host.link().set(LinkUnspec::new_with_index(index).controller(bridge).build()).execute().await?;
    host.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;

    let within = namespace.enter(connect)??;
    let lo = index_of(&within, "lo").await?;
    within.link().set(LinkUnspec::new_with_index(lo).up().build()).execute().await?;
    let index = index_of(&within, &inside).await?;
    within.link().set(LinkUnspec::new_with_index(index).name("eth0".to_owned()).build()).execute().await?;
    let [high, low] = [number / 250, number % 250 + 2].map(|part| part as u8);
    within.address().add(index, Ipv4Addr::new(10, 95, high, low).into(), 16).execute().await?;
    within.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(Ipv4Addr::new(10, 95, 0, 1)).build();
    within.route().add(route).execute().await?;
    Ok(())
}
