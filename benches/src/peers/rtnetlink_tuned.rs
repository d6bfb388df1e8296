//! The `rtnetlink` crate, used as well as we know how: the peer is born in its namespace, with chosen indexes and one
//! queue; nothing is looked up; the requests inside are sent together.

use super::rtnetlink::{add_bridge, close_connections, connect};
use crate::Result;
use crate::compare::Contender;
use crate::sys::raw;

use futures_util::future::try_join_all;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::fs::File;
use std::future::Future;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

/// A request that is on its way.
type TunedRequest = Pin<Box<dyn Future<Output = std::result::Result<(), rtnetlink::Error>>>>;

/// Indexes that the kernel does not reach by itself.
const FIRST_INDEX: u32 = 1 << 29;
/// The index of `eth0` inside.
const ETH0: u32 = 32;

/// A sandbox is held by its connection and its namespace.
#[derive(Debug)]
pub struct RtnetlinkTuned {
    runtime: Runtime,
    host: Handle,
    home: File,
    bridge: u32,
    serial: u32,
    made: Vec<(Handle, File)>,
}

impl RtnetlinkTuned {
    /// Makes the bridge.
    pub(super) fn new() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build()?;
        let (host, bridge) = runtime.block_on(async {
            let host = connect()?;
            let bridge = add_bridge(&host, "rttbr0", Ipv4Addr::new(10, 96, 0, 1)).await?;
            Result::Ok((host, bridge))
        })?;
        Ok(Self { runtime, host, home: current()?, bridge, serial: 0, made: Vec::new() })
    }
}

fn current() -> Result<File> {
    Ok(File::open(Path::new("/proc/thread-self/ns/net"))?)
}

impl Contender for RtnetlinkTuned {
    fn name(&self) -> &'static str {
        "rtnetlink, tuned"
    }

    fn make(&mut self) -> Result<Duration> {
        self.serial += 1;
        let begin = Instant::now();
        let made = self.runtime.block_on(make(&self.host, &self.home, self.bridge, self.serial))?;
        let time = begin.elapsed();
        self.made.push(made);
        Ok(time)
    }

    fn drop_all(&mut self) -> Result<()> {
        self.made.clear();
        close_connections(&self.runtime);
        Ok(())
    }
}

async fn make(host: &Handle, home: &File, bridge: u32, number: u32) -> Result<(Handle, File)> {
    raw::unshare()?;
    let inside = current().and_then(|namespace| Ok((connect()?, namespace)));
    raw::setns(home.as_fd())?;
    let (within, namespace) = inside?;

    let queues = [LinkAttribute::NumTxQueues(1), LinkAttribute::NumRxQueues(1)];
    let [transmit, receive] = queues.clone();
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name("eth0".to_owned())
        .index(ETH0)
        .setns_by_fd(namespace.as_raw_fd())
        .append_extra_attribute(transmit)
        .append_extra_attribute(receive)
        .build();
    let [transmit, receive] = queues;
    let pair = LinkVeth::new(&format!("rttp{number}"), "eth0")
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .index(FIRST_INDEX + number)
        .controller(bridge)
        .up()
        .append_extra_attribute(transmit)
        .append_extra_attribute(receive)
        .build();
    host.link().add(pair).execute().await?;

    let [high, low] = [number / 250, number % 250 + 2].map(|part| part as u8);
    let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(Ipv4Addr::new(10, 96, 0, 1)).build();
    let requests: [TunedRequest; 4] = [
        Box::pin(within.link().set(LinkUnspec::new_with_index(1).up().build()).execute()),
        Box::pin(within.link().set(LinkUnspec::new_with_index(ETH0).up().build()).execute()),
        Box::pin(within.address().add(ETH0, Ipv4Addr::new(10, 96, high, low).into(), 16).execute()),
        Box::pin(within.route().add(route).execute()),
    ];
    try_join_all(requests).await?;
    Ok((within, namespace))
}
