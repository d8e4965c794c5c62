//! The diagonal D that the gradient is multiplied with, inside the stages.

use std::fmt;

use super::{IngredientError, check_open, check_positive};

/// The preconditioner: a diagonal D made from the gradients seen so far.
///
/// The state is updated once per accepted step, from the gradient g at θ_n;
/// D is then the same for all stages of the step. With one stage these are the
/// optimizers of the same names.
///
/// | | state | D |
/// |---|---|---|
/// | [`none`](Self::none) | – | 1 |
/// | [`adagrad_rescaled`](Self::adagrad_rescaled) | G ← G + g² | (1 + G)^(−1/2) |
/// | [`adagrad`](Self::adagrad) | G ← G + g² | 1/(√G + ε) |
/// | [`rmsprop`](Self::rmsprop) | v ← ρv + (1−ρ)g² | 1/(√v + ε) |
/// | [`adam`](Self::adam) | v ← β₂v + (1−β₂)g² | 1/(√(v/(1−β₂ᵗ)) + ε) |
/// | [`amsgrad`](Self::amsgrad) | also v̂ ← max(v̂, v) | 1/(√(v̂/(1−β₂ᵗ)) + ε) |
///
/// t counts accepted steps from 1. Squares become state, and state is f32: a gradient with
/// an element beyond 1.8e19 (after clipping, where there is a clip) counts as not finite, so
/// the attempt is skipped and its report says so; the square of an element below 1e-19 is 0.
///
/// ```
/// use kutta::Preconditioner;
/// let mut state = [0.0; 2];
/// let adam = Preconditioner::adam(0.999, 1e-8);
/// adam.update(&mut state, 3.0);
/// assert!((adam.diagonal(&state, 1) - 1.0 / 3.0).abs() < 1e-8);
/// assert!(Preconditioner::adam(1.0, 1e-8).check().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Default)]
#[non_exhaustive]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Preconditioner {
    /// D = 1.
    #[default]
    None,
    /// Rescales as in "Learning by solving differential equations" (arXiv 2505.13397).
    AdagradRescaled,
    /// Duchi, Hazan, Singer 2011.
    Adagrad { epsilon: f64 },
    /// Tieleman, Hinton 2012.
    RmsProp { rho: f64, epsilon: f64 },
    /// Kingma, Ba 2015. Its average of gradients is
    /// [`Momentum::ema`](super::Momentum::ema).
    Adam { beta2: f64, epsilon: f64 },
    /// Reddi, Kale, Kumar 2018, as PyTorch corrects its bias.
    AmsGrad { beta2: f64, epsilon: f64 },
}

impl Preconditioner {
    /// D = 1: the plain gradient flow.
    pub fn none() -> Self {
        Self::None
    }

    /// D = (1 + G)^(−1/2): no ε, never above 1, and 1 where no gradient was.
    pub fn adagrad_rescaled() -> Self {
        Self::AdagradRescaled
    }

    /// D = 1/(√G + ε); PyTorch's ε is 1e-10.
    pub fn adagrad(epsilon: f64) -> Self {
        Self::Adagrad { epsilon }
    }

    /// D = 1/(√v + ε) with a moving average; PyTorch's ρ is 0.99, its ε 1e-8.
    pub fn rmsprop(rho: f64, epsilon: f64) -> Self {
        Self::RmsProp { rho, epsilon }
    }

    /// Divides as RMSprop does, with the bias of a start at zero taken out; usually
    /// β₂ = 0.999, ε = 1e-8.
    pub fn adam(beta2: f64, epsilon: f64) -> Self {
        Self::Adam { beta2, epsilon }
    }

    /// Divides as Adam does, with the largest v so far in place of v.
    pub fn amsgrad(beta2: f64, epsilon: f64) -> Self {
        Self::AmsGrad { beta2, epsilon }
    }

    /// State vectors of the parameters' length.
    pub fn vectors(&self) -> usize {
        match self {
            Self::None => 0,
            Self::AmsGrad { .. } => 2,
            _ => 1,
        }
    }

    /// The decay ρ or β₂ of the average, if it is one.
    pub fn decay(&self) -> Option<f64> {
        match *self {
            Self::RmsProp { rho: decay, .. }
            | Self::Adam { beta2: decay, .. }
            | Self::AmsGrad { beta2: decay, .. } => Some(decay),
            _ => None,
        }
    }

    /// Tells whether 1 − β₂ᵗ is divided out.
    pub fn corrects_bias(&self) -> bool {
        matches!(self, Self::Adam { .. } | Self::AmsGrad { .. })
    }

    /// ε; 0 where there is none.
    pub fn epsilon(&self) -> f64 {
        match *self {
            Self::None | Self::AdagradRescaled => 0.0,
            Self::Adagrad { epsilon }
            | Self::RmsProp { epsilon, .. }
            | Self::Adam { epsilon, .. }
            | Self::AmsGrad { epsilon, .. } => epsilon,
        }
    }

    /// Takes one element's gradient into its state.
    pub fn update(&self, state: &mut [f64], g: f64) {
        match (self, self.decay()) {
            (Self::None, _) => return,
            (_, Some(decay)) => state[0] = decay * state[0] + (1.0 - decay) * g * g,
            (_, None) => state[0] += g * g,
        }
        if let Self::AmsGrad { .. } = self {
            state[1] = state[1].max(state[0]);
        }
    }

    /// D of one element in step t, counted from 1.
    pub fn diagonal(&self, state: &[f64], t: u64) -> f64 {
        let second = match self {
            Self::None => return 1.0,
            Self::AdagradRescaled => return (1.0 + state[0]).powf(-0.5),
            Self::AmsGrad { .. } => state[1],
            _ => state[0],
        };
        let bias = match self.decay() {
            Some(beta) if self.corrects_bias() => 1.0 - beta.powf(t as f64),
            _ => 1.0,
        };
        1.0 / ((second / bias).sqrt() + self.epsilon())
    }

    /// # Errors
    /// ρ or β₂ outside (0, 1), ε that is not positive and finite.
    pub fn check(&self) -> Result<(), IngredientError> {
        let name = self.name();
        if let Some(decay) = self.decay() {
            check_open(name, if self.corrects_bias() { "beta2" } else { "rho" }, decay)?;
        }
        match self {
            Self::None | Self::AdagradRescaled => Ok(()),
            _ => check_positive(name, "eps", self.epsilon()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::AdagradRescaled => "adagrad_rescaled",
            Self::Adagrad { .. } => "adagrad",
            Self::RmsProp { .. } => "rmsprop",
            Self::Adam { .. } => "adam",
            Self::AmsGrad { .. } => "amsgrad",
        }
    }
}

impl fmt::Display for Preconditioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match *self {
            Self::None | Self::AdagradRescaled => Ok(()),
            Self::Adagrad { epsilon } => write!(f, ":eps={epsilon:?}"),
            Self::RmsProp { rho, epsilon } => write!(f, ":rho={rho:?},eps={epsilon:?}"),
            Self::Adam { beta2, epsilon } | Self::AmsGrad { beta2, epsilon } => {
                write!(f, ":beta2={beta2:?},eps={epsilon:?}")
            }
        }
    }
}
