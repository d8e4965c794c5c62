//! Methods that pass registers on, in f64 and as their papers have them: what their
//! tableaus, and through those the plans and the kernels, are tested against.
//!
//! Every function takes one step of θ̇ = −g(θ), so that a paper's f is −g here.

use super::ReferenceError;
use super::textbook::Step;
use crate::tableau::{Family, LowStorage, LowStorageForm, Stabilised, Three};

/// `gradient` of stage i = 1 … s at its point.
type Gradient<'g> = &'g mut dyn FnMut(usize, &[f64]) -> Vec<f64>;

/// Stage points and gradients so far.
struct Run<'g> {
    h: f64,
    points: Vec<Vec<f64>>,
    gradients: Vec<Vec<f64>>,
    gradient: Gradient<'g>,
}

impl<'g> Run<'g> {
    fn new(h: f64, gradient: Gradient<'g>) -> Self {
        Self { h, points: vec![], gradients: vec![], gradient }
    }

    fn evaluate(&mut self, point: &[f64]) -> Result<Vec<f64>, ReferenceError> {
        let stage = self.points.len() + 1;
        let g = (self.gradient)(stage, point);
        if g.len() != point.len() {
            let (expected, found) = (point.len(), g.len());
            return Err(ReferenceError::GradientLength { stage, expected, found });
        }
        self.points.push(point.to_vec());
        self.gradients.push(g.clone());
        Ok(g)
    }

    fn end(self, theta: Vec<f64>, error: Option<Vec<f64>>) -> Step {
        let Self { h, points, gradients, .. } = self;
        Step { h, points, gradients, theta, error }
    }
}

/// Σ w x, element by element.
fn sum<const N: usize>(terms: [(f64, &[f64]); N]) -> Vec<f64> {
    let at = |e: usize| terms.iter().map(|(w, x)| w * x[e]).sum();
    (0..terms[0].1.len()).map(at).collect()
}

/// A step in Williamson's 2N form: with S₁ = θ and S₂ = 0,
///
/// ```text
/// S₂ ← A_i S₂ − h g(S₁),   S₁ ← S₁ + B_i S₂
/// ```
///
/// for each stage. Source: Williamson, J. Comput. Phys. 35, 1980.
///
/// ```
/// use kutta::reference::registers;
/// // Heun's method of order 2, with points θ and θ − h g: b = (1/2, 1/2).
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// let step = registers::two(&[[0.0, 1.0], [-1.0, 0.5]], 0.5, &[1.0], &mut gradient)?;
/// assert_eq!(step.theta, [0.625]);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn two(
    coefficients: &[[f64; 2]],
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let mut run = Run::new(h, gradient);
    let (mut s1, mut s2) = (theta.to_vec(), vec![0.0; theta.len()]);
    for &[a, b] in coefficients {
        let g = run.evaluate(&s1)?;
        s2 = sum([(a, &s2), (-h, &g)]);
        s1 = sum([(1.0, &s1), (b, &s2)]);
    }
    Ok(run.end(s1, None))
}

/// A step in the 3S*+ form: with S₁ = S₃ = θ and S₂ = 0,
///
/// ```text
/// S₂ ← S₂ + δ_i S₁,   S₁ ← γ₁ S₁ + γ₂ S₂ + γ₃ S₃ − h β_i g(S₁),   δ₁ = 1
/// θ̂ = θ − h Σ b̂_i g_i,   error = θ̂ − θ'
/// ```
///
/// for each stage. γ₃ is what is left to 1 of the weights of θ.
/// Sources: Ketcheson, J. Comput. Phys. 229, 2010; Ranocha, Dalcin, Parsani,
/// Ketcheson, arXiv 2104.06836, 2021.
///
/// ```
/// use kutta::{reference::registers, tableau::Three};
/// // Euler's method twice, each with half of h.
/// let stage = Three { gamma: [1.0, 0.0], beta: 0.5, delta: 0.0 };
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// let step = registers::three(&[stage; 2], &[1.0, 0.0], 1.0, &[1.0], &mut gradient)?;
/// assert_eq!(step.theta, [0.25]);
/// assert_eq!(step.error, Some(vec![-0.25])); // Euler's 0, less the 0.25
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn three(
    stages: &[Three],
    b_hat: &[f64],
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let mut run = Run::new(h, gradient);
    let (mut s1, mut s2, mut embedded) = (theta.to_vec(), vec![0.0; theta.len()], theta.to_vec());
    // Σ δ, which is how often S₂ holds θ.
    let mut held = 0.0;
    for (i, (&Three { gamma: [g1, g2], beta, delta }, &b_hat)) in
        stages.iter().zip(b_hat).enumerate()
    {
        let g = run.evaluate(&s1)?;
        let delta = if i == 0 { 1.0 } else { delta };
        held += delta;
        s2 = sum([(1.0, &s2), (delta, &s1)]);
        s1 = sum([(g1, &s1), (g2, &s2), (1.0 - g1 - g2 * held, theta), (-h * beta, &g)]);
        embedded = sum([(1.0, &embedded), (-h * b_hat, &g)]);
    }
    let error = sum([(1.0, &embedded), (-1.0, &s1)]);
    Ok(run.end(s1, Some(error)))
}

