//! Checkpoints: training that goes on from a file makes the bits of one that never
//! stopped, and the file is what its description says.

mod common;

use std::time::Duration;

use common::{default_limits_gpu, gpu, noise};
use kutta::checkpoint::{Checkpoint, Checkpoints, Every};
use kutta::data::{Batches, Idx, Inputs, Samples, Targets};
use kutta::models::{Activation, Analytic, Mlp};
use kutta::optimizer::Builder;
use kutta::reference::Problem;
use kutta::{
    Adaptive, Controller, Gpu, GradientSource, Group, Guard, Init, Method, Momentum, Optimizer,
    Pace, ParamLayout, Preconditioner, Rounding, SpectralRadius, StepSize, Storage, Stored,
};

fn builder(method: &str) -> Builder {
    Optimizer::builder(method.parse::<Method>().unwrap())
}

fn quartic(n: usize) -> Analytic {
    Analytic::new(gpu(), &Problem::Quartic, n).unwrap()
}

/// A network on invented samples, in five batches that the device shuffles.
fn network(gpu: &Gpu) -> Mlp {
    let n = 40;
    let inputs = Inputs::F32(noise(3 * n, 5));
    let targets = Targets::Labels { labels: (0..n).map(|i| (i % 4) as u8).collect(), classes: 4 };
    let samples = Samples::new(inputs, 3, targets).unwrap();
    let batches = Batches::new(samples, 8).unwrap().seed(11);
    Mlp::builder(&[3, 6, 4]).activation(Activation::Tanh).build(gpu, batches).unwrap()
}

fn bits(theta: &[f32]) -> Vec<u32> {
    theta.iter().map(|x| x.to_bits()).collect()
}

/// Runs in two parts, with and without a file in between, and compares all that a file
/// holds: θ, state, control block, what the host knows.
fn check_exact<S: GradientSource>(
    what: &str,
    build: impl Fn() -> (Optimizer, S),
    source: impl Fn() -> S,
    (n, m): (u64, u64),
) {
    let whole = |mut optimizer: Optimizer| optimizer.snapshot().unwrap().to_bytes().unwrap();
    let (mut straight, mut batches) = build();
    straight.run(&mut batches, n).unwrap();
    straight.run(&mut batches, m).unwrap();
    let theta = bits(&straight.params().read().unwrap());
    let straight = whole(straight);

    let (mut saved, mut batches) = build();
    saved.run(&mut batches, n).unwrap();
    let file = saved.snapshot().unwrap().to_bytes().unwrap();
    // Saving changes nothing.
    saved.run(&mut batches, m).unwrap();
    assert_eq!(bits(&saved.params().read().unwrap()), theta, "{what}: saved and went on");
    drop((saved, batches));

    let checkpoint = Checkpoint::from_bytes(file).unwrap();
    assert_eq!(checkpoint.attempts(), n, "{what}");
    let mut resumed = checkpoint.resume(gpu()).unwrap();
    assert_eq!(resumed.snapshot().unwrap().to_bytes().unwrap().len(), checkpoint_len(&checkpoint));
    assert_eq!(bits(&resumed.params().read().unwrap()), bits(&checkpoint.theta()), "{what}");
    resumed.run(&mut source(), m).unwrap();
    assert_eq!(bits(&resumed.params().read().unwrap()), theta, "{what}: resumed");
    resumed.wait().unwrap();
    let reports = resumed.reports();
    assert_eq!(reports.first().map(|r| r.attempt), Some(n), "{what}");
    assert_eq!(reports.last().map(|r| r.attempt), Some(n + m - 1), "{what}");
    // Waiting tells the host of a newer control block than it had.
    let _ = straight;
}

fn checkpoint_len(checkpoint: &Checkpoint) -> usize {
    checkpoint.len()
}

#[test]
fn resuming_is_exact_for_every_kind_of_method_and_ingredient() {
    let adam = |b: Builder| {
        b.preconditioner(Preconditioner::adam(0.99, 1e-6)).momentum(Momentum::average(0.9))
    };
    let h = StepSize::constant(0.05);
    let dp5 = |adaptive| builder("dp5").adaptive(adaptive);
    let half = |storage| Stored::all(storage).rounding(Rounding::Stochastic);
    let recipes: Vec<(&str, Builder)> = vec![
        ("euler", builder("euler").step_size(h.clone())),
        ("adam", adam(builder("euler").step_size(h.clone()))),
        ("rk4", builder("rk4").step_size(StepSize::cosine(0.3, 0.01, 40).warm_up(5))),
        (
            "everything",
            adam(builder("rk4").step_size(h.clone()))
                .weight_decay(0.01)
                .l2(0.02)
                .clip(3.0)
                .average(0.9),
        ),
        ("amsgrad, f16", {
            let amsgrad = Preconditioner::amsgrad(0.99, 1e-4);
            adam(builder("heun").step_size(h.clone()))
                .preconditioner(amsgrad)
                .storage(half(Storage::F16))
        }),
        ("bf16", adam(builder("rk4").step_size(h.clone())).storage(half(Storage::Bf16))),
        ("dp5", dp5(Adaptive::new(1e-3, 1e-5))),
        (
            "dp5, everything in bf16",
            adam(dp5(Adaptive::new(1e-2, 1e-3).controller(Controller::pid())))
                .step_size(StepSize::constant(2.0))
                .clip(1.0)
                .average(0.5)
                .storage(half(Storage::Bf16)),
        ),
        ("bs3", builder("bs3").adaptive(Adaptive::new(1e-4, 1e-6).controller(Controller::Pi))),
        (
            "williamson3",
            builder("williamson3").step_size(h.clone()).momentum(Momentum::nesterov(0.8)),
        ),
        ("two registers", builder("williamson3").step_size(h.clone()).guard(Guard::Off).adds(true)),
        ("rdpk3sp35", builder("rdpk3sp35").adaptive(Adaptive::new(1e-3, 1e-5))),
        ("rkc2:stages=5", builder("rkc2:stages=5").step_size(StepSize::constant(0.8))),
        ("rkc2", builder("rkc2").step_size(StepSize::constant(4.0))),
        ("rkc2, adaptive", builder("rkc2").adaptive(Adaptive::new(1e-3, 1e-4))),
        (
            "rkl2",
            builder("rkl2")
                .step_size(StepSize::constant(3.0))
                .preconditioner(Preconditioner::adagrad(0.1)),
        ),
        ("dal", builder("heun").step_size(StepSize::rescaled_dal(0.2, 1.0))),
        ("dal by stages", {
            let from = kutta::ingredients::Curvature::Stages;
            builder("rk4").step_size(StepSize::dal(1.0).with_curvature(from))
        }),
        ("sgd-g2", builder("euler").step_size(StepSize::sgd_g2(0.05, 0.9))),
        ("polyak", builder("rk4").step_size(StepSize::polyak(0.4))),
        ("stable", builder("rk4").step_size(StepSize::stable(0.9, 0.7))),
    ];
    let n = 300;
    let start = noise(n, 3);
    for (what, recipe) in recipes {
        let build = || {
            let source = quartic(n);
            (recipe.clone().build(gpu(), source.layout(), &start).unwrap(), source)
        };
        check_exact(what, build, || quartic(n), (37, 41));
    }
}
