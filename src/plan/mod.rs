//! The scheduler: what one attempt does, as data.
//!
//! A [`Plan`] lists operations over named vectors, already placed in as few
//! resident buffers as liveness allows. The device and the `f64` replay
//! execute the same plan; nothing here knows of a GPU.

mod check;
mod deciding;
mod display;
mod ending;
pub(crate) mod error;
mod explicit;
mod formulas;
mod linear;
mod liveness;
mod low_storage;
mod moves;
mod narrow;
mod op;
mod options;
mod passes;
mod registers;
mod search;
mod stabilised;
mod step;
mod sums;
#[cfg(test)]
mod tests;
mod touch;
mod vector;

pub use deciding::{Choice, Dots, DotsOf, Radius};
pub use ending::{Estimate, Finish, Makes};
pub use error::PlanError;
pub use linear::{Also, Linear, Scale};
pub use op::{Check, Op, Purpose};
pub use options::{Fusion, Guard, Options, WEBGPU_BINDINGS};
pub use registers::{
    Coefficients, PointWeights, RegisterWeights, Registers, SlopeWeights, SumWeights, Values,
};
pub use touch::{Diagonal, Touch, Use, What};
pub use vector::{Name, Operand, Slot};

use crate::format::Storage;
use crate::ingredients::{Ingredients, Momentum, Rule};
use crate::method::Method;
use crate::tableau::{LowStorageForm, Stages};
use check::check;
use options::MOST_BINDINGS;
use passes::{Assembly, Bound, Shape};

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
    ///     momentum: Momentum::ema(0.9),
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
            && matches!(low_storage.form(), LowStorageForm::Two { .. })
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

    /// Tells whether the source must check a gradient as it writes it.
    pub fn rides(&self) -> bool {
        let mut ops = self.ops.iter().chain(&self.renewing);
        ops.any(|op| matches!(op, Op::Evaluate { check: Some(_), .. }))
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
            for op in ops {
                *op = op.with(|_, operand| Operand { slot: slots[operand.slot], ..operand });
            }
        }
        Self { storages, ..self }
    }

    /// Halves of the preconditioner's state: two where it is written before
    /// the verdict.
    pub fn state_halves(&self) -> usize {
        let before = |ops: &[Op]| {
            let mut before = ops.iter().take_while(|op| !matches!(op, Op::Verdict));
            before.any(|op| op.diagonal() == Diagonal::Update)
        };
        if before(&self.ops) || before(&self.renewing) { 2 } else { 1 }
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
        self.ops.iter().any(|op| matches!(op, Op::Commit { reuses: true, .. }))
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
        self.ops.iter().any(|op| op.norm().is_some())
    }

    /// Loss and gradient norm at θ, changing nothing.
    pub fn measurement(&self) -> Vec<Op> {
        let Some(&Op::Evaluate { purpose, point, gradient, direction, adds, .. }) =
            self.ops.first()
        else {
            unreachable!("every plan begins with stage 1");
        };
        // Once, and for any source: by a guard.
        let first = Op::Evaluate { purpose, point, gradient, direction, adds, check: None };
        let readies = |op: &&Op| matches!(op, Op::Decay { .. } | Op::Pack { .. });
        let readied: Vec<Op> = self.ops[1..].iter().take_while(readies).cloned().collect();
        let packed = readied.iter().find_map(|op| match op {
            Op::Pack { to, .. } => Some(*to),
            _ => None,
        });
        let gradient = packed.unwrap_or(gradient);
        let guard = Op::Guard { gradient, stage: 1, norm: true, squares: false };
        let mut ops = vec![first];
        ops.extend(readied);
        ops.extend([guard, Op::Verdict]);
        ops
    }
}