/// A step of a low-storage method by its registers: [`two`] or [`three`].
///
/// ```
/// use kutta::{reference::{registers, textbook}, tableau::LowStorage};
/// let method = LowStorage::williamson3();
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// let step = registers::low_storage(&method, 0.5, &[1.0], &mut gradient)?;
/// let book = textbook::step(method.tableau(), 0.5, &[1.0], &mut gradient)?;
/// assert!((step.theta[0] - book.theta[0]).abs() < 1e-15);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn low_storage(
    method: &LowStorage,
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    match method.form() {
        LowStorageForm::Two { a, b } => {
            let coefficients: Vec<[f64; 2]> = a.iter().zip(b).map(|(&a, &b)| [a, b]).collect();
            two(&coefficients, h, theta, gradient)
        }
        LowStorageForm::Three(stages) => {
            let b_hat = method.tableau().b_hat().unwrap_or_default();
            three(stages, b_hat, h, theta, gradient)
        }
    }
}

/// A step of a stabilised method by its family's recurrence, with the stages that it
/// shows: [`rkc1`], [`rkc2`], [`rkl1`], [`rkl2`] or [`rock2`].
///
/// ```
/// use kutta::{reference::{registers, textbook}, tableau::Stabilised};
/// let method: Stabilised = "rkc2:stages=8".parse()?;
/// let mut gradient = |_stage: usize, theta: &[f64]| vec![10.0 * theta[0]];
/// let step = registers::stabilised(&method, 1.0, &[1.0], &mut gradient)?;
/// let book = textbook::step(method.tableau(), 1.0, &[1.0], &mut gradient)?;
/// assert!((step.theta[0] - book.theta[0]).abs() < 1e-14);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn stabilised(
    method: &Stabilised,
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let s = method.shown_stages() as usize;
    match method.family() {
        Family::Rkc1 { damping } | Family::Rkcd { damping } => rkc1(s, damping, h, theta, gradient),
        Family::Rkc2 => rkc2(s, h, theta, gradient),
        Family::Rkl1 => rkl1(s, h, theta, gradient),
        Family::Rkl2 => rkl2(s, h, theta, gradient),
        Family::Rock2 => rock2(s, h, theta, gradient),
    }
}

/// T_j, T'_j and T''_j at x ≥ 1 for j = 0 … s, from sums of positive terms alone:
/// T'_j = 2j (T_{j−1} + T_{j−3} + …), where T₀ counts half, and T'' likewise.
fn chebyshev(s: usize, x: f64) -> Vec<[f64; 3]> {
    let angle = x.acosh();
    let mut t: Vec<[f64; 3]> = Vec::new();
    for j in 0..=s {
        let below = |d: usize| -> f64 {
            let half = |i: usize| if i == 0 { 0.5 } else { 1.0 };
            (0..j).rev().step_by(2).map(|i| half(i) * t[i][d]).sum()
        };
        let twice = 2.0 * j as f64;
        let all = [(j as f64 * angle).cosh(), twice * below(0), twice * below(1)];
        t.push(all);
    }
    t
}

