//! The scheduler: what one attempt does, as data.
//!
//! A [`Plan`] lists operations over named vectors, already placed in as few
//! resident buffers as liveness allows. The device and the `f64` replay
//! execute the same plan; nothing here knows of a GPU.

mod display;
mod explicit;
mod liveness;
mod search;
#[cfg(test)]
mod tests;

use crate::error::PlanError;
use crate::ingredients::{Curvature, Ingredients, Momentum, Preconditioner};
use crate::method::Method;
use crate::tableau::Tableau;

/// How much of a step goes into one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Fusion {
    /// One kernel per axpy: the honest baseline.
    None,
    /// One kernel per stage point and one for the step, in the form that
    /// moves fewest words.
    #[default]
    Full,
}

/// Whether the gradient read only by the last kernel is checked before θ is
/// written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Guard {
    /// One more pass over that gradient (+1 word): nothing that is not finite
    /// ever reaches θ.
    #[default]
    On,
    /// For those who know that their last gradient is finite.
    Off,
}

/// What a gradient is wanted for.
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

/// A vector by its role in the mathematics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// θ, the parameters.
    Theta,
    /// kᵢ = ∇L at stage i's point.
    Gradient(u32),
    /// The point of stage i ≥ 2.
    Point(u32),
    /// A partial sum, numbered by its first use.
    Sum(u32),
    /// θ_{n+1} before the verdict, where an error estimate judges it.
    Candidate,
    /// A point beside θ along v = D k₁, and its gradient.
    Beside,
    GradientBeside,
}

/// A resident buffer, by number; 0 is θ.
pub type Slot = usize;

/// A named vector in the buffer where it lives at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    pub name: Name,
    pub slot: Slot,
}

/// What the gradient part of a [`Linear`] is multiplied with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scale {
    One,
    /// The control block's h.
    StepSize,
    /// The control block's distance of a probe.
    Probe,
}

/// What an operation does with the preconditioner's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Diagonal {
    /// Nothing: D = 1.
    #[default]
    None,
    /// Takes k₁ into it, then makes D from it. Before the verdict it writes the
    /// state's other half, which counts once the attempt is accepted.
    Update,
    /// Makes D from it.
    Read,
}

/// target = base + Σ w (point − base) − scale · D Σ a k.
///
/// Points are weighted as differences from the base, so that their weights
/// need not add up to one in rounded arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    pub target: Operand,
    /// Lives in the target's own slot if the kernel works in place.
    pub base: Operand,
    pub points: Vec<(f64, Operand)>,
    pub gradients: Vec<(f64, Operand)>,
    pub scale: Scale,
    /// Stages whose gradients nobody has checked before this operation.
    pub checks: Vec<u32>,
    /// Sums ‖k₁‖² on the way.
    pub norm: bool,
    pub diagonal: Diagonal,
    /// A partial sum of the same inputs, written by the same kernel.
    pub also: Option<Also>,
}

/// target = base − h Σ a k, or Σ a k alone: what a later operation would have
/// to read all of these gradients for.
#[derive(Clone, Debug, PartialEq)]
pub struct Also {
    pub target: Operand,
    /// Scaled by h and added to the [`Linear`]'s base.
    pub based: bool,
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

/// e = h D Σ d k, and the sum of (e / (atol + rtol·max(|θ|, |θ'|)))².
///
/// Made from gradients alone, so that rounding at |θ| does not enter e.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub candidate: Operand,
    /// The candidate is made here too: θ' = θ − h D Σ b k.
    pub makes: bool,
    /// d = b − b̂ and b of each gradient.
    pub terms: Vec<([f64; 2], Operand)>,
    pub diagonal: Diagonal,
}

/// u = D (a − b) or D a, and its sums: ‖u‖², and where asked for another.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    pub a: Operand,
    pub b: Option<Operand>,
    pub diagonal: Diagonal,
    pub sums: FieldSums,
}

/// What a [`Field`] sums besides ‖u‖².
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

/// What the control block decides before the stages of an attempt.
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
    /// And the first h.
    FirstStep,
    /// And the first curvature, by a probe.
    FirstCurvature,
}

