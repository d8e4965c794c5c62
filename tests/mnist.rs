//! MNIST on the device, as a user trains it.
#![cfg(feature = "idx")]

mod common;

use common::default_limits_gpu;
use kutta::data::Idx;
use kutta::models::Mlp;
use kutta::{Method, Optimizer, StepSize, Verdict};

fn mnist() -> Idx {
    Idx::open(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist")).unwrap()
}

/// A browser gives no more than these limits.
#[test]
fn a_device_with_webgpus_default_limits_trains() {
    let gpu = default_limits_gpu();
    let data = mnist();
    let mut mlp = Mlp::classifier(gpu, &[784, 32, 10], data.train(64).unwrap()).unwrap();
    let test = mlp.upload(&data.test()).unwrap();
    let mut optimizer = Optimizer::builder(Method::rk4())
        .step_size(StepSize::constant(0.5))
        .build(gpu, mlp.layout(), &mlp.initial(7))
        .unwrap();
    let before = mlp.evaluate(optimizer.params(), &test).unwrap();
    assert!(before.accuracy.unwrap() < 0.3, "{before:?}");
    let epoch = u64::from(mlp.per_epoch());
    optimizer.run(&mut mlp, epoch).unwrap();
    let after = mlp.evaluate(optimizer.params(), &test).unwrap();
    assert_eq!(after.samples, 10_000);
    // Measured on llvmpipe: 95.09 %. A method that learns nothing has 10 %.
    assert!(after.accuracy.unwrap() > 0.94, "{after:?}");
    assert!(after.loss < 0.2, "{after:?}");
}

#[test]
fn two_runs_from_one_seed_are_the_same_bits() {
    let gpu = default_limits_gpu();
    let data = mnist();
    let run = |seed| {
        let batches = data.train(100).unwrap().seed(seed);
        let mut mlp = Mlp::classifier(gpu, &[784, 16, 10], batches).unwrap();
        let mut optimizer = Optimizer::builder(Method::heun())
            .step_size(StepSize::constant(0.2))
            .build(gpu, mlp.layout(), &mlp.initial(3))
            .unwrap();
        optimizer.run(&mut mlp, 30).unwrap();
        optimizer.wait().unwrap();
        let reports = optimizer.reports();
        assert!(reports.iter().all(|report| report.verdict == Verdict::Accepted));
        let losses: Vec<_> = reports.iter().map(|report| report.loss.unwrap().to_bits()).collect();
        let params: Vec<_> =
            optimizer.params().read().unwrap().into_iter().map(f32::to_bits).collect();
        (losses, params)
    };
    let first = run(1);
    assert_eq!(first.0.len(), 30);
    assert_eq!(first, run(1));
    assert_ne!(first.0, run(2).0, "another order of the samples");
}
