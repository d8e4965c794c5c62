//! Attempts in somebody else's encoder: recorded, never submitted, never waited for.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::ledger::Entry;
use super::{Optimizer, OptimizerError};
use crate::device::waiting::now;
use crate::error::Error;
use crate::reports::OnItsWay;
use crate::source::{GradientSource, SourceError};
use crate::state::RING;

/// A request of attempts to record.
#[derive(Clone, Copy, Default)]
pub(super) struct Recording {
    pub(super) attempts: u32,
    /// Into an encoder of the host.
    pub(super) hosted: bool,
    /// Between timestamps, on a device that has them.
    pub(super) timed: bool,
    /// No further attempt is begun after it; the first always is.
    pub(super) deadline: Option<Deadline>,
}

/// The attempts that were recorded.
pub(super) struct Recorded {
    pub(super) entry: Entry,
    pub(super) copy: Option<OnItsWay>,
    /// The error that kept it from being more.
    pub(super) result: Result<(), SourceError>,
}

/// When recording has taken long enough. A browser's clock is beyond `std`; there it
/// never has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    #[cfg(not(target_arch = "wasm32"))]
    end: std::time::Instant,
}

impl Deadline {
    #[cfg(not(target_arch = "wasm32"))]
    fn after(budget: Duration) -> Option<Self> {
        Some(Self { end: std::time::Instant::now().checked_add(budget)? })
    }

    #[cfg(target_arch = "wasm32")]
    fn after(_: Duration) -> Option<Self> {
        None
    }

    #[cfg(not(target_arch = "wasm32"))]
    pub(super) fn is_over(self) -> bool {
        std::time::Instant::now() >= self.end
    }

    #[cfg(target_arch = "wasm32")]
    pub(super) fn is_over(self) -> bool {
        false
    }
}

impl Optimizer {
    /// Records one attempt into the host's encoder: never submits, never waits, never
    /// polls. Call it as often as wanted for one encoder, and between passes of the
    /// host's own; [`Optimizer::params`] holds an accepted θ before and after.
    ///
    /// Reports arrive after the host's submit, when the host next polls the device or
    /// submits. An encoder that is dropped instead leaves everything as it was.
    ///
    /// ```
    /// # use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic, wgpu};
    /// # let gpu = Gpu::new()?;
    /// # let (device, queue) = (gpu.device().clone(), gpu.queue().clone());
    /// # let mut source = Analytic::rosenbrock(&gpu, 2)?;
    /// # let mut optimizer = Optimizer::builder(Method::rk4())
    /// #     .step_size(StepSize::constant(1e-3))
    /// #     .build(&gpu, source.layout(), &[-1.2, 1.0])?;
    /// let mut encoder = device.create_command_encoder(&Default::default());
    /// optimizer.record(&mut encoder, &mut source)?;
    /// // The host's own passes may read `optimizer.params().buffer()` here.
    /// queue.submit([encoder.finish()]);
    /// # device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    /// assert_eq!(optimizer.reports().len(), 1);
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// A source that submits by itself, is on another device, or fails: the attempt is
    /// then not recorded, and what there is of it in the encoder changes nothing.
    /// [`OptimizerError::Encoder`] for an encoder that is not of this device or cannot
    /// be recorded into: drop it. A lost device, once a copy of the ring has told of it.
    pub fn record(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
    ) -> Result<(), Error> {
        self.record_many(encoder, source, 1)
    }

    /// Records n attempts, 1 to 1024, as [`Optimizer::record`] does one: cheaper than one by one,
    /// for they share a copy of the ring of records. Of single ones in one encoder only
    /// the first four have a copy of their own, and the reports of the others come with
    /// the next encoder's.
    ///
    /// # Errors
    /// As [`Optimizer::record`], where the attempts before one that fails are recorded,
    /// and another number of attempts.
    pub fn record_many(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
        n: u32,
    ) -> Result<(), Error> {
        if !(1..=RING).contains(&n) {
            return Err(OptimizerError::PerRecording { found: n, most: RING }.into());
        }
        let recording = Recording { attempts: n, hosted: true, ..Recording::default() };
        self.record_hosted(encoder, source, recording).map(|_| ())
    }

