//! Parameter groups, several batches for a step, and batches that the host
//! draws.

mod common;

use std::cell::RefCell;

use common::{Bowl, default_limits_gpu, gpu, noise, relative};
use kutta::batching::{Accumulated, PerStage};
use kutta::device::{Access, Kernel};
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook};
use kutta::source::{CONTROL_WGSL, Control};
use kutta::{
    Adaptive, BatchesFrom, Evaluation, Gpu, GradientSource, Group, Ingredients, Init, Method,
    Momentum, Optimizer, Pace, ParamLayout, Preconditioner, Rejection, SourceError, StepSize,
    Verdict, wgpu,
};

const SLOPE: Kernel = Kernel {
    name: "slope",
    text: &[
        CONTROL_WGSL,
        "@group(0) @binding(0) var<uniform> control: Control;
        @group(0) @binding(1) var<storage, read> point: array<f32>;
        @group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
        @group(0) @binding(3) var<storage, read_write> loss: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let batch = f32(control.batch % 7u);
            if id.x < arrayLength(&gradient) {
                gradient[id.x] = point[id.x] * (1.0 + 0.25 * batch) - 0.125 * batch;
            }
            if id.x == 0u { loss[0] = batch; }
        }",
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("point", Access::Read),
        ("gradient", Access::Write),
        ("loss", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

/// g = θ (1 + b/4) − b/8 on batch b mod 7, whose loss is b mod 7.
struct Slope;

fn slope(batch: u64, x: &[f64]) -> Vec<f64> {
    let b = (batch % 7) as f64;
    x.iter().map(|x| x * (1.0 + 0.25 * b) - 0.125 * b).collect()
}

impl GradientSource for Slope {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let control = at.control().clone();
        Self::record(at, &control)
    }
}

impl Slope {
    fn record(at: &mut Evaluation<'_>, control: &wgpu::Buffer) -> Result<(), SourceError> {
        let gpu = at.gpu().clone();
        let pipeline = gpu.pipeline(&SLOPE, &vec![]);
        let groups = at.gradient().len().div_ceil(64) as u32;
        let bind_group = pipeline.bind(
            &gpu,
            &[
                control.as_entire_binding(),
                at.point().buffer().as_entire_binding(),
                at.gradient().buffer().as_entire_binding(),
                at.loss().as_entire_binding(),
            ],
        );
        let pass = at.pass();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(groups, 1, 1);
        Ok(())
    }
}

const N: usize = 128;

fn layout() -> ParamLayout {
    ParamLayout::flat(N).unwrap()
}

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn build(method: &Method, gpu: &Gpu, start: &[f32]) -> Optimizer {
    Optimizer::builder(method.clone())
        .step_size(StepSize::constant(0.1))
        .build(gpu, &layout(), start)
        .unwrap()
}

#[test]
fn every_stage_has_a_batch_of_its_own() {
    for gpu in [gpu(), default_limits_gpu()] {
        for method in [Method::euler(), Method::heun(), Method::rk4()] {
            let (start, stages) = (noise(N, 3), method.stages() as u64);
            let mut optimizer = build(&method, gpu, &start);
            let mut source = PerStage::new(gpu, Slope).unwrap();
            optimizer.run(&mut source, 20).unwrap();
            let recipe = Ingredients::default();
            let mut book = textbook::Trainer::new(method.tableau(), recipe, &f64s(&start));
            for step in 0..20 {
                let mut gradient =
                    |stage: usize, x: &[f64]| slope(step * stages + stage as u64 - 1, x);
                book.step(f64::from(0.1f32), &mut gradient).unwrap();
            }
            let error = relative(&optimizer.params().read().unwrap(), book.theta());
            assert!(error < 1e-5, "{method}: {error:e}");
        }
    }
}

#[test]
fn accumulated_gradients_are_the_mean_of_their_parts() {
    for gpu in [gpu(), default_limits_gpu()] {
        for parts in [1, 4] {
            let (start, method) = (noise(N, 3), Method::rk4());
            let mut optimizer = build(&method, gpu, &start);
            let mut source = Accumulated::new(gpu, Slope, &layout(), parts).unwrap();
            optimizer.run(&mut source, 20).unwrap();
            optimizer.wait().unwrap();
            let parts = u64::from(parts);
            let recipe = Ingredients::default();
            let mut book = textbook::Trainer::new(method.tableau(), recipe, &f64s(&start));
            for (step, report) in (0..20).zip(optimizer.reports()) {
                let mut gradient = |_: usize, x: &[f64]| {
                    let mut mean = vec![0.0; x.len()];
                    for part in 0..parts {
                        let g = slope(step * parts + part, x);
                        mean.iter_mut().zip(g).for_each(|(m, g)| *m += g / parts as f64);
                    }
                    mean
                };
                book.step(f64::from(0.1f32), &mut gradient).unwrap();
                let loss: u64 = (0..parts).map(|part| (step * parts + part) % 7).sum();
                assert_eq!(report.loss, Some(loss as f32 / parts as f32), "{step}");
            }
            let error = relative(&optimizer.params().read().unwrap(), book.theta());
            assert!(error < 1e-5, "{parts} parts: {error:e}");
        }
    }
}

const COUNTED: Kernel = Kernel {
    name: "counted",
    text: &[
        CONTROL_WGSL,
        "@group(0) @binding(0) var<uniform> control: Control;
        @group(0) @binding(1) var<storage, read> point: array<f32>;
        @group(0) @binding(2) var<storage, read_write> gradient: array<f32>;
        @group(0) @binding(3) var<storage, read_write> loss: array<f32>;
        @group(0) @binding(4) var<storage, read_write> samples: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let batch = f32(control.batch % 7u);
            let n = f32(control.batch * 5u % 4u);
            if id.x < arrayLength(&gradient) {
                // 0/0 where there is nothing to take the mean of.
                gradient[id.x] = (point[id.x] - batch) * n / n;
            }
            if id.x == 0u {
                loss[0] = batch * n / n;
                samples[0] = n;
            }
        }",
    ],
    bindings: &[
        ("control", Access::Uniform),
        ("point", Access::Read),
        ("gradient", Access::Write),
        ("loss", Access::Write),
        ("samples", Access::Write),
    ],
    vectors: &[],
    structs: &[],
};

