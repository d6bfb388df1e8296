//! One sandbox comes and the oldest one goes, while 0, 64 or 512 are alive; and the first connection of a fresh one.

use benches::churn::{ChurnWay, churn};
use benches::first_packet::first_packet;
use benches::host;
use benches::sandboxes::{Kind, Maker};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;

const ALIVE: [usize; 3] = [0, 64, 512];

fn coming_and_going(criterion: &mut Criterion) {
    host::enter().expect("a host of our own");
    let mut maker = Maker::new(0, Kind::ANONYMOUS).expect("a network");
    for way in ChurnWay::ALL {
        let mut group = criterion.benchmark_group(format!("churn/{}", way.name()));
        group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(5));
        for alive in ALIVE {
            group.bench_function(BenchmarkId::from_parameter(alive), |bencher| {
                bencher.iter_custom(|iterations| {
                    churn(&mut maker, alive, iterations as usize, way).expect("churn").total
                });
            });
        }
        group.finish();
    }

    let mut group = criterion.benchmark_group("first connection");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(5));
    for alive in ALIVE {
        group.bench_function(BenchmarkId::from_parameter(alive), |bencher| {
            bencher.iter_custom(|iterations| {
                let times = first_packet(&mut maker, alive, iterations as usize).expect("first packets");
                times.to_old.all().iter().sum()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, coming_and_going);
criterion_main!(benches);