/// A step of the Runge–Kutta–Chebyshev method of order 1: with T_j at
/// ω₀ = 1 + η/s² and ω₁ = T_s/T'_s,
///
/// ```text
/// y₁ = θ − h (ω₁/ω₀) g(θ)
/// y_j = −2h ω₁ (T_{j−1}/T_j) g(y_{j−1}) + ν_j y_{j−1} + (1 − ν_j) y_{j−2}
/// ν_j = 2 ω₀ T_{j−1}/T_j
/// ```
///
/// Sources: van der Houwen, Sommeijer, ZAMM 60, 1980; with a large damping η,
/// Eftekhari, Vandereycken, Vilmart, Zygalakis, SIAM J. Sci. Comput. 43, 2021.
///
/// ```
/// use kutta::reference::registers;
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// // T₂(ω₀ + ω₁ z)/T₂(ω₀) of ω₀ = 1.0125.
/// let (w0, t) = (1.0125, |x: f64| 2.0 * x * x - 1.0);
/// let w1 = t(w0) / (4.0 * w0);
/// let step = registers::rkc1(2, 0.05, 3.0, &[1.0], &mut gradient)?;
/// assert!((step.theta[0] - t(w0 - 3.0 * w1) / t(w0)).abs() < 1e-14);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn rkc1(
    stages: usize,
    damping: f64,
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let mut run = Run::new(h, gradient);
    let w0 = 1.0 + damping / (stages * stages) as f64;
    let t = chebyshev(stages, w0);
    let w1 = t[stages][0] / t[stages][1];
    let g = run.evaluate(theta)?;
    let (mut before, mut now) = (theta.to_vec(), sum([(1.0, theta), (-h * w1 / w0, &g)]));
    for j in 2..=stages {
        let ratio = t[j - 1][0] / t[j][0];
        let nu = 2.0 * w0 * ratio;
        let g = run.evaluate(&now)?;
        let next = sum([(-2.0 * h * w1 * ratio, &g), (nu, &now), (1.0 - nu, &before)]);
        (before, now) = (now, next);
    }
    Ok(run.end(now, None))
}

/// A step of the Runge–Kutta–Chebyshev method of order 2: with T_j at
/// ω₀ = 1 + 2/(13 s²), ω₁ = T'_s/T''_s, b_j = T''_j/T'_j² and b₀ = b₁ = b₂,
///
/// ```text
/// y₁ = θ − h b₁ ω₁ g(θ)
/// y_j = (1 − μ − ν) θ + μ y_{j−1} + ν y_{j−2} − h μ̃ (g(y_{j−1}) − a_{j−1} g(θ))
/// μ = 2 ω₀ b_j/b_{j−1},   ν = −b_j/b_{j−2},   μ̃ = 2 ω₁ b_j/b_{j−1},   a_j = 1 − b_j T_j
/// error = (4 (θ − θ') − 2h (g(θ) + g(θ')))/5
/// ```
///
/// with g(θ') as a stage of its own.
/// Source: Sommeijer, Shampine, Verwer, J. Comput. Appl. Math. 88, 1998.
///
/// ```
/// use kutta::reference::registers;
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// let step = registers::rkc2(5, 1e-3, &[1.0], &mut gradient)?;
/// assert!((step.theta[0] - (-1e-3f64).exp()).abs() < 1e-10);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn rkc2(
    stages: usize,
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let w0 = 1.0 + 2.0 / (13 * stages * stages) as f64;
    let t = chebyshev(stages.max(2), w0);
    let w1 = t[stages][1] / t[stages][2];
    let b = |j: usize| t[j.max(2)][2] / t[j.max(2)][1].powi(2);
    let coefficients = |j: usize| {
        let ratio = b(j) / b(j - 1);
        let (mu, nu, mu_tilde) = (2.0 * w0 * ratio, -b(j) / b(j - 2), 2.0 * w1 * ratio);
        [mu, nu, mu_tilde, 1.0 - b(j - 1) * t[j - 1][0]]
    };
    second_order(stages, b(1) * w1, coefficients, h, theta, gradient)
}

/// A step of the Runge–Kutta–Legendre method of order 1: with w = 2/(s² + s),
///
/// ```text
/// y_j = ((2j − 1)/j) (y_{j−1} − h w g(y_{j−1})) − ((j − 1)/j) y_{j−2}
/// ```
///
/// Source: Meyer, Balsara, Aslam, J. Comput. Phys. 257, 2014.
///
/// ```
/// use kutta::reference::registers;
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// // P₃(1 − h w) of P₃(x) = (5x³ − 3x)/2 and w = 1/6.
/// let step = registers::rkl1(3, 6.0, &[1.0], &mut gradient)?;
/// assert!(step.theta[0].abs() < 1e-15);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn rkl1(
    stages: usize,
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let mut run = Run::new(h, gradient);
    let w = 2.0 / (stages * stages + stages) as f64;
    let (mut before, mut now) = (vec![0.0; theta.len()], theta.to_vec());
    for j in 1..=stages {
        let x = j as f64;
        let mu = (2.0 * x - 1.0) / x;
        let g = run.evaluate(&now)?;
        let next = sum([(mu, &now), (-h * mu * w, &g), ((1.0 - x) / x, &before)]);
        (before, now) = (now, next);
    }
    Ok(run.end(now, None))
}