/// g = θ − b mod 7, the mean over 5 b mod 4 samples, and NaN where there are none.
struct Counted;

fn samples(batch: u64) -> u64 {
    batch * 5 % 4
}

impl GradientSource for Counted {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let gpu = at.gpu().clone();
        let pipeline = gpu.pipeline(&COUNTED, &vec![]);
        let bind_group = pipeline.bind(
            &gpu,
            &[
                at.control().as_entire_binding(),
                at.point().buffer().as_entire_binding(),
                at.gradient().buffer().as_entire_binding(),
                at.loss().as_entire_binding(),
                at.samples().as_entire_binding(),
            ],
        );
        let groups = at.gradient().len().div_ceil(64) as u32;
        let pass = at.pass();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(groups, 1, 1);
        Ok(())
    }
}

/// Runs Euler's method on micro-batches of 0 to 3 samples, `parts` to a gradient, and holds
/// it against sums over samples.
fn check_counted(mut source: impl GradientSource, parts: u64, what: &str) {
    let start = noise(N, 3);
    let mut optimizer = build(&Method::euler(), gpu(), &start);
    let mut theta = f64s(&start);
    optimizer.run(&mut source, 20).unwrap();
    optimizer.wait().unwrap();
    for (step, report) in (0..20).zip(optimizer.reports()) {
        let batches = step * parts..(step + 1) * parts;
        let all: u64 = batches.clone().map(samples).sum();
        let sum: u64 = batches.map(|batch| samples(batch) * (batch % 7)).sum();
        assert_eq!(report.verdict, Verdict::Accepted, "{what} {report:?}");
        if all == 0 {
            assert_eq!(report.loss, None, "{what} {report:?}: a loss of nothing");
            continue;
        }
        let mean = sum as f64 / all as f64;
        let loss = f64::from(report.loss.unwrap());
        assert!((loss - mean).abs() < 1e-6 * mean.max(1.0), "{what} {report:?}: not {mean}");
        theta.iter_mut().for_each(|x| *x -= f64::from(0.1f32) * (*x - mean));
    }
    let error = relative(&optimizer.params().read().unwrap(), &theta);
    assert!(error < 1e-5, "{what}: {error:e}");
}

