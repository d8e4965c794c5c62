//! The last operations of a step, by which it gets momentum, decay and an error.

use super::touch::Diagonal;
use super::vector::Operand;

/// target = θ − h (u + λθ), where u comes from ḡ = Σ b k by way of the momentum.
///
/// Made from gradients alone: ḡ recovered from a difference of points would
/// lose |θ|/(h|ḡ|) of its accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish<V = Operand> {
    /// θ itself after the verdict, or the candidate before it.
    pub target: V,
    pub gradients: Vec<(f64, V)>,
    pub diagonal: Diagonal,
}

/// e = drift (θ − θ') + h D Σ d k, and the sum of (e / (atol + rtol·max(|θ|, |θ'|)))².
///
/// Made from gradients alone wherever they are still there, so that rounding at |θ|
/// does not enter e.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate<V = Operand> {
    pub candidate: V,
    /// This much of θ − θ' is in e too.
    pub drift: f64,
    pub makes: Makes,
    /// There is a second error, with b − b_low in place of b.
    pub two: bool,
    /// d = b − b̂ and b of each gradient.
    pub terms: Vec<([f64; 2], V)>,
    pub diagonal: Diagonal,
}

/// The way an [`Estimate`] comes by the candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Makes {
    /// It is there already.
    Nothing,
    /// θ' = θ − h D Σ b k.
    Step,
    /// The candidate is made as a [`Finish`] of ḡ = Σ b k makes it, with the momentum's other half.
    Finish,
}
