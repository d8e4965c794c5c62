//! Chooses which vectors of a plan are stored narrow, and how they get there.

use std::collections::BTreeSet;

use super::step::{RegisterStep, Step};
use super::{Name, Op, Operand, Purpose, Slot};
use crate::format::Storage;
use crate::ingredients::{Ingredients, Momentum};

/// Buffers of narrow vectors are counted from here until it is known how many wide ones
/// come before them.
pub(super) const FIRST_NARROW: Slot = 1 << 30;

/// The storage of each vector.
#[derive(Clone, Debug, Default)]
pub(super) struct Widths {
    gradients: Storage,
    /// Gradients that stay f32.
    wide: BTreeSet<Name>,
}

impl Widths {
    pub(super) fn new(steps: &[Step], gradients: Storage) -> Self {
        let mut wide = BTreeSet::new();
        if gradients.is_narrow() {
            for step in steps {
                match step {
                    // What they differ by would be lost in rounding.
                    Step::Field { a, b: Some(b), .. } => wide.extend([*a, *b]),
                    Step::Radius { start: false, .. } => {
                        wide.insert(Name::Gradient(1));
                    }
                    // The source reads it.
                    Step::Evaluate { purpose: Purpose::Product, .. } => {
                        wide.insert(Name::Gradient(1));
                    }
                    Step::Evaluate { gradient, adds: true, .. } => {
                        wide.insert(*gradient);
                    }
                    // One buffer, whose next content is no gradient.
                    Step::Registers(RegisterStep {
                        register,
                        register_into,
                        sum,
                        sum_into,
                        ..
                    }) => {
                        wide.extend(register.filter(|_| register_into.is_some()));
                        wide.extend(sum.filter(|_| sum_into.is_some()));
                    }
                    _ => {}
                }
            }
        }
        Self { gradients, wide }
    }

    pub(super) fn of(&self, name: Name) -> Storage {
        match name {
            Name::Gradient(_) if !self.wide.contains(&name) => self.gradients,
            _ => Storage::F32,
        }
    }

    /// Lets the source write f32 beside what is stored narrow, and packs that.
    pub(super) fn landed(&self, steps: Vec<Step>) -> Vec<Step> {
        let landed = |step| match step {
            Step::Evaluate { purpose, point, gradient, adds } if self.of(gradient).is_narrow() => {
                let landing = Name::Landing;
                vec![
                    Step::Evaluate { purpose, point, gradient: landing, adds },
                    Step::Pack { from: landing, to: gradient },
                ]
            }
            step => vec![step],
        };
        steps.into_iter().flat_map(landed).collect()
    }
}

/// Gives the narrow buffers of these operations their numbers, after `wide` others.
pub(super) fn numbered(mut ops: Vec<Op>, wide: Slot) -> Vec<Op> {
    for operand in ops.iter_mut().flat_map(Op::operands_mut) {
        if operand.storage.is_narrow() {
            operand.slot = operand.slot - FIRST_NARROW + wide;
        }
    }
    ops
}

impl Op {
    /// Every vector it names.
    pub(super) fn operands_mut(&mut self) -> Vec<&mut Operand> {
        match self {
            Op::Evaluate { point, gradient, .. } | Op::Decay { gradient, point } => {
                vec![point, gradient]
            }
            Op::Combine(linear) | Op::Advance(linear) => std::iter::once(&mut linear.target)
                .chain(&mut linear.base)
                .chain(linear.points.iter_mut().chain(&mut linear.gradients).map(|(_, o)| o))
                .chain(
                    linear
                        .also
                        .iter_mut()
                        .flat_map(|also| std::iter::once(&mut also.target).chain(&mut also.base)),
                )
                .collect(),
            Op::Reduce { gradient, .. } => vec![gradient],
            Op::Field(field) => std::iter::once(&mut field.a).chain(&mut field.b).collect(),
            Op::Radius(radius) => std::iter::once(&mut radius.vector)
                .chain(radius.others.iter_mut().flatten())
                .collect(),
            Op::Registers(op) => [
                &mut op.target,
                &mut op.point,
                &mut op.register,
                &mut op.sum,
                &mut op.gradient,
                &mut op.extra,
            ]
            .into_iter()
            .flatten()
            .collect(),
            Op::Finish(finish) => std::iter::once(&mut finish.target)
                .chain(finish.gradients.iter_mut().map(|(_, o)| o))
                .collect(),
            Op::Estimate(estimate) => std::iter::once(&mut estimate.candidate)
                .chain(estimate.terms.iter_mut().map(|(_, o)| o))
                .collect(),
            Op::Commit { from, to } | Op::Reuse { from, to } | Op::Pack { from, to } => {
                vec![from, to]
            }
            Op::Average | Op::Fit { .. } | Op::Choose(_) | Op::Control => vec![],
        }
    }

    /// Gradients that this operation moves, each as often as it does.
    fn gradients(&self) -> Vec<Operand> {
        match self {
            Op::Combine(linear) | Op::Advance(linear) => linear.inputs().collect(),
            Op::Reduce { gradient, .. } => vec![*gradient],
            Op::Field(field) => std::iter::once(field.a).chain(field.b).collect(),
            Op::Radius(radius) => radius.others.into_iter().flatten().take(1).collect(),
            Op::Registers(op) => {
                [op.register, op.sum, op.gradient, op.extra].into_iter().flatten().collect()
            }
            Op::Finish(finish) => finish.gradients.iter().map(|&(_, k)| k).collect(),
            Op::Estimate(estimate) => estimate.terms.iter().map(|&(_, k)| k).collect(),
            Op::Decay { gradient, .. } => vec![*gradient; 2],
            Op::Pack { to, .. } => vec![*to],
            Op::Evaluate { .. }
            | Op::Average
            | Op::Fit { .. }
            | Op::Choose(_)
            | Op::Control
            | Op::Commit { .. }
            | Op::Reuse { .. } => vec![],
        }
    }

    /// Bytes per parameter this operation moves: four a word, less what is stored
    /// narrow.
    pub fn bytes(&self, ingredients: &Ingredients) -> usize {
        let spared = |storage: Storage| Storage::F32.bytes() - storage.bytes();
        let gradients: usize = self.gradients().iter().map(|k| spared(k.storage)).sum();
        let state = self.state_words(ingredients) * spared(ingredients.second_storage());
        let momentum = match self {
            Op::Finish(_) if ingredients.momentum != Momentum::None => {
                2 * spared(ingredients.stored.momentum)
            }
            _ => 0,
        };
        Storage::F32.bytes() * self.words(ingredients) - gradients - state - momentum
    }
}
