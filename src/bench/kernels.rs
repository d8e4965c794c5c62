//! The kernels of a plan, as a bench counts and names them.

use super::touches::{Touch, touches};
use crate::ingredients::{Ingredients, Momentum, Preconditioner};
use crate::plan::{Fusion, Op, Plan};
use crate::state::State;

/// One kernel of a plan: what it does, and the words per parameter it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelCost {
    pub label: String,
    pub reads: usize,
    pub writes: usize,
    /// Bytes per parameter, both ways: four a word, or two where it is stored narrow.
    pub bytes: usize,
}

impl KernelCost {
    pub(super) fn of(op: &Op, plan: &Plan, state: &State) -> Self {
        let touched = touches(op, plan, state);
        let count = |of: fn(&Touch) -> usize| touched.iter().map(of).sum();
        Self {
            label: op.label(),
            reads: count(|touch| touch.reads.len()),
            writes: count(|touch| touch.writes.len()),
            bytes: count(|touch| {
                (touch.reads.len() + touch.writes.len()) * touch.vector.storage().bytes()
            }),
        }
    }

    /// Words per parameter read and written.
    pub fn words(&self) -> usize {
        self.reads + self.writes
    }
}

/// The operations that move words, of an attempt that renews ρ if one does.
pub(super) fn moving(plan: &Plan) -> impl Iterator<Item = &Op> {
    let ops = if plan.renewing().is_empty() { plan.ops() } else { plan.renewing() };
    ops.iter().filter(|op| op.words(plan.ingredients()) > 0)
}

/// Tells whether ingredients are made of kernels that compute one thing each.
pub(super) fn splits_ingredients(plan: &Plan) -> bool {
    let Ingredients { preconditioner, momentum, grouped, adaptive, .. } = *plan.ingredients();
    let some = preconditioner != Preconditioner::None || momentum != Momentum::None;
    // The verdict on an error needs one that is computed.
    let plain = !grouped && adaptive.is_none();
    plan.options().fusion == Fusion::None && some && plain
}

pub(super) fn evaluates(op: &Op) -> bool {
    matches!(op, Op::Evaluate { .. })
}
