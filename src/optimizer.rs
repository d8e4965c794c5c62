//! The face of the library: builds a plan, keeps its state on the device, and
//! records attempts.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use tracing::Instrument as _;

use crate::error::{Error, GpuError, OptimizerError};
use crate::gpu::Gpu;
use crate::gpu::commands::Commands;
use crate::gpu::control::Control;
use crate::gpu::settings::Settings;
use crate::gpu::traversal::Traversal;
use crate::ingredients::{
    Adaptive, ENLARGED, Group, Ingredients, Momentum, Preconditioner, Rejection, Rule,
    SpectralRadius, StepSize,
};
use crate::layout::ParamLayout;
use crate::method::Method;
use crate::params::Params;
use crate::plan::{Fusion, Guard, Options, Plan};
use crate::recorder::{Context, Recorder};
use crate::reports::{OnItsWay, Progress, Report, Reports};
use crate::source::{Batches, GradientSource};
use crate::state::{RING, State};
use crate::tableau::{Stabilised, Stages};

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// Attempts in a submit unless the builder says otherwise: enough to hide the
/// cost of a submit, few enough that long encoders stall no driver.
const ATTEMPTS_PER_SUBMIT: u32 = 32;

/// Submits on their way before `run` waits for the oldest.
const SUBMITS_AHEAD: usize = 2;

/// Gradients in a submit of a method whose stages vary: what is recorded can only
/// be right for so long.
const GRADIENTS_PER_SUBMIT: u32 = 64;

/// Attempts from one estimate of ρ to the next.
const ATTEMPTS_PER_RADIUS: u32 = 25;

/// Numbers of stages that stay recorded.
const VARIANTS: usize = 16;

/// Attempts in a row without an accepted one before `run_accepted` and
/// `run_until` give up.
const MOST_FRUITLESS: u64 = 1_000;

/// Trains by solving θ̇ = −∇L(θ).
///
/// A step is an *attempt*: the device itself judges it, and a refused one
/// leaves θ as it is, bit for bit. Nothing in an attempt waits for the host.
///
/// ```no_run
/// use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic};
/// let gpu = Gpu::new()?;
/// let mut problem = Analytic::rosenbrock(&gpu, 2)?;
/// let mut optimizer = Optimizer::builder(Method::rk4())
///     .step_size(StepSize::constant(1e-3))
///     .build(&gpu, problem.layout(), &[-1.2, 1.0])?;
/// optimizer.run(&mut problem, 1000)?;
/// println!("{:?}", optimizer.params().read()?);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Debug)]
pub struct Optimizer {
    gpu: Gpu,
    id: u64,
    layout: ParamLayout,
    method: Method,
    /// One, or for stabilised methods one for each number of stages that was
    /// wanted lately; the first is in use.
    variants: VecDeque<Variant>,
    walk: Traversal,
    most: usize,
    state: State,
    reports: Reports,
    settings: Settings,
    step_size: StepSize,
    per_submit: u32,
    pace: Pace,
    /// The first attempt wants an opening.
    opens: bool,
    /// Attempts recorded since ρ was renewed, and refused ones as of then.
    since_radius: u32,
    refused_then: u32,
    /// Attempts and measurements recorded in all, as the device counts them.
    recorded: u32,
    /// The control block after the newest submit that is known to be done.
    settled: Option<Control>,
    in_flight: VecDeque<Fence>,
}

/// What is recorded for one number of stages.
#[derive(Debug)]
struct Variant {
    plan: Plan,
    recorder: Recorder,
}

/// One submit that may still be running.
#[derive(Debug)]
struct Fence {
    index: wgpu::SubmissionIndex,
    done: OneshotReceiver<()>,
    copy: Option<OnItsWay>,
}

/// Options of an [`Optimizer`]; see [`Optimizer::builder`].
#[derive(Clone, Debug)]
pub struct Builder {
    method: Method,
    step_size: Option<StepSize>,
    ingredients: Ingredients,
    groups: Vec<Group>,
    options: Options,
    per_submit: u32,
    pace: Pace,
    most_per_binding: Option<usize>,
}

