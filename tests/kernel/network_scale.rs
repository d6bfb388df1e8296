//! Many sandboxes: thousands made and dropped by several threads with traffic in each, thousands alive at once.
//!
//! A binary of its own, so that it runs when nothing else does. Each test prints what it measured.

use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions, Sandbox};
use netns_core::ping::{Ping, ping};
use netns_core::{ErrorKind, Namespace, link};
use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};
use tests::{allow_descriptors, in_host};

const LONG: Duration = Duration::from_mins(2);
/// A lost first packet is repeated after a second.
const STALL: Duration = Duration::from_millis(900);

/// One test at a time: they would measure each other.
static ONE: Mutex<()> = Mutex::new(());

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some("10.96.0.0/12".parse().unwrap()),
        subnet_v6: Some("fd99::/64".parse().unwrap()),
        patience: LONG,
        ..NetworkOptions::new("sb".parse().unwrap())
    }
}

fn v4(sandbox: &Sandbox) -> IpAddr {
    sandbox.address_v4().unwrap().address()
}

/// How long a sandbox's first connection to another takes.
fn connect(from: &Sandbox, to: &Sandbox) -> Duration {
    let address = SocketAddr::from((v4(to), 80));
    let listener = to.enter(|| TcpListener::bind(address)).unwrap().unwrap();
    let begun = Instant::now();
    let stream = from.enter(|| TcpStream::connect(address)).unwrap().unwrap();
    let time = begun.elapsed();
    drop((stream, listener));
    time
}

/// The time within which this many of a thousand stay.
fn percentile(times: &mut [Duration], of_a_thousand: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * of_a_thousand / 1000]
}

