//! Sources that check what they write: the same verdicts, reports and parameters as with the
//! guard, in fewer dispatches; and one that says so and does not do it is found out.

mod common;

use common::{adding, gpu};
use kutta::batching::{Accumulated, PerStage};
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::device::{Access, Kernel};
use kutta::error::OptimizerError;
use kutta::models::{Activation, Analytic, Encoding, HashGrid, Loss, Mlp, NeuralField, Points};
use kutta::models::{Products, Target};
use kutta::optimizer::Builder;
use kutta::reference::Problem;
use kutta::source::CHECKS_WGSL;
use kutta::{
    Adaptive, Error, Evaluation, GradientSource, Init, Method, Momentum, Optimizer, ParamLayout,
    Preconditioner, Report, SourceError, SpectralRadius, StepSize, Storage, Stored, Verdict,
};

fn builder(name: &str) -> Builder {
    let method: Method = name.parse().unwrap();
    Optimizer::builder(method)
        .step_size(StepSize::constant(1e-3))
        .spectral_radius(SpectralRadius::Given(1.0))
}

fn adam() -> Builder {
    builder("euler").preconditioner(Preconditioner::adam(0.9, 1e-8)).momentum(Momentum::ema(0.9))
}

fn adaptive(name: &str) -> Builder {
    let method: Method = name.parse().unwrap();
    Optimizer::builder(method).adaptive(Adaptive::new(1e-3, 1e-4))
}

/// Two tensors with padding between them and a ragged end; a few workgroups.
fn layout() -> ParamLayout {
    ParamLayout::builder()
        .tensor("a", &[70], Init::Zeros)
        .tensor("b", &[9_001], Init::Zeros)
        .build()
        .unwrap()
}

/// ½ Σ λ θ²: λ = 1, but for `at`.
fn quadratic(at: usize, lambda: f64) -> Analytic {
    let layout = layout();
    let mut eigenvalues = vec![1.0; layout.len()];
    eigenvalues[at] = lambda;
    let problem = Problem::quadratic(&eigenvalues).unwrap();
    Analytic::new(gpu(), &problem, layout.len()).unwrap().with_layout(&layout).unwrap()
}

/// What attempts report and where they end, with the guard or without.
fn ran(
    builder: Builder,
    source: &mut impl GradientSource,
    theta: &[f32],
    rides: bool,
) -> (Vec<Report>, Vec<f32>, usize) {
    let layout = source.layout().unwrap().clone();
    let builder = if rides { builder.source(&*source) } else { builder };
    let mut optimizer = builder.build(gpu(), &layout, theta).unwrap();
    let words = optimizer.plan().words_guarded();
    optimizer.run(source, 3).unwrap();
    optimizer.wait().unwrap();
    (optimizer.reports(), optimizer.params().read().unwrap(), words)
}

#[test]
fn dispatches_are_counted_with_and_without_the_guard() {
    let source = quadratic(0, 1.0);
    // (builder, dispatches with a guard and without)
    for (builder, with, without) in [
        (builder("euler"), 3, 2),
        (adam(), 3, 2),
        (adam().clip(1.0), 3, 2),
        (builder("rk4"), 6, 5),
        (builder("rk4").clip(1.0), 8, 6),
        (adaptive("dp5"), 9, 9),
        (adaptive("dp5").clip(1.0), 11, 10),
    ] {
        let [guarded, rode] = [false, true].map(|rides| {
            let builder = builder.clone();
            let builder = if rides { builder.source(&source) } else { builder };
            builder.build(gpu(), source.layout(), &vec![0.1; source.layout().len()]).unwrap()
        });
        let found = [&guarded, &rode].map(Optimizer::dispatches_per_attempt);
        assert_eq!(found, [with, without], "{}\n{}", guarded.plan(), rode.plan());
    }
}

