//! The next sandbox when n are there already. `cargo xtask bench` draws the curve, and says what each takes of memory.

use benches::sandboxes::{Kind, Maker};
use benches::{Result, host};
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;

const THERE: [usize; 5] = [0, 9, 99, 999, 3_999];
/// How long the kernel may take to reclaim what was dropped.
const LIMIT: Duration = Duration::from_mins(1);
/// How many more there are at once.
const MORE: u64 = 32;

fn growing(criterion: &mut Criterion) {
    host::enter().expect("a host of our own");
    let mut maker = Maker::new(0, Kind::ANONYMOUS).expect("a network");
    let mut there = Vec::new();
    let mut group = criterion.benchmark_group("growth");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(3));
    for count in THERE {
        while there.len() < count {
            there.push(maker.make().expect("a sandbox").0);
        }
        group.bench_function(BenchmarkId::from_parameter(count + 1), |bencher| {
            bencher.iter_custom(|iterations| more(&mut maker, iterations).expect("more sandboxes"));
        });
    }
    group.finish();
}

/// Makes so many more, and drops them again; how long making them took.
fn more(maker: &mut Maker, count: u64) -> Result<Duration> {
    let mut time = Duration::ZERO;
    let mut made = Vec::new();
    for number in 1..=count {
        let (sandbox, took) = maker.make()?;
        time += took;
        made.push(sandbox);
        if number % MORE == 0 {
            made.clear();
            maker.network().wait_reclaimed(LIMIT)?;
        }
    }
    drop(made);
    maker.network().wait_reclaimed(LIMIT)?;
    Ok(time)
}

criterion_group!(benches, growing);
criterion_main!(benches);
