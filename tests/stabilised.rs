//! Stabilised and low-storage methods on the device: how far they are stable, how
//! many stages they take, and what they do where the spectral radius is odd.

mod common;

use std::collections::BTreeMap;

use common::{Planted, adding, default_limits_gpu, gpu, noise, relative, writing};
use kutta::device::{Access, Kernel};
use kutta::error::{OptimizerError, PlanError};
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook};
use kutta::tableau::{Family, Stabilised, Stages};
use kutta::{
    Adaptive, BatchesFrom, Error, Evaluation, Fallback, Fusion, GradientSource, Guard, Ingredients,
    Method, Momentum, Optimizer, Preconditioner, Purpose, Report, SourceError, SpectralRadius,
    StepSize, Storage, Stored, Verdict,
};

/// So small that no step is bounded by it.
const UNBOUNDED: SpectralRadius = SpectralRadius::Given(1e-20);

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

fn fixed(family: Family, stages: u32) -> Method {
    Stabilised::new(family, Stages::Fixed(stages)).unwrap().into()
}

fn wide(theta: &[f32]) -> Vec<f64> {
    theta.iter().map(|&x| f64::from(x)).collect()
}

/// θ after one step of size 1 from 1 on ½ Σ λ θ²: R(−λ).
fn factors(method: &Method, eigenvalues: &[f64]) -> Vec<f32> {
    let problem = Problem::quadratic(eigenvalues).unwrap();
    let mut source = Analytic::new(gpu(), &problem, eigenvalues.len()).unwrap();
    let mut optimizer = Optimizer::builder(method.clone())
        .spectral_radius(UNBOUNDED)
        .step_size(StepSize::constant(1.0))
        .build(gpu(), source.layout(), &vec![1.0; eigenvalues.len()])
        .unwrap();
    optimizer.step(&mut source).unwrap();
    optimizer.params().read().unwrap()
}

#[test]
fn one_step_on_a_linear_problem_is_stable_as_far_as_theory_says() {
    let rkc1 = Family::Rkc1 { damping: 0.05 };
    let rkcd = Family::Rkcd { damping: 1.17 };
    let (rkc2, rkl1, rkl2, rock2) = (Family::Rkc2, Family::Rkl1, Family::Rkl2, Family::Rock2);
    // T_s, T'_s and T''_s at ω₀, by hyperbolic functions.
    let chebyshev = |s: u32, w0: f64| {
        let s = f64::from(s);
        let (angle, root) = (s * w0.acosh(), (w0 * w0 - 1.0).sqrt());
        let (t, first) = (angle.cosh(), s * angle.sinh() / root);
        (t, first, (s * s * t - w0 * first) / (w0 * w0 - 1.0))
    };
    let omega = |s: u32| 1.0 + 2.0 / (13.0 * f64::from(s * s));
    let rkc2_limit = |s: u32| {
        let (_, first, second) = chebyshev(s, omega(s));
        (omega(s) + 1.0) * second / first
    };
    // R = a + b P(z) with a polynomial P of Chebyshev or Legendre stays within b of a
    // as far as P within 1.
    let damped = |family: Family, s: u32| match family {
        Family::Rkc1 { damping } | Family::Rkcd { damping } => {
            Some((0.0, 1.0 / chebyshev(s, 1.0 + damping / f64::from(s * s)).0))
        }
        Family::Rkc2 => {
            let (t, first, second) = chebyshev(s, omega(s));
            let b = second / (first * first);
            Some((1.0 - b * t, b))
        }
        Family::Rkl1 => Some((0.0, 1.0)),
        Family::Rkl2 => {
            let s = f64::from(s);
            let b = (s * s + s - 2.0) / (2.0 * s * (s + 1.0));
            Some((1.0 - b, b))
        }
        _ => None,
    };
    let cases = [
        (rkc1, 2, 7.76),
        (rkc1, 5, 48.4),
        (rkc1, 10, 193.6),
        (rkcd, 8, {
            let w0 = 1.0 + 1.17 / 64.0;
            let (t, first, _) = chebyshev(8, w0);
            (1.0 + w0) * first / t
        }),
        (rkc2, 2, rkc2_limit(2)),
        (rkc2, 3, rkc2_limit(3)),
        (rkc2, 10, rkc2_limit(10)),
        (rkc2, 51, rkc2_limit(51)),
        (rkl1, 3, 12.0),
        (rkl1, 7, 56.0),
        (rkl1, 21, 462.0),
        (rkl2, 3, 5.0),
        (rkl2, 7, 27.0),
        (rkl2, 21, 230.0),
        // The table's own values, from its coefficients in f64.
        (rock2, 3, rock2.tableau(3).real_limit()),
        (rock2, 5, rock2.tableau(5).real_limit()),
        (rock2, 24, rock2.tableau(24).real_limit()),
        (rock2, 200, 0.811 * 40000.0 - 1.5),
    ];
    for (family, stages, expected) in cases {
        let n = 20_000;
        // Far beyond, the growth of many stages is more than f32 holds.
        let most = if stages > 50 { 1.02 } else { 1.1 };
        let at = |i: usize| most * expected * (i as f64 + 1.0) / n as f64;
        let eigenvalues: Vec<f64> = (0..n).map(at).collect();
        let found = factors(&fixed(family, stages), &eigenvalues);
        let first = match damped(family, stages) {
            Some((a, b)) => {
                let within = |x: &f32| (f64::from(*x) - a).abs() <= b * (1.0 + 1e-4);
                found.iter().rposition(within)
            }
            // Where |R| touches one, rounding may carry it over.
            None => found.iter().position(|x| x.abs() > 1.0 + 1e-4),
        };
        let Some(first) = first else {
            panic!("{} of {stages} stages: not both stable and not", family.name());
        };
        let limit = at(first);
        assert!(
            (limit / expected - 1.0).abs() < 0.01,
            "{} of {stages} stages: {limit}, not {expected}",
            family.name()
        );
        // What the device fits h to is no further.
        assert!(family.interval(stages) <= limit * 1.002, "{}: {limit}", family.name());
    }
}

