//! Ports of a bridge by two raw requests each: the least that anything that connects a container waits for.

use crate::Result;
use netns_core::bridge::{self, Bridge};
use netns_core::veth::{self, Veth};
use netns_core::{IfName, MacAddress, Namespace, RouteSocket, link};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// The bridge's ifindex; ports come after it.
const BRIDGE: u32 = 1 << 20;
/// The bridge's.
const MAC: MacAddress = MacAddress([2, 0, 0, 0, 0, 1]);

/// A bridge, and its ports, whose other ends are in one namespace.
#[derive(Debug)]
pub struct RawPorts {
    socket: RouteSocket,
    inside: Namespace,
    serial: u32,
    /// The ports' indexes, the oldest first.
    alive: Vec<u32>,
}

impl RawPorts {
    /// A bridge without ports.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new() -> Result<Self> {
        let mut socket = RouteSocket::open()?;
        let bridge = Bridge { index: Some(BRIDGE), up: true, ..Bridge::new(IfName::new("rawbridge")?, MAC) };
        bridge::create(&mut socket, &bridge)?;
        Ok(Self { socket, inside: Namespace::anonymous()?, serial: 0, alive: Vec::new() })
    }

    /// One `RTM_NEWLINK`: a veth pair, up and on the bridge.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn add(&mut self) -> Result<Duration> {
        self.serial += 1;
        let index = BRIDGE + self.serial;
        let (name, peer) =
            (IfName::new(&format!("raw{}", self.serial))?, IfName::new(&format!("in{}", self.serial))?);
        let veth = Veth {
            index: Some(index),
            peer_index: Some(index),
            bridge: Some(BRIDGE),
            up: true,
            peer_namespace: Some(self.inside.as_fd()),
            ..Veth::new(name, peer)
        };
        let begin = Instant::now();
        veth::create(&mut self.socket, &veth)?;
        let time = begin.elapsed();
        self.alive.push(index);
        Ok(time)
    }

    /// One `RTM_DELLINK` of the oldest port.
    ///
    /// # Errors
    /// If the kernel refuses, or there is none.
    pub fn del(&mut self) -> Result<Duration> {
        if self.alive.is_empty() {
            return Err("there is no port".into());
        }
        let index = self.alive.remove(0);
        let begin = Instant::now();
        link::delete(&mut self.socket, index)?;
        Ok(begin.elapsed())
    }

    /// Adds and deletes until this many are there.
    ///
    /// # Errors
    /// As [`Self::add`] and [`Self::del`].
    pub fn keep(&mut self, count: usize) -> Result<()> {
        while self.alive.len() < count {
            self.add()?;
        }
        while self.alive.len() > count {
            self.del()?;
        }
        Ok(())
    }
}
