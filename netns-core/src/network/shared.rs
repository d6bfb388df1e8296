//! What a network and its sandboxes share.

use super::fabric::{Fabric, Place};
use super::numbers::Numbers;
use super::options::NetworkOptions;
use super::plan::Plan;
use super::program::{PortInfo, PortProgram};
use super::reclaim::Heard;
use super::requests::{ETH0_NAME, Programs, Recipe};
use super::responder::silent;
use super::sandbox::Sandbox;
use crate::bridge::PortOptions;
use crate::error::Cause;
use crate::events::Events;
use crate::link::{self, OperationalState};
use crate::namespace::{NamespaceId, Reserved, Return, this_thread};
use crate::wire::{Batch, IfInfoMsg, Message};
use crate::{Error, IfName, Namespace, Result, RouteSocket, sys};
use std::collections::HashSet;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// How many sandboxes are made before the kernel's notices are read again, if there are numbers without them.
const READ_EVERY: u32 = 16;
/// How often a number is given up for another because its index or name is taken.
const ATTEMPTS: usize = 8;
/// How long a port may take to work on kernels that are not asked for it (before 6.8).
const PORT_LIMIT: Duration = Duration::from_secs(5);
/// While a limit is reached: how long to wait for a notice before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// How long after its port has gone a namespace may still count. The kernel waits in between for everybody who may be
/// looking at it (`rcu_barrier` in `cleanup_net`,
/// <https://github.com/torvalds/linux/blob/v6.12/net/core/net_namespace.c>).
const LINGERS: Duration = Duration::from_secs(1);

/// The state of a network.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) recipe: Recipe,
    home_id: NamespaceId,
    program: Option<Arc<dyn PortProgram>>,
    patience: Duration,
    backlog: u32,
    ledger: Mutex<Ledger>,
    /// The bridges, the first of which is always there. One lock for each, so that threads seldom meet.
    places: Box<[OnceLock<Place>]>,
    fabric: Mutex<Fabric>,
    /// Whether the folder of named namespaces was made ready.
    names: OnceLock<()>,
}

/// The numbers, and how many were taken since the kernel's notices were read.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) numbers: Numbers,
    taken: u32,
    /// When it was last noticed that the kernel has reclaimed something.
    reclaimed: Option<Instant>,
    /// How many of the ports of each bridge wait for the kernel.
    waiting: Box<[u32]>,
}

impl Recipe {
    /// What is known of a sandbox's port.
    pub(super) fn port_info(&self, number: u32) -> PortInfo {
        let plan = &self.plan;
        let v4 = plan.address_v4(number).and_then(|net| match net.address() {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        });
        let v6 = plan.address_v6(number).and_then(|net| match net.address() {
            IpAddr::V6(address) => Some(address),
            IpAddr::V4(_) => None,
        });
        PortInfo {
            index: plan.port(number),
            name: plan.port_name(number),
            mac: plan.mac(number),
            address_v4: v4,
            address_v6: v6,
        }
    }

    fn new(plan: Plan, options: &NetworkOptions, ipv6: bool) -> Result<Self> {
        let broadcast = Some(options.broadcast);
        let port = PortOptions {
            isolated: options.isolated.then_some(true),
            mcast_flood: broadcast,
            bcast_flood: broadcast,
            ..silent()
        };
        Ok(Self {
            plan,
            eth0: IfName::new(ETH0_NAME)?,
            mtu: options.mtu,
            default_route: options.default_route,
            permanent_neighbours: options.permanent_neighbours,
            port,
            ipv6,
            ipv6_link_local: options.ipv6_link_local,
        })
    }
}