#[test]
fn rkcd_contracts_a_whole_spectrum_by_its_bound() {
    // κ = 100, s = 8, η = 1.17: h = (ω₀ − 1)/(ω₁ ℓ) with ℓ = 1.
    let (s, damping): (u32, f64) = (8, 1.17);
    let w0 = 1.0 + damping / f64::from(s * s);
    let angle = f64::from(s) * w0.acosh();
    let (t, first) = (angle.cosh(), f64::from(s) * angle.sinh() / (w0 * w0 - 1.0).sqrt());
    let h = (w0 - 1.0) * first / t;
    let eigenvalues: Vec<f64> = (0..10_000).map(|i| 1.0 + 99.0 * f64::from(i) / 9_999.0).collect();
    let scaled: Vec<f64> = eigenvalues.iter().map(|x| h * x).collect();
    let found = factors(&fixed(Family::Rkcd { damping }, s), &scaled);
    let worst = found.iter().fold(0.0f64, |m, x| m.max(f64::from(x.abs())));
    assert!(worst <= 1.0 / t * (1.0 + 1e-4), "{worst} for {}", 1.0 / t);
    let per_gradient = worst.powf(1.0 / f64::from(s));
    assert!((per_gradient - 0.896).abs() < 1e-3, "{per_gradient}");
    // Beyond L = ℓ 2ω₀/(ω₀ − 1) it grows.
    let beyond = factors(&fixed(Family::Rkcd { damping }, s), &[112.0 * h]);
    assert!(beyond[0].abs() > 1.0, "{beyond:?}");
}

/// Counts what is asked for.
struct Counting {
    inner: Analytic,
    asked: BTreeMap<Purpose, u64>,
    batches: BatchesFrom,
}

impl Counting {
    fn new(problem: &Problem, n: usize, batches: BatchesFrom) -> Self {
        let inner = Analytic::new(gpu(), problem, n).unwrap();
        Self { inner, asked: BTreeMap::new(), batches }
    }

    fn total(&self) -> u64 {
        self.asked.values().sum()
    }
}

impl GradientSource for Counting {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        *self.asked.entry(at.purpose()).or_default() += 1;
        self.inner.evaluate(at)
    }

    fn batches(&self) -> BatchesFrom {
        self.batches
    }
}

#[test]
fn stages_evaluated_are_stages_reported() {
    let problem = Problem::quadratic(&[1.0, 30.0, 100.0]).unwrap();
    for (name, stages) in [
        ("rkc1:stages=1", 1),
        ("rkc1:stages=2", 2),
        ("rkc1:stages=7", 7),
        ("rkc2:stages=2", 2),
        ("rkc2:stages=9", 9),
        ("rkl1:stages=1", 1),
        ("rkl1:stages=9", 9),
        ("rkl2:stages=3", 3),
        ("rkl2:stages=11", 11),
        ("rock2:stages=3", 3),
        ("rock2:stages=24", 24),
        ("rkcd:stages=80", 80),
    ] {
        let method = method(name);
        let pair = method.tableau().b_hat().is_some();
        for adaptive in [false, true].into_iter().filter(|adaptive| pair || !adaptive) {
            for radius in [SpectralRadius::Given(100.0), SpectralRadius::Estimated] {
                let mut source = Counting::new(&problem, 3, BatchesFrom::Device);
                let mut builder = Optimizer::builder(method.clone())
                    .spectral_radius(radius)
                    .step_size(StepSize::constant(1e-3));
                if adaptive {
                    builder = builder.adaptive(Adaptive::new(1e-2, 1e-3));
                }
                let layout = source.inner.layout().clone();
                let mut optimizer = builder.build(gpu(), &layout, &[1.0, -0.5, 2.0]).unwrap();
                let what = format!("{name}, adaptive {adaptive}, {radius:?}");
                // Past the attempts after which ρ is renewed.
                optimizer.run(&mut source, 30).unwrap();
                optimizer.wait().unwrap();
                let reports = optimizer.reports();
                assert_eq!(reports.len(), 30);
                // The estimates of the C's read one gradient more.
                let reads_end = adaptive && !name.starts_with("rock2");
                let own = stages + u32::from(reads_end);
                assert!(reports.iter().all(|r| r.stages == stages), "{what}: {:?}", reports[0]);
                for stage in 1..=own {
                    let asked = source.asked.get(&Purpose::Stage(stage)).copied().unwrap_or(0);
                    // The first stage is also evaluated in an opening.
                    let expected = if stage == 1 { 30..=33 } else { 30..=30 };
                    assert!(expected.contains(&asked), "{what}: stage {stage} {asked} times");
                }
                assert!(!source.asked.contains_key(&Purpose::Stage(own + 1)), "{what}");
                let powers = source.asked.get(&Purpose::Power).copied().unwrap_or(0);
                assert_eq!(powers > 0, radius == SpectralRadius::Estimated, "{what}");
                let counted = optimizer_evaluations(&reports);
                assert_eq!(counted, source.total(), "{what}: {:?}", source.asked);
            }
        }
    }
}

