//! Profiles: everything an attempt dispatches is there as often as it is dispatched, under its
//! name; they change nothing; and a trace is what its format says.

mod common;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use common::{gpu, noise};
use kutta::batching::{Accumulated, PerStage};
use kutta::data::{Batches, Inputs, Samples, Targets};
use kutta::device::{Access, GpuOptions, Kernel};
use kutta::error::{GpuError, OptimizerError};
use kutta::models::{Analytic, Encoding, HashGrid, Mlp, NeuralField, Points, Products, Target};
use kutta::optimizer::Builder;
use kutta::plan::Op;
use kutta::profile::{Profile, Stamps};
use kutta::wgpu::{self, Features};
use kutta::{
    Adaptive, Error, Evaluation, Gpu, GradientSource, Method, Momentum, Optimizer, Pace,
    Preconditioner, Report, SourceError, StepSize,
};
use serde_json::Value;

fn with(features: Features) -> Result<Gpu, GpuError> {
    Gpu::with_options(&GpuOptions { features, ..GpuOptions::default() })
}

/// A device for each way of taking times that the adapter has.
fn timed() -> &'static [Gpu] {
    static GPUS: OnceLock<Vec<Gpu>> = OnceLock::new();
    let open = || {
        let around = Features::TIMESTAMP_QUERY;
        let ways = [around, around | Features::TIMESTAMP_QUERY_INSIDE_PASSES];
        let gpus: Vec<Gpu> = ways.into_iter().filter_map(|way| with(way).ok()).collect();
        assert!(gpus.len() == 2 || !gpu().is_software(), "llvmpipe has both");
        gpus
    };
    GPUS.get_or_init(open)
}

fn mlp(gpu: &Gpu) -> Mlp {
    let inputs = Inputs::F32(noise(12 * 50, 3));
    let labels = (0..50).map(|i| (i * 7 % 10) as u8).collect();
    let targets = Targets::Labels { labels, classes: 10 };
    let batches = Batches::new(Samples::new(inputs, 12, targets).unwrap(), 16).unwrap();
    Mlp::builder(&[12, 16, 10]).products(Products::Fused).build(gpu, batches).unwrap()
}

fn field(gpu: &Gpu, points: Points) -> NeuralField {
    let grid = HashGrid { levels: 3, features: 2, log2_table: 7, coarsest: 4, growth: 1.6 };
    let values = noise(24 * 10 * 3, 4).iter().map(|x| 0.5 + 0.5 * x).collect();
    let target = Target::image([24, 10], 3, values).unwrap();
    let builder = NeuralField::builder(Encoding::HashGrid(grid)).hidden(&[16]).points(points);
    builder.products(Products::Fused).build(gpu, &target).unwrap()
}

fn builder(method: &str) -> Builder {
    Optimizer::builder(method.parse::<Method>().unwrap()).step_size(StepSize::constant(0.05))
}

/// One of kutta's sources, by its layout and its start.
type Boxed = Box<dyn GradientSource>;
type Made = fn(&Gpu) -> (Boxed, Vec<f32>);

fn build(gpu: &Gpu, builder: Builder, source: &Boxed, start: &[f32]) -> Optimizer {
    let layout = source.layout().unwrap();
    builder.source(&**source).build(gpu, layout, start).unwrap()
}

/// How often an attempt each label is there.
fn often(profile: &Profile) -> BTreeMap<&str, f64> {
    let mut often = BTreeMap::new();
    for row in profile.rows() {
        *often.entry(row.label.as_str()).or_default() += row.per_attempt;
    }
    often
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9 * b.abs().max(1.0)
}

/// The kernels of a gradient (`evaluation`) and of a batch (`attempt`), how often each.
struct Case {
    name: &'static str,
    source: Made,
    builder: fn() -> Builder,
    evaluation: &'static [(&'static str, f64)],
    attempt: &'static [(&'static str, f64)],
}

fn plain_mlp(gpu: &Gpu) -> (Boxed, Vec<f32>) {
    let mlp = mlp(gpu);
    let start = mlp.initial(1);
    (Box::new(mlp), start)
}

