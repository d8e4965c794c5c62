//! Every plan, replayed, against the textbook.

use super::*;

#[test]
fn rk4_takes_the_form_that_rounds_like_the_textbook() {
    let plan = plan(&Method::rk4(), Fusion::Full);
    let Some(Op::Combine(last)) = plan.ops().last() else { panic!("{plan}") };
    assert_eq!(last.to_string(), "θ' = y₃ + 1/3 (y₄ − y₃) − h(1/6 k₁ + 1/6 k₄)");
}

#[test]
fn every_plan_is_the_textbook() {
    let problems = [
        Problem::Rosenbrock,
        Problem::Quartic,
        Problem::quadratic(&[0.5, 3.0, 7.0, 20.0]).unwrap(),
    ];
    for method in Method::all().into_iter().chain(awkward()) {
        let tableau = method.tableau();
        for fusion in [Fusion::None, Fusion::Stage, Fusion::Full] {
            let plan = plan(&method, fusion);
            for problem in &problems {
                let start = problem.default_start(4).unwrap();
                let (mut theta, h) = (start.clone(), 1e-3);
                let mut replay = Replay::new(&plan, &start);
                for step in 0..50 {
                    let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
                    let first = problem.gradient(&theta);
                    let norm = first.iter().map(|g| g * g).sum::<f64>().sqrt();
                    theta = textbook::step(tableau, h, &theta, &mut gradient).unwrap().theta;
                    let attempt = replay.attempt(h, &mut gradient).unwrap();
                    assert!(attempt.accepted, "{method} {fusion:?} {problem} {step}\n{plan}");
                    let found = attempt.grad_norm.unwrap();
                    assert!(
                        (found - norm).abs() <= 1e-9 * norm.max(1.0),
                        "{method}: {found} {norm}"
                    );
                    for (a, b) in replay.theta().iter().zip(&theta) {
                        assert!(
                            (a - b).abs() < 1e-13 * amplification(tableau) * (step + 1) as f64,
                            "{method} {fusion:?} {problem}, step {step}: {a} is not {b}\n{plan}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn every_plan_with_ingredients_is_the_textbook() {
    let problem = Problem::Rosenbrock;
    let start = [-1.2, 1.0, 0.7, 0.4];
    for ingredients in recipes() {
        for method in Method::all().into_iter().chain(awkward()) {
            let tableau = method.tableau();
            for fusion in [Fusion::Full, Fusion::None] {
                let options = Options { fusion, ..Options::default() };
                let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
                let mut replay = Replay::new(&plan, &start);
                let mut book = textbook::Trainer::new(tableau, ingredients, &start);
                let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
                // The last stage that anybody reads.
                let bad = tableau.b().iter().rposition(|&b| b != 0.0).unwrap() + 1;
                for step in 0..12 {
                    // An attempt that is refused must leave no trace.
                    let before = replay.theta().to_vec();
                    let refused = replay.attempt(1e-3, &mut |i, x| {
                        let mut g = problem.gradient(x);
                        g[1] = if i == bad { f64::NAN } else { 1.5 * g[1] };
                        g
                    });
                    assert!(!refused.unwrap().accepted);
                    assert_eq!(replay.theta(), before);
                    assert!(replay.attempt(1e-3, &mut gradient).unwrap().accepted);
                    book.step(1e-3, &mut gradient).unwrap();
                    for (a, b) in replay.theta().iter().zip(book.theta()) {
                        assert!(
                            (a - b).abs() < 1e-12 * amplification(tableau),
                            "{method} {fusion:?} {ingredients:?}, step {step}: {a}, not {b}\n{plan}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn every_judged_plan_is_the_textbook() {
    let problem = Problem::Rosenbrock;
    let start = [-1.2, 1.0, 0.7, 0.4];
    for recipe in recipes() {
        let mut verdicts = [0, 0];
        for (h, tolerance) in [(1e-3, 1e-2), (4e-3, 1e-7)] {
            let adaptive = Some(Adaptive::new(tolerance, 0.01 * tolerance));
            let ingredients = Ingredients { adaptive, ..recipe };
            for method in pairs() {
                for (fusion, bindings) in
                    [(Fusion::Full, 8), (Fusion::Full, 16), (Fusion::Stage, 8), (Fusion::None, 8)]
                {
                    let options = Options { fusion, bindings, ..Options::default() };
                    let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
                    let mut replay = Replay::new(&plan, &start);
                    let mut book = textbook::Trainer::new(method.tableau(), ingredients, &start);
                    for step in 0..12 {
                        // Every third one is too long.
                        let h = if step % 3 == 2 { 8.0 * h } else { h };
                        let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
                        let error = book.attempt(h, &mut gradient).unwrap();
                        let attempt = replay.attempt(h, &mut gradient).unwrap();
                        let what = format!("{method} {fusion:?} {ingredients:?}, step {step}");
                        let found = attempt.error.unwrap();
                        // Of θ, in units of the tolerance.
                        let rounding = 1e-9 + f64::EPSILON / tolerance;
                        let rounding = rounding * amplification(method.tableau());
                        assert!(
                            found.total_cmp(&error).is_eq()
                                || (found - error).abs() <= rounding * error.max(1.0),
                            "{what}: error {found}, not {error}\n{plan}"
                        );
                        assert_eq!(attempt.accepted, error <= 1.0, "{what}");
                        verdicts[usize::from(attempt.accepted)] += 1;
                        for (a, b) in replay.theta().iter().zip(book.theta()) {
                            let bound = 1e-12 * amplification(method.tableau());
                            assert!((a - b).abs() < bound, "{what}: {a}, not {b}\n{plan}");
                        }
                    }
                }
            }
        }
        assert!(verdicts.iter().all(|&n| n > 0), "{recipe:?}: {verdicts:?}");
    }
}

#[test]
fn plans_with_narrow_gradients_are_the_textbook() {
    let problem = Problem::Rosenbrock;
    let start = [-1.2, 1.0, 0.7, 0.4];
    for method in Method::all().into_iter().chain(awkward()).chain([awkward_pair()]) {
        let tableau = method.tableau();
        let adaptive = tableau.b_hat().map(|_| Adaptive::new(1e6, 1e6));
        for (adaptive, momentum, writes_narrow) in [
            (None, Momentum::None, false),
            (None, Momentum::None, true),
            (None, Momentum::heavy_ball(0.9), true),
            (adaptive, Momentum::None, true),
            (adaptive, Momentum::heavy_ball(0.9), false),
        ] {
            let (plain, options) = halves(writes_narrow);
            let ingredients = Ingredients { adaptive, momentum, ..plain };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            let mut replay = Replay::new(&plan, &start);
            let mut book = textbook::Trainer::new(tableau, ingredients, &start);
            let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
            for step in 0..6 {
                replay.attempt(1e-3, &mut gradient).unwrap();
                book.attempt(1e-3, &mut gradient).unwrap();
                for (a, b) in replay.theta().iter().zip(book.theta()) {
                    let bound = 1e-12 * amplification(tableau);
                    assert!((a - b).abs() < bound, "{method}, step {step}: {a}, not {b}\n{plan}");
                }
            }
        }
    }
}

#[test]
fn an_error_takes_no_share_by_a_weight_that_is_rounding() {
    let rows = [vec![], vec![0.5], vec![0.25, 0.25]];
    let pair = Tableau::new("rounded", &rows, &[2f64.powi(-54), 0.5, 0.5], None).unwrap();
    let method = pair.with_embedded(&[1.0, 0.0, 0.0]).unwrap().into();
    let adaptive = Some(Adaptive::new(1e-3, 1e-6));
    let ingredients = Ingredients { adaptive, ..Ingredients::default() };
    let plan = Plan::with_ingredients(&method, &ingredients, Options::default()).unwrap();
    let drifts = plan.ops().iter().filter_map(|op| match op {
        Op::Estimate(estimate) => Some(estimate.drift),
        _ => None,
    });
    for drift in drifts {
        assert!(drift.abs() <= 16.0, "{plan}");
    }
}
