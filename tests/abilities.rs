//! What a source is able to do is said once, by the source: builders ask it, wrappers pass on
//! what stays true, and a source that is able to do less is refused before any work.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Able, adding, gpu, writing};
use kutta::batching::{Accumulated, PerStage};
use kutta::error::OptimizerError;
use kutta::models::Analytic;
use kutta::optimizer::Builder;
use kutta::{
    Adaptive, Error, Evaluation, Gpu, GradientSource, Guard, Init, Method, Optimizer, ParamLayout,
    SourceError, StepSize, Storage, Stored, wgpu,
};

const START: [f32; 2] = [-1.2, 1.0];

fn problem() -> Analytic {
    Analytic::rosenbrock(gpu(), 2).unwrap()
}

fn layout() -> ParamLayout {
    problem().layout().clone()
}

fn accumulated<S: GradientSource>(source: S, parts: u32) -> Accumulated<S> {
    Accumulated::new(gpu(), source, &layout(), parts).unwrap()
}

fn per_stage<S: GradientSource>(source: S) -> PerStage<S> {
    PerStage::new(gpu(), source).unwrap()
}

fn builder(name: &str) -> Builder {
    let method: Method = name.parse().unwrap();
    Optimizer::builder(method).step_size(StepSize::constant(1e-3))
}

/// Of two registers, with nothing but θ and what its source cannot spare.
fn registers() -> Builder {
    builder("williamson3").guard(Guard::Off)
}

fn narrow(storage: Storage) -> Builder {
    builder("heun").storage(Stored { gradients: storage, ..Stored::default() })
}

fn vectors(builder: &Builder) -> usize {
    builder.requirements(gpu(), &layout()).unwrap().vectors
}

fn bytes(builder: &Builder) -> u64 {
    builder.requirements(gpu(), &ParamLayout::flat(1 << 20).unwrap()).unwrap().bytes
}

/// An analytic problem that counts its gradients.
struct Counting {
    inner: Analytic,
    made: Arc<AtomicU64>,
}

impl Counting {
    fn new() -> (Self, Arc<AtomicU64>) {
        let made = Arc::default();
        (Self { inner: problem(), made: Arc::clone(&made) }, made)
    }
}

impl GradientSource for Counting {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.inner.evaluate(at)
    }

    fn adds(&self) -> bool {
        self.inner.adds()
    }

    fn writes(&self, storage: Storage) -> bool {
        self.inner.writes(storage)
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.inner.gpu()
    }
}

#[test]
fn a_builder_asks_its_source_in_whatever_order_options_are_given() {
    assert_eq!(vectors(&registers()), 3);
    assert_eq!(vectors(&registers().source(&adding(true))), 2);
    assert_eq!(vectors(&registers().source(&problem())), 2);
    // The last one that was asked counts.
    assert_eq!(vectors(&registers().source(&problem()).source(&adding(false))), 3);
    for storage in [Storage::F16, Storage::Bf16] {
        let packs = bytes(&narrow(storage));
        assert!(bytes(&narrow(storage).source(&writing(true))) < packs);
        assert_eq!(bytes(&narrow(storage).source(&writing(false))), packs);
        let stored = Stored { gradients: storage, ..Stored::default() };
        assert!(bytes(&builder("heun").source(&writing(true)).storage(stored)) < packs);
    }
}

/// Writes bf16 and no other narrow format.
struct OneFormat;

impl GradientSource for OneFormat {
    fn evaluate(&mut self, _: &mut Evaluation<'_>) -> Result<(), SourceError> {
        Err(SourceError::new("it has abilities and no gradients"))
    }

    fn writes(&self, storage: Storage) -> bool {
        storage != Storage::F16
    }
}

#[test]
fn a_source_is_asked_about_the_format_that_gradients_are_stored_in() {
    for (storage, spares) in [(Storage::F16, false), (Storage::Bf16, true)] {
        let with = bytes(&narrow(storage).source(&OneFormat));
        assert_eq!(with < bytes(&narrow(storage)), spares, "{storage}");
    }
}

#[test]
fn a_method_that_has_no_use_for_an_ability_does_without() {
    for name in ["euler", "rk4", "dp5", "rdpk3sp35", "rkc2:stages=4"] {
        let plain = builder(name).build(gpu(), &layout(), &START).unwrap();
        let able = Able { adds: true, narrow: true, ..Able::default() };
        let asked = builder(name).source(&able).build(gpu(), &layout(), &START).unwrap();
        assert_eq!(plain.plan().to_string(), asked.plan().to_string(), "{name}");
    }
}