fn optimizer_evaluations(reports: &[Report]) -> u64 {
    reports.last().map_or(0, |report| report.evaluations)
}

/// Spectrum up to 1000.
fn stiff(n: usize) -> (Problem, Vec<f32>) {
    let at = |i: usize| 1000f64.powf(i as f64 / (n - 1) as f64);
    (Problem::quadratic(&(0..n).map(at).collect::<Vec<_>>()).unwrap(), noise(n, 4))
}

#[test]
fn stages_follow_a_step_that_grows_and_shrinks_ten_thousandfold() {
    let (problem, start) = stiff(257);
    // h ρ from 1 to 10⁴ and back.
    let up = StepSize::exponential(1e-3, 10.0, 30);
    let schedule = up.then(120, &StepSize::exponential(10.0, 0.1, 30));
    for name in ["rkc1", "rkcd", "rkc2", "rkl1", "rkl2", "rock2:most=200"] {
        for radius in [SpectralRadius::Given(1000.0), SpectralRadius::Estimated] {
            let run = || {
                let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
                let mut optimizer = Optimizer::builder(method(name))
                    .spectral_radius(radius)
                    .step_size(schedule.clone())
                    .build(gpu(), source.layout(), &start)
                    .unwrap();
                optimizer.run(&mut source, 240).unwrap();
                optimizer.wait().unwrap();
                (optimizer.params().read().unwrap(), optimizer.reports())
            };
            let (theta, reports) = run();
            let Method::Stabilised(stabilised) = method(name) else { panic!("{name}") };
            let family = stabilised.family();
            for report in &reports {
                assert_eq!(report.verdict, Verdict::Accepted);
                let rho = match radius {
                    SpectralRadius::Given(rho) => rho,
                    _ => f64::from(report.spectral_radius.unwrap()),
                };
                assert!((rho / 1000.0 - 1.0).abs() < 0.1, "{name}: ρ = {rho}");
                let bound = family.interval(report.stages);
                assert!(f64::from(report.h) * rho <= bound * 1.0001, "{name}: {report:?}");
            }
            let stages = |at: usize| reports[at].stages;
            let least = family.admissible(2).unwrap();
            let most = reports.iter().map(|r| r.stages).max().unwrap();
            assert!(stages(0) <= least + 2 && stages(239) <= least + 2, "{name}: {}", stages(0));
            assert!(most > 70, "{name}: {most}");
            // Where h stays put for a while, it is the one asked for.
            let asked = schedule.at(239);
            let h = f64::from(reports[239].h);
            assert!((h / asked - 1.0).abs() < 1e-5, "{name}: {h}, not {asked}");
            // At the top, h is bounded for two submits at the most.
            let whole =
                reports.iter().filter(|r| f64::from(r.h) > 0.999 * schedule.at(r.accepted - 1));
            let whole = whole.count();
            assert!(whole > 200, "{name}: only {whole} steps of 240 have the size asked for");
            let largest = theta.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            assert!(largest < 1e-3, "{name}: {largest}");
            let again = run();
            assert_eq!(theta, again.0, "{name}, {radius:?}: another run, other bits");
        }
    }
}

