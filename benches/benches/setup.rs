//! Making one sandbox: ours by kind, the floor, and the peers that are installed. Each is dropped again, unmeasured,
//! some at a time.
//!
//! Criterion measures one after the other; for ratios, `cargo xtask bench --peers` lets them take turns.

use benches::compare::{Bare, Contender, OurContender};
use benches::sandboxes::Kind;
use benches::{Result, host, peers};
use criterion::{
    BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main, measurement::WallTime,
};
use std::time::Duration;

/// How many there are at once.
const AT_ONCE: u64 = 32;

fn setup(criterion: &mut Criterion) {
    host::enter().expect("a host of our own");
    let mut group = criterion.benchmark_group("setup");
    group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(4));
    all(&mut group).expect("every contender works");
    group.finish();
}

fn all(group: &mut BenchmarkGroup<'_, WallTime>) -> Result<()> {
    for (number, kind) in (0..).zip(Kind::ALL) {
        bench(group, &mut OurContender::new(number, kind)?);
    }
    for (number, kind) in (10..).zip([Kind::ANONYMOUS, Kind::NAMED]) {
        bench(group, &mut Bare::new(number, kind)?);
    }
    let (here, missing) = peers::all()?;
    for mut peer in here {
        bench(group, &mut *peer);
    }
    for why in missing {
        eprintln!("{why}");
    }
    Ok(())
}

fn bench(group: &mut BenchmarkGroup<'_, WallTime>, contender: &mut dyn Contender) {
    let name = contender.name().to_owned();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| make(contender, iterations).expect("the contender makes sandboxes"));
    });
}

/// Makes so many; how long all of them took.
fn make(contender: &mut dyn Contender, count: u64) -> Result<Duration> {
    let links = host::links()?;
    let mut time = Duration::ZERO;
    for number in 1..=count {
        time += contender.make()?;
        if number % AT_ONCE == 0 || number == count {
            contender.drop_all()?;
            // The bridge may be new.
            contender.wait_reclaimed(links + 1)?;
        }
    }
    Ok(time)
}

criterion_group!(benches, setup);
criterion_main!(benches);
