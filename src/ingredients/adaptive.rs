//! Step sizes from an error estimate.

use std::fmt;

use super::{IngredientError, check_positive};
use crate::codes::controller::{FLOOR, GROW, SHRINK};
use crate::method::Method;

/// h by the embedded error estimate of the method: an attempt whose error is
/// above the tolerance is refused, and every verdict proposes the next h.
///
/// With e the difference of the two Runge–Kutta increments and n parameters,
///
/// ```text
/// err = √( Σ (eᵢ / (atol + rtol·max(|θᵢ|, |θ'ᵢ|)))² / n ),  accepted if err ≤ 1
/// h'  = h · limited(γ err_n^(−β₁) err_{n−1}^(β₂) err_{n−2}^(−β₃))
/// ```
///
/// where [`Controller`] gives β, [`Limiter`] the limits, γ = 0.9, the factor is at most 0.9 at a
/// refusal and at most 1 at the acceptance after one, and h stays within
/// [`Adaptive::bounds`]. Source: Hairer, Nørsett, Wanner I, II.4; Söderlind
/// 2003 for the history terms.
///
/// ```
/// use kutta::{Adaptive, Controller};
/// let adaptive: Adaptive = "rtol=1e-3,atol=1e-6,controller=pi".parse()?;
/// assert_eq!(adaptive, Adaptive::new(1e-3, 1e-6).controller(Controller::Pi));
/// assert!(Adaptive::new(0.0, 0.0).check().is_err());
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct Adaptive {
    pub(crate) rtol: f64,
    pub(crate) atol: f64,
    pub(crate) controller: Option<Controller>,
    pub(crate) limiter: Option<Limiter>,
    pub(crate) safety: f64,
    pub(crate) h_min: f64,
    pub(crate) h_max: f64,
    pub(crate) rejection: Rejection,
    pub(crate) most_rejections: u32,
}

/// A controller chooses the next step size from the errors of the last attempts.
/// With k one more than the lower order of the pair:
///
/// | | k β₁ | k β₂ | k β₃ |
/// |---|---|---|---|
/// | `I` | 1 | 0 | 0 |
/// | `Pi` | 0.7 | 0.4 | 0 |
/// | `Pid` | p + i + d | p + 2d | d |
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Controller {
    /// Looks at the error of this attempt alone.
    #[default]
    I,
    /// Looks at the last two errors: smoother where stability limits h.
    Pi,
    /// Looks at the last three errors.
    Pid { p: f64, i: f64, d: f64 },
}

/// A limiter bounds how far one attempt's factor x may change h.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Limiter {
    /// x, at least 0.2 and at most 10.
    #[default]
    Clamp,
    /// 1 + arctan(x − 1), which is smooth: Söderlind, Wang 2006.
    Arctan,
}

/// The choice of what follows a refused attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Rejection {
    /// Retries the same batch with the smaller h.
    #[default]
    Retry,
    /// The next batch.
    Skip,
}

/// The memory of a controller: the errors of the last two accepted attempts,
/// and whether the last attempt was refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct History {
    errors: [f64; 2],
    refused: bool,
}

impl Default for History {
    fn default() -> Self {
        Self { errors: [1.0; 2], refused: false }
    }
}

/// The relative size of rounding to f32: no tolerance is below it.
const ROUNDING: f64 = 1.0 / (1u32 << 24) as f64;

impl Controller {
    /// Kennedy, Carpenter, Lewis 2000.
    pub fn pid() -> Self {
        Self::Pid { p: 0.14, i: 0.25, d: 0.10 }
    }

    /// β for an error of order k.
    pub fn exponents(&self, k: usize) -> [f64; 3] {
        let (p, i, d) = match *self {
            Self::I => (0.0, 1.0, 0.0),
            Self::Pi => (0.4, 0.3, 0.0),
            Self::Pid { p, i, d } => (p, i, d),
        };
        [p + i + d, p + 2.0 * d, d].map(|x| x / k as f64)
    }
}

impl Adaptive {
    /// The method's own controller, which for most is I, with γ = 0.9, any h,
    /// refused attempts retried, and at most 30 refusals in a row.
    pub fn new(rtol: f64, atol: f64) -> Self {
        Self {
            rtol,
            atol,
            controller: None,
            limiter: None,
            safety: 0.9,
            h_min: 1e-12,
            h_max: f64::from(f32::MAX),
            rejection: Rejection::Retry,
            most_rejections: 30,
        }
    }

