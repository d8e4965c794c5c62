//! Tableaus held to their mathematics: order conditions, measured convergence,
//! stability limits, and the messages for wrong ones.

use kutta::reference::Problem;
use kutta::reference::textbook::{Until, integrate};
use kutta::tableau::{Family, Stabilised};
use kutta::{Method, Tableau};

/// The order that the literature claims for each named method.
const CLAIMED: [(&str, usize); 23] = [
    ("euler", 1),
    ("midpoint", 2),
    ("heun", 2),
    ("ralston2", 2),
    ("kutta3", 3),
    ("heun3", 3),
    ("ralston3", 3),
    ("wray3", 3),
    ("ssprk33", 3),
    ("ssprk43", 3),
    ("rk4", 4),
    ("rk38", 4),
    ("ralston4", 4),
    ("heun-euler", 2),
    ("bs3", 3),
    ("rkf45", 4),
    ("cash-karp", 5),
    ("dp5", 5),
    ("tsit5", 5),
    ("verner6", 6),
    ("verner7", 7),
    ("verner8", 8),
    ("dop853", 8),
];

/// And for the embedded method of those that have one.
const CLAIMED_EMBEDDED: [(&str, usize); 10] = [
    ("heun-euler", 1),
    ("bs3", 2),
    ("rkf45", 5),
    ("cash-karp", 4),
    ("dp5", 4),
    ("tsit5", 4),
    ("verner6", 5),
    ("verner7", 6),
    ("verner8", 7),
    ("dop853", 5),
];

/// Those whose step takes as many stages as its order has; the polynomials of
/// the others have terms beyond the exponential's, and so limits of their own.
fn shortest() -> impl Iterator<Item = (Tableau, usize)> {
    claimed().filter(|(tableau, order)| {
        let last = tableau.b().iter().rposition(|&b| b != 0.0).unwrap();
        last + 1 == *order
    })
}

fn claimed() -> impl Iterator<Item = (Tableau, usize)> {
    CLAIMED.into_iter().map(|(name, order)| (name.parse().unwrap(), order))
}

#[test]
fn every_named_method_has_a_claim() {
    let names: Vec<_> = CLAIMED.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, Tableau::names().collect::<Vec<_>>());
}

/// In f64; `src/tableau/precise_tests.rs` has the conditions themselves in 70 digits.
#[test]
fn orders_are_those_of_the_literature() {
    for (tableau, order) in claimed() {
        assert_eq!(tableau.order(), order, "{tableau}");
        let embedded = CLAIMED_EMBEDDED.iter().find(|(name, _)| *name == tableau.name());
        assert_eq!(tableau.embedded_order(), embedded.map(|e| e.1), "{tableau}");
    }
}

#[test]
fn a_wrong_digit_lowers_the_order() {
    for (tableau, order) in claimed().filter(|(_, order)| *order > 1) {
        // The last stage that the step reads; beyond it is only the estimate.
        let last = tableau.b().iter().rposition(|&b| b != 0.0).unwrap();
        let mut rows = tableau.rows().to_vec();
        rows[last][0] += 1e-6;
        let wrong = Tableau::new("wrong", &rows, tableau.b(), None).unwrap();
        assert!(wrong.order() < order, "{tableau}: order {} for {order}", wrong.order());
    }
}

/// The finest number of steps, and the number of times a solution is known at.
const FINEST: usize = 512;

/// Errors above this, relative to 1 + the largest |θ|, are the method's and not
/// f64's.
const ROUNDING: f64 = 1e-14;

/// θ̇ = −g(θ) with its solution at t_end·k/FINEST, k = 0 … FINEST.
struct Flow {
    name: &'static str,
    gradient: fn(&[f64]) -> Vec<f64>,
    t_end: f64,
    solution: Vec<Vec<f64>>,
}

fn sampled(t_end: f64, solution: impl Fn(f64) -> Vec<f64>) -> Vec<Vec<f64>> {
    (0..=FINEST).map(|k| solution(t_end * k as f64 / FINEST as f64)).collect()
}

