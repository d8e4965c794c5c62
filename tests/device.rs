//! The device against the f64 oracle: every method, problem, size and fusion.

mod common;

use common::{default_limits_gpu, gpu, methods, noise, relative};
use kutta::models::Analytic;
use kutta::plan::Options;
use kutta::reference::{Problem, Replay, textbook};
use kutta::{Adaptive, Fusion, Guard, Method, Optimizer, Plan, SpectralRadius, StepSize, Tableau};

/// So small that no step is bounded by it.
const UNBOUNDED: SpectralRadius = SpectralRadius::Given(1e-20);

/// A problem with a start and a step size at which 100 steps mean something.
fn problems() -> Vec<(Problem, Vec<f32>, f32)> {
    let eigenvalues = [1.0, 10.0, 100.0, 0.5, 33.0];
    vec![
        (Problem::quadratic(&eigenvalues).unwrap(), vec![1.0, -1.0, 0.5, 2.0, -0.25], 0.01),
        (Problem::Rosenbrock, vec![-1.2, 1.0, 0.3, -0.4, 1.5, 1.2], 5e-4),
        (Problem::Quartic, vec![1.0, -0.5, 1.5], 0.1),
        (Problem::Himmelblau, vec![0.5, 0.25], 5e-3),
        (Problem::Beale, vec![1.0, 0.5], 1e-2),
    ]
}

