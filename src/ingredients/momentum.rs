//! Momentum: what earlier steps add to this one.

use std::fmt;

use super::{IngredientError, check_open};

/// Momentum averages the Runge–Kutta increment over steps. With
/// ḡ = Σ bⱼ gⱼ and D the preconditioner's diagonal:
///
/// | | state | θ_{n+1} |
/// |---|---|---|
/// | [`none`](Self::none) | – | θ − h D ḡ |
/// | [`heavy_ball`](Self::heavy_ball) | m ← βm + D ḡ | θ − h m |
/// | [`nesterov`](Self::nesterov) | m ← βm + D ḡ | θ − h (D ḡ + βm) |
/// | [`ema`](Self::ema) | m ← βm + (1−β) ḡ | θ − h D m/(1−βᵗ) |
///
/// The first two take D before the average, the Adam family after it: with
/// Adam's D and β = 0.9 they are a quarter apart in θ after 100 steps.
///
/// ```
/// use kutta::Momentum;
/// let mut m = 0.0;
/// let ball = Momentum::heavy_ball(0.5);
/// assert_eq!(ball.direction(&mut m, 1.0, 1.0, 1), 1.0);
/// assert_eq!(ball.direction(&mut m, 1.0, 1.0, 2), 1.5);
/// assert!(Momentum::heavy_ball(1.5).check().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Momentum {
    /// θ_{n+1} = θ_n − h D ḡ.
    #[default]
    None,
    /// Polyak 1964, without a factor 1−β: PyTorch's SGD.
    HeavyBall { beta: f64 },
    /// PyTorch's form of Nesterov 1983.
    Nesterov { beta: f64 },
    /// The exponential moving average of raw gradients, of Kingma, Ba 2015. A checkpoint calls
    /// it `average`.
    #[cfg_attr(feature = "checkpoint", serde(rename = "average"))]
    Ema { beta: f64 },
}

impl Momentum {
    /// The increment as it is.
    pub fn none() -> Self {
        Self::None
    }

    /// m ← βm + D ḡ, θ ← θ − h m.
    pub fn heavy_ball(beta: f64) -> Self {
        Self::HeavyBall { beta }
    }

    /// m ← βm + D ḡ, θ ← θ − h (D ḡ + βm).
    pub fn nesterov(beta: f64) -> Self {
        Self::Nesterov { beta }
    }

    /// m ← βm + (1−β) ḡ, θ ← θ − h D m/(1−βᵗ): what Adam does with β₁.
    pub fn ema(beta: f64) -> Self {
        Self::Ema { beta }
    }

    /// β; 0 where there is none.
    pub fn beta(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::HeavyBall { beta } | Self::Nesterov { beta } | Self::Ema { beta } => beta,
        }
    }

    /// Takes one element's increment into its state m; the direction u of
    /// θ ← θ − h u in step t, counted from 1.
    pub fn direction(&self, m: &mut f64, g: f64, d: f64, t: u64) -> f64 {
        match *self {
            Self::None => d * g,
            Self::HeavyBall { beta } => {
                *m = beta * *m + d * g;
                *m
            }
            Self::Nesterov { beta } => {
                *m = beta * *m + d * g;
                d * g + beta * *m
            }
            Self::Ema { beta } => {
                *m = beta * *m + (1.0 - beta) * g;
                d * *m / (1.0 - beta.powf(t as f64))
            }
        }
    }

    /// # Errors
    /// β outside (0, 1).
    pub fn check(&self) -> Result<(), IngredientError> {
        match self {
            Self::None => Ok(()),
            _ => check_open(self.name(), "beta", self.beta()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::HeavyBall { .. } => "heavy-ball",
            Self::Nesterov { .. } => "nesterov",
            Self::Ema { .. } => "ema",
        }
    }
}

impl fmt::Display for Momentum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            _ => write!(f, "{}:{:?}", self.name(), self.beta()),
        }
    }
}