impl Shared {
    pub(super) fn create(home: Namespace, options: &NetworkOptions) -> Result<Self> {
        let ipv6 = Path::new("/proc/sys/net/ipv6").exists();
        let home_id = home.id()?;
        let (fabric, plan, first) = Fabric::create(home, options, ipv6)?;
        let places: Box<[OnceLock<Place>]> = (0..plan.shards()).map(|_| OnceLock::new()).collect();
        let waiting = vec![0; places.len()].into();
        places[0].get_or_init(|| first);
        Ok(Self {
            recipe: Recipe::new(plan, options, ipv6)?,
            home_id,
            program: options.program.clone(),
            patience: options.patience,
            backlog: options.reclaim_backlog,
            ledger: Mutex::new(Ledger {
                numbers: Numbers::new(plan.capacity),
                taken: 0,
                reclaimed: None,
                waiting,
            }),
            places,
            fabric: Mutex::new(fabric),
            names: OnceLock::new(),
        })
    }

    /// The bridge of a sandbox, made if it is not there yet.
    pub(super) fn place(&self, number: u32) -> Result<&Place> {
        let plan = &self.recipe.plan;
        let shard = plan.shard(number);
        let place = &self.places[shard as usize];
        if let Some(place) = place.get() {
            return Ok(place);
        }
        let mut fabric = self.fabric();
        // Somebody else may have made it meanwhile.
        if place.get().is_none() {
            let made = fabric.create_place(plan, shard)?;
            place.get_or_init(|| made);
        }
        drop(fabric);
        place.get().ok_or_else(|| Error::invalid("create sandbox", plan.name.to_string(), "it has no bridge"))
    }

    /// The namespace that the network was made in, and the first bridge is in.
    fn home(&self) -> &Namespace {
        // It is there from the beginning.
        &self.places[0].wait().namespace
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // No change of the numbers can stop in the middle.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fabric(&self) -> MutexGuard<'_, Fabric> {
        // As with the places' sockets.
        self.fabric.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a sandbox.
    pub(super) fn create_sandbox(this: &Arc<Self>, name: Option<&str>) -> Result<Sandbox> {
        let deadline = Instant::now() + this.patience;
        // Numbers whose index or name somebody else has an interface with, kept so that they are not tried again.
        let mut clashes = Vec::new();
        let mut clash = None;
        let made = loop {
            let number = match this.take(deadline) {
                Ok(number) => number,
                Err(error) => break Err(clash.unwrap_or(error)),
            };
            let error = match Self::build(this, number, name) {
                Ok(sandbox) => break Ok(sandbox),
                Err(error) => error,
            };
            if is_clash(&error) && clashes.len() < ATTEMPTS {
                clashes.push(number);
                clash = Some(error);
                continue;
            }
            this.give_up(number)?;
            // Dropped sandboxes count until they are reclaimed.
            if !(is_full(&error) && this.wait_for_room(deadline)?) {
                break Err(error);
            }
        };
        for number in clashes {
            this.give_up(number)?;
        }
        made
    }

    /// A free number, if need be after the kernel has reclaimed some.
    fn take(&self, deadline: Instant) -> Result<u32> {
        loop {
            let mut ledger = self.ledger();
            let waiting = ledger.numbers.leaving();
            let crowded = waiting > self.backlog;
            let due = ledger.numbers.recycled() == 0 && ledger.taken >= READ_EVERY;
            if waiting > 0 && (due || crowded || !ledger.numbers.available()) {
                self.read_notices_into(&mut ledger)?;
            }
            let crowded = ledger.numbers.leaving() > self.backlog;
            if !crowded {
                if ledger.numbers.fresh().is_multiple_of(self.recipe.plan.per_bridge) {
                    ledger.numbers.reserve(self.recipe.plan.per_bridge as usize);
                }
                if let Some(number) = ledger.numbers.take() {
                    ledger.taken += 1;
                    return Ok(number);
                }
            }
            let (used, waiting) = (ledger.numbers.used(), ledger.numbers.leaving());
            drop(ledger);
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || waiting == 0 {
                let why = format!(
                    "{used} of {} are in use and {waiting} dropped ones are not reclaimed by the kernel yet",
                    self.recipe.plan.capacity
                );
                return Err(Error::exhausted("create sandbox", self.recipe.plan.name.to_string(), why));
            }
            self.wait_notice(left.min(LOOK_AGAIN))?;
        }
    }

    /// Waits a little for the kernel to reclaim something; whether it makes sense to try again.
    fn wait_for_room(&self, deadline: Instant) -> Result<bool> {
        let ledger = self.ledger();
        let coming =
            ledger.numbers.leaving() > 0 || ledger.reclaimed.is_some_and(|at| at.elapsed() < LINGERS);
        drop(ledger);
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || !coming {
            return Ok(false);
        }
        std::thread::sleep(left.min(LOOK_AGAIN));
        self.read_notices()?;
        Ok(true)
    }

    /// One attempt. What it made goes when it fails, except for a port that the kernel has yet to reclaim.
    fn build(this: &Arc<Self>, number: u32, name: Option<&str>) -> Result<Sandbox> {
        let slot = match &this.program {
            None => None,
            Some(program) => {
                let slot = program.assign(&this.recipe.port_info(number))?;
                this.ledger().numbers.set_slot(number, slot);
                Some(slot)
            }
        };
        let place = this.place(number)?;
        let programs = this.program.as_ref().zip(slot).map(|(program, slot)| Programs {
            ingress: program.ingress(),
            egress: program.egress(),
            slot,
        });
        let mut batch = Batch::new();
        this.recipe.encode_port(&mut batch, number, this_thread(), programs);
        let (mut socket, named) = this.open_namespace(name, || place.socket().execute(&mut batch))?;
        batch.clear();
        this.recipe.encode_eth0(&mut batch, number);
        let works = socket.query(&mut batch, |message| Ok(operational(message)))?;
        if !works {
            this.wait_for_port(number)?;
        }
        std::mem::forget(named);
        Ok(Sandbox {
            shared: Arc::clone(this),
            number,
            slot,
            name: name.map(Box::from),
            socket,
            namespace: OnceLock::new(),
        })
    }

    /// A route socket in a new namespace, which it alone holds, or its name does. `connect` runs inside.
    fn open_namespace<'a>(
        &self,
        name: Option<&'a str>,
        connect: impl FnOnce() -> Result<()>,
    ) -> Result<(RouteSocket, Named<'a>)> {
        let reserved = name.map(|name| self.reserve(name)).transpose()?;
        let _back = Return::to_known(self.home(), self.home_id)?;
        sys::namespace::unshare(libc::CLONE_NEWNET).map_err(Error::system(
            "create namespace",
            "",
            "unshare",
        ))?;
        let socket = RouteSocket::open_bare()?;
        if let Some(reserved) = reserved {
            reserved.bind_current()?;
        }
        let named = Named(name);
        connect()?;
        Ok((socket, named))
    }