/// One operation of a plan.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The gradient source writes ∇L at a point.
    Evaluate { purpose: Purpose, point: Operand, gradient: Operand },
    /// A stage point or a partial sum.
    Combine(Linear),
    /// Looks for NaN and infinity in a gradient (in its squares, if those are
    /// what becomes state), and sums ‖k₁‖² where asked.
    Reduce { gradient: Operand, stage: u32, norm: bool, squares: bool },
    /// k ← k + λ y, L2 decay at a point y.
    Decay { gradient: Operand, point: Operand },
    /// The average of θ takes in what is now θ, if the verdict accepted.
    Average,
    /// Sums over gradients that decide about h.
    Field(Field),
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
        1 + self.points.len() + self.gradients.len()
    }

    /// The base is overwritten by the target.
    pub fn in_place(&self) -> bool {
        self.base.slot == self.target.slot
    }

    /// The first stage whose gradient is checked here; 0 if none is.
    pub fn first_checked(&self) -> u32 {
        self.checks.iter().copied().min().unwrap_or(0)
    }

    /// Everything read: base, points, gradients.
    pub fn inputs(&self) -> impl Iterator<Item = Operand> + '_ {
        let rest = self.points.iter().chain(&self.gradients).map(|&(_, operand)| operand);
        std::iter::once(self.base).chain(rest)
    }
}

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
                let written = 1 + usize::from(linear.also.is_some());
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
            Op::Estimate(estimate) => estimate.terms.len() + 2 + state(estimate.diagonal),
            Op::Commit { .. } => 2,
            Op::Decay { .. } | Op::Average => 3,
            Op::Reduce { .. } => 1,
            // What it costs, the gradient that it spares more than pays for.
            Op::Evaluate { .. } | Op::Choose(_) | Op::Control | Op::Reuse { .. } => 0,
        }
    }

    /// Not the method's own: what keeps an attempt refusable.
    fn guards(&self) -> bool {
        matches!(self, Op::Reduce { .. } | Op::Commit { .. })
    }
}

/// Most vectors one combine kernel reads besides what it writes: WebGPU's
/// default of 8 storage buffers, less the output and the partial sums.
pub const MAX_INPUTS: usize = 6;

/// Most vectors that a kernel which knows the preconditioner or the momentum
/// reads besides its state.
pub const MAX_INPUTS_WITH_STATE: usize = 5;

/// Most gradients that the error estimate reads besides the candidate, θ and
/// its state.
pub const MAX_ESTIMATE_TERMS: usize = 4;

/// What to plan for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Options {
    pub fusion: Fusion,
    pub guard: Guard,
}

/// The operations of one attempt, with the buffers they need.
///
/// ```
/// use kutta::{Method, plan::{Options, Plan}};
/// let plan = Plan::new(&Method::rk4(), Options::default())?;
/// assert_eq!((plan.words_bare(), plan.words_guarded()), (14, 15));
/// assert_eq!(plan.resident_vectors(), 5);
/// println!("{plan}");
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    method: String,
    ingredients: Ingredients,
    options: Options,
    ops: Vec<Op>,
    slots: usize,
    stages: u32,
    evaluations: u32,
    opening: Vec<Op>,
    error_order: usize,
    unfused_words: usize,
}

impl Plan {
    /// Plans one attempt of a method without ingredients.
    ///
    /// # Errors
    /// A method that this version cannot plan.
    pub fn new(method: &Method, options: Options) -> Result<Self, PlanError> {
        Self::with_ingredients(method, &Ingredients::default(), options)
    }