/// How far `run` and its like go ahead of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pace {
    /// Some submits: nothing in between waits.
    #[default]
    Ahead,
    /// Not at all: one attempt, and then its verdict is here. For sources that
    /// draw their batches on the host and must draw one again after a refusal.
    Wait,
}

impl Builder {
    /// How h is chosen. There is no default: it depends on the problem.
    pub fn step_size(mut self, step_size: StepSize) -> Self {
        self.step_size = Some(step_size);
        self
    }

    /// All ingredients at once, in place of those given before.
    pub fn ingredients(mut self, ingredients: Ingredients) -> Self {
        self.ingredients = ingredients;
        self
    }

    /// The diagonal inside the stages. Default: none.
    pub fn preconditioner(mut self, preconditioner: Preconditioner) -> Self {
        self.ingredients.preconditioner = preconditioner;
        self
    }

    /// Default: none.
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

    /// Those of each block of the layout.
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

    /// Clips the gradients of a step so that ‖g(θ_n)‖ is at most this. Default:
    /// no bound.
    pub fn clip(mut self, norm: f64) -> Self {
        self.ingredients.clip = Some(norm);
        self
    }

    /// How much goes into one kernel. Default: [`Fusion::Full`].
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.options.fusion = fusion;
        self
    }

    /// Whether the last gradient is checked before θ is written. Default:
    /// [`Guard::On`].
    pub fn guard(mut self, guard: Guard) -> Self {
        self.options.guard = guard;
        self
    }

    /// Where ρ of D·H comes from, which bounds the steps of stabilised methods and
    /// of [`StepSize::stable`]. Default: it is estimated.
    pub fn spectral_radius(mut self, radius: SpectralRadius) -> Self {
        self.ingredients.radius = radius;
        self
    }

    /// The source adds gradients to what is there, so that a method of two registers
    /// needs no other vector for them: θ and the register, with [`Guard::Off`], else
    /// a working point too. Default: false.
    pub fn adds(mut self, adds: bool) -> Self {
        self.options.adds = adds;
        self
    }

    /// Attempts that `run` puts into one submit, 1 to 1024. Default: 32.
    pub fn attempts_per_submit(mut self, attempts: u32) -> Self {
        self.per_submit = attempts;
        self
    }

    /// How far `run` goes ahead of the device. Default: [`Pace::Ahead`].
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

    /// Allocates the state on the device and compiles the kernels. `theta` has
    /// [`ParamLayout::len`] values.
    ///
    /// # Errors
    /// A step size that is missing, or not positive and finite; ingredients out
    /// of range; a `theta` of
    /// another length or with values that are not finite; a device too small,
    /// with the numbers.
    pub fn build(
        mut self,
        gpu: &Gpu,
        layout: &ParamLayout,
        theta: &[f32],
    ) -> Result<Optimizer, Error> {
        let span = tracing::debug_span!("build", method = %self.method, len = theta.len());
        let _entered = span.enter();
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
        layout.check_len(theta.len())?;
        if let Some(index) = theta.iter().position(|x| !x.is_finite()) {
            let tensor = layout.locate(index).map_or("padding", |t| t.name()).to_owned();
            return Err(OptimizerError::Initial { index, value: theta[index], tensor }.into());
        }
        if !(1..=RING).contains(&self.per_submit) {
            return Err(OptimizerError::PerSubmit { found: self.per_submit, most: RING }.into());
        }
        let plan = Plan::with_ingredients(&self.method, &self.ingredients, self.options)?;
        let walk = Traversal::new(theta.len(), gpu.is_software());
        let most = gpu.binding_elements().min(self.most_per_binding.unwrap_or(usize::MAX));
        let multipliers = self.multipliers(layout)?;
        let state = State::new(gpu, &plan, &walk, theta, &multipliers)?;
        let recorder = Recorder::new(gpu, &plan, &state, walk, most)?;
        let estimates = !plan.renewing().is_empty();
        let mut settings = Settings {
            accepted_limit: u32::MAX,
            stages: plan.evaluations(),
            partials: walk.partials() as u32,
            ring: RING,
            log_second: self.ingredients.log_second() as f32,
            log_mean: self.ingredients.log_mean() as f32,
            count: layout.parameters() as f32,
            ..Settings::default()
        };
        settings.set_end(None);
        settings.set_step_size(&step_size);
        if let Some(adaptive) = &self.ingredients.adaptive {
            settings.set_adaptive(adaptive, plan.error_order());
            settings.first_h = if automatic { 0.0 } else { step_size.at(0) as f32 };
        }
        if let Some(rule) = &self.ingredients.rule {
            settings.set_rule(rule, self.method.tableau().a(1, 0));
            settings.first_h = rule.at_curvature(0.0) as f32;
        }
        settings.clip = self.ingredients.clip.unwrap_or(0.0) as f32;
        // The first chunk takes up first_h.
        settings.restart = 1;
        let optimizer = Optimizer {
            gpu: gpu.clone(),
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            layout: layout.clone(),
            reports: Reports::new(gpu, &plan)?,
            method: self.method,
            variants: VecDeque::from([Variant { plan, recorder }]),
            walk,
            most,
            state,
            settings,
            step_size,
            per_submit: if self.pace == Pace::Wait { 1 } else { self.per_submit },
            pace: self.pace,
            opens: automatic || estimates || self.ingredients.adaptive.is_none(),
            since_radius: 0,
            refused_then: 0,
            recorded: 0,
            settled: None,
            in_flight: VecDeque::new(),
        };
        optimizer.write_settings();
        Ok(optimizer)
    }
}