/// A step of the Runge–Kutta–Legendre method of order 2: with w = 4/(s² + s − 2),
/// b_j = (j² + j − 2)/(2j (j + 1)) and b₀ = b₁ = b₂ = 1/3,
///
/// ```text
/// y₁ = θ − h (w/3) g(θ)
/// y_j = (1 − μ − ν) θ + μ y_{j−1} + ν y_{j−2} − h μ w (g(y_{j−1}) − a_{j−1} g(θ))
/// μ = ((2j − 1)/j) b_j/b_{j−1},   ν = −((j − 1)/j) b_j/b_{j−2},   a_j = 1 − b_j
/// ```
///
/// and the error as that of [`rkc2`].
/// Source: Meyer, Balsara, Aslam, J. Comput. Phys. 257, 2014.
///
/// ```
/// use kutta::reference::registers;
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// let step = registers::rkl2(5, 1e-3, &[1.0], &mut gradient)?;
/// assert!((step.theta[0] - (-1e-3f64).exp()).abs() < 1e-10);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn rkl2(
    stages: usize,
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let w = 4.0 / ((stages * stages + stages) as f64 - 2.0);
    let b = |j: usize| {
        let x = j as f64;
        if j <= 2 { 1.0 / 3.0 } else { (x * x + x - 2.0) / (2.0 * x * (x + 1.0)) }
    };
    let coefficients = |j: usize| {
        let x = j as f64;
        let mu = (2.0 * x - 1.0) / x * b(j) / b(j - 1);
        [mu, (1.0 - x) / x * b(j) / b(j - 2), mu * w, 1.0 - b(j - 1)]
    };
    second_order(stages, w / 3.0, coefficients, h, theta, gradient)
}

/// Makes a step of RKC2 or RKL2; `coefficients` are μ, ν, μ̃ and a_{j−1}.
fn second_order(
    stages: usize,
    first: f64,
    coefficients: impl Fn(usize) -> [f64; 4],
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let mut run = Run::new(h, gradient);
    let g0 = run.evaluate(theta)?;
    let (mut before, mut now) = (theta.to_vec(), sum([(1.0, theta), (-h * first, &g0)]));
    for j in 2..=stages {
        let [mu, nu, mu_tilde, a] = coefficients(j);
        let g = run.evaluate(&now)?;
        let next = sum([
            (1.0 - mu - nu, theta),
            (mu, &now),
            (nu, &before),
            (-h * mu_tilde, &g),
            (h * mu_tilde * a, &g0),
        ]);
        (before, now) = (now, next);
    }
    let end = run.evaluate(&now)?;
    let error = sum([(0.8, theta), (-0.8, &now), (-0.4 * h, &g0), (-0.4 * h, &end)]);
    Ok(run.end(now, Some(error)))
}