    pub fn controller(mut self, controller: Controller) -> Self {
        self.controller = Some(controller);
        self
    }

    pub fn limiter(mut self, limiter: Limiter) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// Takes what its authors optimised for this method, as far as nothing else was
    /// asked for: [`LowStorage::controller`](crate::tableau::LowStorage::controller)
    /// and the smooth limiter.
    pub fn for_method(mut self, method: &Method) -> Self {
        if let Method::LowStorage(low_storage) = method
            && let Some([now, last, before]) = low_storage.controller()
            && self.controller.is_none()
        {
            let (d, p) = (before, -last - 2.0 * before);
            self.controller = Some(Controller::Pid { p, i: now - p - d, d });
            self.limiter = self.limiter.or(Some(Limiter::Arctan));
        }
        self
    }

    /// β for an error of order k.
    pub(crate) fn exponents(&self, k: usize) -> [f64; 3] {
        self.controller.unwrap_or_default().exponents(k)
    }

    /// γ, between 0 and 1: how far below the proposed h to stay.
    pub fn safety(mut self, safety: f64) -> Self {
        self.safety = safety;
        self
    }

    /// h stays below `h_max`; the first one that the device finds is `h_min` or more, and a
    /// verdict that would make it smaller ends the run with an error.
    pub fn bounds(mut self, h_min: f64, h_max: f64) -> Self {
        (self.h_min, self.h_max) = (h_min, h_max);
        self
    }

    pub fn rejection(mut self, rejection: Rejection) -> Self {
        self.rejection = rejection;
        self
    }

    /// More refusals in a row than this end the run with an error.
    pub fn most_rejections(mut self, most: u32) -> Self {
        self.most_rejections = most;
        self
    }

    /// Computes the error norm that θ's own rounding to f32 would have.
    pub(crate) fn rounding(&self, theta: &[f32], parameters: usize) -> f64 {
        let of = |x: &f32| self.scaled(ROUNDING * f64::from(*x), f64::from(*x), f64::from(*x));
        let squares: f64 = theta.iter().map(of).map(|e| e * e).sum();
        (squares / parameters as f64).sqrt()
    }

    /// The largest factor by which one attempt may raise h.
    pub(crate) fn most_growth(&self) -> f64 {
        match self.limiter.unwrap_or_default() {
            Limiter::Clamp => GROW,
            // 1 + arctan ∞.
            Limiter::Arctan => 1.0 + std::f64::consts::FRAC_PI_2,
        }
    }

    /// The factor that `error` gives, where k is its order. Takes it into the
    /// history if it is within tolerance. An error that is not finite gives 0.2.
    ///
    /// ```
    /// use kutta::{Adaptive, ingredients::History};
    /// let (adaptive, mut history) = (Adaptive::new(1e-3, 1e-6), History::default());
    /// assert!((adaptive.factor(5, 1.0, &mut history) - 0.9).abs() < 1e-12);
    /// assert_eq!(adaptive.factor(5, f64::NAN, &mut history), 0.2);
    /// assert_eq!(adaptive.factor(5, 0.0, &mut history), 1.0); // after a refusal
    /// assert_eq!(adaptive.factor(5, 0.0, &mut history), 10.0);
    /// ```
    pub fn factor(&self, k: usize, error: f64, history: &mut History) -> f64 {
        let [now, last, before] = self.exponents(k);
        let [e1, e2] = history.errors;
        let factor = if error.is_finite() {
            let raw = self.safety * error.powf(-now) * e1.powf(last) * e2.powf(-before);
            match self.limiter.unwrap_or_default() {
                _ if error == 0.0 => GROW,
                Limiter::Clamp => raw.clamp(SHRINK, GROW),
                Limiter::Arctan => 1.0 + (raw - 1.0).atan(),
            }
        } else {
            SHRINK
        };
        let accepted = error <= 1.0;
        if !accepted {
            history.refused = true;
            return factor.min(0.9);
        }
        let most = if history.refused { 1.0 } else { GROW };
        *history = History { errors: [error.max(FLOOR), e1], refused: false };
        factor.min(most)
    }

    /// E/√((E + 0.01 E_low) n): √(E/n) where there is one sum alone.
    pub(crate) fn norm(squares: f64, lower: f64, n: usize) -> f64 {
        if squares == 0.0 {
            return 0.0;
        }
        squares / ((squares + 0.01 * lower) * n as f64).sqrt()
    }

    /// Scales one element's error as [`Adaptive`] says.
    pub(crate) fn scaled(&self, e: f64, before: f64, after: f64) -> f64 {
        e / (self.atol + self.rtol * before.abs().max(after.abs())).max(1e-30)
    }