/// A full symmetric matrix, so that no element of θ stands alone: (4 1; 1 3).
fn linear() -> Flow {
    let gradient = |x: &[f64]| vec![4.0 * x[0] + x[1], x[0] + 3.0 * x[1]];
    // Eigenvalues l = (7 ± √5)/2 with eigenvectors (l − 3, 1); θ_0 is their sum.
    let l = [(7.0 + 5f64.sqrt()) / 2.0, (7.0 - 5f64.sqrt()) / 2.0];
    let solution = |t: f64| {
        let w = l.map(|l| (-l * t).exp());
        vec![w[0] * (l[0] - 3.0) + w[1] * (l[1] - 3.0), w[0] + w[1]]
    };
    Flow { name: "linear", gradient, t_end: 1.0, solution: sampled(1.0, solution) }
}

/// Himmelblau's function, in both variables and far from its minima; its
/// solution is a very fine one of order 4.
fn nonlinear() -> Flow {
    let gradient = |x: &[f64]| Problem::Himmelblau.gradient(x);
    let (start, t_end, finer) = (vec![0.0, 0.0], 0.1, 32);
    let until = Until::Steps(finer * FINEST);
    let h = t_end / (finer * FINEST) as f64;
    let fine = integrate(&Tableau::rk4(), h, &start, until, &mut |_, x| gradient(x)).unwrap();
    // Every step starts at its first stage point.
    let mut solution: Vec<_> = fine.iter().step_by(finer).map(|s| s.points[0].clone()).collect();
    solution.push(fine.last().unwrap().theta.clone());
    Flow { name: "nonlinear", gradient, t_end, solution }
}

/// ẏ = −y (1 + cos t) with the time t as a second unknown: the flow of y²/2 in
/// the stretched time t + sin t, right only with the right c_i.
fn stretched() -> Flow {
    let gradient = |x: &[f64]| vec![x[0] * (1.0 + x[1].cos()), -1.0];
    let solution = |t: f64| vec![(-(t + t.sin())).exp(), t];
    Flow { name: "time-stretched", gradient, t_end: 4.0, solution: sampled(4.0, solution) }
}

/// The largest error on the way: at a single time, error terms of either sign
/// may cancel and show another slope.
fn error_of(flow: &Flow, tableau: &Tableau, steps: usize) -> f64 {
    let h = flow.t_end / steps as f64;
    let until = Until::Steps(steps);
    let mut gradient = |_: usize, x: &[f64]| (flow.gradient)(x);
    let path = integrate(tableau, h, &flow.solution[0], until, &mut gradient).unwrap();
    let exact = flow.solution.iter().skip(FINEST / steps).step_by(FINEST / steps);
    path.iter()
        .zip(exact)
        .flat_map(|(step, exact)| step.theta.iter().zip(exact).map(|(x, y)| (x - y).abs()))
        .fold(0.0, f64::max)
}

/// Halves h for as long as the error stands clear of f64's rounding: the finest
/// halvings show the order best.
fn converges(flow: &Flow, tableau: &Tableau, order: usize) {
    let largest = flow.solution.iter().flatten().fold(0.0, |m: f64, x| m.max(x.abs()));
    let rounding = ROUNDING * (1.0 + largest);
    let steps = (2..).map(|k| 1 << k).take_while(|&n| n <= FINEST);
    let errors: Vec<f64> = steps.map(|n| error_of(flow, tableau, n)).collect();
    let slopes: Vec<f64> =
        errors.windows(2).take_while(|e| e[1] > rounding).map(|e| (e[0] / e[1]).log2()).collect();
    let slope = slopes.last().copied().unwrap_or(f64::NAN);
    println!("{tableau:<18} {:<15} {slopes:.3?}", flow.name);
    assert!(
        (slope - order as f64).abs() < 0.2,
        "{tableau} on the {} problem: slope {slope:.3} for order {order}; errors {errors:?}",
        flow.name
    );
}

#[test]
fn measured_convergence_has_the_slope_of_the_order() {
    for flow in [linear(), nonlinear(), stretched()] {
        // f64 is too short for the higher ones: `src/tableau/precise_tests.rs`.
        for (tableau, order) in claimed().filter(|(_, order)| *order <= 5) {
            converges(&flow, &tableau, order);
        }
    }
}

