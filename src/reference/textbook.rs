//! Runge–Kutta for the gradient flow θ̇ = −g(θ), in f64, as the book has it.
//!
//! Nothing here is clever, reused or reordered: it is the definition that the
//! plans and the kernels are tested against, and so it imports nothing but the
//! coefficients.

use super::ReferenceError;
use crate::ingredients::{Adaptive, Curvature, ENLARGED, Ingredients, PROBE, Rule, SpectralRadius};
use crate::tableau::Tableau;

/// One step of size h from θ_n, with everything that happened on the way.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The step size h.
    pub h: f64,
    /// The stage points θ_1 … θ_s; the first is θ_n.
    pub points: Vec<Vec<f64>>,
    /// The gradients g(θ_1) … g(θ_s); the slopes of the book are k_i = −g_i.
    pub gradients: Vec<Vec<f64>>,
    /// θ_{n+1}.
    pub theta: Vec<f64>,
    /// h Σ_i (b_i − b̂_i) g_i, where the tableau has embedded weights.
    pub error: Option<Vec<f64>>,
}

/// The end at which [`integrate`] stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Until {
    /// After this many steps.
    Steps(usize),
    /// At this time; the last h is cut so that the sum of all is t_end.
    Time(f64),
}

/// One step of the flow θ̇ = −g(θ):
///
/// ```text
/// θ_i     = θ_n − h Σ_{j<i} a_ij g(θ_j)
/// θ_{n+1} = θ_n − h Σ_i b_i g(θ_i)
/// ```
///
/// `gradient` gets the stage, counted from 1, and the stage point.
/// Source: Hairer, Nørsett, Wanner I, definition II.1.1.
///
/// ```
/// use kutta::{Tableau, reference::textbook};
/// // L = θ²/2 from θ = 1 with h = 1/2: Heun gives 1 − h + h²/2.
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// let step = textbook::step(&Tableau::heun2(), 0.5, &[1.0], &mut gradient)?;
/// assert_eq!(step.points, [[1.0], [0.5]]);
/// assert_eq!(step.theta, [0.625]);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// If a gradient is not as long as `theta`.
pub fn step(
    tableau: &Tableau,
    h: f64,
    theta: &[f64],
    gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
) -> Result<Step, ReferenceError> {
    let mut points: Vec<Vec<f64>> = Vec::new();
    let mut gradients: Vec<Vec<f64>> = Vec::new();
    for i in 0..tableau.stages() {
        let point = theta
            .iter()
            .enumerate()
            .map(|(e, x)| x - h * (0..i).map(|j| tableau.a(i, j) * gradients[j][e]).sum::<f64>())
            .collect::<Vec<_>>();
        let g = gradient(i + 1, &point);
        if g.len() != theta.len() {
            let (expected, found) = (theta.len(), g.len());
            return Err(ReferenceError::GradientLength { stage: i + 1, expected, found });
        }
        points.push(point);
        gradients.push(g);
    }
    // Σ_i w_i g_i, element e.
    let weighted = |w: &dyn Fn(usize) -> f64, e: usize| {
        gradients.iter().enumerate().map(|(i, g)| w(i) * g[e]).sum::<f64>()
    };
    let b = tableau.b();
    let elements = 0..theta.len();
    let next = elements.clone().map(|e| theta[e] - h * weighted(&|i| b[i], e)).collect();
    let error = tableau
        .b_hat()
        .map(|b_hat| elements.map(|e| h * weighted(&|i| b[i] - b_hat[i], e)).collect());
    Ok(Step { h, points, gradients, theta: next, error })
}

/// ρ of the Jacobian of `field` at θ: a hundred iterations w ← (f(θ + εw) − f(θ))/ε
/// of the power method, from elements ±1, with ε‖w‖ = 2⁻²⁶ max(1, ‖θ‖).
///
/// ```
/// use kutta::reference::textbook;
/// let rho = textbook::spectral_radius(&[1.0, 1.0], &mut |x| vec![3.0 * x[0], -7.0 * x[1]]);
/// assert!((rho - 7.0).abs() < 1e-6);
/// ```
pub fn spectral_radius(theta: &[f64], field: &mut dyn FnMut(&[f64]) -> Vec<f64>) -> f64 {
    let here = field(theta);
    let distance = norm(theta).max(1.0) / f64::from(1 << 26);
    let mut w: Vec<f64> = (0..theta.len()).map(|i| if i % 3 == 0 { -1.0 } else { 1.0 }).collect();
    let mut rho = 0.0;
    for _ in 0..100 {
        let epsilon = distance / norm(&w);
        let beside: Vec<f64> = theta.iter().zip(&w).map(|(x, w)| x + epsilon * w).collect();
        let there = field(&beside);
        w = there.iter().zip(&here).map(|(a, b)| a - b).collect();
        rho = norm(&w) / distance;
        if rho == 0.0 || !rho.is_finite() {
            break;
        }
    }
    rho
}

