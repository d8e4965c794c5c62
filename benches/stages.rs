//! kutta's own kernels, as bytes that their plans say are moved: whole attempts fused
//! and unfused, one stage, an advance with everything, and what sums norms.
//!
//! ```sh
//! cargo bench --bench stages
//! ```

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kutta::bench::{Bench, Work};
use kutta::plan::Options;
use kutta::{Adaptive, Fusion, Gpu, Ingredients, Method, Momentum, Preconditioner, wgpu};

/// Repeats in one submit.
const ATTEMPTS: u64 = 8;

/// Seconds of so many of one work, in submits of some.
fn spent(gpu: &Gpu, begin: &Work, work: &Work, times: u64, refill: &dyn Fn()) -> Duration {
    let mut spent = Duration::ZERO;
    let mut left = times;
    while left > 0 {
        let now = left.min(ATTEMPTS);
        // Gradients that no source writes would grow.
        refill();
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device");
        let start = Instant::now();
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            begin.record(&mut pass);
            (0..now).for_each(|_| work.record(&mut pass));
        }
        gpu.queue().submit([encoder.finish()]);
        gpu.device().poll(wgpu::PollType::wait_indefinitely()).expect("the device");
        spent += start.elapsed();
        left -= now;
    }
    spent
}

fn bench(gpu: &Gpu, name: &str, ingredients: &Ingredients, fusion: Fusion, n: usize) -> Bench {
    let method: Method = name.parse().expect("a method");
    let options = Options { fusion, ..Options::default() };
    Bench::new(gpu, &method, ingredients, options, n, 1).expect("valid options")
}

fn attempts(criterion: &mut Criterion) {
    let gpu = Gpu::new().expect("an adapter");
    for n in [1usize << 16, 1 << 20, 1 << 22] {
        let mut group = criterion.benchmark_group(format!("attempt of {n} parameters"));
        for name in ["heun", "rk4"] {
            for (fusion, kind) in [(Fusion::Full, "fused"), (Fusion::None, "unfused")] {
                let bench = bench(&gpu, name, &Ingredients::default(), fusion, n);
                group.throughput(Throughput::Bytes((4 * n * bench.plan().words_guarded()) as u64));
                group.bench_function(BenchmarkId::new(name, kind), |bencher| {
                    bencher.iter_custom(|times| {
                        spent(&gpu, bench.begin(0), bench.step(0), times, &|| bench.refill())
                    });
                });
            }
        }
        group.finish();
    }
}

/// Single kernels, by method, ingredients and label.
fn kernels(criterion: &mut Criterion) {
    const N: usize = 1 << 22;
    let gpu = Gpu::new().expect("an adapter");
    let everything = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::ema(0.9),
        weight_decay: 0.01,
        ..Ingredients::default()
    };
    let adaptive =
        Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..Ingredients::default() };
    let mut group = criterion.benchmark_group(format!("kernel on {N} parameters"));
    for (what, name, ingredients, label) in [
        ("stage combination", "rk4", Ingredients::default(), "combine y"),
        ("stage with two outputs", "dp5", adaptive, "combine y"),
        ("advance with everything", "rk4", everything, "finish"),
        ("norm of a gradient", "rk4", Ingredients::default(), "guard"),
        ("norm of an error", "dp5", adaptive, "estimate"),
    ] {
        let bench = bench(&gpu, name, &ingredients, Fusion::Full, N);
        // The one that moves most, if there are several.
        let found = bench.kernels().iter().enumerate().filter(|(_, k)| k.label.starts_with(label));
        let Some((i, kernel)) = found.max_by_key(|(_, kernel)| kernel.words()) else {
            panic!("{name} has no kernel whose label begins with `{label}`");
        };
        group.throughput(Throughput::Bytes((4 * N * kernel.words()) as u64));
        group.bench_function(what, |bencher| {
            let none = Work::default();
            bencher.iter_custom(|times| {
                spent(&gpu, &none, bench.own(0, i), times, &|| bench.refill())
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = attempts, kernels
}
criterion_main!(benches);