#[test]
fn adaptive_steps_of_stabilised_methods_are_the_textbooks() {
    let (problem, start) = stiff(131);
    let recipes = [
        Ingredients::default(),
        Ingredients { momentum: Momentum::heavy_ball(0.5), ..Default::default() },
        Ingredients {
            preconditioner: Preconditioner::adagrad_rescaled(),
            weight_decay: 0.01,
            clip: Some(50.0),
            ..Default::default()
        },
        Ingredients {
            preconditioner: Preconditioner::adam(0.99, 1e-2),
            momentum: Momentum::ema(0.9),
            ..Default::default()
        },
    ];
    let names =
        ["rkc2:stages=2", "rkc2:stages=7", "rkl2:stages=5", "rock2:stages=3", "rock2:stages=6"];
    for name in names.into_iter().chain(["rdpk3sp35", "rdpk3sp49", "rdpk3sp510"]) {
        let method = method(name);
        for recipe in recipes {
            let adaptive = Adaptive::new(1e-3, 1e-4).for_method(&method);
            let recipe = Ingredients { adaptive: Some(adaptive), radius: UNBOUNDED, ..recipe };
            let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
            let mut optimizer = Optimizer::builder(method.clone())
                .ingredients(recipe)
                .step_size(StepSize::constant(1e-3))
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 20).unwrap();
            optimizer.wait().unwrap();
            let mut book = textbook::Trainer::new(method.tableau(), recipe, &wide(&start));
            let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
            let mut history = kutta::ingredients::History::default();
            let order = optimizer.plan().error_order();
            let mut wanted: Option<f64> = None;
            for report in optimizer.reports() {
                let what = format!("{name} {recipe:?} {report:?}");
                let h = f64::from(report.h);
                assert!(wanted.is_none_or(|w| (h / w - 1.0).abs() < 5e-3), "{what}: {wanted:?}");
                let error = book.attempt(h, &mut gradient).unwrap();
                let found = f64::from(report.error.unwrap());
                // What θ − θ' loses is u|θ| in units of the tolerance.
                assert!((found - error).abs() <= 5e-3 * error.max(0.1), "{what}: {error}");
                if (error - 1.0).abs() > 5e-3 {
                    assert_eq!(report.verdict == Verdict::Accepted, error <= 1.0, "{what}");
                }
                wanted = Some(h * adaptive.factor(order, found, &mut history));
            }
            let error = relative(&optimizer.params().read().unwrap(), book.theta());
            assert!(error < 1e-5, "{name} {recipe:?}: {error:e}");
        }
    }
}

#[test]
fn adaptive_runs_choose_stages_and_reach_the_end() {
    let (problem, start) = stiff(131);
    let exact: Vec<f64> = {
        let at =
            |(i, x): (usize, &f32)| f64::from(*x) * (-(1000f64.powf(i as f64 / 130.0)) * 0.5).exp();
        start.iter().enumerate().map(at).collect()
    };
    for name in ["rkc2", "rkl2", "rock2"] {
        for first in [None, Some(StepSize::constant(1e-4))] {
            let run = || {
                let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
                let mut builder =
                    Optimizer::builder(method(name)).adaptive(Adaptive::new(1e-2, 1e-3));
                if let Some(first) = &first {
                    builder = builder.step_size(first.clone());
                }
                let mut optimizer = builder.build(gpu(), source.layout(), &start).unwrap();
                optimizer.run_until(&mut source, 0.5).unwrap();
                let theta = optimizer.params().read().unwrap();
                (theta, optimizer.time(), optimizer.reports())
            };
            let (theta, time, reports) = run();
            assert_eq!(time, 0.5);
            let error = relative(&theta, &exact);
            assert!(error < 5e-2, "{name}: {error:e}");
            let stages: Vec<u32> = reports.iter().map(|r| r.stages).collect();
            assert!(stages.iter().max() > stages.iter().min(), "{name}: {:?}", stages.iter().max());
            let evaluations = optimizer_evaluations(&reports);
            // Of Heun's steps stability alone would want 500 gradients and more.
            assert!(evaluations < 300, "{name}: {evaluations}");
            assert_eq!(theta, run().0, "{name}: another run, other bits");
        }
    }
}

fn estimated(problem: &Problem, n: usize, recipe: Ingredients, attempts: u64) -> Vec<Report> {
    let mut source = Analytic::new(gpu(), problem, n).unwrap();
    let mut optimizer = Optimizer::builder(method("rkc1:stages=4"))
        .ingredients(recipe)
        .step_size(StepSize::constant(1e-4))
        .build(gpu(), source.layout(), &noise(n, 8))
        .unwrap();
    optimizer.run(&mut source, attempts).unwrap();
    optimizer.wait().unwrap();
    optimizer.reports()
}