/// Of the methods that are not explicit tableaus, in the order of [`Method::all`].
const CLAIMED_WITH_REGISTERS: [(&str, usize); 11] = [
    ("williamson3", 3),
    ("carpenter-kennedy", 4),
    ("rdpk3sp35", 3),
    ("rdpk3sp49", 4),
    ("rdpk3sp510", 5),
    ("rkc1", 1),
    ("rkcd", 1),
    ("rkc2", 2),
    ("rkl1", 1),
    ("rkl2", 2),
    ("rock2", 2),
];

#[test]
fn registers_and_recurrences_converge_with_their_order_too() {
    let methods: Vec<Method> =
        Method::all().into_iter().filter(|m| !matches!(m, Method::Explicit(_))).collect();
    let names: Vec<String> = methods.iter().map(Method::to_string).collect();
    assert_eq!(names, CLAIMED_WITH_REGISTERS.map(|(name, _)| name));
    for flow in [linear(), nonlinear(), stretched()] {
        for (method, (_, order)) in methods.iter().zip(CLAIMED_WITH_REGISTERS) {
            let stages: &[u32] =
                if method.to_string().starts_with('r') && order <= 2 { &[2, 20] } else { &[0] };
            for &stages in stages {
                let method = method.clone().with_stages(stages).unwrap();
                converges(&flow, method.tableau(), order);
            }
        }
    }
}

/// To 1 % for some numbers of stages, and never longer than the tableau's.
#[test]
fn stability_intervals_are_those_of_the_families() {
    for family in Stabilised::all().iter().map(Stabilised::family) {
        let all = family == Family::Rock2;
        let wanted = |s: &u32| all && *s < 60 || [2, 3, 5, 10, 51].contains(s);
        for s in (1..60).filter(wanted).filter(|&s| family.admissible(s) == Some(s)) {
            let tableau = family.tableau(s);
            let (found, claimed) = (tableau.real_limit(), family.interval(s));
            // Damped by T_s(ω₀) up to (1 + ω₀)/ω₁, and bounded by 1 up to 2ω₀/ω₁.
            let beyond = match family {
                Family::Rkc1 { damping } | Family::Rkcd { damping } => {
                    let w0 = 1.0 + damping / f64::from(s * s);
                    2.0 * w0 / (1.0 + w0)
                }
                _ => 1.0,
            };
            let off = found / claimed / beyond - 1.0;
            println!("{} {s}: {found:.4}, claimed {claimed:.4}, off {off:.5}", family.name());
            assert!(off > -1e-6, "{} {s}: unstable from {found} on", family.name());
            // Where order 2 leaves few stages little to damp with, |R| stays below 1
            // for a while after it has left the damped strip.
            let more = if tableau.order() == 2 && s < 10 { 0.2 } else { 0.01 };
            assert!(off < more, "{} {s}: {found}, not {claimed}", family.name());
        }
    }
    // Verwer's figures.
    let rkc1 = Family::Rkc1 { damping: 0.05 };
    for (s, length) in [(2, 7.76), (5, 48.4), (10, 193.6)] {
        let found = rkc1.tableau(s).real_limit();
        assert!((found / length - 1.0).abs() < 0.01, "{found}, not {length}");
    }
}

/// Eftekhari, Vandereycken, Vilmart, Zygalakis 2021: for eigenvalues in [l, κl], with
/// h = (ω₀ − 1)/(ω₁ l), every mode shrinks at least T_s(ω₀) times.
#[test]
fn rkcd_contracts_every_mode_alike() {
    let (kappa, s, eta) = (100.0, 8, 1.17);
    let w0: f64 = 1.0 + eta / f64::from(s * s);
    let angle = w0.acosh();
    let t = (f64::from(s) * angle).cosh();
    let w1 = t / (f64::from(s) * (f64::from(s) * angle).sinh() / angle.sinh());
    let h = (w0 - 1.0) / w1;
    let tableau = Family::Rkcd { damping: eta }.tableau(s as u32);
    let contraction = |eigenvalue: f64| tableau.stability(-h * eigenvalue, 0.0).0.abs();
    let within = (0..=20_000).map(|i| contraction(1.0 + (kappa - 1.0) * f64::from(i) / 2e4));
    let worst = within.fold(0.0, f64::max);
    println!("{worst} a step, 1/T_s = {}, {} a gradient", 1.0 / t, worst.powf(1.0 / f64::from(s)));
    assert!(worst <= 1.0 / t * (1.0 + 1e-12), "{worst} above {}", 1.0 / t);
    assert!((worst.powf(1.0 / f64::from(s)) - 0.896).abs() < 1e-3, "{worst}");
    // It ends at 2ω₀/(ω₀ − 1) l: this one diverges beyond 111.
    let end = 2.0 * w0 / (w0 - 1.0);
    assert!((end - 111.4).abs() < 0.1 && contraction(1.001 * end) > 1.0, "{end}");
    assert!(contraction(0.999 * end) < 1.0);
}