/// A method with ingredients and the state they keep between steps.
///
/// With D_n from g(θ_n) and the state before it, ḡ = Σ b_i g_i:
///
/// ```text
/// θ_i     = θ_n − h D_n Σ_{j<i} a_ij g(θ_j)
/// u       = what the momentum makes of ḡ and D_n
/// θ_{n+1} = θ_n − h (u + λ θ_n)
/// ```
///
/// Every call of [`Trainer::step`] is an accepted step.
#[derive(Clone, Debug)]
pub struct Trainer<'t> {
    tableau: &'t Tableau,
    ingredients: Ingredients,
    theta: Vec<f64>,
    second: Vec<[f64; 2]>,
    mean: Vec<f64>,
    steps: u64,
    /// ‖Jv‖/‖v‖ between the first two stages of the last step.
    curvature: Option<f64>,
    /// SGD-G2's h.
    h: f64,
    /// Multipliers of D and of decay.
    groups: Vec<[f64; 2]>,
}

impl<'t> Trainer<'t> {
    pub fn new(tableau: &'t Tableau, ingredients: Ingredients, theta: &[f64]) -> Self {
        let second = vec![[0.0; 2]; theta.len()];
        let mean = vec![0.0; theta.len()];
        let h = ingredients.rule.map_or(0.0, |rule| rule.at_curvature(0.0));
        let groups = vec![[1.0; 2]; theta.len()];
        let theta = theta.to_vec();
        Self { tableau, ingredients, theta, second, mean, steps: 0, curvature: None, h, groups }
    }

    /// Multipliers of D and of decoupled decay for every element.
    pub fn with_groups(mut self, groups: Vec<[f64; 2]>) -> Self {
        self.groups = groups;
        self
    }

    /// D of the step to come, from g = g(θ) and the clipped state.
    fn diagonal(&self, g: &[f64]) -> Vec<f64> {
        let clip = self.clip(g);
        let preconditioner = self.ingredients.preconditioner;
        let after = |(&state, g): (&[f64; 2], &f64)| {
            let mut state = state;
            preconditioner.update(&mut state, clip * g);
            preconditioner.diagonal(&state, self.steps + 1)
        };
        let plain = self.second.iter().zip(g).map(after);
        plain.zip(&self.groups).map(|(d, [rate, _])| d * rate).collect()
    }

    /// α = min(1, clip/‖g‖).
    fn clip(&self, g: &[f64]) -> f64 {
        self.ingredients.clip.map_or(1.0, |most| (most / norm(g)).min(1.0))
    }

    /// The next step's h by its [`Rule`], where `loss`
    /// is L(θ) and `gradient` as in [`step`], called with 1 at θ and with 0 at
    /// a probe, which stands in for a product too; and r, if the rule follows it.
    pub fn choose(
        &mut self,
        loss: f64,
        gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
    ) -> (f64, Option<f64>) {
        let Some(rule) = self.ingredients.rule else { return (self.h, None) };
        let g = decayed(self.ingredients.l2, gradient, 1, &self.theta);
        let d = self.diagonal(&g);
        let times = |x: &[f64]| x.iter().zip(&d).map(|(x, d)| x * d).collect::<Vec<_>>();
        let v = times(&g);
        let l2 = self.ingredients.l2;
        // D (g at θ + εv) − v.
        let mut change = |epsilon: f64, theta: &[f64]| {
            let beside: Vec<f64> = theta.iter().zip(&v).map(|(t, v)| t + epsilon * v).collect();
            let there = times(&decayed(l2, gradient, 0, &beside));
            there.iter().zip(&v).map(|(a, b)| a - b).collect::<Vec<_>>()
        };
        match rule {
            Rule::Stable { fraction, h_max } => {
                let rho = match self.ingredients.radius {
                    SpectralRadius::Given(rho) => rho,
                    SpectralRadius::Estimated => {
                        let mut there = |x: &[f64]| times(&decayed(l2, gradient, 0, x));
                        ENLARGED * spectral_radius(&self.theta, &mut there)
                    }
                };
                ((fraction * self.tableau.real_limit() / rho).min(h_max), None)
            }
            Rule::Polyak { h_max } => ((loss / dot(&g, &v)).clamp(0.0, h_max), None),
            Rule::SgdG2 { beta, .. } => {
                let u = change(-self.h * self.clip(&g), &self.theta);
                self.h = Rule::sgd_g2(beta, self.h, -dot(&u, &v), dot(&u, &u));
                (self.h, None)
            }
            Rule::Dal { from, .. } | Rule::RescaledDal { from, .. } => {
                let r = match (from, self.curvature) {
                    (Curvature::Stages, Some(r)) => r,
                    _ => norm(&change(PROBE / norm(&v), &self.theta)) / PROBE,
                };
                (rule.at_curvature(r), Some(r))
            }
        }
    }

