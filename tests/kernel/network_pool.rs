//! Pools of ready sandboxes.

use crate::network::{Pass, pass};
use crate::{ip_address, name, net};
use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions, PortInfo, PortProgram};
use netns_core::ping::{Ping, ping};
use netns_core::{ErrorKind, Namespace, Result};
use std::os::fd::BorrowedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use tests::{Verdict, eventually, in_host, ip, load_program};

const LONG: Duration = Duration::from_secs(20);

fn options(maximum: u32) -> NetworkOptions {
    NetworkOptions { subnet_v4: Some(net("10.99.0.0/24")), maximum, ..NetworkOptions::new(name("sb")) }
}

/// What `f` returns; panics if it does not end.
fn in_time<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(f()));
    receiver.recv_timeout(LONG).expect("it goes on for ever")
}

#[test]
fn a_sandbox_whose_port_somebody_deleted_is_not_handed_out() {
    in_host(|_| {
        let options = NetworkOptions {
            subnet_v4: Some(net("10.99.0.0/24")),
            per_bridge: 3,
            ..NetworkOptions::new(name("sb"))
        };
        let network = Network::create(&options).unwrap();
        let pool = Pool::start(&network, PoolOptions::new(4)).unwrap();
        eventually("the pool is full", || pool.ready() == 4);
        for dead in [0, 2] {
            ip(&format!("link delete sbp{dead}"));
        }
        // The pool is notified; it has no other reason to look.
        thread::sleep(Duration::from_millis(500));
        eventually("the pool is full again", || pool.ready() == 4);
        for _ in 0..4 {
            let sandbox = pool.acquire().unwrap();
            let reached = ping(sandbox.namespace().unwrap(), &Ping::new(ip_address("10.99.0.1"))).unwrap();
            assert!(reached.all_received(), "sandbox {} is dead", sandbox.number());
        }
    });
}

#[test]
fn a_caller_with_time_waits_for_a_sandbox() {
    in_host(|_| {
        let network = Network::create(&options(2)).unwrap();
        let pool = Pool::start(&network, PoolOptions::new(1)).unwrap();
        let (one, two) = (pool.acquire_within(LONG).unwrap(), pool.acquire_within(LONG).unwrap());
        assert_ne!(one.number(), two.number());
        let limit = Duration::from_millis(100);
        let error = pool.acquire_within(limit).unwrap_err();
        assert_eq!((error.kind(), pool.ready()), (ErrorKind::TimedOut, 0));
        assert_eq!(error.to_string(), "acquire a sandbox of sb: not within 100ms");
        thread::scope(|scope| {
            let waiting = scope.spawn(|| pool.acquire_within(Duration::MAX));
            thread::sleep(limit);
            drop(one);
            assert!(waiting.join().unwrap().is_ok());
        });
    });
}

#[test]
fn a_ready_sandbox_is_given_a_name() {
    in_host(|_| {
        let network = Network::create(&options(4)).unwrap();
        let pool = Pool::start(&network, PoolOptions::new(1)).unwrap();
        let mut box_ = pool.acquire_named("box").unwrap();
        assert_eq!((box_.name(), ip("netns list").trim().starts_with("box")), (Some("box"), true));
        let error = pool.acquire_named("box").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        let error = box_.bind("other").unwrap_err();
        assert_eq!(error.to_string(), "name namespace other: it is called box already");
        let lent = Namespace::anonymous().unwrap();
        let error = network.create_sandbox_in(&lent).unwrap().bind("theirs").unwrap_err();
        assert_eq!(error.to_string(), "name namespace theirs: the namespace is somebody else's");
        drop(box_);
        assert_eq!(Namespace::list().unwrap(), Vec::<String>::new());
    });
}

/// A process that is killed in the end.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_pool_that_waits_for_the_kernel_can_be_dropped() {
    in_host(|_| {
        let patience = Duration::from_hours(1);
        let network = Network::create(&NetworkOptions { patience, ..options(1) }).unwrap();
        let held = network.create_sandbox().unwrap();
        let _process = Killed(held.spawn(Command::new("sleep").arg("1000")).unwrap());
        // The only number is held by the process.
        drop(held);
        let pool = Pool::start(&network, PoolOptions::new(1)).unwrap();
        thread::sleep(Duration::from_millis(200));
        assert_eq!((pool.ready(), pool.failure().is_none()), (0, true), "it waits, which is no failure");
        in_time(move || drop(pool));
    });
}

/// A program that panics when it is first asked for a slot, and uses the network when a slot is given back.
struct Difficult {
    pass: Arc<Pass>,
    panics: Mutex<u32>,
    network: Mutex<Option<Network>>,
    seen: Mutex<Vec<u32>>,
}

impl Difficult {
    fn new(panics: u32) -> Arc<Self> {
        let pass = pass(load_program(Verdict::Pass).unwrap());
        Arc::new(Self { pass, panics: Mutex::new(panics), network: Mutex::default(), seen: Mutex::default() })
    }
}

impl PortProgram for Difficult {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.pass.ingress()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.pass.egress()
    }

    fn assign(&self, port: &PortInfo) -> Result<u16> {
        let mut left = self.panics.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            drop(left);
            panic!("as the test wants it");
        }
        self.pass.assign(port)
    }

    fn release(&self, slot: u16) {
        self.pass.release(slot);
        if let Some(network) = &*self.network.lock().unwrap() {
            self.seen.lock().unwrap().push(network.sandboxes());
        }
    }
}

#[test]
fn a_panic_costs_one_sandbox_and_not_the_pool() {
    in_host(|_| {
        let program = Difficult::new(2);
        let network = Network::create(&NetworkOptions { program: Some(program), ..options(8) }).unwrap();
        let pool = Pool::start(&network, PoolOptions::new(3)).unwrap();
        eventually("the pool is full", || pool.ready() == 3);
        assert_eq!((pool.failure().is_none(), network.sandboxes()), (true, 3));
    });
}

#[test]
fn a_program_may_use_the_network_when_it_is_given_a_slot_back() {
    in_host(|_| {
        let program = Difficult::new(0);
        let network =
            Network::create(&NetworkOptions { program: Some(program.clone()), ..options(8) }).unwrap();
        *program.network.lock().unwrap() = Some(network.clone());
        let (one, two) = (network.create_sandbox().unwrap(), network.create_sandbox().unwrap());
        drop(one);
        let network = in_time(move || {
            network.wait_reclaimed(LONG).unwrap();
            network
        });
        assert_eq!(*program.seen.lock().unwrap(), [1]);
        *program.network.lock().unwrap() = None;
        drop((two, network));
    });
}