#[test]
fn wrappers_pass_on_what_stays_true_under_them() {
    let says = |source: &dyn GradientSource| {
        [source.adds(), source.writes(Storage::F16), source.writes(Storage::F32)]
    };
    let able = Able { adds: true, narrow: true, ..Able::default() };
    let none = Able::default();
    // Every stage is evaluated into the buffer that the optimizer gave.
    assert_eq!(says(&per_stage(able)), [true, true, true]);
    assert_eq!(says(&per_stage(none)), [false, false, true]);
    // Micro-batches are added up beside it, in f32.
    assert_eq!(says(&accumulated(able, 3)), [false, false, true]);
    assert_eq!(says(&per_stage(accumulated(able, 3))), [false, false, true]);
    assert_eq!(says(&accumulated(per_stage(able), 3)), [false, false, true]);
    assert_eq!(says(&(&mut per_stage(able))), [true, true, true]);
    // A sum of micro-batches is looked at where it is made, whatever its source does.
    let five = Able { checks: 5, ..none };
    let checks = |source: &dyn GradientSource| source.checks();
    assert_eq!([checks(&per_stage(five)), checks(&(&mut per_stage(five)))], [5, 5]);
    assert_eq!(per_stage(none).checks(), 0);
    let sums = [accumulated(none, 3).checks(), accumulated(five, 3).checks()];
    assert!(sums[0] > 0 && sums[0] == sums[1], "{sums:?}");
    // But not where numbers may lie in padding.
    let two = ParamLayout::builder().tensor("a", &[5], Init::Zeros).tensor("b", &[7], Init::Zeros);
    let two = two.build().unwrap();
    assert_eq!(Accumulated::new(gpu(), none, &two, 3).unwrap().checks(), 0);
}

/// θ after some steps of Williamson's third-order method, in f64.
fn williamson(steps: usize, h: f64) -> [f64; 2] {
    let (a, b) = ([0.0, -5.0 / 9.0, -153.0 / 128.0], [1.0 / 3.0, 15.0 / 16.0, 8.0 / 15.0]);
    let mut theta = START.map(f64::from);
    for _ in 0..steps {
        let mut register = [0.0; 2];
        for (a, b) in a.iter().zip(b) {
            let [x, y] = theta;
            let gradient = [-2.0 * (1.0 - x) - 400.0 * x * (y - x * x), 200.0 * (y - x * x)];
            for i in 0..2 {
                register[i] = a * register[i] - h * gradient[i];
                theta[i] += b * register[i];
            }
        }
    }
    theta
}

fn after(builder: Builder, source: &mut impl GradientSource) -> Vec<f32> {
    let mut optimizer = builder.source(source).build(gpu(), &layout(), &START).unwrap();
    optimizer.run(source, 20).unwrap();
    optimizer.params().read().unwrap()
}

#[test]
fn a_wrapped_source_that_adds_steps_as_the_method_says() {
    let expected = williamson(20, 1e-3);
    let mut accumulates = accumulated(problem(), 3);
    let mut both = per_stage(accumulated(problem(), 2));
    let mut other = accumulated(per_stage(problem()), 2);
    for (name, found) in [
        ("alone", after(registers(), &mut problem())),
        ("per stage", after(registers(), &mut per_stage(problem()))),
        ("guarded", after(builder("williamson3"), &mut per_stage(problem()))),
        ("accumulated", after(registers(), &mut accumulates)),
        ("per stage, accumulated", after(registers(), &mut both)),
        ("accumulated, per stage", after(registers(), &mut other)),
    ] {
        for (found, expected) in found.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{name}: {found} {expected}");
        }
    }
}

#[test]
fn narrow_gradients_of_a_wrapped_source_are_those_of_the_source() {
    for storage in [Storage::F16, Storage::Bf16] {
        let packed = {
            let mut optimizer = narrow(storage).build(gpu(), &layout(), &START).unwrap();
            optimizer.run(&mut problem(), 20).unwrap();
            optimizer.params().read().unwrap()
        };
        assert_eq!(after(narrow(storage), &mut problem()), packed);
        assert_eq!(after(narrow(storage), &mut per_stage(problem())), packed);
        // The mean of two equal gradients is either.
        assert_eq!(after(narrow(storage), &mut accumulated(problem(), 2)), packed);
        assert_eq!(after(narrow(storage), &mut per_stage(accumulated(problem(), 2))), packed);
        assert_eq!(after(narrow(storage), &mut accumulated(per_stage(problem()), 2)), packed);
    }
}

