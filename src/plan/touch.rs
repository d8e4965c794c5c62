//! What an operation does to a vector or to a part of the state.

/// The use that an operation makes of the preconditioner's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Diagonal {
    /// Nothing: D = 1.
    #[default]
    None,
    /// Takes k₁ into it, then makes D from it. Before the verdict it writes the
    /// state's other half, which counts once the attempt is accepted.
    Update,
    /// Makes D from it.
    Read,
}
