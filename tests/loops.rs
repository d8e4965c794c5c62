//! Every drive ends: at its goal, at the end of time that was set, or with an error that
//! has h, t and a way out. And what is evaluated is counted, idle or not.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use common::{gpu, noise, relative};
use kutta::checkpoint::Checkpoint;
use kutta::device::{Access, Kernel};
use kutta::models::Analytic;
use kutta::optimizer::Builder;
use kutta::reference::{Problem, textbook};
use kutta::{
    Adaptive, BatchesFrom, Evaluation, GradientSource, Ingredients, Method, Optimizer, Pace,
    SourceError, StepSize, Verdict,
};

/// What a drive that might never end gives, or a panic after a while.
fn ends<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(work()));
    told.recv_timeout(Duration::from_secs(60)).unwrap_or_else(|e| panic!("{what}: {e}"))
}

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

fn builder(name: &str) -> Builder {
    Optimizer::builder(method(name))
}

fn himmelblau() -> Problem {
    "himmelblau".parse().unwrap()
}

/// The flow's θ at `t_end`, by RK4 in f64 with steps far below what is tested.
fn solution(problem: &Problem, start: &[f64], t_end: f64) -> Vec<f64> {
    let mut theta = start.to_vec();
    let n = 20_000;
    let h = t_end / f64::from(n);
    let along = |theta: &[f64], k: &[f64], by: f64| -> Vec<f64> {
        theta.iter().zip(k).map(|(x, k)| x - by * k).collect()
    };
    for _ in 0..n {
        let k1 = problem.gradient(&theta);
        let k2 = problem.gradient(&along(&theta, &k1, h / 2.0));
        let k3 = problem.gradient(&along(&theta, &k2, h / 2.0));
        let k4 = problem.gradient(&along(&theta, &k3, h));
        for i in 0..theta.len() {
            theta[i] -= h / 6.0 * (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]);
        }
    }
    theta
}

#[test]
fn a_first_step_is_never_zero() {
    // ‖g‖ in units of a tolerance of 0 passes f32, and Hairer's d₀/d₁ was 0: torchdiffeq#38.
    for name in ["dp5", "bs3", "heun-euler"] {
        let run = move || {
            let mut source = Analytic::new(gpu(), &himmelblau(), 2).unwrap();
            let mut optimizer = builder(name)
                .adaptive(Adaptive::new(1e-3, 0.0))
                .build(gpu(), source.layout(), &[0.0, 1.0])
                .unwrap();
            optimizer.run_until(&mut source, 0.1).unwrap();
            assert_eq!(optimizer.time(), 0.1f32 as f64 + (0.1 - 0.1f32 as f64) as f32 as f64);
            (optimizer.params().read().unwrap(), optimizer.reports())
        };
        let (theta, reports) = ends(name, run);
        // The formula's is below the least h there is, which the probe takes: at most a
        // hundred times that.
        assert!((1e-12..1.01e-10).contains(&reports[0].h), "{name}: {}", reports[0].h);
        assert!(reports.iter().all(|r| r.h > 0.0));
        let error = relative(&theta, &solution(&himmelblau(), &[0.0, 1.0], 0.1));
        assert!(error < 5e-3, "{name}: {error:e}");
        let run = move || {
            let mut source = Analytic::new(gpu(), &himmelblau(), 2).unwrap();
            let mut optimizer = builder(name)
                .adaptive(Adaptive::new(1e-3, 0.0))
                .build(gpu(), source.layout(), &[0.0, 1.0])
                .unwrap();
            optimizer.run_accepted(&mut source, 20).unwrap();
            optimizer.time()
        };
        assert!(ends(name, run) > 1e-3, "{name}");
    }
}

#[test]
fn the_textbooks_first_step_keeps_the_bounds_too() {
    let tableau = method("dp5");
    let adaptive = Adaptive::new(1e-3, 0.0).bounds(1e-9, 1.0);
    let recipe = Ingredients { adaptive: Some(adaptive), ..Default::default() };
    let book = textbook::Trainer::new(tableau.tableau(), recipe, &[0.0, 1.0]);
    let h = book.first_step(&mut |_, x| himmelblau().gradient(x));
    assert!((h / 1e-7 - 1.0).abs() < 1e-12, "{h:e} is not a hundred times the least");
}