fn widened(theta: &[f32]) -> Vec<f64> {
    theta.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn every_method_agrees_with_the_oracle_over_100_steps() {
    for (problem, start, h) in problems() {
        for method in methods() {
            let tableau = method.tableau();
            // Where the terms of a point are a hundred gradients large and cancel,
            // so does the rounding of f32 gradients show, whoever adds them up.
            let size = |row: &Vec<f64>| row.iter().map(|a| a.abs()).sum::<f64>();
            let large = tableau.rows().iter().map(size).fold(0.0, f64::max) > 64.0;
            let h = if large { h / 8.0 } else { h };
            let mut expected = widened(&start);
            let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
            for _ in 0..100 {
                let step = textbook::step(tableau, f64::from(h), &expected, &mut gradient);
                expected = step.unwrap().theta;
            }
            for fusion in [Fusion::None, Fusion::Full] {
                let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
                let mut optimizer = Optimizer::builder(method.clone())
                    .spectral_radius(UNBOUNDED)
                    .step_size(StepSize::constant(h))
                    .fusion(fusion)
                    .build(gpu(), source.layout(), &start)
                    .unwrap();
                optimizer.run(&mut source, 100).unwrap();
                let found = optimizer.params().read().unwrap();
                let error = relative(&found, &expected);
                assert!(error <= 1e-5, "{method} on {problem}, {fusion:?}: {error:e}");
            }
        }
    }
}

/// Kutta's method of order 5, whose last row skips the gradient before it, and a pair
/// with two stages at one point and a step that ends at the third: what would be made
/// of another vector alone is that vector.
#[test]
fn points_that_are_another_vector_are_stepped_from() {
    let nystrom: [&[f64]; 6] = [
        &[],
        &[1.0 / 3.0],
        &[4.0 / 25.0, 6.0 / 25.0],
        &[0.25, -3.0, 3.75],
        &[2.0 / 27.0, 10.0 / 9.0, -50.0 / 81.0, 8.0 / 81.0],
        &[2.0 / 25.0, 12.0 / 25.0, 2.0 / 15.0, 8.0 / 75.0, 0.0],
    ];
    let b = [23.0, 0.0, 125.0, 0.0, -81.0, 125.0].map(|x| x / 192.0);
    let nystrom = Tableau::new("nyström", &nystrom, &b, None).unwrap();
    let twice: [&[f64]; 6] = [
        &[],
        &[0.5],
        &[0.5, 0.0],
        &[0.25, 0.5, 0.25],
        &[0.25, 0.25, 0.0, 0.25],
        &[0.0, 0.25, 0.25, 0.25, 0.25],
    ];
    let b = [0.25, 0.5, 0.25, 0.0, 0.0, 0.0];
    let twice = Tableau::new("twice", &twice, &b, None).unwrap();
    let twice = twice.with_embedded(&[0.25, 0.25, 0.0, 0.25, 0.125, 0.125]).unwrap();
    for (tableau, judged) in [(nystrom, false), (twice.clone(), false), (twice, true)] {
        for (problem, start, h) in problems() {
            let mut expected = widened(&start);
            let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
            for _ in 0..100 {
                let step = textbook::step(&tableau, f64::from(h), &expected, &mut gradient);
                expected = step.unwrap().theta;
            }
            for fusion in [Fusion::None, Fusion::Full] {
                let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
                let mut builder = Optimizer::builder(Method::from(tableau.clone()))
                    .step_size(StepSize::constant(h))
                    .fusion(fusion);
                if judged {
                    // Every error is below such tolerances, and h at its most.
                    let adaptive = Adaptive::new(1e9, 1e9).bounds(1e-9, f64::from(h));
                    builder = builder.adaptive(adaptive);
                }
                let mut optimizer = builder.build(gpu(), source.layout(), &start).unwrap();
                optimizer.run(&mut source, 100).unwrap();
                let found = optimizer.params().read().unwrap();
                let error = relative(&found, &expected);
                assert!(error <= 1e-5, "{tableau} on {problem}, {fusion:?}: {error:e}");
            }
        }
    }
}

#[test]
fn loss_and_gradient_norm_are_those_of_the_oracle() {
    for (problem, start, h) in problems() {
        let mut source = Analytic::new(gpu(), &problem, start.len()).unwrap();
        for method in [Method::euler(), Method::rk4()] {
            let mut optimizer = Optimizer::builder(method)
                .step_size(StepSize::constant(h))
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.step(&mut source).unwrap();
            optimizer.wait().unwrap();
            let report = &optimizer.reports()[0];
            let theta = widened(&start);
            let norm = problem.gradient(&theta).iter().map(|g| g * g).sum::<f64>().sqrt();
            for (found, expected) in
                [(report.loss.unwrap(), problem.loss(&theta)), (report.grad_norm.unwrap(), norm)]
            {
                let error = (f64::from(found) - expected).abs() / expected.abs().max(1.0);
                assert!(error < 1e-5, "{problem}: {found} is not {expected}");
            }
        }
    }
}

#[test]
fn fused_is_unfused_within_two_ulp() {
    let n = 65_537;
    let eigenvalues: Vec<f64> = noise(n, 3).iter().map(|x| f64::from(2.0 + 1.9 * x)).collect();
    let problem = Problem::quadratic(&eigenvalues).unwrap();
    let mut source = Analytic::new(gpu(), &problem, n).unwrap();
    for method in methods() {
        for (seed, h) in [(1, 0.01f32), (2, 0.3), (3, 0.1)] {
            let start = noise(n, seed);
            let stepped = |fusion, source: &mut Analytic| {
                let mut optimizer = Optimizer::builder(method.clone())
                    .spectral_radius(UNBOUNDED)
                    .step_size(StepSize::constant(h))
                    .fusion(fusion)
                    .build(gpu(), source.layout(), &start)
                    .unwrap();
                optimizer.step(source).unwrap();
                optimizer.params().read().unwrap()
            };
            let (fused, unfused) =
                (stepped(Fusion::Full, &mut source), stepped(Fusion::None, &mut source));
            // u|θ| + uhΣ|a k| of each row, from the oracle's stages, and hΣ|a|λ times
            // what the points before it are off by.
            let tableau = method.tableau();
            let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
            let step =
                textbook::step(tableau, f64::from(h), &widened(&start), &mut gradient).unwrap();
            let mut worst: f64 = 0.0;
            for i in 0..n {
                let mut off: Vec<f64> = Vec::new();
                let bound = |row: &[f64], off: &[f64]| -> f64 {
                    let terms = row.iter().zip(&step.gradients).zip(off);
                    let size = |((a, k), off): ((&f64, &Vec<f64>), &f64)| {
                        a.abs() * (f64::from(f32::EPSILON) * k[i].abs() + eigenvalues[i] * off)
                    };
                    f64::from(f32::EPSILON * start[i].abs())
                        + f64::from(h) * terms.map(size).sum::<f64>()
                };
                for row in tableau.rows() {
                    off.push(if off.is_empty() { 0.0 } else { bound(row, &off) });
                }
                let ulp = bound(tableau.b(), &off);
                worst = worst.max(f64::from((fused[i] - unfused[i]).abs()) / ulp);
            }
            // In registers every stage rounds a point that the next one starts from,
            // where an unfused stage starts from θ.
            let most = if let Method::Explicit(_) = method { 2.0 } else { tableau.stages() as f64 };
            assert!(worst <= most, "{method}, h = {h}: {worst} ulp");
        }
    }
}

#[test]
fn every_size_is_right_to_its_last_element() {
    for n in [1usize, 3, 4, 5, 255, 256, 257, 65_537] {
        let start = noise(n, n as u64);
        let mut source = Analytic::new(gpu(), &Problem::Quartic, n).unwrap();
        for method in [Method::euler(), Method::heun(), Method::rk4()] {
            let plan = Plan::new(&method, Options::default()).unwrap();
            let theta = widened(&start);
            let mut replay = Replay::new(&plan, &theta);
            let mut optimizer = Optimizer::builder(method.clone())
                .spectral_radius(UNBOUNDED)
                .step_size(StepSize::constant(0.5))
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 3).unwrap();
            optimizer.wait().unwrap();
            for report in optimizer.reports() {
                let attempt =
                    replay.attempt(0.5, &mut |_, x| Problem::Quartic.gradient(x)).unwrap();
                let (found, expected) =
                    (f64::from(report.grad_norm.unwrap()), attempt.grad_norm.unwrap());
                assert!((found - expected).abs() <= 1e-5 * expected, "{n}: ‖g‖ {found} {expected}");
            }
            let error = relative(&optimizer.params().read().unwrap(), replay.theta());
            assert!(error < 1e-6, "{method}, n = {n}: {error:e}");
        }
    }
}

