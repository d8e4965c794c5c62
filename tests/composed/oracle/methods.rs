//! What follows each stage of a method, in increments: with y_j = θ − h D r_j, r_j is a
//! combination of the gradients so far. Stabilised methods by their recurrences, methods of
//! registers by theirs, all others by their coefficients.

use kutta::Method;
use kutta::tableau::{Family, LowStorage, LowStorageForm, Stabilised, Stages};

/// A step as its gradients come in.
pub enum Scheme {
    /// Rows of a, weights b, and what the error estimates have in their place.
    Butcher {
        a: Vec<Vec<f64>>,
        b: Vec<f64>,
        other: Vec<Vec<f64>>,
    },
    Two {
        a: Vec<f64>,
        b: Vec<f64>,
    },
    /// γ₁, γ₂, β, δ of every stage, and b − b̂.
    Three {
        stages: Vec<[f64; 4]>,
        error: Vec<f64>,
    },
    Stabilised {
        family: Family,
        stages: usize,
    },
}

/// T, T', T'' of degrees 0 … s.
fn chebyshev(s: usize, x: f64) -> Vec<[f64; 3]> {
    let mut t = vec![[1.0, 0.0, 0.0], [x, 1.0, 0.0]];
    for j in 2..=s {
        let (p, q) = (t[j - 1], t[j - 2]);
        let value = 2.0 * x * p[0] - q[0];
        let first = 2.0 * p[0] + 2.0 * x * p[1] - q[1];
        t.push([value, first, 4.0 * p[1] + 2.0 * x * p[2] - q[2]]);
    }
    t
}

/// What a recurrence multiplies: y_{j−1}, y_{j−2}, and gradients at y_{j−1} and at θ.
struct Stage {
    mu: f64,
    nu: f64,
    now: f64,
    first: f64,
}

/// Stage j of s, counted from 1: METHODS, section 7.
fn stage(family: Family, s: usize, j: usize) -> Stage {
    let n = s as f64;
    let x = j as f64;
    match family {
        Family::Rkc1 { damping } | Family::Rkcd { damping } => {
            let w0 = 1.0 + damping / (n * n);
            let t = chebyshev(s, w0);
            let w1 = t[s][0] / t[s][1];
            if j == 1 {
                return Stage { mu: 1.0, nu: 0.0, now: w1 / w0, first: 0.0 };
            }
            let ratio = t[j - 1][0] / t[j][0];
            let nu = 2.0 * w0 * ratio;
            Stage { mu: nu, nu: 1.0 - nu, now: 2.0 * w1 * ratio, first: 0.0 }
        }
        Family::Rkc2 => {
            let w0 = 1.0 + 2.0 / (13.0 * n * n);
            let t = chebyshev(s, w0);
            let w1 = t[s][1] / t[s][2];
            let b = |j: usize| t[j.max(2)][2] / t[j.max(2)][1].powi(2);
            if j == 1 {
                return Stage { mu: 1.0, nu: 0.0, now: b(1) * w1, first: 0.0 };
            }
            let now = 2.0 * w1 * b(j) / b(j - 1);
            Stage {
                mu: 2.0 * w0 * b(j) / b(j - 1),
                nu: -b(j) / b(j - 2),
                now,
                first: -now * (1.0 - b(j - 1) * t[j - 1][0]),
            }
        }
        Family::Rkl1 => {
            let mu = (2.0 * x - 1.0) / x;
            Stage { mu, nu: -(x - 1.0) / x, now: mu * 2.0 / (n * n + n), first: 0.0 }
        }
        Family::Rkl2 => {
            let w = 4.0 / (n * n + n - 2.0);
            let b = |j: usize| {
                let x = j as f64;
                if j <= 2 { 1.0 / 3.0 } else { (x * x + x - 2.0) / (2.0 * x * (x + 1.0)) }
            };
            if j == 1 {
                return Stage { mu: 1.0, nu: 0.0, now: w / 3.0, first: 0.0 };
            }
            let mu = (2.0 * x - 1.0) / x * b(j) / b(j - 1);
            let nu = -(x - 1.0) / x * b(j) / b(j - 2);
            Stage { mu, nu, now: mu * w, first: -mu * w * (1.0 - b(j - 1)) }
        }
        _ => unreachable!("by its coefficients"),
    }
}

impl Scheme {
    /// Of a method with so many stages, where their number varies.
    pub fn of(method: &Method, stages: u32) -> Self {
        match method {
            Method::LowStorage(low) => Self::registers(low),
            Method::Stabilised(stabilised) if stabilised.family() != Family::Rock2 => {
                Self::Stabilised { family: stabilised.family(), stages: stages as usize }
            }
            Method::Stabilised(_) => {
                let fixed = Stabilised::new(Family::Rock2, Stages::Fixed(stages)).unwrap();
                Self::butcher(fixed.tableau())
            }
            _ => Self::butcher(method.tableau()),
        }
    }

    fn butcher(t: &kutta::Tableau) -> Self {
        let row = |i: usize| (0..i).map(|j| t.a(i, j)).collect();
        let other = [t.b_hat(), t.b_low()].into_iter().flatten().map(<[f64]>::to_vec);
        let a = (0..t.stages()).map(row).collect();
        Self::Butcher { a, b: t.b().to_vec(), other: other.collect() }
    }

