//! Operations of a plan before their vectors have a place.

use std::collections::BTreeSet;

use super::linear::{Linear, Scale};
use super::op::{Op, Purpose};
use super::registers::{Coefficients, Registers};
use super::touch::{Diagonal, Use};
use super::vector::Name;

/// An operation over names.
pub(super) type Step = Op<Name>;

impl Linear<Name> {
    /// Without D, and with room for checks.
    pub(super) fn new(
        target: Name,
        base: Option<Name>,
        points: Vec<(f64, Name)>,
        gradients: Vec<(f64, Name)>,
        scale: Scale,
    ) -> Self {
        let (checks, room, norm, diagonal, also) = (vec![], true, false, Diagonal::None, vec![]);
        Self { target, base, points, gradients, scale, checks, room, norm, diagonal, also }
    }

    /// As that of a [`Linear`] in its buffers.
    pub(super) fn after(&self) -> bool {
        self.target == Name::Theta
    }
}

impl Registers<Name> {
    /// Nothing but the gradient of a stage, to be checked.
    pub(super) fn of(stage: u32) -> Self {
        Self {
            target: None,
            point: None,
            based: false,
            register: None,
            old_register: None,
            reads_register: false,
            writes_register: false,
            sum: None,
            old_sum: None,
            reads_sum: false,
            writes_sum: false,
            gradient: Some(Name::Gradient(stage)),
            extra: None,
            added: false,
            sloped: false,
            checks: stage,
            norm: false,
            weights: Coefficients::default(),
            diagonal: Diagonal::None,
            after: false,
        }
    }

    /// r is read.
    pub(super) fn takes_register(&mut self, old: Option<Name>) {
        (self.old_register, self.reads_register) = (old, old.is_some());
    }

    /// r' is kept, in the buffer of an r that is read.
    pub(super) fn leaves_register(&mut self, new: Option<Name>) {
        (self.register, self.writes_register) = (new, new.is_some());
    }

    /// q is read.
    pub(super) fn takes_sum(&mut self, old: Option<Name>) {
        (self.old_sum, self.reads_sum) = (old, old.is_some());
    }

    /// q' is kept, in the buffer of a q that is read.
    pub(super) fn leaves_sum(&mut self, new: Option<Name>) {
        (self.sum, self.writes_sum) = (new, new.is_some());
    }
}

impl Step {
    pub(super) fn evaluate(purpose: Purpose, point: Name, gradient: Name) -> Self {
        let direction = (purpose == Purpose::Product).then_some(Name::Gradient(1));
        Op::Evaluate { purpose, point, gradient, direction, adds: false, check: None }
    }

    /// The gradients, or sums of them, that the last step reads.
    pub(super) fn gradients(&self) -> Vec<Name> {
        match self {
            Op::Combine(linear) => linear.gradients.iter().map(|&(_, k)| k).collect(),
            Op::Finish(finish) => finish.gradients.iter().map(|&(_, k)| k).collect(),
            Op::Registers(registers) => vec![Name::Gradient(registers.checks)],
            _ => vec![],
        }
    }

    /// The vectors of a use.
    pub(super) fn names(&self, of: impl Fn(Use) -> bool) -> Vec<Name> {
        let vectors = self.vectors().into_iter();
        vectors.filter(|&(by, _)| of(by)).map(|(_, name)| name).collect()
    }

    /// The vectors whose content must still be there.
    pub(super) fn needs(&self) -> Vec<Name> {
        self.names(|by| by.reads || by.seldom)
    }

    pub(super) fn writes(&self) -> Vec<Name> {
        self.names(|by| by.writes)
    }
}

/// Leaves the check of each gradient to the first operation with room for it. After the
/// verdict, what is not checked yet has had its guard.
pub(super) fn checked_once(steps: &mut [Step]) {
    let mut checked: BTreeSet<u32> = BTreeSet::new();
    for step in steps {
        let read = step.needs();
        match step {
            Op::Guard { stage, .. }
            | Op::Evaluate { purpose: Purpose::Stage(stage), check: Some(_), .. } => {
                checked.insert(*stage);
            }
            Op::Combine(linear) if linear.room && !linear.after() => {
                let stages = read.into_iter().filter_map(|name| match name {
                    Name::Gradient(stage) => Some(stage),
                    _ => None,
                });
                linear.checks = stages.filter(|&stage| checked.insert(stage)).collect();
                linear.norm = linear.checks.contains(&1);
            }
            Op::Registers(registers) => {
                if registers.after || !checked.insert(registers.checks) {
                    registers.checks = 0;
                }
                registers.norm = registers.checks == 1;
            }
            _ => {}
        }
    }
}
