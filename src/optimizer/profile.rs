//! A profile: attempts whose every dispatch is timed on the device.

use std::ops::{Deref, DerefMut};

use super::{Optimizer, OptimizerError};
use crate::device::commands::Commands;
use crate::device::spans::{Spans, Taken};
use crate::device::waiting::Waiting;
use crate::error::Error;
use crate::profile::{HostSpan, MOST_ATTEMPTS, Measured, Profile, Submit, quantile};
use crate::source::GradientSource;

/// Dispatches of one workgroup that tell what timestamps cost: in a row, and so often.
const TRIED: usize = 32;
const ROUNDS: usize = 5;

/// The host's clock, since a profile began. A browser's is beyond `std`; there it stands.
#[derive(Debug)]
struct HostClock {
    #[cfg(not(target_arch = "wasm32"))]
    origin: std::time::Instant,
}

impl HostClock {
    fn start() -> Self {
        Self {
            #[cfg(not(target_arch = "wasm32"))]
            origin: std::time::Instant::now(),
        }
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn nanos(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    #[cfg(target_arch = "wasm32")]
    fn nanos(&self) -> u64 {
        0
    }
}

/// A profile that is being taken.
#[derive(Debug)]
pub(super) struct Profiling {
    pub(super) spans: Spans,
    /// Submits whose timestamps are not read yet, and when they were begun.
    taken: Vec<(Taken, u64)>,
    host: Vec<HostSpan>,
    clock: HostClock,
}

impl Profiling {
    pub(super) fn now(&self) -> u64 {
        self.clock.nanos()
    }

    /// The host did something from `begin` until now.
    pub(super) fn did(&mut self, what: &'static str, begin: u64) {
        let end = self.now();
        self.host.push(HostSpan { what, begin, end });
    }

    /// What an encoder has is submitted from `begin` on.
    pub(super) fn submits(&mut self, taken: Taken, begin: u64) {
        self.taken.push((taken, begin));
    }
}

/// An optimizer whose attempts are profiled until this is dropped: by a source's panic too,
/// and with a future that nobody looks at any more.
struct Profiled<'a>(&'a mut Optimizer);

impl Drop for Profiled<'_> {
    fn drop(&mut self) {
        self.0.profiling = None;
    }
}

impl Deref for Profiled<'_> {
    type Target = Optimizer;

    fn deref(&self) -> &Optimizer {
        self.0
    }
}

impl DerefMut for Profiled<'_> {
    fn deref_mut(&mut self) -> &mut Optimizer {
        self.0
    }
}

