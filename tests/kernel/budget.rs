//! What a sandbox may cost: system calls, counted by strace, and heap allocations, counted by the allocator.

use netns_core::network::{Network, NetworkOptions, Pool, PoolOptions, PortInfo, PortProgram};
use netns_core::{Namespace, Result};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tests::{Verdict, in_host, load_program, oracle, run};

/// The system's allocator, with a count of what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged to the system's allocator, which keeps the contract. Counting neither
// allocates (the cell is `const` and needs no destructor) nor unwinds (a thread that has none left is not counted).
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer is from `alloc` above, and so from the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn options() -> NetworkOptions {
    NetworkOptions {
        subnet_v4: Some("10.99.0.0/16".parse().unwrap()),
        subnet_v6: Some("fd99::/64".parse().unwrap()),
        ..NetworkOptions::new("sb".parse().unwrap())
    }
}

#[test]
fn making_and_dropping_a_sandbox_allocates_nothing() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let mut sandboxes = Vec::with_capacity(64);
        sandboxes.push(network.create_sandbox().unwrap());
        let before = allocations();
        for _ in 0..50 {
            sandboxes.push(network.create_sandbox().unwrap());
        }
        assert_eq!(allocations() - before, 0, "making");
        sandboxes.clear();
        assert_eq!(allocations() - before, 0, "dropping");
        network.wait_reclaimed(Duration::from_secs(20)).unwrap();
        let _again = network.create_sandbox().unwrap();
        assert_eq!(allocations() - before, 0, "reclaiming");
    });
}

#[test]
fn settings_of_a_sandbox_allocate_nothing() {
    in_host(|_| {
        let network = Network::create(&NetworkOptions { sysctls: sysctls(), ..options() }).unwrap();
        let first = network.create_sandbox().unwrap();
        let before = allocations();
        let second = network.create_sandbox().unwrap();
        assert_eq!(allocations() - before, 0);
        for (name, value) in sysctls() {
            for sandbox in [&first, &second] {
                let now = netns_core::sysctl::get(sandbox.namespace().unwrap(), &name).unwrap();
                assert_eq!(now.split_whitespace().collect::<Vec<_>>().join(" "), value, "{name}");
            }
        }
        let wrong = vec![("net.ipv4.no_such_setting".to_owned(), "1".to_owned())];
        let named = NetworkOptions { sysctls: wrong, name: "wrong".parse().unwrap(), ..options() };
        let subnets =
            NetworkOptions { subnet_v4: Some("10.97.0.0/24".parse().unwrap()), subnet_v6: None, ..named };
        let refused = Network::create(&subnets).unwrap().create_sandbox().unwrap_err();
        assert!(refused.to_string().contains("net.ipv4.no_such_setting=1"), "{refused}");
    });
}

#[test]
fn taking_from_a_pool_allocates_nothing() {
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let pool = Pool::start(&network, PoolOptions::new(16)).unwrap();
        tests::eventually("the pool is full", || pool.ready() == 16);
        let before = allocations();
        let sandboxes = [(); 4].map(|()| pool.acquire().unwrap());
        assert_eq!(allocations() - before, 0);
        drop(sandboxes);
    });
}

/// A program that lets everything pass and needs no system call for a slot.
struct Pass(OwnedFd);