/// A step of the orthogonal Runge–Kutta–Chebyshev method of order 2: with m = s − 2
/// and μ, κ, σ, τ of its table for that degree,
///
/// ```text
/// y₁ = θ − h μ₁ g(θ)
/// y_j = −h μ_j g(y_{j−1}) + (1 + κ_j) y_{j−1} − κ_j y_{j−2},   j ≤ m
/// y_{s−1} = y_m − h σ g(y_m)
/// y* = y_{s−1} − h σ g(y_{s−1})
/// θ' = y* − h τ (g(y_{s−1}) − g(y_m)),   error = y* − θ'
/// ```
///
/// Source: Abdulle, Medovikov, Numer. Math. 90, 2001.
///
/// ```
/// use kutta::reference::registers;
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// let step = registers::rock2(5, 1e-3, &[1.0], &mut gradient)?;
/// assert!((step.theta[0] - (-1e-3f64).exp()).abs() < 1e-10);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn rock2(
    stages: usize,
    h: f64,
    theta: &[f64],
    gradient: Gradient<'_>,
) -> Result<Step, ReferenceError> {
    let lines = include_str!("../tableau/tables/rock2.txt").lines().map(|line| {
        let numbers = line.split_whitespace().map(|x| x.parse().unwrap_or(f64::NAN));
        numbers.collect::<Vec<f64>>()
    });
    // The next degree that there is.
    let lines: Vec<_> = lines.collect();
    let found = lines.iter().find(|line| line[0] + 2.0 >= stages as f64).or(lines.last());
    let Some([_, sigma, tau, first, rest @ ..]) = found.map(Vec::as_slice) else {
        unreachable!("a degree has σ, τ and μ₁");
    };
    let mut run = Run::new(h, gradient);
    let g = run.evaluate(theta)?;
    let (mut before, mut now) = (theta.to_vec(), sum([(1.0, theta), (-h * first, &g)]));
    for pair in rest.chunks_exact(2) {
        let g = run.evaluate(&now)?;
        let next = sum([(-h * pair[0], &g), (1.0 + pair[1], &now), (-pair[1], &before)]);
        (before, now) = (now, next);
    }
    let g_m = run.evaluate(&now)?;
    let last = sum([(1.0, &now), (-h * sigma, &g_m)]);
    let g_last = run.evaluate(&last)?;
    let star = sum([(1.0, &last), (-h * sigma, &g_last)]);
    let error = sum([(h * tau, &g_last), (-h * tau, &g_m)]);
    let theta = sum([(1.0, &star), (-1.0, &error)]);
    Ok(run.end(theta, Some(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::textbook;

    /// g of ½ Σ λ θ² + ¼ (Σ θ)⁴/n³: nonlinear, coupled, ρ a little above max λ.
    fn gradient(_: usize, theta: &[f64]) -> Vec<f64> {
        let n = theta.len() as f64;
        let together = (theta.iter().sum::<f64>() / n).powi(3);
        theta.iter().zip(EIGENVALUES).map(|(x, l)| l * x + together).collect()
    }

    const EIGENVALUES: [f64; 6] = [0.01, 0.3, 1.0, 2.5, 5.0, 9.0];
    const START: [f64; 6] = [1.0, -0.5, 0.75, 0.9, -1.0, 0.8];
    const RHO: f64 = 10.0;

    /// The largest difference of points and of θ', and that of errors over hρ: that is
    /// how much longer than θ the terms of an error are.
    fn difference(found: &Step, book: &Step) -> f64 {
        let flat = |step: &Step| {
            let size = (step.h * RHO).max(1.0);
            let points = step.points.iter().chain([&step.theta]).flatten().copied();
            let error = step.error.iter().flatten().map(|e| e / size);
            points.chain(error).collect::<Vec<f64>>()
        };
        let (found, book) = (flat(found), flat(book));
        assert_eq!(found.len(), book.len(), "other stages, or another kind of error");
        found.iter().zip(&book).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn low_storage_tableaus_are_their_registers() {
        for method in LowStorage::all() {
            let tableau = method.tableau();
            // Points between the stages may lie far beyond θ where h is at its limit.
            let h = 1.0 / RHO;
            let found = low_storage(&method, h, &START, &mut gradient).unwrap();
            let book = textbook::step(tableau, h, &START, &mut gradient).unwrap();
            // Each stage rounds terms of size 1 in both forms.
            let unit = f64::EPSILON * tableau.stages() as f64;
            let off = difference(&found, &book) / unit;
            println!("{method}: {off:.3}");
            assert!(off < 8.0, "{method}: {off} of u s");
        }
    }

    #[test]
    fn stabilised_tableaus_are_their_recurrences() {
        for family in Stabilised::all() {
            let (mut compared, mut most) = (0, 0.0f64);
            for s in 1..=64 {
                if family.family().admissible(s) != Some(s) {
                    continue;
                }
                let method = family.with_stages(s).unwrap();
                let h = 0.9 * family.family().interval(s) / RHO;
                let found = stabilised(&method, h, &START, &mut gradient).unwrap();
                let book = textbook::step(method.tableau(), h, &START, &mut gradient).unwrap();
                // A rounding of θ comes out at most s² times as large: Verwer,
                // Hundsdorfer, Sommeijer 1990. ROCK2's last two stages are
                // 1 − 2σ hλ + σ (σ + τ) (hλ)² times what they start from.
                let (z, finish) = (h * RHO, family.family().recurrence(s));
                let amplified = match (family.family(), finish.as_slice()) {
                    (Family::Rock2, [.., x, y]) => 1.0 + x.now * y.now * z * z,
                    _ => 1.0,
                };
                let unit = f64::EPSILON * amplified.max(f64::from(s * s));
                let off = difference(&found, &book) / unit;
                most = most.max(off);
                assert!(off < 32.0, "{method}: {off} of {unit:e}");
                compared += 1;
            }
            println!("{family}: {most:.2} units in {compared} numbers of stages");
            assert!(compared >= 20, "{family}: {compared}");
        }
    }
}
