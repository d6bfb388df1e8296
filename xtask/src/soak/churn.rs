//! Sandboxes that come and go, and two that stay and talk throughout.

use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions, Sandbox};
use netns_core::ping::{Ping, ping};
use netns_core::{IfName, RouteSocket, link};
use netns_ebpf::{CountedApart, CounterComparison, Mode, Monitor, MonitorOptions, Policy, Slot};
use std::collections::VecDeque;
use std::error::Error;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub(super) type SoakResult<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many sandboxes there are at once, beside the pool's and the two that stay.
const ALIVE: usize = 32;
/// How many are ready in the pool.
const READY: usize = 8;
/// One in this many new sandboxes sends packets to the previous one.
const PING_EVERY: u64 = 8;
/// How long the kernel may take to reclaim the last ones.
const LIMIT: Duration = Duration::from_secs(30);
/// How long the one that talks waits between two datagrams.
const PAUSE: Duration = Duration::from_micros(500);
const PORT: u16 = 4242;

/// All of it.
pub(super) struct SoakChurn {
    monitor: Arc<Monitor>,
    network: Network,
    pool: Pool,
    alive: VecDeque<Sandbox>,
    made: u64,
    talk: Talk,
}

impl SoakChurn {
    pub(super) fn begin() -> SoakResult<Self> {
        let options = MonitorOptions { slots: 1024, barrier: true, ..MonitorOptions::default() };
        let monitor = Arc::new(Monitor::load(&options)?);
        let network = Network::create(&NetworkOptions {
            subnet_v4: Some("10.96.0.0/16".parse()?),
            subnet_v6: Some("fd96::/64".parse()?),
            // A loss is noticed soon.
            maximum: 512,
            per_bridge: 128,
            reclaim_backlog: 256,
            program: Some(monitor.clone()),
            ..NetworkOptions::new(IfName::new("soak")?)
        })?;
        let talk = Talk::begin(&network, &monitor)?;
        let pool = Pool::start(&network, PoolOptions::new(READY))?;
        Ok(Self { monitor, network, pool, alive: VecDeque::with_capacity(ALIVE + 1), made: 0, talk })
    }

    pub(super) const fn made(&self) -> u64 {
        self.made
    }

    pub(super) fn slots(&self) -> usize {
        self.monitor.ports().len()
    }

    /// Makes a sandbox, of each kind in turn, and drops the oldest. Returns how long making it took.
    pub(super) fn step(&mut self) -> SoakResult<Duration> {
        let begin = Instant::now();
        let new = match self.made % 4 {
            0 => self.pool.acquire_within(LIMIT)?,
            1 => self.network.create_named_sandbox(&format!("soak{}", self.made))?,
            _ => self.network.create_sandbox()?,
        };
        let took = begin.elapsed();
        self.made += 1;
        let slot = new.slot().and_then(Slot::new).ok_or("a sandbox has no slot")?;
        let addresses = [new.address_v4(), new.address_v6()].into_iter().flatten().map(|net| net.address());
        let addresses: Vec<_> = addresses.collect();
        self.monitor.set_policy(slot, &Policy::of_host(new.mac(), &addresses)?.enforced())?;
        if self.made.is_multiple_of(PING_EVERY)
            && let Some(to) = self.alive.back().and_then(Sandbox::address_v4)
        {
            let report = ping(new.namespace()?, &Ping::new(to.address()))?;
            if !report.all_received() {
                return Err(format!("sandbox {} of {} does not reach {to}", new.number(), self.made).into());
            }
            let violations = self.monitor.violations(slot);
            if violations.iter().next().is_some() {
                return Err(format!("sandbox {} is accused: {violations:?}", new.number()).into());
            }
        }
        // Its policy and its mode change all the time.
        let mode = if self.made.is_multiple_of(2) { Mode::Enforce } else { Mode::Observe };
        self.talk.slots.iter().try_for_each(|&slot| self.monitor.set_mode(slot, mode))?;
        self.alive.push_back(new);
        if self.alive.len() > ALIVE {
            self.alive.pop_front();
        }
        Ok(took)
    }

