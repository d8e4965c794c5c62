//! Step sizes from error estimates, on the device: against the textbook in f64,
//! against the flow's solution, and untouched by refusals.

mod common;

use common::{Planted, default_limits_gpu, gpu, noise, relative};
use kutta::error::{IngredientError, OptimizerError};
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook};
use kutta::{
    Adaptive, BatchesFrom, Controller, Error, Evaluation, Fusion, Gpu, GradientSource, Ingredients,
    Method, Momentum, Optimizer, Preconditioner, Rejection, SourceError, StepSize, Verdict,
};

const PAIRS: [&str; 4] = ["heun-euler", "bs3", "dp5", "dop853"];

fn builder(method: &str, adaptive: Adaptive, h: f32) -> kutta::optimizer::Builder {
    Optimizer::builder(method.parse::<Method>().unwrap())
        .adaptive(adaptive)
        .step_size(StepSize::constant(h))
}

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// As the source would be if it had batches: no gradient is used twice.
struct Batched<S>(S);

impl<S: GradientSource> GradientSource for Batched<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        self.0.evaluate(at)
    }
}

#[test]
fn the_device_takes_the_textbooks_steps() {
    let n = 300;
    let start = noise(n, 3);
    let controllers = [Controller::I, Controller::Pi, Controller::pid()];
    let recipes = [
        Ingredients::default(),
        Ingredients { momentum: Momentum::heavy_ball(0.5), ..Default::default() },
        Ingredients { preconditioner: Preconditioner::adagrad_rescaled(), ..Default::default() },
        Ingredients {
            preconditioner: Preconditioner::adam(0.99, 1e-3),
            momentum: Momentum::ema(0.9),
            weight_decay: 0.1,
            ..Default::default()
        },
    ];
    for method in PAIRS {
        let tableau = method.parse::<Method>().unwrap();
        let pair = tableau.tableau();
        let weights = pair.b().iter().zip(pair.b_hat().unwrap());
        // Σ|b − b̂|: 4.2 for 8(5,3), less than one for the others.
        let spread: f64 = weights.map(|(b, b_hat)| (b - b_hat).abs()).sum();
        for controller in controllers {
            for (recipe, fusion) in
                recipes.into_iter().zip([Fusion::Full, Fusion::None].iter().cycle())
            {
                let adaptive = Adaptive::new(1e-3, 1e-4).controller(controller);
                let recipe = Ingredients { adaptive: Some(adaptive), ..recipe };
                let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
                let mut optimizer = builder(method, adaptive, 0.5)
                    .preconditioner(recipe.preconditioner)
                    .momentum(recipe.momentum)
                    .weight_decay(recipe.weight_decay)
                    .fusion(*fusion)
                    .build(gpu(), source.layout(), &start)
                    .unwrap();
                optimizer.run(&mut source, 25).unwrap();
                optimizer.wait().unwrap();
                let mut book = textbook::Trainer::new(tableau.tableau(), recipe, &f64s(&start));
                let mut gradient = |_: usize, x: &[f64]| Problem::Quartic.gradient(x);
                for report in optimizer.reports() {
                    // With the device's own h, so that rounding does not add up.
                    let error = book.attempt(report.h.into(), &mut gradient).unwrap();
                    let what = format!("{method} {fusion:?} {recipe:?} {report:?}");
                    let found = f64::from(report.error.unwrap());
                    // An error is a difference: what it loses is f32's share of the sum.
                    let near = (found - error).abs() <= 2e-3 * error.max(0.05 * spread.max(1.0));
                    // Beyond this the squares pass the range of f32.
                    let far = (error > 1e15 && found > 1e15)
                        // Stages so far out that their gradients do.
                        || ((error > 100.0 || error.is_nan()) && !found.is_finite());
                    assert!(near || far, "{what}: {error}");
                    let accepted = report.verdict == Verdict::Accepted;
                    assert_eq!(accepted, error <= 1.0, "{what}: {error}");
                }
                let theta = optimizer.params().read().unwrap();
                assert!(relative(&theta, book.theta()) < 1e-5, "{method} {recipe:?}");
            }
        }
    }
}

