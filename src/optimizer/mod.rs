//! The face of the library: builds a plan, keeps its state on the device, and
//! records attempts.

mod builder;
mod check;
mod course;
mod drive;
pub(crate) mod error;
mod fits;
mod handed;
mod hosted;
mod ledger;
mod measure;
mod profile;
mod requirements;
mod run;
#[cfg(feature = "checkpoint")]
pub(crate) mod saved;
mod stages;
mod submit;
mod waiting;

pub use error::OptimizerError;

use std::collections::VecDeque;

use crate::device::Gpu;
use crate::device::timer::Timer;
use crate::device::traversal::Traversal;
use crate::error::Error;
use crate::frame_budget::FrameBudget;
use crate::ingredients::{Rule, StepSize};
use crate::kernels::settings::Settings;
use crate::layout::ParamLayout;
use crate::method::Method;
use crate::params::Params;
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::reports::{Report, Reports};
use crate::state::State;

pub use builder::Builder;
pub use check::{Outcome, SourceCheck, SourceFault, SourceTest, TensorCheck};
use ledger::Ledger;
use profile::Profiling;
pub use requirements::Requirements;
use waiting::Fence;

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
    ledger: Ledger,
    in_flight: VecDeque<Fence>,
    /// Chooses how many attempts fit a host frame.
    frame_budget: FrameBudget,
    timer: Option<Timer>,
    /// While one is taken.
    profiling: Option<Profiling>,
}

/// The plan and its recording for one number of stages.
#[derive(Debug)]
struct Variant {
    plan: Plan,
    recorder: Recorder,
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
    /// after a source ([`GradientSource::keeps_padding`](crate::GradientSource::keeps_padding)).
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
    /// of time. A gradient that a source averages over several batches is one:
    /// [`GradientSource::gradients`](crate::GradientSource::gradients) tells how many that source made for them.
    pub fn evaluations(&self) -> u64 {
        self.reports.progress().evaluations
    }

    /// Attempts accepted, as of the newest report.
    pub fn accepted(&self) -> u64 {
        self.reports.progress().accepted
    }

    fn write_settings(&self) {
        // A lost device shows wherever somebody waits.
        let _ = self.gpu.upload(&self.state.settings, bytemuck::bytes_of(&self.settings));
    }
}