    /// Drops everything; returns how many datagrams were sent, and what is wrong.
    pub(super) fn end(self) -> SoakResult<(u64, Vec<String>)> {
        let Self { monitor, network, pool, alive, talk, .. } = self;
        drop((pool, alive));
        let (sent, mut wrong) = talk.end(&monitor)?;
        network.wait_reclaimed(LIMIT)?;
        if network.sandboxes() != 0 {
            wrong.push(format!("{} sandboxes are not given back", network.sandboxes()));
        }
        if !monitor.ports().is_empty() {
            wrong.push(format!("{} slots are not given back", monitor.ports().len()));
        }
        drop(network);
        Ok((sent, wrong))
    }
}

/// Two sandboxes; one of them sends datagrams to the other throughout.
struct Talk {
    sandboxes: [Sandbox; 2],
    slots: [Slot; 2],
    stop: Arc<AtomicBool>,
    sender: JoinHandle<SoakResult<u64>>,
    receiver: JoinHandle<SoakResult<u64>>,
}

impl Talk {
    fn begin(network: &Network, monitor: &Monitor) -> SoakResult<Self> {
        let sandboxes = [network.create_sandbox()?, network.create_sandbox()?];
        let mut slots = Vec::new();
        for one in &sandboxes {
            let slot = one.slot().and_then(Slot::new).ok_or("a sandbox has no slot")?;
            let addresses =
                [one.address_v4(), one.address_v6()].into_iter().flatten().map(|net| net.address());
            let addresses: Vec<_> = addresses.collect();
            monitor.set_policy(slot, &Policy::of_host(one.mac(), &addresses)?)?;
            slots.push(slot);
        }
        let [from, to] = &sandboxes;
        let address = to.address_v4().ok_or("a sandbox has no address")?.address();
        let sending = from.enter(|| UdpSocket::bind(("0.0.0.0", 0)))??;
        let receiving = to.enter(|| UdpSocket::bind(("0.0.0.0", PORT)))??;
        receiving.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stops, stopped) = (Arc::clone(&stop), Arc::clone(&stop));
        let sender = thread::spawn(move || {
            let mut sent = 0;
            while !stops.load(Ordering::Relaxed) {
                sending.send_to(&[0; 64], (address, PORT))?;
                sent += 1;
                thread::sleep(PAUSE);
            }
            Ok(sent)
        });
        let receiver = thread::spawn(move || {
            let (mut received, mut buffer) = (0, [0; 128]);
            loop {
                match receiving.recv(&mut buffer) {
                    Ok(_) => received += 1,
                    // What was sent has arrived by now.
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        if stopped.load(Ordering::Relaxed) {
                            return Ok(received);
                        }
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error.into()),
                }
            }
        });
        let slots = <[Slot; 2]>::try_from(slots).map_err(|_| "there are two")?;
        Ok(Self { sandboxes, slots, stop, sender, receiver })
    }

    /// How many were sent; and where counters differ from the kernel's, or datagrams were lost or counted as violations.
    fn end(self, monitor: &Monitor) -> SoakResult<(u64, Vec<String>)> {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().map_err(|_| "the one that sends panicked")??;
        let received = self.receiver.join().map_err(|_| "the one that receives panicked")??;
        let mut wrong = Vec::new();
        let mut dropped = 0;
        for (sandbox, slot) in self.sandboxes.iter().zip(self.slots) {
            let mut inside = RouteSocket::open_in(sandbox.namespace()?)?;
            let eth0 = link::get(&mut inside, IfName::new("eth0")?)?.index;
            let mut socket = RouteSocket::open_in(sandbox.port_namespace()?)?;
            let port = sandbox.port();
            // A processor's receive queue is all namespaces', and others may fill it.
            dropped +=
                link::stats(&mut inside, eth0)?.tx_dropped + link::stats(&mut socket, port.index)?.tx_dropped;
            match monitor.compare(&[slot], || {
                Ok::<_, netns_core::Error>(vec![link::stats(&mut socket, port.index)?])
            })? {
                CounterComparison::Exact => {}
                CounterComparison::Apart(why) if why.iter().all(|(_, why)| *why == CountedApart::Dropped) => {
                }
                other => wrong.push(format!("port {}: {other:?}", port.name)),
            }
            let violations = monitor.violations(slot);
            if violations.iter().next().is_some() {
                wrong.push(format!("port {} is accused: {violations:?}", port.name));
            }
        }
        if received > sent || sent - received > dropped {
            wrong.push(format!(
                "{sent} datagrams were sent, {received} received, and {dropped} frames dropped by the kernel"
            ));
        }
        Ok((sent, wrong))
    }
}
