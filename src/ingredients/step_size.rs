//! The step size h: the learning rate, seen as time.

use crate::error::IngredientError;

/// How h is chosen.
///
/// ```
/// use kutta::StepSize;
/// assert!(StepSize::constant(0.1).check().is_ok());
/// assert!(StepSize::constant(-0.1).check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StepSize {
    /// The same h for every attempt.
    Constant(f32),
}

impl StepSize {
    /// h_n = h.
    pub fn constant(h: f32) -> Self {
        Self::Constant(h)
    }

    /// The nominal h of attempt 0.
    pub fn initial(&self) -> f32 {
        let Self::Constant(h) = self;
        *h
    }

    /// # Errors
    /// A step size that is not positive and finite.
    pub fn check(&self) -> Result<(), IngredientError> {
        let h = self.initial();
        if h.is_finite() && h > 0.0 { Ok(()) } else { Err(IngredientError::StepSize { h }) }
    }
}
