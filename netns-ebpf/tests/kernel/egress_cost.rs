//! What an egress policy costs a frame, and how long it takes to replace one, printed.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use netns_core::tc::Direction;
use netns_ebpf::packet::{EgressPrefix, EgressRule};
use netns_ebpf::{EgressRules, Mode, Monitor, MonitorOptions};

use crate::egress::{datagrams, options};
use crate::harness::privileged;

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// So many networks of 24 to 32 bits, somewhere in the IPv4 internet, and an address in each of the first hundred.
fn networks(count: usize) -> (Vec<EgressRule>, Vec<Ipv4Addr>) {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let rules = (0..count).map(|_| {
        let number = random.next();
        // From 16.0.0.0 on, where no list has anything but in 100 and above 127.
        let address = Ipv4Addr::from((number as u32 >> 2) + 0x1000_0000);
        let bits = 24 + (number >> 40) as u8 % 9;
        EgressRule::allow(EgressPrefix::v4(address, bits))
    });
    let rules: Vec<_> = rules.collect();
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let addresses = (0..count.min(100)).map(|_| Ipv4Addr::from((random.next() as u32 >> 2) + 0x1000_0000));
    let addresses = addresses.collect();
    (rules, addresses)
}

#[test]
#[ignore = "takes a minute and 500 MB; prints what it measures"]
fn what_policies_of_every_size_cost() {
    if !privileged("what_policies_of_every_size_cost") {
        return;
    }
    let none = Monitor::load(&MonitorOptions::default()).unwrap();
    let monitor = Monitor::load(&options()).unwrap();
    let policy = monitor.add_egress(&EgressRules::new()).unwrap();
    let measure = |monitor: &Monitor, frames: &[Vec<u8>]| {
        let mut total = Duration::ZERO;
        for frame in frames {
            let run = monitor.test_run(Direction::Ingress, frame, 10).unwrap();
            assert!(!run.dropped);
            total += run.duration;
        }
        total / frames.len() as u32
    };
    let median = |mut rounds: Vec<Duration>| {
        rounds.sort_unstable();
        rounds[rounds.len() / 2].as_nanos()
    };
    for count in [10, 1000, 100_000, 1_000_000] {
        let (rules, addresses) = networks(count);
        let frames = datagrams(&addresses);
        let rules = EgressRules::new().refusing_others().with_all(rules);
        let start = Instant::now();
        let entries = rules.compile().unwrap().entries().len();
        let compiled = start.elapsed();
        let start = Instant::now();
        monitor.replace_egress(policy, &rules).unwrap();
        let replaced = start.elapsed();
        let mut rounds = [const { Vec::new() }; 3];
        for _ in 0..9 {
            rounds[0].push(measure(&none, &frames));
            monitor.set_unassigned_egress(None).unwrap();
            rounds[1].push(measure(&monitor, &frames));
            monitor.set_unassigned_egress(Some((policy, Mode::Enforce))).unwrap();
            rounds[2].push(measure(&monitor, &frames));
        }
        let [off, without, with] = rounds.map(median);
        println!(
            "{count} networks ({entries} entries): compiled in {compiled:?}, compiled and replaced in {replaced:?}; \
             a frame to one of {} addresses: {off} ns without policies, {without} ns at a port without one, {with} ns",
            addresses.len()
        );
    }
}
