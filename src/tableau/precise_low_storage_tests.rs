//! Low-storage methods in 70 digits, from their published registers to tableaus and
//! from there to the order conditions.

use dashu_float::DBig;

use super::precise_tests::{big, residuals};
use super::text;

/// A vector of the step as θ + h Σ c k: the weight of θ, then those of k₁ … k_s.
type Expansion = Vec<DBig>;

fn sum_of(terms: &[(&DBig, &Expansion)]) -> Expansion {
    let at = |e: usize| terms.iter().fold(big("0"), |sum, (w, x)| sum + *w * &x[e]);
    (0..terms[0].1.len()).map(at).collect()
}

/// θ alone, of a step of so many stages; or k_i alone.
fn unit(stages: usize, i: usize) -> Expansion {
    (0..=stages).map(|e| big(if e == i { "1" } else { "0" })).collect()
}

fn off(x: &DBig, y: &DBig) -> f64 {
    (x - y).to_f64().value().abs()
}

/// Gives the point after each stage in Williamson's form: S₂ = A S₂ + h k, S₁ = S₁ + B S₂.
fn two(lines: &[Vec<DBig>]) -> Vec<Expansion> {
    let (one, s) = (big("1"), lines.len());
    let (mut point, mut register) = (unit(s, 0), vec![big("0"); s + 1]);
    let follow = |(i, line): (usize, &Vec<DBig>)| {
        register = sum_of(&[(&line[0], &register), (&one, &unit(s, i + 1))]);
        point = sum_of(&[(&one, &point), (&line[1], &register)]);
        point.clone()
    };
    lines.iter().enumerate().map(follow).collect()
}

/// Gives the point after each stage in Ranocha's form, from S₁ = S₃ = θ and S₂ = 0:
/// S₂ = S₂ + δ S₁, S₁ = γ₁ S₁ + γ₂ S₂ + γ₃ S₃ + β h k, with δ = 1 at first.
fn three(lines: &[Vec<DBig>]) -> Vec<Expansion> {
    let (one, s) = (big("1"), lines.len());
    let (mut point, mut register) = (unit(s, 0), vec![big("0"); s + 1]);
    let theta = unit(s, 0);
    let follow = |(i, line): (usize, &Vec<DBig>)| {
        let delta = if i == 0 { &one } else { &line[4] };
        register = sum_of(&[(&one, &register), (delta, &point)]);
        let k = unit(s, i + 1);
        point = sum_of(&[
            (&line[0], &point),
            (&line[1], &register),
            (&line[2], &theta),
            (&line[3], &k),
        ]);
        point.clone()
    };
    lines.iter().enumerate().map(follow).collect()
}

/// A and b of what follows each stage, each of which must hold θ once, to `digits`.
fn tableau(follow: Vec<Expansion>, digits: f64) -> (Vec<Vec<DBig>>, Vec<DBig>) {
    let (mut rows, mut b) = (vec![vec![]], vec![]);
    for (i, mut expansion) in follow.into_iter().enumerate() {
        let theta = off(&expansion.remove(0), &big("1"));
        assert!(theta < digits, "stage {}: θ is there {theta:e} too often", i + 1);
        b = expansion;
        rows.push(b[..=i].to_vec());
    }
    rows.pop();
    (rows, b)
}

fn holds(name: &str, rows: &[Vec<DBig>], b: &[DBig], order: usize, digits: f64) {
    let found = residuals(rows, b, order + 1);
    println!("{name}: {found:?}");
    assert!(found[..order].iter().all(|r| *r < digits), "{name}, order {order}: {found:?}");
    assert!(found[order] > 1e-5, "{name}, order {}: {:e}", order + 1, found[order]);
}

/// 37 digits are published of the pairs; three are left to the sums.
const PUBLISHED: f64 = 1e-34;

/// Numerators and denominators of 13 digits approach the roots to 26.
const CARPENTER_KENNEDY: f64 = 1e-25;

#[test]
fn registers_have_their_orders_in_seventy_digits() {
    // Williamson's fractions are exact.
    for (name, order, digits, text) in [
        ("williamson3", 3, 1e-65, include_str!("tables/williamson3.txt")),
        ("carpenter-kennedy", 4, CARPENTER_KENNEDY, include_str!("tables/carpenter-kennedy.txt")),
    ] {
        let lines = text::lines(text, |p, q| big(p) / big(q));
        let (rows, b) = tableau(two(&lines), 1e-65);
        holds(name, &rows, &b, order, digits);
    }
    for (name, order, text) in [
        ("rdpk3sp35", 3, include_str!("tables/rdpk3sp35.txt")),
        ("rdpk3sp49", 4, include_str!("tables/rdpk3sp49.txt")),
        ("rdpk3sp510", 5, include_str!("tables/rdpk3sp510.txt")),
    ] {
        let lines = text::lines(text, |p, q| big(p) / big(q));
        let (rows, b) = tableau(three(&lines), PUBLISHED);
        let column = |c: usize| lines.iter().map(|line| line[c].clone()).collect::<Vec<_>>();
        let published = column(5);
        for (i, (b, published)) in b.iter().zip(&published).enumerate() {
            let off = off(b, published);
            assert!(off < PUBLISHED, "{name}: b_{} is off by {off:e}", i + 1);
        }
        holds(name, &rows, &published, order, PUBLISHED);
        holds(&format!("{name}'s b̂"), &rows, &column(6), order - 1, PUBLISHED);
    }
}