#[test]
fn the_spectral_radius_is_found() {
    for n in [3usize, 64, 1000, 65_537] {
        let eigenvalues: Vec<f64> = noise(n, 3).iter().map(|x| 20.0 * f64::from(x.abs())).collect();
        let largest = eigenvalues.iter().fold(0.0, |m: f64, x| m.max(*x));
        let problem = Problem::quadratic(&eigenvalues).unwrap();
        for report in estimated(&problem, n, Ingredients::default(), 60) {
            let rho = f64::from(report.spectral_radius.unwrap());
            // Enlarged by 1.2 it is a bound; and it never is far above.
            assert!(rho * 1.2 >= largest && rho <= 1.001 * largest, "{n}: {rho}, {largest}");
            assert_eq!(report.fallback, None);
        }
        // D in front of it.
        let preconditioner = Preconditioner::adagrad_rescaled();
        let recipe = Ingredients { preconditioner, ..Ingredients::default() };
        let reports = estimated(&problem, n, recipe, 1);
        let rho = f64::from(reports[0].spectral_radius.unwrap());
        let start = wide(&noise(n, 8));
        let g = problem.gradient(&start);
        let scaled = |(l, g): (&f64, &f64)| l / (1.0 + g * g).sqrt();
        let largest = eigenvalues.iter().zip(&g).map(scaled).fold(0.0, f64::max);
        assert!(rho * 1.2 >= largest && rho <= 1.001 * largest, "{n}: {rho}, {largest} with D");
    }
}

#[test]
fn without_curvature_and_where_it_is_negative_reports_say_so() {
    let flat = Problem::quadratic(&[0.0, 0.0, 0.0]).unwrap();
    for report in estimated(&flat, 3, Ingredients::default(), 30) {
        assert_eq!(report.fallback, Some(Fallback::Flat));
        assert_eq!((report.spectral_radius, report.h), (Some(0.0), 1e-4));
        assert_eq!(report.verdict, Verdict::Accepted);
    }
    let saddle = Problem::quadratic(&[-50.0, 2.0, 7.0]).unwrap();
    for report in estimated(&saddle, 3, Ingredients::default(), 30) {
        assert_eq!(report.fallback, Some(Fallback::Negative));
        assert!((report.spectral_radius.unwrap() - 50.0).abs() < 0.1, "{report:?}");
    }
}

const RAGGED: Kernel = Kernel {
    name: "ragged",
    text: &["@group(0) @binding(0) var<storage, read> theta: array<f32>;
        @group(0) @binding(1) var<storage, read_write> gradient: array<f32>;
        @compute @workgroup_size(256) fn main(@builtin(local_invocation_index) i: u32) {
            if i < 5u { gradient[i] = 3.0 * theta[i]; }
            if i >= 64u && i < 71u { gradient[i] = 7.0 * theta[i]; }
        }"],
    bindings: &[("theta", Access::Read), ("gradient", Access::Write)],
    vectors: &[],
    structs: &[],
};

/// 3/2 ‖x‖² + 7/2 ‖y‖² of tensors with padding between them, which it leaves alone.
struct Ragged;

impl GradientSource for Ragged {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        let pipeline = at.gpu().pipeline(&RAGGED, &vec![]);
        let buffers = [at.point().buffer(), at.gradient().buffer()];
        let bind_group = pipeline.bind(at.gpu(), &buffers.map(|b| b.as_entire_binding()));
        let pass = at.pass();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        Ok(())
    }
}

#[test]
fn padding_between_tensors_has_no_part_in_the_radius() {
    use kutta::{Init, ParamLayout};
    let layout = ParamLayout::builder()
        .tensor("x", &[5], Init::Constant(1.0))
        .tensor("y", &[7], Init::Constant(-0.5))
        .build()
        .unwrap();
    for (name, preconditioner) in [
        ("rkc2:stages=5", Preconditioner::none()),
        ("rkc2", Preconditioner::none()),
        ("rkc2", Preconditioner::rmsprop(0.5, 1e-3)),
    ] {
        let mut optimizer = Optimizer::builder(method(name))
            .preconditioner(preconditioner)
            .step_size(StepSize::constant(1e-4))
            .build(gpu(), &layout, &layout.initial(1))
            .unwrap();
        optimizer.run(&mut Ragged, 60).unwrap();
        optimizer.wait().unwrap();
        for report in optimizer.reports() {
            let found = report.spectral_radius.unwrap();
            match preconditioner {
                Preconditioner::None => assert!((found - 7.0).abs() < 0.05, "{report:?}"),
                // D = 1/|g| or so makes the field ±1: its Jacobian is D H, at most a few tens.
                _ => assert!(found < 40.0, "{report:?}"),
            }
        }
    }
}

/// Its gradients beside θ are not numbers, from one evaluation of them to another.
struct Hole {
    inner: Analytic,
    asked: u64,
    bad: std::ops::Range<u64>,
}

impl GradientSource for Hole {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.inner.evaluate(at)?;
        if at.purpose() == Purpose::Power {
            if self.bad.contains(&self.asked) {
                let buffer = at.gradient().buffer().clone();
                // All ones: a NaN in every element.
                let ones = at.gpu().buffer(
                    "ones",
                    buffer.size(),
                    kutta::wgpu::BufferUsages::COPY_SRC | kutta::wgpu::BufferUsages::COPY_DST,
                );
                let ones = ones.map_err(SourceError::new)?;
                let bytes = vec![0xff; buffer.size() as usize];
                at.gpu().queue().write_buffer(&ones, 0, &bytes);
                at.encoder().copy_buffer_to_buffer(&ones, 0, &buffer, 0, buffer.size());
            }
            self.asked += 1;
        }
        Ok(())
    }
}

