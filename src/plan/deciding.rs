//! What decides about h before the stages of an attempt.

use super::touch::Diagonal;
use super::vector::Operand;

/// u = D (a − b) or D a, and its sums: ‖u‖², and where asked for another.
#[derive(Clone, Debug, PartialEq)]
pub struct Dots<V = Operand> {
    pub a: V,
    pub b: Option<V>,
    pub diagonal: Diagonal,
    pub sums: DotsOf,
}

/// The sum that a [`Dots`] makes besides ‖u‖².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DotsOf {
    /// ⟨a, u⟩ of the raw gradient a.
    RawProduct,
    /// ⟨u, D b⟩.
    Product,
    /// ‖D b‖².
    Second,
    /// ‖u/s‖² in place of ‖u‖², and ‖θ/s‖², with s = atol + rtol·|θ|.
    Scaled,
}

/// The decisions of the control block before the stages of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// ‖k₁‖, and the factor that clips it.
    Norm,
    /// ‖v‖ and ⟨g, v⟩: how far a probe goes, or Polyak's h.
    Direction,
    /// The difference that a probe made: h.
    Probed,
    /// The product of Hessian and gradient: h.
    Multiplied,
    /// The difference of the first two stages: the next attempt's h.
    Next,
    /// Before the first attempt of all: how far its probe goes, by Hairer's rule.
    FirstProbe,
    /// Before the first attempt, too: the first h.
    FirstStep,
    /// Before the first attempt, too: the first curvature, by a probe.
    FirstCurvature,
    /// The distance along the eigenvector at which the next iteration for ρ looks.
    RadiusStart,
    /// ρ by one iteration.
    Radius,
    /// The first attempt of all has what it needs.
    Opened,
}

/// w ← D (w − k₁), where w held the gradient at a point z beside θ, and its sums:
/// ‖w‖², ⟨z − θ, w⟩, ‖θ‖². At the start of an iteration w is left alone, unless
/// there is none yet: then its elements are ±1.
#[derive(Clone, Debug, PartialEq)]
pub struct Radius<V = Operand> {
    pub vector: V,
    /// k₁ and z; none at the start.
    pub others: Option<[V; 2]>,
    pub diagonal: Diagonal,
}
