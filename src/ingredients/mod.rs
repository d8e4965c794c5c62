//! Ingredients turn a Runge–Kutta method into an optimizer: step size,
//! preconditioner, momentum, weight decay.

mod adaptive;
pub(crate) mod error;
mod group;
mod momentum;
mod parse;
mod preconditioner;
mod radius;
mod rule;
mod step_size;
mod stored;

pub use error::IngredientError;

pub use adaptive::{Adaptive, Controller, History, Limiter, Rejection};
pub use group::Group;
pub use momentum::Momentum;
pub use preconditioner::Preconditioner;
pub(crate) use radius::ENLARGED;
pub use radius::SpectralRadius;
pub(crate) use rule::PROBE;
pub use rule::{Curvature, Rule};
pub(crate) use step_size::Curve;
pub use step_size::{MAX_PIECES, StepSize};
pub use stored::Stored;

use crate::format::Storage;

/// The ingredients of an optimizer: how a step treats gradients before they move θ.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct Ingredients {
    pub preconditioner: Preconditioner,
    pub momentum: Momentum,
    /// λ of decoupled weight decay: θ_{n+1} also loses h λ θ_n (Loshchilov,
    /// Hutter 2019).
    pub weight_decay: f64,
    /// λ of L2 decay: λθ_i is added to the gradient at every stage point θ_i.
    pub l2: f64,
    /// β of an exponential moving average of θ over accepted steps, kept
    /// beside it: Polyak, Juditsky 1992; β as in Adam's averages.
    pub average: Option<f64>,
    /// Judges attempts by the method's error estimate, and chooses h by it.
    pub adaptive: Option<Adaptive>,
    /// The largest ‖g(θ_n)‖: where it is larger, the same factor α makes all
    /// gradients of the step smaller.
    pub clip: Option<f64>,
    /// Parameter groups have multipliers of their own.
    pub grouped: bool,
    /// Chooses h by what an attempt sees.
    pub rule: Option<Rule>,
    /// The spectral radius of D·H, which bounds steps by stability.
    pub radius: SpectralRadius,
    /// The formats in which gradients, momentum and second moment are kept.
    pub stored: Stored,
}

impl Ingredients {
    /// # Errors
    /// What [`Preconditioner::check`] and [`Momentum::check`] refuse, and a
    /// weight decay that is negative or not finite.
    pub fn check(&self) -> Result<(), IngredientError> {
        self.preconditioner.check()?;
        self.momentum.check()?;
        self.adaptive.map_or(Ok(()), |adaptive| adaptive.check())?;
        self.clip.map_or(Ok(()), |clip| check_positive("clipping", "the largest norm", clip))?;
        self.rule.map_or(Ok(()), |rule| rule.check())?;
        self.radius.check()?;
        if self.rule.is_some() && self.adaptive.is_some() {
            return Err(IngredientError::TwoRules);
        }
        self.average.map_or(Ok(()), |beta| check_open("the average of θ", "beta", beta))?;
        for found in [self.weight_decay, self.l2] {
            if !found.is_finite() || found < 0.0 {
                return Err(IngredientError::WeightDecay { found });
            }
        }
        Ok(())
    }
}

impl Ingredients {
    /// The format of the preconditioner's state, if there is any.
    pub(crate) fn second_storage(&self) -> Storage {
        if self.preconditioner.vectors() == 0 { Storage::F32 } else { self.stored.second }
    }

    /// ln β₂ where the preconditioner divides its bias 1 − β₂ᵗ out, else 0.
    pub fn log_second(&self) -> f64 {
        let corrected = self.preconditioner.corrects_bias();
        self.preconditioner.decay().filter(|_| corrected).map_or(0.0, f64::ln)
    }

    /// ln β where the momentum divides its bias 1 − βᵗ out, else 0.
    pub fn log_mean(&self) -> f64 {
        match self.momentum {
            Momentum::Ema { beta } => beta.ln(),
            _ => 0.0,
        }
    }
}

fn check_open(
    ingredient: &'static str,
    key: &'static str,
    found: f64,
) -> Result<(), IngredientError> {
    if found > 0.0 && found < 1.0 {
        Ok(())
    } else {
        Err(IngredientError::OutOfRange { ingredient, key, found, range: "between 0 and 1" })
    }
}

fn check_positive(
    ingredient: &'static str,
    key: &'static str,
    found: f64,
) -> Result<(), IngredientError> {
    // What the device gets is an f32.
    if found as f32 > 0.0 && (found as f32).is_finite() {
        Ok(())
    } else {
        Err(IngredientError::OutOfRange { ingredient, key, found, range: "positive and finite" })
    }
}