#[test]
fn four_threads_make_and_drop_two_thousand_with_traffic_in_each() {
    const EACH: usize = 500;
    let _one = ONE.lock();
    in_host(|host| {
        let network = Network::create(&options()).unwrap();
        let alive = Mutex::new(HashSet::new());
        let full_before = full_tables();
        let begun = Instant::now();
        let mut firsts: Vec<Duration> = thread::scope(|scope| {
            let work = || {
                let mut window = VecDeque::new();
                let mut times = Vec::new();
                for _ in 0..EACH {
                    let sandbox = host.namespace().enter(|| network.create_sandbox()).unwrap().unwrap();
                    assert!(alive.lock().unwrap().insert(v4(&sandbox)), "{} is there twice", v4(&sandbox));
                    if let Some(other) = window.back() {
                        times.push(connect(&sandbox, other));
                        times.push(connect(other, &sandbox));
                    }
                    window.push_back(sandbox);
                    if window.len() > 16 {
                        let old = window.pop_front().unwrap();
                        assert!(alive.lock().unwrap().remove(&v4(&old)));
                        drop(old);
                    }
                }
                for sandbox in &window {
                    alive.lock().unwrap().remove(&v4(sandbox));
                }
                times
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let time = begun.elapsed();
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(network.sandboxes(), 0);
        let ports = link::list(&mut host.socket()).unwrap();
        assert!(ports.iter().all(|link| !link.name.as_str().starts_with("sbp")), "ports are left: {ports:?}");
        let slowest = percentile(&mut firsts, 1000);
        let stalls = firsts.iter().filter(|time| **time >= STALL).count() as u64;
        let full = full_tables() - full_before;
        println!(
            "2000 in {time:?}; first connections: p50 {:?}, p99.9 {:?}, slowest {slowest:?}; {stalls} stalls, \
             neighbour table full {full} times",
            percentile(&mut firsts, 500),
            percentile(&mut firsts, 999),
        );
        // The network loses no packet. The machine's one table of learnt neighbours, which others fill as well, may
        // have no room for the next hop; the kernel counts how often that happened.
        assert!(
            stalls <= full,
            "{stalls} stalls, the slowest {slowest:?}; neighbour table full {full} times"
        );
    });
}

/// How often the machine's table of neighbours was full: the twelfth column after the number of entries, in
/// hexadecimal, a line for each CPU. Only the machine's own namespace shows it.
fn full_tables() -> u64 {
    let text = std::fs::read_to_string("/proc/1/net/stat/arp_cache").unwrap();
    let full = |line: &str| u64::from_str_radix(line.split_whitespace().nth(12).unwrap(), 16).unwrap();
    text.lines().skip(1).map(full).sum()
}

/// The sandboxes that pings go between: the first and last of the first, a middle and the last bridge.
fn far_apart(sandboxes: &[Sandbox]) -> Vec<&Sandbox> {
    let middle = sandboxes.len() / 2;
    [0, 255, middle, sandboxes.len() - 1].into_iter().map(|number| &sandboxes[number]).collect()
}

fn assert_reaches(from: &Namespace, to: IpAddr) {
    let report = ping(from, &Ping { timeout: STALL, ..Ping::new(to) }).unwrap();
    assert!(report.all_received(), "{to} did not answer at once");
}

fn alive_at_once(count: usize) {
    // A sandbox takes one descriptor, and those that are looked at take a few more.
    allow_descriptors(count as u64 + 1000).unwrap();
    in_host(|host| {
        let options = NetworkOptions { permanent_neighbours: true, ..options() };
        let network = Network::create(&options).unwrap();
        let mut sandboxes = Vec::new();
        let mut times = Vec::new();
        for _ in 0..count {
            let begun = Instant::now();
            sandboxes.push(network.create_sandbox().unwrap());
            times.push(begun.elapsed());
        }
        for from in far_apart(&sandboxes) {
            for to in far_apart(&sandboxes) {
                assert_reaches(from.namespace().unwrap(), v4(to));
                assert_reaches(from.namespace().unwrap(), to.address_v6().unwrap().address());
            }
            assert_reaches(from.namespace().unwrap(), network.addresses().next().unwrap().address());
            assert_reaches(host.namespace(), v4(from));
        }
        let begun = Instant::now();
        drop(sandboxes);
        network.wait_reclaimed(LONG).unwrap();
        let [first, last] = [&mut times[..500].to_vec(), &mut times[count - 500..].to_vec()];
        println!(
            "{count} alive: p50 of the first 500 {:?}, of the last 500 {:?}; reclaimed in {:?}",
            percentile(first, 500),
            percentile(last, 500),
            begun.elapsed()
        );
    });
}

#[test]
fn three_thousand_are_alive_at_once_and_the_farthest_reach_each_other() {
    let _one = ONE.lock();
    alive_at_once(3000);
}

#[test]
#[ignore = "takes a minute and gigabytes: cargo test -p tests --test scale -- --ignored --nocapture"]
fn ten_thousand_are_alive_at_once() {
    let _one = ONE.lock();
    alive_at_once(10_000);
}

#[test]
fn a_pool_has_fresh_ones_ready_and_a_burst_goes_beyond_it() {
    let _one = ONE.lock();
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let pool = Pool::start(&network, PoolOptions::new(32)).unwrap();
        tests::eventually("the pool is full", || pool.ready() == 32);
        let mut numbers = HashSet::new();
        let burst: Vec<_> = (0..100).map(|_| pool.acquire().unwrap()).collect();
        assert!(burst.iter().all(|sandbox| numbers.insert(sandbox.number())), "one was handed out twice");
        assert!(connect(&burst[0], &burst[99]) < STALL);

        // 300 a second for two seconds, each used a little and dropped.
        let mut times = Vec::new();
        for _ in 0..600 {
            let begun = Instant::now();
            let sandbox = pool.acquire().unwrap();
            times.push(begun.elapsed());
            drop(sandbox);
            thread::sleep(Duration::from_micros(3300).saturating_sub(begun.elapsed()));
        }
        println!(
            "acquire at 300/s: p50 {:?}, p99 {:?}, p99.9 {:?}",
            percentile(&mut times, 500),
            percentile(&mut times, 990),
            percentile(&mut times, 999)
        );
        assert!(pool.failure().is_none());
        drop((pool, burst));
        network.wait_reclaimed(LONG).unwrap();
        assert_eq!(network.sandboxes(), 0);
    });
}

#[test]
fn a_pool_stays_within_its_budget_and_says_why_it_cannot_fill() {
    let _one = ONE.lock();
    in_host(|_| {
        let few = NetworkOptions { maximum: 4, patience: Duration::ZERO, ..options() };
        let network = Network::create(&few).unwrap();
        let pool =
            Pool::start(&network, PoolOptions { per_second: Some(20), ..PoolOptions::new(8) }).unwrap();
        thread::sleep(Duration::from_millis(120));
        assert!((1..=3).contains(&pool.ready()), "{} were made in 120 ms at 20/s", pool.ready());
        tests::eventually("the network is full", || pool.failure().is_some());
        let why = pool.failure().unwrap();
        assert_eq!(why.kind(), ErrorKind::Exhausted);
        assert!(why.to_string().contains("4 of 4 are in use"));
        assert_eq!(pool.ready(), 4);
        let sandbox = pool.acquire().unwrap();
        drop(sandbox);
        tests::eventually("the pool recovers", || pool.ready() == 4);
        assert!(Pool::start(&network, PoolOptions::new(0)).is_err());
    });
}