const CASES: [Case; 6] = [
    Case {
        name: "a network by Adam",
        source: plain_mlp,
        builder: || {
            let adam = Preconditioner::adam(0.999, 1e-8);
            builder("euler").preconditioner(adam).momentum(Momentum::ema(0.9))
        },
        evaluation: &[("dense_tail", 1.0), ("dense_gradient", 1.0)],
        attempt: &[("batch_rows", 1.0), ("gather_floats", 1.0)],
    },
    Case {
        name: "a field by RK4",
        source: |gpu| {
            let field = field(gpu, Points::Texels(64));
            let start = field.initial(1);
            (Box::new(field), start)
        },
        builder: || builder("rk4"),
        evaluation: &[
            ("encode_grid", 1.0),
            ("dense_tail", 1.0),
            ("dense_gradient", 1.0),
            ("grid_maximum", 1.0),
            ("grid_scatter", 1.0),
            ("grid_gradient", 1.0),
        ],
        attempt: &[("batch_rows", 1.0), ("field_points", 1.0)],
    },
    Case {
        name: "a batch for each stage",
        source: |gpu| {
            let mlp = mlp(gpu);
            let start = mlp.initial(1);
            (Box::new(PerStage::new(gpu, mlp).unwrap()), start)
        },
        builder: || builder("rk4"),
        evaluation: &[
            ("stage_batch", 1.0),
            ("batch_rows", 1.0),
            ("gather_floats", 1.0),
            ("dense_tail", 1.0),
            ("dense_gradient", 1.0),
        ],
        attempt: &[],
    },
    Case {
        name: "three micro-batches",
        source: |gpu| {
            let mlp = mlp(gpu);
            let (start, layout) = (mlp.initial(1), mlp.layout().clone());
            (Box::new(Accumulated::new(gpu, mlp, &layout, 3).unwrap()), start)
        },
        builder: || builder("heun"),
        evaluation: &[
            ("share_batch", 3.0),
            ("accumulate", 3.0),
            ("batch_rows", 3.0),
            ("gather_floats", 3.0),
            ("dense_tail", 3.0),
            ("dense_gradient", 3.0),
        ],
        attempt: &[],
    },
    Case {
        name: "adaptive DP5",
        source: plain_mlp,
        builder: || builder("dp5").adaptive(Adaptive::new(1e-2, 1e-3)),
        evaluation: &[("dense_tail", 1.0), ("dense_gradient", 1.0)],
        attempt: &[("batch_rows", 1.0), ("gather_floats", 1.0)],
    },
    Case {
        name: "RKC2 with an estimated radius",
        source: plain_mlp,
        builder: || builder("rkc2:stages=4"),
        evaluation: &[("dense_tail", 1.0), ("dense_gradient", 1.0)],
        attempt: &[("batch_rows", 1.0), ("gather_floats", 1.0)],
    },
];

