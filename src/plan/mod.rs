//! The scheduler: what one attempt does, as data.
//!
//! A [`Plan`] lists operations over named vectors, already placed in as few
//! resident buffers as liveness allows. The device and the `f64` replay
//! execute the same plan; nothing here knows of a GPU.

mod display;
pub(crate) mod error;
mod explicit;
mod liveness;
mod low_storage;
mod narrow;
mod passes;
mod registers;
mod search;
mod stabilised;
mod step;
mod sums;
#[cfg(test)]
mod tests;

pub use error::PlanError;

pub use registers::{
    PointWeights, RegisterWeights, Registers, SlopeWeights, SumWeights, Values, Weights,
};

use crate::format::Storage;
use crate::ingredients::{Curvature, Ingredients, Momentum, Preconditioner, Rule};
use crate::method::Method;
use crate::tableau::{Registers as Kept, Stages};
use passes::{Assembly, Bound, Shape};

/// The degree of fusion: how much of a step goes into one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Fusion {
    /// One kernel per axpy: the honest baseline.
    None,
    /// One kernel per stage point, one for the step and one for the estimate, each
    /// from θ and the gradients alone.
    Stage,
    /// Partial sums and averages of earlier points too, wherever those move fewer
    /// words.
    #[default]
    Full,
}

/// The guard decides whether the gradient read only by the last kernel is checked before θ is
/// written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Guard {
    /// One more pass over that gradient (+1 word): nothing that is not finite
    /// ever reaches θ.
    #[default]
    On,
    /// No check, for those who know that their last gradient is finite. Methods of two
    /// registers then work on θ itself, which holds an accepted value only between
    /// attempts, and refuse nothing.
    Off,
}

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
    /// w of the power iteration for ρ, which stays from attempt to attempt.
    Eigenvector,
    /// A gradient as its source writes it, before it is stored narrow.
    Landing,
}

/// A resident buffer, by number; 0 is θ.
pub type Slot = usize;

/// A named vector in the buffer where it lives at that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Operand {
    pub name: Name,
    pub slot: Slot,
    /// The buffer's, and so that of all vectors in it.
    pub storage: Storage,
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

/// The use that an operation makes of the preconditioner's state.
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
    fn words_by_axpy(&self, ingredients: &Ingredients) -> usize {
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
    fn state_words(&self, ingredients: &Ingredients) -> usize {
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
    fn guards(&self) -> bool {
        matches!(self, Op::Reduce { .. } | Op::Commit { .. })
    }
}

/// Storage buffers that WebGPU promises every kernel.
pub const WEBGPU_BINDINGS: u32 = 8;

/// Most that a kernel binds, however many there are.
const MOST_BINDINGS: u32 = 16;

/// The options that a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct Options {
    pub fusion: Fusion,
    pub guard: Guard,
    /// The source adds gradients to a register: methods of two registers then need
    /// one vector less.
    pub adds: bool,
    /// Storage buffers that a kernel may bind, [`WEBGPU_BINDINGS`] at least.
    pub bindings: u32,
    /// Partial sums hold increments alone, never θ, which costs a word or more and
    /// keeps rounding at |θ| out of the error estimate. Below rtol = 1e-5 that is
    /// done anyway.
    pub theta_free: bool,
    /// The source writes narrow gradients itself. Else it writes f32 into a vector
    /// more, and a kernel packs that.
    pub writes_narrow: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fusion: Fusion::default(),
            guard: Guard::default(),
            adds: false,
            bindings: WEBGPU_BINDINGS,
            theta_free: false,
            writes_narrow: false,
        }
    }
}

