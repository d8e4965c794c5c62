//! The step size h: the learning rate, seen as time.

use super::{Curvature, Rule};
use crate::error::IngredientError;

/// Most pieces of a schedule.
pub const MAX_PIECES: usize = 16;

/// How h is chosen: a constant, a schedule over accepted steps that the device
/// follows by itself, or a [`Rule`] that looks at loss and curvature. Pieces are joined by [`StepSize::then`] and
/// [`StepSize::warm_up`].
///
/// ```
/// use kutta::StepSize;
/// let h = StepSize::cosine(0.1, 0.001, 900).warm_up(100);
/// assert!(h.check().is_ok());
/// assert!((h.at(49) - 0.05).abs() < 1e-12);
/// assert_eq!(h.at(100), 0.1);
/// assert_eq!(h.at(5000), 0.001);
/// assert!(StepSize::constant(-0.1).check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct StepSize {
    pieces: Vec<Piece>,
    rule: Option<Rule>,
}

/// From step `start` on, with n counted from there.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub(crate) struct Piece {
    pub(crate) start: u32,
    pub(crate) curve: Curve,
}

#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub(crate) enum Curve {
    /// from + (to − from) min(n/steps, 1).
    Linear { from: f64, to: f64, steps: u32 },
    /// to + (from − to)(1 + cos(π min(n/steps, 1)))/2.
    Cosine { from: f64, to: f64, steps: u32 },
    /// from · rate^(n/every).
    Exponential { from: f64, rate: f64, every: u32 },
    /// from · rate^⌊n/every⌋.
    Stairs { from: f64, rate: f64, every: u32 },
}

impl StepSize {
    fn one(curve: Curve) -> Self {
        Self { pieces: vec![Piece { start: 0, curve }], rule: None }
    }

    pub(super) fn ruled(rule: Rule) -> Self {
        // What stands in for h wherever nothing is known yet.
        let h = rule.at_curvature(0.0);
        Self { rule: Some(rule), ..Self::one(Curve::Linear { from: h, to: h, steps: 1 }) }
    }

    /// DAL-p: h = min(2/rᵖ, 5), with r from a probe (Rosca et al. 2023).
    pub fn dal(p: f64) -> Self {
        Self::ruled(Rule::Dal { p, h_max: 5.0, from: Curvature::Probe })
    }

    /// Rescaled DAL-p: h = c/(1 + (c/2) rᵖ), with r from a probe (Dherin et al.
    /// 2025). h never passes c.
    pub fn rescaled_dal(c: f64, p: f64) -> Self {
        Self::ruled(Rule::RescaledDal { c, p, from: Curvature::Probe })
    }

    /// Polyak's h = L/‖g‖², at most `h_max`, for losses whose least value is 0.
    /// The source must give its loss: without one, attempts are skipped.
    pub fn polyak(h_max: f64) -> Self {
        Self::ruled(Rule::Polyak { h_max })
    }

    /// SGD-G2: h adapts from its first value by the gradient at θ − hv.
    pub fn sgd_g2(h: f64, beta: f64) -> Self {
        Self::ruled(Rule::SgdG2 { h, beta })
    }

    /// The largest step that is stable along the real axis, fraction·β/ρ, but at
    /// most `h_max`: [`SpectralRadius`](super::SpectralRadius) says where ρ comes
    /// from.
    pub fn stable(fraction: f64, h_max: f64) -> Self {
        Self::ruled(Rule::Stable { fraction, h_max })
    }

    /// Curvature from elsewhere than a probe; nothing for rules without one.
    pub fn with_curvature(mut self, source: Curvature) -> Self {
        if let Some(Rule::Dal { from, .. } | Rule::RescaledDal { from, .. }) = &mut self.rule {
            *from = source;
        }
        self
    }

