//! What a network needs to know of the program on its ports.

use crate::{IfName, MacAddress, Namespace, Result};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;

/// A port that is about to be made. All of it is known before the kernel is asked for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PortInfo {
    /// The port's interface index, on the host.
    pub index: u32,
    /// Its name.
    pub name: IfName,
    /// The MAC address of the sandbox behind it.
    pub mac: MacAddress,
    /// The sandbox's IPv4 address, if the network has such a subnet.
    pub address_v4: Option<Ipv4Addr>,
    /// The sandbox's IPv6 address, if the network has such a subnet.
    pub address_v6: Option<Ipv6Addr>,
}

/// Programs for the ports of a network: counters, checks. The network puts them on each port before the port joins
/// its bridge, as `cls_bpf` filters (see [`crate::tc`]).
///
/// Its functions are called by whichever thread uses the network. `assign`, `release` and `unjudged` may themselves use the
/// network; `join` may not make sandboxes, since the thread that calls it is making a bridge, and others wait for that.
pub trait PortProgram: Send + Sync {
    /// The program for what a sandbox sends.
    fn ingress(&self) -> BorrowedFd<'_>;

    /// The program for what a sandbox receives.
    fn egress(&self) -> BorrowedFd<'_>;

    /// Gives a port its slot, not 0, which the program reads as `__sk_buff.tc_classid`. The port does not exist yet.
    ///
    /// # Errors
    /// [`crate::Cause::Exhausted`] if there is no slot left: the network then waits for slots of dropped sandboxes, as
    /// long as [`super::NetworkOptions::patience`] says. After any other the sandbox is not made.
    fn assign(&self, port: &PortInfo) -> Result<u16>;

    /// What the program at ingress writes into `skb->priority` of each frame that it sees. If there is such a mark, the
    /// network makes a [`Barrier`](crate::barrier::Barrier) behind the ports of each of its bridges, which drops what came
    /// in by one of them without it.
    ///
    /// By default there is none.
    fn stamp(&self) -> Option<u32> {
        None
    }

    /// Takes note of what was dropped because it had no mark, each time that
    /// [`Network::take_unjudged`](super::Network::take_unjudged) is called.
    fn unjudged(&self, found: &[crate::barrier::Unjudged]) {
        let _ = found;
    }

    /// Takes note of a trunk, a veth pair between the first bridge and a further one, by the interface indexes of its
    /// ends, the one on the first bridge first. A frame that comes in by one of them was sent by a port of another bridge,
    /// or by the host. The trunk does not exist yet; what is returned is put on the egress hook of both of its ends.
    ///
    /// By default it does not care.
    ///
    /// # Errors
    /// Whatever it likes: the bridge is not made then.
    fn join(&self, ends: [u32; 2]) -> Result<Option<BorrowedFd<'_>>> {
        let _ = ends;
        Ok(None)
    }

    /// Takes note of the network's first bridge, at which the host receives what sandboxes send it, by its index in `home`.
    /// No sandbox has been made yet; of a network that is opened again none has been taken over.
    ///
    /// By default it does not care.
    ///
    /// # Errors
    /// Whatever it likes: the network is not made, or not opened, then.
    fn bridge(&self, home: &Namespace, bridge: u32) -> Result<()> {
        let _ = (home, bridge);
        Ok(())
    }

    /// Takes note that this bridge is gone, and what was on it.
    fn bridge_gone(&self, bridge: u32) {
        let _ = bridge;
    }

    /// Is called when a trunk is gone, or was never made.
    fn part(&self, ends: [u32; 2]) {
        let _ = ends;
    }

    /// Takes back the slot of a port that the kernel has reclaimed: no frame passes it any more.
    fn release(&self, slot: u16);
}

impl fmt::Debug for dyn PortProgram {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PortProgram")
    }
}