    /// # Errors
    /// Tolerances that are negative or not finite, or both zero; an rtol that is not zero and
    /// below the 6e-8 that rounding to f32 is; γ or the controller's coefficients out of
    /// range; h_min above h_max.
    pub fn check(&self) -> Result<(), IngredientError> {
        let out = |key: &'static str, found: f64, range: &'static str| {
            Err(IngredientError::OutOfRange { ingredient: "adaptive", key, found, range })
        };
        for (key, found) in [("rtol", self.rtol), ("atol", self.atol)] {
            if !(found >= 0.0 && found.is_finite()) {
                return out(key, found, "zero or more, and finite");
            }
        }
        if self.rtol > 0.0 && self.rtol < ROUNDING {
            return Err(IngredientError::Tolerance { rtol: self.rtol, least: ROUNDING });
        }
        // What the device divides by is an f32.
        if self.rtol.max(self.atol) < f64::from(f32::MIN_POSITIVE) {
            return out("rtol", self.rtol, "positive, or else atol must be");
        }
        if !(self.safety > 0.0 && self.safety <= 1.0) {
            return out("safety", self.safety, "above 0 and at most 1");
        }
        if let Some(Controller::Pid { p, i, d }) = self.controller {
            for (key, found) in [("p", p), ("i", i), ("d", d)] {
                if found.is_nan() || found.abs() > 2.0 {
                    return out(key, found, "between -2 and 2");
                }
            }
            if p + i + d <= 0.0 {
                return out("i", i, "such that p + i + d is positive: errors must shrink h");
            }
        }
        check_positive("adaptive", "h_min", self.h_min)?;
        check_positive("adaptive", "h_max", self.h_max)?;
        if self.h_min > self.h_max {
            return Err(IngredientError::Bounds { h_min: self.h_min, h_max: self.h_max });
        }
        Ok(())
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::I => f.pad("i"),
            Self::Pi => f.pad("pi"),
            Self::Pid { p, i, d } => write!(f, "pid (p {p}, i {i}, d {d})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_those_of_the_formula() {
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a}, not {b}");
        let mut history = History::default();
        let pid = Adaptive::new(1e-3, 0.0).controller(Controller::Pid { p: 0.3, i: 0.4, d: 0.1 });
        near(pid.factor(4, 0.5, &mut history), 0.9 * 0.5f64.powf(-0.2));
        near(pid.factor(4, 0.3, &mut history), 0.9 * 0.3f64.powf(-0.2) * 0.5f64.powf(0.125));
        let expected = 0.9 * 0.8f64.powf(-0.2) * 0.3f64.powf(0.125) * 0.5f64.powf(-0.025);
        near(pid.factor(4, 0.8, &mut history), expected);
        let pi = Adaptive::new(1e-3, 0.0).controller(Controller::Pi);
        let mut history = History::default();
        near(pi.factor(2, 1e-9, &mut history), 10.0);
        near(pi.factor(4, 1.0, &mut history), 0.9 * 1e-4f64.powf(0.1));
        near(pi.factor(2, 1e9, &mut history), 0.2);
        near(pi.factor(2, 1.01, &mut history), 0.9 * 1.01f64.powf(-0.35));
        // A refusal leaves the history alone and holds the next factor at 1.
        near(pi.factor(2, 0.01, &mut history), 1.0);
        near(pi.factor(2, 0.01, &mut history), 0.9 * 0.01f64.powf(-0.35 + 0.2));
    }

    #[test]
    fn faults_are_named() {
        let good = Adaptive::new(1e-3, 1e-6);
        for (adaptive, words) in [
            (Adaptive::new(-1.0, 1.0), "rtol of adaptive"),
            (Adaptive::new(0.1, f64::NAN), "NaN"),
            (Adaptive::new(0.0, 0.0), "atol must be"),
            (Adaptive::new(1e-13, 1e-6), "rtol = 1e-13"),
            (Adaptive::new(5.9e-8, 1.0), "5.96"),
            (good.bounds(1e-60, 1.0), "h_min of adaptive"),
            (good.safety(0.0), "safety"),
            (good.bounds(0.0, 1.0), "h_min of adaptive"),
            (good.bounds(0.2, 0.1), "0.2"),
            (good.controller(Controller::Pid { p: 0.0, i: 0.0, d: 0.0 }), "p + i + d"),
        ] {
            let message = adaptive.check().unwrap_err().to_string();
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
    }
}