/// The device counts gradients; the plan, which knows no device, kutta's own dispatches; and
/// what a model dispatches for a gradient stands in the cases.
#[test]
fn every_dispatch_is_there_as_often_as_it_is_dispatched() {
    for gpu in timed() {
        for Case { name, source, builder, evaluation, attempt } in &CASES {
            // ρ is renewed in every 25th.
            let attempts = if name.starts_with("RKC2") { 36 } else { 8 };
            let (mut source, start) = source(gpu);
            let mut optimizer = build(gpu, builder(), &source, &start);
            // The opening is no part of what is profiled, also where nothing ran before it.
            if !name.starts_with("RKC2") {
                optimizer.run(&mut &mut *source, 3).unwrap();
            }
            optimizer.wait().unwrap();
            let before = optimizer.evaluations();
            let profile = optimizer.profile(&mut &mut *source, attempts).unwrap();
            let counted = (optimizer.evaluations() - before) as f64;
            // The opening of RKC2 has evaluated too.
            let opening = optimizer.plan().opening().iter().filter(|op| evaluates(op)).count();
            let opening = if before == 0 { opening as f64 } else { 0.0 };
            let evaluations = (counted - opening) / attempts as f64;
            assert_eq!(profile.attempts(), attempts, "{name}");
            let mut found = often(&profile);
            for (kernel, times) in *evaluation {
                let found = found.remove(kernel).unwrap_or(0.0);
                let expected = times * evaluations;
                assert!(close(found, expected), "{name}: {kernel} {found}, not {expected}");
            }
            for (kernel, times) in *attempt {
                let found = found.remove(kernel).unwrap_or(0.0);
                assert!(close(found, *times), "{name}: {kernel} {found}, not {times}");
            }
            let trace: Value = serde_json::from_str(&profile.trace()).unwrap();
            let submits = events(&trace).filter(|e| e["name"] == "submit").count();
            let begins = found.remove("begin").unwrap_or(0.0) * attempts as f64;
            assert!(close(begins, submits as f64), "{name}: {begins} of {submits} submits");
            // What is left is the plan's.
            // With several batches no gradient serves the next attempt too.
            let unused = |op: &&Op| evaluates(op) || matches!(op, Op::Commit { reuses: true, .. });
            let own = |ops: &[Op]| ops.iter().filter(|op| !unused(op)).count() as f64;
            let plan = optimizer.plan();
            let (usual, renewing) = (own(plan.ops()), own(plan.renewing()));
            let expected = if plan.renewing().is_empty() {
                usual
            } else {
                // ρ is renewed in some; the device's count of gradients tells in how many.
                let gradients = |ops: &[Op]| ops.iter().filter(|op| evaluates(op)).count() as f64;
                let [least, most] = [plan.ops(), plan.renewing()].map(gradients);
                let part = (evaluations - least) / (most - least);
                assert!(part > 0.0 && part < 0.2, "{name}: {part} of the attempts renew ρ");
                // The vector that begins the iteration has its padding cleared, once.
                let cleared = found.remove("clear_padding").unwrap_or(0.0);
                assert!(close(cleared, part), "{name}: {cleared} times, not {part}");
                usual + part * (renewing - usual)
            };
            let all: f64 = found.values().sum();
            assert!(close(all, expected), "{name}: {all}, not {expected}: {found:?}");
            assert_eq!(found["verdict"], 1.0, "{name}");
            let shares: f64 = profile.rows().iter().map(|row| row.share).sum();
            assert!(close(shares, 1.0), "{name}: {shares}");
            for row in profile.rows() {
                assert!(row.p10 <= row.median && row.median <= row.p90, "{name}: {row:?}");
                assert!(row.workgroups.is_some_and(|g| g.iter().all(|&n| n > 0)), "{row:?}");
            }
        }
    }
}

fn evaluates(op: &Op) -> bool {
    matches!(op, Op::Evaluate { .. })
}

fn events(trace: &Value) -> impl Iterator<Item = &Value> {
    trace["traceEvents"].as_array().unwrap().iter()
}

/// Who takes part in what: everything but what the host happens to know when.
type Told = (Vec<Report>, Vec<u32>);

fn told(optimizer: &mut Optimizer) -> Told {
    optimizer.wait().unwrap();
    let theta = optimizer.params().read().unwrap();
    (optimizer.reports(), theta.iter().map(|x| x.to_bits()).collect())
}