/// The last gradient alone overflows, or the first, at the first and last element of each tensor.
#[test]
fn what_is_not_finite_is_reported_as_with_the_guard() {
    let [a, b] = ["a", "b"].map(|name| layout().range(name).unwrap());
    for at in [a.start, a.end - 1, b.start, b.end - 1] {
        // k₁ = 1e10, and every stage some 1e10 times as much.
        let growing = |name: &str| builder(name).step_size(StepSize::constant(1.0));
        for (builder, lambda, stage) in [
            (adam(), 3e38, Some(1)),
            (adam().clip(1.0), 3e38, Some(1)),
            // The squares alone.
            (adam(), 1e30, Some(1)),
            (growing("rk4"), 1e10, Some(4)),
            (growing("rk4").clip(1e12), 1e10, Some(4)),
            (growing("rk4").clip(1.0), 3e38, Some(1)),
            (growing("williamson3"), 1e13, Some(3)),
            (growing("rkc2:stages=4"), 3e38, Some(1)),
            (adaptive("dp5"), 3e38, Some(1)),
            (adaptive("dp5").clip(1.0), 3e38, Some(1)),
            (adam(), 2.0, None),
            (growing("rk4"), 2.0, None),
        ] {
            let mut source = quadratic(at, lambda);
            let mut theta = vec![0.0f32; layout().len()];
            a.clone().chain(b.clone()).for_each(|i| theta[i] = 1.0);
            theta[at] = 10.0;
            let guarded = ran(builder.clone(), &mut source, &theta, false);
            let rode = ran(builder, &mut source, &theta, true);
            let what = format!("{at} {lambda} {:?}", guarded.0[0]);
            let found = guarded.0[0].not_finite.as_ref();
            assert_eq!(found.map(|found| found.stage), stage, "{what}");
            if let Some(found) = found {
                let tensor = layout().locate(at).unwrap().name().to_owned();
                assert_eq!(found.tensor, tensor, "{what}");
                let skipped = |r: &Report| matches!(r.verdict, Verdict::Skipped { .. });
                assert!(guarded.0.iter().all(skipped), "{what}");
                assert_eq!(rode.1, theta, "{what}");
            }
            // As text, for a NaN is not equal to itself.
            let text = |reports: &[Report]| format!("{reports:#?}");
            assert_eq!(text(&rode.0), text(&guarded.0), "{what}");
            assert_eq!(rode.1, guarded.1, "{what}");
        }
    }
}

fn mlp(products: Products) -> Mlp {
    let (width, outputs, count) = (20, 6, 70);
    let inputs = common::noise(count * width, 3);
    let targets = Targets::Dense { values: common::noise(count * outputs, 4), width: outputs };
    let samples = Samples::new(Inputs::F32(inputs), width, targets).unwrap();
    Mlp::builder(&[width, 33, outputs])
        .activation(Activation::Tanh)
        .loss(Loss::MeanSquare)
        .products(products)
        .build(gpu(), Batches::new(samples, 32).unwrap())
        .unwrap()
}

fn field() -> NeuralField {
    let image = Target::image([16, 16], 3, common::noise(16 * 16 * 3, 5)).unwrap();
    let grid = HashGrid { levels: 3, log2_table: 8, ..HashGrid::default() };
    NeuralField::builder(Encoding::HashGrid(grid))
        .hidden(&[16])
        .points(Points::Texels(100))
        .products(Products::Fused)
        .build(gpu(), &image)
        .unwrap()
}