    /// θ.
    pub fn theta(&self) -> &[f64] {
        &self.theta
    }

    /// Hairer's first h for an adaptive run: Hairer, Nørsett, Wanner I, II.4,
    /// with v = D g in place of the slope.
    pub fn first_step(&self, gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>) -> f64 {
        let Some(adaptive) = self.ingredients.adaptive else { return self.h };
        let rms = |x: &[f64]| {
            let scaled = x.iter().zip(&self.theta).map(|(x, t)| adaptive.scaled(*x, *t, *t));
            norm(&scaled.collect::<Vec<_>>()) / (x.len() as f64).sqrt()
        };
        let g = decayed(self.ingredients.l2, gradient, 1, &self.theta);
        let d = self.diagonal(&g);
        let times = |x: &[f64]| x.iter().zip(&d).map(|(x, d)| x * d).collect::<Vec<_>>();
        let v = times(&g);
        let (d0, d1) = (rms(&self.theta), rms(&v));
        let h0 = if d0 < 1e-5 || d1 < 1e-5 { 1e-6 } else { 0.01 * d0 / d1 };
        let h0 = h0.max(adaptive.h_min);
        let (clip, l2) = (self.clip(&g), self.ingredients.l2);
        let beside: Vec<f64> = self.theta.iter().zip(&v).map(|(t, v)| t - h0 * clip * v).collect();
        let there = times(&decayed(l2, gradient, 0, &beside));
        let change: Vec<f64> = there.iter().zip(&v).map(|(a, b)| a - b).collect();
        let most = d1.max(rms(&change) / h0);
        let order = self.tableau.error_order().max(1);
        let h1 = if most <= 1e-15 {
            (1e-3 * h0).max(1e-6)
        } else {
            (0.01 / most).powf(1.0 / order as f64)
        };
        (100.0 * h0).min(h1).max(adaptive.h_min).min(adaptive.h_max)
    }

    /// One step, which is accepted; `gradient` as in [`step`].
    ///
    /// # Errors
    /// If a gradient is not as long as θ.
    pub fn step(
        &mut self,
        h: f64,
        gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
    ) -> Result<(), ReferenceError> {
        self.advance(h, gradient).map(drop)
    }

    /// One attempt, judged by the norm of its error as
    /// [`Adaptive`] has it, which is returned: above 1, or not
    /// finite, it leaves everything as it was.
    ///
    /// # Errors
    /// If a gradient is not as long as θ.
    pub fn attempt(
        &mut self,
        h: f64,
        gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
    ) -> Result<f64, ReferenceError> {
        let mut next = self.clone();
        let [e, lower] = next.advance(h, gradient)?;
        let Some(adaptive) = self.ingredients.adaptive else {
            *self = next;
            return Ok(0.0);
        };
        let squares = |e: &[f64]| -> f64 {
            let scaled = |i: usize| adaptive.scaled(e[i], self.theta[i], next.theta[i]).powi(2);
            (0..e.len()).map(scaled).sum()
        };
        let error = Adaptive::norm(squares(&e), squares(&lower), e.len());
        if error <= 1.0 {
            *self = next;
        }
        Ok(error)
    }