    /// Plans one attempt of a method.
    ///
    /// ```
    /// use kutta::{Ingredients, Method, Momentum, Plan, Preconditioner, plan::Options};
    /// let adam = Ingredients {
    ///     preconditioner: Preconditioner::adam(0.999, 1e-8),
    ///     momentum: Momentum::average(0.9),
    ///     ..Ingredients::default()
    /// };
    /// let plan = Plan::with_ingredients(&Method::euler(), &adam, Options::default())?;
    /// assert_eq!((plan.words_bare(), plan.words_guarded()), (7, 8));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// A method that this version cannot plan.
    pub fn with_ingredients(
        method: &Method,
        ingredients: &Ingredients,
        options: Options,
    ) -> Result<Self, PlanError> {
        let Method::Explicit(tableau) = method;
        let pairless = ingredients.adaptive.is_some() && tableau.b_hat().is_none();
        if pairless {
            let pairs: Vec<_> = Tableau::all()
                .into_iter()
                .filter(|tableau| tableau.b_hat().is_some())
                .map(|tableau| tableau.name().to_owned())
                .collect();
            let (method, pairs) = (tableau.name().to_owned(), pairs.join(", "));
            return Err(PlanError::NoPair { method, pairs });
        }
        let from = ingredients.rule.and_then(|rule| rule.curvature());
        if from == Some(Curvature::Stages) && tableau.a(1, 0) == 0.0 {
            let reason = "its curvature is to come from the first two stages, which are not two \
                          points; take it from a probe";
            return Err(PlanError::Unsupported { method: tableau.name().to_owned(), reason });
        }
        let preconditioned =
            ingredients.preconditioner != Preconditioner::None || ingredients.grouped;
        if from == Some(Curvature::Product) && preconditioned {
            let reason = "curvature by products knows of no preconditioner and no parameter \
                          groups; take it from a probe";
            return Err(PlanError::Unsupported { method: tableau.name().to_owned(), reason });
        }
        let unfused = Options { fusion: Fusion::None, ..options };
        let mut plan = explicit::plan(tableau, ingredients, options);
        plan.unfused_words = explicit::plan(tableau, ingredients, unfused).words_bare();
        Ok(plan)
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    pub fn options(&self) -> Options {
        self.options
    }

    pub fn ingredients(&self) -> &Ingredients {
        &self.ingredients
    }

    /// What comes once before the first attempt where its h is not known.
    pub fn opening(&self) -> &[Op] {
        &self.opening
    }

    /// Whether the source must give Hessian-vector products.
    pub fn multiplies(&self) -> bool {
        let product = |op: &Op| matches!(op, Op::Evaluate { purpose: Purpose::Product, .. });
        self.ops.iter().any(product)
    }

    /// The operations, in order.
    pub fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Buffers of the parameters' length that operands name, θ included.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Halves of the preconditioner's state: two where it is written before
    /// the verdict.
    pub fn state_halves(&self) -> usize {
        let before = self.ops.iter().any(|op| match op {
            Op::Combine(Linear { diagonal, .. }) | Op::Field(Field { diagonal, .. }) => {
                *diagonal == Diagonal::Update
            }
            _ => false,
        });
        if before { 2 } else { 1 }
    }

    /// Stages of the method that an attempt makes.
    pub fn stages(&self) -> u32 {
        self.stages
    }

    /// Halves of the momentum: two where it is written before the verdict.
    pub fn mean_halves(&self) -> usize {
        match (self.ingredients.momentum, self.ingredients.adaptive) {
            (Momentum::None, _) => 0,
            (_, None) => 1,
            (_, Some(_)) => 2,
        }
    }

    /// One more than the order of the error estimate; 0 without one.
    pub fn error_order(&self) -> usize {
        self.error_order
    }

    /// The last stage's point is the candidate: where the batch stays the same,
    /// its gradient serves the next attempt.
    pub fn reuses(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Reuse { .. }))
    }

    /// Elements of the preconditioner's state per parameter, both halves counted.
    pub fn state_width(&self) -> usize {
        self.ingredients.preconditioner.vectors() * self.state_halves()
    }

    /// Vectors of the parameters' length that live at once: θ, the slots and
    /// the state of the ingredients.
    pub fn resident_vectors(&self) -> usize {
        let average = usize::from(self.ingredients.average.is_some());
        self.slots + self.mean_halves() + self.state_width() + average
    }

    /// Gradient evaluations of one attempt: its stages, and a probe.
    pub fn evaluations(&self) -> u32 {
        self.evaluations
    }

    /// Words per parameter that the method itself moves.
    pub fn words_bare(&self) -> usize {
        let own = |op: &&Op| !op.guards();
        self.ops.iter().filter(own).map(|op| op.words(&self.ingredients)).sum()
    }

    /// Words per parameter, with the guard's pass or the commit.
    pub fn words_guarded(&self) -> usize {
        self.ops.iter().map(|op| op.words(&self.ingredients)).sum()
    }

    /// What the same method moves with one kernel per axpy. Ingredients stay
    /// where they are in the fused plan.
    pub fn words_unfused(&self) -> usize {
        self.unfused_words
    }

    /// Whether some operation sums ‖k₁‖².
    pub fn sums_gradient_norm(&self) -> bool {
        self.ops.iter().any(|op| match op {
            Op::Combine(linear) | Op::Advance(linear) => linear.norm,
            Op::Reduce { norm, .. } => *norm,
            _ => false,
        })
    }

    /// Loss and gradient norm at θ, changing nothing.
    pub fn measurement(&self) -> Vec<Op> {
        let Some(first @ Op::Evaluate { gradient, .. }) = self.ops.first() else {
            unreachable!("every plan begins with stage 1");
        };
        let reduce = Op::Reduce { gradient: *gradient, stage: 1, norm: true, squares: false };
        let decay = self.ops.get(1).filter(|op| matches!(op, Op::Decay { .. }));
        let mut ops = vec![first.clone()];
        ops.extend(decay.cloned());
        ops.extend([reduce, Op::Control]);
        ops
    }
}
