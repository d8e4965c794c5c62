//! The words and bytes that an operation moves.

use super::op::{Estimate, Field, FieldSums, Finish, Linear, Makes, Op, Radius};
use super::registers::Registers;
use super::touch::Diagonal;
use crate::ingredients::{Ingredients, Momentum, Preconditioner};

impl Diagonal {
    /// Words of state per parameter.
    fn words(self, preconditioner: &Preconditioner) -> usize {
        match self {
            Diagonal::None => 0,
            Diagonal::Update => 2 * preconditioner.vectors(),
            // D needs the last of the state vectors only; what parameter groups
            // add is a sixteenth.
            Diagonal::Read => preconditioner.vectors().min(1),
        }
    }
}

impl Op {
    /// Words per parameter this operation moves; the gradient is the user's.
    pub fn words(&self, ingredients: &Ingredients) -> usize {
        let state = |diagonal: Diagonal| diagonal.words(&ingredients.preconditioner);
        match self {
            Op::Combine(linear) | Op::Advance(linear) => {
                let written = 1 + linear.also.len();
                linear.reads() + written + state(linear.diagonal)
            }
            Op::Finish(finish) => {
                let momentum = 2 * usize::from(ingredients.momentum != Momentum::None);
                finish.gradients.len() + 2 + momentum + state(finish.diagonal)
            }
            Op::Field(field) => {
                let theta = usize::from(field.sums == FieldSums::Scaled);
                1 + usize::from(field.b.is_some()) + theta + state(field.diagonal)
            }
            Op::Estimate(estimate) => {
                let momentum = ingredients.momentum != Momentum::None;
                let finish = 2 * usize::from(momentum && estimate.makes == Makes::Finish);
                estimate.terms.len() + 2 + finish + state(estimate.diagonal)
            }
            Op::Registers(registers) => registers.words() + state(registers.diagonal),
            // θ; then w, k₁, z, θ, and w again.
            Op::Radius(radius) if radius.others.is_none() => 1,
            Op::Radius(radius) => 5 + state(radius.diagonal),
            Op::Commit { .. } | Op::Pack { .. } => 2,
            Op::Decay { .. } | Op::Average => 3,
            Op::Reduce { .. } => 1,
            // What it costs, the gradient that it spares more than pays for.
            Op::Evaluate { .. }
            | Op::Choose(_)
            | Op::Fit { .. }
            | Op::Control
            | Op::Reuse { .. } => 0,
        }
    }

    /// Words where each weighted vector beyond a sum's first is added by a kernel of
    /// its own.
    pub(super) fn words_by_axpy(&self, ingredients: &Ingredients) -> usize {
        let state = |diagonal: Diagonal| diagonal.words(&ingredients.preconditioner);
        match self {
            _ if self.guards() => 0,
            Op::Combine(linear) | Op::Advance(linear) => {
                3 * (linear.points.len() + linear.gradients.len()) + state(linear.diagonal)
            }
            Op::Registers(registers) => registers.words_by_axpy() + state(registers.diagonal),
            Op::Finish(finish) => {
                let rest = finish.gradients.len() - 1;
                self.words(ingredients) - rest + 3 * rest
            }
            Op::Estimate(estimate) => {
                let rest = estimate.terms.len() - 1 + usize::from(estimate.drift != 0.0);
                self.words(ingredients) + 1 - estimate.terms.len() + 3 * rest
            }
            _ => self.words(ingredients),
        }
    }

    /// Words of the preconditioner's state among them.
    pub(super) fn state_words(&self, ingredients: &Ingredients) -> usize {
        let diagonal = match self {
            Op::Combine(Linear { diagonal, .. })
            | Op::Advance(Linear { diagonal, .. })
            | Op::Finish(Finish { diagonal, .. })
            | Op::Field(Field { diagonal, .. })
            | Op::Estimate(Estimate { diagonal, .. })
            | Op::Radius(Radius { diagonal, .. })
            | Op::Registers(Registers { diagonal, .. }) => *diagonal,
            _ => Diagonal::None,
        };
        diagonal.words(&ingredients.preconditioner)
    }

    /// Not the method's own: what keeps an attempt refusable.
    pub(super) fn guards(&self) -> bool {
        matches!(self, Op::Reduce { .. } | Op::Commit { .. })
    }
}