    /// Whether it is one that this file makes, and not one that a damaged or forged
    /// checkpoint brought.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn is_sound(&self) -> bool {
        match self.rule {
            Some(rule) => self.pieces == Self::ruled(rule).pieces,
            None => !self.pieces.is_empty(),
        }
    }

    /// The rule, if this is one.
    pub fn rule(&self) -> Option<Rule> {
        self.rule
    }

    /// h_n = h.
    pub fn constant(h: f32) -> Self {
        let h = f64::from(h);
        Self::one(Curve::Linear { from: h, to: h, steps: 1 })
    }

    /// In a straight line from one value to another, where it stays.
    pub fn linear(from: f64, to: f64, steps: u32) -> Self {
        Self::one(Curve::Linear { from, to, steps })
    }

    /// Half a cosine from one value to another, where it stays: Loshchilov,
    /// Hutter 2017, without restarts.
    pub fn cosine(from: f64, to: f64, steps: u32) -> Self {
        Self::one(Curve::Cosine { from, to, steps })
    }

    /// h_n = h · rate^(n/every).
    pub fn exponential(h: f64, rate: f64, every: u32) -> Self {
        Self::one(Curve::Exponential { from: h, rate, every })
    }

    /// h_n = h · rate^⌊n/every⌋.
    pub fn stairs(h: f64, rate: f64, every: u32) -> Self {
        Self::one(Curve::Stairs { from: h, rate, every })
    }

    /// h, and from each of these steps on another value.
    pub fn piecewise(h: f64, values: &[(u32, f64)]) -> Self {
        let constant = |h: f64| Self::linear(h, h, 1);
        values.iter().fold(constant(h), |all, &(at, h)| all.then(at, &constant(h)))
    }

    /// Up in a cosine from peak/25 over the first 30 % of the steps, then down
    /// to peak/250,000: Smith, Topin 2018, with PyTorch's defaults.
    pub fn one_cycle(peak: f64, steps: u32) -> Self {
        let up = (f64::from(steps) * 0.3).round().max(1.0) as u32;
        let down = steps.saturating_sub(up).max(1);
        Self::cosine(peak / 25.0, peak, up).then(up, &Self::cosine(peak, peak / 250_000.0, down))
    }

    /// From step `at` on as `next`, which counts from its own beginning.
    pub fn then(mut self, at: u32, next: &Self) -> Self {
        let shifted = next
            .pieces
            .iter()
            .map(|piece| Piece { start: at.saturating_add(piece.start), curve: piece.curve });
        self.pieces.extend(shifted);
        self
    }

    /// First in a straight line to its own first value: h₀ (n + 1)/steps.
    pub fn warm_up(self, steps: u32) -> Self {
        let to = self.at(0);
        let ramp = Self::linear(to / f64::from(steps.max(1)), to, steps.saturating_sub(1).max(1));
        ramp.then(steps, &self)
    }

    /// h of step n, counted from 0.
    pub fn at(&self, n: u64) -> f64 {
        let reached = |piece: &&Piece| u64::from(piece.start) <= n;
        let piece = self.pieces.iter().rfind(reached).unwrap_or(&self.pieces[0]);
        let n = n.saturating_sub(u64::from(piece.start)) as f64;
        match piece.curve {
            Curve::Linear { from, to, steps } => {
                from + (to - from) * (n / f64::from(steps)).min(1.0)
            }
            Curve::Cosine { from, to, steps } => {
                let x = (n / f64::from(steps)).min(1.0);
                to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * x).cos())
            }
            Curve::Exponential { from, rate, every } => from * rate.powf(n / f64::from(every)),
            Curve::Stairs { from, rate, every } => from * rate.powf((n / f64::from(every)).floor()),
        }
    }

    /// The same h at every step.
    pub fn is_constant(&self) -> bool {
        let Piece { curve, .. } = self.pieces[0];
        self.rule.is_none()
            && self.pieces.len() == 1
            && matches!(curve, Curve::Linear { from, to, .. } if from == to)
    }

    pub(crate) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// # Errors
    /// A step size that is not positive and finite at either end of a piece;
    /// a rate that is not; a piece of no steps, or one that begins where or
    /// before the one before it does; more than [`MAX_PIECES`].
    pub fn check(&self) -> Result<(), IngredientError> {
        if let Some(rule) = self.rule {
            return rule.check();
        }
        if self.pieces.len() > MAX_PIECES {
            let found = self.pieces.len();
            return Err(IngredientError::TooManyPieces { found, most: MAX_PIECES });
        }
        for pair in self.pieces.windows(2) {
            let (before, start) = (pair[0].start, pair[1].start);
            if start <= before {
                return Err(IngredientError::PieceOrder { start, before });
            }
        }
        let positive = |h: f64| {
            // What the device gets is an f32.
            let fine = h as f32 > 0.0 && (h as f32).is_finite();
            if fine { Ok(()) } else { Err(IngredientError::StepSize { h: h as f32 }) }
        };
        for piece in &self.pieces {
            let steps = match piece.curve {
                Curve::Linear { from, to, steps } | Curve::Cosine { from, to, steps } => {
                    positive(from)?;
                    positive(to)?;
                    steps
                }
                Curve::Exponential { from, rate, every } | Curve::Stairs { from, rate, every } => {
                    positive(from)?;
                    super::check_positive("a schedule", "rate", rate)?;
                    every
                }
            };
            if steps == 0 {
                return Err(IngredientError::NoSteps { start: piece.start });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_pass_through_their_points() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a}, not {b}");
        let linear = StepSize::linear(1.0, 3.0, 4);
        near(linear.at(1), 1.5);
        near(linear.at(9), 3.0);
        let cosine = StepSize::cosine(1.0, 0.5, 10);
        near(cosine.at(5), 0.75);
        near(cosine.at(10), 0.5);
        near(StepSize::exponential(2.0, 0.5, 4).at(2), 2.0 * 0.5f64.sqrt());
        near(StepSize::stairs(2.0, 0.5, 4).at(7), 1.0);
        let piecewise = StepSize::piecewise(1.0, &[(3, 0.1), (5, 0.01)]);
        let values: Vec<f64> = (0..7).map(|n| piecewise.at(n)).collect();
        assert_eq!(values, [1.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01]);
        let cycle = StepSize::one_cycle(0.5, 100);
        near(cycle.at(0), 0.02);
        near(cycle.at(30), 0.5);
        near(cycle.at(100), 2e-6);
        let warm = StepSize::constant(0.5).warm_up(5);
        near(warm.at(0), 0.1);
        near(warm.at(4), 0.5);
        near(warm.at(5), 0.5);
    }

    #[test]
    fn faults_are_named() {
        let h = StepSize::constant(0.1);
        for (schedule, words) in [
            (StepSize::constant(f32::NAN), "NaN"),
            (StepSize::cosine(0.1, 0.0, 10), "0.0"),
            (StepSize::linear(0.1, 0.2, 0), "no steps"),
            (StepSize::exponential(0.1, -2.0, 3), "rate"),
            (h.clone().then(5, &h).then(5, &h), "step 5"),
            ((1..17).fold(h.clone(), |all, at| all.then(at, &h)), "17"),
        ] {
            let message = schedule.check().unwrap_err().to_string();
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }
}
