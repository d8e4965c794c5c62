//! The gradient of a multilayer perceptron, in attempts of Euler's method: its own
//! kernels move a hundredth of what the gradient reads.
//!
//! ```sh
//! cargo bench --bench gradient
//! ```

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::models::Mlp;
use kutta::{Gpu, Method, Optimizer, StepSize};

fn gradient(criterion: &mut Criterion) {
    const SAMPLES: usize = 4096;
    const WIDTHS: [usize; 3] = [784, 128, 10];
    let gpu = Gpu::new().expect("an adapter");
    let pixels = (0..SAMPLES * WIDTHS[0]).map(|i| (i * 37 % 251) as u8).collect();
    let labels = (0..SAMPLES).map(|i| (i % 10) as u8).collect();
    let targets = Targets::Labels { labels, classes: 10 };
    let samples = Samples::new(Inputs::Bytes(pixels), WIDTHS[0], targets).expect("samples");
    let mut group = criterion.benchmark_group("gradient of 784-128-10");
    for batch in [64, 1024] {
        let batches = Batches::new(samples.clone(), batch).expect("batches");
        let mut mlp = Mlp::classifier(&gpu, &WIDTHS, batches).expect("a network");
        let mut optimizer = Optimizer::builder(Method::euler())
            .step_size(StepSize::constant(1e-3))
            .build(&gpu, mlp.layout(), &mlp.initial(7))
            .expect("valid options");
        // Three products of each layer, two operations each; the input needs no
        // gradient.
        let weights: usize = WIDTHS.windows(2).map(|pair| pair[0] * pair[1]).sum();
        let products = 6 * weights - 2 * WIDTHS[0] * WIDTHS[1];
        group.throughput(Throughput::Elements((batch * products) as u64));
        group.bench_function(BenchmarkId::new("batch", batch), |bencher| {
            bencher.iter_custom(|attempts| {
                let start = Instant::now();
                optimizer.run(&mut mlp, attempts).expect("recorded");
                optimizer.wait().expect("the device");
                start.elapsed()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10);
    targets = gradient
}
criterion_main!(benches);
