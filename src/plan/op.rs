//! The operations of a plan.

use super::registers::Registers;
use super::touch::Diagonal;
use super::vector::Operand;

/// The purpose of a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Purpose {
    /// Stage i = 1 … s of the method. Stage 1's point is the parameters.
    Stage(u32),
    /// A probe beside θ, for step sizes that look at curvature.
    Probe,
    /// A step of the power iteration for the spectral radius.
    Power,
    /// A Hessian-vector product H(θ) g in place of a gradient.
    Product,
    /// The extra gradient of an automatic first step size.
    FirstStep,
}

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
pub struct Linear {
    pub target: Operand,
    /// Lives in the target's own slot if the kernel works in place.
    pub base: Option<Operand>,
    pub points: Vec<(f64, Operand)>,
    pub gradients: Vec<(f64, Operand)>,
    pub scale: Scale,
    /// Stages whose gradients nobody has checked before this operation.
    pub checks: Vec<u32>,
    /// Takes ‖k₁‖ on the way.
    pub norm: bool,
    pub diagonal: Diagonal,
    /// Partial sums of the same inputs, written by the same kernel.
    pub also: Vec<Also>,
}

/// target = base − h · D Σ a k, or Σ a k without a base: what a later operation
/// would have to read all of these gradients for.
#[derive(Clone, Debug, PartialEq)]
pub struct Also {
    pub target: Operand,
    pub base: Option<Operand>,
    /// a, in the order of the [`Linear`]'s gradients.
    pub weights: Vec<f64>,
}

/// target = θ − h (u + λθ), where u comes from ḡ = Σ b k by way of the momentum.
///
/// Made from gradients alone: ḡ recovered from a difference of points would
/// lose |θ|/(h|ḡ|) of its accuracy.
#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    /// θ itself after the verdict, or the candidate before it.
    pub target: Operand,
    pub gradients: Vec<(f64, Operand)>,
    pub diagonal: Diagonal,
}

/// e = drift (θ − θ') + h D Σ d k, and the sum of (e / (atol + rtol·max(|θ|, |θ'|)))².
///
/// Made from gradients alone wherever they are still there, so that rounding at |θ|
/// does not enter e.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub candidate: Operand,
    /// This much of θ − θ' is in e too.
    pub drift: f64,
    pub makes: Makes,
    /// There is a second error, with b − b_low in place of b.
    pub two: bool,
    /// d = b − b̂ and b of each gradient.
    pub terms: Vec<([f64; 2], Operand)>,
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

/// u = D (a − b) or D a, and its sums: ‖u‖², and where asked for another.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub a: Operand,
    pub b: Option<Operand>,
    pub diagonal: Diagonal,
    pub sums: FieldSums,
}

/// The sum that a [`Field`] makes besides ‖u‖².
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldSums {
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
pub struct Radius {
    pub vector: Operand,
    /// k₁ and z; none at the start.
    pub others: Option<[Operand; 2]>,
    pub diagonal: Diagonal,
}

/// One operation of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The gradient source writes ∇L at a point.
    Evaluate {
        purpose: Purpose,
        point: Operand,
        gradient: Operand,
        /// The source adds it to what is there.
        adds: bool,
    },
    /// A stage point or a partial sum.
    Combine(Linear),
    /// Looks for NaN and infinity in a gradient (in its squares, if those are
    /// what becomes state), and takes ‖k₁‖ where asked.
    Reduce { gradient: Operand, stage: u32, norm: bool, squares: bool },
    /// k ← k + λ y, L2 decay at a point y.
    Decay { gradient: Operand, point: Operand },
    /// A gradient that its source wrote in f32, to its own storage.
    Pack { from: Operand, to: Operand },
    /// The average of θ takes in what is now θ, if the verdict accepted.
    Average,
    /// Sums over gradients that decide about h.
    Field(Field),
    /// One iteration for the spectral radius ρ of D·H.
    Radius(Radius),
    /// h ← min(h, interval/ρ), for so many stages.
    Fit { interval: f64, stages: u32 },
    /// A stage of a method that passes registers on.
    Registers(Registers),
    /// Decides about h, from the sums before it.
    Choose(Choice),
    /// The verdict: reads what the checks left, decides, writes the record.
    Control,
    /// θ ← …, if the verdict accepted.
    Advance(Linear),
    /// θ and the momentum ← …, if the verdict accepted; or the candidate and
    /// the momentum's other half before it.
    Finish(Finish),
    /// The error estimate of the candidate.
    Estimate(Estimate),
    /// A copy, if the verdict accepted: θ ← the candidate.
    Commit { from: Operand, to: Operand },
    /// A copy, if the verdict accepted and the batch stays the same: k₁ ← k_s,
    /// the gradient at what is now θ.
    Reuse { from: Operand, to: Operand },
}

impl Linear {
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
}