#[test]
fn a_profile_changes_no_bit() {
    let automatic = || {
        let tolerance = Adaptive::new(1e-2, 1e-3);
        Optimizer::builder("dp5".parse::<Method>().unwrap()).adaptive(tolerance)
    };
    let all: Made = |gpu| {
        let field = field(gpu, Points::All);
        let start = field.initial(2);
        (Box::new(field), start)
    };
    let cases: [(&str, Made, Builder); 7] = [
        ("rk4", CASES[0].source, builder("rk4")),
        ("adam", CASES[1].source, (CASES[0].builder)()),
        ("fresh batches", CASES[2].source, builder("heun")),
        // One gradient serves two attempts, and the first h is estimated.
        ("reused", all, automatic()),
        ("stages by the radius", CASES[0].source, builder("rkc2")),
        ("curvature", CASES[0].source, {
            builder("heun").step_size("dal:p=1,from=stages".parse().unwrap())
        }),
        ("waiting", CASES[0].source, builder("rk4").pace(Pace::Wait)),
    ];
    for (gpu, first) in timed().iter().zip([true, false]) {
        for (name, source, builder) in &cases {
            if !first && !["reused", "stages by the radius"].contains(name) {
                continue;
            }
            let mut results = [true, false].map(|profiles| {
                let (mut source, start) = source(gpu);
                let mut optimizer = build(gpu, builder.clone(), &source, &start);
                let source = &mut &mut *source;
                // Where nothing ran before, the opening comes with the profile.
                if first {
                    optimizer.run(source, 3).unwrap();
                }
                if profiles {
                    optimizer.profile(source, 5).unwrap();
                } else {
                    optimizer.wait().unwrap();
                    optimizer.run(source, 5).unwrap();
                    optimizer.wait().unwrap();
                }
                optimizer.run(source, 21).unwrap();
                told(&mut optimizer)
            });
            let attempts = if first { 29 } else { 26 };
            assert_eq!(results[0].0.len(), attempts, "{name}");
            let [with, without] = &mut results;
            assert_eq!(with.0, without.0, "{name}: reports");
            assert!(with.1 == without.1, "{name}: θ is another one");
        }
    }
}

/// A gradient in parts, of kernels that kutta knows nothing of.
struct Splats {
    unlabelled: bool,
    submits: bool,
    spare: wgpu::Buffer,
}

const COPY: Kernel = Kernel {
    name: "copy_of_a_test",
    text: &["@group(0) @binding(0) var<storage, read> point: array<f32>;
        @group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
        @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if id.x < arrayLength(&gradient) { gradient[id.x] = point[id.x]; }
        }"],
    bindings: &[("point", Access::Read), ("gradient", Access::Write)],
    vectors: &[],
    structs: &[],
};

impl Splats {
    fn new(gpu: &Gpu) -> Self {
        let spare = gpu.buffer("spare", 256, wgpu::BufferUsages::COPY_DST).unwrap();
        Self { unlabelled: false, submits: false, spare }
    }

    fn copy(at: &mut Evaluation<'_>, times: usize) {
        let gpu = at.gpu().clone();
        let copy = gpu.pipeline(&COPY, &vec![]);
        let point = at.point().buffer().as_entire_binding();
        let group = copy.bind(&gpu, &[point, at.gradient().buffer().as_entire_binding()]);
        for _ in 0..times {
            let pass = at.pass();
            pass.set_pipeline(copy.pipeline());
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(1, 1, 1);
        }
    }
}

impl GradientSource for Splats {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        if self.submits {
            let (gpu, from) = (at.gpu().clone(), at.point().buffer().clone());
            let mut encoder = gpu.device().create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(&from, 0, at.gradient().buffer(), 0, 256);
            gpu.queue().submit([encoder.finish()]);
            return Ok(());
        }
        if self.unlabelled {
            Self::copy(at, 2);
            return Ok(());
        }
        at.label("splat forward");
        Self::copy(at, 1);
        at.label("splat \"backward\"\n");
        Self::copy(at, 3);
        at.label("");
        let spare = self.spare.clone();
        at.encoder().clear_buffer(&spare, 0, None);
        at.encoder().clear_buffer(&spare, 0, None);
        Self::copy(at, 1);
        // It lasts until the evaluation ends, and not into what kutta dispatches then.
        at.label("last");
        at.encoder().clear_buffer(&spare, 0, None);
        Ok(())
    }

    fn submits(&self) -> bool {
        self.submits
    }
}

fn labels(profile: &Profile) -> Vec<(&str, f64)> {
    let unseen = profile.rows().iter().filter(|row| row.workgroups.is_none());
    unseen.map(|row| (row.label.as_str(), row.per_attempt)).collect()
}