#[test]
fn h_follows_the_controllers_formula() {
    let start = noise(64, 5);
    for controller in [Controller::I, Controller::Pi, Controller::pid()] {
        for method in PAIRS {
            let adaptive = Adaptive::new(1e-4, 1e-6).controller(controller).bounds(1e-9, 2.0);
            let mut source = Analytic::new(gpu(), &Problem::Quartic, 64).unwrap();
            // Far too long: it begins with refusals.
            let mut optimizer =
                builder(method, adaptive, 50.0).build(gpu(), source.layout(), &start).unwrap();
            optimizer.run(&mut source, 60).unwrap();
            optimizer.wait().unwrap();
            let order = optimizer.plan().error_order();
            let mut history = kutta::ingredients::History::default();
            let reports = optimizer.reports();
            assert_eq!(reports[0].verdict, Verdict::Refused);
            for pair in reports.windows(2) {
                let error = f64::from(pair[0].error.unwrap());
                let factor = adaptive.factor(order, error, &mut history);
                let wanted =
                    (f64::from(pair[0].h) * factor).min(if error <= 1.0 { 2.0 } else { 1e9 });
                let found = f64::from(pair[1].h);
                assert!((found / wanted - 1.0).abs() < 1e-5, "{method} {controller}: {pair:?}");
            }
        }
    }
}

/// Reference solutions by RK4 in f64 with steps far below what is tested.
fn solution(problem: &Problem, start: &[f64], t_end: f64) -> Vec<f64> {
    use textbook::{Until, integrate};
    let method = Method::rk4();
    let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
    let steps = 200_000;
    let path = integrate(
        method.tableau(),
        t_end / f64::from(steps),
        start,
        Until::Steps(steps as usize),
        &mut gradient,
    );
    path.unwrap().pop().unwrap().theta
}

/// What `scripts/solve_ivp.py` printed: SciPy's RK45 on the same problems, with
/// its accepted and refused steps.
const SCIPY: &str = include_str!("data/solve_ivp.txt");

#[test]
fn dormand_and_prince_is_as_good_as_scipys() {
    for line in SCIPY.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |i: usize| fields[i].parse::<f64>().unwrap();
        let (rtol, atol, h, t_end) = (number(1), number(2), number(3), number(4));
        let (accepted, refused) = (number(5), number(6));
        let (problem, start) = match fields[0] {
            "rosenbrock" => (Problem::Rosenbrock, vec![-1.2, 1.0]),
            "stiff" => (Problem::quadratic(&[1.0, 100.0, 1000.0]).unwrap(), vec![1.0, -1.0, 0.5]),
            other => panic!("{other}"),
        };
        let theta: Vec<f32> = start.iter().map(|&x| x as f32).collect();
        let mut source = Analytic::new(gpu(), &problem, theta.len()).unwrap();
        let mut optimizer = builder("dp5", Adaptive::new(rtol, atol), h as f32)
            .build(gpu(), source.layout(), &theta)
            .unwrap();
        optimizer.run_until(&mut source, t_end).unwrap();
        let reports = optimizer.reports();
        let count = |verdict| reports.iter().filter(|r| r.verdict == verdict).count() as f64;
        let found = (count(Verdict::Accepted), count(Verdict::Refused));
        println!("{line}: here {found:?}");
        assert_eq!(optimizer.time(), t_end);
        // Where stability bounds h, a stiff component grows from what rounding leaves of it:
        // that is more in f32, and more steps are refused, of a hundred about two.
        let near = |found: f64, expected: f64, of: f64| (found - expected).abs() <= of;
        assert!(near(found.0, accepted, 0.05 * accepted), "{line}: {found:?}");
        assert!(near(found.1, refused, 0.03 * (accepted + refused)), "{line}: {found:?}");
        let end = optimizer.params().read().unwrap();
        let exact = solution(&problem, &start, t_end);
        let error = relative(&end, &exact);
        assert!(error <= 10.0 * rtol, "{line}: {error:e}");
    }
}

#[test]
fn a_thousand_adaptive_steps_in_one_encoder() {
    let start = [-1.2f32, 1.0];
    for batched in [false, true] {
        let inner = Analytic::rosenbrock(gpu(), 2).unwrap();
        let layout = inner.layout().clone();
        let mut optimizer =
            builder("dp5", Adaptive::new(1e-3, 1e-6), 1e-4).build(gpu(), &layout, &start).unwrap();
        let mut encoder = gpu().device().create_command_encoder(&Default::default());
        let mut record = |optimizer: &mut Optimizer| {
            if batched {
                optimizer
                    .record(&mut encoder, &mut Batched(Analytic::rosenbrock(gpu(), 2).unwrap()))
            } else {
                optimizer.record(&mut encoder, &mut Analytic::rosenbrock(gpu(), 2).unwrap())
            }
        };
        for _ in 0..1000 {
            record(&mut optimizer).unwrap();
        }
        gpu().queue().submit([encoder.finish()]);
        optimizer.wait().unwrap();
        let reports = optimizer.reports();
        assert_eq!(reports.len(), 1000);
        assert!(reports.iter().any(|r| r.verdict == Verdict::Refused));
        let last = reports.last().unwrap();
        assert!(last.accepted > 700 && last.time > 1.0, "{last:?}");
        let exact = solution(&Problem::Rosenbrock, &f64s(&start), last.time.min(3.0));
        if last.time < 3.0 {
            let end = optimizer.params().read().unwrap();
            assert!(relative(&end, &exact) < 0.05, "{end:?} {exact:?}");
        }
    }
}

