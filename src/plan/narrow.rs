//! Chooses which vectors of a plan are stored narrow, and how they get there.

use std::collections::BTreeSet;

use super::op::Op;
use super::step::Step;
use super::vector::{Name, Operand, Slot};
use crate::format::Storage;

/// Buffers of narrow vectors are counted from here until it is known how many wide ones
/// come before them.
pub(super) const FIRST_NARROW: Slot = 1 << 30;

/// The storage of each vector.
#[derive(Clone, Debug, Default)]
pub(super) struct Widths {
    gradients: Storage,
    /// Gradients that stay f32, since some operation works on f32 alone.
    wide: BTreeSet<Name>,
}

impl Widths {
    pub(super) fn new(steps: &[Step], gradients: Storage) -> Self {
        let mut wide = BTreeSet::new();
        if gradients.is_narrow() {
            for step in steps {
                wide.extend(step.names(|by| by.wide));
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
            Op::Evaluate { gradient, purpose, point, direction, adds, check }
                if self.of(gradient).is_narrow() =>
            {
                let landing = Name::Landing;
                vec![
                    Op::Evaluate { gradient: landing, purpose, point, direction, adds, check },
                    Op::Pack { from: landing, to: gradient },
                ]
            }
            step => vec![step],
        };
        steps.into_iter().flat_map(landed).collect()
    }
}

/// Gives the narrow buffers of these operations their numbers, after `wide` others.
pub(super) fn numbered(ops: &[Op], wide: Slot) -> Vec<Op> {
    let number = |_, operand: Operand| match operand.storage.is_narrow() {
        true => Operand { slot: operand.slot - FIRST_NARROW + wide, ..operand },
        false => operand,
    };
    ops.iter().map(|op| op.with(number)).collect()
}