    fn registers(low: &LowStorage) -> Self {
        match low.form() {
            LowStorageForm::Two { a, b } => Self::Two { a: a.clone(), b: b.clone() },
            LowStorageForm::Three(stages) => {
                let t = low.tableau();
                let b_hat = t.b_hat().unwrap_or(t.b());
                let error = t.b().iter().zip(b_hat).map(|(b, hat)| b - hat).collect();
                let stage = |s: &kutta::tableau::Three| [s.gamma[0], s.gamma[1], s.beta, s.delta];
                Self::Three { stages: stages.iter().map(stage).collect(), error }
            }
            _ => unreachable!("two or three registers"),
        }
    }

    /// Gradients of a step; what only an error estimate reads is counted where `judged`.
    pub fn evaluations(&self, judged: bool) -> usize {
        match self {
            Self::Butcher { a, b, other } => {
                let weighed = |i: usize| b[i] != 0.0 || judged && other.iter().any(|o| o[i] != 0.0);
                let mut needed: Vec<bool> = (0..b.len()).map(weighed).collect();
                for i in (0..b.len()).rev() {
                    if needed[i] {
                        (0..i).for_each(|j| needed[j] |= a[i][j] != 0.0);
                    }
                }
                needed.iter().filter(|needed| **needed).count()
            }
            Self::Two { b, .. } => b.len(),
            Self::Three { stages, error } => {
                stages.len() + usize::from(judged && error.len() > stages.len())
            }
            Self::Stabilised { family, stages } => {
                let estimates = judged && matches!(family, Family::Rkc2 | Family::Rkl2);
                stages + usize::from(estimates)
            }
        }
    }

    /// r after as many stages as there are gradients; before the first it is zero.
    pub fn increment(&self, g: &[Vec<f64>], n: usize) -> Vec<f64> {
        let count = g.len();
        let mut r = vec![0.0; n];
        let add = |r: &mut Vec<f64>, w: f64, x: &[f64]| {
            r.iter_mut().zip(x).for_each(|(r, x)| *r += w * x);
        };
        match self {
            Self::Butcher { a, b, .. } => {
                // The last of those that are needed is followed by the step itself.
                let row = if count < a.len() { &a[count] } else { b };
                g.iter().zip(row).for_each(|(g, w)| add(&mut r, *w, g));
            }
            Self::Two { a, b } => {
                let mut register = vec![0.0; n];
                for ((g, a), b) in g.iter().zip(a).zip(b) {
                    register.iter_mut().zip(g).for_each(|(x, g)| *x = a * *x + g);
                    add(&mut r, *b, &register);
                }
            }
            Self::Three { stages, .. } => {
                let mut register = vec![0.0; n];
                for (g, [gamma_1, gamma_2, beta, delta]) in g.iter().zip(stages) {
                    add(&mut register, *delta, &r);
                    for (e, r) in r.iter_mut().enumerate() {
                        *r = gamma_1 * *r + gamma_2 * register[e] + beta * g[e];
                    }
                }
            }
            Self::Stabilised { family, stages } => {
                let mut before = vec![0.0; n];
                for j in 1..=count.min(*stages) {
                    let Stage { mu, nu, now, first } = stage(*family, *stages, j);
                    let mut next = vec![0.0; n];
                    add(&mut next, mu, &r);
                    add(&mut next, nu, &before);
                    add(&mut next, now, &g[j - 1]);
                    add(&mut next, first, &g[0]);
                    before = std::mem::replace(&mut r, next);
                }
            }
        }
        r
    }

    /// The step's increment Σ b g.
    pub fn step(&self, g: &[Vec<f64>], n: usize) -> Vec<f64> {
        match self {
            Self::Butcher { b, .. } => {
                let sum = |e: usize| g.iter().zip(b).map(|(g, b)| b * g[e]).sum();
                (0..n).map(sum).collect()
            }
            _ => self.increment(g, n),
        }
    }

    /// What is off, before h and D: one difference of increments, or two.
    pub fn errors(&self, g: &[Vec<f64>], n: usize) -> Vec<Vec<f64>> {
        let weighted = |w: &dyn Fn(usize) -> f64| -> Vec<f64> {
            let sum = |e: usize| g.iter().enumerate().map(|(i, g)| w(i) * g[e]).sum();
            (0..n).map(sum).collect()
        };
        match self {
            Self::Butcher { b, other, .. } => {
                other.iter().map(|o| weighted(&|i| b[i] - o[i])).collect()
            }
            Self::Three { error, .. } => vec![weighted(&|i| error[i])],
            // (4 (θ − y) + 2 h (f(θ) + f(y)))/5 with f = −g.
            Self::Stabilised { family: Family::Rkc2 | Family::Rkl2, stages } => {
                let r = self.increment(&g[..*stages], n);
                let of = |e: usize| 0.8 * r[e] - 0.4 * (g[0][e] + g[*stages][e]);
                vec![(0..n).map(of).collect()]
            }
            _ => Vec::new(),
        }
    }
}

/// Up to where h ρ is stable.
pub fn interval(method: &Method, stages: u32) -> f64 {
    let s = f64::from(stages);
    let damped = |damping: f64| {
        let w0 = 1.0 + damping / (s * s);
        let [t, first, _] = chebyshev(stages as usize, w0)[stages as usize];
        (1.0 + w0) * first / t
    };
    let Method::Stabilised(stabilised) = method else { return method.tableau().real_limit() };
    match stabilised.family() {
        Family::Rkc1 { damping } | Family::Rkcd { damping } => damped(damping),
        Family::Rkc2 => {
            let w0 = 1.0 + 2.0 / (13.0 * s * s);
            let [_, first, second] = chebyshev(stages as usize, w0)[stages as usize];
            (1.0 + w0) * second / first
        }
        Family::Rkl1 => s * s + s,
        Family::Rkl2 => (s * s + s - 2.0) / 2.0,
        family => family.interval(stages),
    }
}