/// The norm's order of summation is all that may differ.
fn agrees(mut make: impl FnMut() -> Box<dyn GradientSource>, theta: &[f32], what: &str) {
    let euler = || adam().clip(0.05);
    for builder in [adam(), euler(), builder("rk4"), builder("rk4").clip(0.05), adaptive("bs3")] {
        let [guarded, rode] = [false, true].map(|rides| {
            let mut source = make();
            let source: &mut dyn GradientSource = &mut *source;
            ran(builder.clone(), &mut &mut *source, theta, rides)
        });
        assert_eq!(guarded.0.len(), rode.0.len());
        for (a, b) in guarded.0.iter().zip(&rode.0) {
            let what = format!("{what}: {a:?}\n{b:?}");
            assert_eq!((a.verdict, a.attempt), (b.verdict, b.attempt), "{what}");
            let (x, y) = (a.grad_norm.unwrap(), b.grad_norm.unwrap());
            assert!((x - y).abs() <= 1e-5 * x, "{what}");
        }
        assert!(guarded.0.iter().any(|report| report.verdict == Verdict::Accepted), "{what}");
        let exact: Vec<f64> = guarded.1.iter().map(|&x| f64::from(x)).collect();
        let off = common::relative(&rode.1, &exact);
        assert!(off < 1e-6, "{what}: θ is off by {off}");
    }
}

#[test]
fn models_and_wrappers_train_as_with_the_guard() {
    for products in [Products::Sliced, Products::Fused] {
        let theta = mlp(products).initial(3);
        let what = format!("{products:?}");
        agrees(|| Box::new(mlp(products)), &theta, &what);
        if products == Products::Fused {
            let layout = mlp(products).layout().clone();
            let staged = || Box::new(PerStage::new(gpu(), mlp(products)).unwrap());
            agrees(|| staged(), &theta, "PerStage");
            let summed = || Accumulated::new(gpu(), mlp(products), &layout, 2).unwrap();
            agrees(|| Box::new(summed()), &theta, "Accumulated");
        }
    }
    agrees(|| Box::new(field()), &field().initial(3), "field");
}

/// Their own gradients, narrow.
#[test]
fn narrow_gradients_are_checked_as_they_are_stored() {
    for storage in [Storage::F16, Storage::Bf16] {
        let stored = Stored { gradients: storage, ..Stored::default() };
        let mut source = quadratic(71, 3e38);
        let mut theta = vec![0.0f32; layout().len()];
        layout().range("b").unwrap().for_each(|i| theta[i] = 1.0);
        for bad in [false, true] {
            let b = layout().range("b").unwrap();
            theta[b.end - 1] = 0.3;
            if bad {
                source = quadratic(b.end - 1, 3e38);
                theta[b.end - 1] = 10.0;
            }
            for builder in [builder("rk4"), adam().clip(1.0), builder("euler")] {
                let builder = builder.storage(stored);
                let guarded = ran(builder.clone(), &mut source, &theta, false);
                let rode = ran(builder, &mut source, &theta, true);
                assert_eq!(guarded.0[0].non_finite == 0, !bad, "{:?}", guarded.0[0]);
                assert_eq!(rode.0, guarded.0);
                assert_eq!(rode.1, guarded.1);
                assert!(rode.2 < guarded.2);
            }
        }
    }
}

#[test]
fn a_source_that_checks_less_is_refused_before_any_work() {
    let mut source = quadratic(0, 1.0);
    let layout = source.layout().clone();
    let mut optimizer =
        builder("euler").source(&source).build(gpu(), &layout, &vec![0.5; layout.len()]).unwrap();
    let most = source.checks();
    let refused = optimizer.step(&mut adding(false)).unwrap_err();
    let found = match &refused {
        Error::Optimizer(OptimizerError::NotChecking { found, most }) => (*found, *most),
        other => panic!("{other}"),
    };
    assert_eq!(found, (0, most));
    assert!(refused.to_string().contains("`GradientSource::checks`"), "{refused}");
    optimizer.step(&mut source).unwrap();
}

/// Gives θ as the gradient of ½ ‖θ‖², and checks it well or not.
struct Half {
    layout: ParamLayout,
    lie: u32,
}