#[test]
fn micro_batches_weigh_as_many_samples_as_they_have() {
    let layout = layout();
    for parts in [1, 2, 3, 5] {
        let source = Accumulated::new(gpu(), Counted, &layout, parts).unwrap();
        check_counted(source, parts.into(), &format!("{parts} parts"));
    }
    for (inner, outer) in [(2, 2), (3, 2), (1, 3), (4, 1)] {
        let source = Accumulated::new(gpu(), Counted, &layout, inner).unwrap();
        let source = Accumulated::new(gpu(), source, &layout, outer).unwrap();
        check_counted(source, (inner * outer).into(), &format!("{outer} of {inner} parts"));
    }
}

/// The same slope, on the batch that the host says.
struct HostSlope(Vec<u64>);

impl GradientSource for HostSlope {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let batch = at.batch().ok_or("the host does not know the batch".to_owned())?;
        self.0.push(batch);
        let gpu = at.gpu().clone();
        let words = size_of::<Control>() as u64;
        let usage = wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST;
        let control = gpu.buffer("what the host drew", words, usage).map_err(SourceError::new)?;
        let block = Control { batch: batch as u32, ..Control::default() };
        gpu.queue().write_buffer(&control, 0, bytemuck::bytes_of(&block));
        Slope::record(at, &control)
    }

    fn batches(&self) -> BatchesFrom {
        BatchesFrom::Host
    }
}

#[test]
fn the_hosts_batches_scale_as_the_devices() {
    let layout = layout();
    let gpu = gpu();
    for (name, adaptive, refused) in [("euler", 0.0, 0), ("rk4", 0.0, 0), ("bs3", 0.05, 1)] {
        let run = |source: &mut dyn GradientSource, pace: Pace| {
            let mut builder = Optimizer::builder(name.parse::<Method>().unwrap())
                .step_size(StepSize::constant(0.8))
                .pace(pace);
            if adaptive > 0.0 {
                builder = builder.adaptive(Adaptive::new(adaptive, adaptive));
            }
            let mut optimizer = builder.build(gpu, &layout, &noise(N, 3)).unwrap();
            optimizer.run(&mut { source }, 11).unwrap();
            optimizer.wait().unwrap();
            let reports = optimizer.reports();
            let refusals = reports.iter().filter(|r| r.verdict == Verdict::Refused).count();
            assert!(refusals >= refused, "{name}: {refusals} refusals");
            (optimizer.params().read().unwrap(), reports)
        };
        fn both<'a>(
            run: &impl Fn(&mut dyn GradientSource, Pace) -> (Vec<f32>, Vec<kutta::Report>),
            device: &mut dyn GradientSource,
            host: &mut (impl GradientSource + 'a),
            what: &str,
        ) -> (Vec<kutta::Report>, Vec<std::ops::Range<u64>>) {
            let (theta, reports) = run(device, Pace::Ahead);
            let (found, hosted) = run(host, Pace::Wait);
            assert_eq!(found, theta, "{what}");
            assert_eq!(hosted, reports, "{what}");
            let drawn = hosted.iter().map(|r| host.drawn(r.draws.clone())).collect();
            (hosted, drawn)
        }
        // Every batch that is said to be drawn was asked for, one after the other.
        let check = |(_, drawn): (Vec<kutta::Report>, Vec<std::ops::Range<u64>>),
                     asked: &[u64],
                     times: usize,
                     what: &str| {
            let all: Vec<u64> = drawn.into_iter().flatten().collect();
            let all: Vec<u64> = all.iter().flat_map(|&b| vec![b; times]).collect();
            assert_eq!(asked, all, "{name} {what}");
        };
        let per_stage = PerStage::new(gpu, Slope).unwrap();
        let mut host = PerStage::new(gpu, HostSlope(vec![])).unwrap();
        let found = both(&run, &mut { per_stage }, &mut host, "per stage");
        check(found, &host.inner_mut().0, 1, "per stage");

        let accumulated = |parts| Accumulated::new(gpu, Slope, &layout, parts).unwrap();
        let hosted = |parts| Accumulated::new(gpu, HostSlope(vec![]), &layout, parts).unwrap();
        for parts in [2, 3] {
            let mut host = hosted(parts);
            let found = both(&run, &mut accumulated(parts), &mut host, "accumulated");
            let asked = &host.inner_mut().0;
            if name == "euler" {
                check(found, asked, 1, "accumulated");
            } else {
                // All stages ask for the same ones.
                let distinct: std::collections::BTreeSet<u64> = asked.iter().copied().collect();
                let all: std::collections::BTreeSet<u64> = found.1.into_iter().flatten().collect();
                assert_eq!(distinct, all, "{name} {parts}");
            }
        }
        let mut host = PerStage::new(gpu, hosted(2)).unwrap();
        let mut device = PerStage::new(gpu, accumulated(2)).unwrap();
        let found = both(&run, &mut device, &mut host, "per stage of two");
        check(found, &host.inner_mut().inner_mut().0, 1, "per stage of two");

        let host = PerStage::new(gpu, HostSlope(vec![])).unwrap();
        let mut host = Accumulated::new(gpu, host, &layout, 3).unwrap();
        let device = PerStage::new(gpu, Slope).unwrap();
        let mut device = Accumulated::new(gpu, device, &layout, 3).unwrap();
        let found = both(&run, &mut device, &mut host, "three of per stage");
        check(found, &host.inner_mut().inner_mut().0, 1, "three of per stage");
    }
}