    /// One step; e = h D Σ (b_i − b̂_i) g_i, zero without b̂, and the same with b_low.
    fn advance(
        &mut self,
        h: f64,
        gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
    ) -> Result<[Vec<f64>; 2], ReferenceError> {
        let preconditioner = self.ingredients.preconditioner;
        self.steps += 1;
        let mut gradients: Vec<Vec<f64>> = Vec::new();
        let mut d = vec![1.0; self.theta.len()];
        let mut clip = 1.0;
        for i in 0..self.tableau.stages() {
            let at = |e: usize| {
                let sum: f64 = (0..i).map(|j| self.tableau.a(i, j) * gradients[j][e]).sum();
                self.theta[e] - h * clip * d[e] * sum
            };
            let point = (0..d.len()).map(at).collect::<Vec<_>>();
            let l2 = self.ingredients.l2;
            let g = decayed(l2, gradient, i + 1, &point);
            if g.len() != d.len() {
                let (expected, found) = (d.len(), g.len());
                return Err(ReferenceError::GradientLength { stage: i + 1, expected, found });
            }
            if i == 0 {
                clip = self.clip(&g);
                for (e, state) in self.second.iter_mut().enumerate() {
                    preconditioner.update(state, clip * g[e]);
                    d[e] = self.groups[e][0] * preconditioner.diagonal(state, self.steps);
                }
            }
            gradients.push(g);
        }
        for (e, theta) in self.theta.iter_mut().enumerate() {
            let sum: f64 = self.tableau.b().iter().zip(&gradients).map(|(b, g)| b * g[e]).sum();
            let sum = clip * sum;
            let u = self.ingredients.momentum.direction(&mut self.mean[e], sum, d[e], self.steps);
            let [rate, decay] = self.groups[e];
            *theta -= h * (u + rate * decay * self.ingredients.weight_decay * *theta);
        }
        if let [first, second, ..] = gradients.as_slice() {
            let part = |i: usize| (d[i] * (second[i] - first[i]), d[i] * first[i]);
            let (u, v): (Vec<f64>, Vec<f64>) = (0..d.len()).map(part).unzip();
            self.curvature = Some(norm(&u) / (h * clip * self.tableau.a(1, 0).abs() * norm(&v)));
        }
        let b = self.tableau.b();
        let errors = |other: &[f64]| -> Vec<f64> {
            let error = |e: usize| {
                let difference = b.iter().zip(other).map(|(b, other)| b - other);
                h * clip * d[e] * difference.zip(&gradients).map(|(w, g)| w * g[e]).sum::<f64>()
            };
            (0..d.len()).map(error).collect()
        };
        let (hat, low) = (self.tableau.b_hat().unwrap_or(b), self.tableau.b_low().unwrap_or(b));
        Ok([errors(hat), errors(low)])
    }
}

/// The gradient of L + λ‖θ‖²/2.
fn decayed(
    lambda: f64,
    gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
    stage: usize,
    point: &[f64],
) -> Vec<f64> {
    let mut g = gradient(stage, point);
    g.iter_mut().zip(point).for_each(|(g, y)| *g += lambda * y);
    g
}

fn dot(x: &[f64], y: &[f64]) -> f64 {
    x.iter().zip(y).map(|(x, y)| x * y).sum()
}

fn norm(x: &[f64]) -> f64 {
    dot(x, x).sqrt()
}

/// Steps of size h from θ_0, one after another. Until a time t_end there are
/// ⌈t_end/h⌉ of them, the last one shorter by what is too much; a remainder
/// below 10⁻⁹ h, which only the rounding of t_end/h leaves, is no step of its
/// own.
///
/// ```
/// use kutta::{Tableau, reference::textbook::{self, Until}};
/// let mut gradient = |_stage: usize, theta: &[f64]| theta.to_vec();
/// let steps =
///     textbook::integrate(&Tableau::rk4(), 0.4, &[1.0], Until::Time(1.0), &mut gradient)?;
/// assert_eq!(steps.len(), 3);
/// assert!((steps[2].h - 0.2).abs() < 1e-15);
/// assert!((steps[2].theta[0] - (-1f64).exp()).abs() < 1e-3);
/// # Ok::<(), kutta::Error>(())
/// ```
///
/// # Errors
/// A step size that is not positive and finite, an end time that is negative
/// or not finite or more than 2³² steps away, or a gradient of wrong length.
pub fn integrate(
    tableau: &Tableau,
    h: f64,
    theta0: &[f64],
    until: Until,
    gradient: &mut dyn FnMut(usize, &[f64]) -> Vec<f64>,
) -> Result<Vec<Step>, ReferenceError> {
    let mut steps: Vec<Step> = Vec::new();
    for h in step_sizes(h, until)? {
        let theta = steps.last().map_or(theta0, |s| &s.theta);
        let taken = step(tableau, h, theta, gradient)?;
        steps.push(taken);
    }
    Ok(steps)
}

/// The sizes of the steps that [`integrate`] takes.
///
/// # Errors
/// As [`integrate`], for all but the gradient.
pub fn step_sizes(h: f64, until: Until) -> Result<Vec<f64>, ReferenceError> {
    if !(h > 0.0 && h.is_finite()) {
        return Err(ReferenceError::StepSize { h });
    }
    let (count, last) = match until {
        Until::Steps(count) => (count, h),
        Until::Time(t_end) => fit(h, t_end)?,
    };
    let mut sizes = vec![h; count];
    if let Some(size) = sizes.last_mut() {
        *size = last;
    }
    Ok(sizes)
}

