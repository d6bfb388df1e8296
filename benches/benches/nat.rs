//! The way out: what it adds to a sandbox, and what a published port costs where 15,040 are published (470 sandboxes with 32
//! each): as an element of our map, of a map by `nft`, and as a rule of `iptables-nft`, each with its process.
//!
//! The kernel's part of an element does not grow with the map; that of a rule does, since the whole chain goes to the kernel
//! and comes from it.

use benches::{Result, host};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use netns_core::nat::{self, Nat, NatOptions, PortProtocol, Publication};
use netns_core::network::{Network, NetworkOptions};
use netns_core::{IfName, Namespace, RouteSocket, bridge};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How many ports are published.
const PUBLISHED: u16 = 15_040;
/// The first of them.
const FIRST: u16 = 20_000;
/// The port that comes and goes beside them.
const MORE: u16 = 10_000;
/// How many sandboxes there are at once.
const AT_ONCE: usize = 32;
const INDEX: u32 = 7;

fn way_out(criterion: &mut Criterion) {
    host::enter().expect("a host of our own");
    let mut group = criterion.benchmark_group("nat");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(4));
    for (number, masquerade) in [false, true].into_iter().enumerate() {
        let name = if masquerade { "a sandbox that gets out" } else { "a sandbox that does not" };
        let network = network(number, masquerade).expect("a network");
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| make(&network, count).expect("sandboxes"));
        });
    }
    let mut ours = full_table().expect("a table");
    group.bench_function("publish and withdraw", |bencher| {
        bencher.iter(|| {
            let one = publication(MORE, 1);
            ours.publish(&one, "bench").expect("a free port");
            ours.withdraw(&one, "bench").expect("our port");
        });
    });
    ours.delete().expect("our table");
    if fed("nft", &["-f", "-"], &nft_rules()).is_ok() {
        group.bench_function("nft add and delete an element", |bencher| {
            bencher.iter(|| {
                nft(&format!("add element ip bench ports {{ tcp . {MORE} : 10.99.0.2 . 80 }}"));
                nft(&format!("delete element ip bench ports {{ tcp . {MORE} }}"));
            });
        });
        nft("delete table ip bench");
    }
    if fed("iptables-nft-restore", &[], &iptables_rules()).is_ok() {
        let port = MORE.to_string();
        let rule =
            ["PREROUTING", "-p", "tcp", "--dport", &port, "-j", "DNAT", "--to-destination", "10.99.0.2:80"];
        group.bench_function("iptables-nft -A and -D a rule", |bencher| {
            bencher.iter(|| {
                for action in ["-A", "-D"] {
                    run(Command::new("iptables-nft").args(["-t", "nat", action]).args(rule));
                }
            });
        });
    }
    group.finish();
}

fn network(number: usize, masquerade: bool) -> Result<Network> {
    let options = NetworkOptions {
        subnet_v4: Some(format!("10.{}.0.0/16", 100 + number).parse()?),
        subnet_v6: Some(format!("fd{:02}::/64", 10 + number).parse()?),
        masquerade,
        ..NetworkOptions::new(IfName::new(&format!("nat{number}"))?)
    };
    Ok(Network::create(&options)?)
}

/// Makes so many sandboxes, some at a time, which are dropped unmeasured; how long all of them took.
fn make(network: &Network, count: u64) -> Result<Duration> {
    let (mut time, mut kept) = (Duration::ZERO, Vec::with_capacity(AT_ONCE));
    for number in 1..=count {
        let began = Instant::now();
        kept.push(network.create_sandbox()?);
        time += began.elapsed();
        if kept.len() == AT_ONCE || number == count {
            kept.clear();
            network.wait_reclaimed(Duration::from_secs(30))?;
        }
    }
    Ok(time)
}

fn publication(port: u16, count: u16) -> Publication {
    let to = "10.99.0.2:1".parse().expect("an address");
    Publication { count, ..Publication::new(PortProtocol::Tcp, port, to) }
}

/// A table with everything published in it.
fn full_table() -> Result<Nat> {
    let mac = netns_core::MacAddress([2, 0, 0, 0, 0, 7]);
    let new = bridge::Bridge { index: Some(INDEX), ..bridge::Bridge::new(IfName::new("table0")?, mac) };
    bridge::create(&mut RouteSocket::open()?, &new)?;
    let options = NatOptions::new(INDEX, mac, vec!["10.99.0.0/16".parse()?]);
    let mut nat = Nat::create(&Namespace::current()?, &nat::unused_name(), options)?;
    nat.publish(&publication(FIRST, PUBLISHED), "others")?;
    Ok(nat)
}

fn nft_rules() -> String {
    let element = |number| format!("tcp . {} : 10.99.0.2 . {},", FIRST + number, number + 1);
    let elements = (0..PUBLISHED).map(element).collect::<Vec<_>>().concat();
    format!(
        "table ip bench {{\nmap ports {{\ntype inet_proto . inet_service : ipv4_addr . inet_service\n\
         elements = {{ {elements} }}\n}}\nchain pre {{\ntype nat hook prerouting priority -100;\n\
         dnat ip to meta l4proto . th dport map @ports\n}}\n}}\n"
    )
}

fn iptables_rules() -> String {
    let rule = |number| {
        let (port, to) = (FIRST + number, number + 1);
        format!("-A PREROUTING -p tcp --dport {port} -j DNAT --to-destination 10.99.0.2:{to}\n")
    };
    let rules: Vec<String> = (0..PUBLISHED).map(rule).collect();
    format!("*nat\n{}COMMIT\n", rules.concat())
}

/// Runs a tool with this on its standard input.
fn fed(tool: &str, arguments: &[&str], text: &str) -> Result<()> {
    let mut child = Command::new(tool).args(arguments).stdin(Stdio::piped()).spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(text.as_bytes())?;
    if child.wait()?.success() { Ok(()) } else { Err(format!("{tool} failed").into()) }
}

fn nft(command: &str) {
    run(Command::new("nft").arg(command));
}

fn run(command: &mut Command) {
    let status = command.status().expect("a tool");
    assert!(status.success(), "{command:?}: {status}");
}

criterion_group!(benches, way_out);
criterion_main!(benches);