const HALF: Kernel = Kernel {
    name: "half",
    text: &[
        CHECKS_WGSL,
        "override LIE: u32 = 0u;
        @group(0) @binding(0) var<storage, read> point: array<vec4<f32>>;
        @group(0) @binding(1) var<storage, read_write> gradient: array<vec4<f32>>;
        @group(0) @binding(2) var<storage, read_write> loss: array<f32>;
        @group(0) @binding(3) var<storage, read_write> checks: Checks;
        @compute @workgroup_size(256) fn main(
            @builtin(workgroup_id) group: vec3<u32>,
            @builtin(local_invocation_index) lane: u32,
        ) {
            var seen: Seen;
            let i = group.x * 256u + lane;
            if i < arrayLength(&gradient) {
                let k = point[i];
                gradient[i] = k;
                // Not the first tensor; one too far on; not the finiteness.
                if LIE == 2u && i < 18u {
                } else if LIE == 3u {
                    look(&seen, k, i + 1u);
                } else if LIE == 4u {
                    look(&seen, select(k, vec4<f32>(), magnitude_bits(k) >= vec4<u32>(0x7f800000u)), i);
                } else {
                    look(&seen, k, i);
                }
            }
            // Nothing at all; not the last workgroup.
            if LIE != 1u && !(LIE == 5u && group.x == 2u) {
                leave(&seen, group.x, lane);
            }
            if group.x == 0u && lane == 0u {
                var sum = 0.0;
                for (var j = 0u; j < arrayLength(&gradient); j += 1u) {
                    sum += 0.5 * dot(point[j], point[j]);
                }
                loss[0] = sum;
            }
        }",
    ],
    bindings: &[
        ("point", Access::Read),
        ("gradient", Access::Write),
        ("loss", Access::Write),
        ("checks", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

impl GradientSource for Half {
    fn checks(&self) -> u32 {
        self.layout.len().div_ceil(1024) as u32
    }

    fn layout(&self) -> Option<&ParamLayout> {
        Some(&self.layout)
    }

    fn keeps_padding(&self) -> bool {
        true
    }

    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let gpu = at.gpu().clone();
        let mut constants = at.check_constants();
        constants.push(("LIE", f64::from(self.lie)));
        let pipeline = gpu.pipeline(&HALF, &constants);
        let buffers = [at.point().buffer(), at.gradient().buffer(), at.loss(), at.checks()];
        let group = pipeline.bind(&gpu, &buffers.map(|buffer| buffer.as_entire_binding()));
        let workgroups = self.checks();
        let pass = at.pass();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(workgroups, 1, 1);
        Ok(())
    }
}

#[test]
fn a_source_that_says_that_it_checks_and_does_not_is_found_out() {
    let layout = ParamLayout::builder()
        .tensor("a", &[70], Init::Uniform { bound: 0.5 })
        .tensor("b", &[2_500], Init::Uniform { bound: 0.5 })
        .build()
        .unwrap();
    let start = layout.initial(3);
    for (lie, tensor, words) in [
        (0, None, ""),
        (1, None, "a slot of `GradientSource::checks` that nobody wrote"),
        (2, Some("a"), "this tensor is not in them"),
        (3, Some("a"), "first in elements 0 to 3 of the vector, and it says in elements 4 to 7"),
        (4, Some("a"), "and it says nowhere"),
        (5, None, "a slot of `GradientSource::checks` that nobody wrote"),
    ] {
        let mut source = Half { layout: layout.clone(), lie };
        let optimizer = builder("heun").build(gpu(), &layout, &start).unwrap();
        let check = optimizer.check_source(&mut source).unwrap();
        if lie == 0 {
            assert!(check.is_sound(), "{check}");
            continue;
        }
        let faults: Vec<_> = check.faults().collect();
        let (name, first) = faults.first().unwrap_or_else(|| panic!("lie {lie}\n{check}"));
        assert_eq!((*name, first.tensor.as_deref()), ("checks", tensor), "{lie}\n{check}");
        assert!(first.message.contains(words), "{lie}\n{check}");
        assert!(faults.iter().all(|(name, _)| *name == "checks"), "{lie}\n{check}");
    }
}
