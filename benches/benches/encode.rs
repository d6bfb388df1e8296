//! Writing the same requests with three libraries. `cargo xtask bench` also counts the heap allocations.

use benches::encode::{self, RouteRequest};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

fn requests(criterion: &mut Criterion) {
    for message in RouteRequest::ALL {
        let mut group = criterion.benchmark_group(format!("encode/{}", message.name()));
        for mut encoder in encode::all() {
            group.bench_function(encoder.name(), |bencher| {
                bencher.iter(|| black_box(encoder.encode(black_box(message)).len()));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, requests);
criterion_main!(benches);
