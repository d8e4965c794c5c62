//! Stabilised methods in 70 digits: their coefficients from the polynomials, not
//! from closed forms, and the order conditions of the tableaus that follow.

use dashu_float::DBig;

use super::precise_tests::{big, residuals};
use super::{Family, text};

fn whole(n: usize) -> DBig {
    big(&n.to_string())
}

/// T_j, T'_j and T''_j at x for j = 0 … s: T' = j U_{j−1}, and T'' by Chebyshev's
/// equation (1 − x²) T'' − x T' + j² T = 0.
fn chebyshev(s: usize, x: &DBig) -> Vec<[DBig; 3]> {
    let two = big("2");
    let (mut t, mut u) = (vec![big("1"), x.clone()], vec![big("0"), big("1")]);
    for j in 2..=s {
        t.push(&two * x * &t[j - 1] - &t[j - 2]);
        u.push(&two * x * &u[j - 1] - &u[j - 2]);
    }
    let at = |j: usize| {
        let first = whole(j) * &u[j];
        let second = (x * &first - whole(j * j) * &t[j]) / (big("1") - x * x);
        [t[j].clone(), first, second]
    };
    (0..=s).map(at).collect()
}

/// P_j, P'_j and P''_j at 1: Bonnet's recurrence and its derivatives.
fn legendre(s: usize) -> Vec<[DBig; 3]> {
    let mut p = vec![[big("1"), big("0"), big("0")], [big("1"), big("1"), big("0")]];
    for j in 2..=s {
        let [a, b, c] = p[j - 1].clone();
        let next = [a.clone(), &a + &b, &b + &b + &c];
        let at = |e: usize| (whole(2 * j - 1) * &next[e] - whole(j - 1) * &p[j - 2][e]) / whole(j);
        let all = [at(0), at(1), at(2)];
        p.push(all);
    }
    p
}

/// y_j = θ + Σ c (y − θ) over the earlier, and Σ w k: coefficients of k₁ … k_s.
struct Points {
    stages: usize,
    made: Vec<Vec<DBig>>,
}

impl Points {
    fn new(stages: usize) -> Self {
        Self { stages, made: vec![vec![big("0"); stages]] }
    }

    /// The next, of `points` (weight, index) and `slopes` (weight, stage from 0).
    fn push(&mut self, points: &[(DBig, usize)], slopes: &[(DBig, usize)]) {
        let mut next = vec![big("0"); self.stages];
        for (w, j) in points {
            next.iter_mut().zip(&self.made[*j]).for_each(|(x, y)| *x = &*x + w * y);
        }
        for (w, j) in slopes {
            next[*j] = &next[*j] + w;
        }
        self.made.push(next);
    }

    /// A, with the gradient at the step's end as a last stage, and b.
    fn tableau(self) -> (Vec<Vec<DBig>>, Vec<DBig>) {
        let mut b = self.made[self.stages].clone();
        b.push(big("0"));
        let rows = self.made.into_iter().enumerate().map(|(i, row)| row[..i].to_vec()).collect();
        (rows, b)
    }
}

/// Order 1: on a linear problem y_j = T_j(ω₀ + ω₁ z)/T_j(ω₀) θ, ω₁ = T_s/T'_s.
fn rkc1(s: usize, damping: &DBig) -> Points {
    let w0 = big("1") + damping / whole(s * s);
    let t = chebyshev(s, &w0);
    let w1 = &t[s][0] / &t[s][1];
    let mut points = Points::new(s);
    points.push(&[], &[(&w1 / &w0, 0)]);
    for j in 2..=s {
        // T_j(x) = 2x T_{j−1}(x) − T_{j−2}(x), divided by T_j(ω₀).
        let mu = big("2") * &w0 * &t[j - 1][0] / &t[j][0];
        let nu = -&t[j - 2][0] / &t[j][0];
        let now = big("2") * &w1 * &t[j - 1][0] / &t[j][0];
        points.push(&[(mu, j - 1), (nu, j - 2)], &[(now, j - 1)]);
    }
    points
}

fn rkl1(s: usize) -> Points {
    let p = legendre(s);
    let w = &p[s][0] / &p[s][1];
    let mut points = Points::new(s);
    points.push(&[], &[(w.clone(), 0)]);
    for j in 2..=s {
        let mu = whole(2 * j - 1) / whole(j);
        let nu = -(whole(j - 1) / whole(j));
        points.push(&[(mu.clone(), j - 1), (nu, j - 2)], &[(mu * &w, j - 1)]);
    }
    points
}