impl Optimizer {
    /// Options for training with a method or a tableau.
    pub fn builder(method: impl Into<Method>) -> Builder {
        Builder {
            method: method.into(),
            step_size: None,
            ingredients: Ingredients::default(),
            groups: Vec::new(),
            options: Options::default(),
            per_submit: ATTEMPTS_PER_SUBMIT,
            pace: Pace::Ahead,
            most_per_binding: None,
        }
    }

    /// What one attempt does, as data; for stabilised methods with the number of
    /// stages last used.
    pub fn plan(&self) -> &Plan {
        &self.variant().plan
    }

    fn variant(&self) -> &Variant {
        self.variants.front().unwrap_or_else(|| unreachable!("there is always one variant"))
    }

    fn recorder(&self) -> &Recorder {
        &self.variant().recorder
    }

    /// Stages of the attempts that are recorded from now on.
    pub fn stages(&self) -> u32 {
        match &self.method {
            Method::Stabilised(_) => self.plan().bound_stages(),
            _ => self.plan().stages(),
        }
    }

    /// How many stages a stabilised method is recorded with from now on; where it
    /// takes as many as it needs, `run` and its like choose again.
    ///
    /// ```no_run
    /// # fn f(mut optimizer: kutta::Optimizer) -> Result<(), kutta::Error> {
    /// optimizer.set_stages(12)?; // for `record`, which keeps what it is told
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// A number that the method does not have; every other method has just its own.
    pub fn set_stages(&mut self, stages: u32) -> Result<(), Error> {
        let Method::Stabilised(stabilised) = &self.method else {
            if stages == self.stages() {
                return Ok(());
            }
            let (method, found) = (self.method.to_string(), stages);
            return Err(OptimizerError::Stages { method, stages: self.stages(), found }.into());
        };
        // Names what there is.
        let family = stabilised.family();
        Stabilised::new(family, Stages::Fixed(stages))?;
        self.take_variant(stages)
    }

    /// Puts the variant of so many stages first, made if it is not there.
    fn take_variant(&mut self, stages: u32) -> Result<(), Error> {
        let known = self.variants.iter().position(|v| v.plan.bound_stages() == stages);
        let variant = match known.and_then(|at| self.variants.remove(at)) {
            Some(variant) => variant,
            None => {
                let (ingredients, options) = (*self.plan().ingredients(), self.plan().options());
                let plan = Plan::with_stages(&self.method, stages, &ingredients, options)?;
                let widths = |plan: &Plan| (plan.state_width(), plan.mean_halves());
                if plan.slots() > self.state.vectors.len() || widths(&plan) != widths(self.plan()) {
                    let (method, found) = (self.method.to_string(), stages);
                    let stages = self.stages();
                    return Err(OptimizerError::Stages { method, stages, found }.into());
                }
                let recorder = Recorder::new(&self.gpu, &plan, &self.state, self.walk, self.most)?;
                Variant { plan, recorder }
            }
        };
        self.variants.push_front(variant);
        self.variants.truncate(VARIANTS);
        Ok(())
    }

