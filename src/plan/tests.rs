//! Word counts and residents, and every plan against the textbook.

use super::*;
use crate::ingredients::{Adaptive, SpectralRadius, Stored};
use crate::reference::{Problem, Replay, textbook};
use crate::tableau::{Family, Stabilised, Stages, Tableau};

fn plan(method: &Method, fusion: Fusion) -> Plan {
    Plan::new(method, Options { fusion, ..Options::default() }).unwrap()
}

#[test]
fn words_and_residents() {
    // (method, bare, guarded, unfused, resident vectors). An axpy moves three
    // words, a fused kernel one for each input and one for its output.
    let expected = [
        ("euler", 3, 4, 3, 2),
        ("midpoint", 6, 7, 6, 3),
        ("heun", 7, 8, 9, 3),
        ("ralston2", 7, 8, 9, 3),
        ("kutta3", 11, 12, 18, 4),
        ("heun3", 10, 11, 12, 4),
        ("ralston3", 11, 12, 15, 4),
        ("wray3", 11, 12, 15, 4),
        // The forms of Shu and Osher.
        ("ssprk33", 11, 12, 18, 3),
        ("ssprk43", 13, 14, 30, 3),
        ("rk4", 14, 15, 21, 5),
        ("rk38", 16, 17, 30, 5),
        ("ralston4", 16, 17, 30, 5),
        ("heun-euler", 7, 8, 9, 3),
        ("bs3", 11, 12, 15, 4),
        ("rkf45", 21, 22, 42, 5),
        ("cash-karp", 25, 26, 57, 6),
        ("dp5", 26, 27, 60, 6),
        ("tsit5", 26, 27, 63, 6),
        ("verner6", 36, 37, 87, 6),
        ("verner7", 42, 43, 111, 7),
        ("verner8", 59, 60, 174, 8),
        ("dop853", 59, 60, 174, 8),
        // A word to read and one to write r and y in each stage, and k.
        ("williamson3", 12, 13, 15, 4),
        ("carpenter-kennedy", 22, 23, 27, 4),
        ("rdpk3sp35", 25, 26, 48, 4),
        ("rdpk3sp49", 49, 50, 96, 4),
        ("rdpk3sp510", 55, 56, 108, 4),
        // Of ten or eleven stages; one vector is that of the power iteration.
        ("rkc1", 47, 48, 57, 5),
        ("rkcd", 47, 48, 57, 5),
        ("rkc2", 63, 64, 105, 6),
        ("rkl1", 52, 53, 63, 5),
        ("rkl2", 70, 71, 117, 6),
        ("rock2", 44, 45, 54, 5),
    ];
    assert_eq!(expected.len(), Method::all().len());
    for (name, bare, guarded, unfused, residents) in expected {
        let method = name.parse().unwrap();
        let fused = plan(&method, Fusion::Full);
        let found = (fused.words_bare(), fused.words_guarded(), fused.words_unfused());
        assert_eq!(
            (found, fused.resident_vectors()),
            ((bare, guarded, unfused), residents),
            "{name}"
        );
        // With one kernel per axpy, registers and recurrences are dense tableaus.
        if let Method::Explicit(_) = method {
            assert_eq!(plan(&method, Fusion::None).words_bare(), unfused, "{name}");
        }
    }
}

#[test]
fn registers_need_three_vectors_or_two() {
    let planned = |name: &str, guard, adds, ingredients: &Ingredients| {
        let options = Options { guard, adds, ..Options::default() };
        let plan = Plan::with_ingredients(&name.parse().unwrap(), ingredients, options).unwrap();
        (plan.words_guarded(), plan.resident_vectors())
    };
    let plain = Ingredients::default();
    for (name, words) in
        [("williamson3", [13, 12, 12, 11]), ("carpenter-kennedy", [23, 22, 20, 19])]
    {
        // A working point beside θ is what can be refused; the register takes k₁'s
        // place, and k's where the source adds to it.
        assert_eq!(planned(name, Guard::On, false, &plain), (words[0], 4));
        assert_eq!(planned(name, Guard::Off, false, &plain), (words[1], 3));
        assert_eq!(planned(name, Guard::On, true, &plain), (words[2], 3));
        assert_eq!(planned(name, Guard::Off, true, &plain), (words[3], 2));
    }
    let judged = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..plain };
    for name in ["rdpk3sp35", "rdpk3sp49", "rdpk3sp510"] {
        assert_eq!(planned(name, Guard::On, false, &judged).1, 5, "θ, y, r, k and Σ d k");
    }
}

