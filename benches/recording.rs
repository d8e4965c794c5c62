//! What the host spends on recording one attempt: no submit, no device time. Beside
//! it the same dispatches in a plain loop.
//!
//! ```sh
//! cargo bench --bench recording
//! ```

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use kutta::bench::Bench;
use kutta::plan::Options;
use kutta::{Adaptive, Gpu, Ingredients, Method, Momentum, Preconditioner, wgpu};

/// Attempts in one encoder: as many as a submit of `run` holds.
const ATTEMPTS: u64 = 32;

fn recording(criterion: &mut Criterion) {
    let gpu = Gpu::new().expect("an adapter");
    let full = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        adaptive: Some(Adaptive::new(1e-3, 1e-6)),
        ..Ingredients::default()
    };
    let mut group = criterion.benchmark_group("recording an attempt");
    for (name, ingredients) in [
        ("euler", Ingredients::default()),
        ("heun", Ingredients::default()),
        ("rk4", Ingredients::default()),
        ("dp5", full),
    ] {
        let method: Method = name.parse().expect("a method");
        let bench = Bench::new(&gpu, &method, &ingredients, Options::default(), 4096, 1)
            .expect("valid options");
        let mut time = |what: &str, record: &dyn Fn(&mut wgpu::CommandEncoder, u32)| {
            group.bench_function(BenchmarkId::new(name, what), |bencher| {
                bencher.iter_custom(|attempts| spent(&gpu, attempts, record));
            });
        };
        time("recorded", &|encoder, now| bench.record(encoder, now).expect("recorded"));
        time("by hand", &|encoder, now| bench.record_by_hand(encoder, now));
    }
    group.finish();
}

fn spent(gpu: &Gpu, attempts: u64, record: &dyn Fn(&mut wgpu::CommandEncoder, u32)) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = attempts;
    while left > 0 {
        let now = left.min(ATTEMPTS);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        let start = Instant::now();
        record(&mut encoder, now as u32);
        // wgpu does much of its work here.
        let recorded = encoder.finish();
        spent += start.elapsed();
        // Outside the clock, and waited for, so that the queue never fills up.
        gpu.queue().submit([recorded]);
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device");
        left -= now;
    }
    spent
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = recording
}
criterion_main!(benches);