impl Optimizer {
    /// Runs as many attempts, 1 to 1024, as [`Optimizer::run`] would, and measures how long each
    /// of their dispatches takes on the device. They are attempts like any others, to the bit:
    /// θ moves, reports come, batches are drawn. Waits.
    ///
    /// The device must have been opened with [`TIMESTAMP_QUERY`](wgpu::Features::TIMESTAMP_QUERY).
    /// With
    /// [`TIMESTAMP_QUERY_INSIDE_PASSES`](wgpu::Features::TIMESTAMP_QUERY_INSIDE_PASSES) too, it
    /// records the passes of a run without a profile, else a pass for each dispatch. Kernels are
    /// compiled at their first dispatch, and some devices wake up slowly: run a few attempts
    /// before. An optimizer that is not profiled pays nothing for this.
    ///
    /// Dispatches of kutta's own kernels and models are told apart, those that a source records
    /// by itself are not, but for what [`Evaluation::label`](crate::Evaluation::label) says:
    /// between two labels they are one. So is what it does with
    /// [`Evaluation::encoder`](crate::Evaluation::encoder), and all that a source which submits
    /// by itself lets the device wait for.
    ///
    /// ```
    /// use kutta::device::GpuOptions;
    /// use kutta::{Gpu, Method, Optimizer, StepSize, models::Analytic, wgpu::Features};
    /// # // Doctests run on whatever adapter there is.
    /// # let timestamps = Features::TIMESTAMP_QUERY;
    /// # if Gpu::with_options(&GpuOptions { features: timestamps, ..Default::default() }).is_err() {
    /// #     return Ok(());
    /// # }
    /// let features = Features::TIMESTAMP_QUERY;
    /// let gpu = Gpu::with_options(&GpuOptions { features, ..Default::default() })?;
    /// let mut problem = Analytic::rosenbrock(&gpu, 2)?;
    /// let mut optimizer = Optimizer::builder(Method::rk4())
    ///     .step_size(StepSize::constant(1e-3))
    ///     .build(&gpu, problem.layout(), &[-1.2, 1.0])?;
    /// optimizer.run(&mut problem, 10)?;
    /// let profile = optimizer.profile(&mut problem, 20)?;
    /// println!("{profile}");
    /// let verdict = profile.rows().iter().find(|row| row.label == "verdict").unwrap();
    /// assert_eq!(verdict.per_attempt, 1.0);
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`GpuError::NoTimestamps`](crate::error::GpuError::NoTimestamps) says what to ask the
    /// device for. [`OptimizerError::Profiled`] for another number of attempts. Else as
    /// [`Optimizer::run`]: the attempts before an error are done.
    pub fn profile(
        &mut self,
        source: &mut impl GradientSource,
        attempts: u64,
    ) -> Result<Profile, Error> {
        pollster::block_on(self.profile_with(source, attempts, Waiting::Blocks))
    }

    /// Profiles as [`Optimizer::profile`] does, without blocking. If the future is dropped
    /// before its end, what was submitted still runs.
    ///
    /// # Errors
    /// As [`Optimizer::profile`].
    pub async fn profile_async(
        &mut self,
        source: &mut impl GradientSource,
        attempts: u64,
    ) -> Result<Profile, Error> {
        self.profile_with(source, attempts, Waiting::Yields).await
    }

    async fn profile_with(
        &mut self,
        source: &mut impl GradientSource,
        attempts: u64,
        waiting: Waiting,
    ) -> Result<Profile, Error> {
        if !(1..=MOST_ATTEMPTS).contains(&attempts) {
            let most = MOST_ATTEMPTS;
            return Err(OptimizerError::Profiled { found: attempts, most }.into());
        }
        let mut spans = Spans::new(&self.gpu)?;
        self.end_drive();
        self.wait_with(waiting).await?;
        let waits = self.pace == super::Pace::Wait;
        self.check_fits(source, waits)?;
        // What only the first attempt of all does is not part of an attempt.
        if self.ledger.wants_opening(false, &self.reports.progress()) {
            self.submit(source, 0)?;
            self.wait_with(waiting).await?;
        }
        let period = f64::from(self.gpu.queue().get_timestamp_period());
        let cost = self.cost_of_stamps(&mut spans, period, waiting).await?;
        let (taken, host) = (Vec::new(), Vec::new());
        self.profiling = Some(Profiling { spans, taken, host, clock: HostClock::start() });
        let mut profiled = Profiled(self);
        profiled.run_on(source, attempts, waiting).await?;
        let began = profiled.profiling.as_ref().map_or(0, Profiling::now);
        profiled.wait_with(waiting).await?;
        if let Some(profiling) = &mut profiled.profiling {
            profiling.did("wait for the last", began);
        }
        let Some(profiling) = profiled.profiling.take() else {
            unreachable!("nobody else ends a profile")
        };
        let Profiling { spans, taken, host, .. } = profiling;
        let gpu = &profiled.gpu;
        let mut submits = Vec::with_capacity(taken.len());
        for (taken, submitted) in taken {
            let ticks = taken.read(gpu, waiting).await?;
            submits.push(Submit { taken, ticks, submitted });
        }
        Ok(Profile::new(Measured {
            adapter: &gpu.info().name,
            stamps: spans.stamps(),
            labels: spans.labels(),
            period,
            cost,
            submits: &submits,
            host,
        }))
    }

    /// Nanoseconds that timestamps add to the time of a dispatch: by dispatches of one workgroup,
    /// each of which waits for the one before, in a row and each by itself. They ready the
    /// control block, which changes nothing however often it is done.
    async fn cost_of_stamps(
        &mut self,
        spans: &mut Spans,
        period: f64,
        waiting: Waiting,
    ) -> Result<f64, Error> {
        let mut encoder = self.gpu.device().create_command_encoder(&Default::default());
        let mut pass = None;
        let mut commands = Commands::new(&mut encoder, &mut pass).profiled(Some(spans));
        for _ in 0..ROUNDS {
            for _ in 0..TRIED {
                self.recorder().begin(&mut commands);
            }
            let begin = self.recorder().begin_dispatch();
            (0..TRIED).for_each(|_| begin.record_bare(commands.pass()));
            commands.restore_label(None);
        }
        drop(pass);
        let taken = spans.take(&mut encoder)?;
        self.submit_encoder(encoder, None);
        self.settle(0, waiting).await?;
        let ticks = taken.read(&self.gpu, waiting).await?;
        let median = |in_a_row: bool| {
            let mut times: Vec<f64> = taken
                .spans
                .iter()
                // The first round compiles and wakes up.
                .skip(TRIED + 1)
                .filter(|span| span.workgroups.is_none() == in_a_row)
                .map(|span| ticks[span.end].saturating_sub(ticks[span.begin]) as f64 * period)
                .collect();
            times.sort_by(f64::total_cmp);
            quantile(&times, 0.5)
        };
        // n d + c in a row, d + c for one by itself.
        let n = TRIED as f64;
        Ok(((median(false) - median(true) / n) / (1.0 - 1.0 / n)).max(0.0))
    }
}