/// Tails of one to three elements, of a block and of a span of workgroups, in plans of
/// every kind and chunks of one span, with no more bindings than WebGPU promises.
#[test]
fn ragged_tails_are_right_in_every_kind_of_plan_and_change_no_bit_in_chunks() {
    let gpu = default_limits_gpu();
    let names = ["dp5", "verner8", "williamson3", "rdpk3sp510", "rkc2:stages=7"];
    for n in [1usize, 3, 5, 63, 65, 4095, 4097, 65_537] {
        let start = noise(n, 7 + n as u64);
        let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
        for name in names {
            let method: Method = name.parse().unwrap();
            // Terms of a point that are a hundred gradients large cancel, and their
            // rounding shows.
            let h = if name == "verner8" { 0.015_625f32 } else { 0.125 };
            // A pair's error is below any such tolerance, and h at its most.
            let adaptive = Adaptive::new(1e9, 1e9).bounds(1e-9, f64::from(h));
            for judged in [false, true] {
                if judged && (method.tableau().b_hat().is_none() || name.starts_with("rkc2")) {
                    continue;
                }
                let mut trained = |most: usize| {
                    let mut builder = Optimizer::builder(method.clone())
                        .spectral_radius(UNBOUNDED)
                        .step_size(StepSize::constant(h))
                        .elements_per_binding(most);
                    if judged {
                        builder = builder.adaptive(adaptive);
                    }
                    let mut optimizer = builder.build(gpu, source.layout(), &start).unwrap();
                    optimizer.run(&mut source, 2).unwrap();
                    optimizer.wait().unwrap();
                    let reports = optimizer.reports();
                    let sums = reports.iter().map(|r| (r.grad_norm, r.error));
                    let sums: Vec<_> =
                        sums.map(|(g, e)| (g.map(f32::to_bits), e.map(f32::to_bits))).collect();
                    (optimizer.params().read().unwrap(), sums, optimizer.plan().clone())
                };
                let (whole, sums, plan) = trained(usize::MAX);
                let (pieces, sums_of_pieces, _) = trained(4096);
                let bits = |theta: &[f32]| theta.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                let what = format!("{name}, n = {n}, judged: {judged}");
                assert!(bits(&whole) == bits(&pieces), "{what}: chunks");
                assert_eq!(sums, sums_of_pieces, "{what}: sums of chunks");
                assert_eq!(sums.len(), 2, "{what}");
                let mut replay = Replay::new(&plan, &widened(&start));
                for _ in 0..2 {
                    replay.attempt(f64::from(h), &mut |_, x| Problem::Quartic.gradient(x)).unwrap();
                }
                let error = relative(&whole, replay.theta());
                assert!(error <= 1e-5, "{what}: {error:e}");
            }
        }
    }
}

