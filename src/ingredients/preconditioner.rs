//! The diagonal D that the gradient is multiplied with, inside the stages.

/// How D is made from the gradients seen so far.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Preconditioner {
    /// D = 1.
    #[default]
    None,
}

impl Preconditioner {
    /// D = 1: the plain gradient flow.
    pub fn none() -> Self {
        Self::None
    }
}
