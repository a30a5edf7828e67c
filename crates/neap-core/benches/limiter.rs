//! How long does a limiter take for a request, of 100,000 hosts in random order, and of a few busy ones?
//!
//! `cargo bench -p neap-core --bench limiter`. Times depend on the machine; instructions do not, see
//! `examples/limiter_cost.rs`.

use criterion::{Criterion, criterion_group, criterion_main};

mod load;

fn limiters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("gate, start and report");
    for hosts in [100_000, 16] {
        let mut load = load::Load::new(hosts);
        for _ in 0..200_000 {
            load.step();
        }
        group.bench_function(format!("{hosts} hosts"), |bencher| {
            bencher.iter(|| load.step());
        });
    }
    group.finish();
}

criterion_group!(benches, limiters);
criterion_main!(benches);
