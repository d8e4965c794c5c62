//! Step sizes that follow loss and curvature, clipping, and the automatic first
//! step: on the device against the textbook.

mod common;

use common::{Planted, default_limits_gpu, gpu, noise, relative};
use kutta::ingredients::{Curvature, Rule};
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook};
use kutta::{
    Adaptive, Error, Fusion, Gpu, Ingredients, Method, Momentum, Optimizer, Preconditioner,
    StepSize, Verdict,
};

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

fn rules() -> Vec<StepSize> {
    let dal = |from| "dal:p=1,h-max=0.3".parse::<StepSize>().unwrap().with_curvature(from);
    let rescaled = |p, from| StepSize::rescaled_dal(0.4, p).with_curvature(from);
    vec![
        dal(Curvature::Probe),
        dal(Curvature::Stages),
        rescaled(1.0, Curvature::Probe),
        rescaled(0.5, Curvature::Stages),
        rescaled(0.0, Curvature::Probe),
        StepSize::polyak(0.7),
        StepSize::sgd_g2(0.3, 0.9),
    ]
}

#[test]
fn the_device_takes_the_textbooks_steps() {
    let n = 70;
    let start = noise(n, 11);
    let problem = Problem::Quartic;
    let recipes = [
        Ingredients::default(),
        Ingredients { clip: Some(0.8), momentum: Momentum::heavy_ball(0.5), ..Default::default() },
        Ingredients { preconditioner: Preconditioner::adagrad_rescaled(), ..Default::default() },
        Ingredients {
            preconditioner: Preconditioner::rmsprop(0.9, 0.1),
            momentum: Momentum::ema(0.9),
            weight_decay: 0.1,
            clip: Some(0.5),
            ..Default::default()
        },
    ];
    for name in ["euler", "heun", "rk4", "dp5"] {
        for step_size in rules() {
            let rule = step_size.rule().unwrap();
            if name == "euler" && rule.curvature() == Some(Curvature::Stages) {
                continue;
            }
            for (recipe, fusion) in
                recipes.into_iter().zip([Fusion::Full, Fusion::None].into_iter().cycle())
            {
                let recipe = Ingredients { rule: Some(rule), ..recipe };
                let mut source = Analytic::new(gpu(), &problem, n).unwrap();
                let mut optimizer = Optimizer::builder(method(name))
                    .ingredients(recipe)
                    .step_size(step_size.clone())
                    .fusion(fusion)
                    .build(gpu(), source.layout(), &start)
                    .unwrap();
                // SGD-G2 lets h grow until it is unstable.
                let attempts = if matches!(rule, Rule::SgdG2 { .. }) { 5 } else { 12 };
                optimizer.run(&mut source, attempts as u64).unwrap();
                optimizer.wait().unwrap();
                let tableau = method(name);
                let mut book = textbook::Trainer::new(tableau.tableau(), recipe, &f64s(&start));
                let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
                let reports = optimizer.reports();
                assert_eq!(reports.len(), attempts);
                for report in &reports {
                    let what = format!("{name} {fusion:?} {recipe:?} {report:?}");
                    let (h, r) = book.choose(problem.loss(book.theta()), &mut gradient);
                    assert_eq!(report.verdict, Verdict::Accepted, "{what}");
                    // A probe's curvature is a difference over a hundredth.
                    let near = |a: f64, b: f64| (a - b).abs() <= 2e-3 * b.abs().max(1e-3);
                    assert!(near(report.h.into(), h), "{what}: h {h}");
                    assert_eq!(report.curvature.is_some(), r.is_some());
                    if let (Some(found), Some(r)) = (report.curvature, r) {
                        assert!(near(found.into(), r), "{what}: r {r}");
                    }
                    // With the device's own h, so that rounding does not add up.
                    book.step(report.h.into(), &mut gradient).unwrap();
                }
                let theta = optimizer.params().read().unwrap();
                let error = relative(&theta, book.theta());
                assert!(error < 1e-5, "{name} {recipe:?}: {error:e}");
            }
        }
    }
}

#[test]
fn curvature_of_a_quadratic_is_its_eigenvalue() {
    for lambda in [0.5, 40.0] {
        let problem = Problem::quadratic(&[lambda; 5]).unwrap();
        for from in [Curvature::Probe, Curvature::Stages] {
            let mut source = Analytic::new(gpu(), &problem, 5).unwrap();
            let step_size = StepSize::rescaled_dal(0.1, 1.0).with_curvature(from);
            let mut optimizer = Optimizer::builder(Method::heun())
                .step_size(step_size)
                .build(gpu(), source.layout(), &[1.0, -2.0, 0.5, 3.0, 0.1])
                .unwrap();
            optimizer.run(&mut source, 5).unwrap();
            optimizer.wait().unwrap();
            for report in optimizer.reports() {
                let r = f64::from(report.curvature.unwrap());
                assert!((r / lambda - 1.0).abs() < 1e-3, "{lambda} {from:?}: {report:?}");
                // 1/h = 1/c + r/2.
                let inverse = 10.0 + lambda / 2.0;
                assert!((f64::from(report.h) * inverse - 1.0).abs() < 1e-3, "{report:?}");
            }
        }
    }
}

