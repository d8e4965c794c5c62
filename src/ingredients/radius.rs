//! The spectral radius: how large the eigenvalues of the flow's Jacobian are.

use std::fmt;
use std::str::FromStr;

use super::{IngredientError, check_positive};

/// ρ, the spectral radius of D·H: what bounds the steps of stabilised methods, and
/// of all under [`StepSize::stable`](crate::StepSize::stable).
///
/// ```
/// use kutta::SpectralRadius;
/// let given: SpectralRadius = "120".parse()?;
/// assert_eq!(given, SpectralRadius::Given(120.0));
/// assert!("0".parse::<SpectralRadius>().is_err());
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum SpectralRadius {
    /// Found on the device by a nonlinear power iteration on differences of
    /// gradients, w ← D (g(θ + εw) − g(θ)), and enlarged by 1.2: twelve gradients
    /// before the first attempt, then four from the vector of before in every
    /// twenty-fifth attempt and after a refusal. Source: Sommeijer, Shampine,
    /// Verwer 1998.
    ///
    /// Where curvature is negative along w, |ρ| counts. Where there is none, no
    /// step is bounded. Where it is not finite, the last ρ stays, and without one
    /// the batch is skipped. Reports say so:
    /// [`Report::fallback`](crate::Report::fallback).
    #[default]
    Estimated,
    /// Known; taken as it is, not enlarged.
    Given(f64),
}

/// The factor by which an estimate is enlarged.
pub(crate) const ENLARGED: f64 = 1.2;

impl SpectralRadius {
    pub(crate) fn check(&self) -> Result<(), IngredientError> {
        match *self {
            Self::Estimated => Ok(()),
            Self::Given(rho) => check_positive("the spectral radius", "rho", rho),
        }
    }
}

impl fmt::Display for SpectralRadius {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Estimated => f.pad("estimated"),
            Self::Given(rho) => rho.fmt(f),
        }
    }
}

/// `estimated`, or a number.
impl FromStr for SpectralRadius {
    type Err = IngredientError;

    fn from_str(text: &str) -> Result<Self, IngredientError> {
        let made = match text.trim() {
            "estimated" => Self::Estimated,
            number => Self::Given(number.parse().map_err(|_| IngredientError::UnknownName {
                found: text.into(),
                names: "a number, estimated",
            })?),
        };
        made.check()?;
        Ok(made)
    }
}