#[test]
fn a_source_names_its_parts() {
    for gpu in timed() {
        let layout = kutta::ParamLayout::flat(64).unwrap();
        let start = noise(64, 5);
        let heun = || builder("heun").build(gpu, &layout, &start).unwrap();
        let mut source = Splats::new(gpu);
        let mut optimizer = heun();
        let profile = optimizer.profile(&mut source, 6).unwrap();
        // Unlabelled, it has the encoder and then the pass.
        let expected =
            [("splat forward", 2.0), ("splat \"backward\"\n", 2.0), ("source", 4.0), ("last", 2.0)];
        assert_eq!(labels(&profile), expected);
        let own: f64 = often(&profile)
            .iter()
            .filter(|(label, _)| !expected.iter().any(|(name, _)| name == *label))
            .map(|(_, times)| times)
            .sum();
        assert!(close(own, optimizer.dispatches_per_attempt() as f64 + 1.0 / 6.0), "{own}");
        assert!(profile.rows().iter().all(|row| !row.label.contains('/')), "{profile}");
        let table = profile.to_string();
        assert!(table.contains("\nsplat \"backward\"\\n "), "{table}");
        trace_is_sound(&profile);

        source.unlabelled = true;
        let profile = optimizer.profile(&mut source, 3).unwrap();
        assert_eq!(labels(&profile), [("source", 2.0)]);

        source.submits = true;
        let profile = optimizer.profile(&mut source, 3).unwrap();
        assert_eq!(labels(&profile), [("source", 2.0)]);
        trace_is_sound(&profile);
        // All this has followed θ̇ = −θ.
        let factor = (1.0 - 0.05 + 0.05f64.powi(2) / 2.0).powi(12);
        let expected: Vec<f64> = start.iter().map(|&x| f64::from(x) * factor).collect();
        assert!(common::relative(&optimizer.params().read().unwrap(), &expected) < 1e-5);
    }
}

/// Kutta's kernels keep their names under a label of a wrapper, which a wrapper of kutta's
/// in between does not end.
#[test]
fn kernels_keep_their_names_under_a_label() {
    struct Outer(PerStage<Mlp>);
    impl GradientSource for Outer {
        fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
            at.label("outer");
            self.0.evaluate(at)?;
            at.pass();
            Ok(())
        }
    }
    let gpu = &timed()[0];
    let mlp = mlp(gpu);
    let (layout, start) = (mlp.layout().clone(), mlp.initial(1));
    let mut source = Outer(PerStage::new(gpu, mlp).unwrap());
    let mut optimizer = builder("heun").build(gpu, &layout, &start).unwrap();
    let profile = optimizer.profile(&mut source, 2).unwrap();
    let often = often(&profile);
    for label in ["outer/stage_batch", "outer/batch_rows", "outer/dense_tail", "outer"] {
        assert_eq!(often.get(label), Some(&2.0), "{label}: {often:?}");
    }
    assert_eq!(often["verdict"], 1.0);
}

