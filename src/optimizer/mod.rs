//! The face of the library: builds a plan, keeps its state on the device, and
//! records attempts.

mod builder;
mod check;
mod drive;
pub(crate) mod error;
mod hosted;
mod requirements;
#[cfg(feature = "checkpoint")]
pub(crate) mod saved;
mod stages;

pub use error::OptimizerError;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use tracing::Instrument as _;

use crate::device::commands::Commands;
use crate::device::timer::{Timer, Timing};
use crate::device::traversal::Traversal;
use crate::device::waiting::{Waiting, pause};
use crate::device::{Gpu, GpuError};
use crate::error::Error;
use crate::ingredients::{Adaptive, Rejection, Rule, StepSize};
use crate::kernels::control::Control;
use crate::kernels::settings::Settings;
use crate::layout::ParamLayout;
use crate::method::Method;
use crate::pacing::Pacer;
use crate::params::Params;
use crate::plan::Plan;
use crate::recorder::{Context, Recorder};
use crate::reports::{OnItsWay, Progress, Report, Reports};
use crate::source::{Batches, GradientSource};
use crate::state::State;

pub use builder::Builder;
pub use check::{Outcome, SourceCheck, SourceFault, SourceTest, TensorCheck};
use drive::Goal;
use hosted::{Deadline, Handed, Recorded, Recording, in_foreign_hands};
pub use requirements::Requirements;
use stages::ATTEMPTS_PER_RADIUS;

/// Submits on their way before `run` waits for the oldest.
const SUBMITS_AHEAD: usize = 2;

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
    /// The options as the builder was given them.
    given: Builder,
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
    /// One has been submitted.
    opening: bool,
    /// Attempts recorded since ρ was renewed, and refused ones as of then.
    since_radius: u32,
    refused_then: u32,
    /// Attempts and measurements recorded in all, as the device counts them.
    recorded: u32,
    /// The control block after the newest submit that is known to be done.
    settled: Option<Control>,
    in_flight: VecDeque<Fence>,
    /// The end of time for all drives, as the device has it.
    end: Option<f64>,
    /// Attempts beyond some goal change nothing, as a drive told the device; and the control
    /// block after the newest submit that the drive waited for.
    driven: bool,
    landed: Option<Control>,
    /// Attempts in encoders of the host.
    handed: Handed,
    /// Chooses how many attempts fit a host frame.
    pacer: Pacer,
    timer: Option<Timer>,
}

/// The plan and its recording for one number of stages.
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

/// The distance that `run` and its like go ahead of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Pace {
    /// Some submits: nothing in between waits.
    #[default]
    Ahead,
    /// Not at all: one attempt, and then its verdict is here. For sources that
    /// draw their batches on the host and must draw one again after a refusal.
    Wait,
}

impl Optimizer {
    /// Options for training with a method or a tableau.
    pub fn builder(method: impl Into<Method>) -> Builder {
        Builder::new(method.into())
    }

    /// Gives what the optimizer took of its device when it was built.
    pub fn requirements(&self) -> Requirements {
        Requirements::of(&self.gpu, self.plan(), &self.walk, &self.layout, self.most)
    }

    /// The plan of one attempt, as data; for stabilised methods with the number of
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

    /// Kernels of kutta's own that one attempt dispatches, without those that clear padding
    /// after a source ([`GradientSource::keeps_padding`]).
    pub fn dispatches_per_attempt(&self) -> usize {
        self.recorder().attempt_dispatches().len()
    }