#[test]
fn chunking_and_limits_change_no_bit() {
    let n = 300_001;
    let start = noise(n, 5);
    for method in [Method::euler(), Method::rk4(), "ssprk33".parse().unwrap()] {
        let trained = |gpu: &kutta::Gpu, most: usize| {
            let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
            let mut optimizer = Optimizer::builder(method.clone())
                .spectral_radius(UNBOUNDED)
                .step_size(StepSize::constant(0.1))
                .elements_per_binding(most)
                .build(gpu, source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 5).unwrap();
            optimizer.wait().unwrap();
            let norms: Vec<_> =
                optimizer.reports().iter().map(|r| r.grad_norm.map(f32::to_bits)).collect();
            let theta = optimizer.params().read().unwrap();
            (theta.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), norms)
        };
        let whole = trained(gpu(), usize::MAX);
        assert!(whole == trained(gpu(), 65_536), "{method}: chunks of 65,536");
        assert!(whole == trained(gpu(), 200_000), "{method}: chunks of 200,000");
        assert!(whole == trained(default_limits_gpu(), usize::MAX), "{method}: default limits");
        assert!(whole == trained(gpu(), usize::MAX), "{method}: a second run");
    }
}

#[test]
fn forty_million_parameters_cross_the_binding_limit() {
    let n = 40_000_000;
    let gpu = default_limits_gpu();
    assert!(n > gpu.binding_elements(), "the point of this size");
    let pattern = [1.0f32, -0.5, 0.25, 0.75, -1.0];
    let start: Vec<f32> = pattern.iter().copied().cycle().take(n).collect();
    let mut source = Analytic::new(gpu, &Problem::Quartic, n).unwrap();
    let method = Method::heun();
    let mut optimizer = Optimizer::builder(method.clone())
        .spectral_radius(UNBOUNDED)
        .step_size(StepSize::constant(0.1))
        .build(gpu, source.layout(), &start)
        .unwrap();
    optimizer.run(&mut source, 2).unwrap();
    let found = optimizer.params().read().unwrap();
    let plan = Plan::new(&method, Options::default()).unwrap();
    let mut replay = Replay::new(&plan, &widened(&pattern));
    for _ in 0..2 {
        replay.attempt(0.1, &mut |_, x| Problem::Quartic.gradient(x)).unwrap();
    }
    for (i, x) in found.iter().enumerate() {
        let expected = replay.theta()[i % pattern.len()];
        assert!((f64::from(*x) - expected).abs() < 1e-6, "element {i}: {x} is not {expected}");
    }
    optimizer.wait().unwrap();
    let norm = f64::from(optimizer.reports()[0].grad_norm.unwrap());
    let fifth: f64 = Problem::Quartic.gradient(&widened(&pattern)).iter().map(|g| g * g).sum();
    let expected = (fifth * (n / pattern.len()) as f64).sqrt();
    assert!((norm - expected).abs() < 1e-5 * expected, "‖g‖ = {norm}, not {expected}");
}

#[test]
fn a_quadratic_decays_inside_the_stability_limit_and_grows_outside() {
    for method in methods() {
        let limit = method.tableau().real_limit();
        let problem = Problem::quadratic(&[0.99 * limit, 1.01 * limit]).unwrap();
        let mut source = Analytic::new(gpu(), &problem, 2).unwrap();
        let mut optimizer = Optimizer::builder(method.clone())
            .spectral_radius(UNBOUNDED)
            .step_size(StepSize::constant(1.0))
            .build(gpu(), source.layout(), &[1.0, 1.0])
            .unwrap();
        optimizer.run(&mut source, 1000).unwrap();
        let end = optimizer.params().read().unwrap();
        let (inside, outside) = (end[0].abs(), end[1].abs());
        assert!(
            inside < 0.1 && outside > 10.0,
            "{method}: {inside} inside, {outside} outside {limit}"
        );
    }
}

#[test]
fn without_the_guard_the_same_bits_come_out() {
    let start = noise(1000, 9);
    for method in methods() {
        let trained = |guard| {
            let mut source = Analytic::new(gpu(), &Problem::Quartic, 1000).unwrap();
            let mut optimizer = Optimizer::builder(method.clone())
                .spectral_radius(UNBOUNDED)
                .step_size(StepSize::constant(0.3))
                .guard(guard)
                .build(gpu(), source.layout(), &start)
                .unwrap();
            optimizer.run(&mut source, 10).unwrap();
            optimizer.params().read().unwrap()
        };
        assert_eq!(trained(Guard::On), trained(Guard::Off), "{method}");
    }
}
