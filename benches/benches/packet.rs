//! What the program costs a frame: run in the kernel over frames of honest hosts, without a network around it, beside a
//! program that does nothing.

use benches::empty;
use criterion::{Criterion, criterion_group, criterion_main};
use netns_core::tc::Direction;
use netns_ebpf::attack::{Party, cases};
use netns_ebpf::packet::{Reason, Rules};
use netns_ebpf::{Monitor, MonitorOptions, Policy, test_run};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

const FROM: Party = Party {
    mac: [2, 0, 0, 0, 0, 1],
    v4: Ipv4Addr::new(10, 1, 1, 1),
    v6: Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 1),
};
const TO: Party = Party {
    mac: [2, 0, 0, 0, 0, 2],
    v4: Ipv4Addr::new(10, 1, 1, 2),
    v6: Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 2),
};

/// The honest frames, by name.
fn frames() -> [(&'static str, Vec<u8>); 5] {
    let near = |reason, what| {
        let case = cases(&FROM, &TO).into_iter().find(|case| case.reason == reason && case.what == what);
        case.expect("a case of the table").near
    };
    let mut tcp6 = near(Reason::Ipv6Version, "4");
    // TCP in place of UDP, with the header's length and flags where they belong.
    tcp6[20] = 6;
    tcp6[66] = 5 << 4;
    tcp6[67] = 0x10;
    [
        ("tcp-ipv4", near(Reason::TcpFlags, "none")),
        ("tcp-ipv6", tcp6),
        ("udp-ipv4", near(Reason::Ipv4Checksum, "one bit")),
        ("arp", near(Reason::ArpMalformed, "RARP")),
        ("neighbour-solicitation", near(Reason::NdLinkLayer, "source, behind a nonce")),
    ]
}

fn packet(criterion: &mut Criterion) {
    let monitor = Monitor::load(&MonitorOptions::default()).expect("root, and a kernel with BPF");
    let empty = empty::load().expect("the same");
    let rules = Rules::new(FROM.mac).with_ipv4(FROM.v4, 32).and_then(|rules| rules.with_ipv6(FROM.v6, 128));
    let policy = Policy::new(rules.expect("room for two"));
    let mut group = criterion.benchmark_group("packet");
    for (name, frame) in frames() {
        for kind in ["empty", "counters", "validated", "egress"] {
            let validated = kind == "validated";
            monitor.set_unassigned_policy(validated.then_some(&policy)).expect("group 0");
            group.bench_function(format!("{name}/{kind}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    let repeat = u32::try_from(iterations).unwrap_or(u32::MAX).max(1);
                    let run = match kind {
                        "empty" => test_run(empty.as_fd(), &frame, repeat),
                        "egress" => monitor.test_run(Direction::Egress, &frame, repeat),
                        _ => monitor.test_run(Direction::Ingress, &frame, repeat),
                    };
                    // The kernel tells the mean, in whole nanoseconds.
                    run.expect("a run").duration * repeat
                });
            });
        }
    }
    let [(_, tcp), ..] = frames();
    group.bench_function("tcp-ipv4/counters, two CPUs at once", |bencher| {
        bencher.iter_custom(|iterations| {
            let repeat = u32::try_from(iterations).unwrap_or(u32::MAX).max(1);
            let run = |cpu| {
                benches::stay_on_cpu(cpu).expect("a CPU");
                monitor.test_run(Direction::Ingress, &tcp, repeat).expect("a run").duration
            };
            let durations = thread::scope(|scope| {
                let run = &run;
                [0, 1].map(|cpu| scope.spawn(move || run(cpu))).map(|thread| thread.join().expect("no panic"))
            });
            (durations[0] + durations[1]) / 2 * repeat
        });
    });
    group.finish();
    assert_eq!(monitor.unassigned_violations().total(), 0, "the frames are honest");
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(1)).warm_up_time(Duration::from_millis(200)).sample_size(20);
    targets = packet
}
criterion_main!(benches);