#[test]
fn a_gradient_used_twice_changes_no_bit() {
    for method in ["bs3", "dp5"] {
        let start = noise(1000, 9);
        let quartic = || Analytic::new(gpu(), &Problem::Quartic, 1000).unwrap();
        let layout = quartic().layout().clone();
        let adaptive = Adaptive::new(1e-4, 1e-5);
        let build = || builder(method, adaptive, 5.0).build(gpu(), &layout, &start).unwrap();
        let (mut reusing, mut fresh) = (build(), build());
        reusing.run(&mut quartic(), 50).unwrap();
        fresh.run(&mut Batched(quartic()), 50).unwrap();
        assert_eq!(reusing.params().read().unwrap(), fresh.params().read().unwrap());
        reusing.wait().unwrap();
        fresh.wait().unwrap();
        let (reusing, fresh) = (reusing.reports(), fresh.reports());
        assert!(fresh.iter().any(|r| r.verdict == Verdict::Refused));
        for (a, b) in reusing.iter().zip(&fresh) {
            assert_eq!(
                (a.h, a.error, a.grad_norm, a.verdict),
                (b.h, b.error, b.grad_norm, b.verdict)
            );
            let (x, y) = (a.loss.unwrap(), b.loss.unwrap());
            assert_eq!(x, y, "{a:?} {b:?}");
        }
        let stages = fresh.last().unwrap().evaluations / 50;
        // One for each chunk of 32.
        assert_eq!(reusing.last().unwrap().evaluations, (stages - 1) * 50 + 2);
    }
}

#[test]
fn a_refused_attempt_leaves_no_trace() {
    let start = noise(300, 12);
    let recipe = (Preconditioner::amsgrad(0.99, 1e-3), Momentum::heavy_ball(0.9));
    for method in PAIRS {
        for (stage, value) in [(2, f32::NAN), (2, f32::INFINITY), (1, f32::NAN), (0, 0.0)] {
            let build = || {
                let quartic = Analytic::new(gpu(), &Problem::Quartic, 300).unwrap();
                let optimizer = builder(method, Adaptive::new(1e-2, 1e-3), 0.2)
                    .preconditioner(recipe.0)
                    .momentum(recipe.1)
                    .build(gpu(), quartic.layout(), &start)
                    .unwrap();
                (optimizer, quartic)
            };
            let (mut optimizer, inner) = build();
            let mut source =
                Planted { inner, attempt: 3, stage, element: 299, value, in_loss: false };
            optimizer.run(&mut source, 3).unwrap();
            if stage == 0 {
                // Refused for its length.
                optimizer.set_step_size(&StepSize::constant(3.0)).unwrap();
            }
            let before = optimizer.params().read().unwrap();
            optimizer.run(&mut source, 1).unwrap();
            assert_eq!(optimizer.params().read().unwrap(), before);
            optimizer.wait().unwrap();
            let refused = optimizer.reports().pop().unwrap();
            let what = format!("{method} stage {stage} {value}: {refused:?}");
            let verdict = if stage == 1 { Verdict::Skipped { stage: 1 } } else { Verdict::Refused };
            assert_eq!(refused.verdict, verdict, "{what}");
            // Steps far too long may pass the range of f32, or not.
            assert!(stage == 0 || refused.non_finite == 1, "{what}");
            // From here on as an optimizer that never saw it.
            let h = StepSize::constant(0.1);
            optimizer.set_step_size(&h).unwrap();
            optimizer.run(&mut source, 3).unwrap();
            let (mut other, mut quartic) = build();
            other.run(&mut quartic, 3).unwrap();
            other.set_step_size(&h).unwrap();
            other.run(&mut quartic, 3).unwrap();
            assert_eq!(
                optimizer.params().read().unwrap(),
                other.params().read().unwrap(),
                "{what}"
            );
        }
    }
}