/// Complete events that lie in each other or apart, on each track; the device after the host.
fn trace_is_sound(profile: &Profile) {
    let text = profile.trace();
    let trace: Value = serde_json::from_str(&text).unwrap();
    // Begin, end and name of what is on each.
    type Track<'a> = Vec<(u64, u64, &'a str)>;
    let mut tracks: BTreeMap<(u64, u64), Track<'_>> = BTreeMap::new();
    let mut named = Vec::new();
    // Nanoseconds, so that nothing is rounded.
    let nanos = |value: &Value| (value.as_f64().unwrap() * 1000.0).round() as u64;
    for event in events(&trace) {
        let place = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        let name = event["name"].as_str().unwrap();
        match event["ph"].as_str().unwrap() {
            "M" => named.push((place.0, name, event["args"]["name"].as_str().unwrap())),
            "X" => {
                let (ts, dur) = (nanos(&event["ts"]), nanos(&event["dur"]));
                assert!(event["cat"].is_string(), "{event}");
                tracks.entry(place).or_default().push((ts, ts + dur, name));
            }
            other => panic!("no event of kind {other}"),
        }
    }
    assert_eq!(named.len(), 4, "{named:?}");
    assert_eq!(tracks.len(), 2);
    for track in tracks.values_mut() {
        // The longer of two that begin together is around the other.
        track.sort_by_key(|&(begin, end, _)| (begin, std::cmp::Reverse(end)));
        let mut around: Vec<u64> = Vec::new();
        for &(begin, end, name) in track.iter() {
            while around.last().is_some_and(|&last| last <= begin) {
                around.pop();
            }
            assert!(around.iter().all(|&last| end <= last), "{name} ends behind what it is in");
            around.push(end);
        }
    }
    let (host, device) = (&tracks[&(1, 1)], &tracks[&(2, 1)]);
    for what in ["record", "submit", "wait"] {
        assert!(host.iter().any(|(.., name)| *name == what), "the host never did `{what}`");
    }
    let submit = host.iter().find(|(.., name)| *name == "submit").unwrap();
    assert!(device[0].0 >= submit.0, "the device began before the host");
    let attempts = device.iter().filter(|(.., name)| name.starts_with("attempt ")).count();
    assert_eq!(attempts as u64, profile.attempts());
}

#[test]
fn a_trace_has_what_the_table_has_and_its_spans_nest() {
    for gpu in timed() {
        let (mut source, start) = (CASES[2].source)(gpu);
        let mut optimizer = build(gpu, builder("heun").attempts_per_submit(3), &source, &start);
        let profile = optimizer.profile(&mut &mut *source, 8).unwrap();
        trace_is_sound(&profile);
        let trace: Value = serde_json::from_str(&profile.trace()).unwrap();
        let of = |kind: &'static str| events(&trace).filter(move |e| e["cat"] == kind);
        let dispatches: f64 = profile.rows().iter().map(|row| row.per_attempt).sum();
        assert!(close(of("dispatch").count() as f64, 8.0 * dispatches));
        for stage in ["stage 1", "stage 2"] {
            assert_eq!(of("evaluation").filter(|e| e["name"] == stage).count(), 8, "{stage}");
        }
        // Each dispatch of a model lies in an evaluation, each of those in an attempt.
        let extent = |e: &Value| {
            let ts = e["ts"].as_f64().unwrap();
            (ts, ts + e["dur"].as_f64().unwrap())
        };
        let inside = |inner: &Value, kind| {
            let ((a, b), slack) = (extent(inner), 1e-6);
            of(kind).map(extent).any(|(c, d)| c <= a + slack && b <= d + slack)
        };
        for model in of("dispatch").filter(|e| e["name"] == "dense_tail") {
            assert!(inside(model, "evaluation"), "{model}");
            assert!(model["args"]["workgroups"].as_str().unwrap().starts_with('['), "{model}");
        }
        assert!(of("evaluation").all(|evaluation| inside(evaluation, "attempt")));
        let mut kernels = of("dispatch").filter(|e| e["name"] != "begin");
        assert!(kernels.all(|kernel| inside(kernel, "attempt")));
        if profile.stamps() == Stamps::InsidePasses {
            // One timestamp ends a dispatch and begins the next: nothing is between.
            let whole: f64 = of("attempt").map(|e| extent(e).1 - extent(e).0).sum();
            let parts: f64 = of("dispatch")
                .filter(|e| e["name"] != "begin")
                .map(|e| extent(e).1 - extent(e).0)
                .sum();
            assert!((whole - parts).abs() < 0.01 * whole, "{parts} of {whole} µs");
        }
    }
}