    /// Records as many attempts as fit into a frame, and says how many.
    ///
    /// What `budget` bounds is what can be measured:
    /// - By itself, the time of the attempts on a device opened with
    ///   [`TIMESTAMP_QUERY`](wgpu::Features::TIMESTAMP_QUERY), as the timestamps of
    ///   earlier frames tell it. Half of the last eight may be outliers.
    /// - The time of whole frames, on any device, where the host hands in how long each
    ///   took: [`Optimizer::frame_took`].
    /// - With neither, every frame has one attempt.
    ///
    /// The first frame has one, and later ones at most twice as many as were seen to
    /// fit, and one more; never more than 1024. Where one attempt takes longer than the
    /// budget, there is one in every so many frames, at least every sixteenth. Natively,
    /// recording itself stops when it has taken longer than the budget. A budget of zero
    /// has no attempts.
    ///
    /// ```
    /// # use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic, wgpu};
    /// # use std::time::Duration;
    /// # let gpu = Gpu::new()?;
    /// # let (device, queue) = (gpu.device().clone(), gpu.queue().clone());
    /// # let mut source = Analytic::rosenbrock(&gpu, 2)?;
    /// # let mut optimizer = Optimizer::builder(Method::rk4())
    /// #     .step_size(StepSize::constant(1e-3))
    /// #     .build(&gpu, source.layout(), &[-1.2, 1.0])?;
    /// for _ in 0..10 {
    ///     let mut encoder = device.create_command_encoder(&Default::default());
    ///     let n = optimizer.record_for(&mut encoder, &mut source, Duration::from_millis(4))?;
    ///     assert!(n >= 1);
    ///     queue.submit([encoder.finish()]);
    /// }
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Optimizer::record_many`].
    pub fn record_for(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
        budget: Duration,
    ) -> Result<u32, Error> {
        self.reports.collect()?;
        while let Some((gradients, stamps)) = self.reports.take_timed() {
            if let Some(took) = self.timer.as_ref().and_then(|timer| timer.between(stamps)) {
                self.frame_budget.measured(gradients, took);
            }
        }
        let attempts = self.frame_budget.next(budget, self.plan().evaluations(), RING);
        if attempts == 0 {
            return Ok(0);
        }
        let deadline = Deadline::after(budget);
        let recording = Recording { attempts, hosted: true, timed: true, deadline };
        let recorded = self.record_hosted(encoder, source, recording);
        self.frame_budget.recorded(*recorded.as_ref().unwrap_or(&0));
        recorded
    }

    /// Tells how long the host's last frame took as a whole, for
    /// [`Optimizer::record_for`]: from one frame's begin to the next, or whatever else
    /// its budget is meant for. Frames may take up to a twentieth more than the budget, for a
    /// display's are never quite the same. Medians of three frames count, so one slow frame changes
    /// nothing.
    pub fn frame_took(&mut self, frame: Duration) {
        self.frame_budget.frame(frame);
    }

    fn record_hosted(
        &mut self,
        encoder: &mut wgpu::CommandEncoder,
        source: &mut impl GradientSource,
        recording: Recording,
    ) -> Result<u32, Error> {
        if source.submits() {
            return Err(OptimizerError::SourceSubmits.into());
        }
        // Copies that are here: they tell of the first attempt, and of a lost device.
        self.reports.collect()?;
        self.end_drive();
        self.ledger.notice_abandoned();
        let scope = self.gpu.device().push_error_scope(wgpu::ErrorFilter::Validation);
        let recorded = self.record_attempts(encoder, source, recording);
        // What an encoder refuses at once is known at once, except in a browser.
        if let Some(Some(error)) = now(scope.pop()) {
            return Err(OptimizerError::Encoder { reason: one_line(&error.to_string()) }.into());
        }
        let Recorded { entry, result, .. } = recorded?;
        let slip = self.ledger.handed_out(entry);
        encoder.on_submitted_work_done(move || slip.hand_in());
        result?;
        Ok(entry.attempts())
    }
}

/// What to record goes into an encoder of somebody's, which may be of another instance.
/// wgpu numbers the objects of each instance from zero and looks ours up among the
/// other's; where there is none of that number it panics, and nothing else tells.
pub(super) fn in_foreign_hands(record: impl FnOnce()) -> Result<(), OptimizerError> {
    catch_unwind(AssertUnwindSafe(record)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied());
        OptimizerError::Encoder { reason: one_line(text.unwrap_or("wgpu panicked")) }
    })
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}