/// An error just below the tolerance shrinks h after an accepted step.
#[test]
fn accepted_steps_keep_the_least_h_too() {
    let problem = Problem::quadratic(&[1.0, 30.0]).unwrap();
    let (start, h) = ([1.0f32, -0.5], 0.01f32);
    let tableau = method("heun-euler");
    let error = |atol: f64| {
        let adaptive = Some(Adaptive::new(0.0, atol));
        let recipe = Ingredients { adaptive, ..Default::default() };
        let mut book = textbook::Trainer::new(tableau.tableau(), recipe, &[1.0, -0.5]);
        book.attempt(h.into(), &mut |_, x| problem.gradient(x)).unwrap()
    };
    let atol = 1e-3 * error(1e-3) / 0.97;
    assert!((error(atol) - 0.97).abs() < 1e-9);
    let mut source = Analytic::new(gpu(), &problem, 2).unwrap();
    let adaptive = Adaptive::new(0.0, atol).bounds(0.95 * f64::from(h), 1.0);
    let mut optimizer = builder("heun-euler")
        .adaptive(adaptive)
        .step_size(StepSize::constant(h))
        .build(gpu(), source.layout(), &start)
        .unwrap();
    let message = optimizer.run_until(&mut source, 1.0).unwrap_err().to_string();
    assert_eq!(optimizer.accepted(), 1, "the step itself is good");
    // 0.9/√0.97 of h.
    assert!(message.contains("0.0091") && message.contains("h_min = 0.0095"), "{message}");
    let reports = optimizer.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].verdict, Verdict::Accepted);
}

/// Σ h_n from step `from` on, as the schedule's own values add up.
fn sum(schedule: &StepSize, from: u64, steps: u64) -> f64 {
    (from..from + steps).map(|n| schedule.at(n)).sum()
}

#[test]
fn a_time_beyond_a_schedule_is_an_error_before_the_run() {
    for (schedule, steps) in [
        (StepSize::exponential(0.01, 0.1, 5), 400),
        (StepSize::stairs(0.02, 0.5, 7), 1000),
        (StepSize::constant(0.01).then(30, &StepSize::exponential(0.01, 0.5, 10)), 2000),
        (StepSize::cosine(0.01, 1e-20, 50), 1000),
        (StepSize::linear(0.01, 1e-20, 50), 1000),
        (StepSize::exponential(0.01, 0.9, 3).warm_up(10), 4000),
    ] {
        let total = sum(&schedule, 0, steps);
        let what = format!("{schedule:?}");
        let run = move || {
            let mut source = Analytic::new(gpu(), &Problem::Quartic, 2).unwrap();
            let mut optimizer = builder("euler")
                .step_size(schedule.clone())
                .build(gpu(), source.layout(), &[1.0, 0.5])
                .unwrap();
            let error = optimizer.run_until(&mut source, 100.0).unwrap_err().to_string();
            assert!(optimizer.reports().is_empty());
            // From the middle of it on, less is left; and what it does reach, it reaches.
            optimizer.run(&mut source, 3).unwrap();
            let later = optimizer.run_until(&mut source, 1.01 * total).unwrap_err().to_string();
            optimizer.run_until(&mut source, 0.99 * total).unwrap();
            assert!((optimizer.time() - 0.99 * total).abs() < 1e-12);
            (error, later)
        };
        let (error, later) = ends(&what, run);
        for message in [error, later] {
            let shown = format!("{total:.4e}");
            let digits = shown.split('e').next().unwrap().trim_end_matches('0');
            let found = message.split("t = ").nth(1).unwrap_or_default();
            let found: f64 = found.split([',', ' ', ';']).next().unwrap().parse().unwrap_or(0.0);
            assert!((found / total - 1.0).abs() < 1e-5, "{what}: {message} ({digits})");
        }
    }
}

#[test]
fn an_end_too_many_steps_away_is_an_error_before_the_run() {
    let run = || {
        let mut source = Analytic::new(gpu(), &Problem::Quartic, 2).unwrap();
        let mut optimizer = builder("euler")
            .step_size(StepSize::constant(1e-9))
            .build(gpu(), source.layout(), &[1.0, 0.5])
            .unwrap();
        optimizer.run_until(&mut source, 1e9).unwrap_err().to_string()
    };
    let message = ends("1e18 steps", run);
    assert!(message.contains("1000000000.0") && message.contains("4294967295"), "{message}");
}