#[test]
fn stabilised_methods_need_five_vectors_whatever_their_stages() {
    let given = Ingredients { radius: SpectralRadius::Given(1.0), ..Ingredients::default() };
    let judged = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..given };
    let vectors = |family: Family, stages, ingredients: &Ingredients| {
        let method = Stabilised::new(family, Stages::Fixed(stages)).unwrap().into();
        let plan = Plan::with_ingredients(&method, ingredients, Options::default()).unwrap();
        plan.resident_vectors()
    };
    for method in Stabilised::all() {
        let family = method.family();
        for stages in [3, 4, 12, 51, 199].map(|s| family.admissible(s).unwrap()) {
            // θ, y, r, k, and k₁ where all stages read it.
            let expected = if matches!(family, Family::Rkc2 | Family::Rkl2) { 5 } else { 4 };
            assert!(vectors(family, stages, &given) <= expected, "{method} {stages}");
            if method.tableau().b_hat().is_some() {
                assert!(vectors(family, stages, &judged) <= 5, "{method} {stages}");
            }
        }
    }
}

#[test]
fn no_plan_moves_more_than_the_direct_form() {
    for tableau in Tableau::all() {
        let nonzero = |row: &[f64]| row.iter().filter(|&&a| a != 0.0).count();
        let direct: usize = tableau.rows()[1..].iter().map(|row| nonzero(row) + 2).sum::<usize>()
            + nonzero(tableau.b())
            + 2;
        let words = plan(&tableau.clone().into(), Fusion::Full).words_bare();
        assert!(words <= direct, "{}: {words} words, {direct} directly", tableau.name());
    }
}

#[test]
fn rk4_takes_the_form_that_rounds_like_the_textbook() {
    let plan = plan(&Method::rk4(), Fusion::Full);
    let Some(Op::Advance(last)) = plan.ops().last() else { panic!("{plan}") };
    assert_eq!(last.to_string(), "θ' = y₃ + 1/3 (y₄ − y₃) − h(1/6 k₁ + 1/6 k₄)");
}

/// A tableau with more gradients in a row than one kernel binds, zero rows and
/// unused stages among them.
fn awkward() -> Vec<Method> {
    let stages = 9;
    let dense: Vec<Vec<f64>> =
        (0..stages).map(|i| (0..i).map(|j| 0.3 / (1.0 + (i * j) as f64)).collect()).collect();
    let wide = Tableau::new("wide", &dense, &[1.0 / 9.0; 9], None).unwrap();
    let mut gaps = dense;
    gaps[1] = vec![0.0];
    gaps[4] = vec![0.0, 0.5, 0.0, 0.0];
    let b = [0.5, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.0, 0.25];
    let sparse = Tableau::new("gaps", &gaps, &b, None).unwrap();
    vec![wide.into(), sparse.into()]
}