#[test]
fn curvature_that_is_not_finite_keeps_the_last_radius_or_skips() {
    let problem = Problem::quadratic(&[1.0, 5.0, 40.0]).unwrap();
    let start = [1.0, -1.0, 0.5];
    let run = |bad: std::ops::Range<u64>, attempts: u64| {
        let inner = Analytic::new(gpu(), &problem, 3).unwrap();
        let layout = inner.layout().clone();
        let mut source = Hole { inner, asked: 0, bad };
        let mut optimizer = Optimizer::builder(method("rkc2:stages=5"))
            .step_size(StepSize::stable(0.5, 1.0))
            .attempts_per_submit(1)
            .build(gpu(), &layout, &start)
            .unwrap();
        let mut reports = Vec::new();
        for _ in 0..attempts {
            optimizer.step(&mut source).unwrap();
            optimizer.wait().unwrap();
            reports.extend(optimizer.reports());
            assert!(optimizer.params().read().unwrap().iter().all(|x| x.is_finite()));
        }
        reports
    };
    // The first openings: nothing is known, and so nothing moves.
    let reports = run(0..30, 6);
    let verdicts: Vec<Verdict> = reports.iter().map(|r| r.verdict).collect();
    assert_eq!(verdicts[..2], [Verdict::Skipped { stage: 1 }; 2]);
    assert_eq!(reports[0].fallback, Some(Fallback::NotFinite));
    assert_eq!(verdicts.last(), Some(&Verdict::Accepted));
    assert_eq!(reports.last().unwrap().fallback, None);
    // The first renewal after 25 attempts.
    let reports = run(12..16, 60);
    assert!(reports.iter().all(|r| r.verdict == Verdict::Accepted));
    let odd: Vec<u64> =
        reports.iter().filter(|r| r.fallback.is_some()).map(|r| r.attempt).collect();
    assert_eq!(odd.len(), 25, "{odd:?}");
    for report in &reports {
        assert!((report.spectral_radius.unwrap() - 40.0).abs() < 0.5, "{report:?}");
    }
}

#[test]
fn stable_steps_are_as_long_as_each_method_bears() {
    let (problem, start) = stiff(64);
    for (name, limit) in [("rk4", 2.7853), ("heun", 2.0), ("rkc2:stages=6", 22.9)] {
        for radius in [SpectralRadius::Given(1000.0), SpectralRadius::Estimated] {
            let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
            let mut optimizer = Optimizer::builder(method(name))
                .spectral_radius(radius)
                .step_size(StepSize::stable(0.9, 1.0))
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 300).unwrap();
            optimizer.wait().unwrap();
            for report in optimizer.reports() {
                let enlarged = match radius {
                    SpectralRadius::Given(rho) => rho,
                    _ => 1.2 * f64::from(report.spectral_radius.unwrap()),
                };
                let ratio = f64::from(report.h) * enlarged / (0.9 * limit);
                assert!((ratio - 1.0).abs() < 2e-3, "{name}: {report:?}");
            }
            let end = optimizer.params().read().unwrap();
            assert!(end.iter().all(|x| x.abs() < 1.0), "{name}: {end:?}");
        }
    }
}

#[test]
fn a_source_that_adds_spares_a_vector_and_changes_little() {
    let (problem, start) = stiff(1000);
    for name in ["williamson3", "carpenter-kennedy"] {
        for momentum in [Momentum::None, Momentum::nesterov(0.5)] {
            let run = |guard, adds| {
                let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
                let mut optimizer = Optimizer::builder(method(name))
                    .momentum(momentum)
                    .preconditioner(Preconditioner::adagrad_rescaled())
                    .step_size(StepSize::constant(1e-3))
                    .guard(guard)
                    .source(&adding(adds))
                    .build(gpu(), source.layout(), &start)
                    .unwrap();
                optimizer.run(&mut source, 40).unwrap();
                optimizer.measure(&mut source).unwrap();
                optimizer.run(&mut source, 10).unwrap();
                (optimizer.params().read().unwrap(), optimizer.plan().resident_vectors())
            };
            let (plain, vectors) = run(Guard::On, false);
            for guard in [Guard::On, Guard::Off] {
                let (added, fewer) = run(guard, true);
                assert!(fewer < vectors, "{name}: {fewer} of {vectors}");
                let error = relative(&added, &wide(&plain));
                assert!(error < 1e-6, "{name} {guard:?}: {error:e}");
            }
            let (unguarded, _) = run(Guard::Off, false);
            assert!(relative(&unguarded, &wide(&plain)) < 1e-6, "{name}");
        }
    }
    // Where the source adds, an attempt that is refused leaves no trace either.
    let inner = Analytic::new(gpu(), &problem, start.len()).unwrap();
    let layout = inner.layout().clone();
    for stage in 1..=3 {
        let (attempt, element, in_loss) = (3, 7, false);
        let planted = Planted {
            inner: Analytic::new(gpu(), &problem, start.len()).unwrap(),
            attempt,
            stage,
            element,
            value: f32::NAN,
            in_loss,
        };
        let mut source = Adding(planted);
        let mut optimizer = Optimizer::builder(method("williamson3"))
            .step_size(StepSize::constant(1e-3))
            .source(&adding(true))
            .build(gpu(), &layout, &start)
            .unwrap();
        let mut clean = Analytic::new(gpu(), &problem, start.len()).unwrap();
        let mut other = Optimizer::builder(method("williamson3"))
            .step_size(StepSize::constant(1e-3))
            .source(&adding(true))
            .build(gpu(), &layout, &start)
            .unwrap();
        optimizer.run(&mut source, 8).unwrap();
        other.run(&mut clean, 7).unwrap();
        optimizer.wait().unwrap();
        let verdicts: Vec<Verdict> = optimizer.reports().iter().map(|r| r.verdict).collect();
        assert_eq!(verdicts[3], Verdict::Skipped { stage });
        assert_eq!(optimizer.params().read().unwrap(), other.params().read().unwrap());
    }
}