const NOTHING: Kernel = Kernel {
    name: "nothing",
    text: &["@group(0) @binding(0) var<storage, read_write> loss: array<f32>;
        @compute @workgroup_size(1) fn main() { loss[0] = 0.0; }"],
    bindings: &[("loss", Access::Write)],
    vectors: &[],
    structs: &[],
};

/// Gives a loss of zero.
struct Flat(Analytic);

impl GradientSource for Flat {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.0.evaluate(at)?;
        let pipeline = gpu().pipeline(&NOTHING, &vec![]);
        let bind_group = pipeline.bind(gpu(), &[at.loss().as_entire_binding()]);
        let pass = at.pass();
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &bind_group, &[]);
        pass.dispatch_workgroups(1, 1, 1);
        Ok(())
    }
}

/// Beside a time of 300 the device cannot count 1e-13.
#[test]
fn a_step_that_does_not_move_time_is_an_error() {
    let run = || {
        let mut source = Analytic::new(gpu(), &Problem::Quartic, 2).unwrap();
        let layout = source.layout().clone();
        let adaptive = Adaptive::new(1e-3, 1e-6).bounds(1e-14, 1e9);
        let mut optimizer = builder("dp5")
            .adaptive(adaptive)
            .step_size(StepSize::constant(100.3))
            .build(gpu(), &layout, &[1e-9, 1e-9])
            .unwrap();
        optimizer.run(&mut source, 3).unwrap();
        optimizer.wait().unwrap();
        assert!(optimizer.time() > 250.0);
        optimizer.set_step_size(&StepSize::constant(1e-13)).unwrap();
        let message = optimizer.run_accepted(&mut source, 5).unwrap_err().to_string();
        // What has come of it can be kept all the same.
        #[cfg(feature = "checkpoint")]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("standing.safetensors");
            optimizer.save(&path).unwrap();
            let found = kutta::checkpoint::Checkpoint::open(&path).unwrap();
            assert_eq!(found.accepted(), optimizer.accepted());
        }
        (message, optimizer.accepted())
    };
    let (message, accepted) = ends("standing", run);
    assert_eq!(accepted, 4);
    assert!(message.contains("e-13") && message.contains("time"), "{message}");

    // A rule: Polyak's h at a loss of zero is zero, for ever.
    for to_time in [true, false] {
        let run = move || {
            let mut source = Flat(Analytic::new(gpu(), &Problem::Quartic, 2).unwrap());
            let mut optimizer = builder("euler")
                .step_size(StepSize::polyak(1.0))
                .build(gpu(), source.0.layout(), &[1.0, 0.5])
                .unwrap();
            match to_time {
                true => optimizer.run_until(&mut source, 1.0),
                false => optimizer.run_accepted(&mut source, 100_000),
            }
            .unwrap_err()
            .to_string()
        };
        let message = ends("a loss of zero", run);
        assert!(message.contains("h = 0.0") && message.contains("t = 0.0"), "{message}");
    }
}

fn euler(h: f32) -> (Optimizer, Analytic) {
    let source = Analytic::new(gpu(), &Problem::Quartic, 2).unwrap();
    let optimizer = builder("euler")
        .step_size(StepSize::constant(h))
        .build(gpu(), source.layout(), &[1.0, 0.5])
        .unwrap();
    (optimizer, source)
}

