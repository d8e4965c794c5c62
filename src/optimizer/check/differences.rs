//! Gradients against central differences of the loss, in directions within one tensor.
//!
//! L(θ + εu) − L(θ − εu) is held against Σ gᵢ δᵢ in f64, where δ is what rounding to f32 left
//! of 2εu. A loss in f32 tells little where ε is small, and bends where it is large: which ε
//! suits is not known beforehand. So the gradient is right if it agrees at some ε at which
//! the loss can tell. It is wrong if the two smallest such ε agree with each other and not
//! with it: what a difference is off by for its size falls with ε, so that these two would
//! not agree.

use std::ops::Range;

/// ε in units of the tensor's size, in the order in which they are tried.
pub(super) const STEPS: [f64; 8] =
    [1.0 / 64.0, 1.0 / 256.0, 1.0 / 16.0, 1.0 / 1024.0, 1.0 / 4096.0, 0.25, 1.0, 4.0];

/// Directions for each tensor: along its gradient, and random ones.
pub(super) const DIRECTIONS: usize = 3;

/// Bounds, as parts of a slope.
struct Bounds {
    /// The disagreement of a right gradient, and of a wrong one; in between nothing is said.
    right: f64,
    wrong: f64,
    /// The agreement of two differences if both are to be believed.
    steady: f64,
    /// The part by which the loss may go up more on one side than down on the other: at a
    /// kink, and beyond many of them, differences agree with each other and with no gradient.
    bend: f64,
    /// The rounding that the loss may have.
    audible: f64,
}

/// The bounds that are wanted, and those that have to do where the loss is rough.
const FINE: Bounds =
    Bounds { right: 0.01, wrong: 0.02, steady: 0.005, bend: 0.025, audible: 0.005 };
const COARSE: Bounds = Bounds { right: 0.03, wrong: 0.06, steady: 0.02, bend: 0.1, audible: 0.02 };

/// The largest step that can show a gradient to be wrong: beyond, a tensor is another one.
const NEAR: f64 = 0.25;

/// Units in the last place that a loss, a sum over a batch, is off by.
const ULPS: f64 = 8.0;

/// ±1 that repeat.
pub(super) struct Signs(pub u64);

impl Signs {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if self.0 >> 63 == 0 { 1.0 } else { -1.0 }
    }
}

/// The distance that elements of a tensor are moved at ε = 1: their own size, and where they are
/// (almost) zero a part of everybody's.
pub(super) fn scale(theta: &[f32], tensor: Range<usize>) -> f64 {
    let size = |values: &[f32]| {
        let squares: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
        (squares / values.len() as f64).sqrt()
    };
    size(&theta[tensor]).max(0.01 * size(theta)).max(1e-4)
}

/// A direction within a tensor, with elements of size 1 or so.
pub(super) fn direction(index: usize, gradient: &[f32], signs: &mut Signs) -> Vec<f64> {
    let norm = norm(gradient);
    if index == 0 && norm > 0.0 {
        let scale = (gradient.len() as f64).sqrt() / norm;
        return gradient.iter().map(|&g| scale * f64::from(g)).collect();
    }
    gradient.iter().map(|_| signs.next()).collect()
}

pub(super) fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt()
}

/// θ moved by `far` along a direction within a tensor.
pub(super) fn moved(theta: &[f32], tensor: Range<usize>, direction: &[f64], far: f64) -> Vec<f32> {
    let mut moved = theta.to_vec();
    for (x, u) in moved[tensor].iter_mut().zip(direction) {
        *x = (f64::from(*x) + far * u) as f32;
    }
    moved
}

/// One difference.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    /// The slope of the loss, and the one by the gradient.
    pub found: f64,
    pub expected: f64,
    /// The usual difference of this tensor.
    usual: f64,
    /// L(θ + εu) − 2 L(θ) + L(θ − εu).
    bend: f64,
    noise: f64,
    /// ‖δ‖.
    far: f64,
    step: f64,
}

impl Difference {
    pub fn new(
        step: f64,
        [above, here, below]: [f32; 3],
        gradient: &[f32],
        [ahead, behind]: [&[f32]; 2],
    ) -> Self {
        let deltas = || ahead.iter().zip(behind).map(|(a, b)| f64::from(*a) - f64::from(*b));
        let far = deltas().map(|d| d * d).sum::<f64>().sqrt();
        let expected: f64 = deltas().zip(gradient).map(|(d, g)| d * f64::from(*g)).sum();
        let largest = f64::from(above.abs().max(below.abs()));
        Self {
            found: f64::from(above) - f64::from(below),
            expected,
            usual: norm(gradient) * far / (gradient.len() as f64).sqrt(),
            bend: f64::from(above) - 2.0 * f64::from(here) + f64::from(below),
            noise: ULPS * f64::from(f32::EPSILON) * largest,
            far,
            step,
        }
    }