    fn reserve(&self, name: &str) -> Result<Reserved> {
        if self.names.get().is_none() {
            Reserved::prepare()?;
            self.names.get_or_init(|| ());
        }
        Reserved::new(name)
    }

    /// Waits until a port works, where asking for it did not make it so.
    fn wait_for_port(&self, number: u32) -> Result<()> {
        let port = self.recipe.plan.port(number);
        let deadline = Instant::now() + PORT_LIMIT;
        let place = self.place(number)?;
        let mut events = Events::open_in(&place.namespace)?;
        while link::get(&mut place.socket(), port)?.state != OperationalState::Up {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let object = self.recipe.plan.port_name(number).to_string();
                return Err(Error::new("wait for port", object, Cause::TimedOut(PORT_LIMIT)));
            }
            events.next(left)?;
        }
        Ok(())
    }

    /// Notes that a sandbox is about to be closed.
    pub(super) fn leave(&self, number: u32) {
        let mut ledger = self.ledger();
        let before = ledger.numbers.leaving();
        let slot = ledger.numbers.leave(number);
        let more = ledger.numbers.leaving() - before;
        ledger.waiting[self.recipe.plan.shard(number) as usize] += more;
        drop(ledger);
        self.release(slot);
    }

    /// Takes back the number of a sandbox that could not be made and is closed.
    fn give_up(&self, number: u32) -> Result<()> {
        self.leave(number);
        let port = self.recipe.plan.port(number);
        let there = self.place(number).and_then(|place| link::get(&mut place.socket(), port).map(|_| ()));
        match there {
            // It was not made, or is gone already: no notice will come that is not there yet.
            Err(error) if error.errno() == Some(libc::ENODEV) => {
                self.read_notices()?;
                self.note_reclaimed(&mut self.ledger(), number);
                Ok(())
            }
            other => other,
        }
    }

    /// Notes that the kernel has reclaimed a port.
    fn note_reclaimed(&self, ledger: &mut Ledger, number: u32) {
        let before = ledger.numbers.leaving();
        let slot = ledger.numbers.reclaimed(number);
        ledger.waiting[self.recipe.plan.shard(number) as usize] -= before - ledger.numbers.leaving();
        self.release(slot);
    }

    fn release(&self, slot: Option<u16>) {
        if let Some((program, slot)) = self.program.as_ref().zip(slot) {
            program.release(slot);
        }
    }

    /// Waits for a notice of the kernel, of some port that is waited for.
    pub(super) fn wait_notice(&self, limit: Duration) -> Result<()> {
        let waiting = self.ledger().waiting.iter().position(|&count| count > 0);
        match waiting.and_then(|shard| self.places[shard].get()) {
            Some(place) => place.reclaim.wait(limit).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Reads the kernel's notices of reclaimed ports.
    pub(super) fn read_notices(&self) -> Result<()> {
        self.read_notices_into(&mut self.ledger())
    }

    fn read_notices_into(&self, ledger: &mut Ledger) -> Result<()> {
        ledger.taken = 0;
        for (shard, place) in self.places.iter().enumerate() {
            // Where nobody is waited for, what there is can wait too.
            let Some(place) = place.get().filter(|_| ledger.waiting[shard] > 0) else { continue };
            let mut lost = false;
            while place.reclaim.read(|heard| match heard {
                Heard::Lost => lost = true,
                Heard::Gone(port) => {
                    if let Some(number) = self.recipe.plan.number(port) {
                        ledger.reclaimed = Some(Instant::now());
                        self.note_reclaimed(ledger, number);
                    }
                }
            })? {}
            if lost {
                self.look(place, shard as u32, ledger)?;
            }
        }
        Ok(())
    }

    /// Looks which ports of a bridge are there, after notices were lost.
    fn look(&self, place: &Place, shard: u32, ledger: &mut Ledger) -> Result<()> {
        let plan = &self.recipe.plan;
        let links = link::list(&mut RouteSocket::open_in(&place.namespace)?)?;
        let there: HashSet<u32> = links.iter().map(|link| link.index).collect();
        let waited_for = ledger.numbers.all_leaving().filter(|&number| plan.shard(number) == shard);
        let gone: Vec<u32> = waited_for.filter(|&number| !there.contains(&plan.port(number))).collect();
        for number in gone {
            ledger.reclaimed = Some(Instant::now());
            self.note_reclaimed(ledger, number);
        }
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let plan = self.recipe.plan;
        self.fabric().delete(&plan);
    }
}

/// Whether somebody else has an interface of the index or name.
fn is_clash(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::EEXIST | libc::EBUSY)) && error.operation() == "create veth"
}

/// Whether `user.max_net_namespaces` is reached, or the program has no slot left.
fn is_full(error: &Error) -> bool {
    let namespaces = error.errno() == Some(libc::ENOSPC) && error.operation() == "create namespace";
    namespaces || matches!(error.cause(), Cause::Exhausted(_))
}

/// Whether a described link carries packets.
fn operational(message: &Message<'_>) -> bool {
    let state = message.attributes_after::<IfInfoMsg>().find(libc::IFLA_OPERSTATE);
    state.and_then(|state| state.value::<u8>()) == Some(libc::IF_OPER_UP as u8)
}

/// Removes the name of a sandbox that could not be made, unless forgotten.
struct Named<'a>(Option<&'a str>);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if let Some(name) = self.0 {
            // The reason that matters is the first one.
            let _ = Namespace::delete(name);
        }
    }
}