#[test]
fn an_end_that_was_set_stays() {
    // What it is on the device, a sum of two f32.
    let end = |t: f64| f64::from(t as f32) + f64::from((t - f64::from(t as f32)) as f32);
    for pace in [Pace::Ahead, Pace::Wait] {
        let run = move || {
            let (_, mut source) = euler(0.1);
            let mut optimizer = builder("euler")
                .step_size(StepSize::constant(0.1))
                .pace(pace)
                .build(gpu(), source.layout(), &[1.0, 0.5])
                .unwrap();
            optimizer.set_end(Some(0.35)).unwrap();
            optimizer.run_accepted(&mut source, 2).unwrap();
            optimizer.run(&mut source, 10).unwrap();
            optimizer.wait().unwrap();
            assert_eq!((optimizer.accepted(), optimizer.time()), (4, end(0.35)));
            // At the end: nothing to do, and a count is not reached.
            optimizer.run(&mut source, 10).unwrap();
            let error = optimizer.run_accepted(&mut source, 3).unwrap_err().to_string();
            assert!(error.contains("0 of 3") && error.contains("0.35"), "{error}");
            let error = optimizer.run_until(&mut source, 0.5).unwrap_err().to_string();
            assert!(error.contains("0.5") && error.contains("0.35"), "{error}");
            optimizer.wait().unwrap();
            assert_eq!((optimizer.accepted(), optimizer.time()), (4, end(0.35)));
            optimizer.set_end(None).unwrap();
            optimizer.run_until(&mut source, 0.5).unwrap();
            assert_eq!(optimizer.time(), end(0.5));

            let (mut optimizer, mut source) = euler(0.1);
            optimizer.set_end(Some(0.95)).unwrap();
            optimizer.run_until(&mut source, 0.25).unwrap();
            assert_eq!(optimizer.time(), end(0.25));
            let error = optimizer.run_until(&mut source, 1.5).unwrap_err().to_string();
            assert!(error.contains("1.5") && error.contains("0.95"), "{error}");
            optimizer.run(&mut source, 20).unwrap();
            optimizer.wait().unwrap();
            assert_eq!(optimizer.time(), end(0.95));

            let (mut optimizer, mut source) = euler(0.1);
            optimizer.set_end(Some(0.35)).unwrap();
            let error = optimizer.run_accepted(&mut source, 10).unwrap_err().to_string();
            assert_eq!((optimizer.accepted(), optimizer.time()), (4, end(0.35)));
            error
        };
        let error = ends("an end that was set", run);
        assert!(error.contains("4 of 10") && error.contains("0.35"), "{error}");
    }
}

#[test]
fn an_end_that_was_set_is_saved_and_outlives_a_dropped_future() {
    let run = || {
        let (mut optimizer, mut source) = euler(0.01);
        optimizer.set_end(Some(0.95)).unwrap();
        {
            let mut future = std::pin::pin!(optimizer.run_until_async(&mut source, 0.25));
            let waker = std::task::Waker::noop();
            let mut context = std::task::Context::from_waker(waker);
            let _ = std::future::Future::poll(future.as_mut(), &mut context);
        }
        let file = optimizer.snapshot().unwrap().to_bytes().unwrap();
        let mut resumed = Checkpoint::from_bytes(file).unwrap().resume(gpu()).unwrap();
        let mut times = Vec::new();
        for optimizer in [&mut optimizer, &mut resumed] {
            optimizer.run(&mut source, 200).unwrap();
            optimizer.wait().unwrap();
            times.push((optimizer.time() * 1e6).round() / 1e6);
            times.push(optimizer.accepted() as f64);
        }
        times
    };
    // The f32 of 0.01 is a little less: of 0.7 a step more is left.
    assert_eq!(ends("dropped", run), [0.95, 96.0, 0.95, 96.0]);
}

/// Counts what is made.
struct Counting {
    inner: Analytic,
    made: Arc<AtomicU64>,
    batches: BatchesFrom,
}

impl Counting {
    fn new(problem: &Problem, n: usize, batches: BatchesFrom) -> Self {
        let inner = Analytic::new(gpu(), problem, n).unwrap();
        Self { inner, made: Arc::default(), batches }
    }

    fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }
}

impl GradientSource for Counting {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.inner.evaluate(at)
    }

    fn batches(&self) -> BatchesFrom {
        self.batches
    }
}

fn last(optimizer: &mut Optimizer) -> u64 {
    optimizer.reports().last().map_or(0, |report| report.evaluations)
}