/// Refuses what cannot be planned.
fn check(method: &Method, ingredients: &Ingredients, options: Options) -> Result<(), PlanError> {
    let tableau = method.tableau();
    let unsupported = |reason| Err(PlanError::Unsupported { method: method.to_string(), reason });
    if ingredients.adaptive.is_some() && tableau.b_hat().is_none() {
        let pairs: Vec<_> = Method::all()
            .into_iter()
            .filter(|method| method.tableau().b_hat().is_some())
            .map(|method| method.to_string())
            .collect();
        let (method, pairs) = (method.to_string(), pairs.join(", "));
        return Err(PlanError::NoPair { method, pairs });
    }
    if options.bindings < WEBGPU_BINDINGS {
        return unsupported("kernels bind eight storage buffers, as WebGPU promises; allow those");
    }
    let from = ingredients.rule.and_then(|rule| rule.curvature());
    if from == Some(Curvature::Stages) && tableau.a(1, 0) == 0.0 {
        return unsupported(
            "its curvature is to come from the first two stages, which are not two points; take \
             it from a probe",
        );
    }
    if let Method::Stabilised(stabilised) = method {
        if from == Some(Curvature::Stages) {
            return unsupported(
                "its first two stages lie together the closer the more stages there are; take the \
                 curvature from a probe",
            );
        }
        let stable = matches!(ingredients.rule, Some(Rule::Stable { .. }));
        if stable && matches!(stabilised.stages(), Stages::Auto { .. }) {
            return unsupported(
                "the largest stable step depends on the number of stages; give it: \
                 NAME:stages=8",
            );
        }
    }
    let two = matches!(method, Method::LowStorage(m) if matches!(m.registers(), Kept::Two { .. }));
    if options.adds && (!two || options.fusion == Fusion::None) {
        return unsupported(
            "gradients can be added up by the source only in the two registers of williamson3 \
             and carpenter-kennedy, fused",
        );
    }
    if options.adds && from == Some(Curvature::Stages) {
        return unsupported(
            "where the source adds gradients up, those of the first two stages are not there to \
             take a curvature from; take it from a probe",
        );
    }
    let preconditioned = ingredients.preconditioner != Preconditioner::None || ingredients.grouped;
    if from == Some(Curvature::Product) && preconditioned {
        return unsupported(
            "curvature by products knows of no preconditioner and no parameter groups; take it \
             from a probe",
        );
    }
    Ok(())
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
    /// The storage of each slot.
    storages: Vec<Storage>,
    stages: u32,
    evaluations: u32,
    opening: Vec<Op>,
    renewing: Vec<Op>,
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

    /// Plans one attempt of a method; of about ten stages where their number varies, with
    /// room for the fewest.
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
        let Method::Stabilised(stabilised) = method else {
            return Self::with_stages(method, 0, ingredients, options);
        };
        let of = |stages| Self::with_stages(method, stages, ingredients, options);
        let mut plan = of(stabilised.shown_stages())?;
        if let (Stages::Auto { .. }, Some(fewest)) =
            (stabilised.stages(), stabilised.family().admissible(2))
        {
            // Two stages keep both gradients narrow, where more make one a register of f32;
            // room for them is made now, not when training is under way.
            plan.storages = of(fewest)?.laid_out_in(&plan.storages).storages;
        }
        Ok(plan)
    }

    /// Plans one attempt of a stabilised method with so many stages, which it must
    /// have; every other method has its own number.
    ///
    /// # Errors
    /// As [`Plan::with_ingredients`].
    pub fn with_stages(
        method: &Method,
        stages: u32,
        ingredients: &Ingredients,
        options: Options,
    ) -> Result<Self, PlanError> {
        check(method, ingredients, options)?;
        let judged = ingredients.adaptive.is_some();
        let whole = match method {
            Method::Stabilised(stabilised) => &stabilised.family().tableau(stages),
            _ => method.tableau(),
        };
        let tableau = if judged { whole } else { &whole.without_estimate() };
        let bound = match method {
            Method::Stabilised(stabilised) => {
                Some(Bound { interval: stabilised.family().interval(stages), stages })
            }
            _ => matches!(ingredients.rule, Some(Rule::Stable { .. })).then(|| {
                let (interval, stages) = (tableau.real_limit(), tableau.stages() as u32);
                Bound { interval, stages }
            }),
        };
        let bindings = options.bindings.min(MOST_BINDINGS) as usize;
        let mut shape = Shape::new(tableau, ingredients, bindings);
        if let Method::LowStorage(low_storage) = method
            && matches!(low_storage.registers(), Kept::Two { .. })
        {
            shape.adds = options.adds;
            shape.in_place = options.guard == Guard::Off && !shape.finish;
        }
        let assembly = Assembly { tableau, ingredients, options, shape, bound };
        let unfused_options = Options { fusion: Fusion::None, ..options };
        let unfused = Shape { adds: false, in_place: false, ..shape };
        let unfused = Assembly { options: unfused_options, shape: unfused, ..assembly };
        let direct = options.fusion == Fusion::None;
        // With one kernel per axpy there are no registers: that is the tableau.
        let steps = match method {
            Method::LowStorage(low_storage) if !direct && low_storage::fits(low_storage, shape) => {
                low_storage::steps(low_storage, shape)
            }
            Method::Stabilised(stabilised) if !direct => {
                stabilised::steps(stabilised.family(), stages, shape)
            }
            _ if direct => explicit::steps(&unfused),
            _ => explicit::steps(&Assembly { shape: unfused.shape, ..assembly }),
        };
        let name = method.to_string();
        let assembly = if direct { &unfused } else { &assembly };
        let mut plan = assembly.plan(&name, steps);
        plan.unfused_words = match method {
            Method::Explicit(_) => unfused.plan(&name, explicit::steps(&unfused)).words_bare(),
            _ => plan.ops.iter().map(|op| op.words_by_axpy(ingredients)).sum(),
        };
        if let Method::Stabilised(stabilised) = method
            && judged
        {
            plan.error_order = stabilised.family().error_order();
        }
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

    /// The operations that come once before the first attempt where its h is not known.
    pub fn opening(&self) -> &[Op] {
        &self.opening
    }

    /// An attempt that renews ρ, where it is estimated; else empty.
    pub fn renewing(&self) -> &[Op] {
        &self.renewing
    }

    /// Tells whether the source must add gradients to what is there.
    pub fn adds(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Evaluate { adds: true, .. }))
    }

    /// Tells whether the source must give Hessian-vector products.
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
        self.storages.len()
    }

    /// Tells whether anything is stored narrow.
    pub fn is_narrow(&self) -> bool {
        let Ingredients { stored, .. } = self.ingredients;
        let momentum = self.mean_halves() > 0 && stored.momentum.is_narrow();
        let second = self.ingredients.second_storage().is_narrow();
        self.storages.iter().any(|storage| storage.is_narrow()) || momentum || second
    }

    /// Gives the format of vectors in a buffer.
    pub fn storage(&self, slot: Slot) -> Storage {
        self.storages[slot]
    }

    /// The storage that the source must write gradients in besides f32, if it must.
    pub fn narrow_gradients(&self) -> Option<Storage> {
        let ops = self.ops.iter().chain(&self.opening).chain(&self.renewing);
        let mut evaluated = ops.filter_map(|op| match op {
            Op::Evaluate { gradient, .. } => Some(gradient.storage),
            _ => None,
        });
        evaluated.find(|storage| storage.is_narrow())
    }

    /// Puts the plan's vectors into slots that are there: the first of f32 in the
    /// first of f32, θ in slot 0. Those that are lacking come after all others.
    pub(crate) fn laid_out_in(mut self, there: &[Storage]) -> Self {
        let mut storages = there.to_vec();
        let mut free: Vec<Slot> = (0..there.len()).collect();
        let slots: Vec<Slot> = self
            .storages
            .iter()
            .map(|&storage| match free.iter().position(|&slot| there[slot] == storage) {
                Some(at) => free.remove(at),
                None => {
                    storages.push(storage);
                    storages.len() - 1
                }
            })
            .collect();
        for ops in [&mut self.ops, &mut self.opening, &mut self.renewing] {
            for operand in ops.iter_mut().flat_map(Op::operands_mut) {
                operand.slot = slots[operand.slot];
            }
        }
        Self { storages, ..self }
    }

    /// Halves of the preconditioner's state: two where it is written before
    /// the verdict.
    pub fn state_halves(&self) -> usize {
        let before = self.ops.iter().chain(&self.renewing).any(|op| match op {
            Op::Combine(Linear { diagonal, .. })
            | Op::Field(Field { diagonal, .. })
            | Op::Radius(Radius { diagonal, .. })
            | Op::Registers(Registers { diagonal, .. }) => *diagonal == Diagonal::Update,
            _ => false,
        });
        if before { 2 } else { 1 }
    }

    /// Stages of the method that an attempt makes.
    pub fn stages(&self) -> u32 {
        self.stages
    }

    /// Stages that stability bounds h for, if it does; else those of the method.
    pub fn bound_stages(&self) -> u32 {
        let fit = self.ops.iter().find_map(|op| match op {
            Op::Fit { stages, .. } => Some(*stages),
            _ => None,
        });
        fit.unwrap_or(self.stages)
    }

    /// Halves of the momentum: two where it is written before the verdict.
    pub fn mean_halves(&self) -> usize {
        match (self.ingredients.momentum, self.ingredients.adaptive) {
            (Momentum::None, _) => 0,
            (_, None) => 1,
            (_, Some(_)) => 2,
        }
    }

    /// Tells whether two estimates together are the error.
    pub fn two_errors(&self) -> bool {
        self.ops.iter().any(|op| matches!(op, Op::Estimate(Estimate { two: true, .. })))
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
        self.slots() + self.mean_halves() + self.state_width() + average
    }

    /// Gradient evaluations of one attempt: its stages, and a probe.
    pub fn evaluations(&self) -> u32 {
        self.evaluations
    }

    /// Gradients of one attempt that are for its stages, and so may each have a batch of
    /// its own: [`PerStage`](crate::batching::PerStage). A method whose last stage serves
    /// its error estimate alone makes one less where there is none.
    ///
    /// ```
    /// use kutta::{Method, plan::{Options, Plan}};
    /// let method: Method = "bs3".parse()?;
    /// let plan = Plan::new(&method, Options::default())?;
    /// assert_eq!((method.stages(), plan.stage_gradients()), (4, 3));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn stage_gradients(&self) -> u32 {
        let stage = |op: &&Op| matches!(op, Op::Evaluate { purpose: Purpose::Stage(_), .. });
        self.ops.iter().filter(stage).count() as u32
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

    /// Bytes per parameter that the method itself moves: four a word, and two where
    /// vectors are stored narrow.
    ///
    /// ```
    /// use kutta::{Ingredients, Method, Plan, Storage, Stored, plan::Options};
    /// let stored = Stored { gradients: Storage::F16, ..Stored::default() };
    /// let ingredients = Ingredients { stored, ..Ingredients::default() };
    /// let options = Options { writes_narrow: true, ..Options::default() };
    /// let plan = Plan::with_ingredients(&Method::rk4(), &ingredients, options)?;
    /// assert_eq!((plan.bytes_bare(), plan.bytes_guarded()), (46, 48));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn bytes_bare(&self) -> usize {
        let own = |op: &&Op| !op.guards();
        self.ops.iter().filter(own).map(|op| op.bytes(&self.ingredients)).sum()
    }

    /// Bytes per parameter, with the guard's pass or the commit.
    pub fn bytes_guarded(&self) -> usize {
        self.ops.iter().map(|op| op.bytes(&self.ingredients)).sum()
    }

    /// Bytes per parameter of all [`Plan::resident_vectors`].
    pub fn resident_bytes(&self) -> usize {
        let slots: usize = self.storages.iter().map(|storage| storage.bytes()).sum();
        let momentum = self.mean_halves() * self.ingredients.stored.momentum.bytes();
        let second = self.state_width() * self.ingredients.second_storage().bytes();
        let average = usize::from(self.ingredients.average.is_some()) * Storage::F32.bytes();
        slots + momentum + second + average
    }

    /// The words that the same method moves with one kernel per axpy. Ingredients stay
    /// where they are in the fused plan.
    pub fn words_unfused(&self) -> usize {
        self.unfused_words
    }

    /// Tells whether some operation takes ‖k₁‖.
    pub fn sums_gradient_norm(&self) -> bool {
        self.ops.iter().any(|op| match op {
            Op::Combine(linear) | Op::Advance(linear) => linear.norm,
            Op::Reduce { norm, .. } => *norm,
            Op::Registers(registers) => registers.norm,
            _ => false,
        })
    }

    /// Loss and gradient norm at θ, changing nothing.
    pub fn measurement(&self) -> Vec<Op> {
        let Some(first @ Op::Evaluate { gradient, .. }) = self.ops.first() else {
            unreachable!("every plan begins with stage 1");
        };
        let readies = |op: &&Op| matches!(op, Op::Decay { .. } | Op::Pack { .. });
        let readied: Vec<Op> = self.ops[1..].iter().take_while(readies).cloned().collect();
        let packed = readied.iter().find_map(|op| match op {
            Op::Pack { to, .. } => Some(*to),
            _ => None,
        });
        let gradient = packed.unwrap_or(*gradient);
        let reduce = Op::Reduce { gradient, stage: 1, norm: true, squares: false };
        let mut ops = vec![first.clone()];
        ops.extend(readied);
        ops.extend([reduce, Op::Control]);
        ops
    }
}
