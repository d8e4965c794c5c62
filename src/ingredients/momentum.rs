//! What earlier steps add to this one.

/// How the Runge–Kutta increment is averaged over steps.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub enum Momentum {
    /// θ_{n+1} = θ_n − h g*.
    #[default]
    None,
}

impl Momentum {
    /// The increment as it is.
    pub fn none() -> Self {
        Self::None
    }
}
