//! A linear combination of points and gradients: a stage point, a partial sum, the step.

use super::touch::{Diagonal, Use};
use super::vector::{Name, Operand};

/// The factor of the gradient part of a [`Linear`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    One,
    /// The control block's h.
    StepSize,
    /// The control block's distance of a probe.
    Probe,
    /// The same, along a direction that D is already in.
    Direction,
}

/// target = base + Σ w (point − base) − scale · D Σ a k, or Σ a k without a base.
///
/// Points are weighted as differences from the base, so that their weights
/// need not add up to one in rounded arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear<V = Operand> {
    pub target: V,
    /// Lives in the target's own slot if the kernel works in place.
    pub base: Option<V>,
    pub points: Vec<(f64, V)>,
    pub gradients: Vec<(f64, V)>,
    pub scale: Scale,
    /// Stages whose gradients nobody has checked before this operation.
    pub checks: Vec<u32>,
    /// The kernel has a binding left for what a check finds.
    pub room: bool,
    /// Takes ‖k₁‖ on the way.
    pub norm: bool,
    pub diagonal: Diagonal,
    /// Partial sums of the same inputs, written by the same kernel.
    pub also: Vec<Also<V>>,
}

/// target = base − h · D Σ a k, or Σ a k without a base: what a later operation
/// would have to read all of these gradients for.
#[derive(Clone, Debug, PartialEq)]
pub struct Also<V = Operand> {
    pub target: V,
    pub base: Option<V>,
    /// a, in the order of the [`Linear`]'s gradients.
    pub weights: Vec<f64>,
}

impl<V: Copy> Linear<V> {
    /// The same over other vectors.
    pub(super) fn with<W>(&self, f: &mut impl FnMut(Use, V) -> W) -> Linear<W> {
        let base = self.base.map(|base| f(Use::READ, base));
        let bases: Vec<Option<W>> =
            self.also.iter().map(|also| also.base.map(|base| f(Use::READ, base))).collect();
        let mut terms = |terms: &[(f64, V)]| -> Vec<(f64, W)> {
            terms.iter().map(|&(w, term)| (w, f(Use::READ, term))).collect()
        };
        let (points, gradients) = (terms(&self.points), terms(&self.gradients));
        let target = f(Use::WRITE.wide(), self.target);
        let also = self.also.iter().zip(bases).map(|(also, base)| Also {
            target: f(Use::WRITE.wide(), also.target),
            base,
            weights: also.weights.clone(),
        });
        let also = also.collect();
        let (scale, checks, room) = (self.scale, self.checks.clone(), self.room);
        let (norm, diagonal) = (self.norm, self.diagonal);
        Linear { target, base, points, gradients, scale, checks, room, norm, diagonal, also }
    }

    /// Partial sums are left for the verdict.
    pub(crate) fn leaves_partials(&self) -> bool {
        !self.checks.is_empty() || self.norm || self.diagonal == Diagonal::Update
    }
}

impl Linear {
    /// Comes after the verdict, and moves nothing if that refused: what makes θ does.
    pub fn after(&self) -> bool {
        self.target.name == Name::Theta
    }

    /// Distinct vectors read.
    pub fn reads(&self) -> usize {
        self.bases().len() + self.points.len() + self.gradients.len()
    }

    /// The base is overwritten by the target.
    pub fn in_place(&self) -> bool {
        self.base.is_some_and(|base| base.slot == self.target.slot)
    }

    /// The distinct bases of all that is written, the target's first.
    pub fn bases(&self) -> Vec<Operand> {
        let mut bases: Vec<Operand> = Vec::new();
        for base in self.base.into_iter().chain(self.also.iter().filter_map(|also| also.base)) {
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        bases
    }

    /// The first stage whose gradient is checked here; 0 if none is.
    pub fn first_checked(&self) -> u32 {
        self.checks.iter().copied().min().unwrap_or(0)
    }

    /// Everything read: bases, points, gradients.
    pub fn inputs(&self) -> impl Iterator<Item = Operand> + '_ {
        let rest = self.points.iter().chain(&self.gradients).map(|&(_, operand)| operand);
        self.bases().into_iter().chain(rest)
    }

    /// The gradient of a stage, if it is read.
    pub fn gradient(&self, stage: u32) -> Option<Operand> {
        self.inputs().find(|input| input.name == Name::Gradient(stage))
    }
}