#[test]
fn a_source_of_less_ability_is_refused_before_any_work() {
    let is_adding = |error: &Error| matches!(error, Error::Optimizer(OptimizerError::NotAdding));
    let is_narrow = |error: &Error| {
        matches!(error, Error::Optimizer(OptimizerError::NotNarrow { storage: Storage::F16 }))
    };
    type Refused<'a> = &'a dyn Fn(&Error) -> bool;
    let cases: [(Builder, Refused<'_>); 2] =
        [(registers(), &is_adding), (narrow(Storage::F16), &is_narrow)];
    for (builder, is_right) in cases {
        let build = || builder.clone().source(&problem()).build(gpu(), &layout(), &START).unwrap();
        // What adds micro-batches up is able to do neither.
        let (inner, made) = Counting::new();
        let mut lesser = accumulated(inner, 2);
        let mut optimizer = build();
        let mut encoder = gpu()
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("a host's") });
        let errors = [
            optimizer.step(&mut lesser).unwrap_err(),
            optimizer.run(&mut lesser, 40).unwrap_err(),
            optimizer.run_accepted(&mut lesser, 1).unwrap_err(),
            optimizer.run_until(&mut lesser, 0.1).unwrap_err(),
            optimizer.measure(&mut lesser).unwrap_err(),
            optimizer.record(&mut encoder, &mut lesser).unwrap_err(),
        ];
        for error in errors {
            assert!(is_right(&error), "{error}");
            assert!(error.to_string().contains("`.source(&source)`"), "{error}");
        }
        optimizer.wait().unwrap();
        assert_eq!((made.load(Ordering::Relaxed), optimizer.reports().len()), (0, 0));
        assert_eq!(optimizer.params().read().unwrap(), START);
        // One that is as able goes on as if nothing had been.
        optimizer.run(&mut per_stage(problem()), 5).unwrap();
        let mut straight = build();
        straight.run(&mut problem(), 5).unwrap();
        let [a, b] = [&optimizer, &straight].map(|optimizer| optimizer.params().read().unwrap());
        assert_eq!(a, b);
        // And the remedy works.
        let mut optimizer = builder.source(&lesser).build(gpu(), &layout(), &START).unwrap();
        optimizer.run(&mut lesser, 5).unwrap();
    }
}

#[test]
fn gradients_are_counted_as_the_source_made_them() {
    fn check(name: &str, parts: u64, made: &AtomicU64, mut source: impl GradientSource) {
        let adaptive = Adaptive::new(1e-3, 1e-5);
        let builder = Optimizer::builder("dp5".parse::<Method>().unwrap()).adaptive(adaptive);
        let mut optimizer = builder.source(&source).build(gpu(), &layout(), &START).unwrap();
        optimizer.run(&mut source, 10).unwrap();
        optimizer.measure(&mut source).unwrap();
        optimizer.run_until(&mut source, 0.05).unwrap();
        optimizer.wait().unwrap();
        let (evaluations, made) = (optimizer.evaluations(), made.load(Ordering::Relaxed));
        assert_eq!(source.gradients(evaluations), made, "{name}");
        assert_eq!(evaluations * parts, made, "{name}");
    }
    let (source, made) = Counting::new();
    check("alone", 1, &made, source);
    let (source, made) = Counting::new();
    check("per stage", 1, &made, per_stage(source));
    let (source, made) = Counting::new();
    check("accumulated", 3, &made, accumulated(source, 3));
    let (source, made) = Counting::new();
    check("per stage, accumulated", 3, &made, per_stage(accumulated(source, 3)));
    let (source, made) = Counting::new();
    check("accumulated, per stage", 3, &made, accumulated(per_stage(source), 3));
    let (source, made) = Counting::new();
    check("twice accumulated", 6, &made, accumulated(accumulated(source, 3), 2));
    let (mut source, made) = Counting::new();
    check("borrowed", 2, &made, accumulated(&mut source, 2));
}