/// The table is held against the trace to the nanosecond, and the trace against the host's clock
/// during the same attempts: they take no longer than the host waited for them, and at least a
/// fifth of that, the rest being changes of thread on cores that a software adapter shares with
/// other tests. Steps before or after would be no measure there: they differ by factors. Medians
/// sum up to less than a step wherever now and then something is slow.
#[test]
fn rows_are_those_of_the_trace_and_its_attempts_take_what_a_step_takes() {
    for gpu in timed() {
        let inputs = Inputs::F32(noise(64 * 256, 3));
        let labels = (0..256).map(|i| (i % 10) as u8).collect();
        let targets = Targets::Labels { labels, classes: 10 };
        let batches = Batches::new(Samples::new(inputs, 64, targets).unwrap(), 128).unwrap();
        let mut mlp = Mlp::classifier(gpu, &[64, 96, 10], batches).unwrap();
        let (layout, start) = (mlp.layout().clone(), mlp.initial(1));
        let mut optimizer = builder("rk4").build(gpu, &layout, &start).unwrap();
        optimizer.run(&mut mlp, 3).unwrap();
        optimizer.wait().unwrap();
        const ATTEMPTS: u64 = 15;
        let profile = optimizer.profile(&mut mlp, ATTEMPTS).unwrap();

        let trace: Value = serde_json::from_str(&profile.trace()).unwrap();
        let took = |event: &Value| event["dur"].as_f64().unwrap();
        let whole: f64 = events(&trace).filter(|e| e["cat"] == "attempt").map(took).sum();
        let whole = whole / ATTEMPTS as f64;
        let host = |name| events(&trace).find(|e| e["name"] == name).unwrap();
        let ts = |event: &Value| event["ts"].as_f64().unwrap();
        let ended = |event: &Value| ts(event) + took(event);
        let waited = ended(host("wait for the last"));
        let last = events(&trace).filter(|e| e["cat"] == "attempt").map(ended);
        let last = last.fold(0.0, f64::max);
        assert!(last <= waited, "the device ended at {last} µs, the host had waited at {waited}");
        let wall = (waited - ts(host("submit"))) / ATTEMPTS as f64;
        println!("{wall:.1} by the host, {whole:.1} by the trace, in µs\n{profile}");
        assert!((0.2..=1.0).contains(&(whole / wall)), "{whole} µs, {wall} by the host");
        for row in profile.rows() {
            let groups = format!("{:?}", row.workgroups.unwrap());
            let is = |e: &&Value| e["name"] == row.label && e["args"]["workgroups"] == groups;
            let mut times: Vec<f64> = events(&trace).filter(is).map(took).collect();
            times.sort_by(f64::total_cmp);
            assert!(close(times.len() as f64, row.per_attempt * ATTEMPTS as f64), "{row:?}");
            let middle = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0;
            let median = (middle - profile.cost()).max(0.0);
            assert!((median - row.median).abs() < 0.01, "{median} µs: {row:?}");
            let above = times.iter().filter(|&&time| time - profile.cost() > row.p90 + 0.01);
            assert!(above.count() <= times.len() / 10 + 1, "{row:?} of {times:?}");
            let below = times.iter().filter(|&&time| time - profile.cost() < row.p10 - 0.01);
            assert!(below.count() <= times.len() / 10 + 1, "{row:?} of {times:?}");
        }
        let sum: f64 = profile.rows().iter().map(|row| row.per_attempt * row.median).sum();
        assert!(close(sum, profile.total()) && sum <= whole, "{sum} of {whole} µs");
        assert!(profile.cost() >= 0.0 && profile.cost() < whole, "{}", profile.cost());
        let table = profile.to_string();
        assert!(table.contains(gpu.info().name.as_str()) && table.contains("less the "), "{table}");
        assert_eq!(table.lines().count(), profile.rows().len() + 4, "{table}");
    }
}

