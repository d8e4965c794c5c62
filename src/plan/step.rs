//! Operations of a plan before their vectors have a place.

use super::{Choice, Diagonal, FieldSums, Makes, Name, Purpose, Scale, Weights};

/// An operation before its vectors have a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    Evaluate {
        purpose: Purpose,
        point: Name,
        gradient: Name,
        /// The source adds to what is there.
        adds: bool,
    },
    Linear {
        target: Name,
        base: Option<Name>,
        points: Vec<(f64, Name)>,
        gradients: Vec<(f64, Name)>,
        scale: Scale,
        diagonal: Diagonal,
        also: Vec<Emission>,
        /// Tells whether this kernel has room to check its gradients.
        checks: bool,
    },
    Registers(RegisterStep),
    Reduce {
        gradient: Name,
        stage: u32,
        squares: bool,
    },
    Finish {
        target: Name,
        gradients: Vec<(f64, Name)>,
        diagonal: Diagonal,
    },
    Estimate {
        makes: Makes,
        two: bool,
        drift: f64,
        terms: Vec<([f64; 2], Name)>,
        diagonal: Diagonal,
    },
    Field {
        a: Name,
        b: Option<Name>,
        diagonal: Diagonal,
        sums: FieldSums,
    },
    Radius {
        start: bool,
        diagonal: Diagonal,
    },
    Fit {
        interval: f64,
        stages: u32,
    },
    Choose(Choice),
    Decay {
        gradient: Name,
        point: Name,
    },
    /// to ← from, in the storage of `to`.
    Pack {
        from: Name,
        to: Name,
    },
    Control,
    Commit,
    Reuse {
        stage: u32,
    },
}

/// An [`Also`] before it has a place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Emission {
    pub(super) target: Name,
    pub(super) base: Option<Name>,
    pub(super) weights: Vec<f64>,
}

/// A [`Registers`] before its vectors have a place.
#[derive(Clone, Debug, PartialEq, Default)]
pub(super) struct RegisterStep {
    pub(super) target: Option<Name>,
    pub(super) point: Option<Name>,
    pub(super) based: bool,
    pub(super) register: Option<Name>,
    pub(super) register_into: Option<Name>,
    pub(super) sum: Option<Name>,
    pub(super) sum_into: Option<Name>,
    pub(super) gradient: Option<Name>,
    pub(super) extra: Option<Name>,
    /// The register holds the gradient of this stage already.
    pub(super) added: bool,
    pub(super) stage: u32,
    /// The register is in units of θ: the slope goes there.
    pub(super) sloped: bool,
    pub(super) weights: Weights,
    pub(super) diagonal: Diagonal,
    /// Recorded after the verdict.
    pub(super) after: bool,
}

impl RegisterStep {
    /// Gradients that this step looks at for the first time, or did before.
    pub(super) fn checked(&self) -> impl Iterator<Item = Name> {
        let added = self.added.then_some(Name::Gradient(self.stage));
        self.gradient.into_iter().chain(added)
    }
}

impl Step {
    /// The gradient vectors a linear step reads.
    pub(super) fn gradients(&self) -> impl Iterator<Item = Name> + '_ {
        let (terms, alone) = match self {
            Step::Linear { gradients, .. } | Step::Finish { gradients, .. } => {
                (gradients.as_slice(), None)
            }
            Step::Registers(step) => (&[][..], step.checked().next()),
            _ => (&[][..], None),
        };
        terms.iter().map(|&(_, name)| name).chain(alone)
    }

    /// Every vector that an explicit method's step names.
    pub(super) fn names(&mut self) -> Vec<&mut Name> {
        match self {
            Step::Evaluate { point, gradient, .. } => vec![point, gradient],
            Step::Linear { target, base, points, gradients, also, .. } => std::iter::once(target)
                .chain(base)
                .chain(points.iter_mut().chain(gradients).map(|(_, name)| name))
                .chain(
                    also.iter_mut()
                        .flat_map(|also| std::iter::once(&mut also.target).chain(&mut also.base)),
                )
                .collect(),
            Step::Finish { target, gradients, .. } => {
                let terms = gradients.iter_mut().map(|(_, name)| name);
                std::iter::once(target).chain(terms).collect()
            }
            Step::Estimate { terms, .. } => terms.iter_mut().map(|(_, name)| name).collect(),
            _ => vec![],
        }
    }

    pub(super) fn reads(&self) -> Vec<Name> {
        match self {
            Step::Evaluate { point, gradient, adds, .. } => {
                std::iter::once(*point).chain(adds.then_some(*gradient)).collect()
            }
            Step::Registers(step) => {
                let read = [step.point, step.register, step.sum, step.gradient, step.extra];
                read.into_iter().flatten().collect()
            }
            Step::Radius { start: true, .. } => vec![],
            Step::Radius { .. } => vec![Name::Gradient(1), Name::Beside],
            Step::Linear { base, points, also, .. } => base
                .iter()
                .copied()
                .chain(points.iter().map(|&(_, name)| name))
                .chain(also.iter().filter_map(|also| also.base))
                .chain(self.gradients())
                .collect(),
            Step::Reduce { gradient, .. } => vec![*gradient],
            Step::Finish { .. } => self.gradients().collect(),
            Step::Estimate { makes, terms, .. } => {
                let candidate = (*makes == Makes::Nothing).then_some(Name::Candidate);
                candidate.into_iter().chain(terms.iter().map(|&(_, k)| k)).collect()
            }
            Step::Commit => vec![Name::Candidate],
            Step::Reuse { stage } => vec![Name::Gradient(*stage), Name::Gradient(1)],
            Step::Field { a, b, .. } => std::iter::once(*a).chain(*b).collect(),
            Step::Decay { gradient, point } => vec![*gradient, *point],
            Step::Pack { from, .. } => vec![*from],
            Step::Choose(_) | Step::Control | Step::Fit { .. } => vec![],
        }
    }
}