/// Every way to choose h, driven to a time and to a count: what is reported is what was
/// made.
#[test]
fn what_is_made_is_what_is_reported() {
    let adaptive = |b: Builder| b.adaptive(Adaptive::new(1e-3, 1e-5));
    let rule = |name: &str, rule: StepSize| builder(name).step_size(rule);
    let constant = |h: f32| StepSize::constant(h);
    let cases: Vec<(&str, Builder)> = vec![
        ("adaptive dp5", adaptive(builder("dp5"))),
        ("adaptive dp5 from 1e-4", adaptive(builder("dp5").step_size(constant(1e-4)))),
        ("adaptive heun-euler", adaptive(builder("heun-euler"))),
        ("adaptive rdpk3sp35", adaptive(builder("rdpk3sp35"))),
        ("adaptive bs3, waiting", adaptive(builder("bs3").pace(Pace::Wait))),
        ("sgd-g2", rule("euler", StepSize::sgd_g2(0.01, 0.9))),
        ("polyak", rule("rk4", StepSize::polyak(0.2))),
        ("dal", rule("heun", StepSize::dal(1.0))),
        ("rescaled dal by stages", {
            let stages = kutta::ingredients::Curvature::Stages;
            rule("rk4", StepSize::rescaled_dal(0.3, 1.0).with_curvature(stages))
        }),
        ("stable", rule("rk4", StepSize::stable(0.5, 0.5))),
        ("cosine", rule("rk4", StepSize::cosine(0.1, 0.001, 13))),
        ("rkc2", rule("rkc2", constant(0.1))),
        ("rkc2:stages=5", rule("rkc2:stages=5", constant(0.1))),
        ("rkc2 adaptive", adaptive(builder("rkc2"))),
        ("rkl2 adaptive from 1e-3", adaptive(builder("rkl2").step_size(constant(1e-3)))),
    ];
    let problem = Problem::quadratic(&[1.0, 3.0, 10.0]).unwrap();
    for (what, builder) in cases {
        for batches in [BatchesFrom::Device, BatchesFrom::One] {
            for to_time in [true, false] {
                let (problem, builder) = (problem.clone(), builder.clone());
                let run = move || {
                    let mut source = Counting::new(&problem, 3, batches);
                    let layout = source.inner.layout().clone();
                    let mut optimizer = builder.build(gpu(), &layout, &[1.0, -0.5, 0.3]).unwrap();
                    if to_time {
                        optimizer.run_until(&mut source, 1.3).unwrap();
                    } else {
                        optimizer.run_accepted(&mut source, 70).unwrap();
                    }
                    (source.made(), last(&mut optimizer))
                };
                let (made, reported) = ends(what, run);
                assert_eq!(made, reported, "{what}, {batches:?}, to a time: {to_time}");
            }
        }
    }
}

#[test]
fn a_smaller_fraction_of_what_is_stable_holds_at_once() {
    // β = 2 of Euler's method, ρ = 5.
    let problem = Problem::quadratic(&[5.0, 1.0]).unwrap();
    for name in ["euler", "rkc2:stages=2"] {
        let mut source = Analytic::new(gpu(), &problem, 2).unwrap();
        let build = |name| {
            builder(name)
                .spectral_radius(kutta::SpectralRadius::Given(5.0))
                .step_size(StepSize::stable(0.5, 10.0))
                .build(gpu(), source.layout(), &[1.0, 0.5])
        };
        // Stages that vary have no limit to take a fraction of.
        assert!(build("rkc2").is_err());
        let mut optimizer = build(name).unwrap();
        optimizer.run(&mut source, 2).unwrap();
        optimizer.set_step_size(&StepSize::stable(0.1, 10.0)).unwrap();
        let file = optimizer.snapshot().unwrap().to_bytes().unwrap();
        let mut resumed = Checkpoint::from_bytes(file).unwrap().resume(gpu()).unwrap();
        let mut states = Vec::new();
        for optimizer in [&mut optimizer, &mut resumed] {
            optimizer.run(&mut source, 2).unwrap();
            optimizer.wait().unwrap();
            states.push(optimizer.snapshot().unwrap().to_bytes().unwrap());
        }
        assert!(states[0] == states[1], "{name}: a resumed run differs");
        let h: Vec<f32> = optimizer.reports().iter().map(|r| r.h).collect();
        let interval = match name {
            "euler" => 2.0,
            _ => kutta::tableau::Family::Rkc2.interval(2),
        };
        for (h, fraction) in h.iter().zip([0.5, 0.5, 0.1, 0.1]) {
            let expected = fraction * interval / 5.0;
            assert!((f64::from(*h) / expected - 1.0).abs() < 1e-6, "{name}: {h}, not {expected}");
        }
    }
}

