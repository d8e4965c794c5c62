//! Named methods in 70 digits, from the texts of their coefficients: orders that
//! f64 is too short to show.

use dashu_float::DBig;

use super::order::{MAX_ORDER, TREES};
use super::text::{self, Table};
use super::{Tableau, registry};

/// Digits of the arithmetic below.
const DIGITS: usize = 70;

pub(super) fn big(text: &str) -> DBig {
    text.parse::<DBig>().unwrap().with_precision(DIGITS).value()
}

fn times(x: &[DBig], y: &[DBig]) -> DBig {
    x.iter().zip(y).fold(big("0"), |sum, (x, y)| sum + x * y)
}

/// The largest |Σ b Φ(t) − 1/γ(t)| over the trees of each number of nodes to `most`.
pub(super) fn residuals(rows: &[Vec<DBig>], b: &[DBig], most: usize) -> Vec<f64> {
    let (mut times_a, mut worst) = (Vec::new(), vec![0.0f64; most]);
    for tree in TREES.iter().take_while(|tree| tree.nodes <= most) {
        let phi = |i: usize| {
            let children = tree.subtrees.iter().map(|&k: &usize| &times_a[k]);
            children.fold(big("1"), |product, a: &Vec<DBig>| product * &a[i])
        };
        let phi: Vec<DBig> = (0..rows.len()).map(phi).collect();
        let residual = times(b, &phi) - big("1") / big(&format!("{}", tree.density));
        let worst = &mut worst[tree.nodes - 1];
        *worst = worst.max(residual.to_f64().value().abs());
        times_a.push(rows.iter().map(|row| times(row, &phi)).collect());
    }
    worst
}

#[test]
fn named_methods_have_their_orders_in_seventy_digits() {
    // Orders that the literature claims, of the step and of b̂.
    let claimed = [
        ("euler", 1, 0),
        ("midpoint", 2, 0),
        ("heun", 2, 0),
        ("ralston2", 2, 0),
        ("kutta3", 3, 0),
        ("heun3", 3, 0),
        ("ralston3", 3, 0),
        ("wray3", 3, 0),
        ("ssprk33", 3, 0),
        ("ssprk43", 3, 0),
        ("rk4", 4, 0),
        ("rk38", 4, 0),
        ("ralston4", 4, 0),
        ("heun-euler", 2, 1),
        ("bs3", 3, 2),
        ("rkf45", 4, 5),
        ("cash-karp", 5, 4),
        ("dp5", 5, 4),
        ("tsit5", 5, 4),
        ("verner6", 6, 5),
        ("verner7", 7, 6),
        ("verner8", 8, 7),
        ("dop853", 8, 5),
    ];
    assert_eq!(claimed.map(|c| c.0).to_vec(), Tableau::names().collect::<Vec<_>>());
    for (entry, (name, order, embedded)) in registry::entries().zip(claimed) {
        let table = text::read(entry.text, |p, q| big(p) / big(q));
        // Published with 30 digits; the others exactly, or with 60 and more.
        let digits = if name == "dop853" { 1e-26 } else { 1e-56 };
        let pair = table.b_hat.map(|b_hat| (b_hat, embedded));
        assert_eq!(pair.is_some(), embedded > 0, "{name}");
        // The third weights of Dormand and Prince's 8(5,3).
        let lower = table.b_low.map(|b_low| (b_low, 3));
        assert_eq!(lower.is_some(), name == "dop853");
        for (b, order) in [(table.b, order)].into_iter().chain(pair).chain(lower) {
            let found = residuals(&table.rows, &b, MAX_ORDER + 1);
            println!("{name}: {found:?}");
            let (held, beyond) = found.split_at(order);
            assert!(held.iter().all(|r| *r < digits), "{name}, order {order}: {held:?}");
            // Pairs of high order make their first error terms small on purpose.
            assert!(beyond[0] > 1e-7, "{name}, order {}: {:e}", order + 1, beyond[0]);
        }
    }
}

/// θ after `steps` steps of size t/steps.
fn integrate(
    table: &Table<DBig>,
    gradient: fn(&[DBig]) -> Vec<DBig>,
    start: &[DBig],
    t: &DBig,
    steps: u32,
) -> Vec<DBig> {
    let h = t / big(&steps.to_string());
    let mut theta = start.to_vec();
    for _ in 0..steps {
        let mut slopes: Vec<Vec<DBig>> = Vec::new();
        let combine = |weights: &[DBig], slopes: &[Vec<DBig>]| {
            let at = |e: usize| {
                let terms = weights.iter().zip(slopes).map(|(w, k)| w * &k[e]);
                &theta[e] - &h * terms.fold(big("0"), |sum, x| sum + x)
            };
            (0..theta.len()).map(at).collect::<Vec<_>>()
        };
        for row in &table.rows {
            slopes.push(gradient(&combine(row, &slopes)));
        }
        theta = combine(&table.b, &slopes);
    }
    theta
}

/// (4 1; 1 3)θ
fn linear(x: &[DBig]) -> Vec<DBig> {
    vec![big("4") * &x[0] + &x[1], &x[0] + big("3") * &x[1]]
}

/// Computes the gradient of Himmelblau's function.
fn nonlinear(x: &[DBig]) -> Vec<DBig> {
    let a = &x[0] * &x[0] + &x[1] - big("11");
    let b = &x[0] + &x[1] * &x[1] - big("7");
    let (two, four) = (big("2"), big("4"));
    vec![&four * &x[0] * &a + &two * &b, &two * &a + &four * &x[1] * &b]
}

/// ẏ = −y (1 + 2t) with the time t as a second unknown: right only with the
/// right c_i.
fn stretched(x: &[DBig]) -> Vec<DBig> {
    vec![&x[0] * (big("1") + big("2") * &x[1]), big("-1")]
}

#[test]
fn high_orders_converge_with_the_slope_of_their_order() {
    let entry = |name| registry::entries().find(|e| e.name == name).unwrap();
    let table = |name| text::read(entry(name).text, |p, q| big(p) / big(q));
    let fine = table("verner8");
    for (problem, gradient) in [
        ("linear", linear as fn(&[DBig]) -> Vec<DBig>),
        ("nonlinear", nonlinear),
        ("stretched", stretched),
    ] {
        let start = [big("1.5"), big("0.25")];
        // Verner's pairs have error terms of the next order that are hundreds of
        // times larger: only very short steps show their own.
        for (name, order, t, floor) in [
            ("verner6", 6, 12, 1e-60),
            ("verner7", 7, 12, 1e-60),
            ("verner8", 8, 12, 1e-60),
            // Published with 30 digits.
            ("dop853", 8, 6, 1e-25),
        ] {
            let t = big("1") / big(&(1 << t).to_string());
            let exact = integrate(&fine, gradient, &start, &t, 512);
            let table = table(name);
            let error = |steps: u32| {
                let end = integrate(&table, gradient, &start, &t, steps);
                let off = end.iter().zip(&exact).map(|(x, y)| (x - y).to_f64().value().abs());
                off.fold(0.0, f64::max)
            };
            let errors: Vec<f64> = (0..=7).map(|k| error(1 << k)).collect();
            let slopes: Vec<f64> = errors
                .windows(2)
                .take_while(|e| e[1] > floor)
                .map(|e| (e[0] / e[1]).log2())
                .collect();
            println!("{name} {problem} {slopes:.3?}");
            let slope = slopes.last().copied().unwrap_or(f64::NAN);
            assert!(
                (slope - f64::from(order)).abs() < 0.2,
                "{name}, {problem}: {slopes:.3?} from {errors:?}"
            );
        }
    }
}