#[test]
fn a_device_without_timestamps_is_told_what_to_ask_for() {
    let adopted = pollster(async {
        let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
        let instance = wgpu::Instance::new(descriptor);
        let adapter = instance.request_adapter(&Default::default()).await.unwrap();
        let (device, queue) = adapter.request_device(&Default::default()).await.unwrap();
        Gpu::adopt(device, queue)
    });
    for gpu in [gpu(), &adopted] {
        let mut source = Analytic::rosenbrock(gpu, 2).unwrap();
        let small = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(1e-3));
        let mut optimizer = small.build(gpu, source.layout(), &[-1.2, 1.0]).unwrap();
        let error = optimizer.profile(&mut source, 3).unwrap_err();
        assert!(matches!(error, Error::Gpu(GpuError::NoTimestamps { .. })), "{error}");
        let message = error.to_string();
        for words in [
            "TIMESTAMP_QUERY",
            "GpuOptions",
            "required_features",
            "INSIDE_PASSES",
            &*gpu.info().name,
        ] {
            assert!(message.contains(words), "{words} is not in {message}");
        }
        // Nothing ran, and it goes on.
        optimizer.run(&mut source, 2).unwrap();
        optimizer.wait().unwrap();
        assert_eq!(optimizer.accepted(), 2);
    }
}

/// Futures that are ready when looked at often enough.
fn pollster<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
}

#[test]
fn what_cannot_be_profiled_is_an_error_and_leaves_an_optimizer_that_goes_on() {
    struct Fails(Splats, u32);
    impl GradientSource for Fails {
        fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
            self.1 += 1;
            match self.1 {
                4 => Err("no gradient today".to_owned().into()),
                11 => panic!("a source that panics"),
                _ => self.0.evaluate(at),
            }
        }
    }
    let gpu = &timed()[0];
    let layout = kutta::ParamLayout::flat(64).unwrap();
    let mut source = Fails(Splats::new(gpu), 0);
    let mut optimizer = builder("euler").build(gpu, &layout, &noise(64, 5)).unwrap();
    for found in [0, 1025] {
        let error = optimizer.profile(&mut source, found).unwrap_err();
        let Error::Optimizer(OptimizerError::Profiled { found: told, most: 1024 }) = error else {
            panic!("{error}");
        };
        assert_eq!(told, found);
    }
    assert_eq!(source.1, 0);
    // The fourth fails; the three before it are done. Nothing is profiled any more, nor after
    // a future that was dropped.
    let error = optimizer.profile(&mut source, 6).unwrap_err();
    assert!(error.to_string().contains("no gradient today"), "{error}");
    let profiled = |optimizer: &Optimizer| !format!("{optimizer:?}").contains("profiling: None");
    assert!(!profiled(&optimizer));
    optimizer.wait().unwrap();
    assert_eq!(optimizer.accepted(), 3);
    let profile = optimizer.profile(&mut source, 2).unwrap();
    assert_eq!((profile.attempts(), optimizer.accepted()), (2, 5));
    let panics = AssertUnwindSafe(|| optimizer.profile(&mut source, 9));
    assert!(catch_unwind(panics).is_err());
    optimizer.run(&mut source, 2).unwrap();
    optimizer.wait().unwrap();
    assert_eq!(optimizer.accepted(), 7);
    assert!(!profiled(&optimizer));
    // By a future, and where time ends in between: at 7 · 0.05 + 2.5 · 0.05.
    optimizer.set_end(Some(0.475)).unwrap();
    let profile = pollster(optimizer.profile_async(&mut source, 9)).unwrap();
    assert_eq!((profile.attempts(), optimizer.accepted()), (3, 10));
    assert_eq!(often(&profile)["splat forward"], 1.0);
    // There is no attempt left.
    let profile = optimizer.profile(&mut source, 9).unwrap();
    assert_eq!((profile.attempts(), profile.rows().len(), profile.total()), (0, 0, 0.0));
    serde_json::from_str::<Value>(&profile.trace()).unwrap();
    assert!(profile.to_string().starts_with("0 attempts on "), "{profile}");
    optimizer.set_end(None).unwrap();
    for looks in 1..200 {
        let ended = {
            let mut future = std::pin::pin!(optimizer.profile_async(&mut source, 1));
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            (0..looks).any(|_| future.as_mut().poll(&mut context).is_ready())
        };
        assert!(!profiled(&optimizer));
        optimizer.run(&mut source, 1).unwrap();
        if ended {
            return;
        }
    }
    panic!("a profile takes more than 200 looks");
}