#[test]
fn schedules_and_rules_do_not_mix_in_silence() {
    let rule = StepSize::rescaled_dal(0.3, 1.0);
    let constant = StepSize::constant(0.01);
    for (mixed, words) in [
        (rule.clone().warm_up(3), "rescaled-dal"),
        (constant.clone().then(3, &rule), "rescaled-dal"),
        (rule.clone().then(3, &constant), "rescaled-dal"),
        (constant.clone().then(3, &rule).warm_up(2), "rescaled-dal"),
        (constant.clone().warm_up(0), "warm-up"),
        (StepSize::one_cycle(0.1, 2), "one-cycle"),
    ] {
        let message = mixed.check().unwrap_err().to_string();
        assert!(message.contains(words), "{mixed:?}: {message}");
        let source = Analytic::new(gpu(), &Problem::Quartic, 2).unwrap();
        let built =
            builder("rk4").step_size(mixed.clone()).build(gpu(), source.layout(), &[1.0; 2]);
        assert_eq!(built.unwrap_err().to_string(), message);
        let (mut optimizer, _) = euler(0.1);
        assert_eq!(optimizer.set_step_size(&mixed).unwrap_err().to_string(), message);
    }
}

#[test]
fn tolerances_that_f32_cannot_tell_are_refused() {
    let layout = kutta::ParamLayout::flat(4).unwrap();
    let build = |rtol: f64, atol: f64, theta: f32| {
        let built = builder("dp5").adaptive(Adaptive::new(rtol, atol));
        built.build(gpu(), &layout, &[theta; 4]).map(drop)
    };
    for (rtol, atol, theta, words) in [
        (1e-13, 1e-6, 1.0, "1e-13"),
        (1e-13, 0.0, 1.0, "1e-13"),
        (5.9e-8, 1e-3, 0.0, "5.9e-8"),
        // 6e-8 of 300 is 1.8e-5.
        (0.0, 1e-6, 300.0, "atol = 1e-6"),
    ] {
        let message = build(rtol, atol, theta).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    }
    for (rtol, atol, theta) in [(6e-8, 0.0, 1e6), (0.0, 1e-6, 1.0), (0.0, 1e-4, 300.0)] {
        build(rtol, atol, theta).unwrap();
    }
    let parsed = "rtol=1e-13".parse::<Adaptive>().unwrap_err().to_string();
    assert!(parsed.contains("1e-13") && parsed.contains("rtol"), "{parsed}");
}

/// What the host records beyond an end of time changes nothing, but evaluates.
#[test]
fn what_is_recorded_beyond_an_end_is_counted() {
    let mut source = Counting::new(&Problem::Quartic, 2, BatchesFrom::Device);
    let layout = source.inner.layout().clone();
    let mut optimizer = builder("rk4")
        .step_size(StepSize::constant(0.1))
        .build(gpu(), &layout, &[1.0, 0.5])
        .unwrap();
    optimizer.set_end(Some(0.35)).unwrap();
    let mut encoder = gpu().device().create_command_encoder(&Default::default());
    optimizer.record_many(&mut encoder, &mut source, 10).unwrap();
    gpu().queue().submit([encoder.finish()]);
    optimizer.wait().unwrap();
    assert_eq!((optimizer.accepted(), optimizer.reports().len()), (4, 4));
    assert_eq!((source.made(), optimizer.evaluations()), (40, 40));
    // kutta's own attempts stop there.
    optimizer.run(&mut source, 10).unwrap();
    optimizer.wait().unwrap();
    assert_eq!((source.made(), optimizer.evaluations()), (40, 40));
    optimizer.measure(&mut source).unwrap();
    assert_eq!((source.made(), optimizer.evaluations()), (41, 41));
}

/// Openings that the host records before it knows that one has run count, too.
#[test]
fn openings_are_counted_as_often_as_they_are_made() {
    for (name, adaptive) in [("dp5", true), ("rkc2:stages=4", false), ("rkl2:stages=5", true)] {
        let mut source = Counting::new(&Problem::Quartic, 8, BatchesFrom::Device);
        let layout = source.inner.layout().clone();
        let mut builder = builder(name);
        builder = match adaptive {
            true => builder.adaptive(Adaptive::new(1e-3, 1e-5)),
            false => builder.step_size(StepSize::constant(0.1)),
        };
        let mut optimizer = builder.build(gpu(), &layout, &noise(8, 2)).unwrap();
        for _ in 0..3 {
            let mut encoder = gpu().device().create_command_encoder(&Default::default());
            for _ in 0..2 {
                optimizer.record_many(&mut encoder, &mut source, 3).unwrap();
            }
            gpu().queue().submit([encoder.finish()]);
        }
        optimizer.wait().unwrap();
        assert_eq!(source.made(), optimizer.evaluations(), "{name}");
        optimizer.run(&mut source, 40).unwrap();
        optimizer.wait().unwrap();
        assert_eq!(source.made(), optimizer.evaluations(), "{name}");
        assert_eq!(source.made(), last(&mut optimizer), "{name}");
    }
}