/// A source whose batches are drawn by the host: here, asked for and noted.
struct Drawn {
    inner: Analytic,
    batches: RefCell<Vec<Option<u64>>>,
}

impl GradientSource for Drawn {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        if at.purpose() == kutta::Purpose::Stage(1) {
            self.batches.borrow_mut().push(at.batch());
        }
        self.inner.evaluate(at)
    }

    fn batches(&self) -> BatchesFrom {
        BatchesFrom::Host
    }
}

#[test]
fn a_host_that_draws_batches_must_know_of_refusals() {
    let start = noise(64, 5);
    let drawn = || Drawn {
        inner: Analytic::new(gpu(), &Problem::Quartic, 64).unwrap(),
        batches: RefCell::default(),
    };
    let build = |rejection, pace| {
        let source = drawn();
        let optimizer = Optimizer::builder("bs3".parse::<Method>().unwrap())
            .adaptive(Adaptive::new(1e-4, 1e-6).rejection(rejection))
            .step_size(StepSize::constant(20.0))
            .pace(pace)
            .build(gpu(), source.inner.layout(), &start)
            .unwrap();
        (optimizer, source)
    };
    let (mut optimizer, mut source) = build(Rejection::Retry, Pace::Ahead);
    let message = optimizer.run(&mut source, 1).unwrap_err().to_string();
    assert!(message.contains("Pace::Wait") && message.contains("Skip"), "{message}");

    let (mut optimizer, mut source) = build(Rejection::Retry, Pace::Wait);
    optimizer.run(&mut source, 12).unwrap();
    optimizer.wait().unwrap();
    let reports = optimizer.reports();
    assert_eq!(reports[0].verdict, Verdict::Refused);
    let seen: Vec<_> = reports.iter().map(|r| Some(r.batch)).collect();
    assert_eq!(*source.batches.borrow(), seen);
    assert_eq!(seen[1], Some(0), "the refused batch again");
    assert!(seen.last() > Some(&Some(5)), "{seen:?}");
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    assert!(optimizer.record(&mut encoder, &mut source).is_err());

    let (mut optimizer, mut source) = build(Rejection::Skip, Pace::Ahead);
    optimizer.run(&mut source, 12).unwrap();
    optimizer.wait().unwrap();
    let batches: Vec<_> = optimizer.reports().iter().map(|r| r.batch).collect();
    assert_eq!(batches, (0..12).collect::<Vec<_>>());
    assert!(source.batches.borrow().iter().all(Option::is_none));
}