    /// Whether a submit depends on what became of the one before the last.
    fn paced(&self) -> bool {
        let Method::Stabilised(stabilised) = &self.method else { return false };
        let automatic = matches!(stabilised.stages(), Stages::Auto { .. });
        let estimated = !self.plan().renewing().is_empty();
        automatic || (estimated && self.plan().ingredients().adaptive.is_some())
    }

    /// Readies the next submit: waits for the one before the last, and chooses the
    /// number of stages by what it left.
    async fn choose_stages(&mut self, source: &mut impl GradientSource) -> Result<(), Error> {
        if !self.paced() {
            return Ok(());
        }
        if self.opens && !self.plan().opening().is_empty() && self.settled.is_none() {
            // Nothing is known yet: the opening by itself.
            self.submit(source, 0)?;
            self.settle(0).await?;
        } else {
            self.settle(1).await?;
        }
        let Method::Stabilised(stabilised) = &self.method else { return Ok(()) };
        let control = self.settled.unwrap_or_default();
        if control.refused != self.refused_then {
            self.refused_then = control.refused;
            self.since_radius = ATTEMPTS_PER_RADIUS;
        }
        let Stages::Auto { most } = stabilised.stages() else { return Ok(()) };
        let family = stabilised.family();
        let ingredients = self.plan().ingredients();
        let rho = match ingredients.radius {
            SpectralRadius::Given(rho) => rho,
            SpectralRadius::Estimated => ENLARGED * f64::from(control.radius),
        };
        // Where the next submit begins, if what is under way is accepted.
        let under_way = self.recorded.wrapping_sub(control.attempts);
        let next = u64::from(control.accepted) + u64::from(under_way);
        let steps = next..next + u64::from(self.attempts_per_submit());
        let h = if ingredients.adaptive.is_some() {
            let known = self.settled.is_some();
            f64::from(if known { control.next_h } else { self.settings.first_h })
        } else if ingredients.rule.is_some() && control.wanted_h > 0.0 {
            f64::from(control.wanted_h)
        } else {
            steps.map(|n| self.step_size.at(n)).fold(0.0, f64::max)
        };
        // One stage would keep other state than several do.
        let least = family.admissible(2).unwrap_or(2);
        let largest = (least..=most).rev().find(|&s| family.admissible(s) == Some(s));
        let stages = family.stages_for(h * rho).unwrap_or(most).max(least);
        let stages = stages.min(largest.unwrap_or(least));
        tracing::trace!(optimizer = self.id, stages, h, rho, "stages");
        self.take_variant(stages)
    }

