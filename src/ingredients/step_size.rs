//! The step size h: the learning rate, seen as time.

use super::{Curvature, IngredientError, Rule};

/// Most pieces of a schedule.
pub const MAX_PIECES: usize = 16;

/// A step size says how h is chosen: by a constant, a schedule over accepted steps that the
/// device follows by itself, or a [`Rule`] that looks at loss and curvature. Pieces are joined by
/// [`StepSize::then`] and [`StepSize::warm_up`]; a rule is no piece.
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
    /// The fault found while it was put together, for [`StepSize::check`].
    #[cfg_attr(feature = "checkpoint", serde(skip))]
    fault: Option<Fault>,
}

/// A step size that no pieces can express.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// A rule among the pieces of a schedule.
    Mixed(Rule),
    NoWarmUp,
    ShortCycle {
        steps: u32,
    },
}

impl Fault {
    fn error(self) -> IngredientError {
        match self {
            Self::Mixed(rule) => IngredientError::RuleInSchedule { rule: rule.to_string() },
            Self::NoWarmUp => IngredientError::NoWarmUp,
            Self::ShortCycle { steps } => IngredientError::OutOfRange {
                ingredient: "one-cycle",
                key: "steps",
                found: f64::from(steps),
                range: "3 or more: one up, one at the peak and one down",
            },
        }
    }
}

/// A curve that holds from step `start` on, with n counted from there.
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

impl Curve {
    /// The sum of so many values, from that of step n on.
    fn sum(self, n: u64, count: u64) -> f64 {
        // (1 − qᵐ)/(1 − q), of ln q.
        let geometric = |log: f64, m: f64| match log {
            0.0 => m,
            _ => (m * log).exp_m1() / log.exp_m1(),
        };
        let (a, m) = (n as f64, count as f64);
        match self {
            Self::Linear { from, to, steps } | Self::Cosine { from, to, steps } => {
                let on_the_way = count.min(u64::from(steps).saturating_sub(n)) as f64;
                let (k, span) = (on_the_way, f64::from(steps));
                let moving = if let Self::Linear { .. } = self {
                    k * from + (to - from) / span * k * (a + (k - 1.0) / 2.0)
                } else {
                    // Σ cos(πi/N) is that of a progression.
                    let x = std::f64::consts::PI / span;
                    let cosines = (k * x / 2.0).sin() / (x / 2.0).sin()
                        * ((2.0 * a + k - 1.0) * x / 2.0).cos();
                    0.5 * (k * (from + to) + (from - to) * cosines)
                };
                moving + (m - k) * to
            }
            Self::Exponential { from, rate, every } => {
                let log = rate.ln() / f64::from(every);
                from * (a * log).exp() * geometric(log, m)
            }
            Self::Stairs { from, rate, every } => {
                let every = u64::from(every).max(1);
                let (stair, within) = (n / every, n % every);
                let first = count.min(every - within);
                let (whole, last) = ((count - first) / every, (count - first) % every);
                let at = |stair: u64| from * (stair as f64 * rate.ln()).exp();
                let full = every as f64 * geometric(rate.ln(), whole as f64);
                let mut sum = first as f64 * at(stair);
                if whole > 0 {
                    sum += full * at(stair + 1);
                }
                if last > 0 {
                    sum += last as f64 * at(stair + 1 + whole);
                }
                sum
            }
        }
    }
}

