//! `ADD` and `DEL` of a chain of CNI plugins, start of processes included: ours and Debian's, beside 1, 500 and 1,000 containers that
//! publish a port each; and ours beside 470 that publish 32 each, which would take the reference hours.
//! Ours are those of `cargo build --release -p netns-cni`.

use benches::cni::{CniChain, CniChainKind};
use benches::host;
use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use std::time::Duration;

/// How many ports each container publishes, and how many containers there are.
const ROWS: [(u32, usize); 4] = [(1, 1), (1, 500), (1, 1000), (32, 470)];

fn chains(criterion: &mut Criterion) {
    host::enter().expect("a host of our own");
    let mut all: Vec<CniChain> =
        CniChainKind::ALL.into_iter().map(|kind| CniChain::new(kind).expect("plugins")).collect();
    // In a trial each is run once, so that few will do.
    let is_trial = std::env::args().any(|argument| argument == "--test");
    for (ports, alive) in ROWS {
        let alive = if is_trial { alive.min(3) } else { alive };
        for chain in &mut all {
            chain.publish(ports).expect("no containers");
        }
        for (command, is_add) in [("ADD", true), ("DEL", false)] {
            let mut group = criterion.benchmark_group(format!("cni/{command}"));
            group.sample_size(10).sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(5));
            for (chain, kind) in all.iter_mut().zip(CniChainKind::ALL) {
                if ports > 1 && kind == CniChainKind::Debians {
                    continue;
                }
                chain.keep(alive).expect("containers");
                group.bench_function(
                    BenchmarkId::new(format!("{}, {ports} port(s)", kind.name()), alive),
                    |bencher| {
                        bencher.iter_custom(|iterations| {
                            let mut total = Duration::ZERO;
                            for _ in 0..iterations {
                                let times = (chain.add().expect("ADD"), chain.del().expect("DEL"));
                                total += if is_add { times.0 } else { times.1 };
                            }
                            total
                        });
                    },
                );
            }
            group.finish();
        }
    }
    for chain in &mut all {
        chain.keep(0).expect("no containers");
    }
}

criterion_group!(benches, chains);
criterion_main!(benches);
