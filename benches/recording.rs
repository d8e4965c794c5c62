//! What the host spends on recording one attempt: no submit, no device time.
//!
//! ```sh
//! cargo bench --bench recording
//! ```

use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use kutta::models::Analytic;
use kutta::reference::Problem;
use kutta::{Gpu, Method, Optimizer, StepSize};

/// Attempts in one encoder: as many as a submit of `run` holds.
const ATTEMPTS: u64 = 32;

fn recording(criterion: &mut Criterion) {
    let gpu = Gpu::new().expect("an adapter");
    let mut group = criterion.benchmark_group("recording an attempt");
    for method in [Method::euler(), Method::heun(), Method::rk4()] {
        let mut problem = Analytic::new(&gpu, &Problem::Rosenbrock, 4096).expect("even dimension");
        let mut optimizer = Optimizer::builder(method.clone())
            .step_size(StepSize::constant(1e-6))
            .build(&gpu, problem.layout(), &vec![0.5; 4096])
            .expect("valid options");
        group.bench_function(method.to_string(), |bencher| {
            bencher.iter_custom(|attempts| {
                let mut spent = Duration::ZERO;
                let mut left = attempts;
                while left > 0 {
                    let now = left.min(ATTEMPTS);
                    let mut encoder = gpu.device().create_command_encoder(&Default::default());
                    let start = Instant::now();
                    for _ in 0..now {
                        optimizer.record(&mut encoder, &mut problem).expect("recorded");
                    }
                    // wgpu does much of its work here.
                    let recorded = encoder.finish();
                    spent += start.elapsed();
                    // Outside the clock, and waited for, so that the queue
                    // never fills up.
                    gpu.queue().submit([recorded]);
                    optimizer.wait().expect("the device");
                    left -= now;
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = recording
}
criterion_main!(benches);