    /// Another step size from the next submit or `record` on; a schedule's
    /// step 0 is the optimizer's first, not the next. An adaptive optimizer
    /// starts its controller anew from it, also after an error of the last. It is
    /// written to the queue at once, and so also holds for what was recorded into the
    /// host's encoders and is not submitted yet; as does [`Optimizer::set_end`].
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
        self.given.set_step_size(step_size);
        self.write_settings();
        Ok(())
    }

    /// Sets where time ends for what is submitted or recorded from now on, until it is set
    /// again: the last step is clamped to it. `None`, the default: nowhere.
    ///
    /// [`Optimizer::run`] and [`Optimizer::step`] stop there, and wait for what they need to
    /// know for that. A goal beyond it is an error of [`Optimizer::run_accepted`] and
    /// [`Optimizer::run_until`]. What the host records beyond it changes nothing and reports
    /// nothing, but evaluates: [`Optimizer::evaluations`] counts that.
    ///
    /// # Errors
    /// [`OptimizerError::End`] for an end that is not finite or not ahead of
    /// [`Optimizer::time`].
    pub fn set_end(&mut self, t_end: Option<f64>) -> Result<(), Error> {
        if let Some(t_end) = t_end {
            self.check_ahead(t_end)?;
        }
        self.end = t_end.map(Settings::on_device);
        self.driven = true;
        self.end_drive();
        Ok(())
    }

    fn check_ahead(&self, t_end: f64) -> Result<(), OptimizerError> {
        let now = self.reports.progress().time;
        match t_end > now && t_end < f64::from(f32::MAX) {
            true => Ok(()),
            false => Err(OptimizerError::End { t_end, now }),
        }
    }

    /// One attempt in a submit of its own. Does not wait for it, but where an end of time is
    /// set: [`Optimizer::set_end`].
    ///
    /// # Errors
    /// An error of the source: the attempt is not recorded, the state stays.
    pub fn step(&mut self, source: &mut impl GradientSource) -> Result<(), Error> {
        self.run(source, 1)
    }

    /// n attempts, in submits of some. Waits only to keep no more than two
    /// submits ahead of the device, and not for the last of them. Fewer than n where time
    /// ends: [`Optimizer::set_end`].
    ///
    /// # Errors
    /// An error of the source: the attempts before it are done, and the state
    /// is as if they had been all.
    pub fn run(&mut self, source: &mut impl GradientSource, n: u64) -> Result<(), Error> {
        pollster::block_on(self.run_with(source, n, Waiting::Blocks))
    }

    /// Runs as [`Optimizer::run`] does, without blocking. Natively each look at the future polls
    /// the device, without waiting. If it is dropped before its end, what was submitted
    /// still runs.
    ///
    /// # Errors
    /// As [`Optimizer::run`].
    pub async fn run_async(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
    ) -> Result<(), Error> {
        self.run_with(source, n, Waiting::Yields).await
    }

    async fn run_with(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
        waiting: Waiting,
    ) -> Result<(), Error> {
        self.end_drive();
        if self.end.is_some() {
            self.wait_with(waiting).await?;
            let until = self.reports.progress().attempts.saturating_add(n);
            self.begin_drive();
            let result = self.drive(source, Goal::Attempts(until), waiting).await;
            self.end_drive();
            return result;
        }
        let mut left = n;
        while left > 0 {
            self.choose_stages(source, waiting).await?;
            self.know_opening(waiting).await?;
            let now = left.min(u64::from(self.attempts_per_submit())) as u32;
            self.submit(source, now)?;
            self.settle(if self.pace == Pace::Wait { 0 } else { SUBMITS_AHEAD }, waiting).await?;
            left -= u64::from(now);
        }
        Ok(())
    }

    /// Attempts until n more were accepted. Waits for the last of them.
    ///
    /// # Errors
    /// As [`Optimizer::run`], and [`OptimizerError::Stalled`] after 1,000
    /// attempts in a row without an accepted one, [`OptimizerError::Standing`] after as many
    /// whose h, by a rule, moves nothing. [`OptimizerError::EndReached`] where the end of
    /// [`Optimizer::set_end`] comes first.
    pub fn run_accepted(&mut self, source: &mut impl GradientSource, n: u64) -> Result<(), Error> {
        pollster::block_on(self.run_accepted_with(source, n, Waiting::Blocks))
    }

    /// Runs as [`Optimizer::run_accepted`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::run_accepted`].
    pub async fn run_accepted_async(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
    ) -> Result<(), Error> {
        self.run_accepted_with(source, n, Waiting::Yields).await
    }

    async fn run_accepted_with(
        &mut self,
        source: &mut impl GradientSource,
        n: u64,
        waiting: Waiting,
    ) -> Result<(), Error> {
        self.end_drive();
        self.wait_with(waiting).await?;
        let goal = self.reports.progress().accepted.saturating_add(n);
        // The device counts in 32 bits; more than 2³¹ steps go in pieces.
        const PIECE: u64 = 1 << 31;
        while self.reports.progress().accepted < goal {
            let mut until = goal.min(self.reports.progress().accepted + PIECE);
            if until as u32 == u32::MAX {
                // That is no limit.
                until = if until < goal { until - 1 } else { until };
            }
            self.settings.accepted_limit = until as u32;
            self.begin_drive();
            let wanted = n.saturating_sub(goal - until);
            let result = self.drive(source, Goal::Accepted { until, wanted }, waiting).await;
            self.end_drive();
            result?;
        }
        Ok(())
    }

    /// Integrates until time `t_end`; the last step is clamped to hit it. Waits
    /// for the last attempt.
    ///
    /// # Errors
    /// As [`Optimizer::run_accepted`], and [`OptimizerError::End`] for a
    /// `t_end` that is not finite or not ahead of [`Optimizer::time`],
    /// [`OptimizerError::BeyondEnd`] for one beyond [`Optimizer::set_end`]'s. Before anything
    /// runs, [`IngredientError::Unreached`](crate::error::IngredientError) where a
    /// schedule's step sizes do not add up to it.
    pub fn run_until(&mut self, source: &mut impl GradientSource, t_end: f64) -> Result<(), Error> {
        pollster::block_on(self.run_until_with(source, t_end, Waiting::Blocks))
    }

    /// Runs as [`Optimizer::run_until`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::run_until`].
    pub async fn run_until_async(
        &mut self,
        source: &mut impl GradientSource,
        t_end: f64,
    ) -> Result<(), Error> {
        self.run_until_with(source, t_end, Waiting::Yields).await
    }

    async fn run_until_with(
        &mut self,
        source: &mut impl GradientSource,
        t_end: f64,
        waiting: Waiting,
    ) -> Result<(), Error> {
        self.end_drive();
        self.wait_with(waiting).await?;
        self.check_ahead(t_end)?;
        if let Some(end) = self.end.filter(|end| Settings::on_device(t_end) > *end) {
            return Err(OptimizerError::BeyondEnd { t_end, end }.into());
        }
        if self.plan().ingredients().adaptive.is_none() {
            let Progress { accepted, time, .. } = self.reports.progress();
            self.step_size.check_end(accepted, time, t_end)?;
        }
        self.settings.set_end(Some(t_end));
        self.begin_drive();
        let result = self.drive(source, Goal::End, waiting).await;
        self.end_drive();
        result
    }

    /// Gives L(θ) and ‖g‖ at the parameters, on the batch that comes next: g = ∇L(θ), or
    /// ∇L(θ) + λθ with [`Builder::l2`], as in [`Report::grad_norm`]. Counts an evaluation
    /// and takes a number among attempts, so that [`Report::attempt`] skips one; θ, the
    /// state, time and the batch cursor stay as they are. Waits.
    ///
    /// # Errors
    /// An error of the source, or a lost device.
    pub fn measure(&mut self, source: &mut impl GradientSource) -> Result<Report, Error> {
        pollster::block_on(self.measure_with(source, Waiting::Blocks))
    }

    /// Measures as [`Optimizer::measure`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::measure`].
    pub async fn measure_async(
        &mut self,
        source: &mut impl GradientSource,
    ) -> Result<Report, Error> {
        self.measure_with(source, Waiting::Yields).await
    }

    async fn measure_with(
        &mut self,
        source: &mut impl GradientSource,
        waiting: Waiting,
    ) -> Result<Report, Error> {
        self.end_drive();
        self.check_fits(source, true)?;
        self.wait_with(waiting).await?;
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut pass = None;
        let mut commands = Commands::new(&mut encoder, &mut pass);
        self.recorder().begin(&mut commands);
        let (gpu, state) = (&self.gpu, &self.state);
        let cursor = Some(self.reports.progress().cursor());
        let context = Context { gpu, optimizer: self.id, state, cursor, commands, source };
        let result = self.recorder().measurement(context);
        drop(pass);
        result?;
        self.recorded = self.recorded.wrapping_add(1);
        self.fetch(encoder, waiting).await?;
        let lost = GpuError::DeviceLost { during: "measuring the loss" };
        Ok(self.reports.take_measured().ok_or(lost)?)
    }

    /// The reports that have arrived since the last call, oldest first. Never
    /// waits. Polls the device, without waiting, only after submits of kutta's own: what
    /// was recorded into the host's encoders arrives when the host submits or polls.
    pub fn reports(&mut self) -> Vec<Report> {
        // Neither call waits. If the device is lost, whoever waits next says so.
        if !self.in_flight.is_empty() {
            let _ = self.gpu.device().poll(wgpu::PollType::Poll);
        }
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

    /// Gradients evaluated by the source so far, as of the newest report: those of all
    /// attempts, of openings and measurements, and of what the host recorded beyond an end
    /// of time. A gradient that the source averages over several batches is one.
    pub fn evaluations(&self) -> u64 {
        self.reports.progress().evaluations
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
        pollster::block_on(self.wait_with(Waiting::Blocks))
    }

    /// Waits as [`Optimizer::wait`] does, without blocking.
    ///
    /// # Errors
    /// As [`Optimizer::wait`].
    pub async fn wait_async(&mut self) -> Result<(), Error> {
        self.wait_with(Waiting::Yields).await
    }

    async fn wait_with(&mut self, waiting: Waiting) -> Result<(), Error> {
        // What the host submitted has no fence of ours: this one is behind it.
        let encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.submit_encoder(encoder, None);
        self.settle(0, waiting).await?;
        // All copies of the ring may have been on their way when the last
        // attempts were recorded. Now they are back.
        let encoder = self.gpu.device().create_command_encoder(&Default::default());
        self.fetch(encoder, waiting).await?;
        if self.handed.outstanding() == 0 {
            self.recorded = self.reports.progress().attempts as u32;
            self.handed.forget();
        }
        Ok(())
    }

    /// Submits, and waits until all is done and the ring is here.
    async fn fetch(
        &mut self,
        mut encoder: wgpu::CommandEncoder,
        waiting: Waiting,
    ) -> Result<(), Error> {
        // Copies that are done may still be in the hands of another thread that
        // polls; those of an encoder that was never submitted stay away.
        const TRIES: usize = 1000;
        let mut arrived = self.reports.record_copy(&self.state, &mut encoder, None);
        for _ in 0..TRIES {
            if arrived.is_some() {
                break;
            }
            pause(waiting).await;
            self.reports.collect()?;
            arrived = self.reports.record_copy(&self.state, &mut encoder, None);
        }
        self.submit_encoder(encoder, None);
        self.settle(0, waiting).await?;
        if let Some(copy) = arrived {
            copy.arrived.receive().await;
        }
        self.take_reports()
    }

    fn submit(&mut self, source: &mut impl GradientSource, attempts: u32) -> Result<(), Error> {
        let _entered = tracing::trace_span!("submit", optimizer = self.id, attempts).entered();
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let recording = Recording { attempts, ..Recording::default() };
        let recorded = self.record_attempts(&mut encoder, source, recording)?;
        let Recorded { attempts, copy, result } = recorded;
        self.recorded = self.recorded.wrapping_add(attempts);
        // After an error too: the attempts before it are whole, and what is
        // there of the failed one touches neither θ nor the control block. With none
        // before it, it is as if nobody had asked.
        if result.is_ok() || attempts > 0 {
            self.submit_encoder(encoder, copy);
            self.opening |= self.opens;
        }
        Ok(result?)
    }

    /// Waits for an opening that was submitted, once: another one would refine ρ, and
    /// whether there is one must not depend on what happens to have arrived.
    async fn know_opening(&mut self, waiting: Waiting) -> Result<(), Error> {
        let waits = self.opening && !self.paced() && !self.plan().opening().is_empty();
        if waits && !self.reports.progress().opened {
            self.wait_with(waiting).await?;
        }
        Ok(())
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

    /// Records attempts and a copy of the ring. An error means that nothing of use was recorded.
    fn record_attempts(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
        recording: Recording,
    ) -> Result<Recorded, Error> {
        let Recording { attempts, hosted, timed, deadline } = recording;
        let _entered = tracing::trace_span!("record", optimizer = self.id, attempts).entered();
        // Of what is in the host's hands nobody waits for the verdict.
        let waits = !hosted && self.pace == Pace::Wait;
        self.check_fits(source, waits)?;
        let cursor = waits.then(|| self.reports.progress().cursor());
        let begun = AtomicBool::new(false);
        let timing = self.timer.as_ref().filter(|_| timed);
        let timing = timing.map(|timer| Timing { timer, begun: &begun });
        let mut pass = None;
        let mut commands = Commands::new(encoder, &mut pass).timed(timing);
        if hosted {
            in_foreign_hands(|| self.recorder().begin(&mut commands))?;
        } else {
            self.recorder().begin(&mut commands);
        }
        let mut result = Ok(());
        let opened = match self.settled {
            // Not what has arrived since, which is another thing every time.
            Some(control) if self.paced() && !hosted => control.opened == 1,
            _ => self.reports.progress().opened,
        };
        let opening = self.opens && !self.plan().opening().is_empty() && !opened;
        if opening {
            let commands = commands.reborrow();
            let (gpu, state) = (&self.gpu, &self.state);
            let context = Context { gpu, optimizer: self.id, state, cursor, commands, source };
            result = self.recorder().opening(context);
        }
        // Nothing of the optimizer changes until the source has returned: it may panic.
        let mut recorded = 0;
        let mut since_radius = if opening { 0 } else { self.since_radius };
        while recorded < attempts && result.is_ok() {
            let renews = since_radius >= ATTEMPTS_PER_RADIUS;
            let commands = commands.reborrow();
            let (gpu, state) = (&self.gpu, &self.state);
            let context = Context { gpu, optimizer: self.id, state, cursor, commands, source };
            result = self.recorder().attempt(recorded == 0, renews, context);
            if result.is_ok() {
                since_radius = if renews { 1 } else { since_radius + 1 };
                recorded += 1;
            }
            if deadline.is_some_and(Deadline::is_over) {
                break;
            }
        }
        drop(pass);
        if recorded > 0 {
            self.since_radius = since_radius;
        }
        let timing = timing.filter(|_| begun.load(Ordering::Relaxed) && recorded > 0 && !opening);
        let timing =
            timing.map(|timing| (timing.timer, recorded * self.variant().plan.evaluations()));
        // Whoever asks for reports collects it.
        let copy = self.reports.record_copy(&self.state, encoder, timing);
        Ok(Recorded { attempts: recorded, copy, result })
    }

    /// Refuses batches that a refused attempt would lose, and a source without
    /// products where the plan wants some.
    fn check_fits(&self, source: &impl GradientSource, waits: bool) -> Result<(), OptimizerError> {
        if source.gpu().is_some_and(|gpu| !gpu.is(&self.gpu)) {
            return Err(OptimizerError::OtherDevice { what: "the gradient source" });
        }
        let names = ["in the source", "in the optimizer"];
        let other = source.layout().and_then(|layout| layout.difference(&self.layout, names));
        if let Some(difference) = other {
            return Err(OptimizerError::OtherLayout { difference });
        }
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
        if let Some(storage) = self.plan().narrow_gradients()
            && !source.writes(storage)
        {
            return Err(OptimizerError::NotNarrow { storage });
        }
        match self.plan().multiplies() && !source.products() {
            true => Err(OptimizerError::NoProducts),
            false => Ok(()),
        }
    }

    /// Waits until at most `ahead` submits are unfinished; takes in reports.
    async fn settle(&mut self, ahead: usize, waiting: Waiting) -> Result<(), Error> {
        let lost = || GpuError::DeviceLost { during: "waiting for a submit" };
        while self.in_flight.len() > ahead {
            let Some(fence) = self.in_flight.pop_front() else { break };
            let span = tracing::trace_span!("wait", optimizer = self.id);
            let done = self.gpu.wait_for(fence.index, fence.done.receive(), waiting);
            done.instrument(span).await.ok_or_else(lost)?;
            if let Some(copy) = fence.copy
                && (self.paced() || self.driven)
            {
                copy.arrived.receive().await;
                self.reports.collect()?;
                let control = self.reports.control(copy.age);
                self.landed = control.or(self.landed);
                if self.paced() {
                    self.settled = control.or(self.settled);
                }
            }
        }
        self.take_reports()
    }

    /// Takes in the reports that are here; an error of the run, if they tell
    /// of one.
    fn take_reports(&mut self) -> Result<(), Error> {
        self.reports.collect()?;
        let Progress { failure, restart, last_h, last_error, rejections, next_h, time, .. } =
            self.reports.progress();
        let error = last_error;
        match failure {
            _ if restart != self.settings.restart => Ok(()),
            0 => Ok(()),
            1 => {
                let h_min = self.settings.h_min;
                Err(OptimizerError::StepSizeUnderflow { h: next_h, h_min, error }.into())
            }
            2 => Err(OptimizerError::TooManyRejections { rejections, h: last_h, error }.into()),
            _ => {
                let remedy = "Raise rtol, atol or h_min, or take a method for stiff problems";
                Err(OptimizerError::Standing { h: last_h, time, attempts: 1, remedy }.into())
            }
        }
    }

    fn write_settings(&self) {
        // A lost device shows wherever somebody waits.
        let _ = self.gpu.upload(&self.state.settings, bytemuck::bytes_of(&self.settings));
    }
}
