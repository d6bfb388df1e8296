//! Taking a sandbox from a pool: at 300 a second, and in a burst of twice as many as are ready.

use benches::sandboxes::{Kind, Maker};
use benches::{host, pool};
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;

const READY: usize = 64;

fn acquiring(criterion: &mut Criterion) {
    host::enter().expect("a host of our own");
    let maker = Maker::new(0, Kind::ANONYMOUS).expect("a network");
    let mut group = criterion.benchmark_group("pool");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(10));
    group.bench_function("acquire at 300/s", |bencher| {
        bencher.iter_custom(|iterations| {
            let acquired = pool::steady(&maker, READY, 300, iterations as usize).expect("a pool");
            acquired.acquire.all().iter().sum()
        });
    });
    group.bench_function("burst of twice the pool", |bencher| {
        bencher.iter_custom(|iterations| {
            let bursts = 0..iterations;
            bursts
                .map(|_| {
                    pool::burst(&maker, READY, 2 * READY)
                        .expect("a pool")
                        .acquire
                        .all()
                        .iter()
                        .sum::<Duration>()
                })
                .sum()
        });
    });
    group.finish();
}

criterion_group!(benches, acquiring);
criterion_main!(benches);
