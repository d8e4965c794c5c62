//! Parameter groups: tensors that move at rates of their own.

use super::IngredientError;

/// Multipliers of one group of a [`ParamLayout`](crate::ParamLayout): its rate
/// is part of D, so that error estimates, curvature and momentum see it.
///
/// ```
/// use kutta::Group;
/// let biases = Group::default().decay(0.0);
/// let head = Group::default().rate(0.1);
/// assert!(Group::frozen() != head && biases.check(1).is_ok());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct Group {
    pub(crate) rate: f64,
    pub(crate) decay: f64,
}

impl Default for Group {
    fn default() -> Self {
        Self { rate: 1.0, decay: 1.0 }
    }
}

impl Group {
    /// Multiplies h, and with it decoupled decay.
    pub fn rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// Multiplies λ of decoupled weight decay.
    pub fn decay(self, decay: f64) -> Self {
        Self { decay, ..self }
    }

    /// Does not move.
    pub fn frozen() -> Self {
        Self { rate: 0.0, decay: 0.0 }
    }

    /// # Errors
    /// A multiplier that is negative or not finite; `group` is its number.
    pub fn check(&self, group: usize) -> Result<(), IngredientError> {
        for (key, found) in [("rate", self.rate), ("decay", self.decay)] {
            if !(found as f32).is_finite() || found < 0.0 {
                return Err(IngredientError::Group { group, key, found });
            }
        }
        Ok(())
    }
}