impl StepSize {
    fn one(curve: Curve) -> Self {
        Self { pieces: vec![Piece { start: 0, curve }], rule: None, fault: None }
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

    /// Tells whether it is one that this file makes, and not one that a damaged or forged
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

    /// Moves h in a straight line from one value to another, where it stays.
    pub fn linear(from: f64, to: f64, steps: u32) -> Self {
        Self::one(Curve::Linear { from, to, steps })
    }

    /// Moves h along half a cosine from one value to another, where it stays: Loshchilov,
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

    /// Keeps h, and from each of these steps on another value.
    pub fn piecewise(h: f64, values: &[(u32, f64)]) -> Self {
        let constant = |h: f64| Self::linear(h, h, 1);
        values.iter().fold(constant(h), |all, &(at, h)| all.then(at, &constant(h)))
    }

    /// Raises h in a cosine from peak/25 over the first 30 % of the steps, then lowers it
    /// to peak/250,000, which the last of the steps has: Smith, Topin 2018, with PyTorch's
    /// defaults. Of 3 steps and more.
    ///
    /// ```
    /// use kutta::StepSize;
    /// let h = StepSize::one_cycle(0.5, 100);
    /// assert!((h.at(0) - 0.02).abs() < 1e-15);
    /// assert_eq!([h.at(30), h.at(99)], [0.5, 2e-6]);
    /// ```
    pub fn one_cycle(peak: f64, steps: u32) -> Self {
        let up = (f64::from(steps) * 0.3).round().max(1.0) as u32;
        let down = steps.saturating_sub(up + 1);
        let last = peak / 250_000.0;
        let mut made =
            Self::cosine(peak / 25.0, peak, up).then(up, &Self::cosine(peak, last, down.max(1)));
        if down == 0 {
            made.fault = Some(Fault::ShortCycle { steps });
        }
        made
    }

    /// Continues from step `at` on as `next`, which counts from its own beginning. A rule cannot be
    /// joined to anything: [`StepSize::check`] refuses it by name.
    pub fn then(mut self, at: u32, next: &Self) -> Self {
        let mixed = self.rule.take().or(next.rule).map(Fault::Mixed);
        self.fault = self.fault.or(next.fault).or(mixed);
        let shifted = next
            .pieces
            .iter()
            .map(|piece| Piece { start: at.saturating_add(piece.start), curve: piece.curve });
        self.pieces.extend(shifted);
        self
    }

    /// First in a straight line to its own first value: h₀ (n + 1)/steps, of 1 step and
    /// more. A rule has no first value: [`StepSize::check`] refuses it by name.
    pub fn warm_up(mut self, steps: u32) -> Self {
        if steps == 0 {
            self.fault = self.fault.or(Some(Fault::NoWarmUp));
            return self;
        }
        let to = self.at(0);
        let ramp = Self::linear(to / f64::from(steps), to, (steps - 1).max(1));
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

    /// h_n + … + h_(n+count−1).
    pub(crate) fn sum(&self, n: u64, count: u64) -> f64 {
        let end = n.saturating_add(count);
        let mut sum = 0.0;
        for (i, piece) in self.pieces.iter().enumerate() {
            let start = if i == 0 { 0 } else { u64::from(piece.start) };
            let next = self.pieces.get(i + 1).map_or(u64::MAX, |next| u64::from(next.start));
            let (first, last) = (n.max(start), end.min(next));
            if first < last {
                sum += piece.curve.sum(first - start, last - first);
            }
        }
        sum
    }

    /// Steps of a schedule from number `n` on, at most `enough`, before any of which a time of
    /// `left` cannot be over.
    pub(crate) fn steps_to(&self, n: u64, left: f64, enough: u64) -> u64 {
        let mut sum = 0.0;
        for step in 1..=enough {
            let at = n + step - 1;
            let reached = |piece: &&Piece| u64::from(piece.start) <= at;
            let piece = self.pieces.iter().rfind(reached).unwrap_or(&self.pieces[0]);
            let h = self.at(at);
            // The device's h is f32: a sum of such, or a power.
            sum += match piece.curve {
                Curve::Linear { from, to, .. } if from == to => h * (1.0 + 1e-7),
                Curve::Linear { from, to, .. } | Curve::Cosine { from, to, .. } => {
                    h + 1e-6 * from.max(to)
                }
                Curve::Exponential { .. } | Curve::Stairs { .. } => h * (1.0 + 2e-5),
            };
            // A last step may be so much longer.
            if sum + 1e-6 * h >= left {
                return step;
            }
        }
        enough
    }

    /// Checks that a schedule gets from time `t` to `t_end`, when so many steps were accepted
    /// before; a rule may always.
    ///
    /// ```
    /// use kutta::StepSize;
    /// // Σ 0.01 · 0.5ⁿ = 0.02.
    /// let h = StepSize::exponential(0.01, 0.5, 1);
    /// assert!(h.check_end(0, 0.0, 0.0199).is_ok());
    /// assert!(h.check_end(0, 0.0, 0.0201).unwrap_err().to_string().contains("0.02"));
    /// ```
    ///
    /// # Errors
    /// [`IngredientError::Unreached`] where 2³² − 1 further steps add up to less, with how
    /// far they get.
    pub fn check_end(&self, accepted: u64, t: f64, t_end: f64) -> Result<(), IngredientError> {
        let steps = u64::from(u32::MAX);
        let reach = t + self.sum(accepted, steps);
        // The device's sum of f32 is not just the same.
        if self.rule.is_some() || reach >= t_end - 1e-6 * (t_end - t).abs() {
            return Ok(());
        }
        Err(IngredientError::Unreached { reach, steps, t_end })
    }

    /// Tells whether h is the same at every step.
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
    /// a rate that is not; a piece or a warm-up of no steps, or a piece that begins where or
    /// before the one before it does; more than [`MAX_PIECES`]; a rule among pieces.
    pub fn check(&self) -> Result<(), IngredientError> {
        if let Some(fault) = self.fault {
            return Err(fault.error());
        }
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
        near(cycle.at(99), 2e-6);
        near(cycle.at(100), 2e-6);
        for steps in 3..200 {
            let cycle = StepSize::one_cycle(0.5, steps);
            near(cycle.at(u64::from(steps) - 1), 2e-6);
            assert!((0..u64::from(steps)).any(|n| cycle.at(n) == 0.5), "{steps}");
        }
        let warm = StepSize::constant(0.5).warm_up(5);
        near(warm.at(0), 0.1);
        near(warm.at(4), 0.5);
        near(warm.at(5), 0.5);
    }

    #[test]
    fn sums_are_those_of_the_values() {
        for h in [
            StepSize::constant(0.3),
            StepSize::linear(1.0, 3.0, 7),
            StepSize::linear(2.0, 0.1, 1),
            StepSize::cosine(1.0, 0.2, 9),
            StepSize::cosine(0.2, 1.0, 1),
            StepSize::exponential(2.0, 0.5, 4),
            StepSize::exponential(1e-3, 1.7, 3),
            StepSize::exponential(0.5, 1.0, 3),
            StepSize::stairs(2.0, 0.5, 4),
            StepSize::stairs(2.0, 1.0, 1),
            StepSize::one_cycle(0.5, 23),
            StepSize::cosine(1.0, 0.2, 9).warm_up(5).then(17, &StepSize::stairs(0.3, 0.5, 3)),
        ] {
            for n in 0..25u64 {
                let mut sum = 0.0;
                for count in 0..30u64 {
                    let found = h.sum(n, count);
                    assert!((found - sum).abs() <= 1e-12 * sum, "{h:?} {n} {count}: {found} {sum}");
                    sum += h.at(n + count);
                }
            }
        }
    }

    #[test]
    fn an_end_that_is_not_reached_is_told_with_how_far_it_gets() {
        // 0.01/(1 − 0.1^0.2) in 50 digits: 0.027097…
        let h = StepSize::exponential(0.01, 0.1, 5);
        let reach = 0.01 / (1.0 - 10f64.powf(-0.2));
        assert!(h.check_end(0, 0.0, 0.999_99 * reach).is_ok());
        let Err(IngredientError::Unreached { reach: found, steps, t_end }) =
            h.check_end(0, 0.0, 100.0)
        else {
            panic!("100 is far beyond");
        };
        assert!((found / reach - 1.0).abs() < 1e-12 && t_end == 100.0 && steps == 0xffff_ffff);
        // Of step 5 on a tenth is left.
        let Err(IngredientError::Unreached { reach: found, .. }) = h.check_end(5, 2.0, 3.0) else {
            panic!("3 is far beyond");
        };
        assert!((found - 2.0 - 0.1 * reach).abs() < 1e-12);
        assert!(StepSize::constant(1e-3).check_end(0, 0.0, 4e6).is_ok());
        assert!(StepSize::constant(1e-3).check_end(0, 0.0, 5e6).is_err());
        assert!(StepSize::exponential(1e-3, 1.1, 5).check_end(0, 0.0, 1e30).is_ok());
        assert!(StepSize::dal(1.0).check_end(0, 0.0, 1e30).is_ok());
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
            (h.clone().warm_up(0), "warm-up"),
            (StepSize::one_cycle(0.1, 2), "one-cycle"),
            (StepSize::one_cycle(0.1, 0), "one-cycle"),
            (StepSize::dal(1.0).warm_up(3), "dal:p=1"),
            (h.clone().then(3, &StepSize::dal(1.0)), "dal:p=1"),
            (StepSize::polyak(0.5).then(3, &h), "polyak:h-max=0.5"),
            (StepSize::polyak(1e-50), "h_max"),
            (StepSize::stable(1e-50, 1.0), "fraction"),
            ((1..17).fold(h.clone(), |all, at| all.then(at, &h)), "17"),
        ] {
            let message = schedule.check().unwrap_err().to_string();
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }
}
