//! Vectors by their role in the mathematics, and the buffers that they live in.

use crate::format::Storage;

/// A vector by its role in the mathematics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// θ, the parameters.
    Theta,
    /// kᵢ = ∇L at stage i's point.
    Gradient(u32),
    /// The point of stage i ≥ 2.
    Point(u32),
    /// A partial sum, numbered by its first use.
    Sum(u32),
    /// θ_{n+1} before the verdict, where an error estimate judges it.
    Candidate,
    /// A point beside θ along v = D k₁, and its gradient.
    Beside,
    GradientBeside,
    /// w of the power iteration for ρ, which stays from attempt to attempt.
    Eigenvector,
    /// A gradient as its source writes it, before it is stored narrow.
    Landing,
}

/// A resident buffer, by number; 0 is θ.
pub type Slot = usize;

/// A named vector in the buffer where it lives at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    pub name: Name,
    pub slot: Slot,
    /// The buffer's, and so that of all vectors in it.
    pub storage: Storage,
}