/// How much larger than a gradient the terms of a stage point are: where they
/// cancel, rounding shows so many times over. 415 for Verner's 6(5), below 20 for
/// most.
fn amplification(tableau: &Tableau) -> f64 {
    let size = |row: &Vec<f64>| row.iter().map(|a| a.abs()).sum::<f64>();
    tableau.rows().iter().map(size).fold(1.0, f64::max)
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
fn every_stage_is_checked_once_before_theta_is_written() {
    for method in Method::all().into_iter().chain(awkward()) {
        let tableau = method.tableau();
        for (fusion, ingredients) in [Fusion::None, Fusion::Full]
            .into_iter()
            .flat_map(|fusion| recipes().into_iter().map(move |recipe| (fusion, recipe)))
        {
            let options = Options { fusion, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            let mut checked: Vec<u32> = Vec::new();
            for op in plan.ops() {
                match op {
                    Op::Combine(linear) => checked.extend(&linear.checks),
                    Op::Reduce { stage, .. } => checked.push(*stage),
                    Op::Registers(registers) if registers.checks != 0 => {
                        checked.push(registers.checks);
                    }
                    Op::Advance(linear) => assert!(linear.checks.is_empty()),
                    _ => {}
                }
            }
            checked.sort_unstable();
            // A stage that nothing reads cannot hurt.
            let used: Vec<u32> = (1..=tableau.stages() as u32)
                .filter(|&i| {
                    let j = i as usize - 1;
                    tableau.b()[j] != 0.0
                        || tableau.rows().iter().any(|r| r.get(j).is_some_and(|&a| a != 0.0))
                        // The state reads the first, whatever the tableau does.
                        || (i == 1 && ingredients.preconditioner != Preconditioner::None)
                })
                .collect();
            assert_eq!(checked, used, "{method} {fusion:?}\n{plan}");
        }
    }
}

/// A report names the place where the first stage is not finite: what kernels leave for it
/// takes stages in order, and by a kernel each where the method is not one's own.
#[test]
fn stages_are_checked_one_by_one_in_order() {
    for method in Method::all().into_iter().chain(awkward()) {
        for (fusion, ingredients) in [Fusion::None, Fusion::Full]
            .into_iter()
            .flat_map(|fusion| recipes().into_iter().map(move |recipe| (fusion, recipe)))
        {
            let options = Options { fusion, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            let mut last = 0;
            for op in plan.ops() {
                let stages: &[u32] = match op {
                    Op::Combine(linear) => &linear.checks,
                    Op::Reduce { stage, .. } => std::slice::from_ref(stage),
                    Op::Registers(registers) => std::slice::from_ref(&registers.checks),
                    _ => &[],
                };
                let own = !Method::all().contains(&method);
                assert!(own || stages.len() < 2, "{method} {fusion:?}: {stages:?}\n{plan}");
                for &stage in stages.iter().filter(|&&stage| stage != 0) {
                    assert!(stage > last, "{method} {fusion:?}: {stage}\n{plan}");
                    last = stage;
                }
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_leaves_theta_alone() {
    for method in Method::all() {
        let plan = plan(&method, Fusion::Full);
        // The stages that the step reads; the estimate's own are not made.
        for bad in 1..=plan.evaluations() as usize {
            let start = [1.0, 2.0];
            let mut replay = Replay::new(&plan, &start);
            let attempt = replay
                .attempt(0.1, &mut |stage, x| {
                    if stage == bad { vec![x[0], f64::INFINITY] } else { x.to_vec() }
                })
                .unwrap();
            assert!(!attempt.accepted, "{method} stage {bad}");
            assert_eq!(replay.theta(), start);
        }
    }
}

#[test]
fn kernels_bind_no_more_than_webgpu_promises() {
    for method in awkward() {
        for op in plan(&method, Fusion::Full).ops() {
            if let Op::Combine(linear) | Op::Advance(linear) = op {
                assert!(linear.reads() <= 7, "{linear}");
            }
        }
    }
}

/// Every preconditioner with every momentum, some with decay.
fn recipes() -> Vec<Ingredients> {
    let preconditioners = [
        Preconditioner::None,
        Preconditioner::adagrad_rescaled(),
        Preconditioner::adagrad(1e-8),
        Preconditioner::rmsprop(0.9, 1e-6),
        Preconditioner::adam(0.99, 1e-6),
        Preconditioner::amsgrad(0.9, 1e-6),
    ];
    let momenta = [
        Momentum::None,
        Momentum::heavy_ball(0.9),
        Momentum::nesterov(0.8),
        Momentum::average(0.9),
    ];
    let mut recipes = Vec::new();
    for preconditioner in preconditioners {
        for momentum in momenta {
            for weight_decay in [0.0, 0.1] {
                recipes.push(Ingredients {
                    preconditioner,
                    momentum,
                    weight_decay,
                    ..Ingredients::default()
                });
            }
        }
    }
    recipes
}

#[test]
fn words_with_ingredients() {
    let adam = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::average(0.9),
        ..Ingredients::default()
    };
    let paper = Ingredients {
        preconditioner: Preconditioner::adagrad_rescaled(),
        momentum: Momentum::heavy_ball(0.9),
        ..Ingredients::default()
    };
    let only_d = Ingredients { momentum: Momentum::None, ..paper };
    let only_m = Ingredients { preconditioner: Preconditioner::None, ..paper };
    for (method, ingredients, words, residents) in [
        // θ, k, v, m.
        (Method::euler(), adam, (7, 8), 4),
        (Method::euler(), Ingredients { weight_decay: 0.1, ..adam }, (7, 8), 4),
        (Method::euler(), only_m, (5, 6), 3),
        (Method::euler(), only_d, (5, 6), 3),
        // θ, four gradients, a point, both halves of v, m.
        (Method::rk4(), paper, (22, 23), 9),
        (Method::rk4(), only_d, (19, 20), 7),
        (Method::rk4(), only_m, (17, 18), 7),
        (Method::heun(), paper, (12, 13), 7),
    ] {
        let plan = Plan::with_ingredients(&method, &ingredients, Options::default()).unwrap();
        let found = (plan.words_bare(), plan.words_guarded());
        assert_eq!((found, plan.resident_vectors()), (words, residents), "{ingredients:?}\n{plan}");
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

/// A pair whose last stage is not the candidate, with more gradients than an
/// estimate reads.
fn awkward_pair() -> Method {
    let a: Vec<Vec<f64>> =
        (0..7).map(|i| (0..i).map(|j| 0.4 / (1.0 + (i * j) as f64)).collect()).collect();
    let b = [0.2, 0.1, 0.1, 0.1, 0.1, 0.3, 0.1];
    let b_hat = [0.1, 0.2, 0.1, 0.0, 0.2, 0.1, 0.3];
    Tableau::new("pair", &a, &b, None).unwrap().with_embedded(&b_hat).unwrap().into()
}

fn pairs() -> Vec<Method> {
    let named = Method::all().into_iter().filter(|m| m.tableau().b_hat().is_some());
    named.chain([awkward_pair()]).collect()
}

#[test]
fn words_with_an_error_estimate() {
    let judged = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..Default::default() };
    // (method, bare, with the commit, unfused, resident vectors).
    for (method, words, residents) in [
        ("heun-euler", (7, 9, 15), 4),
        ("bs3", (15, 17, 27), 4),
        ("dp5", (32, 34, 78), 7),
        ("tsit5", (32, 34, 84), 7),
    ] {
        let method = method.parse().unwrap();
        let plan = Plan::with_ingredients(&method, &judged, Options::default()).unwrap();
        let found = (plan.words_bare(), plan.words_guarded(), plan.words_unfused());
        assert_eq!((found, plan.resident_vectors()), (words, residents), "{plan}");
    }
    let message = Plan::with_ingredients(&Method::rk4(), &judged, Options::default()).unwrap_err();
    assert!(message.to_string().contains("cash-karp, dp5, tsit5"), "{message}");
}

/// The counts that `docs/ARCHITECTURE.md` states.
#[test]
fn more_bindings_and_sums_without_theta() {
    let error = Some(Adaptive::new(1e-3, 1e-6));
    let full = |adaptive| Ingredients {
        adaptive,
        preconditioner: Preconditioner::adagrad_rescaled(),
        momentum: Momentum::heavy_ball(0.9),
        ..Ingredients::default()
    };
    let plain = |adaptive| Ingredients { adaptive, ..Ingredients::default() };
    for (name, ingredients, eight, sixteen, theta_free) in [
        ("rk4", plain(None), (14, 5), (14, 5), 15),
        ("bs3", plain(error), (15, 4), (15, 4), 16),
        ("bs3", full(error), (25, 9), (24, 10), 24),
        ("dp5", plain(None), (26, 6), (26, 6), 29),
        ("dp5", plain(error), (32, 7), (32, 7), 35),
        ("dp5", full(error), (45, 11), (44, 12), 47),
        ("tsit5", plain(None), (26, 6), (26, 6), 29),
        ("tsit5", plain(error), (32, 7), (32, 7), 35),
        ("tsit5", full(error), (46, 12), (45, 11), 47),
        ("verner8", plain(None), (59, 8), (59, 8), 66),
    ] {
        let method = name.parse().unwrap();
        let planned = |bindings, theta_free| {
            let options = Options { bindings, theta_free, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            (plan.words_bare(), plan.resident_vectors())
        };
        let found = (planned(8, false), planned(16, false), planned(16, true).0);
        assert_eq!(found, (eight, sixteen, theta_free), "{name}");
        // Nothing is gained beyond that.
        assert_eq!(planned(64, false), sixteen, "{name}");
        let direct = Options { fusion: Fusion::Stage, ..Options::default() };
        let direct = Plan::with_ingredients(&method, &ingredients, direct).unwrap();
        assert!(direct.words_bare() >= eight.0 && direct.resident_vectors() >= 4, "{name}");
    }
    let few = Options { bindings: 7, ..Options::default() };
    let message = Plan::new(&Method::rk4(), few).unwrap_err().to_string();
    assert!(message.contains("eight"), "{message}");
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
fn a_gradient_that_is_not_finite_refuses_every_judged_plan() {
    let problem = Problem::Quartic;
    let start = [0.5, -0.25, 1.0];
    let adaptive = Some(Adaptive::new(10.0, 10.0));
    for recipe in recipes() {
        let ingredients = Ingredients { adaptive, ..recipe };
        for method in pairs() {
            for fusion in [Fusion::Full, Fusion::None] {
                let options = Options { fusion, ..Options::default() };
                let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
                for bad in 1..=method.stages() {
                    let mut replay = Replay::new(&plan, &start);
                    // A source that makes finite gradients of anything, so that
                    // the fault is seen where it is or never.
                    let attempt = replay.attempt(1e-3, &mut |stage, x| {
                        let calm = x.iter().map(|x| if x.is_finite() { *x } else { 0.0 });
                        let mut g = problem.gradient(&calm.collect::<Vec<_>>());
                        if stage == bad {
                            g[1] = f64::NAN;
                        }
                        g
                    });
                    assert!(!attempt.unwrap().accepted, "{method} {fusion:?} {bad}\n{plan}");
                    assert_eq!(replay.theta(), start);
                }
            }
        }
    }
}

/// Kutta's method of order 5 as Nyström mended it: the last row skips k₅.
fn kutta_nystrom() -> Method {
    let a: [&[f64]; 6] = [
        &[],
        &[1.0 / 3.0],
        &[4.0 / 25.0, 6.0 / 25.0],
        &[0.25, -3.0, 3.75],
        &[2.0 / 27.0, 10.0 / 9.0, -50.0 / 81.0, 8.0 / 81.0],
        &[2.0 / 25.0, 12.0 / 25.0, 2.0 / 15.0, 8.0 / 75.0, 0.0],
    ];
    let b = [23.0, 0.0, 125.0, 0.0, -81.0, 125.0].map(|x| x / 192.0);
    Tableau::new("kutta-nyström", &a, &b, None).unwrap().into()
}

/// No vector is made of nothing but the buffer it lies in.
fn copies_nothing_in_place(plan: &Plan) -> bool {
    plan.ops().iter().all(|op| match op {
        Op::Combine(linear) | Op::Advance(linear) => {
            !(linear.in_place() && linear.points.is_empty() && linear.gradients.is_empty())
        }
        _ => true,
    })
}

#[test]
fn a_sum_that_lacks_nothing_is_the_point() {
    let plan = plan(&kutta_nystrom(), Fusion::Full);
    assert!(copies_nothing_in_place(&plan), "{plan}");
    // A copy of the sum would be two more.
    assert_eq!((plan.words_bare(), plan.words_guarded()), (23, 25), "{plan}");
}

fn halves(writes_narrow: bool) -> (Ingredients, Options) {
    let stored = Stored { gradients: Storage::F16, ..Stored::default() };
    let ingredients = Ingredients { stored, ..Ingredients::default() };
    (ingredients, Options { writes_narrow, ..Options::default() })
}

#[test]
fn bytes_with_narrow_storage() {
    let adam = Ingredients {
        preconditioner: Preconditioner::adam(0.999, 1e-8),
        momentum: Momentum::average(0.9),
        ..Ingredients::default()
    };
    let judged = Ingredients { adaptive: Some(Adaptive::new(1e-3, 1e-6)), ..Default::default() };
    let plain = Ingredients::default();
    // (method, bare, guarded, resident): as f32, as f16 by the source, and packed, where
    // each gradient moves 6 bytes more and needs a vector beside it.
    for (method, ingredients, wide, narrow, packed) in [
        ("rk4", plain, (56, 60, 20), (46, 48, 16), (70, 72, 20)),
        ("euler", plain, (12, 16, 8), (10, 12, 6), (16, 18, 10)),
        // θ twice and k; m and v twice each, of two bytes.
        ("euler", adam, (28, 32, 16), (18, 20, 10), (24, 26, 14)),
        ("dp5", judged, (128, 136, 28), (100, 108, 26), (142, 150, 26)),
        // Three registers, one of them k₁'s, and k with two bytes.
        ("williamson3", plain, (48, 52, 16), (44, 46, 14), (56, 58, 18)),
    ] {
        let method = method.parse().unwrap();
        let found = |stored, writes_narrow| {
            let ingredients = Ingredients { stored, ..ingredients };
            let options = Options { writes_narrow, ..Options::default() };
            let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
            let last = plan.to_string().lines().last().unwrap().to_owned();
            let counts = (plan.bytes_bare(), plan.bytes_guarded(), plan.resident_bytes());
            let (bare, guarded, resident) = counts;
            assert_eq!(
                last,
                format!("bytes per parameter: {bare} bare, {guarded} guarded; {resident} resident")
            );
            counts
        };
        let f16 = Stored::all(Storage::F16);
        assert_eq!(found(Stored::default(), false), wide, "{method}");
        assert_eq!(found(f16, true), narrow, "{method}");
        assert_eq!(found(f16, false), packed, "{method}");
    }
}

#[test]
fn a_buffer_has_one_storage_and_only_gradients_are_narrow() {
    let rules = [
        Rule::Dal { p: 1.0, h_max: 5.0, from: Curvature::Probe },
        Rule::RescaledDal { c: 0.1, p: 1.0, from: Curvature::Stages },
        Rule::Dal { p: 1.0, h_max: 5.0, from: Curvature::Product },
    ];
    let mut narrow = 0;
    for method in Method::all().into_iter().chain(awkward()).chain([awkward_pair()]) {
        for writes_narrow in [false, true] {
            let (plain, options) = halves(writes_narrow);
            let judged = Some(Adaptive::new(1e-3, 1e-6));
            let recipes = [plain, Ingredients { adaptive: judged, ..plain }]
                .into_iter()
                .chain(rules.map(|rule| Ingredients { rule: Some(rule), ..plain }));
            for ingredients in recipes {
                let Ok(plan) = Plan::with_ingredients(&method, &ingredients, options) else {
                    continue;
                };
                for op in plan.opening().iter().chain(plan.ops()).chain(plan.renewing()) {
                    let mut op = op.clone();
                    if let Op::Evaluate { gradient, .. } = &op {
                        assert!(writes_narrow || !gradient.storage.is_narrow(), "{plan}");
                    }
                    // What is taken a difference of, and registers.
                    if let Op::Field(Field { a, b: Some(b), .. }) = &op {
                        assert!(!a.storage.is_narrow() && !b.storage.is_narrow(), "{plan}");
                    }
                    if let Op::Registers(op) = &op {
                        let kept = op.register.filter(|_| op.writes_register);
                        let kept = kept.into_iter().chain(op.sum.filter(|_| op.writes_sum));
                        assert!(kept.into_iter().all(|o| !o.storage.is_narrow()), "{plan}");
                    }
                    for operand in op.operands_mut() {
                        assert!(operand.slot < plan.slots(), "{plan}");
                        assert_eq!(operand.storage, plan.storage(operand.slot), "{plan}");
                        let gradient = matches!(operand.name, Name::Gradient(_));
                        assert!(gradient || !operand.storage.is_narrow(), "{plan}");
                        narrow += usize::from(operand.storage.is_narrow());
                    }
                }
            }
        }
    }
    assert!(narrow > 1000, "{narrow}");
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

/// Everything that changes which vectors a method keeps.
fn keeping() -> impl Iterator<Item = (Ingredients, Options)> {
    let halves = [(Storage::F32, false), (Storage::F16, false), (Storage::F16, true)];
    let both = [false, true];
    let mut recipes = vec![(Ingredients::default(), Options::default())];
    let mut each = |change: &dyn Fn(&mut Ingredients, &mut Options, usize), count: usize| {
        recipes = recipes
            .iter()
            .flat_map(|&recipe| (0..count).map(move |i| (recipe, i)))
            .map(|((mut ingredients, mut options), i)| {
                change(&mut ingredients, &mut options, i);
                (ingredients, options)
            })
            .collect();
    };
    each(
        &|i, _, n| i.preconditioner = [Preconditioner::None, Preconditioner::adam(0.9, 1e-8)][n],
        2,
    );
    each(&|i, _, n| i.momentum = [Momentum::None, Momentum::heavy_ball(0.9)][n], 2);
    each(&|i, _, n| i.radius = [SpectralRadius::Given(1.0), SpectralRadius::Estimated][n], 2);
    each(&|i, _, n| i.adaptive = both[n].then(|| Adaptive::new(1e-3, 1e-6)), 2);
    each(&|i, _, n| i.rule = both[n].then_some(Rule::Polyak { h_max: 0.1 }), 2);
    each(&|i, _, n| (i.l2, i.weight_decay) = ([0.0, 0.1][n], [0.0, 0.1][n]), 2);
    each(&|i, o, n| (i.stored.gradients, o.writes_narrow) = halves[n], 3);
    each(&|_, o, n| o.fusion = [Fusion::None, Fusion::Stage, Fusion::Full][n], 3);
    each(&|_, o, n| o.bindings = [8, 16][n], 2);
    recipes.into_iter()
}

#[test]
fn any_number_of_stages_lies_in_the_buffers_that_are_there() {
    let mut grown = 0;
    for stabilised in Stabilised::all() {
        let family = stabilised.family();
        let method = Method::from(stabilised);
        for (ingredients, options) in keeping() {
            // Not all of them have a plan: RKC1 judges no step.
            let Ok(shown) = Plan::with_ingredients(&method, &ingredients, options) else {
                continue;
            };
            let there = shown.storages.clone();
            for s in (2..=16).filter(|&s| family.admissible(s) == Some(s)) {
                let plan = Plan::with_stages(&method, s, &ingredients, options).unwrap();
                let state = |plan: &Plan| (plan.state_width(), plan.mean_halves());
                assert_eq!(state(&plan), state(&shown), "{method}, {s}: {ingredients:?}");
                let mut moved = plan.laid_out_in(&there);
                assert_eq!(moved.storages[..there.len()], there);
                // One kernel per axpy needs a vector for each stage.
                let unfused = options.fusion == Fusion::None && s > 10;
                let lacking = moved.slots() - there.len();
                assert!(lacking == 0 || unfused, "{method}, {s}: {options:?} {ingredients:?}");
                grown += usize::from(lacking > 0);
                let storages = moved.storages.clone();
                for ops in [&mut moved.ops, &mut moved.opening, &mut moved.renewing] {
                    for operand in ops.iter_mut().flat_map(Op::operands_mut) {
                        assert_eq!(operand.storage, storages[operand.slot]);
                        assert!(operand.name != Name::Theta || operand.slot == 0);
                        assert!(operand.name != Name::Eigenvector || operand.slot == 1);
                    }
                }
            }
        }
    }
    assert!(grown > 0, "no plan that has more vectors");
}

#[test]
fn a_plan_in_other_buffers_makes_the_same_step() {
    let method = "rkl2:stages=13".parse().unwrap();
    let eigenvalues: Vec<f64> = (1..=9).map(f64::from).collect();
    let problem = Problem::quadratic(&eigenvalues).unwrap();
    let start: Vec<f64> = (0..9).map(|i| 1.0 + i as f64 / 8.0).collect();
    for (ingredients, options) in keeping().filter(|(i, _)| i.rule.is_none()) {
        let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
        let moved = plan.clone().laid_out_in(&[Storage::F32, Storage::F32, Storage::F16]);
        let [a, b] = [plan, moved].map(|plan| {
            let mut replay = Replay::new(&plan, &start);
            for _ in 0..3 {
                replay.attempt(1e-3, &mut |_, x| problem.gradient(x)).unwrap();
            }
            replay.theta().to_vec()
        });
        assert_eq!(a, b, "{options:?} {ingredients:?}");
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

mod sparse {
    use super::*;
    use proptest::prelude::*;

    /// Entries that are often zero and often alike, and rows that are often those of
    /// an earlier stage, or the step's weights.
    fn tableau() -> impl Strategy<Value = Tableau> {
        let entry = prop_oneof![3 => Just(0.0), 2 => Just(0.25), 3 => -0.5f64..0.75];
        let rows = prop::collection::vec(prop::collection::vec(entry.clone(), 9), 9);
        let weights = prop::collection::vec(entry, 9);
        let like = prop::collection::vec(prop::option::weighted(0.25, 0usize..9), 9);
        (2usize..=9, rows, weights.clone(), weights, like, prop::option::of(0usize..9)).prop_map(
            |(s, mut rows, mut b, mut b_hat, like, same)| {
                for (i, like) in like.into_iter().enumerate() {
                    if let Some(other) = like.filter(|&other| other < i) {
                        rows[i] = rows[other][..=other].to_vec();
                        rows[i].resize(9, 0.0);
                    }
                }
                // Σ = 1 with the weight of the first stage, or the row's own of a stage
                // that the step ends at.
                let complete = |x: &mut Vec<f64>| {
                    x.truncate(s);
                    x[0] += 1.0 - x.iter().sum::<f64>();
                };
                complete(&mut b);
                complete(&mut b_hat);
                if let Some(stage) = same.filter(|&stage| stage > 0 && stage < s) {
                    b = rows[stage][..stage].to_vec();
                    b.resize(s, 0.0);
                    complete(&mut b);
                    rows[stage] = b.clone();
                    b_hat[s - 1] += 0.5;
                    b_hat[0] -= 0.5;
                    b[stage..].fill(0.0);
                }
                if b == b_hat {
                    b_hat[s - 1] += 0.25;
                    b_hat[0] -= 0.25;
                }
                let rows: Vec<_> = (0..s).map(|i| rows[i][..i].to_vec()).collect();
                let tableau = Tableau::new("sparse", &rows, &b, None).unwrap();
                tableau.with_embedded(&b_hat).unwrap()
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(1500)
        })]

        #[test]
        fn every_plan_is_the_textbook(tableau in tableau(), kind in 0usize..4) {
            let problem = Problem::Rosenbrock;
            let start = [-1.2, 1.0, 0.7, 0.4];
            let ingredients = Ingredients {
                adaptive: (kind & 1 != 0).then(|| Adaptive::new(1e6, 1e6)),
                momentum: if kind == 2 { Momentum::heavy_ball(0.9) } else { Momentum::None },
                preconditioner: if kind == 3 {
                    Preconditioner::adagrad_rescaled()
                } else {
                    Preconditioner::None
                },
                ..Ingredients::default()
            };
            let method = tableau.clone().into();
            for fusion in [Fusion::Full, Fusion::None] {
                let options = Options { fusion, ..Options::default() };
                let plan = Plan::with_ingredients(&method, &ingredients, options).unwrap();
                prop_assert!(copies_nothing_in_place(&plan), "{plan}");
                let mut replay = Replay::new(&plan, &start);
                let mut book = textbook::Trainer::new(&tableau, ingredients, &start);
                let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
                for _ in 0..3 {
                    let attempt = replay.attempt(1e-4, &mut gradient).unwrap();
                    prop_assert!(attempt.accepted);
                    let error = book.attempt(1e-4, &mut gradient).unwrap();
                    if let Some(found) = attempt.error {
                        prop_assert!((found - error).abs() <= 1e-12 * error.max(1e-6), "{plan}");
                    }
                    for (a, b) in replay.theta().iter().zip(book.theta()) {
                        prop_assert!((a - b).abs() < 1e-12, "{a}, not {b}\n{tableau:?}\n{plan}");
                    }
                }
            }
        }
    }
}