impl PortProgram for Pass {
    fn ingress(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn egress(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn assign(&self, port: &PortInfo) -> Result<u16> {
        Ok(port.index as u16 | 1)
    }

    fn release(&self, _slot: u16) {}
}

/// Two settings of a sandbox: a job that is not root's may ping, and listen at any port.
fn sysctls() -> Vec<(String, String)> {
    [("net.ipv4.ping_group_range", "0 2147483647"), ("net.ipv4.ip_unprivileged_port_start", "0")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// Marks in the trace where something begins and ends: nothing else asks for such files.
fn mark(what: &str) {
    assert!(!Path::new("/mark").join(what).exists());
}

/// How many sandboxes of each kind the traced process makes.
const MADE: u32 = 20;

/// The process under strace: see [`system_calls_per_sandbox`]. Does nothing unless asked to.
#[test]
fn traced() {
    if std::env::var_os("TRACED").is_none() {
        return;
    }
    in_host(|_| {
        let network = Network::create(&options()).unwrap();
        let first = network.create_sandbox().unwrap();
        let mut sandboxes = Vec::with_capacity(256);
        mark("anonymous");
        for _ in 0..MADE {
            sandboxes.push(network.create_sandbox().unwrap());
        }
        mark("drop");
        sandboxes.clear();
        mark("end");
        drop(first);
        drop(network);

        let network = Network::create(&NetworkOptions { sysctls: sysctls(), ..options() }).unwrap();
        sandboxes.push(network.create_sandbox().unwrap());
        mark("set");
        for _ in 0..MADE {
            sandboxes.push(network.create_sandbox().unwrap());
        }
        mark("end");
        sandboxes.clear();
        drop(network);

        let program = Arc::new(Pass(load_program(Verdict::Pass).unwrap()));
        let network = Network::create(&NetworkOptions { program: Some(program), ..options() }).unwrap();
        let names: Vec<_> = (0..=MADE).map(|number| format!("box{number}")).collect();
        sandboxes.push(network.create_named_sandbox(&names[0]).unwrap());
        mark("named");
        for name in &names[1..] {
            sandboxes.push(network.create_named_sandbox(name).unwrap());
        }
        mark("end");
        sandboxes.clear();

        let network = Network::create(&NetworkOptions {
            name: "pool".parse().unwrap(),
            subnet_v4: Some("10.98.0.0/16".parse().unwrap()),
            subnet_v6: None,
            ..options()
        });
        let network = network.unwrap();
        let pool = Pool::start(&network, PoolOptions::new(2 * MADE as usize)).unwrap();
        tests::eventually("the pool is full", || pool.ready() == 2 * MADE as usize);
        std::thread::sleep(Duration::from_millis(50));
        mark("pool");
        for _ in 0..MADE / 4 {
            sandboxes.push(pool.acquire().unwrap());
        }
        mark("end");
        assert!(Namespace::current().is_ok());
    });
}

/// Kernels before 6.8 do not make a port ready when asked about it: many ports are looked at once more, and some
/// several times, as the scheduler has it.
#[test]
fn system_calls_per_sandbox() {
    let trace = std::env::temp_dir().join(format!("netns-budget-{}", std::process::id()));
    let program = std::env::current_exe().unwrap();
    in_host(|_| {
        let mut strace = oracle("strace");
        strace
            .args(["-f", "-qq", "-o"])
            .arg(&trace)
            .arg(&program)
            .args(["--exact", "traced"])
            .env("TRACED", "1");
        let _ = run(&mut strace);
    });
    let Ok(text) = fs::read_to_string(&trace) else { return };
    fs::remove_file(&trace).unwrap();
    let sections = sections(&text);
    for section in ["anonymous", "drop", "set", "named", "pool"] {
        println!("{section}: {:?}", counts(&sections[section]));
    }
    let per = |section: &str| sections[section].iter().map(|_| 1.0).sum::<f64>() / f64::from(MADE);
    if tests::kernel_version() < (6, 8) {
        for section in ["anonymous", "named"] {
            let typical = median_per_sandbox(&sections[section]);
            println!("{section}: {} on average, {typical} at the median", per(section));
            assert!(typical <= 12, "{section}: {typical}");
        }
    } else {
        assert!(per("anonymous") <= 8.0, "anonymous: {}", per("anonymous"));
        assert!(per("set") <= 8.0 + 2.0 * 3.0, "with two settings: {}", per("set"));
        assert!(per("named") <= 10.0, "named and observed: {}", per("named"));
    }
    assert!(per("drop") <= 1.0, "drop: {}", per("drop"));
    assert!(per("pool") < 0.01, "acquire: {}", per("pool"));
}

/// How often each call was made.
fn counts(calls: &[String]) -> BTreeMap<&str, u32> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.as_str()).or_default() += 1;
    }
    counts
}

/// What half of the sandboxes cost at most. Each makes one `unshare` call, so the calls from one to the next belong to
/// one sandbox.
fn median_per_sandbox(calls: &[String]) -> usize {
    let mut costs: Vec<usize> = calls.split(|call| call == "unshare").map(|calls| calls.len() + 1).collect();
    // The calls before the first and after the last are incomplete.
    costs.pop();
    costs.remove(0);
    costs.sort_unstable();
    costs[costs.len() / 2]
}

/// The calls between two marks, by the thread that makes them.
fn sections(trace: &str) -> BTreeMap<String, Vec<String>> {
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current: Option<(String, &str)> = None;
    for line in trace.lines() {
        let Some((thread, call)) = line.split_once(' ').map(|(thread, call)| (thread, call.trim_start()))
        else {
            continue;
        };
        if let Some((_, mark)) = call.split_once("/mark/") {
            let mark = mark.split('"').next().unwrap_or_default().to_owned();
            sections.entry(mark.clone()).or_default();
            current = Some((mark, thread));
        } else if let Some((section, of)) = &current
            && *of == thread
            && !call.starts_with(['<', '-', '+'])
            // With debug assertions, std checks that a descriptor is open before it closes it.
            && !(cfg!(debug_assertions) && call.starts_with("fcntl("))
        {
            let name = call.split('(').next().unwrap_or_default().to_owned();
            sections.entry(section.clone()).or_default().push(name);
        }
    }
    sections
}