#[test]
fn real_limits_depend_on_the_order_alone_where_stages_equal_it() {
    // The real roots of 1 − z = −1, 1 − z + z²/2 = 1, and for orders 3 and 4 in
    // closed form (Cardano; the cubic of the quartic is z³ − 4z² + 12z − 24).
    let cubic = 1.0 + (4.0 + 17f64.sqrt()).cbrt() - (4.0 + 17f64.sqrt()).cbrt().recip();
    let root = (172.0 + 36.0 * 29f64.sqrt()).cbrt();
    let quartic = 4.0 / 3.0 + root / 3.0 - 20.0 / (3.0 * root);
    assert!((cubic - 2.5127).abs() < 1e-4 && (quartic - 2.7853).abs() < 1e-4);
    let limits = [2.0, 2.0, cubic, quartic];
    for (tableau, order) in shortest() {
        let limit = tableau.real_limit();
        assert!((limit - limits[order - 1]).abs() < 1e-6, "{tableau}: {limit}");
        let (inside, outside) =
            (tableau.stability(-limit + 1e-6, 0.0).0, tableau.stability(-limit - 1e-6, 0.0).0);
        assert!(inside.abs() < 1.0 && outside.abs() > 1.0, "{tableau}: {inside}, {outside}");
    }
}

#[test]
fn dormand_and_princes_polynomial_is_known() {
    let tableau = Tableau::dp5();
    // z⁶ comes with 1/600 (Hairer, Wanner II, IV.2); z = −3.3066 is where R = 1.
    let expected = [1.0, 1.0, 1.0 / 2.0, 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 600.0];
    for (r, expected) in tableau.stability_polynomial().iter().zip(expected) {
        assert!((r - expected).abs() < 1e-14, "{r}, not {expected}");
    }
    assert!((tableau.real_limit() - 3.3066).abs() < 1e-4, "{}", tableau.real_limit());
}

#[test]
fn imaginary_limits_are_known() {
    // |R(iy)|² − 1 = y²; y⁴/4; y⁴(y² − 3)/36; y⁶(y² − 8)/576.
    let limits = [0.0, 0.0, 3f64.sqrt(), 8f64.sqrt()];
    for (tableau, order) in shortest() {
        let limit = tableau.imaginary_limit();
        assert!((limit - limits[order - 1]).abs() < 1e-6, "{tableau}: {limit}");
    }
}

#[test]
fn the_polynomial_is_the_exponential_up_to_the_order() {
    for (tableau, order) in shortest() {
        let polynomial = tableau.stability_polynomial();
        assert!(polynomial[order + 1..].iter().all(|r| *r == 0.0));
        let mut factorial = 1.0;
        for (j, r) in polynomial.iter().take(order + 1).enumerate() {
            factorial *= j.max(1) as f64;
            assert!((r - 1.0 / factorial).abs() < 1e-15, "{tableau}: r_{j} = {r}");
        }
    }
}

#[test]
fn names_round_trip() {
    for tableau in Tableau::all() {
        assert_eq!(tableau.to_string().parse::<Tableau>().unwrap(), tableau);
        assert_eq!(format!(" {tableau:#<12}"), format!(" {:#<12}", tableau.name()));
    }
    for (alias, name) in [
        ("heun2", "heun"),
        ("HEUN", "heun"),
        ("3/8", "rk38"),
        ("SSPRK(3,3)", "ssprk33"),
        ("Ralston-4", "ralston4"),
        ("ralston", "ralston2"),
    ] {
        assert_eq!(alias.parse::<Tableau>().unwrap().name(), name);
    }
    let message = "rk-5".parse::<Tableau>().unwrap_err().to_string();
    assert!(message.starts_with("no method `rk-5`"), "{message}");
    for name in Tableau::names() {
        assert!(message.contains(name), "{message} lacks {name}");
    }
    assert!("".parse::<Tableau>().is_err());
}

