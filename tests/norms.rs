//! Norms, and all that follows from them, for gradients from 1e-30 to 1e30: the device
//! against the textbook in f64.

mod common;

use common::{Bowl, gpu};
use kutta::ingredients::Curvature;
use kutta::models::Analytic;
use kutta::reference::{Problem, textbook};
use kutta::{
    Adaptive, GradientSource, Group, Ingredients, Init, Method, Optimizer, ParamLayout,
    Preconditioner, Report, StepSize, Storage, Stored, Verdict,
};

/// Sizes of gradients. Squares of the first two are 0 in f32, of the last two infinite.
const SIZES: [f64; 8] = [1e-30, 1e-20, 1e-10, 1.0, 1e10, 1e19, 1e25, 1e30];

/// One method for each kernel that takes ‖k₁‖: `guard`, `combine` and, of low storage and
/// stabilised, `registers`.
const METHODS: [&str; 4] = ["euler", "rk4", "williamson3", "rkc2:stages=4"];

fn method(name: &str) -> Method {
    name.parse().unwrap()
}

fn norm(x: impl Iterator<Item = f64>) -> f64 {
    x.map(|x| x * x).sum::<f64>().sqrt()
}

fn f64s(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// Values between 0.5 and 1 that differ.
fn near_one(n: usize) -> Vec<f32> {
    (0..n).map(|i| 0.5 + (i * 37 % 101) as f32 / 202.0).collect()
}

/// ½ Σ λ θ² with λ between `size` / 2 and `size`, as the device has it.
fn quadratic(n: usize, size: f64) -> Problem {
    let eigenvalue = |x: &f32| f64::from((f64::from(*x) * size) as f32);
    Problem::quadratic(&near_one(n).iter().rev().map(eigenvalue).collect::<Vec<_>>()).unwrap()
}

fn start(n: usize) -> Vec<f32> {
    near_one(n).iter().enumerate().map(|(i, x)| if i % 3 == 0 { -x } else { *x }).collect()
}

fn assert_near(found: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (found / expected - 1.0).abs();
    assert!(error <= tolerance, "{what}: {found:e} for {expected:e}, off by {error:e}");
}

fn assert_theta(optimizer: &Optimizer, expected: &[f64], what: &str) {
    let error = common::relative(&optimizer.params().read().unwrap(), expected);
    assert!(error < 1e-5, "{what}: θ is off by {error:e}");
}

fn reports(optimizer: &mut Optimizer, source: &mut impl GradientSource, n: u64) -> Vec<Report> {
    optimizer.run(source, n).unwrap();
    optimizer.wait().unwrap();
    let reports = optimizer.reports();
    assert_eq!(reports.len() as u64, n);
    reports
}

/// Gradients, by name, each with elements of other lanes, workgroups and sizes.
fn shapes(n: usize) -> Vec<(String, Vec<f32>)> {
    let all = |size: f64| near_one(n).iter().map(|x| (f64::from(*x) * size) as f32).collect();
    let one = |place: usize, size: f32| {
        let mut g = vec![0.0; n];
        g[place] = size;
        g
    };
    // Sizes of decades side by side: those that matter lie among those that overflow or
    // vanish when squared.
    let decades = |from: i32, to: i32| {
        let exponent = |i: usize| from + (i as i32 * 7) % (to - from + 1);
        (0..n).map(|i| 10f32.powi(exponent(i))).collect()
    };
    let mut shapes: Vec<(String, Vec<f32>)> =
        SIZES.iter().map(|&size| (format!("all {size:e}"), all(size))).collect();
    shapes.extend([
        ("the largest".into(), one(n - 1, 3e38)),
        ("the least".into(), one(2, 1.2e-38)),
        ("one large".into(), one(n / 2, 1e30)),
        ("one small".into(), one(n / 3, -1e-30)),
        ("decades".into(), decades(-30, 30)),
        ("low decades".into(), decades(-30, -15)),
        ("middle decades".into(), decades(-25, 5)),
        ("high decades".into(), decades(10, 30)),
        ("none".into(), vec![0.0; n]),
    ]);
    shapes
}

/// Gradients that are the eigenvalues: θ is 1.
fn given(g: &[f32]) -> Analytic {
    Analytic::new(gpu(), &Problem::quadratic(&f64s(g)).unwrap(), g.len()).unwrap()
}

#[test]
fn norms_are_those_of_f64_in_every_kernel_and_chunk() {
    // Two spans of workgroups, and a ragged end.
    let n = 4_096 + 1_001;
    for (name, g) in shapes(n) {
        let expected = norm(g.iter().map(|&g| f64::from(g)));
        let mut source = given(&g);
        for method_name in METHODS {
            let mut bits = Vec::new();
            for most in [4_096, n] {
                let mut optimizer = Optimizer::builder(method(method_name))
                    .step_size(StepSize::constant(2e-38))
                    .spectral_radius(kutta::SpectralRadius::Given(1.0))
                    .elements_per_binding(most)
                    .build(gpu(), source.layout(), &vec![1.0; n])
                    .unwrap();
                let measured = optimizer.measure(&mut source).unwrap().grad_norm.unwrap();
                let report = reports(&mut optimizer, &mut source, 1).remove(0);
                let what = format!("{method_name}, {name}, {most} a binding: {report:?}");
                // Later gradients of the largest are beyond f32.
                let accepted = report.verdict == Verdict::Accepted;
                assert!(accepted || name == "the largest", "{what}");
                let found = report.grad_norm.unwrap();
                if expected == 0.0 {
                    assert_eq!(found, 0.0, "{what}");
                } else {
                    assert_near(found.into(), expected, 1e-6, &what);
                }
                if expected > 0.0 {
                    assert_near(measured.into(), expected, 1e-6, &what);
                }
                bits.push(found.to_bits());
            }
            assert_eq!(bits[0], bits[1], "{method_name}, {name}: chunks change the norm");
        }
    }
}

#[test]
fn what_is_not_finite_is_still_seen() {
    let n = 300;
    for bad in [f32::INFINITY, f32::NAN] {
        for size in [1e-30, 1.0, 1e30] {
            let problem = quadratic(n, size);
            let source = Analytic::new(gpu(), &problem, n).unwrap();
            let layout = source.layout().clone();
            let mut source = common::Planted {
                inner: source,
                attempt: 1,
                stage: 1,
                element: 130,
                value: bad,
                in_loss: false,
            };
            let mut optimizer = Optimizer::builder(Method::heun())
                .step_size(StepSize::polyak(1e38))
                .clip(1.0)
                .build(gpu(), &layout, &start(n))
                .unwrap();
            let verdicts: Vec<_> =
                reports(&mut optimizer, &mut source, 3).iter().map(|r| r.verdict).collect();
            let skipped = Verdict::Skipped { stage: 1 };
            assert_eq!(verdicts, [Verdict::Accepted, skipped, Verdict::Accepted], "{size:e} {bad}");
        }
    }
}

/// Rules whose h for a curvature of about `size` is the rule's own, not its bound.
fn rules(size: f64) -> Vec<StepSize> {
    let dal = |from| {
        let text = format!("dal:p=1,h-max={:e}", 30.0 / size.min(1.0));
        text.parse::<StepSize>().unwrap().with_curvature(from)
    };
    let c = 2.0 / size;
    vec![
        dal(Curvature::Probe),
        dal(Curvature::Stages),
        StepSize::rescaled_dal(c, 1.0).with_curvature(Curvature::Probe),
        StepSize::rescaled_dal(c, 1.0).with_curvature(Curvature::Stages),
        StepSize::polyak(1e37),
        StepSize::sgd_g2(0.3 / size, 0.9),
    ]
}

#[test]
fn rules_and_clipping_hold_for_gradients_of_any_size() {
    let n = 300;
    for size in SIZES {
        let problem = quadratic(n, size);
        for name in ["euler", "heun", "rk4"] {
            for step_size in rules(size) {
                let rule = step_size.rule().unwrap();
                if name == "euler" && rule.curvature() == Some(Curvature::Stages) {
                    continue;
                }
                for clip in [None, Some(5.0 * size)] {
                    let recipe = Ingredients { rule: Some(rule), clip, ..Default::default() };
                    let mut source = Analytic::new(gpu(), &problem, n).unwrap();
                    let mut optimizer = Optimizer::builder(method(name))
                        .ingredients(recipe)
                        .step_size(step_size.clone())
                        .build(gpu(), source.layout(), &start(n))
                        .unwrap();
                    let tableau = method(name);
                    let mut book =
                        textbook::Trainer::new(tableau.tableau(), recipe, &f64s(&start(n)));
                    let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
                    for report in reports(&mut optimizer, &mut source, 3) {
                        let what = format!("{size:e} {name} {recipe:?} {report:?}");
                        assert_eq!(report.verdict, Verdict::Accepted, "{what}");
                        let g = problem.gradient(book.theta());
                        let expected = norm(g.into_iter());
                        assert_near(report.grad_norm.unwrap().into(), expected, 1e-5, &what);
                        let (h, r) = book.choose(problem.loss(book.theta()), &mut gradient);
                        assert_near(report.h.into(), h, 1e-3, &what);
                        if let Some(r) = r {
                            assert_near(report.curvature.unwrap().into(), r, 1e-3, &what);
                        }
                        book.step(report.h.into(), &mut gradient).unwrap();
                    }
                    assert_theta(&optimizer, book.theta(), &format!("{size:e} {name} {recipe:?}"));
                }
            }
        }
    }
}

#[test]
fn a_products_curvature_holds_for_gradients_of_any_size() {
    let layout = ParamLayout::flat(100).unwrap();
    for size in SIZES {
        let start: Vec<f32> = start(100).iter().map(|x| (f64::from(*x) * size) as f32).collect();
        let mut optimizer = Optimizer::builder(Method::heun())
            .step_size("rescaled-dal:c=0.5,p=1,from=product".parse().unwrap())
            .build(gpu(), &layout, &start)
            .unwrap();
        for report in reports(&mut optimizer, &mut Bowl, 2) {
            let what = format!("{size:e}: {report:?}");
            assert_near(report.curvature.unwrap().into(), 4.0, 1e-5, &what);
            assert_near(report.h.into(), 0.25, 1e-5, &what);
        }
    }
}

#[test]
fn what_is_finite_is_clipped() {
    let n = 300;
    for name in METHODS {
        for size in SIZES {
            let problem = quadratic(n, size);
            let whole = norm(problem.gradient(&f64s(&start(n))).into_iter());
            // Below half of it, and at a fixed size: a factor down to 1e-31.
            for clip in [0.4 * whole, 0.7] {
                let recipe = Ingredients { clip: Some(clip), ..Default::default() };
                let h = if clip == 0.7 { 0.1 / size.min(1.0) } else { 0.1 / size };
                let mut source = Analytic::new(gpu(), &problem, n).unwrap();
                let mut optimizer = Optimizer::builder(method(name))
                    .ingredients(Ingredients {
                        radius: kutta::SpectralRadius::Given(size),
                        ..recipe
                    })
                    .step_size(StepSize::constant(h as f32))
                    .build(gpu(), source.layout(), &start(n))
                    .unwrap();
                let tableau = method(name);
                let mut book = textbook::Trainer::new(tableau.tableau(), recipe, &f64s(&start(n)));
                let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
                for report in reports(&mut optimizer, &mut source, 2) {
                    let what = format!("{name}, {size:e}, clip {clip:e}: {report:?}");
                    assert_eq!(report.verdict, Verdict::Accepted, "{what}");
                    let expected = norm(problem.gradient(book.theta()).into_iter());
                    assert_near(report.grad_norm.unwrap().into(), expected, 1e-5, &what);
                    book.step(report.h.into(), &mut gradient).unwrap();
                }
                assert_theta(&optimizer, book.theta(), &format!("{name}, {size:e}, {clip:e}"));
            }
        }
    }
}

#[test]
fn a_factor_below_f32_skips_and_says_so() {
    let mut source = given(&[3e38; 4]);
    let mut optimizer = Optimizer::builder(Method::euler())
        .step_size(StepSize::constant(0.1))
        .clip(1e-3)
        .build(gpu(), source.layout(), &[1e-3; 4])
        .unwrap();
    // ‖g‖ = 6e35 is clipped by 1.7e-39.
    let report = reports(&mut optimizer, &mut source, 1).remove(0);
    assert_eq!(report.verdict, Verdict::Skipped { stage: 1 }, "{report:?}");
    assert_near(report.grad_norm.unwrap().into(), 6e35, 1e-6, "norm");
}

#[test]
fn first_steps_and_errors_hold_for_gradients_of_any_size() {
    let n = 300;
    for name in ["bs3", "dp5", "dop853", "rkc2:stages=4"] {
        let method = method(name);
        for size in SIZES {
            let problem = quadratic(n, size);
            let adaptive = Adaptive::new(1e-3, 1e-6).bounds(1e-37, 1e37);
            let recipe =
                Ingredients { adaptive: Some(adaptive.for_method(&method)), ..Default::default() };
            let mut source = Analytic::new(gpu(), &problem, n).unwrap();
            let mut optimizer = Optimizer::builder(method.clone())
                .adaptive(adaptive)
                .spectral_radius(kutta::SpectralRadius::Given(size))
                .build(gpu(), source.layout(), &start(n))
                .unwrap();
            let mut book = textbook::Trainer::new(method.tableau(), recipe, &f64s(&start(n)));
            let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
            let expected = book.first_step(&mut gradient);
            for (i, report) in reports(&mut optimizer, &mut source, 4).iter().enumerate() {
                let what = format!("{name} {size:e} {report:?}");
                if i == 0 {
                    assert_near(report.h.into(), expected, 2e-3, &what);
                }
                let mut next = book.clone();
                let error = next.attempt(report.h.into(), &mut gradient).unwrap();
                // A kernel's error is f32's rounding where the method's is beneath that.
                if error > 1e-2 {
                    assert_near(report.error.unwrap().into(), error, 2e-2, &what);
                } else {
                    assert!(report.error.unwrap() < 2e-2, "{what}: {error:e}");
                }
                assert_eq!(report.verdict == Verdict::Accepted, error <= 1.0, "{what}");
                if report.verdict == Verdict::Accepted {
                    book = next;
                }
            }
            assert_theta(&optimizer, book.theta(), &format!("{name} {size:e}"));
        }
    }
}

#[test]
fn errors_far_beyond_the_tolerance_are_numbers() {
    // e/(atol + rtol |θ|) of 1e20 and more, whose squares f32 does not hold.
    for (name, h) in [("dp5", 1e6f32), ("dop853", 1e3), ("bs3", 1e8)] {
        let n = 300;
        let problem = quadratic(n, 1.0);
        let mut source = Analytic::new(gpu(), &problem, n).unwrap();
        let method = method(name);
        let adaptive = Adaptive::new(6e-8, 0.0);
        let mut optimizer = Optimizer::builder(method.clone())
            .adaptive(adaptive)
            .step_size(StepSize::constant(h))
            .build(gpu(), source.layout(), &start(n))
            .unwrap();
        let adaptive = Some(adaptive.for_method(&method));
        let recipe = Ingredients { adaptive, ..Default::default() };
        let mut book = textbook::Trainer::new(method.tableau(), recipe, &f64s(&start(n)));
        let mut gradient = |_: usize, x: &[f64]| problem.gradient(x);
        let report = reports(&mut optimizer, &mut source, 1).remove(0);
        let expected = book.attempt(h.into(), &mut gradient).unwrap();
        assert_eq!(report.verdict, Verdict::Refused, "{name}: {report:?}");
        assert_near(report.error.unwrap().into(), expected, 1e-3, &format!("{name} {report:?}"));
    }
}

#[test]
fn spectral_radii_hold_for_curvatures_of_any_size() {
    let n = 300;
    for size in SIZES {
        let problem = quadratic(n, size);
        let Problem::Quadratic { eigenvalues } = &problem else { unreachable!() };
        let largest = eigenvalues.iter().fold(0.0, |m: f64, x| m.max(*x));
        for name in ["rkc2", "rock2:stages=6"] {
            let mut source = Analytic::new(gpu(), &problem, n).unwrap();
            let mut optimizer = Optimizer::builder(method(name))
                .step_size(StepSize::constant((0.7 / size) as f32))
                .build(gpu(), source.layout(), &start(n))
                .unwrap();
            for report in reports(&mut optimizer, &mut source, 30) {
                let what = format!("{name} {size:e} {report:?}");
                assert_eq!(report.verdict, Verdict::Accepted, "{what}");
                assert_eq!(report.fallback, None, "{what}");
                let rho = f64::from(report.spectral_radius.unwrap());
                assert!(rho > 0.9 * largest && rho < 1.001 * largest, "{what}: {largest:e}");
            }
        }
    }
}

/// Squares that become state are the one thing that is not scaled.
#[test]
fn squares_beyond_f32_skip_only_where_they_become_state() {
    let n = 300;
    let adam = Preconditioner::adam(0.9, 1e-8);
    let skipped = Verdict::Skipped { stage: 1 };
    let group = [Group::default().rate(0.5)];
    let layout = ParamLayout::builder().tensor("theta", &[n], Init::Zeros).build().unwrap();
    let run = |name: &str, recipe: Ingredients, groups: &[Group], size: f64| {
        let mut source = Analytic::new(gpu(), &quadratic(n, size), n).unwrap();
        let mut optimizer = Optimizer::builder(method(name))
            .ingredients(recipe)
            .groups(groups)
            .step_size(StepSize::constant((0.1 / size) as f32))
            .build(gpu(), &layout, &start(n))
            .unwrap();
        let report = reports(&mut optimizer, &mut source, 1).remove(0);
        assert!(optimizer.params().read().unwrap().iter().all(|x| x.is_finite()));
        report.verdict
    };
    for name in ["euler", "rk4", "williamson3", "rkc2"] {
        let plain = Ingredients { preconditioner: adam, ..Default::default() };
        assert_eq!(run(name, plain, &[], 1e18), Verdict::Accepted, "{name}");
        assert_eq!(run(name, plain, &[], 1e25), skipped, "{name}");
        // Clipped to where squares are in range; and to where they are not.
        let clipped = Ingredients { clip: Some(1.0), ..plain };
        assert_eq!(run(name, clipped, &[], 1e25), Verdict::Accepted, "{name}");
        let barely = Ingredients { clip: Some(1e24), ..plain };
        assert_eq!(run(name, barely, &[], 1e25), skipped, "{name}");
        // Multipliers of groups are a D without squares.
        assert_eq!(run(name, Ingredients::default(), &group, 1e25), Verdict::Accepted, "{name}");
    }
}

#[test]
fn narrow_gradients_have_the_norm_of_what_is_stored() {
    let n = 300;
    for (storage, tolerance) in [(Storage::F16, 1e-3), (Storage::Bf16, 4e-3)] {
        for size in SIZES {
            let g: Vec<f32> = near_one(n).iter().map(|x| (f64::from(*x) * size) as f32).collect();
            let stored = g.iter().map(|&g| match storage {
                Storage::F16 => f64::from(g).min(65504.0),
                _ => f64::from(g),
            });
            let expected = norm(stored);
            let mut source = given(&g);
            for name in ["euler", "rk4"] {
                let mut optimizer = Optimizer::builder(method(name))
                    .step_size(StepSize::constant(2e-38))
                    .storage(Stored { gradients: storage, ..Stored::default() })
                    .build(gpu(), source.layout(), &vec![1.0; n])
                    .unwrap();
                let found = reports(&mut optimizer, &mut source, 1)[0].grad_norm.unwrap();
                let what = format!("{storage} {size:e} {name}");
                // Beneath 2⁻²⁵ f16 holds nothing.
                if storage == Storage::F16 && size < 1e-8 {
                    assert_eq!(found, 0.0, "{what}");
                } else {
                    assert_near(found.into(), expected, tolerance, &what);
                }
            }
        }
    }
}

#[test]
fn a_gradient_of_1e20_is_clipped_to_1() {
    let problem = Problem::quadratic(&[1e25, 1.0]).unwrap();
    let mut source = Analytic::new(gpu(), &problem, 2).unwrap();
    let mut optimizer = Optimizer::builder(Method::euler())
        .step_size(StepSize::constant(0.1))
        .clip(1.0)
        .build(gpu(), source.layout(), &[1e-5, 2.0])
        .unwrap();
    let reports = reports(&mut optimizer, &mut source, 2);
    assert!(reports.iter().all(|r| r.verdict == Verdict::Accepted), "{reports:?}");
    assert_near(reports[0].grad_norm.unwrap().into(), 1e20, 1e-6, "norm");
    // θ goes 0.1 along the unit vector of g, which is the first axis, and then back.
    assert_near(optimizer.params().read().unwrap()[0].into(), 1e-5, 1e-3, "θ");
    assert_near(reports[1].grad_norm.unwrap().into(), 1e25 * (0.1 - 1e-5), 1e-5, "norm");
}

/// With L2 a norm is of the gradient that is followed, ∇L + λθ, and a loss is the source's: of
/// attempts and of `measure`, whatever the gradient is stored in.
#[test]
fn under_l2_norms_have_its_term_and_losses_do_not() {
    let (n, lambda) = (300, 0.7);
    let problem = quadratic(n, 1.0);
    let theta = f64s(&start(n));
    let (loss, gradient) = (problem.loss(&theta), problem.gradient(&theta));
    let followed = norm(gradient.iter().zip(&theta).map(|(g, x)| g + lambda * x));
    // Else nothing would be told apart.
    assert!(followed > 1.5 * norm(gradient.iter().copied()));
    let stored = |gradients| Stored { gradients, ..Stored::default() };
    for name in METHODS {
        for (stored, within) in [(Storage::F32, 1e-5), (Storage::Bf16, 4e-3)]
            .map(|(storage, within)| (stored(storage), within))
        {
            let mut source = Analytic::new(gpu(), &problem, n).unwrap();
            let mut optimizer = Optimizer::builder(method(name))
                .step_size(StepSize::constant(0.01))
                .l2(lambda)
                .storage(stored)
                .build(gpu(), source.layout(), &start(n))
                .unwrap();
            let measured = optimizer.measure(&mut source).unwrap();
            let attempted = reports(&mut optimizer, &mut source, 1)[0].clone();
            for (what, report) in [("measured", measured), ("attempted", attempted)] {
                let what = format!("{name}, {stored}, {what}");
                assert_near(f64::from(report.loss.unwrap()), loss, 1e-5, &what);
                // Not every plan takes it.
                if let Some(found) = report.grad_norm {
                    assert_near(f64::from(found), followed, within, &what);
                } else {
                    assert!(!what.contains("measured"), "{what}: no norm");
                }
            }
        }
    }
}