    /// Attempts in a submit.
    fn attempts_per_submit(&self) -> u32 {
        match self.paced() {
            true => (GRADIENTS_PER_SUBMIT / self.plan().evaluations()).clamp(1, self.per_submit),
            false => self.per_submit,
        }
    }

    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// The parameters on the device: an accepted θ at every point of the queue.
    pub fn params(&self) -> Params<'_> {
        Params::new(&self.gpu, &self.state.vectors[0], &self.layout)
    }

    /// The average of the parameters over accepted steps, if
    /// [`Builder::average`] asked for it; to be read and evaluated like
    /// [`Optimizer::params`].
    pub fn average(&self) -> Option<Params<'_>> {
        let kept = self.plan().ingredients().average.is_some();
        kept.then(|| Params::new(&self.gpu, &self.state.average, &self.layout))
    }

    /// Kernels of kutta's own that one attempt dispatches.
    pub fn dispatches_per_attempt(&self) -> usize {
        self.recorder().attempt_dispatches().len()
    }

    /// Another step size from the next submit or `record` on; a schedule's
    /// step 0 is the optimizer's first, not the next. An adaptive optimizer
    /// starts its controller anew from it, also after an error of the last.
    ///
    /// # Errors
    /// A step size that is not positive and finite; the old one then stays.
    pub fn set_step_size(&mut self, step_size: &StepSize) -> Result<(), Error> {
        step_size.check()?;
        let kind =
            |rule: Option<Rule>| rule.map(|rule| (std::mem::discriminant(&rule), rule.curvature()));
        if kind(step_size.rule()) != kind(self.plan().ingredients().rule) {
            return Err(OptimizerError::OtherRule.into());
        }
        if let Some(rule) = step_size.rule() {
            self.settings.set_rule(&rule, f64::from(self.settings.rule_2));
            self.settings.restart = self.settings.restart.wrapping_add(1);
            self.settings.first_h = rule.at_curvature(0.0) as f32;
        }
        if self.plan().ingredients().adaptive.is_some() {
            if !step_size.is_constant() {
                return Err(OptimizerError::AdaptiveSchedule.into());
            }
            self.settings.restart = self.settings.restart.wrapping_add(1);
            self.settings.first_h = step_size.at(0) as f32;
        }
        self.settings.set_step_size(step_size);
        self.step_size = step_size.clone();
        self.write_settings();
        Ok(())
    }

    /// Where time ends for what is submitted or recorded from now on: the last
    /// step is clamped to it, and attempts beyond it change nothing and report
    /// nothing. `None`, the default: nowhere.
    ///
    /// # Errors
    /// [`OptimizerError::End`] for an end that is not finite or not ahead of
    /// [`Optimizer::time`].
    pub fn set_end(&mut self, t_end: Option<f64>) -> Result<(), Error> {
        let now = self.reports.progress().time;
        if let Some(t_end) = t_end
            && !(t_end > now && t_end < f64::from(f32::MAX))
        {
            return Err(OptimizerError::End { t_end, now }.into());
        }
        self.settings.set_end(t_end);
        self.write_settings();
        Ok(())
    }

    /// One attempt in a submit of its own. Does not wait for it.
    ///
    /// # Errors
    /// An error of the source: the attempt is not recorded, the state stays.
    pub fn step(&mut self, source: &mut impl GradientSource) -> Result<(), Error> {
        self.run(source, 1)
    }

    /// n attempts, in submits of some. Waits only to keep no more than two
    /// submits ahead of the device, and not for the last of them.
    ///
    /// # Errors
    /// An error of the source: the attempts before it are done, and the state
    /// is as if they had been all.
    pub fn run(&mut self, source: &mut impl GradientSource, n: u64) -> Result<(), Error> {
        pollster::block_on(self.run_async(source, n))
    }

    /// As [`Optimizer::run`], for a browser. Natively it blocks where `run`
    /// does.
    ///
    /// # Errors
    /// As [`Optimizer::run`].
    pub async fn run_async(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
    ) -> Result<(), Error> {
        let mut left = n;
        while left > 0 {
            self.choose_stages(source).await?;
            let now = left.min(u64::from(self.attempts_per_submit())) as u32;
            self.submit(source, now)?;
            self.settle(if self.pace == Pace::Wait { 0 } else { SUBMITS_AHEAD }).await?;
            left -= u64::from(now);
        }
        Ok(())
    }

    /// Attempts until n more were accepted. Waits for the last of them.
    ///
    /// # Errors
    /// As [`Optimizer::run`], and [`OptimizerError::Stalled`] after 1,000
    /// attempts in a row without an accepted one.
    pub fn run_accepted(&mut self, source: &mut impl GradientSource, n: u64) -> Result<(), Error> {
        pollster::block_on(self.run_accepted_async(source, n))
    }

    /// As [`Optimizer::run_accepted`], for a browser. Natively it blocks.
    ///
    /// # Errors
    /// As [`Optimizer::run_accepted`].
    pub async fn run_accepted_async(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
    ) -> Result<(), Error> {
        self.wait_async().await?;
        let goal = self.reports.progress().accepted.saturating_add(n);
        // The device counts in 32 bits; more than 2³¹ steps go in pieces.
        const PIECE: u64 = 1 << 31;
        while self.reports.progress().accepted < goal {
            let until = goal.min(self.reports.progress().accepted + PIECE);
            self.settings.accepted_limit = until as u32;
            self.write_settings();
            let result = self.drive(source, |p| until.saturating_sub(p.accepted)).await;
            self.settings.accepted_limit = u32::MAX;
            self.write_settings();
            result?;
        }
        Ok(())
    }

    /// Integrates until time `t_end`; the last step is clamped to hit it. Waits
    /// for the last attempt.
    ///
    /// # Errors
    /// As [`Optimizer::run_accepted`], and [`OptimizerError::End`] for a
    /// `t_end` that is not finite or not ahead of [`Optimizer::time`].
    pub fn run_until(&mut self, source: &mut impl GradientSource, t_end: f64) -> Result<(), Error> {
        pollster::block_on(self.run_until_async(source, t_end))
    }

    /// As [`Optimizer::run_until`], for a browser. Natively it blocks.
    ///
    /// # Errors
    /// As [`Optimizer::run_until`].
    pub async fn run_until_async(
        &mut self,
        source: &mut impl GradientSource,
        t_end: f64,
    ) -> Result<(), Error> {
        self.wait_async().await?;
        self.set_end(Some(t_end))?;
        // What the device will take as the end.
        let end = f64::from(self.settings.end_high) + f64::from(self.settings.end_low);
        let step_size = self.step_size.clone();
        let adaptive = self.plan().ingredients().adaptive.is_some();
        let result = self
            .drive(source, |p| {
                if p.time >= end {
                    return 0;
                }
                // Attempts beyond the end change nothing, and if h falls there
                // will be more.
                let h = match adaptive {
                    true if p.attempts > 0 => f64::from(p.next_h),
                    _ => step_size.at(p.accepted),
                };
                ((end - p.time) / h - 1e-6).ceil().max(1.0) as u64
            })
            .await;
        self.set_end(None)?;
        result
    }

    /// Attempts as long as `remaining`, told how far the device has come, wants
    /// more.
    async fn drive(
        &mut self,
        source: &mut impl GradientSource,
        remaining: impl Fn(&Progress) -> u64,
    ) -> Result<(), Error> {
        if self.paced() {
            return self.drive_paced(source, remaining).await;
        }
        // What was submitted since `progress` was last exact.
        let mut under_way = 0;
        loop {
            let wanted = remaining(&self.reports.progress()).saturating_sub(under_way);
            if wanted == 0 {
                // Refused or skipped attempts come to light here.
                self.settle(0).await?;
                under_way = 0;
                if remaining(&self.reports.progress()) == 0 {
                    return Ok(());
                }
                continue;
            }
            let fruitless = self.reports.progress().fruitless;
            if fruitless >= MOST_FRUITLESS {
                return Err(OptimizerError::Stalled { attempts: fruitless }.into());
            }
            let before = self.reports.progress().attempts;
            let now = wanted.min(u64::from(self.attempts_per_submit())) as u32;
            self.submit(source, now)?;
            under_way += u64::from(now);
            self.settle(if self.pace == Pace::Wait { 0 } else { SUBMITS_AHEAD - 1 }).await?;
            under_way = under_way.saturating_sub(self.reports.progress().attempts - before);
        }
    }

    /// The same where a submit depends on what became of the one before the last:
    /// only of that, and of nothing that happens to be here already, so that every
    /// run is the same. Attempts beyond the end change nothing.
    async fn drive_paced(
        &mut self,
        source: &mut impl GradientSource,
        remaining: impl Fn(&Progress) -> u64,
    ) -> Result<(), Error> {
        loop {
            self.choose_stages(source).await?;
            let known = self.settled.map(|control| self.reports.progress_at(&control));
            let wanted = known.map_or(u64::MAX, |progress| remaining(&progress));
            if wanted == 0 {
                return self.settle(0).await;
            }
            let fruitless = self.reports.progress().fruitless;
            if fruitless >= MOST_FRUITLESS {
                return Err(OptimizerError::Stalled { attempts: fruitless }.into());
            }
            let now = wanted.min(u64::from(self.attempts_per_submit())) as u32;
            self.submit(source, now)?;
            if self.pace == Pace::Wait {
                self.settle(0).await?;
            }
        }
    }

    /// Records one attempt into the host's encoder: never submits, never waits.
    /// Call it as often as wanted for one encoder. Its reports arrive after
    /// the host's submit, when the host next polls the device or submits.
    ///
    /// # Errors
    /// A source that submits by itself, or an error of the source; the attempt
    /// is then not recorded.
    pub fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
    ) -> Result<(), Error> {
        if source.submits() {
            return Err(OptimizerError::SourceSubmits.into());
        }
        self.check_source(source, false)?;
        self.record_attempts(encoder, source, 1, &mut None)
    }

    /// Loss and ‖∇L‖ at the parameters, on the batch that comes next. Changes
    /// nothing but the count of evaluations. Waits.
    ///
    /// # Errors
    /// An error of the source, or a lost device.
    pub fn measure(&mut self, source: &mut impl GradientSource) -> Result<Report, Error> {
        pollster::block_on(self.measure_async(source))
    }

    /// As [`Optimizer::measure`], for a browser. Natively it blocks.
    ///
    /// # Errors
    /// As [`Optimizer::measure`].
    pub async fn measure_async(
        &mut self,
        source: &mut impl GradientSource,
    ) -> Result<Report, Error> {
        self.wait_async().await?;
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut pass = None;
        let mut commands = Commands::new(&mut encoder, &mut pass);
        self.recorder().begin(&mut commands);
        let (gpu, state) = (&self.gpu, &self.state);
        let batch = Some(self.reports.progress().batch);
        let context = Context { gpu, optimizer: self.id, state, batch, commands, source };
        let result = self.recorder().measurement(context);
        self.recorded = self.recorded.wrapping_add(1);
        drop(pass);
        result?;
        self.fetch(encoder).await?;
        let lost = GpuError::DeviceLost { during: "measuring the loss" };
        Ok(self.reports.take_measured().ok_or(lost)?)
    }

    /// The reports that have arrived since the last call, oldest first. Never
    /// waits.
    pub fn reports(&mut self) -> Vec<Report> {
        // Neither call waits. If the device is lost, whoever waits next says so.
        let _ = self.gpu.device().poll(wgpu::PollType::Poll);
        let _ = self.reports.collect();
        self.reports.drain()
    }

    /// Reports lost because nobody asked for them in time.
    pub fn dropped_reports(&self) -> u64 {
        self.reports.dropped()
    }

    /// Time integrated, as of the newest report.
    pub fn time(&self) -> f64 {
        self.reports.progress().time
    }

    /// Attempts accepted, as of the newest report.
    pub fn accepted(&self) -> u64 {
        self.reports.progress().accepted
    }

    /// Waits until everything submitted has run and its reports are here.
    ///
    /// # Errors
    /// A lost device.
    pub fn wait(&mut self) -> Result<(), Error> {
        pollster::block_on(self.wait_async())
    }

    /// As [`Optimizer::wait`], for a browser. Natively it blocks.
    ///
    /// # Errors
    /// As [`Optimizer::wait`].
    pub async fn wait_async(&mut self) -> Result<(), Error> {
        // What the host submitted has no fence of ours: this one is behind it.
        let encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.submit_encoder(encoder, None);
        self.settle(0).await?;
        // All copies of the ring may have been on their way when the last
        // attempts were recorded. Now they are back.
        let encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.fetch(encoder).await
    }

    /// Submits, and waits until all is done and the ring is here.
    async fn fetch(&mut self, mut encoder: wgpu::CommandEncoder) -> Result<(), Error> {
        // Copies that are done may still be in the hands of another thread that
        // polls; those of an encoder that was never submitted stay away.
        const TRIES: usize = 1000;
        let mut arrived = self.reports.record_copy(&self.state, &mut encoder);
        for _ in 0..TRIES {
            if arrived.is_some() {
                break;
            }
            std::thread::yield_now();
            self.reports.collect()?;
            arrived = self.reports.record_copy(&self.state, &mut encoder);
        }
        self.submit_encoder(encoder, None);
        self.settle(0).await?;
        if let Some(copy) = arrived {
            copy.arrived.receive().await;
        }
        self.take_reports()
    }

    fn submit(&mut self, source: &mut impl GradientSource, attempts: u32) -> Result<(), Error> {
        let _entered = tracing::trace_span!("submit", optimizer = self.id, attempts).entered();
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut copy = None;
        let result = self.record_attempts(&mut encoder, source, attempts, &mut copy);
        // After an error too: the attempts before it are whole, and what is
        // there of the failed one touches neither θ nor the control block.
        self.submit_encoder(encoder, copy);
        result
    }

    fn submit_encoder(&mut self, encoder: wgpu::CommandEncoder, copy: Option<OnItsWay>) {
        let (sender, done) = oneshot_channel();
        encoder.on_submitted_work_done(move || {
            // The receiver is gone only with the optimizer.
            let _ = sender.send(());
        });
        let index = self.gpu.queue().submit([encoder.finish()]);
        self.in_flight.push_back(Fence { index, done, copy });
    }

    fn record_attempts(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
        attempts: u32,
        copy: &mut Option<OnItsWay>,
    ) -> Result<(), Error> {
        let _entered = tracing::trace_span!("record", optimizer = self.id, attempts).entered();
        self.check_source(source, self.pace == Pace::Wait)?;
        let batch = (self.pace == Pace::Wait).then_some(self.reports.progress().batch);
        let mut pass = None;
        let mut commands = Commands::new(encoder, &mut pass);
        self.recorder().begin(&mut commands);
        let mut result = Ok(());
        if self.opens && !self.reports.progress().opened {
            let commands = commands.reborrow();
            let (gpu, state) = (&self.gpu, &self.state);
            let context = Context { gpu, optimizer: self.id, state, batch, commands, source };
            self.recorder().opening(context)?;
            self.since_radius = 0;
        }
        for i in 0..attempts {
            self.recorded = self.recorded.wrapping_add(1);
            let renews = self.since_radius >= ATTEMPTS_PER_RADIUS;
            self.since_radius = if renews { 1 } else { self.since_radius + 1 };
            let commands = commands.reborrow();
            let (gpu, state) = (&self.gpu, &self.state);
            let context = Context { gpu, optimizer: self.id, state, batch, commands, source };
            result = self.recorder().attempt(i == 0, renews, context);
            if result.is_err() {
                break;
            }
        }
        drop(pass);
        // Whoever asks for reports collects it.
        *copy = self.reports.record_copy(&self.state, encoder);
        Ok(result?)
    }

    /// Refuses batches that a refused attempt would lose, and a source without
    /// products where the plan wants some.
    fn check_source(
        &self,
        source: &impl GradientSource,
        waits: bool,
    ) -> Result<(), OptimizerError> {
        let retried = |adaptive: Adaptive| adaptive.rejection == Rejection::Retry;
        let lost = self.plan().ingredients().adaptive.is_some_and(retried)
            && source.batches() == Batches::Host
            && !waits;
        if lost {
            return Err(OptimizerError::HostBatches);
        }
        if self.plan().adds() && !source.adds() {
            return Err(OptimizerError::NotAdding);
        }
        match self.plan().multiplies() && !source.products() {
            true => Err(OptimizerError::NoProducts),
            false => Ok(()),
        }
    }

    /// Waits until at most `ahead` submits are unfinished; takes in reports.
    async fn settle(&mut self, ahead: usize) -> Result<(), Error> {
        let lost = || GpuError::DeviceLost { during: "waiting for a submit" };
        while self.in_flight.len() > ahead {
            let Some(fence) = self.in_flight.pop_front() else { break };
            let waiting = tracing::trace_span!("wait", optimizer = self.id);
            let done = self.gpu.wait_for(fence.index, fence.done.receive());
            done.instrument(waiting).await.ok_or_else(lost)?;
            if let Some(copy) = fence.copy
                && self.paced()
            {
                copy.arrived.receive().await;
                self.reports.collect()?;
                self.settled = self.reports.control(copy.age).or(self.settled);
            }
        }
        self.take_reports()
    }

    /// Takes in the reports that are here; an error of the run, if they tell
    /// of one.
    fn take_reports(&mut self) -> Result<(), Error> {
        self.reports.collect()?;
        let Progress { failure, restart, last_h, last_error, rejections, next_h, .. } =
            self.reports.progress();
        let error = last_error;
        match failure {
            _ if restart != self.settings.restart => Ok(()),
            0 => Ok(()),
            1 => {
                let h_min = self.settings.h_min;
                Err(OptimizerError::StepSizeUnderflow { h: next_h, h_min, error }.into())
            }
            _ => Err(OptimizerError::TooManyRejections { rejections, h: last_h, error }.into()),
        }
    }

    fn write_settings(&self) {
        self.gpu.upload(&self.state.settings, bytemuck::bytes_of(&self.settings));
    }
}