#[test]
fn refusals_retry_their_batch_or_skip_it() {
    for (rejection, batches) in [(Rejection::Retry, [0, 0, 0]), (Rejection::Skip, [0, 1, 2])] {
        let mut source = Analytic::new(gpu(), &Problem::Quartic, 64).unwrap();
        let adaptive = Adaptive::new(1e-4, 1e-6).rejection(rejection);
        let mut optimizer =
            builder("bs3", adaptive, 1e4).build(gpu(), source.layout(), &noise(64, 5)).unwrap();
        optimizer.run(&mut source, 3).unwrap();
        optimizer.wait().unwrap();
        let reports = optimizer.reports();
        assert!(reports.iter().all(|r| r.verdict == Verdict::Refused), "{reports:?}");
        assert_eq!(reports.iter().map(|r| r.batch).collect::<Vec<_>>(), batches);
        assert_eq!(reports[2].refused, 3);
    }
}

#[test]
fn endless_refusals_end_with_an_error() {
    let start = noise(64, 5);
    let mut source = Analytic::new(gpu(), &Problem::Quartic, 64).unwrap();
    let layout = source.layout().clone();
    let adaptive = Adaptive::new(1e-7, 1e-9).bounds(1.0, 1e9);
    let mut optimizer =
        builder("heun-euler", adaptive, 50.0).build(gpu(), &layout, &start).unwrap();
    let error = optimizer.run_until(&mut source, 100.0).unwrap_err();
    let Error::Optimizer(OptimizerError::StepSizeUnderflow { h, h_min, error }) = error else {
        panic!("{error}");
    };
    assert!(h < 1.0 && h_min == 1.0 && error > 1.0);
    assert_eq!(optimizer.params().read().unwrap(), start);
    // Nothing moves until somebody starts anew.
    assert!(optimizer.run_accepted(&mut source, 1).is_err());
    optimizer.set_step_size(&StepSize::constant(2.0)).unwrap();
    assert!(optimizer.run_accepted(&mut source, 1).is_err());

    let adaptive = Adaptive::new(1e-7, 1e-9).most_rejections(4);
    let mut optimizer = builder("bs3", adaptive, 1e9).build(gpu(), &layout, &start).unwrap();
    let error = optimizer.run_accepted(&mut source, 1).unwrap_err().to_string();
    assert!(error.contains("5 attempts in a row"), "{error}");
    optimizer.set_step_size(&StepSize::constant(1e-3)).unwrap();
    optimizer.run_accepted(&mut source, 1).unwrap();
}

#[test]
fn chunks_and_default_limits_change_no_bit() {
    let n = 300_000;
    let start = noise(n, 2);
    let run = |gpu: &Gpu, most: Option<usize>| {
        let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
        // With more bindings the plan is another one.
        let mut builder = builder("dp5", Adaptive::new(1e-4, 1e-5), 4.0)
            .bindings(8)
            .preconditioner(Preconditioner::adagrad_rescaled())
            .momentum(Momentum::nesterov(0.5));
        if let Some(most) = most {
            builder = builder.elements_per_binding(most);
        }
        let mut optimizer = builder.build(gpu, source.layout(), &start).unwrap();
        optimizer.run(&mut source, 8).unwrap();
        optimizer.wait().unwrap();
        let hs: Vec<f32> = optimizer.reports().iter().map(|r| r.h).collect();
        (optimizer.params().read().unwrap(), hs)
    };
    let whole = run(gpu(), None);
    assert!(whole == run(gpu(), Some(70_000)), "chunks change bits");
    assert!(whole == run(default_limits_gpu(), None), "default limits change bits");
}

#[test]
fn bad_input_is_refused_with_numbers() {
    let layout = kutta::ParamLayout::flat(2).unwrap();
    let build = |method: &str, adaptive: Adaptive| {
        builder(method, adaptive, 0.1).build(gpu(), &layout, &[1.0, 2.0]).map(drop)
    };
    let good = Adaptive::new(1e-3, 1e-6);
    let error = build("rk4", good).unwrap_err().to_string();
    assert!(error.contains("cash-karp, dp5, tsit5"), "{error}");
    let error = build("dp5", good.bounds(0.2, 0.1)).unwrap_err();
    assert!(
        matches!(error, Error::Ingredient(IngredientError::Bounds { h_min: 0.2, h_max: 0.1 })),
        "{error}"
    );
    assert!(build("dp5", Adaptive::new(-1e-3, 1e-6)).unwrap_err().to_string().contains("-0.001"));
    let schedule = Optimizer::builder("dp5".parse::<Method>().unwrap())
        .adaptive(good)
        .step_size(StepSize::cosine(0.1, 0.01, 100))
        .build(gpu(), &layout, &[1.0, 2.0]);
    assert!(matches!(schedule.map(drop), Err(Error::Optimizer(OptimizerError::AdaptiveSchedule))));
    assert_eq!(BatchesFrom::default(), BatchesFrom::Device);
}