/// Says of an inner source that it adds.
struct Adding<S>(S);

impl<S: GradientSource> GradientSource for Adding<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.0.evaluate(at)
    }

    fn adds(&self) -> bool {
        true
    }
}

#[test]
fn chunks_and_default_limits_change_no_bit() {
    // Several spans of a workgroup, the last one ragged.
    let n = 100_001;
    let (problem, start) = stiff(n);
    for (name, adaptive) in [
        ("rkc1:stages=5", false),
        ("rkc2", true),
        ("rock2:stages=4", true),
        ("rdpk3sp35", true),
        ("carpenter-kennedy", false),
    ] {
        let run = |gpu: &kutta::Gpu, most: Option<usize>| {
            let mut source = Analytic::new(gpu, &problem, n).unwrap();
            let mut builder = Optimizer::builder(method(name))
                .preconditioner(Preconditioner::adagrad_rescaled())
                .step_size(StepSize::constant(1e-3));
            if adaptive {
                builder = builder.adaptive(Adaptive::new(1e-3, 1e-4));
            }
            if let Some(most) = most {
                builder = builder.elements_per_binding(most);
            }
            let mut optimizer = builder.build(gpu, source.layout(), &start).unwrap();
            optimizer.run(&mut source, 30).unwrap();
            optimizer.wait().unwrap();
            let told: Vec<_> =
                optimizer.reports().iter().map(|r| (r.h, r.stages, r.spectral_radius)).collect();
            (optimizer.params().read().unwrap(), told)
        };
        let whole = run(gpu(), None);
        assert!(whole == run(gpu(), Some(70_000)), "{name}: chunks");
        assert!(whole == run(default_limits_gpu(), None), "{name}: default limits");
    }
}

#[test]
fn a_fault_at_a_late_stage_has_its_number() {
    let (problem, start) = stiff(100);
    for (name, stage) in
        [("rkc1:stages=150", 100), ("rkc2:stages=90", 90), ("rock2:stages=114", 65)]
    {
        let inner = Analytic::new(gpu(), &problem, start.len()).unwrap();
        let layout = inner.layout().clone();
        let (attempt, element, value) = (1, 99, f32::INFINITY);
        let mut source = Planted { inner, attempt, stage, element, value, in_loss: false };
        let mut optimizer = Optimizer::builder(method(name))
            .step_size(StepSize::constant(0.01))
            .build(gpu(), &layout, &start)
            .unwrap();
        optimizer.run(&mut source, 1).unwrap();
        let before = optimizer.params().read().unwrap();
        optimizer.run(&mut source, 1).unwrap();
        optimizer.wait().unwrap();
        assert_eq!(optimizer.reports()[1].verdict, Verdict::Skipped { stage }, "{name}");
        assert_eq!(optimizer.params().read().unwrap(), before);
    }
}

