//! What the program costs a frame: see [`benches::packet`].

use benches::empty;
use benches::packet::{frames, policy};
use criterion::{Criterion, criterion_group, criterion_main};
use netns_core::tc::Direction;
use netns_ebpf::{Monitor, MonitorOptions, test_run};
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

fn packet(criterion: &mut Criterion) {
    let monitor = Monitor::load(&MonitorOptions::default()).expect("root, and a kernel with BPF");
    let empty = empty::load().expect("the same");
    let policy = policy().expect("room for two");
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
                    // The kernel gives the mean, in whole nanoseconds.
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
