//! Fused against unfused stage combination: whole attempts of a source whose
//! gradient costs nothing, as bytes that the plan says are moved.
//!
//! ```sh
//! cargo bench --bench stages
//! ```

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kutta::{
    Evaluation, Fusion, Gpu, GradientSource, Init, Method, Optimizer, ParamLayout, SourceError,
    StepSize,
};

/// Leaves the gradient buffers as they are: zero.
struct Free;

impl GradientSource for Free {
    fn evaluate(&mut self, _: &mut Evaluation<'_>) -> Result<(), SourceError> {
        Ok(())
    }
}

fn stages(criterion: &mut Criterion) {
    let gpu = Gpu::new().expect("an adapter");
    for n in [1usize << 16, 1 << 20, 1 << 22] {
        let layout =
            ParamLayout::builder().tensor("theta", &[n], Init::Zeros).build().expect("a layout");
        let mut group = criterion.benchmark_group(format!("attempt of {n} parameters"));
        for method in [Method::heun(), Method::rk4()] {
            for (fusion, name) in [(Fusion::Full, "fused"), (Fusion::None, "unfused")] {
                let mut optimizer = Optimizer::builder(method.clone())
                    .step_size(StepSize::constant(0.1))
                    .fusion(fusion)
                    .build(&gpu, &layout, &vec![0.5; n])
                    .expect("valid options");
                let bytes = 4 * n * optimizer.plan().words_guarded();
                group.throughput(Throughput::Bytes(bytes as u64));
                group.bench_function(BenchmarkId::new(method.to_string(), name), |bencher| {
                    bencher.iter_custom(|attempts| {
                        let start = Instant::now();
                        optimizer.run(&mut Free, attempts).expect("recorded");
                        optimizer.wait().expect("the device");
                        start.elapsed()
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = stages
}
criterion_main!(benches);