#[test]
fn recording_keeps_the_stages_it_is_told() {
    let (problem, start) = stiff(100);
    let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
    let mut optimizer = Optimizer::builder(method("rkl2"))
        .step_size(StepSize::constant(10.0))
        .build(gpu(), source.layout(), &start)
        .unwrap();
    for stages in [5, 9, 31, 5] {
        optimizer.set_stages(stages).unwrap();
        assert_eq!(optimizer.stages(), stages);
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        optimizer.record(&mut encoder, &mut source).unwrap();
        optimizer.record(&mut encoder, &mut source).unwrap();
        gpu().queue().submit([encoder.finish()]);
        optimizer.wait().unwrap();
        for report in optimizer.reports() {
            assert_eq!((report.stages, report.verdict), (stages, Verdict::Accepted));
            // h is fitted to them.
            let bound =
                Family::Rkl2.interval(stages) / 1.2 / f64::from(report.spectral_radius.unwrap());
            assert!((f64::from(report.h) / bound - 1.0).abs() < 1e-4, "{report:?}");
        }
    }
    let error = optimizer.set_stages(6).unwrap_err().to_string();
    assert!(error.contains('7'), "{error}");
    let mut rk4 = Optimizer::builder(Method::rk4())
        .step_size(StepSize::constant(1e-3))
        .build(gpu(), source.layout(), &start)
        .unwrap();
    assert!(rk4.set_stages(4).is_ok());
    let error = rk4.set_stages(5).unwrap_err();
    assert!(matches!(error, Error::Optimizer(OptimizerError::Stages { found: 5, .. })), "{error}");
}

/// From the ten that it was built with to two and to some twenty, however gradients are kept and
/// steps are fused.
#[test]
fn every_form_takes_few_stages_and_many() {
    let (problem, start) = stiff(100);
    let schedule = StepSize::exponential(1e-3, 2000.0, 12).then(12, &StepSize::constant(1e-3));
    for name in ["rkc1", "rkcd", "rkc2", "rkl1", "rkl2", "rock2"] {
        let run = |gradients, fusion| {
            let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
            let mut optimizer = Optimizer::builder(method(name))
                .spectral_radius(SpectralRadius::Given(1000.0))
                .step_size(schedule.clone())
                .storage(Stored { gradients, ..Stored::default() })
                .source(&writing(true))
                .fusion(fusion)
                .attempts_per_submit(1)
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 24).unwrap();
            optimizer.wait().unwrap();
            let stages: Vec<u32> = optimizer.reports().iter().map(|r| r.stages).collect();
            (optimizer.params().read().unwrap(), stages)
        };
        let (whole, stages) = run(Storage::F32, Fusion::Full);
        let (least, most) = (stages.iter().min().unwrap(), stages.iter().max().unwrap());
        assert!(*least <= 3 && *most > 15, "{name}: {stages:?}");
        for gradients in [Storage::F32, Storage::F16, Storage::Bf16] {
            for fusion in [Fusion::None, Fusion::Stage, Fusion::Full] {
                let (theta, taken) = run(gradients, fusion);
                assert_eq!(taken, stages, "{name}, {gradients:?}, {fusion:?}");
                let error = relative(&theta, &wide(&whole));
                let bound = if gradients == Storage::F32 { 1e-5 } else { 2e-2 };
                assert!(error < bound, "{name}, {gradients:?}, {fusion:?}: {error:e}");
            }
        }
    }
}

#[test]
fn bad_input_is_refused_with_numbers() {
    let layout = kutta::ParamLayout::flat(2).unwrap();
    let build = |name: &str, step_size: StepSize, adds: bool, radius: SpectralRadius| {
        Optimizer::builder(method(name))
            .step_size(step_size)
            .source(&adding(adds))
            .spectral_radius(radius)
            .build(gpu(), &layout, &[1.0, 2.0])
    };
    let h = StepSize::constant(0.1);
    for rho in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = build("rkc2", h.clone(), false, SpectralRadius::Given(rho)).unwrap_err();
        assert!(error.to_string().contains(&format!("{rho:?}")), "{error}");
    }
    let estimated = SpectralRadius::Estimated;
    for (name, step_size, words) in [
        ("rkc2", StepSize::stable(1.0, 1.0), "stages=8"),
        ("rkc2:stages=3", StepSize::stable(1.5, 1.0), "1.5"),
        ("rkc2:stages=3", StepSize::stable(0.5, 0.0), "h_max"),
        (
            "rkc2:stages=3",
            StepSize::dal(1.0).with_curvature(kutta::ingredients::Curvature::Stages),
            "probe",
        ),
    ] {
        let error = build(name, step_size, false, estimated).unwrap_err();
        assert!(error.to_string().contains(words), "{name}: {error}");
    }
    let no_pair = Optimizer::builder(method("rkc1"))
        .adaptive(Adaptive::new(1e-3, 1e-6))
        .build(gpu(), &layout, &[1.0, 2.0])
        .unwrap_err();
    assert!(matches!(no_pair, Error::Plan(PlanError::NoPair { .. })), "{no_pair}");
    assert!(no_pair.to_string().contains("rdpk3sp35, rdpk3sp49, rdpk3sp510, rkc2, rkl2, rock2"));
    // A source that does not add.
    let mut source = Counting::new(&Problem::Quartic, 2, BatchesFrom::One);
    let mut optimizer = build("williamson3", h, true, estimated).unwrap();
    let error = optimizer.run(&mut source, 1).unwrap_err();
    assert!(matches!(error, Error::Optimizer(OptimizerError::NotAdding)), "{error}");
}