    fn size(&self) -> f64 {
        self.found.abs().max(self.expected.abs()).max(self.usual)
    }

    /// Tells whether the loss can decide.
    fn tells(&self, bounds: &Bounds) -> bool {
        self.found.is_finite() && self.far > 0.0 && self.noise <= bounds.audible * self.size()
    }

    /// The part of the slope by which loss and gradient disagree.
    pub fn disagreement(&self) -> f64 {
        (self.found - self.expected).abs() / self.size()
    }

    fn agrees(&self, bounds: &Bounds) -> bool {
        self.tells(bounds) && self.disagreement() <= bounds.right
    }
}

/// The disagreement of a gradient that two steps show to be right, so that no other need be
/// tried. One alone may agree by chance: what it is off by for its size can be what the
/// gradient is off by.
pub(super) fn settled(tried: &[Difference]) -> Option<f64> {
    let mut right = tried.iter().filter(|d| d.agrees(&FINE)).map(Difference::disagreement);
    let (first, second) = (right.next()?, right.next()?);
    Some(first.min(second))
}

/// Settles the differences in one direction where they do not agree at once: the
/// disagreement of a gradient that is right after all, or one that shows it to be wrong.
pub(super) fn judged(mut tried: Vec<Difference>) -> Option<Result<f64, Difference>> {
    tried.sort_by(|a, b| a.step.total_cmp(&b.step));
    if let Some(wrong) = wrong(&tried, &FINE).or_else(|| wrong(&tried, &COARSE)) {
        return Some(Err(wrong));
    }
    let right = tried.iter().filter(|d| d.agrees(&COARSE)).map(Difference::disagreement);
    right.reduce(f64::min).map(Ok)
}

fn wrong(tried: &[Difference], bounds: &Bounds) -> Option<Difference> {
    let near = tried.iter().filter(|difference| difference.step <= NEAR);
    let mut telling = near.filter(|difference| difference.tells(bounds));
    let (a, b) = (*telling.next()?, *telling.next()?);
    // Where the gradient says more than the loss, both slopes may be next to nothing.
    let size = (a.size() / a.far).max(b.size() / b.far);
    let steady = (a.found / a.far - b.found / b.far).abs() <= bounds.steady * size;
    let off = a.disagreement().min(b.disagreement()) > bounds.wrong;
    let straight = [a, b].iter().all(|d| d.bend.abs() <= bounds.bend * d.size() + 2.0 * d.noise);
    (steady && off && straight).then_some(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differences of a loss with rounding, of a gradient that is off by a factor.
    fn found(
        loss: impl Fn(f64) -> f64,
        slope: f64,
        factor: f64,
    ) -> Option<Result<f64, Difference>> {
        let at = 0.7f32;
        let gradient = [(slope * factor) as f32];
        let mut tried = Vec::new();
        for step in STEPS {
            let ends = [step, -step].map(|far| moved(&[at], 0..1, &[1.0], far));
            let losses = [ends[0][0], at, ends[1][0]].map(|x| loss(f64::from(x)) as f32);
            let difference = Difference::new(step, losses, &gradient, [&ends[0], &ends[1]]);
            tried.push(difference);
            if let Some(part) = settled(&tried) {
                return Some(Ok(part));
            }
        }
        judged(tried)
    }

    #[test]
    fn right_slopes_are_right_and_wrong_ones_wrong() {
        let x = f64::from(0.7f32);
        let sharp = |w: f64| move |x: f64| 2.0 + (w * x).sin();
        for (what, loss, slope) in [
            ("square", Box::new(|x: f64| x * x) as Box<dyn Fn(f64) -> f64>, 2.0 * x),
            ("sine", Box::new(sharp(30.0)), 30.0 * (30.0 * x).cos()),
            ("small", Box::new(|x: f64| 1.0 + 1e-3 * x), 1e-3),
            ("a corner beside", Box::new(|x: f64| (x - 0.69).abs()), 1.0),
        ] {
            assert!(matches!(found(&loss, slope, 1.0), Some(Ok(_))), "{what}");
            // Near enough to be straight, a small slope stands out of the loss's rounding by
            // no more than the coarse bounds ask for.
            let fine: &[f64] = if what == "small" { &[] } else { &[0.97, 1.03] };
            for factor in [0.0, 0.5, 0.9, 1.1, 2.0, -1.0].iter().chain(fine).copied() {
                let found = found(&loss, slope, factor);
                assert!(matches!(found, Some(Err(_))), "{what} times {factor}: {found:?}");
            }
        }
        // At a kink no difference says anything of either slope.
        assert!(found(|y| 1.0 + (y - x).abs(), 1.0, 1.0).is_none());
        // A loss that tells nothing blames nobody.
        for factor in [1.0, 2.0] {
            assert!(found(|x| 1.0 + 1e-9 * x, 1e-9, factor).is_none());
        }
    }
}