#[test]
fn rescaled_dal_holds_rk4_where_it_would_diverge() {
    let lambda = 100.0;
    let problem = Problem::quadratic(&[1.0, lambda]).unwrap();
    for h in [0.0284, 0.05, 1.0] {
        assert!(h * lambda > 2.785);
        let end = |step_size: StepSize| {
            let mut source = Analytic::new(gpu(), &problem, 2).unwrap();
            let mut optimizer = Optimizer::builder(Method::rk4())
                .step_size(step_size)
                .build(gpu(), source.layout(), &[1.0, 1.0])
                .unwrap();
            optimizer.run(&mut source, 400).unwrap();
            let theta = optimizer.params().read().unwrap();
            f64::from(theta[0]).hypot(theta[1].into())
        };
        let (plain, dal) = (end(StepSize::constant(h as f32)), end(StepSize::rescaled_dal(h, 1.0)));
        assert!(plain > 1.5 || plain.is_nan(), "h = {h}: {plain}");
        assert!(dal < 0.1, "h = {h}: {dal}");
    }
}

#[test]
fn faults_leave_no_trace_under_clipping_and_rules() {
    let n = 259;
    let start = noise(n, 5);
    let recipe = Ingredients {
        preconditioner: Preconditioner::adam(0.99, 1e-3),
        momentum: Momentum::ema(0.9),
        clip: Some(0.1),
        ..Default::default()
    };
    let step_sizes = rules().into_iter().chain([StepSize::constant(0.01)]);
    for step_size in step_sizes {
        for (stage, value, in_loss) in [
            (1, f32::NAN, false),
            (1, f32::INFINITY, false),
            // Finite, but no f32 is small enough to clip it with.
            (1, 3e38, false),
            (1, f32::NAN, true),
            (3, f32::NEG_INFINITY, false),
        ] {
            let build = || {
                let quartic = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
                let optimizer = Optimizer::builder(Method::rk4())
                    .ingredients(recipe)
                    .step_size(step_size.clone())
                    .build(gpu(), quartic.layout(), &start)
                    .unwrap();
                (optimizer, quartic)
            };
            let (mut optimizer, inner) = build();
            let element = n as u32 - 1;
            let mut source = Planted { inner, attempt: 2, stage, element, value, in_loss };
            optimizer.run(&mut source, 5).unwrap();
            let (mut other, mut quartic) = build();
            other.run(&mut quartic, 4).unwrap();
            let what = format!("{step_size:?} stage {stage} {value}");
            assert_eq!(
                optimizer.params().read().unwrap(),
                other.params().read().unwrap(),
                "{what}"
            );
            optimizer.wait().unwrap();
            let reports = optimizer.reports();
            assert_eq!(reports[2].verdict, Verdict::Skipped { stage }, "{what}");
            assert_eq!(reports[4].non_finite, 1, "{what}");
            assert!(reports.iter().all(|r| r.h.is_finite()), "{what}");
        }
    }
}

#[test]
fn clipping_bounds_the_step() {
    let start = [3.0f32, 4.0];
    let mut source = Analytic::new(gpu(), &Problem::quadratic(&[1.0, 1.0]).unwrap(), 2).unwrap();
    let mut optimizer = Optimizer::builder(Method::euler())
        .clip(0.5)
        .step_size(StepSize::constant(0.1))
        .build(gpu(), source.layout(), &start)
        .unwrap();
    optimizer.step(&mut source).unwrap();
    // ‖g‖ = 5 becomes 0.5: a tenth.
    assert!(relative(&optimizer.params().read().unwrap(), &[2.97, 3.96]) < 1e-6);
    optimizer.wait().unwrap();
    assert_eq!(optimizer.reports()[0].grad_norm, Some(5.0));
}

