//! The options of an optimizer, and how one is made of them.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ledger::{Ledger, Terms};
use super::{Optimizer, OptimizerError, Pace, Requirements, Variant};
use crate::device::timer::Timer;
use crate::device::traversal::Traversal;
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::format::Storage;
use crate::frame_budget::FrameBudget;
use crate::ingredients::{
    Adaptive, Group, Ingredients, Momentum, Preconditioner, SpectralRadius, StepSize, Stored,
};
use crate::kernels::padding::Gaps;
use crate::kernels::settings::Settings;
use crate::layout::ParamLayout;
use crate::method::Method;
use crate::plan::{Fusion, Guard, Options, Plan, WEBGPU_BINDINGS};
use crate::recorder::{Ending, Recorder, ending_buffers};
use crate::reports::Reports;
use crate::source::GradientSource;
use crate::state::{RING, State};
use crate::tableau::Stages;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Attempts in a submit unless the builder says otherwise: enough to hide the
/// cost of a submit, few enough that long encoders stall no driver.
const ATTEMPTS_PER_SUBMIT: u32 = 32;

/// Options of an [`Optimizer`]; see [`Optimizer::builder`].
#[derive(Clone, Debug)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub struct Builder {
    method: Method,
    step_size: Option<StepSize>,
    ingredients: Ingredients,
    groups: Vec<Group>,
    options: Options,
    bindings: Option<u32>,
    per_submit: u32,
    pace: Pace,
    most_per_binding: Option<usize>,
    memory: Option<u64>,
    /// Changes no result: whoever resumes may choose anew.
    #[cfg_attr(feature = "checkpoint", serde(skip))]
    ending: Ending,
    /// A checkpoint has what was made of them: `options`.
    #[cfg_attr(feature = "checkpoint", serde(skip))]
    abilities: Option<Abilities>,
}

/// What a source is able to do, as far as plans depend on it.
#[derive(Clone, Copy, Debug)]
struct Abilities {
    adds: bool,
    checks: u32,
    /// By storage.
    writes: [(Storage, bool); 2],
}

impl Abilities {
    fn of(source: &(impl GradientSource + ?Sized)) -> Self {
        let writes = [Storage::F16, Storage::Bf16].map(|storage| (storage, source.writes(storage)));
        Self { adds: source.adds(), checks: source.checks(), writes }
    }

    fn writes(&self, storage: Storage) -> bool {
        self.writes.contains(&(storage, true))
    }
}

/// The result of options and a layout, with nothing allocated.
struct Planned {
    builder: Builder,
    step_size: StepSize,
    automatic: bool,
    plan: Plan,
    walk: Traversal,
    most: usize,
}

impl Builder {
    /// Keeps what was chosen after [`Builder::build`].
    pub(super) fn set_step_size(&mut self, step_size: &StepSize) {
        self.step_size = Some(step_size.clone());
    }

    /// How attempts end.
    pub(super) fn ended(&self) -> Ending {
        self.ending
    }