#[test]
fn every_fault_is_named_with_its_row() {
    let third = 1.0 / 3.0;
    // Heun 3, to be broken one piece at a time.
    let a = vec![vec![], vec![third], vec![0.0, 2.0 * third]];
    let b = vec![0.25, 0.0, 0.75];
    let c = vec![0.0, third, 2.0 * third];
    assert!(Tableau::new("mine", &a, &b, Some(&c)).is_ok());

    let row = |i: usize, row: Vec<f64>| {
        let mut a = a.clone();
        a[i] = row;
        (a, b.clone(), c.clone())
    };
    let entry = |b: [f64; 3]| (a.clone(), b.to_vec(), c.clone());
    let at = |c: [f64; 3]| (a.clone(), b.clone(), c.to_vec());
    let faults = [
        ((vec![], vec![], vec![]), vec!["0 stages", "1 to 64"]),
        ((a.clone(), vec![1.0 / 65.0; 65], c.clone()), vec!["65 stages", "1 to 64"]),
        ((a[..2].to_vec(), b.clone(), c.clone()), vec!["2 rows in a for 3 stages"]),
        (row(2, vec![0.5]), vec!["row 3 of a", "1 entries", "the 2 left", "all 3"]),
        (row(0, vec![0.5, 0.5]), vec!["row 1 of a", "2 entries", "the 0 left"]),
        ((a.clone(), b.clone(), vec![0.0, third]), vec!["c of", "2 entries for 3 stages"]),
        (row(1, vec![third, 0.5, 0.0]), vec!["row 2, column 2 of a", "0.5", "explicit"]),
        (row(1, vec![third, 0.0, -1.5]), vec!["row 2, column 3 of a", "-1.5", "explicit"]),
        (row(2, vec![0.0, f64::NAN]), vec!["row 3, column 2 of a", "NaN", "finite"]),
        (row(1, vec![f64::INFINITY]), vec!["row 2, column 1 of a", "inf", "finite"]),
        (row(1, vec![third, f64::NAN, 0.0]), vec!["row 2, column 2 of a", "NaN", "finite"]),
        (row(2, vec![-1e300, 1e300]), vec!["row 3, column 1 of a", "-1e300", "1000000.0"]),
        (entry([0.25, f64::NAN, 0.75]), vec!["row 1, column 2 of b ", "NaN", "finite"]),
        (entry([1e7, 0.0, 1.0 - 1e7]), vec!["row 1, column 1 of b ", "10000000.0"]),
        (entry([0.25, 0.0, 0.7]), vec!["b of", "sums to 0.95", "not to 1"]),
        (at([0.0, f64::NEG_INFINITY, 0.0]), vec!["row 2, column 1 of c ", "-inf"]),
        (at([0.0, third, 0.5]), vec!["row 3 of a", "sums to 0.666", "c_3 = 0.5", "leave c out"]),
        (at([0.25, third, 2.0 * third]), vec!["row 1 of a", "sums to 0.0", "c_1 = 0.25"]),
        (row(1, vec![0.3333]), vec!["row 2 of a", "0.3333,", "0.333333333", "full f64"]),
    ];
    for ((a, b, c), words) in faults {
        let message = Tableau::new("mine", &a, &b, Some(&c)).unwrap_err().to_string();
        for word in words.into_iter().chain(["`mine`"]) {
            assert!(message.contains(word), "{message:?} lacks {word:?}");
        }
    }

    let embedded = |b_hat: &[f64]| Tableau::heun3().with_embedded(b_hat).unwrap_err().to_string();
    for (b_hat, words) in [
        (vec![0.5, 0.5], ["b_hat of", "2 entries for 3 stages"]),
        (vec![0.5, 0.5, 0.5], ["b_hat of", "sums to 1.5"]),
        (vec![f64::NAN, 0.5, 0.5], ["row 1, column 1 of b_hat", "NaN"]),
        (vec![0.25, 0.0, 0.75], ["equal b", "another method"]),
    ] {
        let message = embedded(&b_hat);
        for word in words.into_iter().chain(["`heun3`"]) {
            assert!(message.contains(word), "{message:?} lacks {word:?}");
        }
    }
}