#[test]
fn the_first_step_is_hairers() {
    let problem = Problem::quadratic(&[1.0, 30.0, 400.0]).unwrap();
    let start = [1.0f32, -0.5, 0.01];
    let theta = f64s(&start);
    for (name, k) in [("heun-euler", 2.0), ("bs3", 3.0), ("dp5", 5.0)] {
        for batches in [1, 40] {
            let adaptive = Adaptive::new(1e-4, 1e-6);
            let mut source = Analytic::new(gpu(), &problem, 3).unwrap();
            let mut optimizer = Optimizer::builder(method(name))
                .adaptive(adaptive)
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, batches).unwrap();
            optimizer.wait().unwrap();
            // As the book writes it, for comparison with the textbook's own.
            let rms = |x: &[f64]| {
                let scaled = |(x, t): (&f64, &f64)| (x / (1e-6 + 1e-4 * t.abs())).powi(2);
                (x.iter().zip(&theta).map(scaled).sum::<f64>() / 3.0).sqrt()
            };
            let g = problem.gradient(&theta);
            let (d0, d1) = (rms(&theta), rms(&g));
            let h0 = 0.01 * d0 / d1;
            let beside: Vec<f64> = theta.iter().zip(&g).map(|(t, g)| t - h0 * g).collect();
            let change: Vec<f64> =
                problem.gradient(&beside).iter().zip(&g).map(|(a, b)| a - b).collect();
            let d2 = rms(&change) / h0;
            let h = (100.0 * h0).min((0.01 / d1.max(d2)).powf(1.0 / k));
            let recipe = Ingredients { adaptive: Some(adaptive), ..Default::default() };
            let tableau = method(name);
            let book = textbook::Trainer::new(tableau.tableau(), recipe, &theta);
            let same = book.first_step(&mut |_, x| problem.gradient(x));
            assert!((same / h - 1.0).abs() < 1e-12, "{name}: {same}, not {h}");
            let reports = optimizer.reports();
            let found = f64::from(reports[0].h);
            assert!((found / h - 1.0).abs() < 1e-3, "{name}: {found}, not {h}");
            assert_eq!(reports.len(), batches as usize);
        }
    }
}

#[test]
fn chunks_and_default_limits_change_no_bit() {
    let n = 300_000;
    let start = noise(n, 2);
    for step_size in [StepSize::rescaled_dal(0.1, 1.0), StepSize::sgd_g2(0.1, 0.9)] {
        let run = |gpu: &Gpu, most: Option<usize>| {
            let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
            let mut builder = Optimizer::builder(Method::heun())
                .step_size(step_size.clone())
                .clip(10.0)
                .preconditioner(Preconditioner::adagrad_rescaled());
            if let Some(most) = most {
                builder = builder.elements_per_binding(most);
            }
            let mut optimizer = builder.build(gpu, source.layout(), &start).unwrap();
            optimizer.run(&mut source, 6).unwrap();
            optimizer.params().read().unwrap()
        };
        let whole = run(gpu(), None);
        assert_eq!(whole, run(gpu(), Some(70_000)));
        assert_eq!(whole, run(default_limits_gpu(), None));
    }
}

#[test]
fn bad_input_is_refused_with_numbers() {
    let layout = kutta::ParamLayout::flat(2).unwrap();
    let build = |method: Method, step_size: StepSize, recipe: Ingredients| {
        Optimizer::builder(method).ingredients(recipe).step_size(step_size).build(
            gpu(),
            &layout,
            &[1.0, 2.0],
        )
    };
    let message = |method: Method, step_size: StepSize, recipe: Ingredients| {
        build(method, step_size, recipe).unwrap_err().to_string()
    };
    let plain = Ingredients::default();
    for (step_size, words) in [
        (StepSize::rescaled_dal(-0.1, 1.0), "-0.1"),
        (StepSize::dal(f64::NAN), "NaN"),
        (StepSize::polyak(0.0), "h_max"),
        (StepSize::sgd_g2(0.1, 1.0), "beta"),
    ] {
        let found = message(Method::rk4(), step_size, plain);
        assert!(found.contains(words), "{found}");
    }
    let stages = StepSize::dal(1.0).with_curvature(Curvature::Stages);
    let found = message(Method::euler(), stages, plain);
    assert!(found.contains("probe"), "{found}");
    let clip = Ingredients { clip: Some(-1.0), ..plain };
    assert!(message(Method::euler(), StepSize::constant(0.1), clip).contains("-1.0"));
    let both = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..plain };
    assert!(message(method("dp5"), StepSize::dal(1.0), both).contains("DAL"));
    let mut optimizer = build(Method::rk4(), StepSize::rescaled_dal(0.1, 1.0), plain).unwrap();
    optimizer.set_step_size(&StepSize::rescaled_dal(0.2, 2.0)).unwrap();
    let other = optimizer.set_step_size(&StepSize::constant(0.1));
    assert!(matches!(other, Err(Error::Optimizer(_))), "{other:?}");
    assert!("dal:p=1,from=nowhere".parse::<StepSize>().unwrap_err().to_string().contains("stages"));
    let parsed: StepSize = "rescaled-dal:c=0.1,p=1,from=stages".parse().unwrap();
    let rule = Rule::RescaledDal { c: 0.1, p: 1.0, from: Curvature::Stages };
    assert_eq!(parsed.rule(), Some(rule));
    assert_eq!(rule.to_string().parse::<StepSize>().unwrap(), parsed);
}