/// Order 2: y_j = a_j + b_j p_j(ω₀ + ω₁ z), b_j = p''_j/p'_j², a_j = 1 − b_j p_j, for
/// p_j = lead x p_{j−1} − rest p_{j−2}, and ω₁ = p'_s/p''_s.
fn second_order(
    s: usize,
    p: &[[DBig; 3]],
    w0: &DBig,
    ratio: impl Fn(usize) -> [DBig; 2],
) -> Points {
    let w1 = &p[s][1] / &p[s][2];
    let b = |j: usize| {
        let [_, first, second] = &p[j.max(2)];
        second / (first * first)
    };
    let a = |j: usize| big("1") - b(j) * &p[j][0];
    let mut points = Points::new(s);
    points.push(&[], &[(b(1) * &w1, 0)]);
    for j in 2..=s {
        let [lead, rest] = ratio(j);
        let now = &lead * &w1 * b(j) / b(j - 1);
        let mu = &lead * w0 * b(j) / b(j - 1);
        let nu = -(rest * b(j) / b(j - 2));
        let first = -(a(j - 1) * &now);
        points.push(&[(mu, j - 1), (nu, j - 2)], &[(now, j - 1), (first, 0)]);
    }
    points
}

fn rkc2(s: usize) -> Points {
    let w0 = big("1") + big("2") / whole(13 * s * s);
    second_order(s, &chebyshev(s, &w0), &w0, |_| [big("2"), big("1")])
}

fn rkl2(s: usize) -> Points {
    let ratio = |j: usize| [whole(2 * j - 1) / whole(j), whole(j - 1) / whole(j)];
    second_order(s, &legendre(s), &big("1"), ratio)
}

/// u_j = u_{j−1} + h μ f(u_{j−1}) + κ (u_{j−1} − u_{j−2}), and two stages more.
fn rock2(line: &[DBig]) -> Points {
    let (sigma, tau, rest) = (&line[1], &line[2], &line[3..]);
    let d = 1 + rest.len() / 2;
    let mut points = Points::new(d + 2);
    points.push(&[], &[(rest[0].clone(), 0)]);
    for (j, pair) in (2..=d).zip(rest[1..].chunks(2)) {
        let (mu, kappa) = (pair[0].clone(), &pair[1]);
        points.push(&[(big("1") + kappa, j - 1), (-kappa, j - 2)], &[(mu, j - 1)]);
    }
    points.push(&[(big("1"), d)], &[(sigma.clone(), d)]);
    points.push(&[(big("1"), d + 1)], &[(sigma + tau, d + 1), (-tau, d)]);
    points
}

/// To `digits` of order p, and not of p + 1; and the f64 tableau is this one.
fn holds(family: Family, s: usize, points: Points, order: usize, digits: f64) {
    let (name, (rows, b)) = (format!("{}, s = {s}", family.name()), points.tableau());
    let tableau = family.tableau(s as u32);
    let mut weights = vec![(String::new(), b.clone(), order)];
    if matches!(family, Family::Rkc2 | Family::Rkl2) {
        // e = (4 (θ − θ') − 2h (k₁ + k(θ')))/5 = h Σ (b − b̂) k.
        let mut b_hat: Vec<DBig> = b.iter().map(|b| b / big("5")).collect();
        b_hat[0] = &b_hat[0] + big("0.4");
        b_hat[s] = &b_hat[s] + big("0.4");
        for (x, y) in b_hat.iter().zip(tableau.b_hat().unwrap()) {
            assert!((x.to_f64().value() - y).abs() < rounding(s), "{name}: b̂ {x} is not {y}");
        }
        weights.push((" b̂".into(), b_hat, 2));
    }
    for (which, weights, order) in weights {
        let found = residuals(&rows, &weights, order + 1);
        println!("{name}{which}: {found:?}");
        assert!(found[..order].iter().all(|r| *r < digits), "{name}{which}: {found:?}");
        assert!(found[order] > 1e-3, "{name}{which}: order {} too: {found:?}", order + 1);
    }
    for (row, found) in rows.iter().zip(tableau.rows()) {
        for (x, y) in row.iter().zip(found) {
            assert!((x.to_f64().value() - y).abs() < rounding(s), "{name}: a {x} is not {y}");
        }
    }
    for (x, y) in b.iter().zip(tableau.b()) {
        assert!((x.to_f64().value() - y).abs() < rounding(s), "{name}: b {x} is not {y}");
    }
}

/// A recurrence of s stages carries each rounding on at most s² times as large
/// (Verwer, Hundsdorfer, Sommeijer 1990).
fn rounding(s: usize) -> f64 {
    f64::EPSILON * (s * s) as f64
}

#[test]
fn stabilised_methods_have_their_orders_in_seventy_digits() {
    let exact = 1e-60;
    for s in [2, 3, 5, 10, 11, 51] {
        for damping in [0.05, 1.17] {
            let eta = big(&damping.to_string());
            holds(Family::Rkc1 { damping }, s, rkc1(s, &eta), 1, exact);
        }
        holds(Family::Rkc2, s, rkc2(s), 2, exact);
        if s % 2 == 1 {
            holds(Family::Rkl1, s, rkl1(s), 1, exact);
            holds(Family::Rkl2, s, rkl2(s), 2, exact);
        }
    }
}

#[test]
fn rock2_has_its_order_to_the_digits_of_its_table() {
    let lines = text::lines(include_str!("tables/rock2.txt"), |p, q| big(p) / big(q));
    assert_eq!(lines.len(), 46);
    for line in &lines {
        let s = line[0].to_f64().value() as usize + 2;
        if s < 60 || s == 200 {
            holds(Family::Rock2, s, rock2(line), 2, 1e-15);
        }
    }
}