/// Three tensors in three groups, with padding between them.
fn grouped() -> ParamLayout {
    ParamLayout::builder()
        .tensor("weight", &[30, 30], Init::Zeros)
        .tensor("bias", &[30], Init::Zeros)
        .tensor("head", &[5000], Init::Zeros)
        .build()
        .unwrap()
        .regrouped(&[&["weight"], &["bias"], &["head"]])
        .unwrap()
}

#[test]
fn groups_have_rates_and_decays_of_their_own() {
    let layout = grouped();
    let n = layout.len();
    let mut start = noise(n, 8);
    for (i, x) in start.iter_mut().enumerate() {
        if layout.locate(i).is_none() {
            *x = 0.0;
        }
    }
    let groups = [Group::default(), Group::default().rate(0.3).decay(2.0), Group::frozen()];
    let multipliers: Vec<[f64; 2]> = (0..n)
        .map(|i| match layout.locate(i).map(|tensor| tensor.group()) {
            Some(1) => [0.3f32.into(), 2.0],
            Some(2) => [0.0, 0.0],
            _ => [1.0, 1.0],
        })
        .collect();
    let recipes = [
        Ingredients::default(),
        Ingredients { weight_decay: 0.2, ..Default::default() },
        Ingredients {
            preconditioner: Preconditioner::amsgrad(0.9, 0.1),
            momentum: Momentum::ema(0.9),
            weight_decay: 0.2,
            ..Default::default()
        },
        Ingredients {
            preconditioner: Preconditioner::adagrad_rescaled(),
            momentum: Momentum::nesterov(0.5),
            clip: Some(20.0),
            ..Default::default()
        },
    ];
    for name in ["euler", "rk4", "dp5"] {
        let method: Method = name.parse().unwrap();
        for recipe in recipes {
            for (gpu, most) in [(gpu(), None), (gpu(), Some(5000)), (default_limits_gpu(), None)] {
                let source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
                let mut source = source.with_layout(&layout).unwrap();
                let mut builder = Optimizer::builder(method.clone())
                    .ingredients(recipe)
                    .groups(&groups)
                    .step_size(StepSize::constant(0.1));
                if let Some(most) = most {
                    builder = builder.elements_per_binding(most);
                }
                let mut optimizer = builder.build(gpu, &layout, &start).unwrap();
                optimizer.run(&mut source, 10).unwrap();
                let mut book = textbook::Trainer::new(method.tableau(), recipe, &f64s(&start))
                    .with_groups(multipliers.clone());
                for _ in 0..10 {
                    let mut gradient = |_: usize, x: &[f64]| Problem::Quartic.gradient(x);
                    book.step(f64::from(0.1f32), &mut gradient).unwrap();
                }
                let found = optimizer.params().read().unwrap();
                let error = relative(&found, book.theta());
                assert!(error < 1e-5, "{name} {recipe:?}: {error:e}");
                let head = layout.range("head").unwrap();
                assert_eq!(found[head.clone()], start[head], "frozen");
            }
        }
    }
}