/// An opening that came again would refine ρ, and whether one does must not depend on how
/// fast the first one's report is here.
#[test]
fn an_opening_is_made_once_however_it_is_submitted() {
    for (name, adaptive) in [("rkc2:stages=4", false), ("dp5", true), ("rkl2:stages=5", true)] {
        let run = |per_submit: u32| {
            let mut source = Counting::new(&Problem::Quartic, 1 << 16, BatchesFrom::Device);
            let layout = source.inner.layout().clone();
            let mut builder = builder(name).attempts_per_submit(per_submit);
            builder = match adaptive {
                true => builder.adaptive(Adaptive::new(1e-3, 1e-5)),
                false => builder.step_size(StepSize::constant(0.1)),
            };
            let mut optimizer = builder.build(gpu(), &layout, &noise(1 << 16, 2)).unwrap();
            optimizer.run(&mut source, 8).unwrap();
            optimizer.wait().unwrap();
            (source.made(), optimizer.params().read().unwrap())
        };
        assert!(run(8) == run(1), "{name}");
    }
}

/// The same drive makes the same attempts, to the bit of its checkpoint.
#[test]
fn drives_are_the_same_every_run() {
    for name in ["dp5", "rkl2"] {
        let run = |pause: bool| {
            let mut source = Analytic::new(gpu(), &Problem::Rosenbrock, 2).unwrap();
            let mut optimizer = builder(name)
                .adaptive(Adaptive::new(1e-4, 1e-6))
                .build(gpu(), source.layout(), &[-1.2, 1.0])
                .unwrap();
            optimizer.run_until(&mut source, 0.5).unwrap();
            if pause {
                // Copies arrive at another time where somebody polls.
                let _ = optimizer.reports();
            }
            optimizer.set_end(Some(2.0)).unwrap();
            optimizer.run(&mut source, 50).unwrap();
            optimizer.run_accepted(&mut source, 5).unwrap();
            optimizer.snapshot().unwrap().to_bytes().unwrap()
        };
        let first = run(false);
        assert!(first == run(true), "{name}");
        assert!(first == run(false), "{name}");
    }
}

/// `cargo test --release --test loops -- --ignored --nocapture what_a_drive_costs`
#[test]
#[ignore = "measures"]
fn what_a_drive_costs() {
    for (what, n, t_end) in [("small", 64, 40.0), ("large", 1 << 20, 8.0)] {
        for name in ["dp5", "bs3"] {
            let eigenvalues: Vec<f64> =
                noise(n, 3).iter().map(|x| 20.0 * f64::from(x.abs())).collect();
            let problem = Problem::quadratic(&eigenvalues).unwrap();
            let start = noise(n, 5);
            let mut source = Counting::new(&problem, n, BatchesFrom::Device);
            let layout = source.inner.layout().clone();
            let build = || {
                builder(name)
                    .adaptive(Adaptive::new(1e-4, 1e-6))
                    .build(gpu(), &layout, &start)
                    .unwrap()
            };
            let mut until = build();
            until.run_until(&mut source, t_end).unwrap();
            let attempts = until.reports().len() as u64;
            let mut times = [Vec::new(), Vec::new()];
            let mut idle = 0;
            for _ in 0..7 {
                // The same attempts, and nobody asks how far they are.
                let mut ahead = build();
                let begun = std::time::Instant::now();
                ahead.run(&mut source, attempts).unwrap();
                ahead.wait().unwrap();
                times[0].push(begun.elapsed().as_secs_f64());
                let before = source.made();
                let mut until = build();
                let begun = std::time::Instant::now();
                until.run_until(&mut source, t_end).unwrap();
                times[1].push(begun.elapsed().as_secs_f64());
                idle = source.made() - before - last(&mut until);
            }
            let [ahead, until] = times.map(|mut t| {
                t.sort_by(f64::total_cmp);
                1e3 * t[3]
            });
            println!(
                "{what} {name}: {attempts} attempts, run {ahead:.2} ms, run_until {until:.2} ms, \
                 {:.3} of it; {idle} evaluations idle",
                until / ahead
            );
        }
    }
}