    /// The ingredients as they were asked for.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn asked(&self) -> &Ingredients {
        &self.ingredients
    }

    #[cfg(feature = "checkpoint")]
    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

    /// Tells whether ρ is estimated, by a power iteration whose vector stays.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn estimates_radius(&self) -> bool {
        let rule = self.step_size.as_ref().and_then(StepSize::rule);
        let bounded = matches!(self.method, Method::Stabilised(_))
            || matches!(rule, Some(crate::ingredients::Rule::Stable { .. }));
        bounded && self.ingredients.radius == SpectralRadius::Estimated
    }

    /// Tells whether steps are made in the same way.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn steps_as(&self, other: &Self) -> bool {
        let of =
            |b: &Self| (b.method.clone(), b.step_size.clone(), b.ingredients, b.groups.clone());
        of(self) == of(other)
    }

    /// Tells whether every option is one that can be asked for.
    #[cfg(feature = "checkpoint")]
    pub(crate) fn is_sound(&self) -> bool {
        self.step_size.as_ref().is_none_or(StepSize::is_sound)
    }

    pub(super) fn new(method: Method) -> Self {
        Self {
            method,
            step_size: None,
            ingredients: Ingredients::default(),
            groups: Vec::new(),
            options: Options::default(),
            bindings: None,
            per_submit: ATTEMPTS_PER_SUBMIT,
            pace: Pace::Ahead,
            most_per_binding: None,
            memory: None,
            ending: Ending::default(),
            abilities: None,
        }
    }

    /// Sets how h is chosen. There is no default: it depends on the problem.
    pub fn step_size(mut self, step_size: StepSize) -> Self {
        self.step_size = Some(step_size);
        self
    }

    /// All ingredients at once, in place of those given before.
    pub fn ingredients(mut self, ingredients: Ingredients) -> Self {
        self.ingredients = ingredients;
        self
    }

    /// Multiplies gradients by a preconditioner's diagonal inside the stages. Default: none.
    pub fn preconditioner(mut self, preconditioner: Preconditioner) -> Self {
        self.ingredients.preconditioner = preconditioner;
        self
    }

    /// Averages the step over earlier ones. Default: no momentum.
    pub fn momentum(mut self, momentum: Momentum) -> Self {
        self.ingredients.momentum = momentum;
        self
    }

    /// λ of decoupled weight decay: a step also takes h λ θ_n from θ (AdamW's).
    /// Default: 0.
    pub fn weight_decay(mut self, lambda: f64) -> Self {
        self.ingredients.weight_decay = lambda;
        self
    }

    /// Judges attempts by the error estimate of the method's embedded pair, and
    /// chooses h by it. A constant [`Builder::step_size`] is then the first h;
    /// without one the device estimates it.
    pub fn adaptive(mut self, adaptive: Adaptive) -> Self {
        self.ingredients.adaptive = Some(adaptive);
        self
    }

    /// λ of L2 decay: λθ_i is added to the gradient at every stage point θ_i.
    /// Default: 0.
    pub fn l2(mut self, lambda: f64) -> Self {
        self.ingredients.l2 = lambda;
        self
    }

    /// Keeps x̄ ← βx̄ + (1−β)θ over accepted steps, beginning at the start:
    /// [`Optimizer::average`]. Default: none.
    pub fn average(mut self, beta: f64) -> Self {
        self.ingredients.average = Some(beta);
        self
    }

    /// Multipliers for the layout's parameter groups, counted from 0. Default:
    /// none, all groups are alike.
    pub fn groups(mut self, groups: &[Group]) -> Self {
        self.groups = groups.to_vec();
        self
    }

    /// Gives the rate and decay multipliers of each block of the layout.
    fn multipliers(&self, layout: &ParamLayout) -> Result<Vec<[f32; 2]>, Error> {
        if self.groups.is_empty() {
            return Ok(Vec::new());
        }
        for (i, group) in self.groups.iter().enumerate() {
            group.check(i)?;
        }
        let mut moving = false;
        for tensor in layout.tensors() {
            let Some(group) = self.groups.get(tensor.group() as usize) else {
                let (tensor, group) = (tensor.name().to_owned(), tensor.group());
                let found = self.groups.len();
                return Err(OptimizerError::NoGroup { tensor, group, found }.into());
            };
            moving |= group.rate > 0.0;
        }
        if !moving {
            return Err(OptimizerError::AllFrozen.into());
        }
        let of = |g: u32| self.groups.get(g as usize).copied().unwrap_or_default();
        let both = |g: Group| [g.rate as f32, g.decay as f32];
        Ok(layout.block_groups().into_iter().map(|g| both(of(g))).collect())
    }

    /// Clips the gradients of a step so that ‖g(θ_n)‖ is at most this. Whatever is finite
    /// is clipped, down to a factor of 1.2e-38; below, the attempt is skipped. Default:
    /// no bound.
    pub fn clip(mut self, norm: f64) -> Self {
        self.ingredients.clip = Some(norm);
        self
    }

    /// Sets how much goes into one kernel. Default: [`Fusion::Full`].
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.options.fusion = fusion;
        self
    }

    /// Sets whether the last gradient is checked before θ is written. Default:
    /// [`Guard::On`].
    pub fn guard(mut self, guard: Guard) -> Self {
        self.options.guard = guard;
        self
    }

    /// Sets whether an attempt ends in one dispatch or in up to three. Default:
    /// [`Ending::Automatic`].
    pub fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// Sets where ρ of D·H comes from, which bounds the steps of stabilised methods and
    /// of [`StepSize::stable`]. Default: it is estimated.
    pub fn spectral_radius(mut self, radius: SpectralRadius) -> Self {
        self.ingredients.radius = radius;
        self
    }

    /// Most storage buffers that a kernel binds: with more, more goes into one kernel.
    /// Default: what the device gives; WebGPU promises 8, and fewer are not planned for.
    pub fn bindings(mut self, most: u32) -> Self {
        self.bindings = Some(most);
        self
    }

    /// Partial sums hold increments alone, never θ:
    /// [`Options::theta_free`](crate::plan::Options).
    pub fn theta_free(mut self, theta_free: bool) -> Self {
        self.options.theta_free = theta_free;
        self
    }

    /// Asks a source what it is able to do, so that the plan makes use of it: whether it adds
    /// gradients up ([`GradientSource::adds`]), which spares methods of two registers a vector,
    /// and in what storages it writes them ([`GradientSource::writes`]), which spares narrow
    /// gradients one; and whether it checks them as it writes them
    /// ([`GradientSource::checks`]), which spares the guard. Without it the plan takes any source.
    ///
    /// The optimizer may be driven with another source, if that is able to do as much: else
    /// whatever drives it is an error, before any work.
    ///
    /// ```
    /// use kutta::{Gpu, Guard, Method, Optimizer, StepSize, models::Analytic};
    /// let gpu = Gpu::new()?;
    /// let problem = Analytic::rosenbrock(&gpu, 2)?;
    /// let builder = Optimizer::builder("williamson3".parse::<Method>()?)
    ///     .step_size(StepSize::constant(1e-3))
    ///     .guard(Guard::Off);
    /// // θ, a register and a gradient; and without the gradient.
    /// assert_eq!(builder.requirements(&gpu, problem.layout())?.vectors, 3);
    /// let builder = builder.source(&problem);
    /// assert_eq!(builder.requirements(&gpu, problem.layout())?.vectors, 2);
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn source(mut self, source: &(impl GradientSource + ?Sized)) -> Self {
        self.abilities = Some(Abilities::of(source));
        self
    }

    /// Sets the formats in which gradients, momentum and second moment are kept between kernels:
    /// [`Stored`] tells what that costs in accuracy. Default: f32.
    ///
    /// ```
    /// use kutta::{Method, Optimizer, Storage, Stored};
    /// let builder = Optimizer::builder(Method::rk4()).storage(Stored::all(Storage::Bf16));
    /// ```
    pub fn storage(mut self, stored: Stored) -> Self {
        self.ingredients.stored = stored;
        self
    }

    /// Attempts that `run` puts into one submit, 1 to 1024. Default: 32.
    pub fn attempts_per_submit(mut self, attempts: u32) -> Self {
        self.per_submit = attempts;
        self
    }

    /// Sets how far `run` goes ahead of the device. Default: [`Pace::Ahead`].
    pub fn pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Cuts vectors into bindings of at most this many elements, below what
    /// the device allows; changes no bit of any result.
    pub fn elements_per_binding(mut self, elements: usize) -> Self {
        self.most_per_binding = Some(elements);
        self
    }

    /// Most bytes of device memory that the optimizer may take:
    /// [`Builder::build`] refuses to take more. Default:
    /// [`Gpu::available_memory`], where that is known.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Gives what [`Builder::build`] would need of a device, in bytes. Allocates nothing.
    ///
    /// ```
    /// use kutta::{Gpu, Method, Optimizer, ParamLayout, StepSize};
    /// let gpu = Gpu::new()?;
    /// let n = 100_000_000;
    /// let builder = Optimizer::builder(Method::rk4()).step_size(StepSize::constant(0.1));
    /// let needs = builder.requirements(&gpu, &ParamLayout::flat(n)?)?;
    /// assert_eq!(needs.vectors, 5);
    /// assert_eq!(needs.largest_buffer, 4 * n as u64);
    /// // Five vectors of 400 MB, and some MiB of partial sums, uniforms and records.
    /// assert!((20 * n as u64..21 * n as u64).contains(&needs.bytes));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Builder::build`], for everything but θ and the device's memory and limits.
    pub fn requirements(&self, gpu: &Gpu, layout: &ParamLayout) -> Result<Requirements, Error> {
        let Planned { plan, walk, most, .. } = self.clone().planned(gpu, layout)?;
        Ok(Requirements::of(gpu, &plan, &walk, layout, most))
    }

    /// Checks what needs neither device nor layout: every option, and that the method has a
    /// plan with them. For whoever wants to hear it before there is anything to train.
    ///
    /// ```
    /// use kutta::{Adaptive, Method, Optimizer};
    /// let adaptive = |method| Optimizer::builder(method).adaptive(Adaptive::new(1e-3, 1e-6));
    /// adaptive("dp5".parse()?).check()?;
    /// // There is no embedded pair to estimate an error with.
    /// assert!(adaptive(Method::rk4()).check().is_err());
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Builder::build`], but for θ, groups that the layout lacks, and the device.
    pub fn check(&self) -> Result<(), Error> {
        self.groups.iter().enumerate().try_for_each(|(i, group)| group.check(i))?;
        self.clone().chosen(WEBGPU_BINDINGS).map(drop)
    }

    fn planned(self, gpu: &Gpu, layout: &ParamLayout) -> Result<Planned, Error> {
        let given = gpu.storage_bindings();
        let (builder, step_size, automatic, plan) = self.chosen(given)?;
        let walk = Traversal::new(layout.len(), gpu.is_software());
        let most = gpu.binding_elements().min(builder.most_per_binding.unwrap_or(usize::MAX));
        Ok(Planned { builder, step_size, automatic, plan, walk, most })
    }

    /// Settles the options where kernels can bind `given` buffers: with the step size,
    /// and whether the device finds the first one.
    fn chosen(mut self, given: u32) -> Result<(Self, StepSize, bool, Plan), Error> {
        self.ingredients.check()?;
        let automatic = self.step_size.is_none() && self.ingredients.adaptive.is_some();
        let step_size = match self.step_size.take() {
            Some(step_size) => step_size,
            // Stands in for an h that the device will find.
            None if automatic => StepSize::constant(1.0),
            None => return Err(OptimizerError::NoStepSize.into()),
        };
        step_size.check()?;
        self.ingredients.rule = step_size.rule();
        self.ingredients.grouped = !self.groups.is_empty();
        self.ingredients.adaptive =
            self.ingredients.adaptive.map(|adaptive| adaptive.for_method(&self.method));
        self.ingredients.check()?;
        if self.ingredients.adaptive.is_some() && !step_size.is_constant() {
            return Err(OptimizerError::AdaptiveSchedule.into());
        }
        if !(1..=RING).contains(&self.per_submit) {
            return Err(OptimizerError::PerSubmit { found: self.per_submit, most: RING }.into());
        }
        let bindings = self.bindings.unwrap_or(given).min(given).max(WEBGPU_BINDINGS);
        if let Some(abilities) = &self.abilities {
            self.options.adds = abilities.adds;
            self.options.checks = abilities.checks;
            self.options.writes_narrow = abilities.writes(self.ingredients.stored.gradients);
        }
        let plan = |adds| {
            let options = Options { adds, bindings, ..self.options };
            Plan::with_ingredients(&self.method, &self.ingredients, options)
        };
        // Most methods have no use for a source that adds.
        let plan = match self.options.adds {
            true => plan(true).or_else(|_| plan(false))?,
            false => plan(false)?,
        };
        self.options.adds = plan.options().adds;
        Ok((self, step_size, automatic, plan))
    }

    /// Allocates the state on the device and compiles the kernels. `theta` has
    /// [`ParamLayout::len`] values.
    ///
    /// # Errors
    /// A step size that is missing, or not positive and finite; ingredients out
    /// of range, or tolerances below what rounding to f32 is of `theta`; a `theta` of
    /// another length or with values that are not finite;
    /// a device too small, with the numbers, before anything is allocated on it:
    /// limits below [`Builder::requirements`], or less memory than
    /// [`Builder::memory`] or [`Gpu::available_memory`] says. Memory that turns
    /// out to be missing is [`GpuError::OutOfMemory`](crate::error::GpuError).
    pub fn build(self, gpu: &Gpu, layout: &ParamLayout, theta: &[f32]) -> Result<Optimizer, Error> {
        let span = tracing::debug_span!("build", method = %self.method, len = theta.len());
        let _entered = span.enter();
        layout.check_len(theta.len())?;
        if let Some(index) = theta.iter().position(|x| !x.is_finite()) {
            let tensor = layout.locate(index).map_or("padding", |t| t.name()).to_owned();
            return Err(OptimizerError::Initial { index, value: theta[index], tensor }.into());
        }
        let mut given = self.clone();
        let Planned { builder, step_size, automatic, plan, walk, most } =
            self.planned(gpu, layout)?;
        // What was made of the source's abilities outlives the source.
        given.options = builder.options;
        if let Some(adaptive) = &builder.ingredients.adaptive {
            let times = adaptive.rounding(theta, layout.parameters());
            if times > 1.0 {
                let (rtol, atol) = (adaptive.rtol, adaptive.atol);
                return Err(OptimizerError::Rounding { rtol, atol, times }.into());
            }
        }
        let multipliers = builder.multipliers(layout)?;
        if builder.ending == Ending::Fused {
            fits_one_dispatch(gpu, &plan, &walk, &builder.method)?;
        }
        Requirements::of(gpu, &plan, &walk, layout, most)
            .check(gpu, builder.memory.or_else(|| gpu.available_memory()))?;
        let Self { method, ingredients, per_submit, pace, ending, .. } = builder;
        let theta = without_padding(layout, theta);
        let theta = theta.as_ref();
        let gaps = Gaps::of(layout, &walk, most);
        let state = State::new(gpu, &plan, &walk, theta, gaps, &multipliers)?;
        let recorder = Recorder::new(gpu, &plan, &state, walk, most, ending)?;
        let estimates = !plan.renewing().is_empty();
        let parameters = layout.parameters();
        let settings = Settings::of(&plan, &method, &walk, parameters, &step_size, automatic);
        let chained = match &method {
            Method::Stabilised(stabilised) => {
                let automatic = matches!(stabilised.stages(), Stages::Auto { .. });
                automatic || (estimates && ingredients.adaptive.is_some())
            }
            _ => false,
        };
        let terms = Terms { chained, opening: !plan.opening().is_empty() };
        let ledger = Ledger::new(terms, automatic || estimates || ingredients.adaptive.is_none());
        let optimizer = Optimizer {
            gpu: gpu.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            layout: layout.clone(),
            given,
            reports: Reports::new(gpu, &plan, layout)?,
            method,
            variants: VecDeque::from([Variant { plan, recorder }]),
            walk,
            most,
            state,
            settings,
            step_size,
            per_submit: if pace == Pace::Wait { 1 } else { per_submit },
            pace,
            ledger,
            in_flight: VecDeque::new(),
            frame_budget: FrameBudget::new(),
            timer: Timer::new(gpu)?,
            profiling: None,
        };
        optimizer.write_settings();
        Ok(optimizer)
    }
}

/// Refuses an ending in one dispatch that there cannot be.
fn fits_one_dispatch(
    gpu: &Gpu,
    plan: &Plan,
    walk: &Traversal,
    method: &Method,
) -> Result<(), Error> {
    let (found, most) = (walk.elements(), Ending::MOST);
    if found > most {
        return Err(OptimizerError::EndingTooLong { found, most }.into());
    }
    let Some(buffers) = ending_buffers(plan, walk) else {
        return Err(OptimizerError::NoEnding { method: method.to_string() }.into());
    };
    let (needed, found) = (buffers.into(), gpu.storage_bindings().into());
    if needed > found {
        let (what, limit) = ("`Ending::Fused`".into(), "max_storage_buffers_per_shader_stage");
        return Err(GpuError::LimitTooSmall { what, limit, needed, found }.into());
    }
    Ok(())
}

/// θ with zeros between tensors, whatever was there.
fn without_padding<'t>(layout: &ParamLayout, theta: &'t [f32]) -> Cow<'t, [f32]> {
    let mut theta = Cow::Borrowed(theta);
    for gap in layout.gaps() {
        if theta[gap.clone()].iter().any(|x| x.to_bits() != 0) {
            theta.to_mut()[gap].fill(0.0);
        }
    }
    theta
}