/// Number of steps to t_end, and the size of the last one.
fn fit(h: f64, t_end: f64) -> Result<(usize, f64), ReferenceError> {
    if !(t_end >= 0.0 && t_end.is_finite()) {
        return Err(ReferenceError::EndTime { t_end });
    }
    let steps = t_end / h;
    if steps > u32::MAX.into() {
        return Err(ReferenceError::TooManySteps { t_end, h, steps });
    }
    if steps == 0.0 {
        return Ok((0, h));
    }
    let count = (steps - 1e-9).ceil().max(1.0);
    Ok((count as usize, t_end - (count - 1.0) * h))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_called_in_order_at_the_points_of_the_tableau() {
        let mut called = Vec::new();
        // A gradient per stage that no formula could confuse with another.
        let mut gradient = |stage: usize, _: &[f64]| {
            called.push(stage);
            vec![10f64.powi(stage as i32), 0.0]
        };
        let theta = [0.0, 5.0];
        let step = step(&Tableau::rk38(), -3.0, &theta, &mut gradient).unwrap();
        assert_eq!(called, [1, 2, 3, 4]);
        let expected = [0.0, 10.0, -10.0 + 300.0, 30.0 - 300.0 + 3000.0];
        for (point, expected) in step.points.iter().zip(expected) {
            assert!((point[0] - expected).abs() < 1e-12, "{point:?}");
            assert_eq!(point[1], 5.0);
        }
        assert!((step.theta[0] - 3.0 / 8.0 * 10.0 * (1.0 + 30.0 + 300.0 + 1000.0)).abs() < 1e-11);
        assert_eq!(step.error, None);
    }

    #[test]
    fn the_error_is_the_distance_of_the_two_solutions() {
        let pair = Tableau::heun2().with_embedded(&[1.0, 0.0]).unwrap();
        let mut gradient = |_: usize, theta: &[f64]| vec![theta[0].powi(3)];
        let heun = step(&pair, 0.25, &[1.5], &mut gradient).unwrap();
        let euler = step(&Tableau::euler(), 0.25, &[1.5], &mut gradient).unwrap();
        // θ − θ̂ = −h Σ (b − b̂) g
        assert!((heun.error.unwrap()[0] - (euler.theta[0] - heun.theta[0])).abs() < 1e-15);
    }

    #[test]
    fn times_are_reached_exactly() {
        for (h, t_end, count) in [
            (0.1, 1.0, 10),
            (0.1, 0.3, 3),
            (0.3, 0.9, 3),
            (0.3, 2.1, 7), // 2.1 / 0.3 is above 7 in f64
            (0.4, 1.0, 3),
            (2.0, 0.5, 1),
            (0.1, 0.0, 0),
        ] {
            let mut constant = |_: usize, _: &[f64]| vec![-1.0]; // θ = t
            let steps = integrate(&Tableau::kutta3(), h, &[0.0], Until::Time(t_end), &mut constant)
                .unwrap();
            assert_eq!(steps.len(), count, "h {h}, t_end {t_end}");
            let end = steps.last().map_or(0.0, |s| s.theta[0]);
            assert!((end - t_end).abs() <= 1e-15 * t_end.max(1.0), "{end} for {t_end}");
            assert!(steps.iter().all(|s| s.h <= h * (1.0 + 1e-9) && s.h > 0.0));
        }
    }

    #[test]
    fn faults_are_named() {
        let message = |h: f64, until: Until, length: usize| {
            let mut gradient = |_: usize, _: &[f64]| vec![0.0; length];
            integrate(&Tableau::rk4(), h, &[1.0, 2.0], until, &mut gradient)
                .unwrap_err()
                .to_string()
        };
        for h in [0.0, -0.5, f64::NAN, f64::INFINITY] {
            assert!(message(h, Until::Steps(1), 2).contains(&format!("{h:?}")));
        }
        assert!(message(0.1, Until::Time(-1.0), 2).contains("-1.0"));
        assert!(message(0.1, Until::Time(f64::NAN), 2).contains("NaN"));
        assert!(message(1e-9, Until::Time(1e9), 2).contains("1e18 steps"));
        assert!(message(5e-324, Until::Time(1e9), 2).contains("inf steps"));
        assert!(message(0.1, Until::Steps(1), 3).contains("stage 1 has 3 elements for 2"));
    }
}