#[test]
fn an_error_estimate_sees_the_rates() {
    let layout = ParamLayout::builder()
        .tensor("a", &[64], Init::Zeros)
        .tensor("b", &[64], Init::Zeros)
        .build()
        .unwrap()
        .regrouped(&[&["a"], &["b"]])
        .unwrap();
    let start = noise(128, 8);
    let adaptive = Adaptive::new(1e-3, 1e-5);
    let recipe = Ingredients { adaptive: Some(adaptive), ..Default::default() };
    for name in ["heun-euler", "bs3", "dp5"] {
        let method: Method = name.parse().unwrap();
        let source = Analytic::new(gpu(), &Problem::Quartic, 128).unwrap();
        let mut source = source.with_layout(&layout).unwrap();
        let mut optimizer = Optimizer::builder(method.clone())
            .adaptive(adaptive)
            .groups(&[Group::default().rate(0.5), Group::default().rate(2.0)])
            .step_size(StepSize::constant(0.3))
            .build(gpu(), &layout, &start)
            .unwrap();
        optimizer.run(&mut source, 15).unwrap();
        optimizer.wait().unwrap();
        let rates = [vec![[0.5, 1.0]; 64], vec![[2.0, 1.0]; 64]].concat();
        let mut book =
            textbook::Trainer::new(method.tableau(), recipe, &f64s(&start)).with_groups(rates);
        let mut gradient = |_: usize, x: &[f64]| Problem::Quartic.gradient(x);
        for report in optimizer.reports() {
            let error = book.attempt(report.h.into(), &mut gradient).unwrap();
            let found = f64::from(report.error.unwrap());
            assert!((found - error).abs() <= 5e-3 * error.max(0.05), "{name} {report:?}: {error}");
        }
        assert!(relative(&optimizer.params().read().unwrap(), book.theta()) < 1e-5);
    }
}

#[test]
fn groups_that_cannot_be_meant_are_refused() {
    let layout = grouped();
    let build = |groups: &[Group]| {
        let start = vec![0.0; layout.len()];
        Optimizer::builder(Method::euler())
            .groups(groups)
            .step_size(StepSize::constant(0.1))
            .build(gpu(), &layout, &start)
            .map(drop)
            .unwrap_err()
            .to_string()
    };
    let some = Group::default();
    assert!(build(&[some, some]).contains("`head` is in parameter group 2"));
    assert!(build(&[Group::frozen(); 3]).contains("frozen"));
    assert!(build(&[some, some.rate(-1.0), some]).contains("rate of parameter group 1"));
    let overlap = layout.clone().regrouped(&[&["weight", "bias"], &["bias", "head"]]);
    assert!(overlap.unwrap_err().to_string().contains("`bias` is in 2"));
    let missing = layout.clone().regrouped(&[&["weight", "bias"]]);
    assert!(missing.unwrap_err().to_string().contains("`head` is in 0"));
    assert!(layout.regrouped(&[&["wait"]]).unwrap_err().to_string().contains("wait"));
}

#[test]
fn curvature_comes_from_a_product_of_the_sources_own() {
    let layout = ParamLayout::flat(6).unwrap();
    let start = noise(6, 2);
    let step_size: StepSize = "rescaled-dal:c=0.5,p=1,from=product".parse().unwrap();
    for l2 in [0.0, 1.0] {
        let build = || {
            Optimizer::builder(Method::heun())
                .step_size(step_size.clone())
                .l2(l2)
                .build(gpu(), &layout, &start)
                .unwrap()
        };
        let mut optimizer = build();
        optimizer.run(&mut Bowl, 4).unwrap();
        optimizer.wait().unwrap();
        for report in optimizer.reports() {
            let r = report.curvature.unwrap();
            assert!((f64::from(r) - 4.0 - l2).abs() < 1e-5, "{report:?}");
            let h = 1.0 / (2.0 + (4.0 + l2) / 2.0);
            assert!((f64::from(report.h) - h).abs() < 1e-6, "{report:?}");
        }
        let mut without = Analytic::new(gpu(), &Problem::Quartic, 6).unwrap();
        let message = build().step(&mut without).unwrap_err().to_string();
        assert!(message.contains("probe"), "{message}");
    }
    let preconditioned = Optimizer::builder(Method::heun())
        .step_size(step_size)
        .preconditioner(Preconditioner::adagrad_rescaled())
        .build(gpu(), &layout, &start);
    assert!(preconditioned.unwrap_err().to_string().contains("products"));
}
