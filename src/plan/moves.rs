//! The words and bytes that an operation moves.

use super::op::Op;
use super::touch::{Touch, What};
use crate::ingredients::Ingredients;

impl Op {
    /// Words per parameter this operation moves; the gradient is the user's.
    pub fn words(&self, ingredients: &Ingredients) -> usize {
        self.moved(ingredients, |_| 1)
    }

    /// Bytes per parameter this operation moves: four a word, and two where a vector or a
    /// part of the state is stored narrow.
    pub fn bytes(&self, ingredients: &Ingredients) -> usize {
        self.moved(ingredients, |touch| touch.storage(ingredients).bytes())
    }

    /// The words that are moved, where each counts for so much.
    fn moved(&self, ingredients: &Ingredients, each: impl Fn(&Touch) -> usize) -> usize {
        if let Op::Evaluate { .. } = self {
            return 0;
        }
        let touches = self.touches(ingredients);
        touches.iter().map(|touch| touch.words(&ingredients.preconditioner) * each(touch)).sum()
    }

    /// Words of the preconditioner's state among them.
    fn state_words(&self, ingredients: &Ingredients) -> usize {
        let by = self.diagonal().by();
        by.map_or(0, |by| Touch { what: What::Second, by }.words(&ingredients.preconditioner))
    }

    /// Words where each weighted vector beyond a sum's first is added by a kernel of
    /// its own.
    pub(super) fn words_by_axpy(&self, ingredients: &Ingredients) -> usize {
        let state = self.state_words(ingredients);
        match self {
            _ if self.guards() => 0,
            Op::Combine(linear) => 3 * (linear.points.len() + linear.gradients.len()) + state,
            Op::Registers(registers) => registers.words_by_axpy() + state,
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

    /// Not the method's own: what keeps an attempt refusable.
    pub(super) fn guards(&self) -> bool {
        matches!(self, Op::Guard { .. } | Op::Commit { reuses: false, .. })
    }
}
